"""Who came before whom: session order, what was read from whom, and the causal order that follows.

Law: derives orders and judges nothing. Sets of writes are bits of one integer, so a closure over thousands
of accesses is one ``|`` for each; writes are numbered along the causal order, so the highest bit of a set
is one of its maxima.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from cloudburst_runtime.sim.consistency.record import Access, Record

Bits = int


def session_order(record: Record) -> list[list[int]]:
    """For each access, by position, the positions directly before it in session order."""
    before: list[list[int]] = [[] for _ in record]
    for members in grouped(record, lambda access: access.span.session):
        _order_spans(record, members, before)
    return before


def lane_order(record: Record) -> list[list[int]]:
    """The same within each client session and each node of an execution alone."""
    before: list[list[int]] = [[] for _ in record]
    for members in grouped(record, lambda access: access.lane):
        if record.accesses[members[0]].spot is None:
            _order_spans(record, members, before)
        else:
            _chain(record, members, before)
    return before


def grouped(record: Record, name: Callable[[Access], str]) -> list[list[int]]:
    """The positions, put together by a property of their accesses."""
    groups: dict[str, list[int]] = {}
    for position, access in enumerate(record):
        groups.setdefault(name(access), []).append(position)
    return list(groups.values())


def _chain(record: Record, members: list[int], before: list[list[int]]) -> None:
    """One after the other: each comes after the last that was surely over."""
    last: int | None = None
    for position in members:
        if last is not None:
            before[position].append(last)
        if record.accesses[position].end is not None:
            last = position


def _order_spans(record: Record, members: list[int], before: list[list[int]]) -> None:
    """Spans of one session: each comes after those that had ended when it began."""
    spans: dict[tuple[int, str], list[int]] = {}
    for position in members:
        access = record.accesses[position]
        spans.setdefault((access.span.begin, access.execution), []).append(position)
    frontier: dict[tuple[int, str], None] = {}
    behind: dict[tuple[int, str], list[tuple[int, str]]] = {}
    ends = sorted((_end(record, spans[name]), name) for name in spans if _end(record, spans[name]) >= 0)
    over = 0
    for name in sorted(spans):
        while over < len(ends) and ends[over][0] < name[0]:
            ended = ends[over][1]
            for older in behind[ended]:
                frontier.pop(older, None)
            frontier[ended] = None
            over += 1
        behind[name] = list(frontier)
        tails = _sure(record, [position for earlier in frontier for position in spans[earlier]])
        _order_steps(record, spans[name], tails, before)


def _end(record: Record, members: list[int]) -> int:
    end = record.accesses[members[0]].span.end
    return -1 if end is None else end


def _order_steps(record: Record, members: list[int], tails: list[int], before: list[list[int]]) -> None:
    """The steps of one span: after ``tails``, within each node in turn, and along the DAG."""
    nodes: dict[int, list[int]] = {}
    for position in members:
        spot = record.accesses[position].spot
        nodes.setdefault(-1 if spot is None else spot.node, []).append(position)
    for node, steps in nodes.items():
        spot = record.accesses[steps[0]].spot
        fed = [each for each in (spot.after if spot is not None else ()) if each in nodes and each != node]
        ahead = [position for each in fed for position in _sure(record, nodes[each])[-1:]]
        before[steps[0]] += ahead or tails
        for earlier, step in pairwise(steps):
            before[step] += _sure(record, [earlier]) or before[earlier]


def _sure(record: Record, positions: list[int]) -> list[int]:
    return [position for position in positions if record.accesses[position].end is not None]


class Causality:
    """The causal order of a record: session order and reading, closed.

    Attributes
    ----------
    order
        The positions, each after what it depends on. What lies on a cycle is not in it.
    writes
        The positions of the writes, in that order: bit *i* of a set stands for ``writes[i]``.
    past
        For each position, the writes before it.
    read_from
        For each position the writes that it read, as far as anybody wrote them.
    """

    def __init__(self, record: Record, before: list[list[int]] | None = None) -> None:
        self.record = record
        self.before = session_order(record) if before is None else before
        self.written = {
            (access.key, access.values[0]): position
            for position, access in enumerate(record)
            if access.kind == "write"
        }
        self.read_from = [self._sources(access) for access in record]
        self.order = self._sorted()
        self.writes = [position for position in self.order if record.accesses[position].kind == "write"]
        self.bit = {position: 1 << index for index, position in enumerate(self.writes)}
        self.past = self.gather(self.before)
        self.of_key: dict[str, Bits] = {}
        for position in self.writes:
            key = record.accesses[position].key
            self.of_key[key] = self.of_key.get(key, 0) | self.bit[position]

    def _sources(self, access: Access) -> list[int]:
        if access.kind != "read":
            return []
        found = (self.written.get((access.key, value)) for value in access.values)
        return [position for position in found if position is not None]

    def _sorted(self) -> list[int]:
        waits = [len(before) + len(read) for before, read in zip(self.before, self.read_from, strict=True)]
        after: list[list[int]] = [[] for _ in self.record]
        for position, (before, read) in enumerate(zip(self.before, self.read_from, strict=True)):
            for earlier in (*before, *read):
                after[earlier].append(position)
        ready = [position for position, count in enumerate(waits) if not count]
        for position in ready:  # grows while it is gone through
            for later in after[position]:
                waits[later] -= 1
                if not waits[later]:
                    ready.append(later)
        return ready

    def gather(self, before: list[list[int]]) -> list[Bits]:
        """For each position the writes that come before it, along ``before`` and what was read."""
        past = [0] * len(self.record)
        for position in self.order:
            for earlier in (*before[position], *self.read_from[position]):
                past[position] |= past[earlier] | self.bit.get(earlier, 0)
        return past

    def along(self, gained: Callable[[int], Bits]) -> list[Bits]:
        """For each position, all that the accesses before it in session order have ``gained``."""
        found = [0] * len(self.record)
        for position in self.order:
            for earlier in self.before[position]:
                found[position] |= found[earlier] | gained(earlier)
        return found

    def bits(self, positions: Iterable[int]) -> Bits:
        """Those of the positions that are writes."""
        found = 0
        for position in positions:
            found |= self.bit.get(position, 0)
        return found

    def closed(self, positions: Iterable[int], past: list[Bits] | None = None) -> Bits:
        """Some writes, and all that comes before them."""
        found = 0
        for position in positions:
            found |= (past or self.past)[position] | self.bit.get(position, 0)
        return found

    def maxima(self, bits: Bits) -> Iterator[int]:
        """The positions of those of a set of writes that none of the others comes after."""
        while bits:
            position = self.writes[bits.bit_length() - 1]
            yield position
            bits &= ~(self.past[position] | self.bit[position])

    def missed(self, position: int, required: Bits, whole: bool = False) -> int | None:
        """A write of ``required`` that a read should have shown and did not; None if all is well.

        A read of all siblings misses what none of them comes after; another one misses a write that comes
        after the value that it returned. A value that nobody wrote misses nothing.
        """
        access, sources = self.record.accesses[position], self.read_from[position]
        lacking = required & self.of_key.get(access.key, 0) & ~self.closed(sources)
        if not lacking or (access.values and not sources):
            return None
        if whole or access.whole or not sources:
            return next(self.maxima(lacking))
        shown = self.bits(sources)
        return next((write for write in self.maxima(lacking) if self.past[write] & shown), None)

    def path(self, start: int, end: int) -> list[int]:
        """How ``end`` comes to depend on ``start``: positions from one to the other; empty if it does not."""
        came: dict[int, int] = {end: end}
        queue = [end]
        for position in queue:  # grows while it is gone through
            if position == start:
                break
            for earlier in (*self.read_from[position], *self.before[position]):
                if earlier not in came:
                    came[earlier] = position
                    queue.append(earlier)
        if start not in came:
            return []
        steps = [start]
        while steps[-1] != end:
            steps.append(came[steps[-1]])
        return steps
