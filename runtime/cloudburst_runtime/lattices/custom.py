"""Lattices that users define: any class with a ``merge``.

Law: the store runs no code of users. What it keeps of such a value are causal siblings, which it never merges
itself; whoever reads them merges them, and whoever writes replaces what he has read by the merged whole. So a
value that several write at once lies there in a few parts, and what is read is their least upper bound.

A class that has a ``delta`` besides says what is new in a value. Then only that is written, and travels, as
one more part, and the whole takes the place of all when there are `PARTS_MAX`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar

from cloudburst_runtime.values import Value

from .base import Lattice
from .causal import Causal

MARK = "__cloudburst_lattice__"
"""The attribute of a class that makes its instances lattices: the lattice's name."""
DELTA = "delta"
"""The method that such a class may have: ``whole.delta(since)`` is what ``since`` lacks of ``whole``."""
PARTS_MAX = 16
"""So many parts of a value are written beside each other; the next write merges them."""


class Custom(Lattice, tag="custom", frozen=True, array_like=True):
    """Parts of a user's lattice: ``kind`` is its name, which makes it a type of its own."""

    name: ClassVar[str] = "custom"
    named: ClassVar[bool] = False

    kind: str
    parts: Causal

    def merge(self, other: Custom) -> Custom:
        assert self.kind == other.kind, "two lattices of users are kept side by side"
        return Custom(self.kind, self.parts.merge(other.parts))

    def __le__(self, other: Custom) -> bool:
        return self.kind == other.kind and self.parts <= other.parts

    def whole(self, decode: Callable[[Value], Any]) -> Any:
        """The user's value: all parts, merged."""
        return reduce(lambda one, other: one.merge(other), map(decode, self.parts.values))

    def reveal(self) -> list[Value]:
        return self.parts.values

    @property
    def nbytes(self) -> int:
        return len(self.kind) + self.parts.nbytes


def kind_of(value: object) -> str | None:
    """The name of the lattice that a value is an element of; None if it is of none that users defined.

    Examples
    --------
    >>> kind_of(3) is None
    True
    """
    kind = getattr(type(value), MARK, None)
    return kind if isinstance(kind, str) else None
