"""The scenario of versions: stores join and leave while keys are overwritten; then all look at their history.

Law: `judge` reads a history alone, and knows nothing of stores.

No store dies. So what a client is shown of a key in the end has, within the bound, each value that a store
has shown to anybody: however often the key has changed hands, and whoever is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from cloudburst_runtime.sim import checkers, crashes, rest
from cloudburst_runtime.sim.history import History, Operation
from cloudburst_runtime.sim.visits import SHAPES, Visitor, size
from cloudburst_runtime.sim.world import World

KEYS = ("k0", "k1", "k2", "k3")
CLIENTS = 3
ACTIONS = 40
SET_UP_MS = 60_000.0
SESSIONS_MS = 120_000.0
REST_MS = 90_000.0


def drive(world: World) -> list[str]:
    """Run the scenario; what is wrong."""
    if world.faults.loss or world.faults.splits:
        world.history.note(world.now, "net", "lossy")
    versions_max = world.random("versions").choice((3, 1_000))
    world.config = msgspec.structs.replace(world.config, history_max=versions_max)
    world.start_node()
    made = [_visitor(world, f"c{number}") for number in range(1, CLIENTS + 1)]
    made[0].set_up()
    _run(world, made[:1])
    crashes.plan(world, list(made))
    for visitor in made:
        for _ in range(ACTIONS):
            visitor.to_do += [partial(_one, visitor), visitor.wait]
    _run(world, made)
    world.run(max(world.now, world.faults.heal_at) + REST_MS)
    _look_back(world)
    world.run(world.now + REST_MS)
    found = [*checkers.ends(world.history), *judge(world.history, versions_max)]
    return [*found, *rest.pending(world), *rest.stale(world), *rest.of_two_minds(world)]


def _visitor(world: World, name: str) -> Visitor:
    return Visitor(world.start_client(name), world.random(f"versions/{name}"), name)


def _run(world: World, visitors: list[Visitor]) -> None:
    for visitor in visitors:
        visitor.go()
    world.run(world.now + SESSIONS_MS, lambda: all(visitor.done for visitor in visitors))


def _one(visitor: Visitor) -> None:
    random = visitor.random
    pick, key = random.random(), random.choice(KEYS)
    if pick < 0.2:
        shape = random.randrange(len(SHAPES))
        steps = [[random.choice(("put", "get")), random.choice(KEYS)] for _ in range(size(shape))]
        visitor.visit(shape, [[[*step, visitor.unique() if step[0] == "put" else None]] for step in steps])
    elif pick < 0.5:
        visitor.get(key)
    elif pick < 0.6:
        visitor.look_back(key)
    else:
        visitor.put(key)


def _look_back(world: World) -> None:
    """New clients, who may ask other stores first, read everything and its history."""
    for number in (1, 2):
        reader = _visitor(world, f"z{number}")
        for key in KEYS:
            reader.to_do += [
                partial(reader.get, key),
                reader.wait,
                partial(reader.look_back, key),
                reader.wait,
            ]
        _run(world, [reader])


# ---------------------------------------------------------------- the judge


def judge(history: History, versions_max: int) -> list[str]:
    """What is wrong with what was shown of the versions of keys.

    Examples
    --------
    >>> from cloudburst_runtime.sim.history import Act
    >>> history = History()
    >>> for op, act, value in [(1, Act("put", "k", "a"), None), (2, Act("look back", "k"), [[7, "b"]])]:
    ...     history.invoke(op, "c1", op, act)
    ...     history.end(op + 0.5, "c1", op, "ok", value)
    >>> print(*judge(history, versions_max=3))
    versions: c1 op 2 look back k → ok [[7, 'b']] shows b, which nobody wrote
    """
    everything = history.everything()
    found: list[str] = []
    for look in everything:
        if look.act.kind == "look back" and look.kind == "ok":
            of_key = [each for each in everything if each.act.name == look.act.name and each is not look]
            found += [f"versions: {look} {why}" for why in _wrong(look, of_key, versions_max)]
    return found


def _wrong(look: Operation, of_key: list[Operation], versions_max: int) -> Iterable[str]:
    numbers = [number for number, _ in look.value]
    shown = [value for _, value in reversed(look.value)]
    written = {each.act.value: each for each in of_key if each.act.kind == "put"}
    yield from (f"shows {value}, which nobody wrote" for value in shown if value not in written)
    yield from (f"shows {value} twice" for value in dict.fromkeys(shown) if shown.count(value) > 1)
    if len(shown) > versions_max:
        yield f"shows {len(shown)} versions, where {versions_max} are kept"
    if numbers != sorted(numbers, reverse=True):
        yield "has a later version with a smaller number"
    yield from _misplaced(shown, of_key)
    if look.session.startswith("z"):
        yield from _missing(look, shown, of_key, versions_max)


def _known(operation: Operation) -> str | None:
    """The value that an operation read, or that it wrote."""
    if operation.kind != "ok":
        return None
    value: str | None = operation.act.value if operation.act.kind == "put" else operation.value
    return value


def _accesses(of_key: list[Operation]) -> list[Operation]:
    return [each for each in of_key if each.act.kind in ("put", "get")]


def _misplaced(shown: list[str], of_key: list[Operation]) -> Iterable[str]:
    """What a session knew before it wrote comes before what it wrote."""
    place = {value: index for index, value in enumerate(shown)}
    for write in _accesses(of_key):
        if write.act.kind != "put" or write.act.value not in place:
            continue
        for each in _accesses(of_key):
            known = _known(each)
            earlier = each.session == write.session and each.end is not None and each.end < write.begin
            if earlier and place.get(str(known), -1) > place[write.act.value]:
                yield f"shows {known} after {write.act.value}, whose writer knew of it"


def _missing(look: Operation, shown: list[str], of_key: list[Operation], versions_max: int) -> Iterable[str]:
    """What a store has shown to another than its writer is a version, unless too many are later."""
    last = [each for each in of_key if each.session == look.session and each.act.kind == "get"]
    if last and last[-1].value is not None and shown[-1:] != [last[-1].value]:
        yield f"does not end with {last[-1].value}, which is there"
    if len(shown) >= versions_max:
        return
    writers = {each.act.value: _cache(each) for each in of_key if each.act.kind == "put"}
    for each in _accesses(of_key):
        value = _known(each)
        read = each.act.kind == "get" and value is not None
        if read and value not in shown and _cache(each) != writers.get(str(value)):
            yield f"does not show {value}, which {each.session} has read"


def _cache(operation: Operation) -> str:
    return operation.session if operation.spot is None else operation.spot.cache
