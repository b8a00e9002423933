"""The lattices: how concurrent writes of one key become one value."""

from typing import TypeAlias

from .base import Lattice, below, join
from .basic import LWW, Counter, Max, Number, SetLattice
from .compound import MapLattice

AnyLattice: TypeAlias = LWW | SetLattice | Max | Counter | MapLattice
"""Every lattice that may cross the wire."""

__all__ = [
    "LWW",
    "AnyLattice",
    "Counter",
    "Lattice",
    "MapLattice",
    "Max",
    "Number",
    "SetLattice",
    "below",
    "join",
]
