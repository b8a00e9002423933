"""Looking again for some microseconds before sleeping: what keeps short calls short.

A process that slept comes back to a processor that slept too, and to caches that are cold: a call that takes
40 µs while both its ends are awake takes 110 µs if they sleep between messages. So whoever waits for
messages looks for up to `Config.spin_us` whether one has come, and sleeps then. Never longer: a process at
rest does not spin, and one that mostly looks in vain soon looks only now and then.

It matters as much where the two ends are. The kernel wakes a process on the processor of the one that woke
it if the others sleep; on virtual machines also a processor that only rests counts as taken away. The two
then take turns there, with caches that are cold each time. So whoever has looked in vain sleeps where it is,
for a while (`processors.staying`), and of two that take turns one moves.

Law: `Patience` and `Roaming` decide, from times that they are told, and own no clock; `Spin` looks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

Poll = Callable[[float], list[Any]]

LOSS_US_MAX = 1_000.0
"""How much time may be lost to looks in vain before a process looks no more for a while."""

GAIN_US = 100.0
"""What a look that was worth it gives back."""

REST_MS_MIN, REST_MS_MAX = 32.0, 250.0
"""The while: twice as long after each time that nothing came of it …"""

REST_SHARE = 0.9
"""… and shorter by so much with each look that was worth it."""

BREAK_US_MIN = 30.0
"""Two looks that lie this far apart: another process wanted this processor, and had it meanwhile."""

BREAK_US_MAX = 300.0
"""After such a break nobody looks on, and it was a loss: somebody else has much to do, and keeps on."""

CLIENT_TURNS_MAX, EXECUTOR_TURNS_MAX = 3, 6
"""So many waits in a row that ended with the first break: two processes take turns on one processor, and one
leaves it. Of a client and an executor the client does; a store stays, as it serves all."""

TURNS_MAX = 64
"""So many, and to leave does not seem to help: then to sleep is as good."""

MOVE_US_MIN, MOVE_US_MAX = 2_000.0, 16_000.0
"""How long to stay on a processor at least, as a move may take milliseconds: twice as long after each …"""

MOVE_SHARE = 0.9
"""… and shorter by so much with each look that nobody broke."""

STAY_S = 0.05
"""How long a sleep after a look is on the same processor; after that the kernel may find a better one."""

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
        self._rest_ms = max(REST_MS_MIN, self._rest_ms * REST_SHARE)

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


class Roaming:
    """Decides whether a process leaves its processor, from whether its looks ended in turns.

    Parameters
    ----------
    turns_max
        After how many in a row; 0: never.
    move
        Goes to another processor.

    Attributes
    ----------
    turns
        How many there have been in a row.

    Examples
    --------
    >>> roaming = Roaming(2, lambda: print("off"))
    >>> for now in (10.0, 20.0):
    ...     roaming.note(True, now)
    off
    >>> roaming.note(False, 30.0)
    >>> roaming.turns
    0
    """

    __slots__ = ("_move", "_move_us", "_moves_at", "_turns_max", "turns")

    def __init__(self, turns_max: int, move: Callable[[], None]) -> None:
        self._turns_max = turns_max
        self._move = move
        self._moves_at = 0.0
        self._move_us = MOVE_US_MIN
        self.turns = 0

    def note(self, in_turn: bool, now: float) -> None:
        """A look is over, at so many microseconds."""
        if not in_turn:
            self.turns = 0
            self._move_us = max(MOVE_US_MIN, self._move_us * MOVE_SHARE)
            return
        self.turns += 1
        if self.turns >= self._turns_max > 0 and now >= self._moves_at:
            self._move_us = min(2 * self._move_us, MOVE_US_MAX)
            self._moves_at = now + self._move_us
            self._move()


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
    roaming
        Is told whether looks ended in turns.
    stay
        Polls, and is woken on the processor on which it fell asleep.
    clock
        The time in microseconds.
    give_way
        Lets whoever else needs this processor have it.
    """

    def __init__(
        self,
        poll: Poll,
        limit_us: float,
        allowed: Callable[[], bool],
        roaming: Roaming,
        stay: Callable[[Poll, float], list[Any]],
        clock: Callable[[], float] = clock_us,
        give_way: Callable[[], None] = os.sched_yield,
    ) -> None:
        self._poll = poll
        self._limit_us = limit_us
        self._patience = Patience()
        self._allowed = allowed
        self._roaming = roaming
        self._stay = stay
        self._clock = clock
        self._give_way = give_way
        self._ask_at = 0.0
        self._answer = False

    def wait(self, timeout_s: float) -> list[Any]:
        """Look, and then sleep: as ``poll(timeout_s)``, but with a time-out of 0 it looks all the same."""
        began = self._clock()
        if 0 < timeout_s * 1e6 < self._limit_us or not self._may_look(began):
            return self._poll(timeout_s)
        ready = self._look(began)
        if ready or not timeout_s:
            return ready
        return self._poll(timeout_s) if self._roaming.turns else self._sleep(timeout_s)

    def _may_look(self, now: float) -> bool:
        if now >= self._ask_at:
            self._ask_at = now + POWER_S * 1e6
            self._answer = self._allowed()
        return self._answer and self._patience.may_look(now)

    def _look(self, began: float) -> list[Any]:
        poll, clock, give_way = self._poll, self._clock, self._give_way
        now = began
        given_us = break_us = 0.0
        looks = 0
        while True:
            ready = poll(0)
            looks += 1
            if ready or break_us > BREAK_US_MAX or now - given_us >= began + self._limit_us:
                break
            last = now
            give_way()  # should the one that is waited for need this very processor
            now = clock()
            break_us = now - last
            if BREAK_US_MIN < break_us <= BREAK_US_MAX:  # it has had it: that was not lost
                given_us += break_us
        in_turn = looks == 2 and break_us > BREAK_US_MIN
        if ready and break_us <= BREAK_US_MAX and not (in_turn and self._roaming.turns >= TURNS_MAX):
            self._patience.found()
        else:
            self._patience.lost(now - began - (0.0 if in_turn else given_us), now)
        self._roaming.note(in_turn, now)
        return ready

    def _sleep(self, timeout_s: float) -> list[Any]:
        """On this processor first."""
        ready = self._stay(self._poll, STAY_S if timeout_s < 0 else min(timeout_s, STAY_S))
        if ready or 0 < timeout_s <= STAY_S:
            return ready
        return self._poll(timeout_s if timeout_s < 0 else timeout_s - STAY_S)
