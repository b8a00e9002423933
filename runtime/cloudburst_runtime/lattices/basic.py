"""Last writer wins, priority, sets, maximum, minimum, and the bit that once set stays set."""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeAlias

from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.values import Value, from_canonical

from .base import Lattice

Number: TypeAlias = int | float

COUNTED_MIN = 1_000
"""Sets with more elements than this remember how many bytes they have."""


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


class Priority(Lattice, tag="priority", frozen=True, array_like=True):
    """A value with a priority: the smallest number wins, as in a queue; among equals, the later write."""

    name: ClassVar[str] = "priority"

    priority: Number
    stamp: Micros
    writer: PeerName
    value: Value

    def merge(self, other: Priority) -> Priority:
        return other if self._order() < other._order() else self

    def __le__(self, other: Priority) -> bool:
        return self._order() <= other._order()

    def _order(self) -> tuple[Number, Micros, PeerName, bytes, bool]:
        return (-self.priority, self.stamp, self.writer, self.value.data, isinstance(self.priority, int))

    def reveal(self) -> tuple[Number, Value]:
        return self.priority, self.value

    @property
    def nbytes(self) -> int:
        return 8 + self.value.nbytes


class _Elements(Lattice, frozen=True, array_like=True, dict=True):
    """Elements that only become more.

    They are canonical bytes, held as the keys of a dict: a frozenset would reach the wire in an order that
    differs per hash seed. How many bytes many of them have is counted once, and goes on from set to set.
    """

    elements: dict[bytes, None] = {}  # noqa: RUF012

    def merge(self, other: Self) -> Self:
        merged = type(self)(self.elements | other.elements)
        if len(merged.elements) > COUNTED_MIN:
            new = sum(len(element) for element in other.elements if element not in self.elements)
            merged.__dict__["counted"] = self.nbytes + new
        return merged

    def __le__(self, other: Self) -> bool:
        return self.elements.keys() <= other.elements.keys()

    @property
    def nbytes(self) -> int:
        counted: int | None = self.__dict__.get("counted")
        if counted is None:
            counted = sum(map(len, self.elements))
            if len(self.elements) > COUNTED_MIN:
                self.__dict__["counted"] = counted
        return counted


class SetLattice(_Elements, tag="set", frozen=True, array_like=True):
    """A set that only grows."""

    name: ClassVar[str] = "set"

    def reveal(self) -> set[Any]:
        # In one order whatever order they came in: a set's own order depends on it where hashes collide.
        return {from_canonical(element) for element in sorted(self.elements)}


class OrderedSet(_Elements, tag="ordered-set", frozen=True, array_like=True):
    """A set that only grows, shown as a list in the order of its elements.

    The order is the same everywhere: None, numbers, strings, bytes, tuples part by part, frozensets.
    """

    name: ClassVar[str] = "ordered-set"

    def reveal(self) -> list[Any]:
        return sorted(map(from_canonical, self.elements), key=rank)


def rank(element: object) -> tuple[Any, ...]:
    """A key that sorts any canonical values, of mixed types too.

    Examples
    --------
    >>> sorted(["b", 2, (1, "a"), None, 1.5, "a"], key=rank)
    [None, 1.5, 2, 'a', 'b', (1, 'a')]
    """
    if element is None:
        return (0,)
    if isinstance(element, int | float):  # 1, 1.0 and True are three elements; nan comes last
        nan = element != element
        return (1, nan, 0 if nan else element, type(element).__name__)
    if isinstance(element, str):
        return (2, element)
    if isinstance(element, bytes):
        return (3, element)
    if isinstance(element, tuple):
        return (4, *(rank(part) for part in element))
    assert isinstance(element, frozenset)
    return (5, *sorted(rank(part) for part in element))


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


class Min(Lattice, tag="min", frozen=True, array_like=True):
    """The smallest number put so far."""

    name: ClassVar[str] = "min"

    value: Number

    def merge(self, other: Min) -> Min:
        return other if other._order() < self._order() else self

    def __le__(self, other: Min) -> bool:
        return other._order() <= self._order()

    def _order(self) -> tuple[Number, bool]:
        return (self.value, isinstance(self.value, float))  # as for Max

    def reveal(self) -> Number:
        return self.value

    @property
    def nbytes(self) -> int:
        return 8


class Bool(Lattice, tag="bool", frozen=True, array_like=True):
    """True once anyone has put True."""

    name: ClassVar[str] = "bool"

    value: bool

    def merge(self, other: Bool) -> Bool:
        return other if other.value else self

    def __le__(self, other: Bool) -> bool:
        return other.value or not self.value

    def reveal(self) -> bool:
        return self.value

    @property
    def nbytes(self) -> int:
        return 1
