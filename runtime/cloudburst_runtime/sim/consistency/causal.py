"""Causal consistency, by bad patterns (Bouajjani et al., "On Verifying Causal Consistency", POPL 2017).

Law: a history is causally consistent exactly if none of the patterns is in it; each is a search in the causal
order, so the whole takes polynomial time. The patterns:

==================  ===================================================================================
thin air            a value was read that nobody wrote
cyclic order        something depends on itself
overwritten         a value was read after, in the causal order, its overwriting; or nothing was, after
                    a write
conflict cycle      reads agree on no order of concurrent writes: two that a read knows of, the one
                    that it returned is taken to be newer
==================  ===================================================================================

Where siblings are read, a sibling must be there unless another that is there comes after it; there are no
conflicts then.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.sim.consistency.order import Causality, grouped, lane_order
from cloudburst_runtime.sim.consistency.violations import Violation, miss, missing, where


def thin_air(causality: Causality) -> Iterator[Violation]:
    """Every value that was read was written."""
    for access in causality.record:
        for value in access.values:
            if access.kind == "read" and (access.key, value) not in causality.written:
                yield Violation("thin air", f"{where(access)} {access}, which nobody wrote", (access,))


def cyclic(causality: Causality) -> Iterator[Violation]:
    """Nothing depends on itself."""
    sorted_out = set(causality.order)
    left = [position for position in range(len(causality.record)) if position not in sorted_out]
    edges = {position: [*causality.before[position], *causality.read_from[position]] for position in left}
    yield from _cycle("cyclic order", causality, edges, "depends on itself")


def causal(causality: Causality) -> Iterator[Violation]:
    """A read shows everything that its session depends on: its DAG's caches form a causal cut together."""
    yield from missing("causal", causality, causality.past, "on which it depends")


def cut(causality: Causality) -> Iterator[Violation]:
    """Each cache, by itself, shows with a write all that the write depended on.

    What a write depends on is what its function did and read before it, and so on; the reads behind one
    cache, whoever's they are, are taken to be of one state that only grows.
    """
    record, past = causality.record, causality.gather(lane_order(causality.record))
    for members in grouped(record, lambda access: access.cache):
        shown = 0
        for position in members:
            if record.accesses[position].kind == "read":
                lost = causality.missed(position, shown)
                if lost is not None:
                    because = "on which something depends that this cache had shown"
                    yield miss("cut", causality, position, lost, because)
                shown |= causality.closed(causality.read_from[position], past)


def conflicts(causality: Causality) -> Iterator[Violation]:
    """All reads agree with one order of the writes that causality leaves open."""
    edges = {
        position: [*causality.before[position], *causality.read_from[position]]
        for position in causality.order
    }
    for position in causality.order:
        sources = causality.read_from[position]
        if sources and not causality.record.accesses[position].whole:
            for write in _rivals(causality, position, sources[0]):
                edges[sources[0]] = [*edges[sources[0]], write]
    yield from _cycle("conflict cycle", causality, edges, "is older than itself")


def _rivals(causality: Causality, position: int, source: int) -> Iterator[int]:
    """The writes that a read knows of, and that lost against the one that it returned."""
    key = causality.record.accesses[position].key
    known = causality.past[position] & causality.of_key[key] & ~causality.closed([source])
    return causality.maxima(known)


def _cycle(check: str, causality: Causality, edges: dict[int, list[int]], reason: str) -> Iterator[Violation]:
    """The first cycle along ``edges``, which lead from each position to those before it."""
    state: dict[int, int] = {}
    for start in edges:
        path = [start] if start not in state else []
        rest = [iter(edges[start])]
        while path:
            state.setdefault(path[-1], 1)
            step = next(rest[-1], None)
            if step is None:
                state[path.pop()] = 2
                rest.pop()
            elif state.get(step) == 1:
                yield _circular(check, causality, path[path.index(step) :], reason)
                return
            elif step in edges and step not in state:
                path.append(step)
                rest.append(iter(edges[step]))


def _circular(check: str, causality: Causality, cycle: list[int], reason: str) -> Violation:
    accesses = tuple(causality.record.accesses[position] for position in cycle)
    return Violation(check, f"{where(accesses[0])} {accesses[0]} {reason}", accesses)
