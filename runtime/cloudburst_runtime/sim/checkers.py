"""What must hold of every history; each checker returns its violations as sentences.

Law: reads histories (and the list of executions) only, never a core.

`ends`        each operation ends exactly once, and only with failures that can be its own.
`results`     a call's result is a derivation of its DAG from its arguments, by functions that ran in a
              version that is not older than one acknowledged before the call was made.
`orders`      of a key that is overwritten, no session sees an older value after a newer one, its own writes
              and the state after all has come to rest included.
`owned`       of a key that one session writes one step after the other, that session reads the last step.
`counters`    between what was surely added and what may have been.
`mail`        what a function receives was sent to it.
`once`        no executor ran a task that had been run.

`orders` draws an arrow from value to value whenever a session that knew the first saw or wrote the second:
the store only moves forward, so there must be no cycle. A value that nobody wrote is thin air.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from cloudburst_runtime.sim.derivations import accesses, matches
from cloudburst_runtime.sim.history import Access, History, Operation
from cloudburst_runtime.sim.processes import Execution
from cloudburst_runtime.sim.workload import RETRIES

INITIAL = "(nothing)"


def check(history: History, executions: list[Execution]) -> list[str]:
    """All violations of a run."""
    return [
        *ends(history),
        *results(history),
        *orders(history),
        *owned(history),
        *counters(history),
        *mail(history),
        *once(executions),
    ]


# ---------------------------------------------------------------- one end each


def ends(history: History) -> list[str]:
    """Each operation ends exactly once, and only with a failure that can be its own."""
    violations = []
    counts: dict[tuple[str, int], int] = {}
    for event in history.events:
        if event.kind in ("ok", "fail", "info"):
            key = (event.session, event.op)
            counts[key] = counts.get(key, 0) + 1
    crashed = any(event.kind in ("crash", "lossy") for event in history.events)
    for operation in history.operations():
        count = counts.get((operation.session, operation.op), 0)
        if count != 1:
            violations.append(f"ends: {operation} ended {count} times")
        elif operation.kind == "fail" and operation.value[0] not in _excuses(operation, history, crashed):
            violations.append(f"ends: {operation} must not fail like that")
    return violations


def _excuses(operation: Operation, history: History, crashed: bool) -> list[str]:
    act = operation.act
    if act.kind == "put as":
        return ["LatticeMismatch"]
    if act.kind == "get" and act.block:  # that does not go with what its block had done may be lost
        block = [each for each in history.operations() if each.act.block == act.block]
        return ["ConsistencyError"] if block[0].op != operation.op else []
    if act.kind != "call":
        return []
    excuses = ["CallTimeout"] if act.timeout is not None else []
    if operation.cancelled:
        excuses.append("CallCancelled")
    if crashed:
        excuses.append("ExecutorLost")
    if act.name == "raises":
        excuses.append("user")
    for future in _futures(operation):
        excuses += _excuses(future_of(history, operation, future), history, crashed)
    return excuses


def _futures(operation: Operation) -> list[int]:
    given = operation.act.value or {}
    return [arg.what for args in given.values() for arg in args if getattr(arg, "how", "") == "future"]


def future_of(history: History, operation: Operation, op: int) -> Operation:
    """The operation of the same session that a future stands for."""
    return next(o for o in history.operations() if (o.session, o.op) == (operation.session, op))


# ---------------------------------------------------------------- results


def results(history: History) -> list[str]:
    """Each result follows from the call's arguments by what was registered at that time."""
    operations = history.operations()
    by_name = {(o.session, o.op): o for o in operations}
    violations = []
    for operation in operations:
        if operation.act.kind == "call" and operation.kind == "ok":
            oldest = {o.act.name: 0 for o in operations if o.act.kind == "register"}
            for made in operations:
                if made.act.kind == "register" and made.kind == "ok" and _before(made, operation):
                    oldest[made.act.name] = max(oldest[made.act.name], made.value)
            futures = {op: by_name[operation.session, op].value for op in _futures(operation)}
            graphs = list(_definitions(operation, operations))
            problems = [matches(operation.value, operation.act, graph, futures, oldest) for graph in graphs]
            if all(problems):
                violations.append(f"results: {operation}: {'; '.join(dict.fromkeys(map(str, problems)))}")
    return violations


def _before(one: Operation, other: Operation) -> bool:
    return one.end is not None and one.end < other.begin


