"""One seed from beginning to end: set up, sessions under faults, healing, rest, last reads, checks."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

from cloudburst_runtime.sim import checkers, faults, rest, sessions, workload
from cloudburst_runtime.sim.consistency.judge import broken
from cloudburst_runtime.sim.mutants import HONEST, Mutant
from cloudburst_runtime.sim.workload import Session
from cloudburst_runtime.sim.world import World

CLIENTS = 3
SET_UP_MS = 60_000.0
SESSIONS_MS = 120_000.0
REST_MS = 90_000.0
LAST_READS_MS = 30_000.0


class Report(NamedTuple):
    """What became of a seed."""

    seed: int
    profile: str
    violations: list[str]
    world: World


def run(
    seed: int,
    mutant: Mutant = HONEST,
    profile: str | None = None,
    trace: Callable[[str], None] | None = None,
) -> Report:
    """Run a seed and check what its clients saw."""
    plan = faults.plan(seed, profile)
    world = World(seed, plan, faults.config(seed, plan), mutant, trace)
    try:
        violations = _drive(world)
    except Exception as error:  # a core that fails an assertion is a finding like any other
        violations = [f"crash: {type(error).__name__} {error} ({_place(error)})"]
    return Report(seed, plan.profile, violations, world)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(frame.filename).name} line {frame.lineno}"


def _drive(world: World) -> list[str]:
    if world.faults.loss or world.faults.splits:
        world.history.note(world.now, "net", "lossy")
    world.start_node()
    made = [_session(world, number) for number in range(1, CLIENTS + 1)]
    workload.set_up(made[0])
    made[0].go()
    world.run(SET_UP_MS, lambda: made[0].done)
    for session in made:
        sessions.fill(session)
        session.go()
    _plan_crashes(world, made)
    world.run(world.now + SESSIONS_MS, lambda: all(session.done for session in made))
    world.run(max(world.now, world.faults.heal_at) + REST_MS)
    idle = rest.pending(world)
    _last_reads(world)
    wrong = [*checkers.check(world.history, world.executions), *broken(world.history)]
    return [*wrong, *idle, *rest.stale(world)]


def _last_reads(world: World) -> None:
    """A new client reads everything, once nothing moves any more."""
    session = Session(world.start_client("c9"), world.random("workload/final"), "final")
    keys = [*workload.SHARED_KEYS, *(f"own/c{number}" for number in range(1, CLIENTS + 1))]
    keys += sorted({o.act.output_key for o in world.history.operations() if o.act.output_key is not None})
    session.to_do += [partial(session.get, key) for key in keys]
    session.to_do += [partial(session.count, key) for key in workload.COUNTERS]
    session.go()
    world.run(world.now + LAST_READS_MS, lambda: session.done)


def _session(world: World, number: int) -> Session:
    name = f"c{number}"
    return Session(world.start_client(name), world.random(f"workload/{name}"))


def _plan_crashes(world: World, made: list[Session]) -> None:
    luck = world.random("crashes")
    start = world.now
    for time in world.faults.executor_crashes:
        world.at(start + time, _crash_executor, world, luck.random())
    if world.faults.client_crash is not None:
        world.at(start + world.faults.client_crash, _crash_client, world, made[-1])


def _crash_executor(world: World, luck: float) -> None:
    there = world.executors()
    if there and world.now < world.faults.heal_at:
        victim = there[int(luck * len(there))]
        world.history.note(world.now, victim.name, "crash")
        world.kill(victim.name, "killed")


def _crash_client(world: World, session: Session) -> None:
    world.history.note(world.now, session.client.name, "crash")
    world.kill(session.client.name, "killed")
    session.crashed()
