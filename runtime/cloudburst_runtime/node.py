"""The node core: the scheduler and the store of one node process, behind one address.

Law: it only routes. What the scheduler takes goes to the scheduler, every other message to the store; that
a peer was lost concerns both, the store first. With other stores, or once somebody asks about them, a
steward stands before the node's own; it is not even imported while there is one store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Loaded, PeerLost, Received, Timer, Unwritten
from cloudburst_runtime.ids import GATEWAY, STORE_ROLE, Millis, PeerName, is_store
from cloudburst_runtime.messages import AddStore, Hello, RemoveStore, Replicate, Status, Stores
from cloudburst_runtime.scheduler.core import SchedulerCore
from cloudburst_runtime.scheduler.events import Exited, Spawn
from cloudburst_runtime.scheduler.policy import Uniform
from cloudburst_runtime.scheduler.questions import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudburst_runtime.anna.steward import Steward
    from cloudburst_runtime.anna.store import StoreCore

STORE_TIMERS = "store"
"""What the names of the stores' timers begin with."""

_ABOUT_STORES = (AddStore, RemoveStore, Replicate, Stores)


class NodeCore:
    """Scheduler and store of one node.

    Parameters
    ----------
    replica
        What the node's own store keeps.
    uniform
        A source of numbers in [0, 1), for the scheduler's policies.
    found
        What is on disk, for the scheduler; the replica has it already.
    own_store
        Makes the node's own store of the replica when there may be others; None: as a `StoreCore`.
    """

    def __init__(
        self,
        config: Config,
        replica: ReplicaCore,
        uniform: Uniform,
        found: Recovered | None = None,
        own_store: Callable[[Config, ReplicaCore], StoreCore] | None = None,
    ) -> None:
        self.replica = replica
        self._config = config
        self._factors = {} if found is None else found.factors
        self._known = {} if found is None else found.known
        self._said = [] if found is None else found.said
        self._own_store = own_store
        self.steward: Steward | None = None
        if config.stores_max > 1 or self._known:
            self._appoint()
        self.scheduler = SchedulerCore(
            config,
            holders=replica.holders,
            uniform=uniform,
            store_stats=self._stored,
            found=found,
        )
        self.scheduler.registry.damage = self._said

    @property
    def stores(self) -> Steward | ReplicaCore:
        """Who takes what is for the store."""
        return self.steward or self.replica

    def _stored(self) -> Stored:
        afar = {} if self.steward is None else self.steward.elsewhere()
        return self.stores.key_count, self.stores.nbytes, afar

    def _appoint(self) -> Steward:
        """There are other stores, or there may be."""
        from cloudburst_runtime.anna.steward import Steward
        from cloudburst_runtime.anna.store import StoreCore

        store = (self._own_store or StoreCore)(self._config, self.replica)
        self.steward = Steward(
            self._config, store, Spawn, self._factors, self._known, self._said, self._answer
        )
        return self.steward

    def _answer(self, event: Received, now: Millis) -> list[Any]:
        return list(self.scheduler.handle(event, now))

    def start(self, now: Millis) -> list[Any]:
        """Start the first executors, and the other stores."""
        return [*self.scheduler.start(now), *self.stores.start(now)]

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event; return what is to be done, in order."""
        kind = type(event)
        if kind is Received:
            if type(event.message) is Status and self.steward is not None and self.steward.store.owners:
                return self.steward.census.count(event, now)
            if not self.scheduler.takes(event.message):
                return self._to_stores(event, now)
            if type(event.message) is Hello and event.message.role == STORE_ROLE:
                return self._greet(event.peer, event.message, now)
        elif kind is PeerLost:
            return [*self.stores.handle(event, now), *self.scheduler.handle(event, now)]
        elif (
            kind is Loaded
            or (kind is Timer and event.key.startswith(STORE_TIMERS))
            or (kind is Unwritten and not self._placed(event.event))
        ):
            return self.stores.handle(event, now)
        elif kind is Exited and event.name == GATEWAY:
            return [] if self.steward is None else self.steward.lose_afar(now)
        elif kind is Exited and is_store(event.name):
            return [] if self.steward is None else self.steward.lose(event.name, now)
        return self.scheduler.handle(event, now)

    def _greet(self, peer: PeerName, hello: Hello, now: Millis) -> list[Any]:
        """A store is there: one that was given its name, or one on another host that has none."""
        steward = self.steward or self._appoint()
        return steward.join(peer, now) if is_store(peer) else steward.enlist(peer, hello, now)

    def _to_stores(self, event: Received, now: Millis) -> list[Any]:
        if self.steward is None:
            if type(event.message) not in _ABOUT_STORES:
                return self.replica.handle(event, now)
            self._appoint()
        return self.stores.handle(event, now)

    def _placed(self, event: Any) -> bool:
        return isinstance(event, Received) and self.scheduler.takes(event.message)

    def validate(self) -> None:
        """Assert what must hold between events."""
        self.scheduler.validate()
        if self.steward is not None:
            self.steward.store.validate()
