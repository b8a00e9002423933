"""Who is killed when, and which stores join and leave, as the fault plan says."""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.messages import AddStore, Done, Gossip, RemoveStore, StoreAdded, unpack
from cloudburst_runtime.sim.workload import Session
from cloudburst_runtime.sim.world import World, unheeded

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
    for time in world.faults.ambushes:
        world.at(start + time, _lie_in_wait, world)
    if world.faults.client_crash is not None:
        world.at(start + world.faults.client_crash, _crash_client, world, sessions[-1])


def plan_stores(world: World, session: Session, span: Millis) -> None:
    """Kill stores, and ask for more and for fewer of them, at times of the next ``span``."""
    luck = world.random(f"stores/{session.client.name}")
    for _ in range(luck.randint(1, 4)):
        world.after(luck.uniform(0.0, span), _crash_store, world, luck.random())
    for _ in range(luck.randint(0, 2)):
        world.after(luck.uniform(0.0, span), _change_stores, world, session, luck.random())


def _crash_executor(world: World, luck: float) -> None:
    there = world.executors()
    if there and world.now < world.faults.heal_at:
        victim = there[int(luck * len(there))]
        _kill(world, victim.name, "executor killed")


def _crash_store(world: World, luck: float) -> None:
    there = world.stores()
    if there and world.now < world.faults.heal_at:
        victim = there[int(luck * len(there))]
        if _may_crash(world, victim.name):
            _kill(world, victim.name, "store killed")


def _may_crash(world: World, name: PeerName) -> bool:
    """Whether the others can do without a store, which is one of them.

    With files they always can. Else one dies at a time: not while what another's death has left alone is
    still to be copied.
    """
    if world.disks:
        return True
    steward = world.node().core.steward
    assert steward is not None
    ring = steward.membership.ring
    known = all(name in world.processes for name in ring.live)
    spare = world.config.replication > 1 and len(ring.live) > 1 and known and not ring.former
    return spare and name in ring.current.names


def _lie_in_wait(world: World) -> None:
    """Kill the next store whose word to another the network loses, soon: before it says it again."""
    luck = world.random(f"ambush/{world.now}")

    def strike(name: PeerName) -> None:
        if name in world.processes and _may_crash(world, name) and world.now < world.faults.heal_at:
            _kill(world, name, "killed before others knew")

    def seen(sender: PeerName, receiver: PeerName, data: bytes) -> None:
        if sender != NODE and isinstance(unpack(data), Gossip):
            world.on_loss = unheeded
            world.after(luck.uniform(0.0, world.config.resend_ms), strike, sender)

    world.on_loss = seen


def _crash_client(world: World, session: Session) -> None:
    _kill(world, session.client.name, "client killed")
    session.crashed()


def _kill(world: World, name: PeerName, what: str) -> None:
    world.history.note(world.now, name, "crash")
    world.met[what] += 1
    world.kill(name, "killed")


def _change_stores(world: World, session: Session, luck: float) -> None:
    """Ask for a store more, or that one of them leaves; as many remain as copies are to be kept."""
    several = world.config.stores_max > 1 or world.disks
    if NODE not in world.processes or not several or world.now >= world.faults.heal_at:
        return
    steward = world.node().core.steward
    names = [NODE] if steward is None else steward.membership.names
    current = [] if steward is None else steward.membership.ring.current.names
    others = [name for name in current if name != NODE and name in names]
    spare = len(names) > max(2, world.config.replication) and others
    if spare and (luck < 0.5 or len(names) >= STORES_MAX):
        leaving = others[int(luck * len(others))]
        session.client.ask(lambda req: RemoveStore(req, leaving), lambda answer: _note(world, answer))
    elif len(names) < STORES_MAX:
        session.client.ask(AddStore, lambda answer: _note(world, answer))


def _note(world: World, answer: Any) -> None:
    world.met["store joined"] += isinstance(answer, StoreAdded)
    world.met["store left"] += isinstance(answer, Done)
