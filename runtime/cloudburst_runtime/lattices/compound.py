"""A map whose values are lattices; merging is key by key."""

from __future__ import annotations

from typing import Any, ClassVar

from cloudburst_runtime.values import from_canonical

from .base import Lattice, join
from .basic import LWW, Counter, Max, SetLattice


class MapLattice(Lattice, tag="map", frozen=True, array_like=True):
    """Keys are canonical bytes, values any lattices; two types under one key are a `LatticeMismatch`."""

    name: ClassVar[str] = "map"

    entries: dict[bytes, LWW | SetLattice | Max | Counter | MapLattice] = {}  # noqa: RUF012

    def merge(self, other: MapLattice) -> MapLattice:
        merged: dict[bytes, Any] = dict(self.entries)
        for key, theirs in other.entries.items():
            mine = merged.get(key)
            merged[key] = theirs if mine is None else join(mine, theirs, repr(from_canonical(key)))
        return MapLattice(merged)

    def __le__(self, other: MapLattice) -> bool:
        return bool(self.merge(other) == other)

    def reveal(self) -> dict[Any, Any]:
        return {from_canonical(key): entry.reveal() for key, entry in sorted(self.entries.items())}

    @property
    def nbytes(self) -> int:
        return sum(len(key) + entry.nbytes for key, entry in self.entries.items())
