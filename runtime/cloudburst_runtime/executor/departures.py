"""Which finished results wait a moment for those of the calls behind them, so that they travel together.

Law: a result waits only while a call runs that is behind it in the queue, and only for about a millisecond;
to each client results go in the order in which they came to be.

Telling a client of a call costs a system call here and one there, which is as much as a tiny call itself. So
when one function has run several times in a row, shortly each time, and runs once more, the result waits.
It goes when the queue is empty, when another function's turn comes or a run was not short, when it has
waited long enough or much waits; and for a run that turns out to take long there is a timer, which the shell
fires even while user code runs.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.runner import Runner
from cloudburst_runtime.executor.tasks import Execute
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import FunctionSpec, Result, Results

Effects = list[Any]

TIMER = "together"

RESULT_BYTES_MAX = 4_096
"""A larger result does not wait."""

RESULTS_MAX = 128
"""More results do not wait."""

REMINDER_MS = 1.0
"""When the timer is due, which has to wake a thread: later than is looked at the clock between two calls."""


class Departures:
    """The results of one executor that are about to leave.

    Parameters
    ----------
    config
        For ``short_run_ms``, ``together_ms`` and ``together_after``.
    runner
        Says whether something runs.
    """

    def __init__(self, config: Config, runner: Runner) -> None:
        self._short_ms = config.short_run_ms
        self._together_ms = config.together_ms
        self._row_min = config.together_after
        self._runner = runner
        self._waiting: dict[PeerName, list[Result]] = {}
        self._count = 0
        self._since: Millis = 0.0
        self._row = 0
        self._function: FunctionSpec | None = None

    def after_run(self, function: FunctionSpec | None, run_ms: Millis, effects: Effects, now: Millis) -> Effects:
        """A run of ``function`` has ended, with these effects: let its result wait, or let all go."""
        if run_ms >= self._short_ms or function is not self._function:
            self._function = function
            self._row = 0
        self._row += 1
        if self._row > self._row_min and self._may_wait(effects, now):
            return self._wait(effects, now)
        return [*self.release(), *effects] if self._waiting else effects

    def _may_wait(self, effects: Effects, now: Millis) -> bool:
        """Whether these are a small result and the next run of the same function, and nothing waits for long."""
        if len(effects) != 2 or type(effects[1]) is not Execute or type(effects[0]) is not Send:
            return False
        result = effects[0].message
        return (
            effects[1].tasks[0].function is self._function
            and type(result) is Result
            and (result.value is None or result.value.nbytes <= RESULT_BYTES_MAX)
            and self._count < RESULTS_MAX
            and (not self._waiting or now < self._since + self._together_ms)
        )

    def _wait(self, effects: Effects, now: Millis) -> Effects:
        send, execute = effects
        results = self._waiting.get(send.peer)
        if results is not None:
            results.append(send.message)
            self._count += 1
            return [execute]
        self._waiting[send.peer] = [send.message]
        self._count += 1
        if len(self._waiting) > 1:
            return [execute]
        self._since = now
        return [SetTimer(TIMER, now + REMINDER_MS), execute]

    def release(self) -> Effects:
        """Let all go that waits."""
        waiting, self._waiting, self._count = self._waiting, {}, 0
        return [
            Send(peer, Results(results) if len(results) > 1 else results[0])
            for peer, results in waiting.items()
        ]

    def on_timer(self, now: Millis) -> Effects:
        """A call takes longer than was to be expected."""
        return self.release()

    def lose(self, peer: PeerName) -> None:
        """A client is gone."""
        self._count -= len(self._waiting.pop(peer, ()))

    def validate(self) -> None:
        """Assert what must hold between events."""
        assert self._count == sum(map(len, self._waiting.values())), self._waiting
        assert self._runner.running or not self._waiting, "results wait, and nothing runs"
