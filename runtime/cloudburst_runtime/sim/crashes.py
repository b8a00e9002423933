"""Who is killed when, and which stores join and leave, as the fault plan says."""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.ids import NODE, PeerName
from cloudburst_runtime.messages import AddStore, Done, RemoveStore, StoreAdded
from cloudburst_runtime.sim.workload import Session
from cloudburst_runtime.sim.world import World

STORES_MAX = 5


def plan(world: World, sessions: list[Session]) -> None:
    """Kill executors, stores, and the client of the last session, at the times of the fault plan from now on.

    The client of the first session, which lives, asks for more stores and for fewer.
    """
    luck = world.random("crashes")
    start = world.now
    for time in world.faults.executor_crashes:
        world.at(start + time, _crash_executor, world, luck.random())
    for time in world.faults.store_crashes:
        world.at(start + time, _crash_store, world, luck.random())
    changes = world.random("members")
    for time in world.faults.store_changes:
        world.at(start + time, _change_stores, world, sessions[0], changes.random())
    if world.faults.client_crash is not None:
        world.at(start + world.faults.client_crash, _crash_client, world, sessions[-1])


def _crash_executor(world: World, luck: float) -> None:
    there = world.executors()
    if there and world.now < world.faults.heal_at:
        victim = there[int(luck * len(there))]
        _kill(world, victim.name, "executor killed")


def _crash_store(world: World, luck: float) -> None:
    """One at a time: not while what another's death has left alone is still to be copied."""
    there, steward = world.stores(), world.node().core.steward
    if steward is None:
        return
    ring = steward.membership.ring
    known = all(name in world.processes for name in ring.live)
    spare = world.config.replication > 1 and len(ring.live) > 1 and known and not ring.former
    if there and spare and world.now < world.faults.heal_at:
        victim = there[int(luck * len(there))]
        if victim.name in ring.current.names:
            _kill(world, victim.name, "store killed")


def _crash_client(world: World, session: Session) -> None:
    _kill(world, session.client.name, "client killed")
    session.crashed()


def _kill(world: World, name: PeerName, what: str) -> None:
    world.history.note(world.now, name, "crash")
    world.met[what] += 1
    world.kill(name, "killed")


def _change_stores(world: World, session: Session, luck: float) -> None:
    """Ask for a store more, or that one of them leaves; as many remain as copies are to be kept."""
    steward = world.node().core.steward
    if steward is None or world.config.stores_max == 1 or world.now >= world.faults.heal_at:
        return
    names = steward.membership.names
    others = [name for name in steward.membership.ring.current.names if name != NODE and name in names]
    spare = len(names) > max(2, world.config.replication) and others
    if spare and (luck < 0.5 or len(names) >= STORES_MAX):
        leaving = others[int(luck * len(others))]
        session.client.ask(lambda req: RemoveStore(req, leaving), lambda answer: _note(world, answer))
    elif len(names) < STORES_MAX:
        session.client.ask(AddStore, lambda answer: _note(world, answer))


def _note(world: World, answer: Any) -> None:
    world.met["store joined"] += isinstance(answer, StoreAdded)
    world.met["store left"] += isinstance(answer, Done)
