"""Atomic visibility: of an execution's writes all are seen or none, and each call's only once.

Law: read atomic isolation (Bailis et al., "Scalable Atomic Visibility with RAMP Transactions", SIGMOD 2014),
with an execution as the transaction. Its last write of each key counts; others nobody else may see. The reads
of a client's block go together as those of an execution do, but for what the client's own executions wrote.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Access
from cloudburst_runtime.sim.consistency.violations import Violation, miss, missing, where


def published(causality: Causality) -> dict[str, dict[str, int]]:
    """By execution and key, the position of the write that the execution leaves there."""
    found: dict[str, dict[str, int]] = {}
    for position, access in enumerate(causality.record):
        if access.execution and access.kind == "write":
            found.setdefault(access.execution, {})[access.key] = position
    return found


def fractured(causality: Causality) -> Iterator[Violation]:
    """Who reads one write of an execution reads none of its other keys as they were before.

    That is an execution, or a block of a client.
    """
    record, left = causality.record, published(causality)
    seen: dict[str, dict[str, int]] = {}
    for position, access in enumerate(record):
        for source in causality.read_from[position]:
            writer = record.accesses[source].execution
            if _is_stranger(access, record.accesses[source]):
                of_key = seen.setdefault(_reader(access), {})
                of_key[access.key] = of_key.get(access.key, 0) | causality.bits(left[writer].values())
    required = [_elsewhere(seen.get(_reader(access), {}), access.key) for access in record]
    yield from missing("fractured", causality, required, "of whose execution it read another write")


def _reader(access: Access) -> str:
    """Whose reads this one is to go with; empty if it stands alone."""
    return access.execution or access.block


def _is_stranger(read: Access, write: Access) -> bool:
    """Whether somebody reads what another execution wrote, and for a block another client's."""
    if not write.execution or not _reader(read):
        return False
    return write.span.session != read.span.session if read.block else write.execution != read.execution


def _elsewhere(due: dict[str, int], key: str) -> int:
    """What is due because of reads of other keys: different versions of one key are `repeatable`'s."""
    found = 0
    for other, bits in due.items():
        found |= bits if other != key else 0
    return found


def unpublished(causality: Causality) -> Iterator[Violation]:
    """Nobody reads what an execution overwrote itself, or what one wrote that failed."""
    record, left = causality.record, published(causality)
    for position, access in enumerate(record):
        for source in causality.read_from[position]:
            write = record.accesses[source]
            if not write.execution or write.execution == access.execution:
                continue
            overwritten = causality.past[left[write.execution][write.key]] & causality.bits([source])
            if write.span.void or overwritten:
                why = "whose execution failed" if write.span.void else "which its execution overwrote"
                yield Violation("unpublished", f"{where(access)} {access}, {why}", (access, write))


def twice(causality: Causality) -> Iterator[Violation]:
    """Of the attempts of a call, the writes of only one are ever read by others."""
    record = causality.record
    first: dict[str, Access] = {}
    for position, access in enumerate(record):
        for source in causality.read_from[position]:
            write = record.accesses[source]
            if write.spot is not None and write.execution != access.execution:
                before = first.setdefault(write.spot.call, write)
                if before.execution != write.execution:
                    reason = f"{where(access)} {access}, and {before} of another attempt was read too"
                    yield Violation("twice", reason, (access, write, before))


def partial(causality: Causality) -> Iterator[Violation]:
    """Of an execution of which one write was read, all are there in the end."""
    record, left = causality.record, published(causality)
    seen = {record.accesses[source].execution for sources in causality.read_from for source in sources}
    due = causality.bits(w for name in sorted(seen & set(left)) for w in left[name].values())
    for position, access in enumerate(record):
        if access.final and access.kind == "read":
            lost = causality.missed(position, due)
            if lost is not None:
                because = "of whose execution another write was read"
                yield miss("partial", causality, position, lost, because)
