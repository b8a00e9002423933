"""What whoever runs a notebook asks of its runtime, over what the notebook itself says.

Law: this module reads the environment, and nothing else does so for these settings. ``cloudburst-nb run``
sets the variables in the kernel that it starts: what stands on a command line counts more than what stands
in a cell, as it does for parameters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeAlias

EXECUTORS = "CLOUDBURST_NB_EXECUTORS"
STATE_DIR = "CLOUDBURST_NB_STATE_DIR"
SEED = "CLOUDBURST_NB_SEED"
TALLY = "CLOUDBURST_NB_TALLY"

Executors: TypeAlias = int | tuple[int, int]


def variables(
    executors: Executors | None = None, state_dir: str | None = None, seed: int | None = None
) -> dict[str, str]:
    """The environment that says so.

    Examples
    --------
    >>> variables(executors=(2, 8))
    {'CLOUDBURST_NB_EXECUTORS': '2:8'}
    """
    asked = {}
    if executors is not None:
        asked[EXECUTORS] = ":".join(map(str, (executors,) if isinstance(executors, int) else executors))
    if state_dir is not None:
        asked[STATE_DIR] = state_dir
    if seed is not None:
        asked[SEED] = str(seed)
    return asked


def executors(environment: Mapping[str, str] = os.environ) -> Executors | None:
    """How many executors are asked for; None if nothing is.

    Examples
    --------
    >>> executors({"CLOUDBURST_NB_EXECUTORS": "2:8"}), executors({})
    ((2, 8), None)
    """
    text = environment.get(EXECUTORS)
    if not text:
        return None
    numbers = [int(part) for part in text.split(":")]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def state_dir(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where durable state is asked to be; None if nothing is."""
    return environment.get(STATE_DIR) or None


def seed(environment: Mapping[str, str] = os.environ) -> int | None:
    """What random numbers are asked to follow from; None if they need not follow from anything."""
    text = environment.get(SEED)
    return int(text) if text else None


def tally(environment: Mapping[str, str] = os.environ) -> str | None:
    """The file in which to count the calls that have ended; None if nobody asks."""
    return environment.get(TALLY) or None
