"""What atomic calls had committed when a runtime ended is published in full when the next one begins.

Law: pure, but for ``read``. The record of a call is its commit (`executor/atomic.py`); whoever was to publish
what it has, and to delete it after some time, is gone with the runtime. So each write of it that is not there
yet is made, unless its key was deleted since or holds something else; then the record is of no more use.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.anna.inherit import Read, whole
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.stored import Change, Cold, Stored
from cloudburst_runtime.effects import Persist
from cloudburst_runtime.errors import LatticeMismatch
from cloudburst_runtime.lattices import Atomic, MapLattice, below, join
from cloudburst_runtime.lattices.atomic import RECORDS_PREFIX
from cloudburst_runtime.values import from_canonical


def committed(records: Records) -> list[str]:
    """The keys of the records that are left."""
    return [key for key in records.live if key.startswith(RECORDS_PREFIX)]


def finish(replica: ReplicaCore, read: Read) -> Iterator[list[Persist]]:
    """Publish what each record that is left has, and forget the record; what is to be written for it."""
    records, keeper = replica.records, replica.keeper
    for record in committed(records):
        persists = [
            each for change in publish(records, read, record) for each in keeper.changed(change, True)
        ]
        yield [*persists, *keeper.dropped(records.discard(record))]


def publish(records: Records, read: Read, record: str) -> Iterator[Change]:
    """Make the writes that the record under this key has, as far as they are not there; the changes."""
    found = _find(records, read, record)
    if found is None or not isinstance(found.lattice, MapLattice):
        return
    for name, part in found.lattice.entries.items():
        if isinstance(part, Atomic):
            yield from _publish(records, read, str(from_canonical(name)), part)


def _publish(records: Records, read: Read, key: str, part: Atomic) -> Iterator[Change]:
    generation = records.generation(key)
    if generation > part.stamp:  # it was deleted since
        return
    mine = _find(records, read, key)
    if mine is None or mine.lattice is None:
        yield records.keep(key, generation, part, part.stamp, part.writer)
    elif not isinstance(mine.lattice, Cold) and not below(part, mine.lattice):
        try:
            merged = join(mine.lattice, part, key)
        except LatticeMismatch:
            return
        yield records.keep(key, generation, merged, part.stamp, part.writer)


def _find(records: Records, read: Read, key: str) -> Stored | None:
    """What is under a key, with its value."""
    found = records.find(key)
    return None if found is None else whole(key, found, read)
