"""Processes that keep a store: the node, and other stores, each with a disk if there is a ``state_dir``.

Law: as in `processes`; compare `shell.node`, `shell.store` and `shell.disks`. What an event has led to leaves
the process once what it depends on is on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.anna.durable import Recovered, pack, recover, unpack
from cloudburst_runtime.anna.inherit import begin_anew, written
from cloudburst_runtime.anna.journal import Journal
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.effects import Persist, Received
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Papers, Retire
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.scheduler.events import Kill, Spawn, Stop
from cloudburst_runtime.sim.disk import Disk
from cloudburst_runtime.sim.processes import Process

if TYPE_CHECKING:
    from cloudburst_runtime.sim.world import World


class ServingProcess(Process):
    """A process whose effects wait for its disk, if it has one."""

    replica: ReplicaCore

    def __init__(self, world: World, name: PeerName, pace: str, disk: Disk | None = None) -> None:
        super().__init__(world, name)
        self.disk = disk or world.disk(name)
        self._pace = world.random(pace)
        self._busy_until: Millis = 0.0

    def serve(self) -> None:
        """Stand before the core, which is there."""
        self._journal = Journal(self.core, self.disk, flush_ms=self.world.config.flush_ms)

    def start(self) -> None:
        """Bring the core to life."""
        self._settle(self._journal.start(self.world.now))

    def take(self, event: Any) -> None:
        """Let the core take an event, if the process lives."""
        if self.alive:
            effects = self._journal.handle(event, self.world.now)
            self.core.validate()
            self._settle(effects)

    def _settle(self, effects: list[Any]) -> None:
        """Carry out effects once what they depend on is on disk, and in order."""
        disk, now = self.disk, self.world.now
        if disk is None:
            self.perform(effects)
            return
        if disk.unsynced:
            self._busy_until = max(self._busy_until, now) + self._pace.uniform(0.05, 3.0)
        self.world.at(self._busy_until, self._synced, disk.written, effects)

    def _synced(self, transaction: int, effects: list[Any]) -> None:
        if self.alive:
            assert self.disk is not None
            self.disk.sync(transaction)
            self.perform(effects)


class NodeProcess(ServingProcess):
    """Scheduler and store."""

    core: NodeCore

    def __init__(self, world: World, name: PeerName) -> None:
        super().__init__(world, name, "disk/pace")
        found = None if self.disk is None else _found(self.disk)
        self.replica = world.mutant.replica(world.config, name, found)
        if world.hosts:
            self.replica.keeper.papers = Papers("runtime", "runtime", f"start {world.lives}")
        if self.disk is not None:
            take_over(world, self.disk, self.replica)
            _write(self.disk, world.mutant.finish(self.replica, partial(_read, self.disk)))
        mutant, uniform = world.mutant, world.random("node").random
        self.core = mutant.node(world.config, self.replica, uniform, found, mutant.store)
        self.carry[Spawn] = lambda effect: world.spawn(effect.name, effect.estates)
        self.carry[Kill] = lambda effect: world.kill(effect.name, effect.reason)
        self.carry[Stop] = lambda effect: None
        self.serve()


class StoreProcess(ServingProcess):
    """One of several stores, besides the node's own; it ends with the node, or when that says so.

    Parameters
    ----------
    estates
        Stores that have died: what they have left on disk is this one's.
    """

    core: StoreCore

    def __init__(self, world: World, name: PeerName, estates: tuple[PeerName, ...] = ()) -> None:
        super().__init__(world, name, f"disk/pace/{name}")
        self.replica = world.mutant.replica(world.config, name)
        self._estates = estates
        if world.mutant.heir_waits_ms:
            world.after(world.mutant.heir_waits_ms, self._inherit)
        else:
            self._inherit()
        self.core = world.mutant.store(world.config, self.replica)
        self.serve()

    def _inherit(self) -> None:
        if self.alive and self.disk is not None:
            take_over(self.world, self.disk, self.replica, self._estates)

    def take(self, event: Any) -> None:
        """Let the core take an event, unless it is the end."""
        if isinstance(event, Received) and isinstance(event.message, Retire):
            self.world.disks.pop(self.name, None)
            self.world.kill(self.name, "it left")
        else:
            super().take(event)


def take_over(
    world: World, disk: Disk, replica: ReplicaCore, estates: Iterable[PeerName] | None = None
) -> None:
    """What `shell.disks` does before a store serves; without ``estates``, all that stores have left."""
    for name in [each for each in world.disks if each != replica.name] if estates is None else estates:
        if name in world.disks:
            _write(disk, _pieces(world, disk, replica, world.disks[name], estates is None))
            del world.disks[name]
            world.met["begun with several" if estates is None else "taken over"] += 1


def die_taking_over(world: World, name: PeerName, estates: tuple[PeerName, ...], share: float) -> None:
    """What an heir has written that ends amid this: some of it, and what was left is where it was."""
    disk = world.disk(name)
    assert disk is not None
    replica = ReplicaCore(world.config, name)
    for estate in [estate for estate in estates if estate in world.disks]:
        pieces = list(_pieces(world, disk, replica, world.disks[estate], False))
        _write(disk, islice(pieces, int(share * len(pieces))))
        world.met["died taking over"] += bool(pieces)
        return


def _pieces(
    world: World, disk: Disk, replica: ReplicaCore, left: Disk, anew: bool
) -> Iterator[list[Persist]]:
    read, read_left = partial(_read, disk), partial(_read, left)
    found = _found(left) if anew else recover(left.records())
    return written(replica, world.mutant.take_over(replica.records, read, found, read_left))


def _found(disk: Disk) -> Recovered:
    """What another runtime, which is gone, has left."""
    found = recover(disk.records())
    begin_anew(found)
    return found


def _write(disk: Disk, pieces: Iterable[list[Persist]]) -> None:
    for persists in pieces:
        disk.write({each.place: each.record and pack(each.place, each.record) for each in persists})
    disk.sync(disk.written)


def _read(disk: Disk, place: bytes) -> Stored | None:
    data = disk.read(place)
    record = None if data is None else unpack(place, data)
    assert record is None or isinstance(record, Stored)
    return record
