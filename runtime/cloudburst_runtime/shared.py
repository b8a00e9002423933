"""Where a large value lies: what a message carries instead of the bytes.

Law: a `Shared` *is* the hold on its memory. While the object lives, what it names does not change; when the
last reference to it goes, so does the hold. So whoever stores, caches or sends a value has nothing to count:
a core that keeps an entry keeps its memory, and one that replaces the entry lets go.

This file knows neither files nor locks: the process installs a `Memory` (`shell.holding`), which is asked
whenever a `Shared` comes into being, by unpacking a message or otherwise. One that comes too late, after the
memory was given to another value, is *lost*: it says so, and its bytes cannot be had from it.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import msgspec

from .errors import RuntimeUnavailable

LOST = "SharedMemoryLost"
"""The kind of the failure with which the store refuses a put whose memory it cannot reach."""

ALIGNMENT_BYTES = 64
"""Where each buffer begins, counted from the first: what NumPy likes."""


class Held(Protocol):
    """A hold on one segment: the memory does not change while this object lives."""

    def views(self, offset: int, lengths: list[int]) -> list[memoryview]:
        """Read-only views of the buffers that lie there; each of them keeps the hold."""
        ...


class Memory(Protocol):
    """What a process reaches shared memory by."""

    def hold(self, shared: Shared) -> Held | None:
        """Hold what ``shared`` names; None if it is no longer there, or cannot be reached."""
        ...


class Installed:
    """The process's memory; None where values never lie in shared memory, as in the simulator."""

    memory: ClassVar[Memory | None] = None


class Shared(msgspec.Struct, array_like=True, dict=True):
    """A value's buffers in shared memory, and the hold on them.

    Attributes
    ----------
    arena
        Whose memory it is: a runtime's directory of arenas, and the name of the process that wrote it.
    segment, generation
        Which part of it, and how often that part has been given out.
    offset, lengths
        Where the first buffer begins, and how many bytes each buffer has.

    Examples
    --------
    >>> Shared("runtime/c1", 1, 1, 4096, [100, 28]).nbytes
    128
    """

    arena: str
    segment: int
    generation: int
    offset: int
    lengths: list[int]

    def __post_init__(self) -> None:
        memory = Installed.memory
        self.__dict__["_held"] = None if memory is None else memory.hold(self)

    @property
    def held(self) -> Held | None:
        """The hold; None if the value is lost."""
        held: Held | None = self.__dict__["_held"]
        return held

    @property
    def nbytes(self) -> int:
        """Size of the buffers, in bytes."""
        return sum(self.lengths)

    def views(self) -> list[memoryview]:
        """Read-only views of the buffers; the same ones each time.

        Raises
        ------
        RuntimeUnavailable
            If the value is lost.
        """
        views: list[memoryview] | None = self.__dict__.get("_views")
        if views is None:
            if self.held is None:
                raise RuntimeUnavailable(
                    f"the shared memory {self.arena!r} no longer has this value: read its key again"
                )
            views = self.__dict__["_views"] = self.held.views(self.offset, self.lengths)
        return views


def spans(lengths: list[int]) -> tuple[list[int], int]:
    """Where buffers of these lengths begin when they lie one behind the other, and where the last ends.

    Examples
    --------
    >>> spans([100, 28])
    ([0, 128], 156)
    """
    starts, end = [], 0
    for length in lengths:
        start = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        starts.append(start)
        end = start + length
    return starts, end
