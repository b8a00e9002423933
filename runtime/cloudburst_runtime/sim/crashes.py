"""Who is killed when, as the fault plan says."""

from __future__ import annotations

from cloudburst_runtime.sim.workload import Session
from cloudburst_runtime.sim.world import World


def plan(world: World, sessions: list[Session]) -> None:
    """Kill executors, and the client of the last session, at the times of the fault plan from now on."""
    luck = world.random("crashes")
    start = world.now
    for time in world.faults.executor_crashes:
        world.at(start + time, _crash_executor, world, luck.random())
    for time in world.faults.store_crashes:
        world.at(start + time, _crash_store, world, luck.random())
    if world.faults.client_crash is not None:
        world.at(start + world.faults.client_crash, _crash_client, world, sessions[-1])


def _crash_executor(world: World, luck: float) -> None:
    there = world.executors()
    if there and world.now < world.faults.heal_at:
        victim = there[int(luck * len(there))]
        world.history.note(world.now, victim.name, "crash")
        world.kill(victim.name, "killed")


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
            world.history.note(world.now, victim.name, "crash")
            world.kill(victim.name, "killed")


def _crash_client(world: World, session: Session) -> None:
    world.history.note(world.now, session.client.name, "crash")
    world.kill(session.client.name, "killed")
    session.crashed()
