"""What a store has left on disk becomes another's.

Law: pure, but for ``read``. A runtime begins with one store, the node's, which takes over what all have
left; the others get their share from it. It begins with names anew, so the numbers under which other stores
had counted mean nothing any more. When a store dies and the runtime goes on, the one that is started in its
place takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from cloudburst_runtime.anna.durable import Recovered, version_place
from cloudburst_runtime.anna.records import Change, Cold, Records, Stored
from cloudburst_runtime.lattices import below, lub
from cloudburst_runtime.vectors import joined

Read = Callable[[bytes], Stored | None]
"""The record under a place, with its value; None if it cannot be had."""


def begin_anew(found: Recovered) -> None:
    """Forget what other stores' numbers were included."""
    for versions in found.versions.values():
        for seq, version in versions.items():
            if version.others or version.deps:
                versions[seq] = msgspec.structs.replace(version, others=None, deps=None)


def whole(key: str, record: Stored, read: Read) -> Stored:
    """A record with its value; `Cold` only if that cannot be read.

    Nothing else is taken from the disk, which may know of stores that were forgotten since.
    """
    if not isinstance(record.lattice, Cold):
        return record
    found = read(version_place(key, record.seq))
    return record if found is None else msgspec.structs.replace(record, lattice=found.lattice)


def inherit(records: Records, read: Read, left: Recovered, read_left: Read) -> Iterator[Change]:
    """Merge what another store has left; the changes that this makes.

    Parameters
    ----------
    records, read
        The first store's, and its disk.
    left, read_left
        What was found of the other one, and its disk.
    """
    for key, versions in left.versions.items():
        found = records.find(key)
        mine = None if found is None else whole(key, found, read)
        merged = _merged(mine, whole(key, versions[max(versions)], read_left))
        if merged is not None and not isinstance(merged.lattice, Cold):
            seen = joined(merged.deps or {}, merged.others or {})
            yield records.keep(
                key, merged.generation, merged.lattice, merged.stamp, merged.writer, seen or None
            )


def _merged(mine: Stored | None, theirs: Stored) -> Stored | None:
    """What both have, as far as it is more than the first has."""
    if mine is None or theirs.generation > mine.generation:
        return theirs
    if theirs.generation < mine.generation or theirs.lattice is None:
        return None
    if mine.lattice is None or isinstance(mine.lattice, Cold):
        return theirs
    if isinstance(theirs.lattice, Cold) or below(theirs.lattice, mine.lattice):
        return None
    return msgspec.structs.replace(theirs, lattice=lub(mine.lattice, theirs.lattice))
