"""The scenario of everything that clients can ask for: calls, DAGs, registrations, puts and gets.

Set up, sessions under faults, healing, rest, last reads, checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cloudburst_runtime.sim import checkers, clashes, crashes, growing, rest, sessions, workload
from cloudburst_runtime.sim.consistency.judge import broken
from cloudburst_runtime.sim.workload import WIDE, Session
from cloudburst_runtime.sim.world import World

CLIENTS = 3
SET_UP_MS = 60_000.0
SESSIONS_MS = 120_000.0
REST_MS = 90_000.0
LAST_READS_MS = 30_000.0


def drive(world: World) -> list[str]:
    """Run the scenario; what is wrong."""
    return _drive(world, sessions.fill)


def drive_several(world: World) -> list[str]:
    """Run it over several stores, with values that grow, and of different types that meet."""
    wrong = _drive(world, sessions.fill, extras=(clashes, growing))
    return [*wrong, *clashes.lost(world.history), *growing.shrunk(world.history)]


def drive_many(world: World) -> list[str]:
    """Run it with volleys of calls, which travel together."""
    return _drive(world, sessions.fill_many, [partial(Session.define, name=WIDE, variant=0)])


def _drive(
    world: World,
    fill: Callable[[Session], None],
    more: Sequence[Callable[[Session], None]] = (),
    extras: Sequence[Any] = (),
) -> list[str]:
    if world.faults.loss or world.faults.splits:
        world.history.note(world.now, "net", "lossy")
    world.start_node()
    made = [_session(world, number) for number in range(1, CLIENTS + 1)]
    workload.set_up(made[0])
    made[0].to_do += [partial(each, made[0]) for each in more]
    made[0].go()
    world.run(SET_UP_MS, lambda: made[0].done)
    for session in made:
        fill(session)
        session.go()
    crashes.plan(world, made)
    for extra in extras:
        extra.plan(world, made)
    world.run(world.now + SESSIONS_MS, lambda: all(session.done for session in made))
    world.run(max(world.now, world.faults.heal_at) + REST_MS)
    idle = rest.pending(world)
    _last_reads(world, extras)
    wrong = [*checkers.check(world.history, world.executions), *broken(world.history)]
    return [*wrong, *idle, *rest.stale(world), *rest.of_two_minds(world)]


def _last_reads(world: World, extras: Sequence[Any]) -> None:
    """A new client reads everything, once nothing moves any more."""
    session = Session(world.start_client("c9"), world.random("workload/final"), "final")
    keys = [*workload.SHARED_KEYS, *(f"own/c{number}" for number in range(1, CLIENTS + 1))]
    keys += sorted({o.act.output_key for o in world.history.operations() if o.act.output_key is not None})
    session.to_do += [partial(session.get, key) for key in keys]
    session.to_do += [partial(session.count, key) for key in workload.COUNTERS]
    for extra in extras:
        extra.look(session)
    session.go()
    world.run(world.now + LAST_READS_MS, lambda: session.done)


def _session(world: World, number: int) -> Session:
    name = f"c{number}"
    return Session(world.start_client(name), world.random(f"workload/{name}"))
