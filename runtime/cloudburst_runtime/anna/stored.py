"""A version of a key as a replica keeps it, and what a change of a key is.

Law: these are values that are replaced, never changed; `records` decides what becomes of them. A lattice
element may be on disk alone: then a `Cold` stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import LWW, AnyLattice
from cloudburst_runtime.messages import Met
from cloudburst_runtime.vectors import Vector


class Cold(msgspec.Struct, gc=False, frozen=True):
    """Stands for a lattice element that is on disk: its type."""

    name: str


class Stored(msgspec.Struct, gc=False):
    """A version of a key; ``lattice`` is None for a deletion.

    ``seq`` is the replica's count at the change that made it, ``others`` the changes of other stores
    that are included. The change is one of this store's own, unless ``others`` has its name, too: then it was
    learned from another store, and that number, or 0, is of its own last change. From `BESIDE` on, ``seq``
    only tells a version that another store had from others of its key. ``stamp`` and ``writer`` say
    when it was written and by whom, ``nbytes`` how many bytes the value has, wherever it is. ``deps`` are
    changes of other stores that its writers had seen: of the store's own whose change it is, they had seen
    none that is later. ``met`` are the latest writes that met in it.
    """

    lattice: AnyLattice | Cold | None
    generation: Micros
    seq: int
    others: Vector | None = None
    stamp: Micros = 0
    writer: PeerName = ""
    nbytes: int = 0
    deps: Vector | None = None
    met: Sequence[Met] = ()


class Change(NamedTuple):
    """A key's new version, the one before, and the versions (by key) that are kept no more.

    ``beside``: earlier versions that came from another store. If nothing but these came, ``record`` is
    ``before``.
    """

    key: str
    record: Stored
    before: Stored | None
    dropped: list[tuple[str, Stored]]
    beside: Sequence[Stored] = ()


NO_BUFFERS: list[memoryview] = []
"""The buffers of all values that have none."""


def compact(lattice: AnyLattice, writer: PeerName) -> AnyLattice:
    """The same element, in less memory: what many elements have in common they share.

    Examples
    --------
    >>> from cloudburst_runtime.values import encode
    >>> name = "c1"
    >>> compact(LWW(7, "".join(["c", "1"]), encode(1)), name).writer is name
    True
    """
    if type(lattice) is not LWW:
        return lattice
    if not lattice.value.buffers:
        lattice.value.buffers = NO_BUFFERS
    return LWW(lattice.stamp, writer, lattice.value) if lattice.writer == writer else lattice
