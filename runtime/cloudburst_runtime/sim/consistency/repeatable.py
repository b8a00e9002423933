"""Repeatable reads within one execution of a DAG.

Law: all reads of a key in one execution return the same version, on whichever cache, unless the execution
wrote the key since: reads that have the same of its own writes behind them must agree.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.violations import Violation, where


def repeatable(causality: Causality) -> Iterator[Violation]:
    """Reads of a key in one execution agree."""
    record = causality.record
    own = causality.along(lambda position: causality.bit.get(position, 0))
    mine: dict[tuple[str, str], int] = {}
    for position in causality.writes:
        access = record.accesses[position]
        mine[access.execution, access.key] = (
            mine.get((access.execution, access.key), 0) | causality.bit[position]
        )
    first: dict[tuple[str, str, int], int] = {}
    for position, access in enumerate(record):
        if access.kind == "read" and access.execution:
            written = own[position] & mine.get((access.execution, access.key), 0)
            before = first.setdefault((access.execution, access.key, written), position)
            if set(record.accesses[before].values) != set(access.values):
                yield _differ(causality, position, before)


def _differ(causality: Causality, position: int, before: int) -> Violation:
    accesses = causality.record.accesses
    access, other = accesses[position], accesses[before]
    sources = [*causality.read_from[position], *causality.read_from[before]]
    shown = tuple(accesses[source] for source in dict.fromkeys(sources))
    reason = f"{where(access)} {access}, and {where(other)} {other}"
    return Violation("repeatable read", reason, (access, other, *shown))