def _definitions(call: Operation, operations: list[Operation]) -> Iterable[list[Any]]:
    """The graphs that the call may have run: those that were not replaced before it began."""
    if not call.act.dag:
        yield [[call.act.name], [], ["pick"]]
        return
    made = [o for o in operations if o.act.kind == "define" and o.act.name == call.act.name]
    for definition in made:
        replaced = any(
            _before(definition, later) and later.kind == "ok" and _before(later, call) for later in made
        )
        if not replaced and (call.end is None or definition.begin < call.end):
            yield definition.act.value


# ---------------------------------------------------------------- overwritten keys


def orders(history: History) -> list[str]:
    """Of each overwritten key, the values that sessions knew one after the other form no cycle."""
    steps: dict[str, list[tuple[Operation, list[tuple[str, str]]]]] = {}
    written: dict[str, dict[str, None]] = {}
    for operation in history.operations():
        for key, prefix in _may_write(operation):
            written.setdefault(key, {})[prefix] = None
        for key, known in _known(operation).items():
            if not key.startswith("own/"):
                steps.setdefault(key, []).append((operation, known))
    violations = []
    for key in sorted(steps):
        violations += _thin_air(key, steps[key], written.get(key, {}))
        violations += _cycles(key, steps[key])
    return violations


def _may_write(operation: Operation) -> list[tuple[str, str]]:
    """(key, beginning of the value) of all that an operation may have written."""
    act = operation.act
    if act.kind == "put":
        return [(act.name, act.value)]
    if act.kind != "call":
        return []
    scripts = [args[0] for args in act.value.values() if args and isinstance(args[0], list)]
    found = [(step[1], step[2]) for script in scripts for step in script if step[0] == "put"]
    return [*found, (act.output_key, "")] if act.output_key is not None else found


def _known(operation: Operation) -> dict[str, list[tuple[str, str]]]:
    """By key, the values that a successful operation read or wrote, in order."""
    known: dict[str, list[tuple[str, str]]] = {}
    if operation.kind != "ok":
        return known
    act = operation.act
    if act.kind in ("get", "put"):
        value = act.value if act.kind == "put" else operation.value
        known[act.name] = [(act.kind, _label(value))]
    elif act.kind == "call":
        for access in accesses(operation.value, act):
            if access.kind in ("get", "put"):
                known.setdefault(access.key, []).append((access.kind, _label(access.value)))
        if act.output_key is not None:
            known.setdefault(act.output_key, []).append(("put", _label(operation.value)))
    return known


def _label(value: Any) -> str:
    return INITIAL if value is None else str(value)


def _thin_air(
    key: str, steps: list[tuple[Operation, list[tuple[str, str]]]], written: dict[str, None]
) -> list[str]:
    violations = []
    for operation, known in steps:
        for kind, value in known:
            if kind == "get" and value != INITIAL and not any(_wrote(each, value) for each in written):
                violations.append(f"orders: {operation} read {value!r} of {key}, which nobody wrote")
    return violations


def _wrote(prefix: str, value: str) -> bool:
    return not prefix or value == prefix or value.startswith(f"{prefix}/")


def _cycles(key: str, steps: list[tuple[Operation, list[tuple[str, str]]]]) -> list[str]:
    arrows: dict[str, dict[str, Operation]] = {}
    for operation, known in steps:
        for (_, older), (_, newer) in itertools.pairwise(known):
            _arrow(arrows, older, newer, operation)
        for earlier, known_before in steps:
            mine = earlier.session == operation.session or operation.session == "final"
            if mine and _before(earlier, operation):
                _arrow(arrows, known_before[-1][1], known[0][1], operation)
        for value in [value for _, value in known if value != INITIAL]:
            arrows.setdefault(INITIAL, {}).setdefault(value, operation)
    return [
        f"orders: {operation} saw {newer!r} of {key} after {older!r}, which is newer"
        for older, newer, operation in _back_arrows(arrows)
    ]


def _arrow(arrows: dict[str, dict[str, Operation]], older: str, newer: str, operation: Operation) -> None:
    if older != newer:
        arrows.setdefault(older, {}).setdefault(newer, operation)


