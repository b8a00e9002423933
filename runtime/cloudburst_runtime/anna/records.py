"""What a replica keeps: a record per key, those of deleted keys among them, and how many changes there were.

Law: a record is never changed, only replaced, and each replacement is a change with a number. Nothing here
knows who asks, or what a value means; what is to be written to disk follows from the `Change`.

The record of a key is its current *version*. Those before it are kept up to two bounds, a number of versions
and the bytes that they have together; a deletion ends with them. What other stores have of them is merged
(`past`). A value that is on disk alone (`stored`) is loaded before anybody looks at it (see `tiers`).

A version is shown under its stamp, so that it has the same number wherever it is kept. A plain value has the
stamp of its write. All else is at least a microsecond later than what it came upon, and what comes of two
stores' versions, when they hear of each other, is a microsecond later than both, the same in either store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from cloudburst_runtime.anna import meetings, past
from cloudburst_runtime.anna.past import BESIDE, NEVER, Origin, Pasts, origin
from cloudburst_runtime.anna.results import RESULTS_PREFIX, Results
from cloudburst_runtime.anna.shelf import later
from cloudburst_runtime.anna.stored import Change, Cold, Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.ids import NODE, Micros, PeerName
from cloudburst_runtime.lattices import LWW, AnyLattice
from cloudburst_runtime.lattices.wrap import plain
from cloudburst_runtime.messages import Earlier, Entry, GetVersion, Met, Version
from cloudburst_runtime.vectors import Vector, covers, joined


class Records:
    """The records of one replica.

    Parameters
    ----------
    config
        For ``tombstones_max``, ``history_max`` and ``history_bytes_max``, and as `Results` wants it.
    name
        Under which the replica's changes count in versions.

    Attributes
    ----------
    seq
        How many changes there have been.
    nbytes
        About how many bytes the keys and their current values have, wherever they are.
    warm_bytes, cold
        How many bytes of values, past ones too, are in memory; how many values are on disk alone.
    live, deleted
        The records of the keys that exist; of those that were deleted, the oldest first.
    results
        Which of the live keys are results, that go when there are too many.
    pasts, past
        The earlier versions of keys; by key, those that are kept, the oldest first.
    forgotten
        The newest generation among the deleted keys that are remembered no more.
    alone
        Whether no other store has these keys. If others have, a key that is unknown here may live there in
        its first generation, and what was forgotten says nothing about it.
    base, former
        Up to which change another name counted, before this store began where that one had ended.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> records = Records(Config())
    >>> records.entry(records.keep("k", 0, Max(7)).record)
    Entry(generation=0, lattice=Max(value=7), version={'node': 1}, deps={})
    """

    def __init__(self, config: Config, name: PeerName = NODE) -> None:
        self.name = name
        self.seq = 0
        self.nbytes = 0
        self.warm_bytes = 0
        self.live: dict[str, Stored] = {}
        self.deleted: dict[str, Stored] = {}
        self.results = Results(config)
        self.pasts = Pasts(config, self._account)
        self.past = self.pasts.of
        self.forgotten: Micros = 0
        self.alone = True
        self.cold = 0
        self.base = 0
        self.former: PeerName = ""
        self._config = config

    # ------------------------------------------------------------ reading

    def find(self, key: str) -> Stored | None:
        """The record of a key that exists or is known to be deleted."""
        return self.live.get(key) or self.deleted.get(key)

    def generation(self, key: str) -> Micros:
        """The generation that a put must know of."""
        record = self.find(key)
        if record is None:
            return self.forgotten if self.alone else 0
        return record.generation

    def version(self, record: Stored) -> Vector:
        """The changes that a record includes."""
        others = record.others or {}
        name = self.name if record.seq > self.base else self.former
        if name not in others:
            return {name: record.seq, **others}
        return {store: number for store, number in others.items() if number}

    def versions(self, key: str) -> list[Stored]:
        """The versions of a key that exists, the latest first."""
        record = self.live.get(key)
        return [] if record is None else [record, *reversed(self.past.get(key, ()))]

    def at(self, key: str, seq: int) -> Stored | None:
        """One version of a key, by the number of its change."""
        return next((version for version in self.versions(key) if version.seq == seq), None)

    def asked(self, get: GetVersion) -> Stored | None:
        """The version of a key that is asked for."""
        named = (each for each in self.versions(get.key) if each.stamp == get.number)
        return next((each for each in named if get.writer in ("", each.writer)), None)

    def describe(self, record: Stored) -> Version:
        """What is told of a version of a key that exists."""
        assert record.lattice is not None
        return Version(
            record.stamp,
            record.stamp,
            record.writer,
            record.lattice.name,
            record.nbytes,
            self.version(record),
            list(record.met),
        )

    def told(self, record: Stored, as_plain: bool = False) -> Earlier:
        """An earlier version as it is sent, ``as_plain`` as of `entry`."""
        lattice = record.lattice
        assert not isinstance(lattice, Cold | None)
        return Earlier(
            record.generation,
            plain(lattice) if as_plain else lattice,
            record.stamp,
            record.writer,
            self.version(record),
            [*record.met],
        )

    def unseen(self, record: Stored, known: Vector) -> bool:
        """Whether a writer that may have known of these changes surely had not seen a version."""
        others = record.others or {}
        if self.name in others:  # any of the changes may be the one that made it what it is
            return all(known.get(store, 0) < number for store, number in others.items() if number)
        name = self.name if record.seq > self.base else self.former
        return known.get(name, 0) < record.seq

    def entry(self, record: Stored | None, as_plain: bool = False) -> Entry | None:
        """A record as it is sent; ``as_plain``: with the value itself, not where it lies in shared memory."""
        if record is None:
            return Entry(self.forgotten, None) if self.forgotten and self.alone else None
        lattice = record.lattice
        assert not isinstance(lattice, Cold), "a value is sent that was not loaded"
        if as_plain and lattice is not None:
            lattice = plain(lattice)
        return Entry(record.generation, lattice, self.version(record), record.deps or {})

    # ------------------------------------------------------------ changes

    def keep(
        self,
        key: str,
        generation: Micros,
        lattice: AnyLattice | None,
        stamp: Micros = 0,
        writer: PeerName = "",
        deps: Vector | None = None,
        met: Sequence[Met] = (),
    ) -> Change:
        """A change of the key: count it, and replace the record; without a lattice the key is deleted."""
        before = self.find(key)
        others = None if before is None else self._others(before)
        stamp, writer = past.said(lattice, (stamp, writer))
        if lattice is not None and type(lattice) is not LWW and before is not None:
            stamp = max(stamp, before.stamp + 1)
        return self._replace(
            key, before, generation, lattice, others, stamp, writer, self._deps(before, deps), met
        )

    def note(self, key: str, met: Met) -> Change:
        """Something met the current version, and left it as it is: no change is counted."""
        before = self.live[key]
        record = msgspec.structs.replace(before, met=[*before.met, met][-meetings.MET_MAX :])
        self.put(key, record)
        return Change(key, record, before, [])

    def absorb(
        self, key: str, entry: Entry, said: Origin | None = None, full: Vector | None = None
    ) -> Change | None:
        """Merge what another store has of the key: a change if it brings something, else None.

        ``said``: when and by whom it was written. ``full``: if the entry is only a part of what the other
        store has, the version of that.
        """
        before = self.find(key)
        met: Sequence[Met] = ()
        said = said or past.said(entry.lattice, (entry.generation, ""))
        beside: Sequence[Stored] = ()
        if before is not None:
            version = self.version(before)
            if covers(version, entry.version) and before.generation >= entry.generation:
                return None
            if isinstance(before.lattice, Cold):  # it cannot be read
                seen = joined(before.deps or {}, entry.deps)
                entry = Entry(entry.generation, entry.lattice, joined(version, entry.version), seen)
            else:
                met = self._between(before, version, entry)
                mine = Entry(before.generation, before.lattice, version, before.deps or {})
                theirs, entry = entry, later(mine, entry)
                if before.generation > theirs.generation:
                    said = origin(before)
                elif before.generation == theirs.generation and entry.version != (full or theirs.version):
                    beside = [] if full else self._met_by(theirs, said)
                    said = past.of_both(mine.lattice, origin(before), theirs.lattice, said)
        others = {self.name: 0, **entry.version}
        said = said if type(entry.lattice) is not LWW else past.said(entry.lattice, said)
        change = self._replace(
            key, before, entry.generation, entry.lattice, others, *said, entry.deps or None, met
        )
        return self._with(change, beside)

    def _met_by(self, theirs: Entry, said: Origin) -> list[Stored]:
        """What another store had, as a version that came before what comes of ours and theirs."""
        if theirs.lattice is None:
            return []
        return [self._foreign(theirs.lattice, theirs.version, *said, theirs.generation)]

    def _foreign(
        self,
        lattice: AnyLattice,
        version: Vector,
        stamp: Micros,
        writer: PeerName,
        generation: Micros = 0,
        met: Sequence[Met] = (),
    ) -> Stored:
        """A version that another store had."""
        self.seq += 1
        others = {self.name: 0, **version}
        return Stored(
            lattice, generation, BESIDE + self.seq, others, stamp, writer, lattice.nbytes, None, met
        )

    def discard(self, key: str) -> list[tuple[str, Stored]]:
        """Keep nothing of the key, for others do; return its versions."""
        ended = self.pasts.end(key)
        record = self.find(key)
        self.put(key, None)
        return [(key, version) for version in ended] + ([(key, record)] if record is not None else [])

    def _replace(
        self,
        key: str,
        before: Stored | None,
        generation: Micros,
        lattice: AnyLattice | None,
        others: Vector | None,
        stamp: Micros,
        writer: PeerName,
        deps: Vector | None,
        met: Sequence[Met],
    ) -> Change:
        nbytes = 0 if lattice is None else lattice.nbytes  # raises if it is nested too deeply
        self.seq += 1
        record = Stored(lattice, generation, self.seq, others, stamp, writer, nbytes, deps, met)
        dropped = [] if before is None else self._retire(key, before, record)
        self.put(key, record)
        if len(self.deleted) > self._config.tombstones_max:
            oldest = next(iter(self.deleted))
            dropped.append((oldest, self.deleted[oldest]))
            self.forgotten = max(self.forgotten, self.deleted.pop(oldest).generation)
        return Change(key, record, before, dropped)

    def put(self, key: str, record: Stored | None) -> None:
        """Replace the record of a key, whatever it was, without counting a change."""
        before = self.live.pop(key, None) if record is None or record.lattice is None else self.live.get(key)
        if before is not None:
            self._account(before, -1)
            self.nbytes -= len(key) + before.nbytes
        if key.startswith(RESULTS_PREFIX):
            self.results.note(key, record.nbytes if record is not None and record.lattice else None)
        self.deleted.pop(key, None)
        if record is None:
            return
        if record.lattice is None:
            self.deleted[key] = record
            return
        self.live[key] = record
        self._account(record, 1)
        self.nbytes += len(key) + record.nbytes

    def undo(self, change: Change) -> None:
        """Take the latest change of a key back, unless there was one after it; what was dropped stays so."""
        latest, before = self.find(change.key), change.before
        for version in change.beside:
            self.pasts.take_out(change.key, version.seq)
        if latest is None or latest.seq != change.record.seq or change.record is before:
            return
        self.put(change.key, before)
        if before is not None:
            self.pasts.take_out(change.key, before.seq)

    def swap(self, key: str, old: Stored, lattice: AnyLattice | Cold | None) -> Stored:
        """The same version, its value loaded or left to the disk."""
        new = msgspec.structs.replace(old, lattice=lattice)
        if self.live.get(key) is old:
            self.put(key, new)
            return new
        kept = self.past.get(key, [])
        for index, version in enumerate(kept):
            if version is old:
                self._account(old, -1)
                kept[index] = new
                self._account(new, 1)
        return new

    # ------------------------------------------------------------ what was on disk

    def recall(self, key: str, versions: list[Stored]) -> list[Stored]:
        """Take over what was found of a key, in order; return what is kept no more."""
        *earlier, latest = versions
        self.seq = max(self.seq, *(version.seq % BESIDE for version in versions))
        self.put(key, latest)
        dropped = []
        for version in earlier:
            if latest.lattice is None or version.generation != latest.generation:
                dropped.append(version)
            else:
                self.past.setdefault(key, []).append(version)
                self._account(version, 1)
        return dropped + self.pasts.trim(key)

    def succeed(self, former: PeerName) -> None:
        """The changes so far were counted under another name; deletions are known in their order."""
        if former != self.name:
            self.former, self.base = former, self.seq

    def fall_back(self, key: str, version: Stored) -> bool:
        """A version cannot be had: drop it. False if it is the only one of its key, which stays."""
        kept = self.past.get(key, [])
        if self.live.get(key) is not version:
            kept[:] = [other for other in kept if other is not version]
            self._account(version, -1)
            return True
        if not kept:
            return False
        latest = kept.pop()
        self._account(latest, -1)
        self.put(key, latest)
        return True

    # ------------------------------------------------------------ history

    @staticmethod
    def _between(before: Stored, version: Vector, entry: Entry) -> Sequence[Met]:
        """What met if neither of two stores had heard of the other's value."""
        mine, theirs = before.lattice, entry.lattice
        if mine is None or theirs is None or isinstance(mine, Cold):
            return ()
        if before.generation != entry.generation or covers(entry.version, version):
            return ()
        return () if covers(version, entry.version) else meetings.between(mine, theirs)

    def _others(self, record: Stored) -> Vector | None:
        """The changes that a version includes and that do not count under our name."""
        if record.others is None and record.seq > self.base:
            return None
        return {store: number for store, number in self.version(record).items() if store != self.name} or None

    def _deps(self, before: Stored | None, more: Vector | None) -> Vector | None:
        """What a version depends on, after the one before."""
        deps = None if before is None else before.deps
        if not more:
            return deps
        foreign = {store: number for store, number in more.items() if store != self.name}
        return joined(deps or {}, foreign) or None

    def lay(self, key: str, versions: Iterable[Earlier]) -> Change | None:
        """Merge earlier versions that another store has of a key; None if nothing is kept of them."""
        record = self.live.get(key)
        if record is None or self._config.history_max < 2:
            return None
        of_now = [each for each in versions if each.generation == record.generation]
        foreign = [
            self._foreign(each.lattice, each.version, each.stamp, each.writer, each.generation, each.met)
            for each in past.lacking(of_now, [*map(origin, self.versions(key))], self.pasts.floor(key))
        ]
        change = self._with(Change(key, record, record, []), foreign)
        return change if change.beside or change.dropped else None

    def _with(self, change: Change, foreign: Sequence[Stored]) -> Change:
        """The change, and these versions beside it, as far as they are not here and there is room."""
        key, record = change.key, change.record
        if not foreign or record.lattice is None:
            return change
        new = past.lacking(foreign, [*map(origin, self.versions(key))], NEVER)
        kept, dropped = self.pasts.merge(key, new)
        gone = [*change.dropped, *((key, version) for version in dropped)]
        return change._replace(dropped=gone, beside=kept)

    def _retire(self, key: str, before: Stored, record: Stored) -> list[tuple[str, Stored]]:
        """The version that is replaced joins the past, which ends with the key's generation."""
        if record.lattice is None or before.lattice is None or record.generation > before.generation:
            return [(key, version) for version in [*self.pasts.end(key), before]]
        if before.stamp == record.stamp and before.writer == record.writer:  # it is the same one
            return [(key, before)]
        return [(key, version) for version in self.pasts.add(key, before)]

    def _account(self, record: Stored, sign: int) -> None:
        if isinstance(record.lattice, Cold):
            self.cold += sign
        else:
            self.warm_bytes += sign * record.nbytes
