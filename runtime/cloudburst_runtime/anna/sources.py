"""The stores that one cache reads from and writes to: which has which key, and how far each has informed us.

Law: names, keys and numbers only. With one store, the node's, nothing here is more than its `Freshness`.

Each key that is held has a *home*, the store that watches it for us. A floor names changes of several
stores: those of the home by the home's own account, those of others as far as the home says that it
includes them, and for a single key also those that it was asked for with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from cloudburst_runtime.anna.freshness import Freshness
from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.messages import Ring
from cloudburst_runtime.vectors import Vector, joined

if TYPE_CHECKING:
    from cloudburst_runtime.anna.ring import Circle

_NONE: Vector = {}


class Sources:
    """The stores, as one cache knows them.

    Parameters
    ----------
    name
        The cache's; of a key's owners, caches of different names choose different ones.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Members
    >>> sources = Sources("e1")
    >>> sources.store_of("k")
    'node'
    >>> sources.adopt(Ring(1, Members(["node", "s2", "s3"]), replication=1))
    True
    >>> sources.store_of("k"), sources.group(["k", "a", "c"])
    ('s3', {'s3': ['k', 'a'], 'node': ['c']})
    """

    def __init__(self, name: PeerName) -> None:
        self.ring: Ring | None = None
        self.fresh: dict[PeerName, Freshness] = {NODE: Freshness(NODE)}
        self._turn = crc32(name.encode())
        self._circle: Circle | None = None
        self._gone: dict[PeerName, None] = {}
        self._homes: dict[str, PeerName] = {}  # of the keys that are held, unless it is the node
        self._asked: dict[str, Vector] = {}  # the floors that these keys were asked for with
        self._several = False
        self._seen: Vector = {}

    # ------------------------------------------------------------ which store

    def store_of(self, key: str) -> PeerName:
        """Whom to ask about a key."""
        if self._circle is None:
            return NODE
        owners = [name for name in self._circle.owners(key) if name not in self._gone]
        return owners[self._turn % len(owners)] if owners else NODE

    def group(self, keys: Iterable[str]) -> dict[PeerName, list[str]]:
        """The keys by whom to ask about them."""
        groups: dict[PeerName, list[str]] = {}
        for key in keys:
            groups.setdefault(self.store_of(key), []).append(key)
        return groups

    def serves(self, store: PeerName, keys: Iterable[str]) -> bool:
        """Whether this store may be asked about all of these keys."""
        if store in self._gone:
            return False
        circle = self._circle
        return circle is None or all(store in circle.owners(key) for key in keys)

    def adopt(self, ring: Ring) -> bool:
        """Take a later ring; False if it is not later."""
        if self.ring is not None and ring.epoch <= self.ring.epoch:
            return False
        from cloudburst_runtime.anna.ring import Circle  # a process with one store does without

        self.ring = ring
        self._circle = Circle(ring.current.names, ring.replication, ring.current.factors)
        self._become_several()
        return True

    def lose(self, store: PeerName) -> None:
        """The store is gone; no other ever has its name."""
        self._gone[store] = None

    # ------------------------------------------------------------ how fresh

    def freshness(self, store: PeerName) -> Freshness:
        """The account of one store's updates."""
        fresh = self.fresh.get(store)
        if fresh is None:
            fresh = self.fresh[store] = Freshness(store)
        return fresh

    @property
    def floor(self) -> Vector:
        """The changes that were seen here: the floor for whoever continues from here."""
        return self._seen if self._several else self.fresh[NODE].heard

    def see(self, version: Vector) -> None:
        """An entry of this version was seen here."""
        if self._several:
            self._seen = joined(self._seen, version)
        elif version and (len(version) > 1 or NODE not in version):
            self._become_several()
            self._seen = joined(self._seen, version)

    def asked(self, floor: Vector) -> Vector:
        """The floor as a request names it: nothing while there is one store, which includes its changes."""
        if not self._several and (not floor or (len(floor) == 1 and NODE in floor)):
            return _NONE
        self._become_several()
        return floor

    def _become_several(self) -> None:
        if not self._several:
            self._several = True
            self._seen = self.fresh[NODE].heard

    def covers(self, key: str, floor: Vector) -> bool:
        """Whether what is held of a key includes all changes up to ``floor``."""
        if not self._several:
            return len(floor) == 1 and floor.get(NODE, 0) <= self.fresh[NODE].synced
        home = self._homes.get(key, NODE)
        fresh, asked = self.fresh[home], self._asked.get(key, _NONE)
        for store, number in floor.items():
            known = fresh.synced if store == home else fresh.known.get(store, 0)
            if number > known and number > asked.get(store, 0):
                return False
        return True

    # ------------------------------------------------------------ what is held

    def hold(self, key: str, store: PeerName) -> None:
        """The key is held from now on, and watched by this store."""
        if store != NODE:
            self._homes[key] = store

    def include(self, key: str, floor: Vector) -> None:
        """What is held of the key includes the changes up to ``floor``: an answer did, that was merged."""
        if floor and self._several:
            self._asked[key] = joined(self._asked.get(key, _NONE), floor)

    def release(self, keys: Iterable[str]) -> dict[PeerName, list[str]]:
        """These keys are held no longer; they are returned by their homes."""
        homes: dict[PeerName, list[str]] = {}
        for key in keys:
            self._asked.pop(key, None)
            homes.setdefault(self._homes.pop(key, NODE), []).append(key)
        return homes

    def home(self, key: str) -> PeerName:
        """The store that watches a key which is held."""
        return self._homes.get(key, NODE)

    def broken(self, now: Millis, patience_ms: Millis) -> list[Freshness]:
        """The accounts of the stores of whose updates one was lost."""
        return [fresh for fresh in self.fresh.values() if fresh.broken(now, patience_ms)]
