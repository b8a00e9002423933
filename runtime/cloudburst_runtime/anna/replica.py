"""One replica of the store: it takes puts, reads and deletions, and answers.

Law: everything that changes the store goes through `ReplicaCore`; this file does not know what a value
means, only that it merges. It knows nothing of other replicas. What it keeps is in `records`, who watches
a key or waits for it in `watches`.

An entry is the pair (generation, lattice), ordered lexicographically, and so a lattice again: a deletion
begins a new generation, in which the key is empty. A put names the generation that its writer knows of;
one that is too old is not merged but answered with the newer generation, so a late write never revives
a deleted key. Deleted keys are remembered, up to a bound; past it, the newest generation that was
dropped stands for all keys that are unknown.

Who reads with ``watch`` is pushed each later change. Updates are numbered per peer and *epoch*, and each
answer says how many have been sent: so a cache finds out what it has missed, and begins a new epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from cloudburst_runtime.anna import meetings
from cloudburst_runtime.anna.deltas import Deltas, goes_on, is_worth
from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.anna.keeper import Keeper
from cloudburst_runtime.anna.past import Origin
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.stored import Change, Cold, Stored, compact
from cloudburst_runtime.anna.watches import PARKED_MAX, Watches
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Load, Loaded, PeerLost, Persist, Received, Send, Unwritten
from cloudburst_runtime.errors import InvalidName, LatticeMismatch, check_name
from cloudburst_runtime.ids import NODE, Micros, Millis, PeerName
from cloudburst_runtime.lattices import LWW, AnyLattice, below, join
from cloudburst_runtime.lattices.wrap import bounded, brought, is_lost
from cloudburst_runtime.messages import (
    TAKEN,
    Delete,
    Earlier,
    Entry,
    Failed,
    Failure,
    Forget,
    Get,
    GetReply,
    GetVersion,
    History,
    HistoryReply,
    Keys,
    KeysReply,
    Message,
    Met,
    Put,
    PutReply,
    Resync,
    Unwatch,
    VersionReply,
)
from cloudburst_runtime.shared import LOST
from cloudburst_runtime.vectors import Vector

REQUESTS = (Put, Get, Delete, Keys, Unwatch, Resync, Forget, History, GetVersion)
"""The messages that are for a replica."""

DELETES_KEPT_MAX = 4096
"""Deletes per peer that are remembered by request, so that a repetition does not delete again."""

STAMP_MAX = 2**63 - 1

Event: TypeAlias = Received | PeerLost | Loaded | Unwritten
Effect: TypeAlias = Send | Persist | Load


class ReplicaCore:
    """The store replica as a core: requests in, answers and updates out.

    Parameters
    ----------
    config
        For the limits, and whether what changes is written to disk.
    name
        Under which its changes count in versions and floors.
    found
        What is on disk already.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> replica = ReplicaCore(Config())
    >>> _ = replica.handle(Received("c1", Put(1, "k", Max(7))), 0.0)
    >>> [effect] = replica.handle(Received("c2", Get(1, ["k"])), 0.0)
    >>> effect.message.entries[0].lattice
    Max(value=7)
    """

    def __init__(self, config: Config, name: PeerName = NODE, found: Recovered | None = None) -> None:
        self.name = name
        self._siblings_max = config.siblings_max
        self._history_max = config.history_max
        self.records = Records(config, name)
        self.keeper = Keeper(self.records, config)
        self.watches = Watches()
        self.deltas: Deltas | None = None  # there are other stores to tell
        self._warm_bytes_max = math.inf if config.memory_bytes_max is None else config.memory_bytes_max
        if found is not None:
            self.keeper.recover(found)
        self._handlers: dict[type, Callable[[PeerName, Any], list[Effect]]] = {
            Put: self._put,
            Get: self._get,
            Delete: self._delete,
            Keys: self._keys,
            Unwatch: self._unwatch,
            Resync: self._resync,
            Forget: self._forget,
            History: self._history,
            GetVersion: self._get_version,
        }

    def start(self, now: Millis) -> list[Effect]:
        """Say on disk whose store this is, if it is kept there."""
        return list(self.keeper.begin())

    def handle(self, event: Event, now: Millis) -> list[Effect]:
        """Take one event; return what is to be sent and written, in order."""
        if isinstance(event, Received):
            return self._received(event)
        if isinstance(event, PeerLost):
            self.watches.lose(event.peer)
        elif isinstance(event, Loaded):
            self.keeper.loaded(event)
        else:
            return self._unwritten(event)
        return []

    def _received(self, event: Received) -> list[Effect]:
        message: Message = event.message
        handler = self._handlers.get(type(message))
        if handler is None:
            return []
        if self.records.cold:
            places = self._needed(message)
            if places:
                return [Load(places, event)]
        effects = handler(event.peer, message)
        if self.records.results.too_many and self.deltas is None:
            effects += self.expire()
        if self.records.warm_bytes > self._warm_bytes_max:
            effects += self.keeper.shrink()
        return effects

    def _needed(self, message: Message) -> list[bytes]:
        """Where the values lie that a request looks at and that are not in memory."""
        if isinstance(message, GetVersion):
            version = self.records.asked(message)
            return [] if version is None else self.keeper.cold_versions(message.key, [version])
        return self.keeper.cold(self._read(message))

    def _read(self, message: Message) -> list[str]:
        """The keys whose values a request looks at: not that which a later write replaces."""
        if isinstance(message, Get):
            self.keeper.use(message.keys)
            return message.keys
        if not isinstance(message, Put):
            return []
        record = self.records.live.get(message.key)
        replaced = record is not None and self._replaces(message, record)
        return [] if replaced else [message.key]

    def _unwritten(self, event: Unwritten) -> list[Effect]:
        """It did not happen, and who asked for it learns why."""
        self.keeper.take_back(event)
        asked = event.event
        if not isinstance(asked, Received):
            return []
        req = getattr(asked.message, "req", None)
        if isinstance(asked.message, Delete):
            self.watches.peer(asked.peer).deleted.pop(asked.message.req, None)
        return [] if req is None else [Send(asked.peer, Failed(req, event.failure))]

    @property
    def seq(self) -> int:
        """How many changes there have been."""
        return self.records.seq

    @property
    def nbytes(self) -> int:
        """About how many bytes keys and values have."""
        return self.records.nbytes

    @property
    def key_count(self) -> int:
        """How many keys exist."""
        return len(self.records.live)

    def entry(self, key: str, plain: bool = False) -> Entry | None:
        """What is kept under a key; ``plain``: the value itself, not where it lies in shared memory."""
        return self.records.entry(self.records.find(key), plain)

    def holders(self, key: str) -> list[PeerName]:
        """The peers that cache ``key`` and are kept informed of it."""
        return self.watches.readers(key)

    # ------------------------------------------------------------ writes

    def _put(self, peer: PeerName, put: Put) -> list[Effect]:
        key, theirs = put.key, put.lattice
        known = self.records.generation(key)
        if put.once and self.records.find(key) is not None:
            return [Send(peer, Failed(put.req, Failure(TAKEN, f"there is a key {key!r}, or was one")))]
        if put.generation < known:
            return [self._acknowledge(peer, put.req, known)]
        if is_lost(theirs):
            text = f"the store cannot reach the shared memory in which the value for key {key!r} lies"
            return [Send(peer, Failed(put.req, Failure(LOST, text)))]
        record = self.records.live.get(key)
        mine = None if record is None else record.lattice
        met: Sequence[Met] = ()
        part = None
        try:
            if mine is None or put.generation > known:
                self._check(key, put.generation)
                merged = theirs
            elif isinstance(mine, Cold):  # a later write replaces it, or it cannot be read
                merged = theirs
            elif below(theirs, mine):
                return [*self._came_late(key, theirs, put.sync), self._acknowledge(peer, put.req, known)]
            else:
                whole = join(mine, theirs, key)
                merged = bounded(whole, self._siblings_max)
                part = brought(theirs, whole, merged)
            if record is not None and put.generation == known:
                met = self._met(record, put, peer)
            merged = compact(merged, peer)
            change = self.records.keep(key, put.generation, merged, put.stamp, peer, put.deps, met)
            effects = self._changed(change, put.sync, record is None, part)
            if self.deltas is not None:
                self.deltas.note(change, part if goes_on(change) else None)
        except (LatticeMismatch, InvalidName, RecursionError) as error:
            return [_failed(peer, put.req, error)]
        effects.append(self._acknowledge(peer, put.req, put.generation))
        return effects

    def _met(self, record: Stored, put: Put, peer: PeerName) -> Sequence[Met]:
        """The write itself, if its writer had not seen the version that it comes upon."""
        known = record.writer == peer or not self.records.unseen(record, put.seen)
        mixed = isinstance(record.lattice, meetings.KEEP_BOTH)
        return () if known or mixed else meetings.over(put, peer)

    def _came_late(self, key: str, theirs: AnyLattice, sync: bool) -> list[Effect]:
        """A write that changes nothing, for what is there includes it, or is later."""
        if type(theirs) is not LWW or type(self.records.live[key].lattice) is not LWW:
            return []
        met = meetings.late(theirs, self.records.versions(key), self._history_max)
        return [] if met is None else [*self.keeper.changed(self.records.note(key, met), sync)]

    def _delete(self, peer: PeerName, delete: Delete) -> list[Effect]:
        state = self.watches.peer(peer)
        done = state.deleted.get(delete.req)
        if done is not None:
            return [self._acknowledge(peer, delete.req, done)]
        try:
            self._check(delete.key, delete.stamp)
        except InvalidName as error:
            return [_failed(peer, delete.req, error)]
        generation = max(delete.stamp, self.records.generation(delete.key) + 1)
        state.deleted[delete.req] = generation
        if len(state.deleted) > DELETES_KEPT_MAX:
            del state.deleted[next(iter(state.deleted))]
        effects = self._end(delete.key, generation, delete.stamp, peer, True)
        effects.append(self._acknowledge(peer, delete.req, generation))
        return effects

    def _end(self, key: str, generation: Micros, stamp: Micros, writer: PeerName, sync: bool) -> list[Effect]:
        """Begin a generation in which the key is empty."""
        change = self.records.keep(key, generation, None, stamp, writer)
        effects = self._changed(change, sync, False)
        if self.deltas is not None:
            self.deltas.note(change, None)
        return effects

    def expire(self, ended: Callable[[str], object] = lambda key: None) -> list[Effect]:
        """Delete the oldest results while there are too many; ``ended`` is told of each."""
        effects: list[Effect] = []
        results = self.records.results
        while results.too_many:
            key = results.oldest()
            record = self.records.live[key]
            effects += self._end(key, record.generation + 1, record.stamp, self.name, False)
            ended(key)
        return effects

    def absorb(
        self, key: str, entry: Entry, origin: Origin | None = None, full: Vector | None = None
    ) -> list[Effect]:
        """Merge what another store has of the key, as of `Records.absorb`."""
        new = entry.lattice is not None and key not in self.records.live
        change = self.records.absorb(key, entry, origin, full)
        if change is None:
            return []
        new = new and key in self.records.live
        effects = self._changed(change, True, new, entry.lattice, moved=True)
        if self.records.warm_bytes > self._warm_bytes_max:
            effects += self.keeper.shrink(moved=True)
        return effects

    def lay(self, key: str, versions: list[Earlier]) -> list[Effect]:
        """Merge the earlier versions that another store has of the key: nobody need be told."""
        change = None if key in self.keeper.unreadable else self.records.lay(key, versions)
        if change is None:
            return []
        effects: list[Effect] = [*self.keeper.changed(change, True, moved=True)]
        if self.records.warm_bytes > self._warm_bytes_max:
            effects += self.keeper.shrink(moved=True)
        return effects

    def discard(self, key: str) -> list[Effect]:
        """Keep nothing of the key: other stores do."""
        return list(self.keeper.dropped(self.records.discard(key)))

    def _changed(
        self, change: Change, sync: bool, new: bool, part: AnyLattice | None = None, moved: bool = False
    ) -> list[Effect]:
        """Write a change, tell who watches the key, answer who waits for it; ``part``: what it brought."""
        key = change.key
        effects: list[Effect] = [*self.keeper.changed(change, sync, moved)]
        if self.watches.readers(key):
            effects += self._publish(key, *self._news(change, part))
        if new:
            for peer, get in self.watches.awaken(key):
                effects += self._received(Received(peer, get))
        return effects

    @staticmethod
    def _replaces(put: Put, record: Stored) -> bool:
        """Whether a put makes the value before it useless, whatever that is."""
        if put.generation != record.generation:
            return True
        later = type(put.lattice) is LWW and put.lattice.stamp > record.stamp
        return later and isinstance(record.lattice, Cold) and record.lattice.name == LWW.name

    def _news(self, change: Change, part: AnyLattice | None) -> tuple[Entry, Vector]:
        """What a cache that has the version before is told, and that version; nothing stands for any."""
        record, before = change.record, change.before
        if part is None or before is None or not goes_on(change) or not is_worth(part, record):
            entry = self.records.entry(record)
            assert entry is not None
            return entry, {}
        version = self.records.version
        return Entry(record.generation, part, version(record), record.deps or {}), version(before)

    def _publish(self, key: str, entry: Entry, base: Vector) -> Sequence[Effect]:
        return self.watches.publish(key, self.records.seq, entry, base)

    @staticmethod
    def _check(key: str, stamp: Micros) -> None:
        check_name(key, "key")
        if not 0 <= stamp < STAMP_MAX:
            raise InvalidName(f"key {key!r}: the stamp {stamp} is no time")

    def _acknowledge(self, peer: PeerName, req: int, generation: Micros) -> Send:
        state = self.watches.peers.get(peer)
        if state is None:
            return Send(peer, PutReply(req, generation, self.records.seq))
        return Send(peer, PutReply(req, generation, self.records.seq, state.pushed, state.epoch))

    # ------------------------------------------------------------ reads

    def _get(self, peer: PeerName, get: Get) -> list[Effect]:
        records = self.records
        if get.wait:
            for key in get.keys:
                if key not in records.live and key not in self.keeper.unreadable:
                    return self._park(peer, get, key)
        if self.keeper.unreadable:
            for key in get.keys:
                if key in self.keeper.unreadable:
                    failure = Failure("StorageError", self.keeper.unreadable[key])
                    return [Send(peer, Failed(get.req, failure))]
        entries = [self.entry(key, get.plain) for key in get.keys]
        if get.watch:
            self.watches.add(peer, get)
        state = self.watches.peers.get(peer)
        if state is None:
            return [Send(peer, GetReply(get.req, entries, records.seq))]
        return [Send(peer, GetReply(get.req, entries, records.seq, state.pushed, state.epoch))]

    def _park(self, peer: PeerName, get: Get, key: str) -> list[Effect]:
        if self.watches.park(peer, get, key):
            return []
        text = f"{PARKED_MAX} reads of {peer} wait for keys that do not exist; no more may"
        return [Send(peer, Failed(get.req, Failure("NoResources", text)))]

    def _keys(self, peer: PeerName, keys: Keys) -> list[Effect]:
        live = self.records.live
        names = sorted(key for key in live if key.startswith(keys.prefix))
        kinds = [lattice.name for key in names if (lattice := live[key].lattice) is not None]
        readers = [self.holders(key) for key in names]
        sizes = [live[key].nbytes for key in names]
        versions = [1 + len(self.records.past.get(key, ())) for key in names]
        return [Send(peer, KeysReply(keys.req, names, kinds, sizes, readers, versions, [1] * len(names)))]

    def _history(self, peer: PeerName, history: History) -> list[Effect]:
        versions = [self.records.describe(version) for version in self.records.versions(history.key)]
        return [Send(peer, HistoryReply(history.req, versions, self.records.generation(history.key)))]

    def _get_version(self, peer: PeerName, get: GetVersion) -> list[Effect]:
        version = self.records.asked(get)
        entry = None if version is None else self.records.entry(version, True)
        return [Send(peer, VersionReply(get.req, entry, self.records.generation(get.key)))]

    # ------------------------------------------------------------ watches

    def _unwatch(self, peer: PeerName, unwatch: Unwatch) -> list[Effect]:
        self.watches.unwatch(peer, unwatch)
        return []

    def _resync(self, peer: PeerName, resync: Resync) -> list[Effect]:
        self.watches.resync(peer, resync)
        return []

    def _forget(self, peer: PeerName, forget: Forget) -> list[Effect]:
        self.watches.unpark(peer, forget.req)
        return []


def _failed(peer: PeerName, req: int, error: Exception) -> Send:
    if isinstance(error, RecursionError):
        return Send(peer, Failed(req, Failure("SerializationError", "the value is nested too deeply")))
    return Send(peer, Failed(req, Failure(type(error).__name__, str(error))))
