"""What is done about calls that get no answer: probes, news of where their tasks are, and further attempts.

Law: a lost message delays a call and nothing more, for a probe finds out what was lost; a lost executor
costs a retry, or the call. A message about an earlier attempt, or about a call that is not owned any more,
changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.client.calls import Dispatched, Observed, OwnedCall
from cloudburst_runtime.client.dispatch import Dispatcher, again, aim, starts
from cloudburst_runtime.client.leases import Leases
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import (
    Astray,
    Call,
    Cancel,
    ExecutorLost,
    Failure,
    Gone,
    Header,
    Kept,
    Moved,
    Probe,
    Running,
    Trigger,
    UnderWay,
    Unknown,
)
from cloudburst_runtime.unanswered import BACKOFF_MAX

Effects = list[Any]

PROBES_PER_TICK_MAX = 100
LOST_WAIT_MS = 500.0
"""How long the loss of a connection waits for the scheduler's word on what happened."""

TOLD_MAX = 1_000
"""Executors that are gone of which the scheduler's word is kept."""

RESTARTS_MAX = 50
"""How often a call begins again because what it has read does not go together."""

LOST_TIMER = "lost:"
"""And the name of the executor."""


class Recovery:
    """Looks after the calls of one client.

    Parameters
    ----------
    name
        The client's name.
    resend_ms
        How long a call may stay unanswered until it is probed.
    calls
        The client's calls, by number.
    leases, dispatcher
        Where a lost executor is to be forgotten.
    place, resolve
        Run a call, and end it with a failure.
    """

    def __init__(
        self,
        name: PeerName,
        resend_ms: Millis,
        calls: dict[int, OwnedCall],
        leases: Leases,
        dispatcher: Dispatcher,
        place: Callable[[OwnedCall, Millis], Effects],
        resolve: Callable[[OwnedCall, Failure, Millis], Effects],
    ) -> None:
        self._name = name
        self._resend_ms = resend_ms
        self._calls = calls
        self._leases = leases
        self._dispatcher = dispatcher
        self._place = place
        self._resolve = resolve
        self._told: dict[PeerName, ExecutorLost] = {}

    # ------------------------------------------------------------ lost executors

    def on_disconnected(self, executor: PeerName, now: Millis) -> Effects:
        """A connection ended: for a while the scheduler may say why."""
        return [SetTimer(LOST_TIMER + executor, now + LOST_WAIT_MS)]

    def on_lost_timer(self, key: str, now: Millis) -> Effects:
        """The scheduler has had time to speak; a task may have been on its way to one that had left."""
        name = key.removeprefix(LOST_TIMER)
        told = self._told.get(name)
        if told is not None:
            return self._lost(name, told.reason, told.retired, now)
        return self._lost(name, "its connection ended", False, now)

    def on_executor_lost(self, message: ExecutorLost, now: Millis) -> Effects:
        """The scheduler says that an executor is gone."""
        self._told[message.name] = message
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        return self._lost(message.name, message.reason, message.retired, now)

    def _lost(self, name: PeerName, reason: str, retired: bool, now: Millis) -> Effects:
        self._dispatcher.load.pop(name, None)
        self._leases.lose_executor(name)
        effects: Effects = []
        for call in list(self._calls.values()):
            if call.number in self._calls and call.header is not None and name in call.header.schedule:
                effects += self._try_again(call, f"executor {name} was lost ({reason})", retired, now)
        return effects

    def _try_again(self, call: OwnedCall, why: str, free: bool, now: Millis) -> Effects:
        """Run the call as another attempt, or give up. ``free``: this one does not count as a retry."""
        assert call.retries is not None
        if not free:
            if call.retries <= 0:
                spent = f" after {call.attempt} of {call.attempt} retries" if call.attempt else ""
                message = f"{why} while it had the call of {call.target!r}{spent}; the call may have run"
                return self._resolve(call, Failure("ExecutorLost", message), now)
            call.retries -= 1
        effects = self._dispatcher.give_up(call)
        call.attempt += 1
        call.moved = {}
        return effects + self._place(call, now)

    # ------------------------------------------------------------ news of tasks

    def _under_way(self, message: Moved | Gone | Unknown) -> tuple[OwnedCall, Header] | None:
        """The call that a message is about and its header, if it is about the present attempt."""
        call = self._calls.get(message.number)
        if call is None or call.header is None or message.attempt != call.attempt:
            return None
        return call, call.header

    def on_moved(self, message: Moved, now: Millis) -> Effects:
        """A task was handed over: it is asked for there from now on."""
        found = self._under_way(message)
        if found is None:
            return self._unwanted(message)
        call, _ = found
        if message.hops <= call.moved.get(message.node, 0):
            return []
        call.moved[message.node] = message.hops
        call.probe_at = max(call.probe_at, now + self._resend_ms)  # the task may still be on its way
        return [Dispatched(call.number, self._dispatcher.move(call, message.node, message.executor))]

    def on_gone(self, message: Gone, now: Millis) -> Effects:
        """A task has ended, and what it gave is lost."""
        found = self._under_way(message)
        if found is None:
            return []
        return self._try_again(found[0], "the result did not arrive and is no longer kept", False, now)

    def on_unknown(self, message: Unknown, now: Millis) -> Effects:
        """The `Call` was lost on its way: send it again. If it was what brings inputs, start again."""
        found = self._under_way(message)
        if found is None:
            return []
        call, header = found
        assert call.held is not None
        sends = [send for send in starts(call, header, call.held) if aim(send) == message.node]
        if message.node in call.moved or not sends:
            return self._try_again(call, "a task was lost between two executors", False, now)
        return sends

    def on_running(self, message: Running, now: Millis) -> Effects:
        """A task runs, or waits for long."""
        call = self._calls.get(message.number)
        if call is None or message.attempt != call.attempt:
            return self._unwanted(message)
        return [] if message.waits else [Observed(call.number, message)]

    def on_kept(self, message: Kept, now: Millis) -> Effects:
        """An executor keeps something for a call; if it is over, the word of that was lost."""
        call = self._calls.get(message.number)
        if call is None or message.attempt != call.attempt:
            return self._unwanted(message)
        return [Send(message.executor, UnderWay(self._name, message.number, message.attempt))]

    def on_astray(self, message: Astray, now: Millis) -> Effects:
        """An attempt cannot see what its level promises: begin another one."""
        call = self._calls.get(message.number)
        if call is None or message.attempt != call.attempt or call.header is None:
            return self._unwanted(message)
        call.restarts += 1
        call.due = sessions.latest(call.due, message.due)
        if call.restarts <= RESTARTS_MAX and (message.free or call.retries):
            return self._try_again(call, message.why, message.free, now)
        text = f"the call of {call.target!r} cannot be made at {call.level!r}: {message.why}"
        kind = "ExecutorLost" if message.lost else "ConsistencyError"
        return self._resolve(call, Failure(kind, text), now)

    def _unwanted(self, message: Moved | Running | Kept | Astray) -> Effects:
        """Somebody works on what was cancelled: the `Cancel` was lost, or is on its way."""
        return [Send(message.executor, Cancel(self._name, message.number, message.attempt))]

    # ------------------------------------------------------------ probes

    def probes(self, now: Millis) -> Effects:
        """Ask after the calls that have not been answered for long."""
        effects: Effects = []
        probed = 0
        for call in self._calls.values():
            if call.header is None or call.probe_at > now:
                continue
            call.probe_after = min(call.probe_after * 2, BACKOFF_MAX * self._resend_ms)
            call.probe_at = now + call.probe_after
            effects += _probes_of(call, call.header)
            probed += 1
            if probed >= PROBES_PER_TICK_MAX:
                break
        return effects


def _probes_of(call: OwnedCall, header: Header) -> Effects:
    """To the tasks that got a `Call` and to those that moved; their executors ask after what these feed.

    The pinned inputs are simply sent again: whoever has them takes no notice.
    """
    assert call.held is not None
    if call.pinned:
        sends = starts(call, header, call.held)
        pinned = [again(send) for send in sends if type(send.message) is Trigger]
        nodes = dict.fromkeys([*(aim(send) for send in sends if type(send.message) is Call), *call.moved])
    else:
        pinned = []
        nodes = dict.fromkeys([*call.held.topology.sources, *header.fixed, *call.moved])
    probes = [Send(header.schedule[node], Probe(header, node, call.moved.get(node, 0))) for node in nodes]
    return [*pinned, *probes]
