"""Sends calls to executors picked from their leases, and counts how many unfinished tasks each has.

Law: a call has a header while an attempt of it is under way, and its tasks count as load until then; when
to send, and when to give an attempt up, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import msgspec

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.client.calls import Dispatched, Held, OwnedCall
from cloudburst_runtime.client.gathering import Gathered
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.ids import HybridClock, Millis, PeerName
from cloudburst_runtime.levels import REPEATABLE
from cloudburst_runtime.messages import Args, Call, Cancel, Header, Session, Trigger
from cloudburst_runtime.scheduler.dag import Topology, alone
from cloudburst_runtime.scheduler.policy import assign
from cloudburst_runtime.values import Value, encode
from cloudburst_runtime.vectors import Vector

Effects = list[Any]

TIMER = "together"
REMINDER_MS = 1.0
"""When calls that wait leave at the latest, should nothing else happen."""
TOGETHER_MAX = 32
"""So many calls do not wait for more."""

NO_ARGS = encode(((), {}))
NO_NODES: list[int] = []
"""Of the many headers that have none: one list, which nobody changes."""


class Dispatcher:
    """Dispatches the calls of one client.

    Parameters
    ----------
    config
        For ``resend_ms``, how long a call may stay unanswered until it is probed, and what is sent together.
    name, clock
        The client's; each header carries the clock's latest stamp.
    uniform
        Uniform random numbers from 0 to 1, for the policies.

    Attributes
    ----------
    load
        How many tasks of unfinished calls each executor has.
    waiting
        Calls that are to leave together: they would have to wait where they go.
    """

    def __init__(
        self, config: Config, name: PeerName, clock: HybridClock, uniform: Callable[[], float]
    ) -> None:
        self._name = name
        self._clock = clock
        self._resend_ms = config.resend_ms
        self._together_ms = config.together_ms
        self._together_after = config.together_after
        self._since: Millis = 0.0
        self.waiting = Gathered()
        self._uniform = uniform
        self._turn = 0
        self.load: dict[PeerName, int] = {}

    def send(self, call: OwnedCall, held: Held, floor: Vector, now: Millis) -> Effects:
        """Begin an attempt.

        Raises
        ------
        LookupError
            If the arguments do not fit the nodes of the plan.
        """
        lease, load = held.lease, self.load
        self._turn += 1
        schedule = self._schedule(held)
        header = Header(
            self._name,
            call.number,
            call.attempt,
            lease.plan.number,
            schedule,
            NO_NODES,
            self._clock.last,
            floor,
            call.output_key,
            call.record,
            call.watched,
            _session_of(call, held, schedule, floor),
        )
        waits = held.simple and load.get(schedule[0], 0) >= self._together_after and _is_plain(call, header)
        sends = [] if waits else starts(call, header, held)
        call.held = held
        call.header = header
        call.probe_after = self._resend_ms
        call.probe_at = now + self._resend_ms
        for peer in schedule:
            load[peer] = load.get(peer, 0) + 1
        if waits:
            return self._let_wait(header, call.args[None], now)
        if not held.simple:
            sends = [*together(sends), Dispatched(call.number, schedule)]
        return [*self.waiting.take(), *sends] if self.waiting.count else sends

    def _schedule(self, held: Held) -> list[PeerName]:
        """The executor of each node. Under locality that depends on how the loads differ, and only that."""
        if held.simple or held.lease.policy != "locality":
            return assign(held.lease, held.topology, self.load, self._uniform, self._turn)
        loads = [self.load.get(name, 0) for name in held.executors]
        least = min(loads)
        differences = [load - least for load in loads] if least else loads
        if held.differences != differences:
            held.differences = differences
            held.schedule = assign(held.lease, held.topology, self.load, self._uniform, self._turn)
        return held.schedule

    def _let_wait(self, header: Header, args: Args, now: Millis) -> Effects:
        """A call goes where others of this client wait already: it may go with those that follow."""
        waiting = self.waiting
        first = not waiting.count
        if first:
            self._since = now
        waiting.add(header.schedule[0], header, 0, args)
        if waiting.count >= TOGETHER_MAX or now >= self._since + self._together_ms:
            return waiting.take()
        return [SetTimer(TIMER, now + REMINDER_MS)] if first else []

    def send_all(self, calls: list[OwnedCall], held: Held, floor: Vector, now: Millis) -> Effects:
        """Begin calls of one node that differ in number and arguments alone; what goes to one executor
        goes in one message, up to a size."""
        lease, load, last = held.lease, self.load, self._clock.last
        plan, topology, probe_at = lease.plan.number, held.topology, now + self._resend_ms
        gathered = Gathered()
        for call in calls:
            self._turn += 1
            schedule = assign(lease, topology, load, self._uniform, self._turn)
            peer = schedule[0]
            call.held = held
            call.header = header = Header(
                self._name, call.number, 0, plan, schedule, NO_NODES, last, floor, None, call.record
            )
            call.probe_after = self._resend_ms
            call.probe_at = probe_at
            load[peer] = load.get(peer, 0) + 1
            gathered.add(peer, header, 0, call.args[None])
        return [*self.waiting.take(), *gathered.sends]

    def move(self, call: OwnedCall, node: int, executor: PeerName) -> list[PeerName]:
        """A task of the call went to another executor; returns the new schedule."""
        assert call.header is not None
        schedule = list(call.header.schedule)
        self._relieve(schedule[node])
        self.load[executor] = self.load.get(executor, 0) + 1
        schedule[node] = executor
        call.header = msgspec.structs.replace(call.header, schedule=schedule)
        return schedule

    def release(self, header: Header) -> None:
        """An attempt has ended."""
        for peer in header.schedule:
            self._relieve(peer)

    def _relieve(self, peer: PeerName) -> None:
        count = self.load.get(peer, 0)
        self.load[peer] = count - 1 if count else 0

    def give_up(self, call: OwnedCall) -> Effects:
        """End the attempt that is under way, if there is one: nobody wants what it gives."""
        header = call.header
        if header is None:
            return []
        self.release(header)
        call.header = None
        return cancels(header)


def _is_plain(call: OwnedCall, header: Header) -> bool:
    """Whether a call has no options, and its arguments go together with others'."""
    return (
        header.session is None
        and call.attempt == 0
        and call.output_key is None
        and not (call.watched or call.pinned)
        and None in call.args
    )


