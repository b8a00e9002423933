"""A map whose values are lattices; merging is key by key."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

from cloudburst_runtime.errors import SerializationError
from cloudburst_runtime.values import from_canonical

from .atomic import Atomic
from .base import Lattice, below, join
from .basic import LWW, Bool, Max, Min, OrderedSet, Priority, SetLattice
from .causal import Causal
from .counters import Counter, Grow, VectorClock
from .custom import Custom


class MapLattice(Lattice, tag="map", frozen=True, array_like=True):
    """Keys are canonical bytes, values any lattices; two types under one key are a `LatticeMismatch`."""

    name: ClassVar[str] = "map"

    entries: dict[bytes, AnyLattice] = {}  # noqa: RUF012

    def merge(self, other: MapLattice) -> MapLattice:
        merged: dict[bytes, Any] = dict(self.entries)
        theirs: Any
        for key, theirs in other.entries.items():
            mine = merged.get(key)
            if mine is None:
                merged[key] = theirs
            elif type(mine) is type(theirs):
                merged[key] = mine.merge(theirs)
            else:
                join(mine, theirs, f"{_shown(key)} of a map")  # raises
        return MapLattice(merged)

    def __le__(self, other: MapLattice) -> bool:
        return all(below(mine, other.entries.get(key)) for key, mine in self.entries.items())

    def reveal(self) -> dict[Any, Any]:
        return {from_canonical(key): entry.reveal() for key, entry in sorted(self.entries.items())}

    @property
    def nbytes(self) -> int:
        return sum(len(key) + entry.nbytes for key, entry in self.entries.items())


AnyLattice: TypeAlias = (
    LWW
    | Atomic
    | Causal
    | Priority
    | SetLattice
    | OrderedSet
    | Max
    | Min
    | Bool
    | Grow
    | Counter
    | VectorClock
    | Custom
    | MapLattice
)
"""Every lattice that may cross the wire."""


def _shown(key: bytes) -> str:
    try:
        return repr(from_canonical(key))
    except SerializationError:  # from a peer that does not keep to the encoding
        return repr(key)
