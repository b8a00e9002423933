"""The lattices: how concurrent writes of one key become one value."""

from .base import Lattice, below, join
from .basic import LWW, Bool, Max, Min, Number, OrderedSet, Priority, SetLattice
from .compound import AnyLattice, MapLattice
from .counters import Counter, Grow, VectorClock

__all__ = [
    "LWW",
    "AnyLattice",
    "Bool",
    "Counter",
    "Grow",
    "Lattice",
    "MapLattice",
    "Max",
    "Min",
    "Number",
    "OrderedSet",
    "Priority",
    "SetLattice",
    "VectorClock",
    "below",
    "join",
]
