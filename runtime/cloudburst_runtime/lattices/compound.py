"""A map whose values are lattices, two types under one key, and what happens where two elements meet.

Law: what stores and caches have learned always merges (`lub`), for a store may not refuse what another one
has acknowledged; only a put may be refused (`join`). So where two stores took puts of two types under one new
key before they heard of each other, both are kept, in a `Mixed`, until somebody decides.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias, TypeVar

from cloudburst_runtime.errors import LatticeMismatch, SerializationError
from cloudburst_runtime.values import from_canonical

from .atomic import Atomic
from .base import LIFTS, Lattice
from .basic import LWW, Bool, Max, Min, OrderedSet, Priority, SetLattice
from .causal import Causal
from .counters import Counter, Grow, VectorClock
from .custom import Custom

K = TypeVar("K", bytes, str)


class MapLattice(Lattice, tag="map", frozen=True, array_like=True):
    """Keys are canonical bytes, values any lattices."""

    name: ClassVar[str] = "map"

    entries: dict[bytes, AnyLattice] = {}  # noqa: RUF012

    def merge(self, other: MapLattice) -> MapLattice:
        return MapLattice(_key_by_key(self.entries, other.entries))

    def __le__(self, other: MapLattice) -> bool:
        return _all_below(self.entries, other.entries)

    def reveal(self) -> dict[Any, Any]:
        return {from_canonical(key): entry.reveal() for key, entry in sorted(self.entries.items())}

    @property
    def nbytes(self) -> int:
        return sum(len(key) + entry.nbytes for key, entry in self.entries.items())


class Mixed(Lattice, tag="mixed", frozen=True, array_like=True):
    """Elements of two types or more that met under one key: one of each family, merged type by type."""

    name: ClassVar[str] = "mixed"

    parts: dict[str, AnyLattice]

    def merge(self, other: Mixed) -> Mixed:
        return Mixed(dict(sorted(_key_by_key(self.parts, other.parts).items())))

    def __le__(self, other: Mixed) -> bool:
        return _all_below(self.parts, other.parts)

    def reveal(self) -> Any:
        raise LatticeMismatch(self.told("this key"))

    def told(self, where: str, read_as: str = "{}") -> str:
        """What is the matter under a key, and what to do."""
        names = [called(part) for part in self.parts.values()]
        return (
            f"{where} holds {' and '.join(map(repr, names))} lattices, which were put at two stores at the "
            f"same time, and are all kept: get(key, lattice={read_as.format(names[0])!r}) reads one of them; "
            "then delete the key, and put what you make of them"
        )

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts.values())


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
    | Mixed
)
"""Every lattice that may cross the wire."""

_above = {above for _, above in LIFTS}
FAMILIES = {above.name: least.name for least, above in LIFTS if least not in _above}
"""Types that merge with another one, by the name of the least that they merge with."""


def _key_by_key(mine: dict[K, AnyLattice], theirs: dict[K, AnyLattice]) -> dict[K, AnyLattice]:
    """Both, with the least upper bound under each key that both have."""
    merged = dict(mine)
    for key, part in theirs.items():
        merged[key] = lub(merged[key], part) if key in merged else part
    return merged


def _all_below(mine: dict[K, AnyLattice], theirs: dict[K, AnyLattice]) -> bool:
    return all(below(part, theirs.get(key)) for key, part in mine.items())


def called(element: Lattice) -> str:
    """What users call the type of an element."""
    return element.kind if isinstance(element, Custom) else element.name


def family(element: Lattice) -> str:
    """Equal for elements that merge with each other.

    Examples
    --------
    >>> family(Max(3)), family(Custom("mine", Causal()))
    ('max', 'custom mine')
    """
    if isinstance(element, Custom):
        return f"custom {element.kind}"
    return FAMILIES.get(element.name, element.name)


def lub(mine: Any, theirs: Any) -> Any:
    """The least upper bound of any two elements.

    Examples
    --------
    >>> lub(Max(3), Max(5)), lub(Max(3), Bool(True))
    (Max(value=5), Mixed(parts={'bool': Bool(value=True), 'max': Max(value=3)}))
    """
    if type(mine) is type(theirs) and (type(mine) is not Custom or mine.kind == theirs.kind):
        return mine.merge(theirs)
    lift = LIFTS.get((type(mine), type(theirs)))
    if lift is not None:
        return lift(mine).merge(theirs)
    lift = LIFTS.get((type(theirs), type(mine)))
    if lift is not None:
        return mine.merge(lift(theirs))
    return _mixed(mine).merge(_mixed(theirs))


def _mixed(element: Any) -> Mixed:
    return element if isinstance(element, Mixed) else Mixed({family(element): element})


def join(mine: Any, theirs: Any, key: str) -> Any:
    """Merge what is put under ``key``.

    Raises
    ------
    LatticeMismatch
        If the two are of different lattice types, and neither can become the other's; or if there are two
        under the key already.
    """
    if type(mine) is not type(theirs) or type(mine) in _MIXABLE:
        _agree(mine, theirs, f"key {key!r}")
    return lub(mine, theirs)


_MIXABLE = (MapLattice, Mixed, Custom)
"""Two elements of one such type may disagree all the same."""


def _agree(mine: Any, theirs: Any, where: str) -> None:
    if isinstance(mine, Mixed):
        raise LatticeMismatch(mine.told(where))
    if isinstance(mine, MapLattice) and isinstance(theirs, MapLattice):
        for key, part in theirs.entries.items():
            if key in mine.entries:
                _agree(mine.entries[key], part, f"{_shown(key)} of the map under {where}")
    elif family(mine) != family(theirs):
        top = where.startswith("key ") and mine.named
        again = f"with lattice={called(mine)!r}, " if top else ""
        raise LatticeMismatch(
            f"{where} holds a {called(mine)!r} lattice, and a {called(theirs)!r} value was put: "
            f"put it {again}under another key, or delete the key first"
        )


def below(mine: Lattice, theirs: Lattice | None) -> bool:
    """Whether ``theirs`` contains all that ``mine`` knows, being of the same type or of one above it."""
    if theirs is None or type(mine) is type(theirs):
        return theirs is not None and mine <= theirs
    if isinstance(theirs, Mixed):
        return below(mine, theirs.parts.get(family(mine)))
    lift = LIFTS.get((type(mine), type(theirs)))
    return lift is not None and lift(mine) <= theirs


def _shown(key: bytes) -> str:
    try:
        return repr(from_canonical(key))
    except SerializationError:  # from a peer that does not keep to the encoding
        return repr(key)
