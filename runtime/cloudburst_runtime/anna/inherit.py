"""What a store has left on disk becomes another's.

Law: pure, but for ``read``. A runtime begins with one store, the node's, which takes over what all have
left; the others get their share from it. It begins with names anew, so the numbers under which other stores
had counted mean nothing any more. When a store dies and the runtime goes on, the one that is started in its
place takes over.

A key comes with its history if whoever takes over had nothing of it; else what is current of both is merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from cloudburst_runtime.anna.durable import Recovered, version_place
from cloudburst_runtime.anna.records import Change, Cold, Records, Stored
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.effects import Persist
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
        theirs = whole(key, versions[max(versions)], read_left)
        mine = records.find(key)
        merged = _merged(None if mine is None else whole(key, mine, read), theirs)
        if merged is None or isinstance(merged.lattice, Cold):
            continue
        if mine is None:
            yield from _history(records, key, versions, theirs, read_left)
        yield _kept(records, key, merged)


def written(replica: ReplicaCore, changes: Iterator[Change]) -> Iterator[list[Persist]]:
    """What is to be written for each change that a store makes before it serves."""
    for change in changes:
        yield replica.keeper.changed(change, True)
        replica.keeper.shrink()


def _history(
    records: Records, key: str, versions: dict[int, Stored], latest: Stored, read_left: Read
) -> Iterator[Change]:
    """The versions before the latest, as far as they can be had."""
    if latest.lattice is None:
        return
    for seq in sorted(versions)[:-1]:
        version = whole(key, versions[seq], read_left)
        if version.generation == latest.generation and not isinstance(version.lattice, Cold | None):
            yield _kept(records, key, version)


def _kept(records: Records, key: str, version: Stored) -> Change:
    seen = joined(version.deps or {}, version.others or {})
    return records.keep(
        key,
        version.generation,
        None if isinstance(version.lattice, Cold) else version.lattice,
        version.stamp,
        version.writer,
        seen or None,
        version.met,
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
