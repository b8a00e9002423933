"""What a checker says is wrong.

Law: a violation names the accesses that contradict each other; `evidence` adds how they are connected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from cloudburst_runtime.sim.consistency.order import Bits, Causality
from cloudburst_runtime.sim.consistency.record import Access, Record


class Violation(NamedTuple):
    """One contradiction.

    Attributes
    ----------
    check
        The checker's name.
    reason
        A sentence.
    accesses
        What contradicts each other, the access that shows it first.
    """

    check: str
    reason: str
    accesses: tuple[Access, ...]

    def __str__(self) -> str:
        return f"{self.check}: {self.reason}"


Check: TypeAlias = Callable[[Causality], Iterator[Violation]]


def where(access: Access) -> str:
    """Who did it."""
    return access.lane if access.spot is None else f"{access.lane} on {access.spot.cache}"


def missing(
    check: str, causality: Causality, required: list[Bits], because: str, whole: bool = False
) -> Iterator[Violation]:
    """A violation for each read that does not show what it was required to.

    Parameters
    ----------
    required
        For each position, the writes that it must show.
    because
        Why they are required, to follow "misses … ,".
    """
    for position, access in enumerate(causality.record):
        if access.kind == "read" and required[position]:
            lost = causality.missed(position, required[position], whole)
            if lost is not None:
                yield miss(check, causality, position, lost, because)


def miss(check: str, causality: Causality, position: int, lost: int, because: str) -> Violation:
    """The violation that a read misses a write."""
    record = causality.record
    access, write = record.accesses[position], record.accesses[lost]
    shown = [record.accesses[source] for source in causality.read_from[position]]
    reason = f"{where(access)} {access} and misses {write.values[0]} of {where(write)}, {because}"
    return Violation(check, reason, (access, write, *shown))


def evidence(causality: Causality, violation: Violation) -> Record:
    """The accesses of a violation, and those by which they depend on each other."""
    positions = {access.number: position for position, access in enumerate(causality.record)}
    named = [positions[access.number] for access in violation.accesses]
    kept: set[int] = set(named)
    for start in named:
        for end in named:
            kept.update(causality.path(start, end))
    return Record(tuple(causality.record.accesses[position] for position in sorted(kept)))
