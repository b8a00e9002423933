"""What clients do: a setting up, and then a session each, of operations one after the other or at once.

Law: everything is drawn from the workload's own random numbers; nothing here looks into a core.

Keys: ``own/c1`` is written by one session only and may be deleted; ``k0…`` are written by all; ``n0`` and
``map0`` are counters; ``late/…`` are referred to before they exist; ``box/…`` hold addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

from cloudburst_runtime.client.calls import OwnedCall
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.lattices import AnyLattice, Mixed
from cloudburst_runtime.lattices.compound import family
from cloudburst_runtime.messages import (
    Args,
    DagNode,
    DagSpec,
    DefineDag,
    Failure,
    FunctionSpec,
    Ref,
    Register,
    Result,
)
from cloudburst_runtime.sim.history import Act
from cloudburst_runtime.sim.processes import ClientProcess
from cloudburst_runtime.sim.programs import INVALID, PROGRAMS, counted
from cloudburst_runtime.values import decode, encode

OPERATIONS = 30
OUTSTANDING_MAX = 5
SHARED_KEYS = ("k0", "k1")
COUNTERS = ("n0", "map0")
DAGS: dict[str, list[tuple[list[str], list[tuple[str, str]]]]] = {
    "chain": [
        (["plain", "left", "right"], [("plain", "left"), ("left", "right")]),
        (["plain", "right", "left"], [("plain", "right"), ("right", "left")]),
    ],
    "diamond": [
        (
            ["plain", "left", "right", "join"],
            [("plain", "left"), ("plain", "right"), ("left", "join"), ("right", "join")],
        ),
        (
            ["plain", "left", "slow", "join"],
            [("plain", "left"), ("plain", "slow"), ("slow", "join"), ("left", "join")],
        ),
    ],
    "race": [(["wins", "loses", "pick"], [("wins", "pick"), ("loses", "pick")])],
    "upset": [(["raises", "wins", "pick"], [("raises", "pick"), ("wins", "pick")])],
    "twins": [(["pair", "join"], [("pair", "join")])],
    "stateful": [(["touch", "again"], [("touch", "again")])],
}
WIDE = "wide"
WIDE_DAGS = {
    WIDE: [
        (
            ["plain", "left", "right", "wins", "join"],
            [(name, "join") for name in ("plain", "left", "right", "wins")],
        )
    ]
}
"""Of the scenario of many calls only."""
MULTI = ("pick",)
RETRIES = 3
FEW_RETRIES = {"slow": 0, "right": 1}


class Given(NamedTuple):
    """An argument by key (``ref``) or by an earlier call (``future``)."""

    how: str
    what: Any


def shape(name: str, variant: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Nodes and edges of one of the definitions of a DAG."""
    shapes = DAGS.get(name) or WIDE_DAGS[name]
    return shapes[variant % len(shapes)]


def dag_spec(name: str, variant: int) -> DagSpec:
    """One of the definitions of a DAG."""
    nodes, edges = shape(name, variant)
    return DagSpec(
        name,
        [DagNode(node, [encode(INVALID)] if node in MULTI else None) for node in nodes],
        [(nodes.index(start), nodes.index(end)) for start, end in edges],
    )