def _back_arrows(arrows: dict[str, dict[str, Operation]]) -> list[tuple[str, str, Operation]]:
    """The arrows that close a cycle."""
    state: dict[str, int] = {}
    found = []
    for start in arrows:
        stack = [(start, iter(arrows.get(start, {}).items()))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            value, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                state[value] = 2
                stack.pop()
            elif state.get(step[0]) == 1:
                found.append((value, step[0], step[1]))
            elif step[0] not in state:
                state[step[0]] = 1
                stack.append((step[0], iter(arrows.get(step[0], {}).items())))
    return found


# ---------------------------------------------------------------- keys of one session


def owned(history: History) -> list[str]:
    """A session that alone writes a key reads its own last write."""
    last: dict[tuple[str, str], Any] = {}
    unsure: dict[tuple[str, str], list[Any]] = {}
    violations = []
    for operation in history.operations():
        for kind, key, value in _own_steps(operation):
            slot = (operation.session if operation.session != "final" else key.split("/")[1], key)
            if kind != "get" and operation.kind != "ok":
                unsure.setdefault(slot, []).append(value)
            elif kind != "get":
                last[slot] = value
            elif operation.kind == "ok" and value not in [last.get(slot), *unsure.get(slot, [])]:
                violations.append(f"owned: {operation} read {value!r}, and wrote {last.get(slot)!r} before")
    return violations


def _own_steps(operation: Operation) -> list[tuple[str, str, Any]]:
    act = operation.act
    if act.kind == "call" and operation.kind == "ok":
        return [tuple(a) for a in accesses(operation.value, act) if a.key.startswith("own/")]
    if not act.name.startswith("own/"):
        return []
    value = {"put": act.value, "get": operation.value}.get(act.kind)
    return [(act.kind, act.name, value)]


# ---------------------------------------------------------------- counters


def counters(history: History) -> list[str]:
    """Each count lies between what the session knows to be there and what can be there."""
    operations = history.operations()
    adds = [(o, key, amount) for o in operations for key, amount in _adds(o)]
    violations = []
    for reading in operations:
        seen = [(a.key, a.value) for a in _counts(reading)]
        for key, value in dict(seen).items():
            least = sum(amount for o, k, amount in adds if k == key and _surely(o, reading))
            most = sum(amount * _times(o) for o, k, amount in adds if k == key and _maybe(o, reading))
            if not least <= value <= most:
                violations.append(
                    f"counters: {reading} counted {value} in {key}: there are {least} to {most}"
                )
    return violations + _backwards(operations)


def _adds(operation: Operation) -> list[tuple[str, int]]:
    act = operation.act
    if act.kind == "add":
        return [(act.name, act.value)]
    if act.kind != "call":
        return []
    scripts = [args[0] for args in act.value.values() if args and isinstance(args[0], list)]
    return [(step[1], step[2]) for script in scripts for step in script if step[0] == "add"]


def _counts(operation: Operation) -> list[Access]:
    if operation.kind != "ok":
        return []
    if operation.act.kind == "count":
        return [Access("count", operation.act.name, operation.value)]
    if operation.act.kind != "call":
        return []
    return [a for a in accesses(operation.value, operation.act) if a.kind == "count"]


def _surely(adding: Operation, reading: Operation) -> bool:
    mine = adding.session == reading.session or reading.session == "final"
    return adding.kind == "ok" and mine and _before(adding, reading)


def _maybe(adding: Operation, reading: Operation) -> bool:
    return reading.end is not None and adding.begin < reading.end


def _times(operation: Operation) -> int:
    """How often an operation's additions may have been made."""
    if operation.act.kind != "call":
        return 1
    return 1 + (operation.attempt if operation.kind == "ok" else max(RETRIES, operation.attempt))


def _backwards(operations: list[Operation]) -> list[str]:
    violations = []
    for reading in operations:
        for key, value in [(a.key, a.value) for a in reversed(_counts(reading))]:
            for earlier in operations:
                if earlier.session == reading.session and _before(earlier, reading):
                    before = [a.value for a in _counts(earlier) if a.key == key]
                    if before and before[-1] > value:
                        violations.append(f"counters: {reading} after {earlier} counted fewer")
    return violations


# ---------------------------------------------------------------- messages and tasks


def mail(history: History) -> list[str]:
    """Whoever waits at a box receives only what was sent there."""
    calls = [o for o in history.operations() if o.act.kind == "call"]
    sent = [o.act.value[None] for o in calls if o.act.name == "pinger"]
    return [
        f"mail: {operation} received {body!r}, which nobody sent there"
        for operation in calls
        if operation.act.name == "ponger" and operation.kind == "ok"
        for _, body in operation.value[4][1]
        if [operation.act.value[None][0], body] not in sent
    ]


def once(executions: list[Execution]) -> list[str]:
    """No task runs twice, wherever."""
    seen: dict[tuple[Any, int], str] = {}
    violations = []
    for execution in executions:
        key = (execution.task, execution.source)
        if key in seen:
            violations.append(
                f"once: task {execution.task} ran on {seen[key]} and again on {execution.executor}"
            )
        seen[key] = execution.executor
    return violations
