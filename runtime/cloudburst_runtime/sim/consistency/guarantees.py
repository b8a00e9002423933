"""The four session guarantees (Terry et al., "Session Guarantees for Weakly Consistent Data", PDIS 1994).

Law: each says which writes a read must show, by what its session did before; a session is a client's, or an
execution's along its DAG, and the order within it is partial.

=====================  ==================================================================================
read your writes       the session's own writes
monotonic reads        what the session has read
monotonic writes       of the session of each write that was read: what it wrote before that write
writes follow reads    of the session of each write that was read: what it read before that write
=====================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.violations import Violation, missing


def read_your_writes(causality: Causality) -> Iterator[Violation]:
    """A read shows what its session wrote before, or something newer."""
    own = causality.along(lambda position: causality.bit.get(position, 0))
    yield from missing("read your writes", causality, own, "which its session wrote before")


def monotonic_reads(causality: Causality) -> Iterator[Violation]:
    """A read shows what its session has read before, or something newer."""
    seen = causality.along(lambda position: causality.bits(causality.read_from[position]))
    yield from missing("monotonic reads", causality, seen, "which its session read before")


def monotonic_executions(causality: Causality) -> Iterator[Violation]:
    """What one execution reads is not older than what an earlier one of its session read."""
    executed = causality.record.where(lambda access: access.kind == "write" or bool(access.execution))
    yield from monotonic_reads(Causality(executed))


def monotonic_blocks(causality: Causality) -> Iterator[Violation]:
    """As monotonic reads, but what a block reads need not be as new as what the executions have read that its
    client has made meanwhile: only as what there was when it began, and what the block itself has read."""
    read_from, accesses = causality.read_from, causality.record.accesses
    seen = causality.along(lambda position: causality.bits(read_from[position]))
    own = causality.along(lambda at: 0 if accesses[at].execution else causality.bits(read_from[at]))
    begin: dict[str, int] = {}
    for position, access in enumerate(accesses):
        if access.block:
            begin.setdefault(access.block, seen[position])
    due = [
        begin[access.block] | own[position] if access.block else seen[position]
        for position, access in enumerate(accesses)
    ]
    yield from missing("monotonic reads", causality, due, "which its session read before")


def monotonic_writes(causality: Causality) -> Iterator[Violation]:
    """Who has read a write also finds what its session had written before it."""
    own = causality.along(lambda position: causality.bit.get(position, 0))
    due = causality.along(lambda position: _behind(causality, own, position))
    because = "which was written before something that its session read"
    yield from missing("monotonic writes", causality, due, because)


def writes_follow_reads(causality: Causality) -> Iterator[Violation]:
    """Who has read a write also finds what its session had read before it."""
    seen = causality.along(lambda position: causality.bits(causality.read_from[position]))
    due = causality.along(lambda position: _behind(causality, seen, position))
    because = "on which something depends that its session read"
    yield from missing("writes follow reads", causality, due, because)


def _behind(causality: Causality, sets: list[int], position: int) -> int:
    """What ``sets`` has for the writes that were read at a position."""
    found = 0
    for source in causality.read_from[position]:
        found |= sets[source]
    return found
