"""The node core: the scheduler and the store of one node process, behind one address.

Law: it only routes. What the scheduler takes goes to the scheduler, every other message to the steward of the
stores, and with it what other stores say, and that they begin and end; that a peer was lost concerns both,
the store first.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.steward import TIMERS, Steward
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Loaded, PeerLost, Received, Timer, Unwritten
from cloudburst_runtime.ids import Millis, is_store
from cloudburst_runtime.messages import Hello
from cloudburst_runtime.scheduler.core import SchedulerCore
from cloudburst_runtime.scheduler.events import Exited, Spawn
from cloudburst_runtime.scheduler.policy import Uniform


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
    """

    def __init__(
        self, config: Config, replica: ReplicaCore, uniform: Uniform, found: Recovered | None = None
    ) -> None:
        self.replica = replica
        self.stores = Steward(config, StoreCore(config, replica), Spawn)
        self.scheduler = SchedulerCore(
            config,
            holders=replica.holders,
            uniform=uniform,
            store_stats=lambda: (self.stores.key_count, self.stores.nbytes),
            found=found,
        )

    def start(self, now: Millis) -> list[Any]:
        """Start the first executors, and the other stores."""
        return [*self.scheduler.start(now), *self.stores.start(now)]

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event; return what is to be done, in order."""
        kind = type(event)
        if kind is Received:
            if not self.scheduler.takes(event.message):
                return self.stores.handle(event, now)
            if type(event.message) is Hello and self.stores.knows(event.peer):
                return self.stores.join(event.peer, now)
        elif kind is PeerLost:
            return [*self.stores.handle(event, now), *self.scheduler.handle(event, now)]
        elif (
            kind is Loaded
            or (kind is Timer and event.key in TIMERS)
            or (kind is Unwritten and not self._placed(event.event))
        ):
            return self.stores.handle(event, now)
        elif kind is Exited and is_store(event.name):
            return self.stores.lose(event.name, now)
        return self.scheduler.handle(event, now)

    def _placed(self, event: Any) -> bool:
        return isinstance(event, Received) and self.scheduler.takes(event.message)

    def validate(self) -> None:
        """Assert what must hold between events."""
        self.scheduler.validate()
        self.stores.store.validate()
