"""The lattices: how concurrent writes of one key become one value."""

from .atomic import Atomic
from .base import Lattice
from .basic import LWW, Bool, Max, Min, Number, OrderedSet, Priority, SetLattice
from .causal import Causal
from .compound import AnyLattice, MapLattice, Mixed, below, join, lub
from .counters import Counter, Grow, VectorClock
from .custom import Custom

__all__ = [
    "LWW",
    "AnyLattice",
    "Atomic",
    "Bool",
    "Causal",
    "Counter",
    "Custom",
    "Grow",
    "Lattice",
    "MapLattice",
    "Max",
    "Min",
    "Mixed",
    "Number",
    "OrderedSet",
    "Priority",
    "SetLattice",
    "VectorClock",
    "below",
    "join",
    "lub",
]
