"""The processors of this machine: on which one a thread runs, and whether there is time to spare on them.

Law: what is changed of a thread's choice of processors is as it was before when the function is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from typing import Any

_getcpu = getattr(ctypes.CDLL(None), "sched_getcpu", None)


def leave() -> None:
    """Have this thread go on on another processor than the one that it runs on."""
    with contextlib.suppress(OSError):  # some sandboxes let nobody choose
        processors = os.sched_getaffinity(0)
        others = processors - {_here()}
        if others:
            os.sched_setaffinity(0, others)
            os.sched_setaffinity(0, processors)


def staying(poll: Callable[[float], list[Any]], timeout_s: float) -> list[Any]:
    """``poll(timeout_s)``, woken on the processor on which it fell asleep."""
    processors = _bind()
    try:
        return poll(timeout_s)
    finally:
        if processors:
            with contextlib.suppress(OSError):  # they were taken away meanwhile: the kernel has chosen others
                os.sched_setaffinity(0, processors)


def _bind() -> set[int]:
    """Keep this thread where it is; the processors that it may use otherwise, none if it can't be kept."""
    with contextlib.suppress(OSError):
        processors = os.sched_getaffinity(0)
        here = _here()
        if here in processors:
            os.sched_setaffinity(0, {here})
            return processors
    return set()


def _here() -> int:
    """The number of the processor that this thread runs on; -1 if nobody says."""
    return int(_getcpu()) if _getcpu is not None else -1


def to_spare() -> bool:
    """Whether this process has more than one processor, and the machine is not on its battery."""
    return len(os.sched_getaffinity(0)) > 1 and not on_battery()


def on_battery(supplies: str | os.PathLike[str] = "/sys/class/power_supply") -> bool:
    """Whether a battery is what this machine lives on now; as far as Linux says."""
    with contextlib.suppress(OSError):
        return any(_discharges(os.path.join(supplies, name)) for name in os.listdir(supplies))
    return False


def _discharges(supply: str) -> bool:
    """Whether this supply is a battery that is being used."""
    if os.path.basename(supply).startswith("BAT"):
        with contextlib.suppress(OSError), open(os.path.join(supply, "status")) as status:
            return status.read().strip() == "Discharging"
    return False
