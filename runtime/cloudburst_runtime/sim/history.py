"""What clients saw: the only thing that checkers read.

Law: nothing of any core's state is in here. An operation begins with ``invoke`` and ends with one of ``ok``
(it happened), ``fail`` (a failure was reported; it may have happened in part) and ``info`` (nobody knows,
the client crashed). Written values are unique, so that a read names its write.

*Operations* are what clients ask for. *Steps* are what functions ask of the store while they run: they have
a `Spot`, which says in which execution and behind whose cache. The process that a step's end did not come
from may have crashed; such a step has no end.

The results of calls are *terms*: a function returns its name, its version, what it read and wrote, and
its arguments, which may be terms again. So a result carries its whole derivation, and is checked against
the DAG without knowing any function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cloudburst_runtime.ids import Millis, PeerName

TERM = "term"


class Access(NamedTuple):
    """One thing done to the store: ``put get add count delete``, the key, and the value or amount."""

    kind: str
    key: str
    value: Any


class Spot(NamedTuple):
    """Where a function is that asks the store for something.

    Attributes
    ----------
    call, attempt
        The call, by the name that its `Act` has, and which try of it: together one *execution*.
    node, after
        The node of the DAG that runs, and every node before it, not only those that feed it.
    cache
        The process whose cache answers.
    """

    call: str
    attempt: int
    node: int
    after: tuple[int, ...]
    cache: PeerName

    @property
    def session(self) -> str:
        """The name under which the steps of this node are recorded."""
        return f"{self.call}.{self.attempt}/{self.node}"


class Act(NamedTuple):
    """What a session asked for.

    ``kind`` is an `Access`'s kind, or ``call``, ``register``, ``define``, ``put as`` and ``types`` (see
    `clashes`), ``grow`` and ``grown`` (see `growing`), ``look back`` (see `versions`). ``name`` is the key,
    the function or the DAG. For a call, ``value`` has the fixed arguments by node (None: the only source);
    for ``define`` the nodes, the edges, and the names of MULTIEXEC nodes.

    ``call`` is the call's name in the spots of its steps. ``level`` is the consistency level that was asked
    for. A ``get`` with ``siblings`` ends with the list of all values that lie there side by side. ``block``
    is what the session's gets and puts have in common whose reads are to go together.
    """

    kind: str
    name: str
    value: Any = None
    dag: bool = False
    timeout: float | None = None
    output_key: str | None = None
    call: str = ""
    level: str = "lww"
    siblings: bool = False
    block: str = ""


class Event(NamedTuple):
    """One line of a history.

    ``attempt``: how often the call had been tried again by then. ``spot``: of a step's beginning.
    """

    at: Millis
    session: str
    op: int
    kind: str
    act: Act | None
    value: Any = None
    attempt: int = 0
    spot: Spot | None = None


@dataclass(slots=True)
class Operation:
    """An operation or step with its beginning and its end, by position in the history."""

    session: str
    op: int
    act: Act
    begin: int
    end: int | None = None
    kind: str = ""
    value: Any = None
    attempt: int = 0
    cancelled: bool = False
    spot: Spot | None = None

    def __str__(self) -> str:
        return (
            f"{self.session} op {self.op} {self.act.kind} {self.act.name} → {self.kind} {self.value!r:.200}"
        )


@dataclass(slots=True)
class History:
    """Events in the order in which they happened.

    Examples
    --------
    >>> history = History()
    >>> history.invoke(0.0, "c1", 1, Act("put", "k", "a"))
    >>> history.end(5.0, "c1", 1, "ok")
    >>> [operation.kind for operation in history.operations()]
    ['ok']
    """

    events: list[Event] = field(default_factory=list)

    def invoke(self, at: Millis, session: str, op: int, act: Act, spot: Spot | None = None) -> None:
        """A session begins an operation; with a ``spot``, a function begins a step."""
        self.events.append(Event(at, session, op, "invoke", act, spot=spot))

    def end(self, at: Millis, session: str, op: int, kind: str, value: Any = None, attempt: int = 0) -> None:
        """An operation ended, as ``ok``, ``fail`` or ``info``."""
        self.events.append(Event(at, session, op, kind, None, value, attempt))

    def note(self, at: Millis, who: PeerName, what: str, op: int = 0) -> None:
        """Something that is no operation: ``crash``, ``lossy`` wires, the ``cancel`` of one."""
        self.events.append(Event(at, who, op, what, None))

    def operations(self) -> list[Operation]:
        """What clients asked for, in the order of the beginnings; the first end counts."""
        return [each for each in self.everything() if each.spot is None]

    def everything(self) -> list[Operation]:
        """Operations and steps, in the order of their beginnings; the first end counts."""
        found: dict[tuple[str, int], Operation] = {}
        for index, event in enumerate(self.events):
            key = (event.session, event.op)
            if event.kind == "invoke":
                assert event.act is not None
                found[key] = Operation(event.session, event.op, event.act, index, spot=event.spot)
            elif event.kind == "cancel":
                found[key].cancelled = True
            elif event.kind in ("ok", "fail", "info") and key in found and found[key].end is None:
                operation = found[key]
                operation.end, operation.kind = index, event.kind
                operation.value, operation.attempt = event.value, event.attempt
        return list(found.values())

    def lines(self) -> list[str]:
        """The history as text, a line per event."""
        return [
            f"{event.at:10.2f}  {event.session:10} {event.op:4} {event.kind:7}"
            f"{_shown(event.act) if event.act is not None else ''}"
            f"{'' if event.value is None else f' {event.value!r}'}"
            for event in self.events
        ]


def _shown(act: Act) -> str:
    parts = [act.kind, act.name, "" if act.value is None else repr(act.value)]
    if act.timeout is not None:
        parts.append(f"timeout {act.timeout:g} s")
    if act.output_key is not None:
        parts.append(f"output {act.output_key}")
    return " ".join(part for part in parts if part)


def term(name: str, version: int, accesses: list[Access], args: list[Any]) -> list[Any]:
    """The result of one function."""
    return [TERM, name, version, [list(access) for access in accesses], args]


def is_term(value: Any) -> bool:
    """Whether a value is what a function returned."""
    return isinstance(value, list) and len(value) == 5 and value[0] == TERM
