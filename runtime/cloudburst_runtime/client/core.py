"""Everything that changes the state of a client's calls starts here: from submission to outcome.

::

    Submit ──► (results of other calls) ──► lease held? ──no──► Place … Placed
                                               │yes                       │
                                               └──────► dispatched ◄──────┘
    dispatched ──Result──► Resolve          dispatched ──ExecutorLost──► next attempt, or Resolve(failure)

The client owns its calls. It picks the executors of each from a lease, sends the arguments straight to
them, and gets the result straight back; the scheduler is asked once per function and again after a
revocation. When an executor is lost, its calls run again as another *attempt*, as often as the function's
``retries`` allow; results of earlier attempts are ignored. A call unanswered for a while is probed, so that
a lost message delays it and nothing more.

This file routes events and ends calls; `leases` are what calls are placed with, `dispatch` sends them,
`recovery` looks after those that are not answered, and `requests` are all else that is asked of the node
and the store. Each submitted call gets exactly one `Resolve`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from cloudburst_runtime.client.calls import (
    Answered,
    Ask,
    CancelCall,
    Forget,
    Held,
    LeaseKey,
    Observed,
    OwnedCall,
    Resolve,
    SendNow,
    Store,
    Submit,
    SubmitAll,
)
from cloudburst_runtime.client.dispatch import TIMER, Dispatcher, cancels
from cloudburst_runtime.client.leases import Leases
from cloudburst_runtime.client.recovery import LOST_TIMER, Recovery
from cloudburst_runtime.client.requests import Requests
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, SetTimer, Timer
from cloudburst_runtime.ids import NODE, CallId, HybridClock, Millis, PeerName, is_store
from cloudburst_runtime.messages import (
    Astray,
    ExecutorLost,
    Failed,
    Failure,
    Gone,
    Inline,
    Kept,
    Moved,
    Placed,
    Produced,
    Result,
    Results,
    Revoke,
    Running,
    Unknown,
)
from cloudburst_runtime.vectors import Vector, joined

Effects = list[Any]


class ClientCore:
    """Owns calls, leases and requests.

    Parameters
    ----------
    config
        The runtime's configuration.
    name
        This client's peer name, such as ``"c1f9a0"``.
    clock
        Stamps this client's writes.
    uniform
        Uniform random numbers from 0 to 1, for the policies.
    """

    def __init__(
        self, config: Config, name: PeerName, clock: HybridClock, uniform: Callable[[], float]
    ) -> None:
        self.config = config
        self.clock = clock
        self.floor: Vector = {}
        self.calls: dict[int, OwnedCall] = {}
        self.blocked: dict[int, list[OwnedCall]] = {}
        self.unavailable: Failure | None = None
        self.requests = Requests(config, name, clock)
        self.leases = Leases()
        self.dispatcher = Dispatcher(config, name, clock, uniform)
        self.recovery = Recovery(
            name, config.resend_ms, self.calls, self.leases, self.dispatcher, self._place, self._resolve
        )
        self._deadlines: list[tuple[Millis, int]] = []
        self._tick_armed = False
        self._handlers: dict[type, Callable[[Any, Millis], Effects]] = {
            Result: self._on_result,
            Results: self._on_results,
            Placed: self._on_placed,
            Revoke: self._on_revoke,
            ExecutorLost: self.recovery.on_executor_lost,
            Moved: self.recovery.on_moved,
            Gone: self.recovery.on_gone,
            Unknown: self.recovery.on_unknown,
            Running: self.recovery.on_running,
            Kept: self.recovery.on_kept,
            Astray: self.recovery.on_astray,
            Produced: self._on_produced,
        }

    # ------------------------------------------------------------ the core's face

    @property
    def load(self) -> dict[PeerName, int]:
        """How many tasks of unfinished calls each executor has."""
        return self.dispatcher.load

    def next_req(self) -> int:
        """A fresh number for a request or a store operation."""
        return self.requests.next_req()

    def start(self, now: Millis) -> Effects:
        """A client begins with nothing to do."""
        return []

    def handle(self, event: Any, now: Millis) -> Effects:
        """Take one event, return the effects in order."""
        kind = type(event)
        if kind is Received:
            handler = self._handlers.get(type(event.message))
            return self._on_reply(event, now) if handler is None else handler(event.message, now)
        if kind is Submit:
            return self._on_submit(event.call, now)
        if kind is SubmitAll:
            return self._on_submit_all(event.calls, now)
        if kind is Store:
            return self._on_store(event, now)
        if kind is Ask:
            return self._ask(event.message, now)
        if kind is Timer:
            return self._on_timer(event, now)
        if kind is SendNow:
            return self.dispatcher.waiting.take()
        if kind is CancelCall:
            return self._on_cancel(event.number, now)
        if kind is Forget:
            return self.requests.forget(event.req, now)
        if kind is PeerLost:
            return self._on_peer_lost(event, now)
        raise TypeError(f"the client core knows no event {event!r}")

    def validate(self) -> None:
        """Assert what must hold between events."""
        self.leases.validate()
        for number, call in self.calls.items():
            assert call.number == number
        assert all(count >= 0 for count in self.load.values()), self.load

    # ------------------------------------------------------------ submission

    def _on_submit(self, call: OwnedCall, now: Millis) -> Effects:
        if self.unavailable is not None:
            return [Resolve(call.number, _failed(call, self.unavailable))]
        call.submitted = now
        self.calls[call.number] = call
        effects: Effects = []
        if call.timeout is not None:
            effects += self._set_deadline(call)
        if call.depends:
            call.depends = {number: slots for number, slots in call.depends.items() if number in self.calls}
        if call.depends:
            for number in call.depends:
                self.blocked.setdefault(number, []).append(call)
            return effects
        return effects + self._place(call, now)

    def _on_submit_all(self, calls: list[OwnedCall], now: Millis) -> Effects:
        """Calls that have so much in common are sent together, once there is a lease."""
        held = self.leases.held.get(calls[0].lease_key)
        if self.unavailable is not None or held is None or held.lease.plan.timeout is not None:
            return [effect for call in calls for effect in self._on_submit(call, now)]
        retries, owned = held.lease.plan.retries, self.calls
        for call in calls:
            call.submitted = now
            call.retries = retries
            owned[call.number] = call
        effects = self.dispatcher.send_all(calls, held, self.floor, now)
        if not self._tick_armed:
            effects.append(self._arm_tick(now))
        return effects

    def _place(self, call: OwnedCall, now: Millis) -> Effects:
        key = (call.kind, call.target, call.continuation, call.refs)
        held = self.leases.held.get(key)
        if held is not None:
            return self._dispatch(call, held, now)
        return self._ask_placement(key, now) if self.leases.wait(key, call) else []

    def _ask_placement(self, key: LeaseKey, now: Millis) -> Effects:
        return self._ask(self.leases.place(key, self.next_req()), now)

    def _dispatch(self, call: OwnedCall, held: Held, now: Millis) -> Effects:
        effects: Effects = []
        if call.attempt == 0:
            plan = held.lease.plan
            if call.retries is None:
                call.retries = plan.retries
            if call.timeout is None and plan.timeout is not None:
                call.timeout = plan.timeout
                effects += self._set_deadline(call)
        try:
            floor = self.floor if call.session is None else joined(self.floor, call.session.floor)
            effects += self.dispatcher.send(call, held, floor, now)
        except LookupError as error:
            return effects + self._resolve(call, Failure("InvalidDag", str(error.args[0])), now)
        if not self._tick_armed:
            effects.append(self._arm_tick(now))
        return effects

    # ------------------------------------------------------------ leases

    def _on_placed(self, message: Placed, now: Millis) -> Effects:
        self.requests.take(message.req)
        key = self.leases.place_reqs.pop(message.req, None)
        if key is None:
            return []
        held = self.leases.accept(key, message.lease)
        if held is None:
            return self._ask_placement(key, now)
        effects: Effects = []
        for call in self.leases.placing.pop(key, []):
            if call.number in self.calls:
                effects += self._dispatch(call, held, now)
        return effects

    def _on_refused(self, key: LeaseKey, message: Failed, now: Millis) -> Effects:
        self.requests.take(message.req)
        effects: Effects = []
        for call in self.leases.placing.pop(key, []):
            if call.number in self.calls:
                effects += self._resolve(call, message.failure, now)
        return effects

    def _on_revoke(self, message: Revoke, now: Millis) -> Effects:
        return self.leases.revoke(message, self._uses)

    def _uses(self, executor: PeerName) -> bool:
        """Whether an unfinished call has this executor in its schedule."""
        return any(
            call.header is not None and executor in call.header.schedule for call in self.calls.values()
        )

    # ------------------------------------------------------------ outcomes

    def _on_result(self, message: Result, now: Millis) -> Effects:
        if message.clock > self.clock.last:
            self.clock.last = message.clock
        if message.floor != self.floor:
            self.floor = joined(self.floor, message.floor)
        sights = self.requests.sights
        if message.floor != sights.told:
            sights.told = joined(sights.told, message.floor)
        call = self.calls.get(message.number)
        if call is None or message.attempt != call.attempt or call.header is None:
            return []
        header, held = call.header, call.held
        assert held is not None
        self.dispatcher.release(header)
        del self.calls[call.number]
        if call.session is not None:
            call.session.came_back(message, str(CallId(header.client, header.number)))
        if message.published is not None:
            message.attempt = message.published
        effects: Effects = [Resolve(call.number, message)]
        if not held.simple and (message.failure is not None or held.multiexec):
            effects += cancels(header)
        return self._after(effects, message, now)

    def _on_results(self, message: Results, now: Millis) -> Effects:
        return [effect for result in message.results for effect in self._on_result(result, now)]

    def _on_produced(self, message: Produced, now: Millis) -> Effects:
        """A task of a watched call is done; that is news even if the call is, too."""
        return [Observed(message.number, message)]

    def _after(self, effects: Effects, result: Result, now: Millis) -> Effects:
        """A call has ended: see to those that waited for that."""
        if self.blocked:
            effects += self._unblock(result, now)
        if self.leases.drains:
            effects += self.leases.drained(self._uses)
        return effects

    def _unblock(self, result: Result, now: Millis) -> Effects:
        """Give a result to the calls that have it as an argument; a failure becomes theirs."""
        effects: Effects = []
        for call in self.blocked.pop(result.number, []):
            if call.number not in self.calls:
                continue
            slots = call.depends.pop(result.number)
            if result.failure is not None:
                effects += self._resolve(call, result.failure, now)
                continue
            assert result.value is not None
            for args, slot in slots:
                args.inline.append(Inline(slot, result.value))
            if not call.depends:
                effects += self._place(call, now)
        return effects

    def _resolve(self, call: OwnedCall, failure: Failure, now: Millis) -> Effects:
        """End a call with a failure that was found out here."""
        self.calls.pop(call.number, None)
        result = _failed(call, failure)
        effects = [*self.dispatcher.give_up(call), Resolve(call.number, result)]
        return self._after(effects, result, now)

    def _on_cancel(self, number: int, now: Millis) -> Effects:
        call = self.calls.get(number)
        if call is None:
            return []
        self.leases.leave(call)
        failure = Failure("CallCancelled", f"the call of {call.target!r} was cancelled")
        return self._resolve(call, failure, now)

    def _on_peer_lost(self, event: PeerLost, now: Millis) -> Effects:
        if is_store(event.peer):
            return self.requests.handle(event, now)
        if event.peer != NODE:
            return self.recovery.on_disconnected(event.peer, now)
        text = f"the runtime is gone ({event.reason}): start a new one with cb.up()"
        if event.runs:
            text = (
                "the runtime runs, but has ended the connection to this client, as it does after a message "
                "that it cannot read: cb.connect(client.address) makes a new one"
            )
        self.unavailable = Failure("RuntimeUnavailable", text)
        effects: Effects = []
        for call in list(self.calls.values()):
            if call.number in self.calls:
                effects += self._resolve(call, self.unavailable, now)
        self.leases.lose_node()
        return effects + self.requests.answer_all(self.unavailable, now)

    # ------------------------------------------------------------ requests and the store

    def _ask(self, message: Any, now: Millis) -> Effects:
        if self.unavailable is not None:
            return [Answered(message.req, self.unavailable)]
        effects: Effects = [self.requests.ask(message, now)]
        if not self._tick_armed:
            effects.append(self._arm_tick(now))
        return effects

    def _on_store(self, event: Store, now: Millis) -> Effects:
        if self.unavailable is not None:
            return [Answered(event.op, self.unavailable)]
        return self.requests.on_store(event, self.floor, now)

    def _on_reply(self, event: Received, now: Millis) -> Effects:
        message = event.message
        if isinstance(message, Failed):
            key = self.leases.place_reqs.pop(message.req, None)
            if key is not None:
                return self._on_refused(key, message, now)
        effects = self.requests.handle(event, now)
        self.floor = joined(self.floor, self.requests.store.floor)
        if self.requests.unanswered.open and not self._tick_armed:
            effects.append(self._arm_tick(now))
        return effects

    # ------------------------------------------------------------ time

    def _arm_tick(self, now: Millis) -> SetTimer:
        self._tick_armed = True
        return SetTimer("tick", now + self.config.resend_ms)

    def _set_deadline(self, call: OwnedCall) -> Effects:
        assert call.timeout is not None
        call.deadline = call.submitted + call.timeout * 1000
        heapq.heappush(self._deadlines, (call.deadline, call.number))
        return [SetTimer("deadline", self._deadlines[0][0])]

    def _on_timer(self, event: Timer, now: Millis) -> Effects:
        if event.key == "tick":
            return self._on_tick(now)
        if event.key == TIMER:
            return self.dispatcher.waiting.take()
        if event.key == "deadline":
            return self._on_deadline(now)
        if event.key.startswith(LOST_TIMER):
            return self.recovery.on_lost_timer(event.key, now)
        return self.requests.handle(event, now)

    def _on_deadline(self, now: Millis) -> Effects:
        effects: Effects = []
        while self._deadlines and self._deadlines[0][0] <= now:
            due, number = heapq.heappop(self._deadlines)
            call = self.calls.get(number)
            if call is not None and call.deadline == due:
                self.leases.leave(call)
                message = f"the call of {call.target!r} took longer than its timeout of {call.timeout:g} s"
                effects += self._resolve(call, Failure("CallTimeout", message), now)
        if self._deadlines:
            effects.append(SetTimer("deadline", self._deadlines[0][0]))
        return effects

    def _on_tick(self, now: Millis) -> Effects:
        """Repeat unanswered requests and probe unanswered calls; sleep when there are none."""
        self._tick_armed = False
        effects = [*self.requests.overdue(now), *self.recovery.probes(now)]
        if self.requests.unanswered.open or self.calls:
            effects.append(self._arm_tick(now))
        return effects


def _failed(call: OwnedCall, failure: Failure) -> Result:
    return Result(call.number, call.attempt, None, [], failure)
