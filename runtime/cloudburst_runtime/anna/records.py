"""What a replica keeps: a record per key, those of deleted keys among them, and how many changes there were.

Law: a record is never changed, only replaced, and each replacement is a change with a number. Nothing here
knows who asks, or what a value means.
"""

from __future__ import annotations

import msgspec

from cloudburst_runtime.ids import NODE, Micros, PeerName
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.wrap import plain
from cloudburst_runtime.messages import Entry
from cloudburst_runtime.vectors import Vector


class Stored(msgspec.Struct, gc=False):
    """What the replica keeps of one key; ``lattice`` is None for a deleted one.

    ``seq`` is the replica's count at its own last change of the key, ``others`` the changes of other stores
    that are included.
    """

    lattice: AnyLattice | None
    generation: Micros
    seq: int
    others: Vector | None = None


class Records:
    """The records of one replica.

    Parameters
    ----------
    tombstones_max
        How many deleted keys are remembered.
    name
        Under which the replica's changes count in versions.

    Attributes
    ----------
    seq
        How many changes there have been.
    nbytes
        About how many bytes keys and values have.
    live, deleted
        The records of the keys that exist; of those that were deleted, the oldest first.
    forgotten
        The newest generation among the deleted keys that are remembered no more.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> records = Records(tombstones_max=10)
    >>> records.entry(records.keep("k", 0, Max(7)))
    Entry(generation=0, lattice=Max(value=7), version={'node': 1})
    """

    def __init__(self, tombstones_max: int, name: PeerName = NODE) -> None:
        self.name = name
        self.seq = 0
        self.nbytes = 0
        self.live: dict[str, Stored] = {}
        self.deleted: dict[str, Stored] = {}
        self.forgotten: Micros = 0
        self._tombstones_max = tombstones_max

    def find(self, key: str) -> Stored | None:
        """The record of a key that exists or is known to be deleted."""
        return self.live.get(key) or self.deleted.get(key)

    def generation(self, key: str) -> Micros:
        """The generation that a put must know of."""
        record = self.find(key)
        return self.forgotten if record is None else record.generation

    def keep(self, key: str, generation: Micros, lattice: AnyLattice | None) -> Stored:
        """A change of the key: count it, and replace the record; without a lattice the key is deleted."""
        grown = 0 if lattice is None else len(key) + lattice.nbytes  # raises if it is nested too deeply
        before = self.find(key)
        if before is not None and before.lattice is not None:
            grown -= len(key) + before.lattice.nbytes
        self.nbytes += grown
        self.seq += 1
        self.deleted.pop(key, None)
        record = Stored(lattice, generation, self.seq, None if before is None else before.others)
        if lattice is not None:
            self.live[key] = record
            return record
        self.live.pop(key, None)
        self.deleted[key] = record
        if len(self.deleted) > self._tombstones_max:
            dropped = self.deleted.pop(next(iter(self.deleted)))
            self.forgotten = max(self.forgotten, dropped.generation)
        return record

    def entry(self, record: Stored | None, as_plain: bool = False) -> Entry | None:
        """A record as it is sent; ``as_plain``: with the value itself, not where it lies in shared memory."""
        if record is None:
            return Entry(self.forgotten, None) if self.forgotten else None
        lattice = record.lattice
        if as_plain and lattice is not None:
            lattice = plain(lattice)
        return Entry(record.generation, lattice, {self.name: record.seq, **(record.others or {})})
