"""Everything that changes the state of a client's calls lives here: leases, owned calls, retries.

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

Each submitted call gets exactly one `Resolve`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import msgspec

from cloudburst_runtime.anna.cache import Answer, CacheCore
from cloudburst_runtime.client.calls import (
    Answered,
    Ask,
    CancelCall,
    Dispatched,
    Forget,
    LeaseKey,
    Observed,
    OwnedCall,
    Resolve,
    Store,
    Submit,
)
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.ids import NODE, HybridClock, Millis, PeerName
from cloudburst_runtime.messages import (
    Args,
    Call,
    Cancel,
    ExecutorLost,
    Failed,
    Failure,
    Gone,
    Header,
    Inline,
    Lease,
    Message,
    Moved,
    Place,
    Placed,
    Probe,
    Result,
    Revoke,
    Revoked,
    Running,
    Unknown,
)
from cloudburst_runtime.scheduler.dag import Topology
from cloudburst_runtime.scheduler.policy import assign
from cloudburst_runtime.values import encode

Effects = list[Any]

PROBES_PER_TICK_MAX = 100
LOST_WAIT_MS = 500.0
"""How long the loss of a connection waits for the scheduler's word on what happened."""

NO_ARGS = encode(((), {}))


class _Held(msgspec.Struct):
    """A lease in use, with what is looked up in its plan on every call."""

    lease: Lease
    topology: Topology
    simple: bool
    """One node: the common call."""
    names: dict[str, int]
    """Nodes by function name; the first, if a continuation has it again."""


def _hold(lease: Lease) -> _Held:
    nodes = lease.plan.nodes
    names = {node.function: index for index, node in reversed(list(enumerate(nodes)))}
    return _Held(lease, Topology.of(lease.plan), len(nodes) == 1, names)


