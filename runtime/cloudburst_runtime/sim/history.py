"""What clients saw: the only thing that checkers read.

Law: nothing of any core's state is in here. An operation begins with ``invoke`` and ends with one of ``ok``
(it happened), ``fail`` (a failure was reported; it may have happened in part) and ``info`` (nobody knows,
the client crashed). Written values are unique, so that a read names its write.

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


class Act(NamedTuple):
    """What a session asked for.

    ``kind`` is an `Access`'s kind, or ``call``, ``register``, ``define``. ``name`` is the key, the
    function or the DAG. For a call, ``value`` has the fixed arguments by node (None: the only source);
    for ``define`` the nodes, the edges, and the names of MULTIEXEC nodes.
    """

    kind: str
    name: str
    value: Any = None
    dag: bool = False
    timeout: float | None = None
    output_key: str | None = None


class Event(NamedTuple):
    """One line of a history. ``attempt``: how often the call had been tried again by then."""

    at: Millis
    session: PeerName
    op: int
    kind: str
    act: Act | None
    value: Any = None
    attempt: int = 0


@dataclass(slots=True)
class Operation:
    """An operation with its beginning and its end, by position in the history."""

    session: PeerName
    op: int
    act: Act
    begin: int
    end: int | None = None
    kind: str = ""
    value: Any = None
    attempt: int = 0
    cancelled: bool = False

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

    def invoke(self, at: Millis, session: PeerName, op: int, act: Act) -> None:
        """A session begins an operation."""
        self.events.append(Event(at, session, op, "invoke", act))

    def end(
        self, at: Millis, session: PeerName, op: int, kind: str, value: Any = None, attempt: int = 0
    ) -> None:
        """An operation ended, as ``ok``, ``fail`` or ``info``."""
        self.events.append(Event(at, session, op, kind, None, value, attempt))

    def note(self, at: Millis, who: PeerName, what: str, op: int = 0) -> None:
        """Something that is no operation: ``crash``, ``lossy`` wires, the ``cancel`` of one."""
        self.events.append(Event(at, who, op, what, None))

    def operations(self) -> list[Operation]:
        """The operations in the order of their beginnings; the first end counts."""
        found: dict[tuple[PeerName, int], Operation] = {}
        for index, event in enumerate(self.events):
            key = (event.session, event.op)
            if event.kind == "invoke":
                assert event.act is not None
                found[key] = Operation(event.session, event.op, event.act, index)
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
            f"{event.at:10.2f}  {event.session:6} {event.op:4} {event.kind:7}"
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
