"""What a lattice is: a value that merges, so that replicas need no coordination.

Laws, checked for every type by one property (``lattices.laws``): ``merge`` is associative, commutative
and idempotent, returns a new value, and ``a <= b`` exactly if ``a.merge(b) == b``. After Conway et al.,
"Logic and Lattices for Distributed Programming" (SoCC 2012), and Wu et al., "Anna" (ICDE 2018), section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from cloudburst_runtime.errors import LatticeMismatch

L = TypeVar("L", bound="Lattice")


class Lattice(msgspec.Struct, array_like=True, frozen=True):
    """One element of a join semilattice; immutable, and its own wire form."""

    name: ClassVar[str] = "lattice"
    """What users call the type in ``put(…, lattice=name)``."""
    named: ClassVar[bool] = True
    """Whether it is made by that name, and not of what is put."""

    def merge(self, other: Self) -> Self:
        """The least upper bound of both."""
        raise NotImplementedError

    def __le__(self, other: Self) -> bool:
        """True if ``other`` already contains all that ``self`` knows."""
        return bool(self.merge(other) == other)

    def reveal(self) -> Any:
        """The Python value that users see; for a last-writer-wins pair the `Value`, still encoded."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """About how many bytes of payload this element has."""
        raise NotImplementedError


LIFTS: dict[tuple[type[Lattice], type[Lattice]], Callable[[Any], Lattice]] = {}
"""How an element of one type becomes one of another that it may meet: a homomorphism, so the laws hold
across both: from ``lww`` to ``atomic``, and from both to ``causal``."""


def join(mine: L, theirs: Lattice, key: str) -> L:
    """Merge what meets under ``key``.

    Raises
    ------
    LatticeMismatch
        If the two are of different lattice types, and neither can become the other's.
    """
    merged: Any
    other: Any = theirs
    if type(mine) is type(theirs):
        try:
            merged = mine.merge(other)
        except LatticeMismatch as error:  # of a part of it
            raise LatticeMismatch(f"key {key!r}: {error}") from None
    elif (lift := LIFTS.get((type(mine), type(theirs)))) is not None:
        merged = lift(mine).merge(other)
    elif (lift := LIFTS.get((type(theirs), type(mine)))) is not None:
        other = lift(other)
        merged = mine.merge(other)
    else:
        advice = f"put it with lattice={mine.name!r}, under" if mine.named else "put it under"
        raise LatticeMismatch(
            f"key {key!r} holds a {mine.name!r} lattice, and a {theirs.name!r} value was put: "
            f"{advice} another key, or delete the key first"
        )
    return merged  # type: ignore[no-any-return]


def below(mine: Lattice, theirs: Lattice | None) -> bool:
    """Whether ``theirs`` contains all that ``mine`` knows, being of the same type or of one above it."""
    if theirs is None or type(mine) is type(theirs):
        return theirs is not None and mine <= theirs
    lift = LIFTS.get((type(mine), type(theirs)))
    return lift is not None and lift(mine) <= theirs
