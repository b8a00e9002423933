"""The scenario of restarts: the whole runtime is killed, again and again, and begins with what is on disk.

Nothing else survives: neither processes nor what was not synced. The functions and DAGs are registered
once, in the first life. When all is over, new clients read every key: each acknowledged write is there.

With several stores these die one by one as well, at any time, as do those that are to take over what they
have left; others join and leave. Then some puts, of a key of their own, do not wait for the disk: nothing is
promised of them. Stores on other hosts have disks of their own, and come back later than the runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import msgspec

from cloudburst_runtime.sim import checkers, crashes, rest
from cloudburst_runtime.sim.abroad import Host
from cloudburst_runtime.sim.consistency.judge import broken
from cloudburst_runtime.sim.consistency.record import FINAL
from cloudburst_runtime.sim.consistency.survival import HEALED
from cloudburst_runtime.sim.visits import SHAPES, Visitor, size
from cloudburst_runtime.sim.world import World

CLIENTS = 3
ACTIONS = 60
MORE = 4
SHARED = ("k0", "k1")
LIGHT = "light"
OWN = 4
"""Keys that only one life writes to: what it wrote last is not written over in the next."""
LIVES = 4
AMID_MS = 1_000.0
"""How long a crash waits for something that it can destroy."""

SET_UP_MS = 60_000.0
REST_MS = 90_000.0
SPREAD_MS = 2_000.0
"""How long an attempt that nobody waits for any more may take to write, and stores to hear of it."""


def at(level: str, several: bool = False, hosts: int = 0) -> Callable[[World], list[str]]:
    """The scenario at a level, with one store or ``several``, and stores on so many other hosts."""
    return partial(drive, level, several, hosts)


def drive(level: str, several: bool, hosts: int, world: World) -> list[str]:
    """Run the scenario; what is wrong."""
    world.hosts = [Host(world, f"host{number}") for number in range(hosts)]
    if world.faults.loss or world.faults.splits:
        world.history.note(world.now, "net", "lossy")
    luck = world.random("restarts")
    world.config = msgspec.structs.replace(world.config, state_dir="disk", history_max=luck.choice((1, 3)))
    _set_up(world, level)
    for life in range(1, LIVES):
        visitors = _begin(world, level, life, ACTIONS, several)
        span = luck.uniform(200.0, 2_500.0)
        if several:
            crashes.plan_stores(world, visitors[0], span)
        world.run(world.now + span)
        _crash(world, visitors, luck.random() < 0.5)
    world.run(max(world.now, world.faults.heal_at) + 1_000.0)
    world.history.note(world.now, "net", HEALED)
    visitors = _begin(world, level, LIVES, MORE)
    world.run(world.now + REST_MS, lambda: all(visitor.done for visitor in visitors))
    world.run(world.now + SPREAD_MS)
    _last_reads(world, level)
    world.run(world.now + REST_MS)
    wrong = [*checkers.ends(world.history), *broken(world.history)]
    return [*wrong, *rest.pending(world), *rest.stale(world), *rest.of_two_minds(world)]


def _set_up(world: World, level: str) -> None:
    _start(world)
    first = Visitor(world.start_client("c0"), world.random("restarts/c0"), "c0", level)
    first.set_up()
    first.go()
    world.run(SET_UP_MS, lambda: first.done)


def _begin(world: World, level: str, life: int, actions: int, lightly: bool = False) -> list[Visitor]:
    """New clients, which write, read and call; some of their puts do not wait for the disk if ``lightly``."""
    made = []
    for number in range(1, CLIENTS + 1):
        name = f"c{life}{number}"
        visitor = Visitor(world.start_client(name), world.random(f"restarts/{name}"), name, level)
        for _ in range(actions):
            visitor.to_do += [partial(_one, visitor, visitor.random, _keys(life), lightly), visitor.wait]
        visitor.go()
        made.append(visitor)
    return made


def _keys(life: int) -> list[str]:
    return [*SHARED, *(f"life{life}/{number}" for number in range(OWN))]


def _one(visitor: Visitor, random: Random, keys: list[str], lightly: bool) -> None:
    visitor.begin()
    pick = random.random()
    if pick < 0.2:
        shape = random.randrange(len(SHAPES))
        visitor.visit(shape, [[["put", random.choice(keys), visitor.unique()]] for _ in range(size(shape))])
    elif pick < 0.4:
        visitor.look(random.choice(keys))
    elif lightly and pick > 0.85:
        visitor.put_lightly(LIGHT)
    else:
        visitor.put(random.choice(keys))


def _crash(world: World, visitors: list[Visitor], amid: bool) -> None:
    """Kill every process at once, ``amid`` a write if one comes; another runtime begins with that disk."""
    if amid:
        world.run(world.now + AMID_MS, lambda: any(disk.unsynced for disk in world.disks.values()))
    for visitor in visitors:
        world.history.note(world.now, visitor.client.name, "crash")
        visitor.crashed()
    world.end_all()
    world.met["all killed"] += 1
    _start(world)


def _start(world: World) -> None:
    world.start_node()
    for host in world.hosts:
        host.start_soon()


def _last_reads(world: World, level: str) -> None:
    for number in (1, 2):
        client = world.start_client(f"z{number}")
        reader = Visitor(client, world.random(f"restarts/{client.name}"), f"{FINAL}/{number}", level)
        keys = dict.fromkeys(key for life in range(1, LIVES + 1) for key in [*_keys(life), LIGHT])
        reader.to_do += [partial(reader.look, key) for key in keys]
        reader.go()
        world.run(world.now + REST_MS, lambda reader=reader: reader.done)  # type: ignore[misc]