class _Request(msgspec.Struct):
    """A request to the node that is not answered yet."""

    message: Any
    send_at: Millis
    after: Millis


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
        self.name = name
        self.clock = clock
        self.uniform = uniform
        self.store = CacheCore(config, name, clock, caching=False, next_req=self.next_req)
        self.calls: dict[int, OwnedCall] = {}
        self.blocked: dict[int, list[OwnedCall]] = {}
        self.leases: dict[LeaseKey, _Held] = {}
        self.placing: dict[LeaseKey, list[OwnedCall]] = {}
        self.load: dict[PeerName, int] = {}
        self.turn = 0
        self.floor = 0
        self.revoked_until: dict[int, int] = {}
        self._req = 0
        self._requests: dict[int, _Request] = {}
        self._place_reqs: dict[int, LeaseKey] = {}
        self._deadlines: list[tuple[Millis, int]] = []
        self._drains: dict[int, list[PeerName]] = {}
        self._tick_armed = False
        self.unavailable: Failure | None = None
        self._handlers: dict[type, Callable[[Any, PeerName, Millis], Effects]] = {
            Result: self._on_result,
            Placed: self._on_placed,
            Failed: self._on_failed,
            Revoke: self._on_revoke,
            ExecutorLost: self._on_executor_lost,
            Moved: self._on_moved,
            Gone: self._on_gone,
            Unknown: self._on_unknown,
            Running: self._on_running,
        }

    def next_req(self) -> int:
        """A fresh number for a request or a store operation."""
        self._req += 1
        return self._req

    # ------------------------------------------------------------ the core's face

    def start(self, now: Millis) -> Effects:
        return []

    def handle(self, event: Any, now: Millis) -> Effects:
        """Take one event, return the effects in order."""
        kind = type(event)
        if kind is Received:
            handler = self._handlers.get(type(event.message))
            if handler is not None:
                return handler(event.message, event.peer, now)
            return self._on_reply(event, now)
        if kind is Submit:
            return self._on_submit(event.call, now)
        if kind is Store:
            return self._on_store(event, now)
        if kind is Ask:
            return self._on_ask(event.message, now)
        if kind is Timer:
            return self._on_timer(event, now)
        if kind is CancelCall:
            return self._on_cancel(event.number, now)
        if kind is Forget:
            self._requests.pop(event.req, None)
            return self._from_store(self.store.cancel(event.req), now)
        if kind is PeerLost:
            return self._on_peer_lost(event, now)
        raise TypeError(f"the client core knows no event {event!r}")

    def validate(self) -> None:
        """Assert what must hold between events."""
        for key, waiting in self.placing.items():
            assert waiting, key
            assert key in self._place_reqs.values(), key
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
            effects += self._set_deadline(call, now)
        call.depends = {number: slots for number, slots in call.depends.items() if number in self.calls}
        if call.depends:
            for number in call.depends:
                self.blocked.setdefault(number, []).append(call)
            return effects
        return effects + self._place(call, now)

    def _place(self, call: OwnedCall, now: Millis) -> Effects:
        key = (call.kind, call.target, call.continuation, call.refs)
        held = self.leases.get(key)
        if held is not None:
            return self._dispatch(call, held, now)
        waiting = self.placing.get(key)
        if waiting is not None:
            waiting.append(call)
            return []
        self.placing[key] = [call]
        return self._ask_placement(key, now)

    def _ask_placement(self, key: LeaseKey, now: Millis) -> Effects:
        kind, target, continuation, refs = key
        req = self.next_req()
        self._place_reqs[req] = key
        return self._on_ask(Place(req, target, kind, continuation, list(refs)), now)

    def _dispatch(self, call: OwnedCall, held: _Held, now: Millis) -> Effects:
        lease = held.lease
        call.lease = lease
        self.turn += 1
        schedule = assign(lease, held.topology, self.load, self.uniform, self.turn)
        header = Header(
            self.name,
            call.number,
            call.attempt,
            lease.plan.number,
            schedule,
            [],
            self.clock.last,
            self.floor,
            call.output_key,
        )
        call.header = header
        effects: Effects = []
        if call.attempt == 0:
            if call.retries is None:
                call.retries = lease.plan.retries
            if call.timeout is None and lease.plan.timeout is not None:
                call.timeout = lease.plan.timeout
                effects += self._set_deadline(call, call.submitted)
        try:
            sends = self._starts(call, held)
        except LookupError as error:
            call.header = None
            return effects + self._resolve(call, Failure("InvalidDag", str(error.args[0])), now)
        for peer in schedule:
            self.load[peer] = self.load.get(peer, 0) + 1
        if not held.simple:
            effects.append(Dispatched(call.number, schedule))
        effects += sends
        call.probe_after = self.config.resend_ms
        call.probe_at = now + call.probe_after
        if not self._tick_armed:
            effects.append(self._arm_tick(now))
        return effects

    def _starts(self, call: OwnedCall, held: _Held) -> Effects:
        """A `Call` to each source and to each other node that has fixed arguments."""
        header = call.header
        assert header is not None
        if held.simple and len(call.args) == 1 and None in call.args:
            return [Send(header.schedule[0], Call(header, 0, call.args[None]))]
        by_node = self._args_by_node(call, held)
        sources = held.topology.sources
        header.fixed = [node for node in by_node if node not in sources]
        return [
            Send(header.schedule[node], Call(header, node, by_node.get(node) or Args(NO_ARGS)))
            for node in [*sources, *header.fixed]
        ]

    def _args_by_node(self, call: OwnedCall, held: _Held) -> dict[int, Args]:
        plan, sources, names = held.lease.plan, held.topology.sources, held.names
        by_node: dict[int, Args] = {}
        for name, args in call.args.items():
            if name is None:
                if len(sources) > 1:
                    shown = ", ".join(plan.nodes[source].function for source in sources)
                    raise LookupError(
                        f"{call.target!r} has several sources ({shown}): "
                        "say which arguments are whose, as in dag(source_name=[…])"
                    )
                by_node[sources[0]] = args
            elif name in names:
                by_node[names[name]] = args
            else:
                raise LookupError(
                    f"{call.target!r} has no function {name!r} to give arguments to; it has "
                    + ", ".join(names)
                )
        return by_node

    # ------------------------------------------------------------ outcomes

    def _on_result(self, message: Result, peer: PeerName, now: Millis) -> Effects:
        if message.clock > self.clock.last:
            self.clock.last = message.clock
        if message.floor > self.floor:
            self.floor = message.floor
        call = self.calls.get(message.number)
        if call is None or message.attempt != call.attempt or call.header is None:
            return []
        header, lease = call.header, call.lease
        assert lease is not None
        self._release(call)
        del self.calls[call.number]
        effects: Effects = [Resolve(call.number, message)]
        if len(header.schedule) > 1 and (message.failure is not None or _has_multiexec(lease)):
            effects += self._cancels(header)
        if self.blocked:
            effects += self._unblock(call.number, message, now)
        if self._drains:
            effects += self._drained()
        return effects

    def _unblock(self, number: int, result: Result, now: Millis) -> Effects:
        """Give a result to the calls that have it as an argument; a failure becomes theirs."""
        effects: Effects = []
        for call in self.blocked.pop(number, []):
            if call.number not in self.calls:
                continue
            slots = call.depends.pop(number)
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
        effects: Effects = []
        if call.header is not None:
            self._release(call)
            effects += self._cancels(call.header)
        result = _failed(call, failure)
        effects.append(Resolve(call.number, result))
        if self.blocked:
            effects += self._unblock(call.number, result, now)
        if self._drains:
            effects += self._drained()
        return effects

    def _release(self, call: OwnedCall) -> None:
        if call.header is not None:
            for peer in call.header.schedule:
                self.load[peer] = max(0, self.load.get(peer, 0) - 1)

    def _cancels(self, header: Header) -> Effects:
        cancel = Cancel(header.client, header.number, header.attempt)
        return [Send(peer, cancel) for peer in dict.fromkeys(header.schedule)]

    def _on_cancel(self, number: int, now: Millis) -> Effects:
        call = self.calls.get(number)
        if call is None:
            return []
        self._leave_queue(call)
        return self._resolve(
            call, Failure("CallCancelled", f"the call of {call.target!r} was cancelled"), now
        )

    def _leave_queue(self, call: OwnedCall) -> None:
        """Take a call that is not dispatched out of whatever it waits in."""
        waiting = self.placing.get(call.lease_key)
        if waiting is not None and call in waiting and len(waiting) > 1:
            waiting.remove(call)

    # ------------------------------------------------------------ leases

    def _on_placed(self, message: Placed, peer: PeerName, now: Millis) -> Effects:
        self._requests.pop(message.req, None)
        key = self._place_reqs.pop(message.req, None)
        if key is None:
            return []
        lease = message.lease
        if lease.serial <= self.revoked_until.get(lease.plan.number, -1):
            return self._ask_placement(key, now)  # a revocation overtook this answer
        held = _hold(lease)
        self.leases[key] = held
        effects: Effects = []
        for call in self.placing.pop(key, []):
            if call.number in self.calls:
                effects += self._dispatch(call, held, now)
        return effects

    def _on_failed(self, message: Failed, peer: PeerName, now: Millis) -> Effects:
        key = self._place_reqs.pop(message.req, None)
        if key is None:
            return self._on_reply(Received(peer, message), now)
        self._requests.pop(message.req, None)
        effects: Effects = []
        for call in self.placing.pop(key, []):
            if call.number in self.calls:
                effects += self._resolve(call, message.failure, now)
        return effects

    def _on_revoke(self, message: Revoke, peer: PeerName, now: Millis) -> Effects:
        for plan in message.plans:
            self.revoked_until[plan] = max(message.through, self.revoked_until.get(plan, 0))
        self.leases = {
            key: held
            for key, held in self.leases.items()
            if held.lease.serial > self.revoked_until.get(held.lease.plan.number, -1)
        }
        if any(self._uses(name) for name in message.leaving):
            self._drains[message.req] = message.leaving
            return []
        self._drains.pop(message.req, None)
        return [Send(NODE, Revoked(message.req))]

    def _uses(self, executor: PeerName) -> bool:
        """Whether an unfinished call has this executor in its schedule."""
        return any(
            call.header is not None and executor in call.header.schedule for call in self.calls.values()
        )

    def _drained(self) -> Effects:
        """Acknowledge the revocations that waited for calls which are done now."""
        done = [req for req, leaving in self._drains.items() if not any(map(self._uses, leaving))]
        for req in done:
            del self._drains[req]
        return [Send(NODE, Revoked(req)) for req in done]

    # ------------------------------------------------------------ loss and retry

    def _on_peer_lost(self, event: PeerLost, now: Millis) -> Effects:
        if event.peer != NODE:
            return [SetTimer(f"lost:{event.peer}", now + LOST_WAIT_MS)]
        self.unavailable = Failure(
            "RuntimeUnavailable", f"the runtime is gone ({event.reason}): start a new one with cb.up()"
        )
        effects: Effects = []
        for call in list(self.calls.values()):
            if call.number in self.calls:
                effects += self._resolve(call, self.unavailable, now)
        self.placing.clear()
        self._place_reqs.clear()
        effects += [Answered(req, self.unavailable) for req in self._requests]
        self._requests.clear()
        return effects + self._from_store(self.store.handle(event, now), now)

    def _on_executor_lost(self, message: ExecutorLost, peer: PeerName, now: Millis) -> Effects:
        return self._executor_lost(message.name, message.reason, message.retired, now)

    def _executor_lost(self, name: PeerName, reason: str, retired: bool, now: Millis) -> Effects:
        self.load.pop(name, None)
        self.leases = {
            key: held
            for key, held in self.leases.items()
            if not any(name in places for places in held.lease.placement)
        }
        effects: Effects = []
        for call in list(self.calls.values()):
            if call.number in self.calls and call.header is not None and name in call.header.schedule:
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
        assert call.header is not None
        self._release(call)
        effects = self._cancels(call.header)
        call.header = None
        call.attempt += 1
        call.moved = {}
        return effects + self._place(call, now)

    def _on_moved(self, message: Moved, peer: PeerName, now: Millis) -> Effects:
        call = self.calls.get(message.number)
        if call is None or call.header is None or message.attempt != call.attempt:
            return [Send(message.executor, Cancel(self.name, message.number, message.attempt))]
        if message.hops <= call.moved.get(message.node, 0):
            return []
        call.moved[message.node] = message.hops
        call.probe_at = max(call.probe_at, now + self.config.resend_ms)  # the task may still be on its way
        before = call.header.schedule[message.node]
        self.load[before] = max(0, self.load.get(before, 0) - 1)
        self.load[message.executor] = self.load.get(message.executor, 0) + 1
        schedule = list(call.header.schedule)
        schedule[message.node] = message.executor
        call.header = msgspec.structs.replace(call.header, schedule=schedule)
        return [Dispatched(call.number, schedule)]

    def _on_gone(self, message: Gone, peer: PeerName, now: Millis) -> Effects:
        call = self.calls.get(message.number)
        if call is None or call.header is None or message.attempt != call.attempt:
            return []
        return self._try_again(call, "the result did not arrive and is no longer kept", False, now)

    def _on_unknown(self, message: Unknown, peer: PeerName, now: Millis) -> Effects:
        """The `Call` was lost on its way: send it again. If it was what brings inputs, start again."""
        call = self.calls.get(message.number)
        if call is None or call.header is None or message.attempt != call.attempt:
            return []
        assert call.lease is not None
        held = _hold(call.lease)
        sends = [send for send in self._starts(call, held) if send.message.node == message.node]
        if message.node in call.moved or not sends:
            return self._try_again(call, "a task was lost between two executors", False, now)
        return sends

    def _on_running(self, message: Running, peer: PeerName, now: Millis) -> Effects:
        call = self.calls.get(message.number)
        if call is None or message.attempt != call.attempt:  # a Cancel was lost, or is on its way
            return [Send(message.executor, Cancel(self.name, message.number, message.attempt))]
        return [Observed(call.number, message)]

    # ------------------------------------------------------------ requests and the store

    def _on_ask(self, message: Any, now: Millis) -> Effects:
        if self.unavailable is not None:
            return [Answered(message.req, self.unavailable)]
        self._requests[message.req] = _Request(message, now + self.config.resend_ms, self.config.resend_ms)
        effects: Effects = [Send(NODE, message)]
        if not self._tick_armed:
            effects.append(self._arm_tick(now))
        return effects

    def _on_store(self, event: Store, now: Millis) -> Effects:
        if self.unavailable is not None:
            return [Answered(event.op, self.unavailable)]
        given = event.arguments
        if event.kind == "read":
            effects = self.store.read(event.op, given[0], self.floor, now)
        elif event.kind == "write":
            effects = self.store.write(event.op, given[0], given[1], now)
        else:
            effects = self.store.delete(event.op, given[0], now)
        return self._from_store(effects, now)

    def _on_reply(self, event: Received, now: Millis) -> Effects:
        req = getattr(event.message, "req", None)
        if req is not None and self._requests.pop(req, None) is not None:
            message: Message = event.message
            return [Answered(req, message.failure if isinstance(message, Failed) else message)]
        return self._from_store(self.store.handle(event, now), now)

    def _from_store(self, effects: Effects, now: Millis) -> Effects:
        self.floor = max(self.floor, self.store.seen_seq)
        return [
            Answered(effect.op, effect.result) if type(effect) is Answer else effect for effect in effects
        ]

    # ------------------------------------------------------------ time

    def _arm_tick(self, now: Millis) -> SetTimer:
        self._tick_armed = True
        return SetTimer("tick", now + self.config.resend_ms)

    def _set_deadline(self, call: OwnedCall, now: Millis) -> Effects:
        assert call.timeout is not None
        call.deadline = now + call.timeout * 1000
        heapq.heappush(self._deadlines, (call.deadline, call.number))
        return [SetTimer("deadline", self._deadlines[0][0])]

    def _on_timer(self, event: Timer, now: Millis) -> Effects:
        if event.key == "tick":
            return self._on_tick(now)
        if event.key == "deadline":
            return self._on_deadline(now)
        if event.key.startswith("lost:"):
            return self._executor_lost(event.key[5:], "its connection ended", False, now)
        return self._from_store(self.store.handle(event, now), now)

    def _on_deadline(self, now: Millis) -> Effects:
        effects: Effects = []
        while self._deadlines and self._deadlines[0][0] <= now:
            due, number = heapq.heappop(self._deadlines)
            call = self.calls.get(number)
            if call is not None and call.deadline == due:
                self._leave_queue(call)
                message = f"the call of {call.target!r} took longer than its timeout of {call.timeout:g} s"
                effects += self._resolve(call, Failure("CallTimeout", message), now)
        if self._deadlines:
            effects.append(SetTimer("deadline", self._deadlines[0][0]))
        return effects

    def _on_tick(self, now: Millis) -> Effects:
        """Repeat unanswered requests and probe unanswered calls; sleep when there are none."""
        self._tick_armed = False
        effects: Effects = []
        for request in self._requests.values():
            if request.send_at <= now:
                request.after = min(request.after * 2, 10 * self.config.resend_ms)
                request.send_at = now + request.after
                effects.append(Send(NODE, request.message))
        effects += self._probes(now)
        if self._requests or self.calls:
            effects.append(self._arm_tick(now))
        return effects

    def _probes(self, now: Millis) -> Effects:
        effects: Effects = []
        probed = 0
        for call in self.calls.values():
            header = call.header
            if header is None or call.probe_at > now:
                continue
            call.probe_after = min(call.probe_after * 2, 10 * self.config.resend_ms)
            call.probe_at = now + call.probe_after
            assert call.lease is not None
            sources = Topology.of(call.lease.plan).sources
            nodes = dict.fromkeys([*sources, *header.fixed, *call.moved])
            effects += [
                Send(header.schedule[node], Probe(header, node, call.moved.get(node, 0))) for node in nodes
            ]
            probed += 1
            if probed >= PROBES_PER_TICK_MAX:
                break
        return effects


def _has_multiexec(lease: Lease) -> bool:
    return any(node.invalid is not None for node in lease.plan.nodes)


def _failed(call: OwnedCall, failure: Failure) -> Result:
    return Result(call.number, call.attempt, None, [], failure)
