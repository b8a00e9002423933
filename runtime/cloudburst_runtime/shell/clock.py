"""Where shells read clocks. (The executor's sandbox times user code itself; cores are told the time.)"""

from __future__ import annotations

import time
from collections.abc import Callable

from cloudburst_runtime.ids import HybridClock, Millis

CLOSE_US = 20.0
"""A wall clock that was read within so many microseconds is read well enough."""
READINGS_MAX = 20


def now_ms() -> Millis:
    """The host's monotonic clock, in milliseconds: the same in every process of the host."""
    return time.monotonic() * 1000.0


def hybrid_clock() -> HybridClock:
    """A hybrid logical clock on this host's wall clock."""
    return HybridClock(wall_offset_us())


def wall_offset_us(
    wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> int:
    """Wall-clock microseconds since the epoch minus monotonic ones, as closely as they could be read.

    Whoever is held up between the two would be behind all others by as much for good, and of two writes the
    earlier one would stay. So the wall clock is read between two looks at the other, again while they are far
    apart; of all readings the closest counts, and is wrong by no more than half the time between its looks.

    Examples
    --------
    >>> wall_offset_us(wall=lambda: 1_000.5, monotonic=lambda: 0.25)
    1000250000
    """
    closest, offset = float("inf"), 0.0
    for _ in range(READINGS_MAX):
        before, there, after = monotonic(), wall(), monotonic()
        if after - before < closest:
            closest, offset = after - before, there - (before + after) / 2
        if closest * 1_000_000 <= CLOSE_US:
            break
    return round(offset * 1_000_000)
