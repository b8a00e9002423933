"""Last writer wins, grow-only set, maximum, and up-down counter."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.values import Value, from_canonical

from .base import Lattice

Number: TypeAlias = int | float


class LWW(Lattice, tag="lww", frozen=True, array_like=True):
    """A value with the stamp of its write: of two writes the later one wins, a tie goes by the writer.

    Two writes with the same (stamp, writer) are the same write; a writer never stamps two alike. Should
    it happen all the same, the larger encoding wins, so that replicas agree.
    """

    name: ClassVar[str] = "lww"

    stamp: Micros
    writer: PeerName
    value: Value

    def merge(self, other: LWW) -> LWW:
        return other if self._order() < other._order() else self

    def __le__(self, other: LWW) -> bool:
        return self._order() <= other._order()

    def _order(self) -> tuple[Micros, PeerName, bytes]:
        return (self.stamp, self.writer, self.value.data)

    def reveal(self) -> Value:
        return self.value

    @property
    def nbytes(self) -> int:
        return self.value.nbytes


class SetLattice(Lattice, tag="set", frozen=True, array_like=True):
    """A set that only grows.

    Elements are canonical bytes, held as the keys of a dict: a frozenset would reach the wire in an order
    that differs per hash seed.
    """

    name: ClassVar[str] = "set"

    elements: dict[bytes, None] = {}  # noqa: RUF012

    def merge(self, other: SetLattice) -> SetLattice:
        return SetLattice(self.elements | other.elements)

    def __le__(self, other: SetLattice) -> bool:
        return self.elements.keys() <= other.elements.keys()

    def reveal(self) -> set[Any]:
        # In one order whatever order they came in: a set's own order depends on it where hashes collide.
        return {from_canonical(element) for element in sorted(self.elements)}

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.elements))


class Max(Lattice, tag="max", frozen=True, array_like=True):
    """The largest number put so far."""

    name: ClassVar[str] = "max"

    value: Number

    def merge(self, other: Max) -> Max:
        return other if self._order() < other._order() else self

    def __le__(self, other: Max) -> bool:
        return self._order() <= other._order()

    def _order(self) -> tuple[Number, bool]:
        return (self.value, isinstance(self.value, float))  # 1 and 1.0 are equal, and must merge to one

    def reveal(self) -> Number:
        return self.value

    @property
    def nbytes(self) -> int:
        return 8


class Counter(Lattice, tag="counter", frozen=True, array_like=True):
    """An up-down counter: per writer what it added and what it took away, each only growing.

    A writer puts its own totals, so that a put that arrives twice counts once. After Shapiro et al.,
    "A comprehensive study of CRDTs" (INRIA RR-7506, 2011), section 3.1.3.
    """

    name: ClassVar[str] = "counter"

    totals: dict[PeerName, tuple[Number, Number]] = {}  # noqa: RUF012

    def merge(self, other: Counter) -> Counter:
        merged = dict(self.totals)
        for writer, (up, down) in other.totals.items():
            mine = merged.get(writer, (0, 0))
            merged[writer] = (_larger(mine[0], up), _larger(mine[1], down))
        return Counter(merged)

    def __le__(self, other: Counter) -> bool:
        for writer, (up, down) in self.totals.items():
            theirs = other.totals.get(writer)
            if theirs is None or _exceeds(up, theirs[0]) or _exceeds(down, theirs[1]):
                return False
        return True

    def reveal(self) -> Number:
        ups = [self.totals[writer] for writer in sorted(self.totals)]
        return sum(up for up, _ in ups) - sum(down for _, down in ups)

    @property
    def nbytes(self) -> int:
        return sum(len(writer) + 16 for writer in self.totals)


def _exceeds(mine: Number, theirs: Number) -> bool:
    """Whether ``mine`` is the larger; of 1 and 1.0, which are equal and must merge to one, the float is."""
    return (mine, isinstance(mine, float)) > (theirs, isinstance(theirs, float))


def _larger(mine: Number, theirs: Number) -> Number:
    return theirs if _exceeds(theirs, mine) else mine
