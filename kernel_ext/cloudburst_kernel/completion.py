"""Tab completion after ``%cloudburst`` and ``%%cloudburst``.

Law: completing never starts a runtime and never raises; with no runtime there are only the words that
stand in this file and the names in the notebook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudburst_kernel import client
from cloudburst_kernel.commands import UP_OPTIONS, USAGES
from cloudburst_kernel.line import FLAGS, OPTIONS

FIGURES = ("latency", "breakdown", "timeline", "over-time", "throughput", "compare")

KEYS_MAX = 1_000
"""No front end shows more."""


def complete(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """What may stand at the end of ``line``, which begins with the magic's name.

    Parameters
    ----------
    line
        The line up to the cursor.
    namespace
        The user's variables; cloud functions among them are offered where a function is meant.

    Examples
    --------
    >>> complete("%cloudburst up --exec", {})
    ['--executors', '--state-dir', '--seed']
    """
    words = line.split()
    if not words or words[0].startswith("%%"):
        return _cell_options(words, line)
    done = words[1:] if line[-1:].isspace() else words[1:-1]
    if not done:
        return list(USAGES)
    return _arguments(done, namespace)


def _cell_options(words: list[str], line: str) -> list[str]:
    done = words[1:] if line[-1:].isspace() else words[1:-1]
    if done and done[-1] in OPTIONS and done[-1].removeprefix("--") not in FLAGS:
        return []  # the value of that option
    return [option for option in OPTIONS if option not in done]


def _arguments(done: list[str], namespace: Mapping[str, Any]) -> list[str]:
    command, count = done[0], len(done)
    if command == "up":
        return [] if done[-1] in UP_OPTIONS else [option for option in UP_OPTIONS if option not in done]
    if command in ("list", "call", "plot") and count == 1:
        return _sorted(_registered(dags=True), _handles(namespace))
    if command == "keys" and count == 1:
        return _keys()
    if command == "dag" and count >= 2:
        return _sorted(_registered(dags=False), _handles(namespace))
    if command == "plot":
        return [word for word in (*FIGURES, "--live") if word not in done]
    return []


def _handles(namespace: Mapping[str, Any]) -> list[str]:
    mine = [name for name, value in list(namespace.items()) if client.is_handle(value)]
    return [name for name in mine if not name.startswith("_")]


def _registered(dags: bool) -> list[str]:
    try:
        api = client.api()
        if not api.running():
            return []
        return [*api.functions(), *(api.dags() if dags else [])]
    except Exception:  # a key press must not end in a traceback
        return []


def _keys() -> list[str]:
    try:
        api = client.api()
        return list(api.keys())[:KEYS_MAX] if api.running() else []
    except Exception:  # as above
        return []


def _sorted(*lists: list[str]) -> list[str]:
    return sorted({name: None for names in lists for name in names})
