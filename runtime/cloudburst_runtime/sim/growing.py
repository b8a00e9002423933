"""Sets to which elements are added in bursts, so that changes gather on their way from store to store.

Law: a set only grows. Each session finds what it has added and what it has seen, and in the end all is there
that was acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from cloudburst_runtime.sim.history import History, Operation
from cloudburst_runtime.sim.workload import Session
from cloudburst_runtime.sim.world import World

KEYS = ("grown0", "grown1")
BURSTS = 12
ELEMENTS_MAX = 10
LATEST_MS = 8_000.0
HANDOVER_MS = 100.0


def plan(world: World, sessions: Iterable[Session]) -> None:
    """Have all sessions add elements, and look, at times from now on, and when stores join and leave."""
    for session in sessions:
        luck = world.random(f"growing/{session.client.name}")
        times = [luck.uniform(0.0, LATEST_MS) for _ in range(BURSTS)]
        times += [time + luck.uniform(0.0, HANDOVER_MS) for time in world.faults.store_changes]
        for time in times:
            world.after(time, _burst, session, luck.choice(KEYS), luck.randint(2, ELEMENTS_MAX))


def _burst(session: Session, key: str, count: int) -> None:
    if session.client.alive:
        for _ in range(count):
            session.grow(key)
        session.look_at_set(key)


def look(session: Session) -> None:
    """Have a session look what is in each set."""
    session.to_do += [partial(session.look_at_set, key) for key in KEYS]


def shrunk(history: History) -> list[str]:
    """Of each set, what a reading lacks though its session knew of it, and what nobody has added."""
    operations = [each for each in history.operations() if each.act.kind in ("grow", "grown")]
    added = {(each.act.name, each.act.value) for each in operations if each.act.kind == "grow"}
    violations = []
    for reading in operations:
        if reading.act.kind != "grown" or reading.kind != "ok":
            continue
        known = {element for each in operations if _precedes(each, reading) for element in _elements(each)}
        lacking = sorted(known.difference(reading.value))
        if lacking:
            violations.append(f"grown: {reading} lacks {', '.join(lacking)}")
        strange = [element for element in reading.value if (reading.act.name, element) not in added]
        if strange:
            violations.append(f"grown: {reading} has {', '.join(strange)}, which nobody added")
    return violations


def _precedes(one: Operation, reading: Operation) -> bool:
    """Whether a reading's session knew what an operation on the same set added or saw."""
    mine = one.session == reading.session or reading.session == "final"
    over = one.kind == "ok" and one.end is not None and one.end < reading.begin
    return mine and over and one.act.name == reading.act.name


def _elements(operation: Operation) -> list[Any]:
    return [operation.act.value] if operation.act.kind == "grow" else operation.value
