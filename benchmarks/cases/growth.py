"""How cost grows with what there is: this project alone, in runtimes of their own."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Effort, cases_of, messages_limit

GROUP = "Growth"
FUNCTIONS, FUNCTIONS_QUICK = (1, 10, 100, 1_000, 10_000), (1, 100, 1_000)
KEYS, KEYS_QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000)
NODES, NODES_QUICK = (1, 10, 100, 1_000), (1, 10, 100)
EXECUTORS, EXECUTORS_QUICK = (1, 2, 4, 8, 16), (1, 4, 16)
FLIGHT, FLIGHT_QUICK = (1, 10, 100, 1_000, 10_000, 100_000), (1, 10, 100, 1_000, 10_000)
ROUNDS = 15
"""How often calls are measured among more and more of something: which processes share a processor
changes from one round to the next, and makes more of a difference than how much there is."""


@cases_of
def functions(effort: Effort) -> list[Case]:
    """A call among more and more registered functions."""
    sizes = FUNCTIONS_QUICK if effort.quick else FUNCTIONS
    rounds = _rounds(effort)
    points = [_point("registered functions", "noop_among_functions", size, rounds=rounds) for size in sizes]
    return [_alone(point, {"only_for": "functions"}) for point in points]


@cases_of
def keys(effort: Effort) -> list[Case]:
    """A call, a read and the memory among more and more keys."""
    sizes = KEYS_QUICK if effort.quick else KEYS
    return [case for size in sizes for case in _among_keys(size, _rounds(effort))]


def _among_keys(size: int, rounds: int) -> list[Case]:
    memory = _point("keys: memory for each", "bytes_per_key", size, unit="B", rounds=1)
    return [
        _alone(memory, {"only_for": "keys"}),
        _alone(_point("keys: a call", "noop_among_keys", size, rounds=rounds), {"only_for": "keys"}),
        _alone(_point("keys: a get", "get_among_keys", size), {"only_for": "keys"}),
    ]


@cases_of
def nodes(effort: Effort) -> list[Case]:
    """DAGs of more and more nodes: to define, and to call."""
    sizes = NODES_QUICK if effort.quick else NODES
    points = [_point("DAG nodes: definition, per node", "define", size, each="node") for size in sizes]
    points += [_point("DAG nodes: a call, per node", "long_chain", size, each="node") for size in sizes]
    return [_alone(point, {"only_for": "nodes"}) for point in points]


@cases_of
def executors(effort: Effort) -> list[Case]:
    """More and more executors."""
    sizes = EXECUTORS_QUICK if effort.quick else EXECUTORS
    return [_alone(_point("executors", "noop", size, args=()), {"executors": size}) for size in sizes]


@cases_of
def flight(effort: Effort) -> list[Case]:
    """More and more calls that have no result yet."""
    sizes = FLIGHT_QUICK if effort.quick else FLIGHT
    name, rounds = "calls in flight, per call", _rounds(effort)
    points = [_point(name, "burst", size, each="call", rounds=rounds) for size in sizes]
    return [_alone(point, {"only_for": "calls in flight"}) for point in points]


def _rounds(effort: Effort) -> int:
    return effort.rounds if effort.quick else ROUNDS


def _point(series: str, probe: str, size: int, args: tuple[Any, ...] | None = None, **more: Any) -> Case:
    limit = {} if more.get("unit") == "B" else messages_limit("ping_pong")
    given = (size,) if args is None else args
    name = f"{series}: {size:,}"
    return Case(GROUP, name, probe, given, peers=False, series=series, size=size, **limit, **more)


def _alone(case: Case, options: dict[str, Any]) -> Case:
    """In a runtime that no other cases use."""
    return Case(**{**vars(case), "options": options})
