"""One replica of the store: what lies under each key, who watches it, and who waits for it.

Law: everything that changes the store goes through `ReplicaCore`; this file does not know what a value
means, only that it merges. It knows nothing of other replicas.

An entry is the pair (generation, lattice), ordered lexicographically, and so a lattice again: a deletion
begins a new generation, in which the key is empty. A put names the generation that its writer knows of;
one that is too old is not merged but answered with the newer generation, so a late write never revives
a deleted key. Deleted keys are remembered, up to a bound; past it, the newest generation that was
dropped stands for all keys that are unknown.

Who reads with ``watch`` is pushed each later change. Updates are numbered per peer and *epoch*, and each
answer says how many have been sent: so a cache finds out what it has missed, and begins a new epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send
from cloudburst_runtime.errors import InvalidName, LatticeMismatch, check_name
from cloudburst_runtime.ids import NODE, Micros, Millis, PeerName
from cloudburst_runtime.lattices import AnyLattice, below, join
from cloudburst_runtime.lattices.wrap import is_lost, plain
from cloudburst_runtime.messages import (
    Delete,
    Entry,
    Failed,
    Failure,
    Forget,
    Get,
    GetReply,
    Keys,
    KeysReply,
    Message,
    Put,
    PutReply,
    Resync,
    Unwatch,
    Update,
)
from cloudburst_runtime.shared import LOST
from cloudburst_runtime.vectors import Vector

REQUESTS = (Put, Get, Delete, Keys, Unwatch, Resync, Forget)
"""The messages that are for a replica."""

DELETES_KEPT_MAX = 4096
"""Deletes per peer that are remembered by request, so that a repetition does not delete again."""

PARKED_MAX = 10_000
"""Reads of one peer that may wait for keys to exist."""

STAMP_MAX = 2**63 - 1


class _Peer:
    """What the replica knows of one peer; gone with its connection."""

    __slots__ = ("deleted", "epoch", "parked", "pushed", "watched")

    def __init__(self) -> None:
        self.epoch = 0
        self.pushed = 0
        self.watched: dict[str, int] = {}  # key: the request that last asked to watch it
        self.parked: dict[int, str] = {}  # request: the missing key it waits for
        self.deleted: dict[int, Micros] = {}  # request: the generation it began


class Stored(msgspec.Struct, gc=False):
    """What the replica keeps of one key; ``lattice`` is None for a deleted one.

    ``seq`` is the replica's count at its own last change of the key, ``others`` the changes of other stores
    that are included.
    """

    lattice: AnyLattice | None
    generation: Micros
    seq: int
    others: Vector | None = None


class ReplicaCore:
    """The store replica as a core: requests in, answers and updates out.

    Parameters
    ----------
    config
        For ``tombstones_max``.
    name
        Under which its changes count in versions and floors.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> replica = ReplicaCore(Config())
    >>> _ = replica.handle(Received("c1", Put(1, "k", Max(7))), 0.0)
    >>> [effect] = replica.handle(Received("c2", Get(1, ["k"])), 0.0)
    >>> effect.message.entries[0].lattice
    Max(value=7)
    """

    def __init__(self, config: Config, name: PeerName = NODE) -> None:
        self.name = name
        self.seq = 0
        """How many changes there have been."""
        self.nbytes = 0
        """About how many bytes keys and values have."""
        self._tombstones_max = config.tombstones_max
        self._records: dict[str, Stored] = {}  # of the keys that exist
        self._tombstones: dict[str, Stored] = {}  # of deleted keys, oldest first
        self._forgotten: Micros = 0  # the newest generation among dropped tombstones
        self._peers: dict[PeerName, _Peer] = {}
        self._readers: dict[str, dict[PeerName, None]] = {}
        self._parked: dict[str, dict[tuple[PeerName, int], Get]] = {}
        self._handlers: dict[type, Callable[[PeerName, Any], list[Send]]] = {
            Put: self._put,
            Get: self._get,
            Delete: self._delete,
            Keys: self._keys,
            Unwatch: self._unwatch,
            Resync: self._resync,
            Forget: self._forget,
        }

    def start(self, now: Millis) -> list[Send]:
        """Nothing: a replica waits to be asked."""
        return []

    def handle(self, event: Received | PeerLost, now: Millis) -> list[Send]:
        """Take one request, or the loss of a peer; return what is to be sent, in order."""
        if isinstance(event, PeerLost):
            self._lose(event.peer)
            return []
        message: Message = event.message
        handler = self._handlers.get(type(message))
        return [] if handler is None else handler(event.peer, message)

    @property
    def key_count(self) -> int:
        """How many keys exist."""
        return len(self._records)

    def holders(self, key: str) -> list[PeerName]:
        """The peers that cache ``key`` and are kept informed of it."""
        return list(self._readers.get(key, ()))

    # ------------------------------------------------------------ writes

    def _put(self, peer: PeerName, put: Put) -> list[Send]:
        key, theirs = put.key, put.lattice
        known = self._generation(key)
        if put.generation < known:
            return [self._acknowledge(peer, put.req, known)]
        record = self._records.get(key)
        mine = None if record is None else record.lattice
        if is_lost(theirs):
            text = f"the store cannot reach the shared memory in which the value for key {key!r} lies"
            return [Send(peer, Failed(put.req, Failure(LOST, text)))]
        try:
            if mine is None or put.generation > known:
                self._check(key, put.generation)
                merged = theirs
            elif below(theirs, mine):
                return [self._acknowledge(peer, put.req, known)]
            else:
                merged = join(mine, theirs, key)
            grown = merged.nbytes - (-len(key) if mine is None else mine.nbytes)
        except (LatticeMismatch, InvalidName, RecursionError) as error:
            return [_failed(peer, put.req, error)]
        self.nbytes += grown
        effects = self._store(key, put.generation, merged)
        effects.append(self._acknowledge(peer, put.req, put.generation))
        return effects

    def _delete(self, peer: PeerName, delete: Delete) -> list[Send]:
        state = self._peer(peer)
        done = state.deleted.get(delete.req)
        if done is not None:
            return [self._acknowledge(peer, delete.req, done)]
        try:
            self._check(delete.key, delete.stamp)
        except InvalidName as error:
            return [_failed(peer, delete.req, error)]
        generation = max(delete.stamp, self._generation(delete.key) + 1)
        state.deleted[delete.req] = generation
        if len(state.deleted) > DELETES_KEPT_MAX:
            del state.deleted[next(iter(state.deleted))]
        effects = self._bury(delete.key, generation)
        effects.append(self._acknowledge(peer, delete.req, generation))
        return effects

    def _store(self, key: str, generation: Micros, lattice: AnyLattice) -> list[Send]:
        new = key not in self._records
        effects = self._keep(self._records, key, generation, lattice)
        return effects + self._wake(key) if new else effects

    def _bury(self, key: str, generation: Micros) -> list[Send]:
        record = self._records.get(key)
        if record is not None and record.lattice is not None:
            self.nbytes -= record.lattice.nbytes + len(key)
        effects = self._keep(self._tombstones, key, generation, None)
        if len(self._tombstones) > self._tombstones_max:
            dropped = self._tombstones.pop(next(iter(self._tombstones)))
            self._forgotten = max(self._forgotten, dropped.generation)
        return effects

    def _keep(
        self, records: dict[str, Stored], key: str, generation: Micros, lattice: AnyLattice | None
    ) -> list[Send]:
        """A change: count it, keep it among ``records`` and there alone, and tell who watches the key."""
        self.seq += 1
        before = self._record(key)
        self._tombstones.pop(key, None)
        if lattice is None:
            self._records.pop(key, None)
        record = Stored(lattice, generation, self.seq, None if before is None else before.others)
        records[key] = record
        return self._publish(key, self._as_entry(record))

    def _record(self, key: str) -> Stored | None:
        return self._records.get(key) or self._tombstones.get(key)

    def _generation(self, key: str) -> Micros:
        record = self._record(key)
        return self._forgotten if record is None else record.generation

    @staticmethod
    def _check(key: str, stamp: Micros) -> None:
        check_name(key, "key")
        if not 0 <= stamp < STAMP_MAX:
            raise InvalidName(f"key {key!r}: the stamp {stamp} is no time")

    def _acknowledge(self, peer: PeerName, req: int, generation: Micros) -> Send:
        state = self._peers.get(peer)
        if state is None:
            return Send(peer, PutReply(req, generation, self.seq))
        return Send(peer, PutReply(req, generation, self.seq, state.pushed, state.epoch))

    # ------------------------------------------------------------ reads

    def _get(self, peer: PeerName, get: Get) -> list[Send]:
        if get.wait:
            for key in get.keys:
                if key not in self._records:
                    return self._park(peer, get, key)
        entries = [self._entry(key, get.plain) for key in get.keys]
        state = self._peer(peer) if get.watch else self._peers.get(peer)
        if state is None:
            return [Send(peer, GetReply(get.req, entries, self.seq))]
        if get.watch:
            for key in get.keys:
                state.watched[key] = max(get.req, state.watched.get(key, 0))
                self._readers.setdefault(key, {})[peer] = None
        return [Send(peer, GetReply(get.req, entries, self.seq, state.pushed, state.epoch))]

    def _entry(self, key: str, as_plain: bool = False) -> Entry | None:
        record = self._record(key)
        if record is None:
            return Entry(self._forgotten, None) if self._forgotten else None
        return self._as_entry(record, as_plain)

    def _as_entry(self, record: Stored, as_plain: bool = False) -> Entry:
        lattice = record.lattice
        if as_plain and lattice is not None:
            lattice = plain(lattice)
        version = {self.name: record.seq, **(record.others or {})}
        return Entry(record.generation, lattice, version)

    def _park(self, peer: PeerName, get: Get, key: str) -> list[Send]:
        state = self._peer(peer)
        if get.req in state.parked:
            return []
        if len(state.parked) >= PARKED_MAX:
            text = f"{PARKED_MAX} reads of {peer} wait for keys that do not exist; no more may"
            return [Send(peer, Failed(get.req, Failure("NoResources", text)))]
        state.parked[get.req] = key
        self._parked.setdefault(key, {})[peer, get.req] = get
        return []

    def _wake(self, key: str) -> list[Send]:
        effects: list[Send] = []
        for (peer, req), get in self._parked.pop(key, {}).items():
            del self._peers[peer].parked[req]
            effects += self._get(peer, get)
        return effects

    def _forget(self, peer: PeerName, forget: Forget) -> list[Send]:
        state = self._peers.get(peer)
        key = state.parked.pop(forget.req, None) if state is not None else None
        if key is not None:
            self._unpark(peer, forget.req, key)
        return []

    def _unpark(self, peer: PeerName, req: int, key: str) -> None:
        waiting = self._parked[key]
        del waiting[peer, req]
        if not waiting:
            del self._parked[key]

    def _keys(self, peer: PeerName, keys: Keys) -> list[Send]:
        names = sorted(key for key in self._records if key.startswith(keys.prefix))
        held = [lattice for key in names if (lattice := self._records[key].lattice) is not None]
        readers = [self.holders(key) for key in names]
        reply = KeysReply(
            keys.req, names, [part.name for part in held], [part.nbytes for part in held], readers
        )
        return [Send(peer, reply)]

    # ------------------------------------------------------------ watches

    def _publish(self, key: str, entry: Entry) -> list[Send]:
        effects: list[Send] = []
        for peer in self._readers.get(key, ()):
            state = self._peers[peer]
            state.pushed += 1
            effects.append(Send(peer, Update(state.epoch, state.pushed, self.seq, key, entry)))
        return effects

    def _unwatch(self, peer: PeerName, unwatch: Unwatch) -> list[Send]:
        watched = self._peers[peer].watched if peer in self._peers else {}
        for key in unwatch.keys:
            asked = watched.get(key)
            if asked is not None and not 0 < unwatch.req < asked:
                del watched[key]
                self._drop_reader(key, peer)
        return []

    def _resync(self, peer: PeerName, resync: Resync) -> list[Send]:
        state = self._peer(peer)
        if resync.epoch > state.epoch:
            for key in state.watched:
                self._drop_reader(key, peer)
            state.watched.clear()
            state.epoch, state.pushed = resync.epoch, 0
        return []

    def _drop_reader(self, key: str, peer: PeerName) -> None:
        readers = self._readers[key]
        del readers[peer]
        if not readers:
            del self._readers[key]

    def _peer(self, name: PeerName) -> _Peer:
        state = self._peers.get(name)
        if state is None:
            state = self._peers[name] = _Peer()
        return state

    def _lose(self, peer: PeerName) -> None:
        state = self._peers.pop(peer, None)
        if state is not None:
            for key in state.watched:
                self._drop_reader(key, peer)
            for req, key in state.parked.items():
                self._unpark(peer, req, key)


def _failed(peer: PeerName, req: int, error: Exception) -> Send:
    if isinstance(error, RecursionError):
        return Send(peer, Failed(req, Failure("SerializationError", "the value is nested too deeply")))
    return Send(peer, Failed(req, Failure(type(error).__name__, str(error))))
