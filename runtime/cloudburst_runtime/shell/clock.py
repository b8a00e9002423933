"""Where shells read clocks. (The executor's sandbox times user code itself; cores are told the time.)"""

from __future__ import annotations

import time

from cloudburst_runtime.ids import HybridClock, Millis


def now_ms() -> Millis:
    """The host's monotonic clock, in milliseconds: the same in every process of the host."""
    return time.monotonic() * 1000.0


def hybrid_clock() -> HybridClock:
    """A hybrid logical clock on this host's wall clock."""
    return HybridClock(int((time.time() - time.monotonic()) * 1_000_000))
