"""Which segment of an arena a value is written to: size classes, recycling, room.

Law: this file decides and touches no memory; what it needs to know or to have done it asks an `Owner`.

An arena is a file in shared memory, written by one process and cut into segments, each of a size that is a
power of two. A segment that was given out is never announced to be free: it is *recycled*, which succeeds
only if nobody holds it any more. Most values are either replaced soon or kept for long, so segments are
*young* until they were once tried in vain, and *old* from then on; the young are tried first, so that values
which stay do not stand before those which come and go. Only a few are tried: garbage that is not found
costs memory, which is cheaper than time, until the arena is full; then all are tried, and what is free but
of another size is discarded, so that its memory can be had for what is wanted now.

A segment begins at a multiple of its size, up to that of a huge page: in one, arrays are read and written a
quarter faster. What lies between two segments takes no memory.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

SHARED_BYTES_MIN = 65_536
"""A value whose buffers are smaller than this together travels in the message: that is as fast."""

SEGMENTS_MAX = 16_383
LOOKS_MAX = 4
"""Young segments, and twice as many old ones, that are tried before a new one is made."""

SEARCH_MAX = 256
"""Segments that are tried before a full arena is given up."""

PAGE_BYTES = 4096
HUGE_BYTES = 1 << 21
"""A huge page; where the system's are larger, there are none in an arena."""


class Segment:
    """A part of an arena.

    Attributes
    ----------
    number
        From 1; which lock and which line of the arena's table are its own.
    offset, size
        Where it is in the file.
    generation
        How often it was given out.
    resident
        How many bytes of it, from its beginning, have memory behind them.
    """

    __slots__ = ("generation", "number", "offset", "resident", "size")

    def __init__(self, number: int, offset: int, size: int) -> None:
        self.number = number
        self.offset = offset
        self.size = size
        self.generation = 0
        self.resident = 0


class Owner(Protocol):
    """What recycles, discards and measures: the process that writes the arena."""

    def recycle(self, segment: Segment) -> bool:
        """If nobody holds the segment: begin a new generation, lock it for us alone, and say True."""
        ...

    def unlock(self, segment: Segment) -> None:
        """Let others hold it again."""
        ...

    def discard(self, segment: Segment) -> None:
        """Give the memory of a segment that is locked for us back to the system."""
        ...

    def room(self, nbytes: int) -> bool:
        """Whether the arenas of this runtime may grow by so many bytes."""
        ...


def size_class(nbytes: int) -> int:
    """The size of the segments that a value of ``nbytes`` is put into.

    Examples
    --------
    >>> size_class(1), size_class(65_536), size_class(65_537)
    (65536, 65536, 131072)
    """
    return max(SHARED_BYTES_MIN, 1 << (nbytes - 1).bit_length())


class Pool:
    """The segments of one arena.

    Parameters
    ----------
    owner
        Does what is decided here.
    start
        Where in the file the first segment begins.
    """

    def __init__(self, owner: Owner, start: int) -> None:
        self.end = start
        """Where in the file the last segment ends."""
        self.count = 0
        self._owner = owner
        self._young: dict[int, deque[Segment]] = {}
        self._old: dict[int, deque[Segment]] = {}
        self._hollow: dict[int, list[Segment]] = {}  # without memory: no better than new ones

    def take(self, nbytes: int) -> Segment | None:
        """A segment for a value of that size, locked for us; None if there is no room."""
        size = size_class(nbytes)
        segment = self._recycled(size)
        if segment is None and self.count >= SEGMENTS_MAX and not self._hollow.get(size):
            return None
        more = -(-nbytes // PAGE_BYTES) * PAGE_BYTES - (0 if segment is None else segment.resident)
        if more > 0 and not self._owner.room(more) and not self._make_room(more):
            if segment is not None:
                self.give_back(segment)
            return None
        return segment or self._refilled(size) or self._new(size)

    def give_out(self, segment: Segment) -> None:
        """The segment is written: unlocked from now on, and whoever is told of it may hold it."""
        self._owner.unlock(segment)
        self._young[segment.size].append(segment)

    def give_back(self, segment: Segment) -> None:
        """The segment was not used: if there is memory behind it, it is the next to be taken."""
        self._owner.unlock(segment)
        if segment.resident:
            self._young[segment.size].appendleft(segment)
        else:
            self._hollow.setdefault(segment.size, []).append(segment)

    def _recycled(self, size: int) -> Segment | None:
        young = self._young.setdefault(size, deque())
        old = self._old.setdefault(size, deque())
        return self._first_free(young, old, LOOKS_MAX) or self._first_free(old, old, 2 * LOOKS_MAX)

    def _first_free(self, segments: deque[Segment], old: deque[Segment], looks: int) -> Segment | None:
        for _ in range(min(looks, len(segments))):
            segment = segments.popleft()
            if self._owner.recycle(segment):
                return segment
            old.append(segment)
        return None

    def _refilled(self, size: int) -> Segment | None:
        hollow = self._hollow.get(size)
        if not hollow or not self._owner.recycle(hollow[-1]):
            return None
        return hollow.pop()

    def _new(self, size: int) -> Segment | None:
        if self.count >= SEGMENTS_MAX:
            return None
        step = min(size, HUGE_BYTES)
        segment = Segment(self.count + 1, -(-self.end // step) * step, size)
        if not self._owner.recycle(segment):
            return None
        self.count += 1
        self.end = segment.offset + size
        return segment

    def _make_room(self, nbytes: int) -> bool:
        """Discard what is free, of any size, until there is room; False if that is not enough."""
        looks = SEARCH_MAX
        for idle in [*self._young.values(), *self._old.values()]:
            for _ in range(min(looks, len(idle))):
                looks -= 1
                segment = idle.popleft()
                if not self._owner.recycle(segment):
                    idle.append(segment)
                    continue
                self._owner.discard(segment)
                self.give_back(segment)
                if self._owner.room(nbytes):
                    return True
        return False
