"""The node core: the scheduler and the Anna replica of one node process, behind one address.

Law: it only routes. What the scheduler takes goes to the scheduler, every other message to the store; that
a peer was lost concerns both, the store first. Only the scheduler sets timers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Loaded, PeerLost, Received, Unwritten
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.scheduler.core import SchedulerCore
from cloudburst_runtime.scheduler.policy import Uniform


class Replica(Protocol):
    """What the node needs of `anna.replica.ReplicaCore`."""

    @property
    def key_count(self) -> int:
        """How many keys there are."""
        ...

    @property
    def nbytes(self) -> int:
        """About how many bytes they take."""
        ...

    def start(self, now: Millis) -> Sequence[Any]:
        """What it sends before anything happens."""
        ...

    def handle(self, event: Any, now: Millis) -> Sequence[Any]:
        """Take a message about keys, or the loss of a peer."""
        ...

    def holders(self, key: str) -> list[PeerName]:
        """Who has the key cached."""
        ...


class NodeCore:
    """Scheduler and store of one node.

    Parameters
    ----------
    replica
        The store, an `anna.replica.ReplicaCore`.
    uniform
        A source of numbers in [0, 1), for the scheduler's policies.
    found
        What is on disk, for the scheduler; the replica has it already.
    """

    def __init__(
        self, config: Config, replica: Replica, uniform: Uniform, found: Recovered | None = None
    ) -> None:
        self.replica = replica
        self.scheduler = SchedulerCore(
            config,
            holders=replica.holders,
            uniform=uniform,
            store_stats=lambda: (replica.key_count, replica.nbytes),
            found=found,
        )

    def start(self, now: Millis) -> list[Any]:
        """Start the first executors."""
        return [*self.replica.start(now), *self.scheduler.start(now)]

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event; return what is to be done, in order."""
        if isinstance(event, Received) and not self.scheduler.takes(event.message):
            return list(self.replica.handle(event, now))
        if isinstance(event, PeerLost):
            return [*self.replica.handle(event, now), *self.scheduler.handle(event, now)]
        if isinstance(event, Loaded) or (isinstance(event, Unwritten) and not self._placed(event.event)):
            return list(self.replica.handle(event, now))
        return self.scheduler.handle(event, now)

    def _placed(self, event: Any) -> bool:
        return isinstance(event, Received) and self.scheduler.takes(event.message)

    def validate(self) -> None:
        """Assert what must hold between events."""
        self.scheduler.validate()
