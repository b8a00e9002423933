"""Looking again for some microseconds before sleeping: what keeps short calls short.

A process that slept comes back to a processor that slept too, and to caches that are cold: a call that takes
40 µs while both its ends are awake takes 110 µs if they sleep between messages. So whoever waits for
messages looks for up to `Config.spin_us` whether one has come, and sleeps then. Never longer: a process at
rest does not spin, and one that mostly looks in vain soon looks only now and then.

Law: `Patience` decides, from times that it is told, and owns no clock; `Spin` looks.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOSS_US_MAX = 1_000.0
"""How much time may be lost to looks in vain before a process looks no more for a while."""

GAIN_US = 100.0
"""What a look that was worth it gives back."""

REST_MS_MIN, REST_MS_MAX = 32.0, 1_000.0
"""The while: twice as long after each time that nothing came of it."""

BREAK_US_MIN = 30.0
"""Two looks that lie this far apart: another process wanted this processor, and had it meanwhile."""

MOVE_US = 1_000.0
"""How long to stay on a processor at least."""

POWER_S = 30.0
"""How often to ask whether this machine lives on its battery."""


class Patience:
    """Decides whether a wait looks before it sleeps. Times are in microseconds.

    Examples
    --------
    >>> patience = Patience()
    >>> patience.may_look(1000.0)
    True
    >>> for _ in range(13):
    ...     patience.lost(80.0, now=9000.0)
    >>> patience.may_look(9080.0), patience.may_look(9000.0 + REST_MS_MIN * 1000)
    (False, True)
    """

    __slots__ = ("_loss_us", "_rest_ms", "_rests_until")

    def __init__(self) -> None:
        self._loss_us = 0.0
        self._rest_ms = REST_MS_MIN
        self._rests_until = 0.0

    def may_look(self, now: float) -> bool:
        """Whether the wait that begins now is to look first."""
        return now >= self._rests_until

    def found(self) -> None:
        """A look was worth it."""
        self._loss_us = max(0.0, self._loss_us - GAIN_US)
        self._rest_ms = max(REST_MS_MIN, self._rest_ms * 0.9)

    def lost(self, spent_us: float, now: float) -> None:
        """A look that took so long was in vain."""
        self._loss_us += spent_us
        if self._loss_us > LOSS_US_MAX:
            self._loss_us = 0.0
            self._rests_until = now + self._rest_ms * 1000
            self._rest_ms = min(2 * self._rest_ms, REST_MS_MAX)


def clock_us() -> float:
    """A clock for short times."""
    return time.perf_counter() * 1e6


class Spin:
    """Looks at descriptors for as long as its patience lasts.

    Parameters
    ----------
    poll
        Says which descriptors are ready, after at most so many seconds; -1: without end.
    limit_us
        The longest look.
    allowed
        Whether this machine has processor time to spare; asked at most twice a minute.
    clock
        The time in microseconds.
    move
        Goes to another processor; called when another process had this one.
    """

    def __init__(
        self,
        poll: Callable[[float], list[Any]],
        limit_us: float,
        allowed: Callable[[], bool],
        clock: Callable[[], float] = clock_us,
        move: Callable[[], None] | None = None,
    ) -> None:
        self._poll = poll
        self._limit_us = limit_us
        self._patience = Patience()
        self._allowed = allowed
        self._clock = clock
        self._move = move
        self._moves_at = 0.0
        self._ask_at = 0.0
        self._answer = False

    def wait(self, timeout_s: float) -> list[Any]:
        """Look, and then sleep: as ``poll(timeout_s)``, but with a time-out of 0 it looks all the same."""
        began = self._clock()
        if 0 < timeout_s * 1e6 < self._limit_us or not self._may_look(began):
            return self._poll(timeout_s)
        return self._look(began) or self._poll(timeout_s)

    def _may_look(self, now: float) -> bool:
        if now >= self._ask_at:
            self._ask_at = now + POWER_S * 1e6
            self._answer = self._allowed()
        return self._answer and self._patience.may_look(now)

    def _look(self, began: float) -> list[Any]:
        poll, clock, give_way = self._poll, self._clock, os.sched_yield
        last = now = began
        shared = False
        while now < began + self._limit_us and not shared:
            ready = poll(0)
            if ready:
                self._patience.found()
                return ready
            give_way()  # should the one that is waited for need this very processor
            last, now = now, clock()
            shared = now - last > BREAK_US_MIN
        self._patience.lost(now - began, now)
        if shared and self._move is not None and now >= self._moves_at:
            self._moves_at = now + MOVE_US
            self._move()
        return []


def leave_processor() -> None:
    """Have this thread go on on another processor than the one that it runs on.

    The kernel wakes a process on the processor of the one that woke it, if the others sleep (on virtual
    machines, where a processor that sleeps may have been taken away). The two then take turns there.
    """
    with contextlib.suppress(OSError):  # some sandboxes have no /proc, or let nobody choose
        with open("/proc/thread-self/stat") as file:
            here = int(file.read().rpartition(")")[2].split()[36])  # field 39, proc(5)
        processors = os.sched_getaffinity(0)
        if processors - {here}:
            os.sched_setaffinity(0, processors - {here})
            os.sched_setaffinity(0, processors)


def to_spare() -> bool:
    """Whether this process has more than one processor, and the machine is not on its battery."""
    return len(os.sched_getaffinity(0)) > 1 and not on_battery()


def on_battery(supplies: Path = Path("/sys/class/power_supply")) -> bool:
    """Whether a battery is what this machine lives on now; as far as Linux says."""
    for status in supplies.glob("BAT*/status"):
        with contextlib.suppress(OSError):
            if status.read_text().strip() == "Discharging":
                return True
    return False
