"""Who watches which keys, and which reads wait for keys that do not exist.

Law: this file knows names of peers and keys, and no values. A peer's *watches* end when it says so, when it
begins a new epoch, and with its connection; a *parked* read is given out once, when its key comes to be.
"""

from __future__ import annotations

from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.messages import Entry, Get, Resync, Unwatch, Update
from cloudburst_runtime.vectors import Vector

PARKED_MAX = 10_000
"""Reads of one peer that may wait for keys to exist."""


class Peer:
    """What the replica knows of one peer; gone with its connection."""

    __slots__ = ("deleted", "epoch", "parked", "pushed", "watched")

    def __init__(self) -> None:
        self.epoch = 0
        self.pushed = 0
        self.watched: dict[str, int] = {}  # key: the request that last asked to watch it
        self.parked: dict[int, str] = {}  # request: the missing key it waits for
        self.deleted: dict[int, Micros] = {}  # request: the generation it began


class Watches:
    """The peers of one replica: their watches and their parked reads.

    Attributes
    ----------
    peers
        All of whom there is something to know.
    parked
        By key, the reads that wait for it.
    """

    def __init__(self) -> None:
        self.peers: dict[PeerName, Peer] = {}
        self.parked: dict[str, dict[tuple[PeerName, int], Get]] = {}
        self._readers: dict[str, dict[PeerName, None]] = {}

    def peer(self, name: PeerName) -> Peer:
        """What is known of a peer, from now on."""
        state = self.peers.get(name)
        if state is None:
            state = self.peers[name] = Peer()
        return state

    def readers(self, key: str) -> list[PeerName]:
        """Who watches a key."""
        return list(self._readers.get(key, ()))

    def add(self, name: PeerName, get: Get) -> None:
        """A peer watches the keys that it reads."""
        watched = self.peer(name).watched
        for key in get.keys:
            watched[key] = max(get.req, watched.get(key, 0))
            self._readers.setdefault(key, {})[name] = None

    def publish(self, key: str, seq: int, entry: Entry, base: Vector) -> list[Send]:
        """Tell whoever watches the key of a change; with a ``base``, of what it brought."""
        effects: list[Send] = []
        for name in self._readers.get(key, ()):
            state = self.peers[name]
            state.pushed += 1
            effects.append(Send(name, Update(state.epoch, state.pushed, seq, key, entry, base=base)))
        return effects

    def unwatch(self, name: PeerName, unwatch: Unwatch) -> None:
        """End the watches that no later read has asked for."""
        watched = self.peers[name].watched if name in self.peers else {}
        for key in unwatch.keys:
            asked = watched.get(key)
            if asked is not None and not 0 < unwatch.req < asked:
                del watched[key]
                self._drop_reader(key, name)

    def resync(self, name: PeerName, resync: Resync) -> None:
        """A peer begins a new epoch: it watches nothing, and counts from 0."""
        state = self.peer(name)
        if resync.epoch > state.epoch:
            for key in state.watched:
                self._drop_reader(key, name)
            state.watched.clear()
            state.epoch, state.pushed = resync.epoch, 0

    def park(self, name: PeerName, get: Get, key: str) -> bool:
        """Let a read wait for ``key``; False if too many of this peer's wait already."""
        parked = self.peer(name).parked
        if get.req in parked:
            return True
        if len(parked) >= PARKED_MAX:
            return False
        parked[get.req] = key
        self.parked.setdefault(key, {})[name, get.req] = get
        return True

    def awaken(self, key: str) -> list[tuple[PeerName, Get]]:
        """The reads that waited for ``key``, which wait no more."""
        woken = []
        for (name, req), get in self.parked.pop(key, {}).items():
            del self.peers[name].parked[req]
            woken.append((name, get))
        return woken

    def unpark(self, name: PeerName, req: int) -> None:
        """Nobody waits for this read any more."""
        state = self.peers.get(name)
        key = state.parked.pop(req, None) if state is not None else None
        if key is not None:
            self._forget_parked(name, req, key)

    def lose(self, name: PeerName) -> None:
        """A peer is gone."""
        state = self.peers.pop(name, None)
        if state is not None:
            for key in state.watched:
                self._drop_reader(key, name)
            for req, key in state.parked.items():
                self._forget_parked(name, req, key)

    def _drop_reader(self, key: str, name: PeerName) -> None:
        readers = self._readers[key]
        del readers[name]
        if not readers:
            del self._readers[key]

    def _forget_parked(self, name: PeerName, req: int, key: str) -> None:
        waiting = self.parked[key]
        del waiting[name, req]
        if not waiting:
            del self.parked[key]
