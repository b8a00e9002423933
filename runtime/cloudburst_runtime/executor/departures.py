"""Which finished results wait a moment for those of the calls behind them, so that they travel together.

Law: a result waits only while a call runs that is behind it in the queue, and only for about a millisecond;
to each client results go in the order in which they came to be.

Telling a client of a call costs a system call here and one there, which is as much as a tiny call itself. So
when one function has run several times in a row, shortly each time, and runs once more, the result waits.
It goes when the queue is empty, when another function's turn comes or a run was not short, when it has
waited long enough or much waits; and for a run that turns out to take long there is a timer, which the shell
fires even while user code runs.

A small input for another executor waits, too, if what runs next feeds the same task, which needs both.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.runner import Runner
from cloudburst_runtime.executor.tasks import Execute, Task
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import (
    FunctionSpec,
    Header,
    Input,
    Result,
    Results,
    Session,
    Trigger,
    Triggers,
)
from cloudburst_runtime.values import Value
from cloudburst_runtime.vectors import joined

Effects = list[Any]

TIMER = "together"

OUTCOME_BYTES_MAX = 4_096
"""A larger result or input does not wait."""

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
        self._inputs: list[Trigger] = []
        self._inputs_for: PeerName = ""

    def after_run(
        self, function: FunctionSpec | None, run_ms: Millis, effects: Effects, now: Millis
    ) -> Effects:
        """A run of ``function`` has ended, with these effects: let its result wait, or let all go."""
        if run_ms >= self._short_ms or function is not self._function:
            self._function = function
            self._row = 0
        self._row += 1
        if len(effects) == 2 and type(effects[1]) is Execute and type(effects[0]) is Send:
            send, execute = effects
            if self._row > self._row_min and self._may_wait(send.message, execute.tasks[0], now):
                return self._wait(send, execute, now)
            if type(send.message) is Trigger and _waits_for(execute.tasks[0], send.message):
                return [*self._put_beside(send.peer, send.message), execute]
        if not self._waiting and not self._inputs:
            return effects
        if effects and type(effects[0]) is Send and self._joins(effects[0]):
            effects = effects[1:]
        return [*self.release(), *effects]

    def _joins(self, send: Send) -> bool:
        """Let an outcome go with those that waited, if it can."""
        message = send.message
        if type(message) is Result and send.peer in self._waiting and _is_small(message.value):
            self._waiting[send.peer].append(message)
            self._count += 1
            return True
        if type(message) is Trigger and self._inputs and _goes_with(self._inputs[0], message):
            self._inputs.append(message)
            return True
        return False

    def _may_wait(self, result: Any, behind: Task, now: Millis) -> bool:
        """Whether this is a small result, ``behind`` runs the same function, and nothing waits for long."""
        return (
            behind.function is self._function
            and type(result) is Result
            and _is_small(result.value)
            and self._count < RESULTS_MAX
            and not self._inputs
            and (not self._waiting or now < self._since + self._together_ms)
        )

    def _wait(self, send: Send, execute: Execute, now: Millis) -> Effects:
        self._count += 1
        results: list[Any] | None = self._waiting.get(send.peer)
        if results is not None:
            results.append(send.message)
            return [execute]
        first = not self._waiting
        fresh: list[Any] = [send.message]
        self._waiting[send.peer] = fresh
        if not first:
            return [execute]
        self._since = now
        return [SetTimer(TIMER, now + REMINDER_MS), execute]

    def _put_beside(self, peer: PeerName, trigger: Trigger) -> Effects:
        """Let an input wait, with those for the same task; what waits for anything else leaves."""
        effects: Effects = []
        if self._waiting or (self._inputs and not _goes_with(self._inputs[0], trigger)):
            effects = self.release()
        self._inputs.append(trigger)
        self._inputs_for = peer
        return effects

    def release(self) -> Effects:
        """Let all go that waits."""
        waiting, self._waiting, self._count = self._waiting, {}, 0
        sends: Effects = [
            Send(peer, Results(results)) if len(results) > 1 else Send(peer, results[0])
            for peer, results in waiting.items()
        ]
        if self._inputs:
            inputs, self._inputs = self._inputs, []
            sends.append(Send(self._inputs_for, _in_one(inputs)))
        return sends

    def latest(self, peer: PeerName) -> Result | None:
        """The last of the results that wait for a client, if any do."""
        results = self._waiting.get(peer)
        return results[-1] if results else None

    def on_timer(self, now: Millis) -> Effects:
        """A call takes longer than was to be expected."""
        return self.release()

    def lose(self, peer: PeerName) -> None:
        """A client is gone."""
        self._count -= len(self._waiting.pop(peer, ()))

    def validate(self) -> None:
        """Assert what must hold between events."""
        assert self._count == sum(map(len, self._waiting.values())), self._waiting
        waits = self._waiting or self._inputs
        assert self._runner.running or not waits, "outcomes wait, and nothing runs"


def _is_small(value: Value | None) -> bool:
    return value is None or value.nbytes <= OUTCOME_BYTES_MAX


def _waits_for(behind: Task, trigger: Trigger) -> bool:
    """Whether the task that is triggered can do nothing with this input before ``behind`` has run."""
    header = trigger.header
    return (
        behind.id[:3] == (header.client, header.number, header.attempt)
        and behind.known is not None
        and behind.targets == (trigger.target,)
        and behind.known.plan.nodes[trigger.target].invalid is None
        and _is_plain(trigger)
    )


def _is_plain(trigger: Trigger) -> bool:
    """Whether it is a small value, and no failure."""
    return trigger.failure is None and _is_small(trigger.value)


def _goes_with(first: Trigger, trigger: Trigger) -> bool:
    """Whether an input is for the same task as those that wait, and may go with them."""
    if trigger.target != first.target or not _is_plain(trigger):
        return False
    one, other = first.header, trigger.header
    return other is one or (
        (one.client, one.number, one.attempt) == (other.client, other.number, other.attempt)
    )


def _in_one(inputs: list[Trigger]) -> Trigger | Triggers:
    first = inputs[0]
    if len(inputs) == 1:
        return first
    together = [Input(each.source, each.value, each.steps) for each in inputs]
    return Triggers(_header_of(inputs), first.target, together)


def _header_of(inputs: list[Trigger]) -> Header:
    """A header for them all: who gets it has seen what each of them has."""
    header = inputs[0].header
    for other in (each.header for each in inputs[1:]):
        if other is not header:
            clock, floor = max(header.clock, other.clock), joined(header.floor, other.floor)
            session = _both(header.session, other.session)
            header = msgspec.structs.replace(header, clock=clock, floor=floor, session=session)
    return header


def _both(one: Session | None, other: Session | None) -> Session | None:
    """What two sessions know."""
    if one is None or other is None or one is other:
        return one or other
    both = sessions.begun(one)
    sessions.join(both, other)
    return both