class Session:
    """One client's operations.

    Parameters
    ----------
    client
        The process that carries them out.
    random
        The session's random numbers.
    label
        Its name in the history; the client's by default.
    level
        The consistency level of the client's session; ``lww``: it is in none.
    """

    def __init__(self, client: ClientProcess, random: Random, label: str = "", level: str = "lww") -> None:
        self.client = client
        self.level = level
        self.session = None if level == "lww" else client.world.mutant.session(level)
        self.label = label or client.name
        self.world = client.world
        self.random = random
        self.pending: dict[int, int | None] = {}
        """Operations under way, with their call numbers if they are calls."""
        self.to_do: list[Callable[[], None]] = []
        self.results: dict[int, tuple[int, Result | None]] = {}
        self.block = ""
        """What its reads that go together have in common."""
        self._blocks = 0
        self._ops = 0
        self._waits = False
        self._paused = False
        self._unique = 0

    @property
    def done(self) -> bool:
        """Whether all operations have ended, or the client has."""
        return not self.client.alive or (not self.to_do and not self.pending)

    def go(self) -> None:
        """Begin with the operations that are to do."""
        self._next()

    def _next(self) -> None:
        if not self.client.alive or not self.to_do:
            return
        if (self._waits and self.pending) or len(self.pending) >= OUTSTANDING_MAX:
            self.world.after(3.0, self._next)
            return
        self._waits = False
        self.to_do.pop(0)()
        self._later()

    def _later(self) -> None:
        """The next operation follows at once, or after a while."""
        self.world.after(self.random.choice((0.0, 0.0, 2.0, 60.0)) * self.random.random(), self._next)

    def wait(self) -> None:
        """Let what is under way end before the next operation."""
        self._waits = True

    def begin(self) -> None:
        """At ``atomic``, leave the session and enter it again: what is read now is a new block."""
        if self.session is not None and self.session.block is not None:
            self._blocks += 1
            self.block = f"{self.label}#{self._blocks}"
            self.session.block.begin()

    def unique(self) -> str:
        """A value that nobody else writes."""
        self._unique += 1
        return f"{self.client.name}.{self._unique}"

    # ------------------------------------------------------------ invoking and ending

    def _invoke(self, act: Act, number: int | None = None) -> int:
        self._ops += 1
        self.pending[self._ops] = number
        self.world.history.invoke(self.world.now, self.label, self._ops, act)
        return self._ops

    def _end(self, op: int, kind: str, value: Any = None, attempt: int = 0) -> None:
        self.pending.pop(op, None)
        if self._paused:
            self._paused = False
            self._later()
        self.world.history.end(self.world.now, self.label, op, kind, value, attempt)

    def _answered(self, op: int, answer: Any, show: Callable[[Any], Any] = lambda answer: None) -> None:
        if isinstance(answer, Failure):
            self._end(op, "fail", [answer.kind, answer.message])
        else:
            self._end(op, "ok", show(answer))

    # ------------------------------------------------------------ the scheduler

    def register(self, name: str) -> None:
        """Register a function, or its next version."""
        op = self._invoke(Act("register", name))
        batching = name == "batchy"
        retries = FEW_RETRIES.get(name, RETRIES)
        make = partial(_register, FunctionSpec(name, 0, name.encode(), retries=retries, batching=batching))
        self.client.ask(make, lambda answer: self._answered(op, answer, lambda done: done.version))

    def define(self, name: str, variant: int) -> None:
        """Define a DAG, or define it anew."""
        nodes, edges = shape(name, variant)
        op = self._invoke(Act("define", name, [nodes, edges, list(MULTI)]))
        make = partial(_define, dag_spec(name, variant))
        self.client.ask(make, lambda answer: self._answered(op, answer))

    # ------------------------------------------------------------ the store

    def put(self, key: str) -> None:
        """Write a value that is unique."""
        value = self.unique()
        op = self._invoke(Act("put", key, value, level=self.level, block=self.block))
        self.client.write(key, value, None, self.session, partial(self._answered, op))

    def put_lightly(self, key: str) -> None:
        """Write a value without waiting for the disk: whether it survives nobody knows."""
        value = self.unique()
        op = self._invoke(Act("put", key, value, level=self.level, block=self.block))
        self.client.write(key, value, None, self.session, lambda answer: self._end(op, "info"), sync=False)

    def put_as(self, key: str, kind: str, value: Any) -> None:
        """Write a value of some lattice type."""
        op = self._invoke(Act("put as", key, kind))
        self.client.write(key, value, kind, None, partial(self._answered, op))

    def grow(self, key: str) -> None:
        """Add an element to a set."""
        element = self.unique()
        op = self._invoke(Act("grow", key, element))
        self.client.write(key, {element}, "set", None, partial(self._answered, op))

    def look_at_set(self, key: str) -> None:
        """Read a set."""
        self._read(Act("grown", key), lambda value: sorted(value or ()))

    def look_for_types(self, key: str) -> None:
        """See what types of values there are under a key."""
        op = self._invoke(Act("types", key))
        self.client.look(key, lambda found: self._answered(op, found, types_of))

    def get(self, key: str) -> None:
        """Read a key."""
        self._read(Act("get", key, level=self.level, block=self.block), lambda value: value)

    def look_back(self, key: str) -> None:
        """See the versions of a key, and the value of each."""
        op = self._invoke(Act("look back", key))
        self.client.look_back(key, partial(self._answered, op, show=list))

    def siblings(self, key: str) -> None:
        """Read all that lies under a key side by side."""
        self._read(Act("get", key, level=self.level, siblings=True), lambda value: value)

    def _read(self, act: Act, show: Callable[[Any], Any]) -> None:
        op = self._invoke(act)
        self.client.read(act.name, act.siblings, self.session, lambda found: self._answered(op, found, show))

    def add(self, key: str) -> None:
        """Add to a counter."""
        amount = self.random.randint(1, 9)
        op = self._invoke(Act("add", key, amount))
        nested = key.startswith("map")
        value, lattice = ({"n": amount}, "map[counter]") if nested else (amount, "counter")
        self.client.write(key, value, lattice, None, partial(self._answered, op))

    def count(self, key: str) -> None:
        """Read a counter."""
        self._read(Act("count", key), counted)

    def delete(self, key: str) -> None:
        """Delete a key."""
        op = self._invoke(Act("delete", key))
        self.client.delete(key, partial(self._answered, op))

    # ------------------------------------------------------------ calls

    def call(
        self,
        name: str,
        args: dict[str | None, list[Any]],
        dag: bool = False,
        timeout: float | None = None,
        output_key: str | None = None,
        cancel_after: Millis | None = None,
    ) -> int:
        """Call a function or a DAG; return the operation's number."""
        number = self.client.new_number()
        known_as = f"{self.client.name}.{number}"
        act = Act("call", name, args, dag, timeout, output_key, call=known_as, level=self.level)
        op = self._invoke(act, number)
        call = OwnedCall(
            number, "dag" if dag else "function", name, {}, output_key=output_key, timeout=timeout
        )
        call.level, call.session = self.level, self.session
        refs: dict[str, None] = {}
        for node, given in args.items():
            call.args[node] = self._packed(given, call, refs)
        call.refs = tuple(refs)
        self.results[op] = (number, None)
        self.client.submit(call, partial(self._resolved, op))
        if cancel_after is not None:
            self.world.after(cancel_after, self._cancel, op, number)
        return op

    def call_all(self, name: str, rows: list[list[Any]]) -> list[int]:
        """Call a function once per row of arguments, all at once; return the operations' numbers."""
        calls: list[OwnedCall] = []
        ops: list[int] = []
        for row in rows:
            number = self.client.new_number()
            known_as = f"{self.client.name}.{number}"
            op = self._invoke(Act("call", name, {None: row}, call=known_as, level=self.level), number)
            calls.append(OwnedCall(number, "function", name, {None: Args(encode((row, {})), [], [])}))
            self.results[op] = (number, None)
            ops.append(op)
        self.client.submit_all(calls, [partial(self._resolved, op) for op in ops])
        return ops

    def cancel_after(self, span: Millis, op: int) -> None:
        """Give a call up in a while, if it is under way then."""
        self.world.after(span, self._cancel, op, self.results[op][0])

    def _packed(self, given: list[Any], call: OwnedCall, refs: dict[str, None]) -> Args:
        packed = Args(encode(([None if isinstance(arg, Given) else arg for arg in given], {})), [], [])
        for slot, arg in enumerate(given):
            if isinstance(arg, Given) and arg.how == "ref":
                packed.refs.append(Ref(slot, arg.what))
                refs[arg.what] = None
            elif isinstance(arg, Given):
                number, _ = self.results[arg.what]
                call.depends.setdefault(number, []).append((packed, slot))
        return packed

    def _resolved(self, op: int, result: Result) -> None:
        self.results[op] = (result.number, result)
        if result.failure is not None:
            said = [result.failure.kind, result.failure.message]
            self._end(op, "fail", said, result.attempt)
        else:
            assert result.value is not None
            self._end(op, "ok", decode(result.value), result.attempt)

    def _cancel(self, op: int, number: int) -> None:
        if self.client.alive and op in self.pending:
            self.world.history.note(self.world.now, self.label, "cancel", op)
            self.client.cancel(number)

    def crashed(self) -> None:
        """The client is gone: of what was under way nobody knows."""
        for op in list(self.pending):
            self._end(op, "info")


def types_of(found: list[AnyLattice | None]) -> list[str]:
    """The types of the values under the only key that was read.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Bool, Max
    >>> types_of([Mixed({"bool": Bool(True), "max": Max(3)})]), types_of([Max(3)]), types_of([None])
    (['bool', 'max'], ['max'], [])
    """
    [lattice] = found
    if isinstance(lattice, Mixed):
        return list(lattice.parts)
    return [] if lattice is None else [family(lattice)]


def set_up(session: Session) -> None:
    """Everything that the sessions call."""
    session.to_do += [partial(session.register, name) for name in PROGRAMS]
    session.to_do.append(session.wait)
    session.to_do += [partial(session.define, name, 0) for name in DAGS]
    session.to_do.append(session.wait)


def _register(spec: FunctionSpec, req: int) -> Register:
    return Register(req, spec)


def _define(spec: DagSpec, req: int) -> DefineDag:
    return DefineDag(req, spec)