def _session_of(call: OwnedCall, held: Held, schedule: list[PeerName], floor: Vector) -> Session | None:
    """What the call begins with at another level than ``lww``."""
    if call.level == "lww":
        return None
    beside = [] if held.simple or call.level not in REPEATABLE else _beside(held, schedule)
    home = beside[0] if beside else ""
    begun = Session(call.level, home) if call.session is None else call.session.onward(call.level, home)
    if call.level == "dsrr" and floor and len(beside) > 1:
        begun.start, begun.beside = floor, beside
    if call.due:
        begun.due = sessions.latest(begun.due, call.due)
    return begun


def _beside(held: Held, schedule: list[PeerName]) -> list[PeerName]:
    """The executors of steps that may run beside others, that of most of them first.

    That is where they agree on versions: those steps need not ask.
    """
    if held.beside is None:
        apart = alone(held.lease.plan, held.topology)
        held.beside = [node for node, is_alone in enumerate(apart) if not is_alone]
    if not held.beside:
        return []
    names = [schedule[node] for node in held.beside]
    return sorted(dict.fromkeys(names), key=names.count, reverse=True)


def cancels(header: Header) -> Effects:
    """Tell the executors of an attempt that it is not wanted any more."""
    cancel = Cancel(header.client, header.number, header.attempt)
    return [Send(peer, cancel) for peer in dict.fromkeys(header.schedule)]


def starts(call: OwnedCall, header: Header, held: Held) -> Effects:
    """A `Call` to each source and to each other node that has fixed arguments, which the header notes."""
    if held.simple and len(call.args) == 1 and None in call.args:
        args = call.args[None]
        return [Send(header.schedule[0], Call(header, 0, args))]
    by_node = _args_by_node(call, held)
    sources = held.topology.sources
    if call.pinned:
        return _starts_behind(call, header, held, by_node)
    header.fixed = [node for node in by_node if node not in sources]
    return [
        Send(header.schedule[node], Call(header, node, by_node.get(node) or Args(NO_ARGS)))
        for node in [*sources, *header.fixed]
    ]


def _starts_behind(call: OwnedCall, header: Header, held: Held, by_node: dict[int, Args]) -> Effects:
    """Start what follows the pinned nodes: they give their results at once, and what only they need rests."""
    topology = held.topology
    pinned = _pinned_by_node(call, held.names)
    runs = _needed(held.topology, pinned)
    sources = [node for node in topology.sources if node in runs]
    header.fixed = [node for node in by_node if node in runs and node not in sources]
    calls = [
        Send(header.schedule[node], Call(header, node, by_node.get(node) or Args(NO_ARGS)))
        for node in [*sources, *header.fixed]
    ]
    triggers = [
        Send(header.schedule[node], Trigger(header, source, node, pinned[source], []))
        for node in sorted(runs)
        for source in topology.preds[node]
        if source in pinned
    ]
    return [*calls, *triggers]


def _pinned_by_node(call: OwnedCall, names: dict[str, int]) -> dict[int, Value]:
    unknown = [name for name in call.pinned if name not in names]
    if unknown:
        raise LookupError(f"{call.target!r} has no function {unknown[0]!r} to pin; it has {', '.join(names)}")
    return {names[name]: value for name, value in call.pinned.items()}


def _needed(topology: Topology, pinned: Container[int]) -> set[int]:
    """What has to run: all that the sink needs, up to what is pinned."""
    needed: set[int] = set()
    ahead = [topology.sink]
    while ahead:
        node = ahead.pop()
        if node not in needed and node not in pinned:
            needed.add(node)
            ahead += topology.preds[node]
    return needed


def together(sends: Effects) -> Effects:
    """The same with the calls of one executor in one message."""
    gathered = Gathered()
    rest = []
    for send in sends:
        if type(send.message) is Call:
            gathered.add(send.peer, send.message.header, send.message.node, send.message.args)
        else:
            rest.append(send)
    return [*gathered.sends, *rest]


def aim(send: Send) -> int:
    """The node that one of `starts` is about."""
    message: Any = send.message
    return int(message.target if type(message) is Trigger else message.node)


def again(send: Send) -> Send:
    """A pinned input, sent once more."""
    return Send(send.peer, msgspec.structs.replace(send.message, again=True))


def _args_by_node(call: OwnedCall, held: Held) -> dict[int, Args]:
    sources, names = held.topology.sources, held.names
    by_node: dict[int, Args] = {}
    for name, args in call.args.items():
        if name is None:
            if len(sources) > 1:
                nodes = held.lease.plan.nodes
                shown = ", ".join(nodes[source].function for source in sources)
                raise LookupError(
                    f"{call.target!r} has several sources ({shown}): "
                    "say which arguments are whose, as in dag(source_name=[…])"
                )
            by_node[sources[0]] = args
        elif name in names:
            by_node[names[name]] = args
        else:
            raise LookupError(
                f"{call.target!r} has no function {name!r} to give arguments to; it has " + ", ".join(names)
            )
    return by_node
