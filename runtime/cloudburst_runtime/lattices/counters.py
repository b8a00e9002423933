"""Counters and the vector clock: numbers per writer that only grow, so that merging is their maximum.

A writer puts its own totals, so that a put that arrives twice counts once. After Shapiro et al., "A
comprehensive study of Convergent and Commutative Replicated Data Types" (INRIA RR-7506, 2011), section
3.1, and, for the clock, Mattern, "Virtual Time and Global States of Distributed Systems" (1989).
"""

from __future__ import annotations

from typing import ClassVar

from cloudburst_runtime.ids import PeerName

from .base import Lattice
from .basic import Number


class Grow(Lattice, tag="grow", frozen=True, array_like=True):
    """A counter that only goes up: per writer what it has added."""

    name: ClassVar[str] = "grow"

    totals: dict[PeerName, Number] = {}  # noqa: RUF012

    def merge(self, other: Grow) -> Grow:
        merged = dict(self.totals)
        for writer, total in other.totals.items():
            merged[writer] = _larger(merged.get(writer, 0), total)
        return Grow(merged)

    def __le__(self, other: Grow) -> bool:
        return all(
            writer in other.totals and not _exceeds(total, other.totals[writer])
            for writer, total in self.totals.items()
        )

    def reveal(self) -> Number:
        return sum(self.totals[writer] for writer in sorted(self.totals))

    @property
    def nbytes(self) -> int:
        return sum(len(writer) + 8 for writer in self.totals)


class Counter(Lattice, tag="counter", frozen=True, array_like=True):
    """An up-down counter: per writer what it added and what it took away, each only growing."""

    name: ClassVar[str] = "counter"

    totals: dict[PeerName, tuple[Number, Number]] = {}  # noqa: RUF012

    def merge(self, other: Counter) -> Counter:
        merged = dict(self.totals)
        for writer, (up, down) in other.totals.items():
            mine = merged.get(writer, (0, 0))
            merged[writer] = (_larger(mine[0], up), _larger(mine[1], down))
        return Counter(merged)

    def __le__(self, other: Counter) -> bool:
        for writer, (up, down) in self.totals.items():
            theirs = other.totals.get(writer)
            if theirs is None or _exceeds(up, theirs[0]) or _exceeds(down, theirs[1]):
                return False
        return True

    def reveal(self) -> Number:
        ups = [self.totals[writer] for writer in sorted(self.totals)]
        return sum(up for up, _ in ups) - sum(down for _, down in ups)

    @property
    def nbytes(self) -> int:
        return sum(len(writer) + 16 for writer in self.totals)


class VectorClock(Lattice, tag="clock", frozen=True, array_like=True):
    """How far each of several processes has come: the largest count known of each."""

    name: ClassVar[str] = "clock"

    counts: dict[str, int] = {}  # noqa: RUF012

    def merge(self, other: VectorClock) -> VectorClock:
        merged = dict(self.counts)
        for process, count in other.counts.items():
            merged[process] = max(count, merged.get(process, count))
        return VectorClock(merged)

    def __le__(self, other: VectorClock) -> bool:
        return all(
            process in other.counts and count <= other.counts[process]
            for process, count in self.counts.items()
        )

    def reveal(self) -> dict[str, int]:
        return dict(sorted(self.counts.items()))

    @property
    def nbytes(self) -> int:
        return sum(len(process) + 8 for process in self.counts)


def _exceeds(mine: Number, theirs: Number) -> bool:
    """Whether ``mine`` is the larger; of 1 and 1.0, which are equal and must merge to one, the float is."""
    return (mine, isinstance(mine, float)) > (theirs, isinstance(theirs, float))


def _larger(mine: Number, theirs: Number) -> Number:
    return theirs if _exceeds(theirs, mine) else mine
