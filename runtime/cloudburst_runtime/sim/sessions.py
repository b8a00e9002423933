"""What a session consists of: the mix of operations.

Law: draws operations and nothing else; how one is carried out is `workload`'s.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from cloudburst_runtime.sim.workload import (
    COUNTERS,
    DAGS,
    OPERATIONS,
    SHARED_KEYS,
    WIDE,
    Given,
    Session,
    shape,
)

LATE_TIMEOUT_S = 6.0
VOLLEYS = 12


def fill(session: Session) -> None:
    """Give a session its operations."""
    kinds = {
        _store: 6,
        _own: 4,
        _counter: 3,
        _echo: 5,
        _function: 5,
        _stateful: 6,
        _dag: 6,
        _hot_swap: 2,
        _late: 2,
        _future: 2,
        _message: 1,
        _burst: 1,
        _batch: 1,
    }
    for _ in range(OPERATIONS):
        [kind] = session.random.choices(list(kinds), list(kinds.values()))
        session.to_do.append(partial(kind, session))
        if session.random.random() < 0.55:
            session.to_do.append(session.wait)
    session.to_do.append(session.wait)
    session.to_do += [partial(session.get, key) for key in SHARED_KEYS]
    session.to_do += [partial(session.count, key) for key in COUNTERS]


def fill_many(session: Session) -> None:
    """Give a session volleys of calls, and the operations of others around them."""
    fill(session)
    for _ in range(VOLLEYS):
        kind = session.random.choice((_volley, _volley, _loop, _wide))
        session.to_do.insert(session.random.randrange(len(session.to_do)), partial(kind, session))


def _volley(session: Session) -> None:
    """Many calls of one function in one piece; some are cancelled."""
    random = session.random
    name = random.choice(("plain", "plain", "raises", "slow"))
    ops = session.call_all(name, [[session.unique()] for _ in range(random.randint(2, 12))])
    if random.random() < 0.3:
        session.cancel_after(random.uniform(0.0, 10.0), random.choice(ops))


def _loop(session: Session) -> None:
    """Call after call, without waiting for any; mostly of one function."""
    random = session.random
    for _ in range(random.randint(3, 12)):
        name = random.choice(("plain", "plain", "plain", "plain", "touch", "slow"))
        session.call(name, {None: [_script(session) if name == "touch" else session.unique()]})


def _wide(session: Session) -> None:
    """More parallel steps than executors, whose results meet."""
    nodes, _ = shape(WIDE, 0)
    session.call(WIDE, {node: [session.unique()] for node in nodes[:-1]}, dag=True)


def _store(session: Session) -> None:
    key = session.random.choice(SHARED_KEYS)
    session.put(key) if session.random.random() < 0.5 else session.get(key)


def _own(session: Session) -> None:
    """The keys that only this session writes: each operation waits for the one before."""
    key = f"own/{session.client.name}"
    if session.pending:
        session.to_do.insert(0, partial(_own, session))
        session.wait()
        return
    pick = session.random.random()
    if pick < 0.35:
        session.put(key)
    elif pick < 0.5:
        session.delete(key)
    elif pick < 0.75:
        session.get(key)
    else:
        session.call("touch", {None: [[["get", key, None]]]})
    session.wait()


def _counter(session: Session) -> None:
    key = session.random.choice(COUNTERS)
    session.add(key) if session.random.random() < 0.6 else session.count(key)


def _echo(session: Session) -> None:
    """Write here or in a function, and look there at once."""
    random = session.random
    key = random.choice((*SHARED_KEYS, *COUNTERS))
    counts = key in COUNTERS
    if random.random() < 0.5:
        session.add(key) if counts else session.put(key)
    else:
        step = ["add", key, random.randint(1, 9)] if counts else ["put", key, session.unique()]
        session.call("touch", {None: [[step]]})
    session.wait()
    look = partial(_look, session, ["count" if counts else "get", key, None])
    session.to_do[:0] = [look, look, session.wait]


def _look(session: Session, step: list[Any]) -> None:
    session.call("touch", {None: [[step]]})


def _function(session: Session) -> None:
    random = session.random
    name = random.choice(("plain", "plain", "plain", "slow", "raises"))
    timeout = random.choice((None, None, None, 0.05, 3.0))
    cancel = random.uniform(0.1, 30.0) if random.random() < 0.15 else None
    session.call(name, {None: [session.unique()]}, timeout=timeout, cancel_after=cancel)


def _script(session: Session) -> list[list[Any]]:
    random = session.random
    script: list[list[Any]] = []
    for _ in range(random.randint(1, 3)):
        kind = random.choice(("put", "get", "get", "add", "count"))
        key = random.choice(SHARED_KEYS if kind in ("put", "get") else COUNTERS)
        value: Any = session.unique() if kind == "put" else None
        script.append([kind, key, random.randint(1, 9) if kind == "add" else value])
    return script


def _stateful(session: Session) -> None:
    random = session.random
    if random.random() < 0.3:
        args: dict[str | None, list[Any]] = {"touch": [_script(session)], "again": [_script(session)]}
        session.call("stateful", args, dag=True)
    else:
        timeout = random.choice((None, None, None, 0.02))
        session.call("touch", {None: [_script(session)]}, timeout=timeout)


def _dag(session: Session) -> None:
    random = session.random
    name = random.choice([name for name in DAGS if name != "stateful"])
    nodes, edges = DAGS[name][0]
    fed = {end for _, end in edges}
    sources = [node for node in nodes if node not in fed]
    args: dict[str | None, list[Any]] = {None: [session.unique()]}
    if len(sources) > 1:
        args = {node: [session.unique()] for node in sources}
    output = f"out/{session.unique()}" if random.random() < 0.2 else None
    cancel = random.uniform(0.1, 20.0) if random.random() < 0.1 else None
    session.call(name, args, dag=True, output_key=output, cancel_after=cancel)


def _hot_swap(session: Session) -> None:
    random = session.random
    if random.random() < 0.5:
        session.register(random.choice(("plain", "left", "touch", "join")))
    else:
        session.define(random.choice(("chain", "diamond")), random.randint(0, 1))


def _late(session: Session) -> None:
    """A reference to a key that comes to exist only after the call (or, sometimes, in vain)."""
    key = f"late/{session.unique()}"
    session.call("plain", {None: [Given("ref", key), session.unique()]}, timeout=LATE_TIMEOUT_S)
    if session.random.random() < 0.85:
        session.world.after(session.random.uniform(0.1, 400.0), _put_late, session, key)


def _put_late(session: Session, key: str) -> None:
    if session.client.alive:
        session.put(key)


def _future(session: Session) -> None:
    """A chain of calls whose arguments are the futures of those before."""
    op = session.call("plain", {None: [session.unique()]})
    again = session.call("left", {None: [Given("future", op), session.unique()]})
    if session.random.random() < 0.5:
        session.call("join", {None: [Given("future", op), Given("future", again)]})


def _message(session: Session) -> None:
    box, body = f"box/{session.unique()}", session.unique()
    session.call("ponger", {None: [box]})
    session.call("pinger", {None: [box, body]})


def _burst(session: Session) -> None:
    """More slow calls than there are executors: some are moved."""
    for _ in range(session.random.randint(3, 7)):
        session.call(session.random.choice(("slow", "slow", "plain")), {None: [session.unique()]})


def _batch(session: Session) -> None:
    for _ in range(session.random.randint(2, 6)):
        session.call("batchy", {None: [session.unique()]})
