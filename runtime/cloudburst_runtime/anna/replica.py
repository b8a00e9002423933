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

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.watches import PARKED_MAX, Watches
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send
from cloudburst_runtime.errors import InvalidName, LatticeMismatch, check_name
from cloudburst_runtime.ids import NODE, Micros, Millis, PeerName
from cloudburst_runtime.lattices import AnyLattice, below, join
from cloudburst_runtime.lattices.wrap import is_lost
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
)
from cloudburst_runtime.shared import LOST

REQUESTS = (Put, Get, Delete, Keys, Unwatch, Resync, Forget)
"""The messages that are for a replica."""

DELETES_KEPT_MAX = 4096
"""Deletes per peer that are remembered by request, so that a repetition does not delete again."""

STAMP_MAX = 2**63 - 1


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
        self.records = Records(config.tombstones_max, name)
        self.watches = Watches()
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
            self.watches.lose(event.peer)
            return []
        message: Message = event.message
        handler = self._handlers.get(type(message))
        return [] if handler is None else handler(event.peer, message)

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

    def _put(self, peer: PeerName, put: Put) -> list[Send]:
        key, theirs = put.key, put.lattice
        known = self.records.generation(key)
        if put.generation < known:
            return [self._acknowledge(peer, put.req, known)]
        if is_lost(theirs):
            text = f"the store cannot reach the shared memory in which the value for key {key!r} lies"
            return [Send(peer, Failed(put.req, Failure(LOST, text)))]
        record = self.records.live.get(key)
        mine = None if record is None else record.lattice
        try:
            if mine is None or put.generation > known:
                self._check(key, put.generation)
                merged = theirs
            elif below(theirs, mine):
                return [self._acknowledge(peer, put.req, known)]
            else:
                merged = join(mine, theirs, key)
            effects = self._store(key, put.generation, merged)
        except (LatticeMismatch, InvalidName, RecursionError) as error:
            return [_failed(peer, put.req, error)]
        effects.append(self._acknowledge(peer, put.req, put.generation))
        return effects

    def _delete(self, peer: PeerName, delete: Delete) -> list[Send]:
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
        effects = self._store(delete.key, generation, None)
        effects.append(self._acknowledge(peer, delete.req, generation))
        return effects

    def _store(self, key: str, generation: Micros, lattice: AnyLattice | None) -> list[Send]:
        """Change a key (without a lattice: delete it); tell who watches it, answer who waited for it."""
        new = lattice is not None and key not in self.records.live
        record = self.records.keep(key, generation, lattice)
        entry = self.records.entry(record)
        assert entry is not None
        effects = self._publish(key, entry)
        if new:
            for peer, get in self.watches.awaken(key):
                effects += self._get(peer, get)
        return effects

    def _publish(self, key: str, entry: Entry) -> list[Send]:
        return self.watches.publish(key, self.records.seq, entry)

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

    def _get(self, peer: PeerName, get: Get) -> list[Send]:
        records = self.records
        if get.wait:
            for key in get.keys:
                if key not in records.live:
                    return self._park(peer, get, key)
        entries = [self.entry(key, get.plain) for key in get.keys]
        if get.watch:
            self.watches.add(peer, get)
        state = self.watches.peers.get(peer)
        if state is None:
            return [Send(peer, GetReply(get.req, entries, records.seq))]
        return [Send(peer, GetReply(get.req, entries, records.seq, state.pushed, state.epoch))]

    def _park(self, peer: PeerName, get: Get, key: str) -> list[Send]:
        if self.watches.park(peer, get, key):
            return []
        text = f"{PARKED_MAX} reads of {peer} wait for keys that do not exist; no more may"
        return [Send(peer, Failed(get.req, Failure("NoResources", text)))]

    def _keys(self, peer: PeerName, keys: Keys) -> list[Send]:
        live = self.records.live
        names = sorted(key for key in live if key.startswith(keys.prefix))
        held = [lattice for key in names if (lattice := live[key].lattice) is not None]
        readers = [self.holders(key) for key in names]
        reply = KeysReply(
            keys.req, names, [part.name for part in held], [part.nbytes for part in held], readers
        )
        return [Send(peer, reply)]

    # ------------------------------------------------------------ watches

    def _unwatch(self, peer: PeerName, unwatch: Unwatch) -> list[Send]:
        self.watches.unwatch(peer, unwatch)
        return []

    def _resync(self, peer: PeerName, resync: Resync) -> list[Send]:
        self.watches.resync(peer, resync)
        return []

    def _forget(self, peer: PeerName, forget: Forget) -> list[Send]:
        self.watches.unpark(peer, forget.req)
        return []


def _failed(peer: PeerName, req: int, error: Exception) -> Send:
    if isinstance(error, RecursionError):
        return Send(peer, Failed(req, Failure("SerializationError", "the value is nested too deeply")))
    return Send(peer, Failed(req, Failure(type(error).__name__, str(error))))
