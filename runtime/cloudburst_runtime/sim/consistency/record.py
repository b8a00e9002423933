"""What the checkers of consistency judge: the reads and writes of a history, and who did them after whom.

Law: knows the format of histories and nothing of what made them. Any subset of a record's accesses is a
record again, because the order is derived from what each access says of itself; so counter-examples shrink.

*Session order* is partial. A client's operations are ordered where one ended before the next began. The steps
of an execution follow each other within a node, and along the DAG between nodes. A call stands between the
two: its steps come after all that its client had finished, and, if the call ended well, before all that
its client began afterwards. What did not surely happen (``fail``, ``info``, no end) comes before nothing.

Only keys that hold plain unique values, and are never deleted, are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from cloudburst_runtime.sim.history import History, Operation, Spot

FINAL = "final"
"""How the sessions are called that read once nothing moves any more."""


class Span(NamedTuple):
    """An operation of a client, or a call with all its steps.

    Attributes
    ----------
    session, begin, end
        Whose it is, when it began, and when it surely had happened; None if that is not known.
    void
        Whether it surely failed: its function raised.
    """

    session: str
    begin: int
    end: int | None
    void: bool = False


class Access(NamedTuple):
    """One read or write.

    Attributes
    ----------
    number
        Its place in the history: of two accesses the one that began earlier has the smaller number.
    kind, key
        ``read`` or ``write``, and of what.
    values
        What was written, or all that was seen side by side; nothing for an absent key.
    whole
        Of a read: whether all siblings were asked for, so that ``values`` is all there was.
    lane
        The client's session, or the node of an execution.
    end
        When it surely was over; None if that is not known.
    level
        The consistency level that it was made at.
    span, spot
        The client's operation that it belongs to; where it ran, if a function did it.
    block
        The client's block that it belongs to, whose reads go together; empty if to none.
    """

    number: int
    kind: str
    key: str
    values: tuple[str, ...]
    lane: str
    end: int | None
    span: Span
    level: str = "lww"
    whole: bool = False
    spot: Spot | None = None
    block: str = ""

    @property
    def execution(self) -> str:
        """The execution that it is a step of; empty for a client's own access."""
        return "" if self.spot is None else f"{self.spot.call}.{self.spot.attempt}"

    @property
    def cache(self) -> str:
        """The process behind whose cache it happened."""
        return self.lane if self.spot is None else self.spot.cache

    @property
    def acknowledged(self) -> bool:
        """Whether a write surely stands: an atomic one does once its execution has ended well."""
        whole = self.level == "atomic" and self.spot is not None
        return (self.span.end if whole else self.end) is not None

    @property
    def final(self) -> bool:
        """Whether it was made after everything had come to rest."""
        return self.span.session.startswith(FINAL)

    def __str__(self) -> str:
        what = ", ".join(self.values) if self.values else "nothing"
        arrow = "=" if self.kind == "write" else "→"
        return f"{self.kind} {self.key} {arrow} {what}"


@dataclass(frozen=True, slots=True)
class Record:
    """Accesses in the order of their numbers."""

    accesses: tuple[Access, ...]

    def __len__(self) -> int:
        return len(self.accesses)

    def __iter__(self) -> Iterator[Access]:
        return iter(self.accesses)

    def where(self, keep: Callable[[Access], bool]) -> Record:
        """The record of some of the accesses."""
        return Record(tuple(filter(keep, self.accesses)))

    def by_key(self) -> dict[str, Record]:
        """The record of each key by itself."""
        groups: dict[str, list[Access]] = {}
        for access in self:
            groups.setdefault(access.key, []).append(access)
        return {key: Record(tuple(groups[key])) for key in sorted(groups)}

    def at(self, level: str) -> Record:
        """What a level is to be judged by: the accesses at this level, the last reads, and all writes.

        Writes at other levels carry no dependencies, and may be lost where those at this level may not: they
        stand alone, as if nobody knew whether they have happened.
        """
        return Record(tuple(_apart(access, level) for access in self if _counts(access, level)))

    @classmethod
    def of(cls, history: History) -> Record:
        """The judged accesses of a history."""
        everything = history.everything()
        calls = {each.act.call: each for each in everything if each.act.kind == "call" and each.act.call}
        excluded = set(_unfit(everything))
        made = (_access(each, calls) for each in everything if each.act.name not in excluded)
        return cls(tuple(access for access in made if access is not None))


def _counts(access: Access, level: str) -> bool:
    return access.level == level or access.final or access.kind == "write"


def _apart(access: Access, level: str) -> Access:
    if access.level == level or access.final:
        return access
    lane = f"{access.lane}#{access.number}"
    return access._replace(lane=lane, span=Span(lane, access.number, None), end=None, spot=None)


def _unfit(everything: Iterable[Operation]) -> Iterator[str]:
    """Keys that are deleted, hold something else than unique strings, or take the results of calls."""
    written: dict[Any, int] = {}
    for each in everything:
        kind, name, value = each.act.kind, each.act.name, each.act.value
        if kind == "call" and each.act.output_key is not None:
            yield each.act.output_key
        elif kind == "put" and isinstance(value, str) and value not in written:
            written[value] = each.begin
        elif kind in ("put", "delete", "add", "count") or (kind == "get" and _values(each) is None):
            yield name


def _values(read: Operation) -> tuple[str, ...] | None:
    """What a read saw; None if that is nothing that the checkers know."""
    if read.kind != "ok" or read.value is None:
        return ()
    seen = read.value if isinstance(read.value, list | tuple) else [read.value]
    return tuple(seen) if all(isinstance(value, str) for value in seen) else None


def _access(each: Operation, calls: dict[str, Operation]) -> Access | None:
    act = each.act
    if act.kind not in ("get", "put") or (act.kind == "get" and each.kind != "ok"):
        return None
    end = each.end if each.kind == "ok" else None
    span = Span(each.session, each.begin, end)
    if each.spot is not None:
        span = _span_of(calls[each.spot.call], each.spot)
    kind, values = ("write", (act.value,)) if act.kind == "put" else ("read", _values(each) or ())
    lane, whole = each.session, act.siblings
    return Access(each.begin, kind, act.name, values, lane, end, span, act.level, whole, each.spot, act.block)


def _span_of(call: Operation, spot: Spot) -> Span:
    """A call's span; it is sure to have ended for the steps of the attempt whose result it has."""
    done = call.kind == "ok" and call.attempt == spot.attempt
    raised = call.kind == "fail" and call.value[0] == "user"
    return Span(call.session, call.begin, call.end if done else None, raised)
