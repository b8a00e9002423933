"""What a store has left on disk becomes another's.

Law: pure, but for ``read``. A runtime begins with one store, the node's, which takes over what all have
left; the others get their share from it. It begins with names anew, so the numbers under which other stores
had counted mean nothing any more. When a store dies and the runtime goes on, the one that is started in its
place takes over.

A key comes with its history. If whoever takes over had something of it, what is current of both is merged,
and so are the versions before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from cloudburst_runtime.anna.durable import Recovered, version_place
from cloudburst_runtime.anna.past import BESIDE, in_order, origin
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.stored import Change, Cold, Stored
from cloudburst_runtime.effects import Persist
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import below, lub
from cloudburst_runtime.vectors import joined

Read = Callable[[bytes], Stored | None]
"""The record under a place, with its value; None if it cannot be had."""


def begin_anew(found: Recovered) -> None:
    """Forget what other stores' numbers were included."""
    for versions in found.versions.values():
        for seq, version in versions.items():
            if version.others or version.deps:
                others = {NODE: 0} if seq >= BESIDE else None  # such a number is of no store's changes
                versions[seq] = msgspec.structs.replace(version, others=others, deps=None)


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
        *earlier, latest = in_order(versions)
        theirs = whole(key, latest, read_left)
        mine = records.find(key)
        merged = _merged(None if mine is None else whole(key, mine, read), theirs)
        past = _history(key, earlier, theirs, read_left)
        if merged is not None and not isinstance(merged.lattice, Cold):
            if mine is None:
                yield from (_kept(records, key, version) for version in past)
            yield _kept(records, key, merged)
        if mine is not None:
            yield from _laid(records, key, [*past, theirs])


def written(replica: ReplicaCore, changes: Iterator[Change]) -> Iterator[list[Persist]]:
    """What is to be written for each change that a store makes before it serves."""
    for change in changes:
        yield replica.keeper.changed(change, True)
        replica.keeper.shrink()


def _history(key: str, earlier: list[Stored], latest: Stored, read_left: Read) -> list[Stored]:
    """The versions before the latest, as far as they can be had."""
    versions = [whole(key, version, read_left) for version in earlier]
    return [
        version
        for version in versions
        if latest.lattice is not None and version.generation == latest.generation
        if not isinstance(version.lattice, Cold | None)
    ]


def _laid(records: Records, key: str, versions: list[Stored]) -> Iterator[Change]:
    """Versions that come to lie beside those that are here, unless they have become the current one."""
    current = records.find(key)
    told = [
        records.told(
            msgspec.structs.replace(version, seq=BESIDE, others={**(version.others or {}), records.name: 0})
        )
        for version in versions
        if not isinstance(version.lattice, Cold | None)
        if current is not None and origin(version) != origin(current)
    ]
    change = records.lay(key, told)
    if change is not None:
        yield change


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
