"""The scenario of consistency: DAGs over few keys, under faults, judged by what their level promises.

Clients run executions and read and write themselves, one thing after the other. Once all has healed and
come to rest, each that is left runs some more, which must succeed, and two new clients read every key. At
causal levels all siblings are asked for: a write replaces all that its session was given to choose from, and
a history must say what that was. At ``atomic``, some of these things go together in a *block*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from cloudburst_runtime.levels import CAUSAL
from cloudburst_runtime.sim import checkers, crashes, rest
from cloudburst_runtime.sim.consistency.judge import broken
from cloudburst_runtime.sim.consistency.record import FINAL
from cloudburst_runtime.sim.consistency.survival import HEALED
from cloudburst_runtime.sim.visits import SHAPES, Script, Visitor, size
from cloudburst_runtime.sim.world import World

CLIENTS = 3
ACTIONS = 25
MORE = 2
KEYS = ("k0", "k1", "k2", "k3")
SET_UP_MS = 60_000.0
SESSIONS_MS = 120_000.0
REST_MS = 90_000.0


Action: TypeAlias = Callable[[Visitor], None]
"""Something that a visitor does."""


def at(level: str) -> Callable[[World], list[str]]:
    """The scenario at a level."""
    return partial(drive, level, one)


def drive_blocks(world: World) -> list[str]:
    """The scenario in which several things that a client does go together."""
    return drive("atomic", _block, world)


def drive(level: str, action: Action, world: World) -> list[str]:
    """Run the scenario; what is wrong."""
    if world.faults.loss or world.faults.splits:
        world.history.note(world.now, "net", "lossy")
    world.start_node()
    made = [_visitor(world, f"c{number}", level) for number in range(1, CLIENTS + 1)]
    made[0].set_up()
    made[0].go()
    world.run(SET_UP_MS, lambda: made[0].done)
    crashes.plan(world, list(made))
    _act(world, made, action, ACTIONS)
    world.run(max(world.now, world.faults.heal_at) + REST_MS)
    world.history.note(world.now, "net", HEALED)
    _act(world, made, action, MORE)
    world.run(world.now + REST_MS)
    _last_reads(world, level)
    world.run(world.now + REST_MS)
    wrong = [*checkers.ends(world.history), *broken(world.history)]
    return [*wrong, *rest.pending(world), *rest.stale(world), *rest.of_two_minds(world)]


def _visitor(world: World, name: str, level: str) -> Visitor:
    return Visitor(world.start_client(name), world.random(f"executions/{name}"), name, level)


def _act(world: World, visitors: list[Visitor], action: Action, actions: int) -> None:
    for visitor in visitors:
        if visitor.client.alive:
            for _ in range(actions):
                visitor.to_do += [partial(action, visitor), visitor.wait]
            visitor.go()
    world.run(world.now + SESSIONS_MS, lambda: all(visitor.done for visitor in visitors))


def _block(visitor: Visitor) -> None:
    """Some actions, most of them reads, which go together."""
    random = visitor.random
    visitor.begin()
    for _ in range(random.randint(1, 4)):
        then = (
            partial(visitor.look, random.choice(KEYS))
            if random.random() < 0.7
            else partial(_act_once, visitor)
        )
        visitor.to_do[:0] = [then, visitor.wait]


def one(visitor: Visitor) -> None:
    """An execution, a read or a write, which stands alone."""
    visitor.begin()
    _act_once(visitor)


def _act_once(visitor: Visitor) -> None:
    random = visitor.random
    pick = random.random()
    if pick < 0.7:
        shape = random.randrange(len(SHAPES))
        visitor.visit(shape, [_script(visitor) for _ in range(size(shape))])
    elif pick < 0.85:
        visitor.look(random.choice(KEYS))
    else:
        visitor.put(random.choice(KEYS))


def _script(visitor: Visitor) -> Script:
    random = visitor.random
    steps = random.choice((0, 1, 2, 2, 3))
    return [_step(visitor, random.choice(KEYS), random.random() < 0.35) for _ in range(steps)]


def _step(visitor: Visitor, key: str, write: bool) -> list[str | None]:
    if write:
        return ["put", key, visitor.unique()]
    return ["siblings" if visitor.level in CAUSAL else "get", key, None]


def _last_reads(world: World, level: str) -> None:
    """New clients read everything, once nothing moves any more."""
    for number in (1, 2):
        client = world.start_client(f"z{number}")
        reader = Visitor(client, world.random(f"executions/{client.name}"), f"{FINAL}/{number}", level)
        reader.to_do += [partial(reader.look, key) for key in KEYS]
        reader.go()
        world.run(world.now + SESSIONS_MS, lambda reader=reader: reader.done)  # type: ignore[misc]
