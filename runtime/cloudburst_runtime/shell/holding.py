"""What this process holds of shared memory: mappings, and the locks behind each `Shared`.

Law: a segment's lock is taken before its generation is looked at, and given up after the last object that
may look into the segment is gone. A `Hold` is that object: a `Shared` refers to it, and so does each view.

A hold may end anywhere, in any thread, in the middle of anything; so its end runs no code of ours, not even
in an interrupted function: the weak reference that watches it is appended to a queue, and the loop gives up
the locks when it comes by (`Holding.settle`). A process that sleeps keeps locks a little longer, no more.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from cloudburst_runtime.shared import Installed, Shared, spans
from cloudburst_runtime.shell import arena_file, backing


class Mapped:
    """One arena as a reader has it: a descriptor, a mapping once it is needed, and counts of holds."""

    __slots__ = ("arena", "counts", "fd", "map")

    def __init__(self, arena: str) -> None:
        self.arena = arena
        self.fd = arena_file.open_arena(arena)
        self.counts: dict[int, int] = {}
        self.map: mmap.mmap | None = None

    def acquire(self, segment: int, generation: int) -> bool:
        """Hold a segment once more, if it still is of that generation."""
        count = self.counts.get(segment, 0)
        if not count and not arena_file.lock(self.fd, segment, fcntl.F_RDLCK):
            return False
        if arena_file.read_line(self.fd, segment).generation != generation:
            if not count:
                arena_file.lock(self.fd, segment, fcntl.F_UNLCK)
            return False
        self.counts[segment] = count + 1
        return True

    def release(self, segment: int) -> bool:
        """Hold a segment once less; True if it is no longer held."""
        self.counts[segment] -= 1
        if self.counts[segment]:
            return False
        del self.counts[segment]
        arena_file.lock(self.fd, segment, fcntl.F_UNLCK)
        return True

    def memory(self, end: int) -> mmap.mmap:
        """A mapping that reaches up to ``end``; the file only ever grows."""
        if self.map is None or len(self.map) < end:
            self.map = backing.mapped(self.fd, os.fstat(self.fd).st_size, mmap.ACCESS_READ)
        return self.map

    def is_removed(self) -> bool:
        """Whether the file is gone from its directory."""
        return os.fstat(self.fd).st_nlink == 0

    def close(self) -> None:
        """Close the descriptor; views keep the mapping."""
        self.map = None
        os.close(self.fd)


class Hold:
    """A hold on one segment."""

    __slots__ = ("__weakref__", "mapped")

    def __init__(self, mapped: Mapped) -> None:
        self.mapped = mapped

    def views(self, offset: int, lengths: list[int]) -> list[memoryview]:
        """Read-only views of the buffers that lie there; each of them keeps this hold."""
        from cloudburst_runtime.shell.window import (
            window,
        )  # it needs NumPy, which not every client has loaded

        starts, size = spans(lengths)
        view = window(self.mapped.memory(offset + size), offset, size, self)
        return [view[start : start + length] for start, length in zip(starts, lengths, strict=True)]


class _End(weakref.ref[Hold]):
    """Watches a hold; what is queued when it has ended."""

    __slots__ = ("mapped", "segment")
    mapped: Mapped
    segment: int


class Holding:
    """All that this process holds. There is one, `HOLDING`, whatever runtimes the process is connected to."""

    def __init__(self) -> None:
        self.ended: deque[Any] = deque()
        """Holds that have ended and are not settled."""
        self.on_release: Callable[[list[tuple[str, int]]], None] | None = None
        """Told of the segments, by arena, that this process holds no longer."""
        self._lock = threading.Lock()
        self._arenas: dict[str, Mapped] = {}
        self._ends: set[_End] = set()
        self._closed = False

    def hold(self, shared: Shared) -> Hold | None:
        """Hold what ``shared`` names; None if it is no longer there, or cannot be reached."""
        with self._lock:
            if self._closed:
                return None
            try:
                mapped = self._arenas.get(shared.arena) or self._open(shared.arena)
                if not mapped.acquire(shared.segment, shared.generation):
                    return None
            except (OSError, ValueError):  # gone, too many files, a name that is none
                return None
            hold = Hold(mapped)
            end = _End(hold, self.ended.append)
            end.mapped, end.segment = mapped, shared.segment
            self._ends.add(end)
            return hold

    def settle(self) -> None:
        """Give up the locks of the holds that have ended."""
        with self._lock:
            released = self._settle()
        if released and self.on_release is not None:
            self.on_release(released)

    def leave(self, runtime: str) -> None:
        """A connection to this runtime has ended: close what nobody here looks into any more."""
        self.settle()
        prefix = arena_file.directory_name(runtime) + "/"
        with self._lock:
            for arena in [arena for arena, mapped in self._arenas.items() if not mapped.counts]:
                if arena.startswith(prefix):
                    self._arenas.pop(arena).close()

    def segments(self, arena: str) -> dict[int, int]:
        """The segments of an arena that this process holds, with the number of holds."""
        with self._lock:
            mapped = self._arenas.get(arena)
            return {} if mapped is None else dict(mapped.counts)

    def _open(self, arena: str) -> Mapped:
        for name in [name for name, mapped in self._arenas.items() if not mapped.counts]:
            self._close_if_removed(name)
        mapped = self._arenas[arena] = Mapped(arena)
        return mapped

    def _settle(self) -> list[tuple[str, int]]:
        released = []
        while self.ended:
            end: _End = self.ended.popleft()
            self._ends.discard(end)
            if self._closed or not end.mapped.release(end.segment):
                continue
            released.append((end.mapped.arena, end.segment))
            if not end.mapped.counts:
                self._close_if_removed(end.mapped.arena)
        return released

    def _close_if_removed(self, arena: str) -> None:
        if self._arenas[arena].is_removed():
            self._arenas.pop(arena).close()

    # ------------------------------------------------------------ forks

    def before_fork(self) -> None:
        """The child shares our locks and has our views: what is held now is held as long as we live."""
        self._lock.acquire()
        for mapped in self._arenas.values():
            for segment in mapped.counts:
                mapped.counts[segment] += 1

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Never touch the locks, which are the parent's too."""
        self._closed = True
        self._lock.release()


HOLDING = Holding()


def install() -> None:
    """Let this process reach shared memory: to be called by each process that receives values."""
    if Installed.memory is None:
        Installed.memory = HOLDING
        os.register_at_fork(
            before=HOLDING.before_fork,
            after_in_parent=HOLDING.after_fork_in_parent,
            after_in_child=HOLDING.after_fork_in_child,
        )
