"""Values of different types that are put under one new key at the same time, and what became of them.

Law: nothing acknowledged is lost. Stores that have not heard of each other's value cannot refuse it any more,
so both are there in the end; where one had heard of the other, the later put was refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from cloudburst_runtime.sim.history import History
from cloudburst_runtime.sim.workload import Session
from cloudburst_runtime.sim.world import World

KEYS = tuple(f"clash{number}" for number in range(8))
TYPES: dict[str, Any] = {"set": {"a"}, "counter": 3, "max": 5}
LATEST_MS = 6_000.0
APART_MS = 4.0
"""How long after the first of the puts the last one is made at most."""


def plan(world: World, sessions: Iterable[Session]) -> None:
    """Have all sessions put something under the same keys, at times from now on."""
    luck = world.random("clashes")
    for key in KEYS:
        time = luck.uniform(0.0, LATEST_MS)
        for session in sessions:
            kind = luck.choice(list(TYPES))
            world.after(time + luck.uniform(0.0, APART_MS), _put, session, key, kind)


def _put(session: Session, key: str, kind: str) -> None:
    if session.client.alive:
        session.put_as(key, kind, TYPES[kind])


def look(session: Session) -> None:
    """Have a session look what types of values there are under each key."""
    session.to_do += [partial(session.look_for_types, key) for key in KEYS]


def lost(history: History) -> list[str]:
    """Of each value that was acknowledged, its type is found in the end."""
    operations = history.operations()
    shown = {each.act.name: each.value for each in operations if each.act.kind == "types"}
    return [
        f"types: {each} was acknowledged, and in the end there is {shown[each.act.name]}"
        for each in operations
        if each.act.kind == "put as" and each.kind == "ok" and each.act.name in shown
        if each.act.value not in shown[each.act.name]
    ]
