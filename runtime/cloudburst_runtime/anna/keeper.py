"""The keeper: what of a replica lies on disk, and which of it must be in memory before an event is taken.

Law: this file turns changes into `Persist` and says what must be loaded; it writes and reads nothing, and
does not know what a request means. It is the only one that puts a `Cold` in the place of a value, and the
only one that takes it away again.

With a ``state_dir`` every version is on disk, and a value leaves memory by being forgotten. Without, nothing
is; then a value that must leave is written at that moment, to a file that ends with the runtime. If that has
no room, whoever writes is refused. Who reads is not: until the next change, only what is on disk leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cloudburst_runtime.anna import tiers
from cloudburst_runtime.anna.durable import (
    FORMAT,
    HERE,
    Here,
    Recovered,
    change_of,
    key_of,
    seq_of,
    version_place,
)
from cloudburst_runtime.anna.past import in_order
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.stored import Change, Cold, Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Loaded, Persist, Unwritten
from cloudburst_runtime.messages import Papers


class _Demotion(NamedTuple):
    """A version whose value has left memory, as it was."""

    key: str
    warm: Stored


class Keeper:
    """The disk's side of one replica's records.

    Parameters
    ----------
    records
        Of the replica.
    config
        For ``state_dir`` and ``memory_bytes_max``.

    Attributes
    ----------
    papers
        What is to be on disk of who this is, if anything is.
    unreadable
        By key, why its value cannot be had.
    """

    def __init__(self, records: Records, config: Config) -> None:
        self.papers: Papers | None = None
        self.unreadable: dict[str, str] = {}
        self._records = records
        self._durable = bool(config.state_dir)
        self._bytes_max = config.memory_bytes_max
        self._used: dict[str, None] = {}
        self._written: dict[bytes, None] = {}  # without a state_dir: the places that are on disk
        self._damaged: dict[str, list[bytes]] = {}
        self._begun: list[Persist] = []
        self._life = 1
        self._latest: tuple[Change, ...] = ()
        self._full = False  # a read could not let values leave, and nothing has changed since

    # ------------------------------------------------------------ the beginning

    def recover(self, found: Recovered) -> None:
        """Take over what was on disk when this store began."""
        records = self._records
        self._life = found.life
        if found.here is not None:
            records.forgotten = found.here.forgotten
        for key, versions in found.versions.items():
            for version in records.recall(key, in_order(versions)):
                self._begun.append(Persist(version_place(key, version.seq), None))
        for places in found.damaged.values():  # a place is never used again while something else lies there
            records.seq = max(records.seq, *map(change_of, places))
        records.deleted = dict(sorted(records.deleted.items(), key=lambda item: item[1].seq))
        records.results.sort(sorted(records.live, key=lambda key: records.live[key].seq))
        if found.here is not None:
            records.succeed(found.here.name)
        self._damaged = found.damaged
        self.unreadable = {key: f"key {key!r} is damaged on disk" for key in found.damaged}
        for key in found.versions:
            self.unreadable.pop(key, None)

    def begin(self) -> list[Persist]:
        """What is written first: whose store this is."""
        if not self._durable:
            return []
        begun, self._begun = self._begun, []
        return [Persist(HERE, self._here()), *begun, *self.shrink()]

    def _here(self) -> Here:
        return Here(FORMAT, self._records.name, self._records.forgotten, self._life, self.papers)

    # ------------------------------------------------------------ changes

    def changed(self, change: Change, sync: bool, moved: bool = False) -> list[Persist]:
        """What a change of a key means for the disk; ``moved`` as of `Persist`."""
        key, record = change.key, change.record
        self.unreadable.pop(key, None)
        self._full = False
        effects: list[Persist] = []
        if self._durable:
            if record is not change.before:
                effects.append(Persist(version_place(key, record.seq), record, sync, (change,), moved))
            effects += [
                Persist(version_place(key, version.seq), version, sync, (change,), moved)
                for version in change.beside
            ]
        gone: list[bytes] = []
        if self._durable or self._written or self._damaged:  # else there is nothing on disk
            gone = [version_place(other, version.seq) for other, version in change.dropped]
            gone += self._damaged.pop(key, ())
        if self._durable:
            effects += [Persist(place, None, sync) for place in gone]
            if any(other != key for other, _ in change.dropped):  # a deletion is forgotten
                effects.append(Persist(HERE, self._here(), sync))
        else:
            effects += [Persist(place, None) for place in gone if self._written.pop(place, 0) is None]
        if self._bytes_max is not None and self._records.warm_bytes > self._bytes_max:
            self._latest = (change,)  # until `shrink`
        return effects

    def dropped(self, versions: Iterable[tuple[str, Stored]]) -> list[Persist]:
        """These versions are kept no more, for other stores have the key."""
        places = [version_place(key, version.seq) for key, version in versions]
        if self._durable:
            return [Persist(place, None) for place in places]
        return [Persist(place, None) for place in places if self._written.pop(place, 0) is None]

    def take_back(self, event: Unwritten) -> None:
        """What could not be written has not happened."""
        for persist in reversed(event.persists):
            for done in reversed(persist.undo or ()):
                if isinstance(done, Change):
                    self._records.undo(done)
                else:
                    self._bring_back(done)
        if event.persists and all(persist.spare for persist in event.persists):
            self._full = True
            self.shrink()  # what is on disk leaves

    def _bring_back(self, done: _Demotion) -> None:
        """A value that could not be written is in memory again, whatever has been done with it since."""
        self._written.pop(version_place(done.key, done.warm.seq), None)
        version = self._records.at(done.key, done.warm.seq)
        if version is not None and isinstance(version.lattice, Cold):
            self._records.swap(done.key, version, done.warm.lattice)

    # ------------------------------------------------------------ what is cold

    def cold(self, keys: Iterable[str]) -> list[bytes]:
        """Where the current values of these keys lie that are not in memory."""
        places = []
        for key in keys:
            record = self._records.live.get(key)
            if record is not None and isinstance(record.lattice, Cold) and key not in self.unreadable:
                places.append(version_place(key, record.seq))
        return places

    def cold_versions(self, key: str, versions: Iterable[Stored]) -> list[bytes]:
        """Where those of these versions of a key lie that are not in memory."""
        if key in self.unreadable:
            return []
        return [version_place(key, each.seq) for each in versions if isinstance(each.lattice, Cold)]

    def use(self, keys: Iterable[str]) -> None:
        """These keys are used."""
        limit = self._bytes_max
        if limit is not None and self._records.warm_bytes > tiers.NOTED_FROM_SHARE * limit:
            for key in keys:
                self._used.pop(key, None)
                self._used[key] = None

    def loaded(self, event: Loaded) -> None:
        """Values that were cold are here, or cannot be had."""
        for place, found in event.found.items():
            key, seq = key_of(place), seq_of(place)
            for version in self._records.versions(key):
                if version.seq != seq or not isinstance(version.lattice, Cold):
                    continue
                if isinstance(found, Stored) and found.lattice is not None:
                    self._records.swap(key, version, found.lattice)
                else:
                    self._lose(key, version, found or f"the value of key {key!r} is not on disk")

    def _lose(self, key: str, version: Stored, why: str) -> None:
        """A value cannot be had: an earlier version takes its place, if there is one."""
        self._damaged.setdefault(key, []).append(version_place(key, version.seq))
        if not self._records.fall_back(key, version):
            self.unreadable[key] = why

    # ------------------------------------------------------------ memory

    def shrink(self, moved: bool = False) -> list[Persist]:
        """Let values leave memory if there are too many; without room, the latest change is undone."""
        undo, self._latest = self._latest, ()
        wanted = tiers.excess(self._records.warm_bytes, self._bytes_max)
        if not wanted:
            return []
        effects: list[Persist] = []
        before = self._records.warm_bytes
        for key, version in self._earlier():
            if before - self._records.warm_bytes >= wanted:
                break
            effects += self._demote(key, version, undo, moved)
        left = wanted - (before - self._records.warm_bytes)
        for key in tiers.coldest(self._current(), self._used, left):
            effects += self._demote(key, self._records.live[key], undo, moved)
        self._used.clear()
        return effects

    def _earlier(self) -> Iterator[tuple[str, Stored]]:
        for key, versions in list(self._records.past.items()):
            for version in list(versions):
                small = version.nbytes < tiers.DEMOTED_BYTES_MIN
                if not small and not isinstance(version.lattice, Cold) and self._may_leave(key, version):
                    yield key, version

    def _current(self) -> Iterator[tuple[str, int]]:
        for key, record in self._records.live.items():
            if not isinstance(record.lattice, Cold) and self._may_leave(key, record):
                yield key, record.nbytes

    def _may_leave(self, key: str, version: Stored) -> bool:
        return not self._full or version_place(key, version.seq) in self._written

    def _demote(self, key: str, version: Stored, undo: tuple[Change, ...], moved: bool) -> list[Persist]:
        lattice = version.lattice
        assert lattice is not None
        assert not isinstance(lattice, Cold)
        self._records.swap(key, version, Cold(lattice.name))
        place = version_place(key, version.seq)
        if self._durable or place in self._written:
            return []
        self._written[place] = None
        return [Persist(place, version, True, (*undo, _Demotion(key, version)), moved, not undo)]
