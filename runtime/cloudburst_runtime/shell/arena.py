"""The arena that this process writes its large values to, and the arenas of those that are gone.

Law: a segment is written only under its exclusive lock, and named to others only when it is complete. What
does not fit (the arenas' limit, a full ``/dev/shm``, more segments than the table has lines) stays in the
message: it is slower, and nothing else.

`reclaim` gives memory back: of an arena whose process is gone, as the node drops the values that are in it;
and of all others, when an arena is full.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from cloudburst_runtime.lattices import LWW, AnyLattice
from cloudburst_runtime.segments import SHARED_BYTES_MIN, Pool, Segment
from cloudburst_runtime.shared import Shared, spans
from cloudburst_runtime.shell import arena_file
from cloudburst_runtime.shell.arena_file import Line
from cloudburst_runtime.shell.backing import Backing, mapped
from cloudburst_runtime.values import Value

COPY_BYTES = 1 << 24
"""Copied at a stretch; in between other threads get their turn, and interrupts are seen."""

RECLAIM_SECONDS = 1.0
"""How often a full arena looks for memory in the others."""

Section = Callable[[], AbstractContextManager[object]]


class Arena:
    """One process's arena; its file is made when the first large value is put.

    Parameters
    ----------
    runtime
        The runtime's directory.
    name
        This process's peer name.
    bytes_max
        The limit on all arenas of the runtime together; None: a quarter of what is free.
    section
        Makes a context in which nobody else uses this arena, and which no interrupt cuts short.

    Notes
    -----
    The methods from `recycle` on are what the pool of segments asks for.
    """

    def __init__(self, runtime: str, name: str, bytes_max: int | None, section: Section) -> None:
        self._runtime = runtime
        self._name = name
        self._bytes_max = bytes_max
        self._section = section
        self._arena = ""
        self._fd = -1
        self._backing: Backing | None = None
        self._pool: Pool | None = None
        self._map: mmap.mmap | None = None
        self._usable = bytes_max != 0
        self._reclaimed_at = 0.0

    def moved(self, lattice: AnyLattice) -> AnyLattice:
        """The same element with its value in shared memory, if it is a large last-writer-wins pair."""
        if type(lattice) is not LWW or not lattice.value.buffers or not self._usable:
            return lattice
        buffers = lattice.value.buffers
        lengths = [buffer.nbytes for buffer in buffers]
        starts, size = spans(lengths)
        if size < SHARED_BYTES_MIN:
            return lattice
        shared = self._write(buffers, starts, lengths, size)
        if shared is None:
            return lattice
        return LWW(lattice.stamp, lattice.writer, Value(lattice.value.data, [], shared))

    def close(self) -> None:
        """Write no more. What was written stays for those who hold it."""
        self._usable = False
        self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def disown(self) -> None:
        """In a forked child: the arena is the parent's."""
        self._usable = False

    # ------------------------------------------------------------ writing

    def _write(
        self, buffers: list[memoryview], starts: list[int], lengths: list[int], size: int
    ) -> Shared | None:
        segment: Segment | None = None
        try:
            with self._section():
                segment = self._take(size)
            if segment is None:
                return None
            self._fill(segment, buffers, starts, size)
            with self._section():
                written, segment = segment, None  # an interrupt at the end of the section is too late
                return self._give_out(written, lengths)
        except OSError:  # no memory after all
            return None
        finally:
            if segment is not None:
                with self._section():
                    self._give_back(segment)

    def _take(self, size: int) -> Segment | None:
        if self._pool is None:
            self._open()
        return None if self._pool is None else self._pool.take(size)

    def _open(self) -> None:
        try:
            self._arena, self._fd = arena_file.create(self._runtime, self._name)
        except OSError:
            self._usable = False
            return
        self._backing = Backing(self._fd)
        self._pool = Pool(self, arena_file.TABLE_BYTES)

    def _fill(self, segment: Segment, buffers: list[memoryview], starts: list[int], size: int) -> None:
        memory = self._memory(segment.offset + segment.size)
        if segment.resident < size:
            assert self._backing is not None
            segment.resident = self._backing.populate(memory, segment.offset, size)
        for buffer, start in zip(buffers, starts, strict=True):
            for at in range(0, buffer.nbytes, COPY_BYTES):
                part = buffer[at : at + COPY_BYTES]
                begin = segment.offset + start + at
                memory[begin : begin + part.nbytes] = part

    def _memory(self, end: int) -> mmap.mmap:
        length = os.fstat(self._fd).st_size if self._map is None else len(self._map)
        while length < end:
            length *= 2
        if self._map is None or len(self._map) < length:
            os.ftruncate(self._fd, length)
            self._map = mapped(self._fd, length)
        return self._map

    def _give_out(self, segment: Segment, lengths: list[int]) -> Shared | None:
        assert self._pool is not None
        self._pool.give_out(segment)
        shared = Shared(self._arena, segment.number, segment.generation, segment.offset, lengths)
        return None if shared.held is None else shared

    def _give_back(self, segment: Segment) -> None:
        """What was to be written was not: there may be memory behind parts of the segment."""
        if self._pool is not None and self._fd >= 0:
            with contextlib.suppress(OSError):
                self.discard(segment)
            self._pool.give_back(segment)

    # ------------------------------------------------------------ what the pool asks for

    def recycle(self, segment: Segment) -> bool:
        """Begin the segment's next generation, if nobody holds it; locked for us from then on."""
        if not arena_file.lock(self._fd, segment.number, fcntl.F_WRLCK):
            return False
        found = arena_file.read_line(self._fd, segment.number).generation
        if found != segment.generation:  # somebody has reclaimed its memory
            segment.resident = 0
        segment.generation = found + 1
        line = Line(segment.generation, segment.offset, segment.size)
        arena_file.write_line(self._fd, segment.number, line)
        return True

    def unlock(self, segment: Segment) -> None:
        """Let others hold the segment again."""
        arena_file.lock(self._fd, segment.number, fcntl.F_UNLCK)

    def discard(self, segment: Segment) -> None:
        """Give the segment's memory back to the system."""
        memory = self._memory(segment.offset + segment.size)
        memory.madvise(mmap.MADV_REMOVE, segment.offset, segment.size)
        segment.resident = 0

    def room(self, nbytes: int) -> bool:
        """Whether the runtime's arenas may take so many bytes more."""
        if self._has_room(nbytes):
            return True
        now = time.monotonic()
        if now < self._reclaimed_at + RECLAIM_SECONDS:
            return False
        self._reclaimed_at = now
        for arena in arena_file.others(self._arena):
            reclaim(arena)
        return self._has_room(nbytes)

    def _has_room(self, nbytes: int) -> bool:
        used, free = arena_file.usage(self._arena)
        limit = (used + free) // 4 if self._bytes_max is None else self._bytes_max
        return nbytes <= free and used + nbytes <= limit


def reclaim(arena: str, segments: list[int] | None = None) -> list[int]:
    """Give back the memory of an arena's segments that nobody holds, whoever wrote them.

    Parameters
    ----------
    segments
        Which; None: all.

    Returns
    -------
    list[int]
        Those that somebody holds.
    """
    with contextlib.suppress(OSError):
        fd = arena_file.open_arena(arena, os.O_RDWR)
        try:
            with mmap.mmap(fd, 0) as memory:
                numbers = list(_numbers(fd)) if segments is None else segments
                return [number for number in numbers if not _reclaim_segment(fd, memory, number)]
        finally:
            os.close(fd)
    return []


def _numbers(fd: int) -> Iterator[int]:
    number = 1
    while arena_file.read_line(fd, number).size:
        yield number
        number += 1


def _reclaim_segment(fd: int, memory: mmap.mmap, number: int) -> bool:
    if not arena_file.lock(fd, number, fcntl.F_WRLCK):
        return False
    try:
        generation, offset, size = arena_file.read_line(fd, number)
        if offset + size <= len(memory):  # else it was made just now, and the file has grown
            arena_file.write_line(fd, number, Line(generation + 1, offset, size))
            memory.madvise(mmap.MADV_REMOVE, offset, size)
    finally:
        arena_file.lock(fd, number, fcntl.F_UNLCK)
    return True


class Heir:
    """Frees the arenas of processes that are gone: the node's part.

    Parameters
    ----------
    runtime
        The runtime's directory.
    segments
        The segments of an arena that the node holds, for the values in the store.
    """

    def __init__(self, runtime: str, segments: Callable[[str], dict[int, int]]) -> None:
        self._directory = arena_file.directory_name(runtime)
        self._segments = segments
        self._orphans: dict[str, list[int]] = {}  # what others hold there, to be tried again

    def inherit(self, name: str) -> None:
        """The process ``name`` is gone: what it has written is now ours to free."""
        arena = f"{self._directory}/{name}"
        held = self._segments(arena)
        self._orphans[arena] = [number for number in reclaim(arena) if number not in held]
        self._bury(arena)

    def free(self, released: list[tuple[str, int]]) -> None:
        """The store has dropped the values in these segments: free what belongs to nobody any more."""
        for arena in dict.fromkeys(arena for arena, _ in released if arena in self._orphans):
            segments = [number for place, number in released if place == arena]
            self._orphans[arena] = reclaim(arena, self._orphans[arena] + segments)
            self._bury(arena)

    def _bury(self, arena: str) -> None:
        if not self._segments(arena):  # whoever still reads there has it mapped
            arena_file.unlink(arena)
            del self._orphans[arena]
