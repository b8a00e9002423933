"""The memory behind an arena's file: there before it is written, and in huge pages where there are any.

Law: this file knows neither segments nor locks, and that there are no huge pages is no error.

An array in huge pages is summed or copied a fifth to a third faster than one in pages of 4 KB, as NumPy's own
large arrays are; and making one takes a tenth of the time that its 512 small pages do. A file in ``/dev/shm``
has small pages, whatever the system's settings are, unless it is mapped and a process asks for the range
(``MADV_COLLAPSE``, Linux 6.1; refused where an administrator has set ``shmem_enabled`` to ``deny``).
That works where a mapping and the file agree on where a huge page begins, and ranges that have some memory
already. Others see the same pages; those whose mapping agrees too need one fault for each.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import Any

from cloudburst_runtime.imported import imported
from cloudburst_runtime.segments import HUGE_BYTES

MADV_POPULATE_WRITE = 23
MADV_COLLAPSE = 25
STRETCH_BYTES = 1 << 24
"""Made at a stretch; in between other threads get their turn, and interrupts are seen."""

PLACES_MAX = 10
"""So many places for a mapping are looked at."""


def mapped(fd: int, length: int, access: int = mmap.ACCESS_DEFAULT) -> mmap.mmap:
    """Map a file's first ``length`` bytes, if possible so that its huge pages can be mapped whole.

    Python cannot say where. But the system puts one mapping below the other (or above): what is too much is
    filled, for as long as it takes to map the file again beside it.
    """
    fillers = []
    for _ in range(PLACES_MAX):
        memory = mmap.mmap(fd, length, access=access)
        excess = _address(memory) % HUGE_BYTES
        if not excess:
            return memory
        memory.close()
        with contextlib.suppress(OSError):  # the address space may be limited
            fillers.append(mmap.mmap(fd, min(length, _filler_bytes(length) + excess), access=access))
    return mmap.mmap(fd, length, access=access)


def _filler_bytes(length: int) -> int:
    """So much that it fits into no gap but the one where the mapping was, and does not move what is there."""
    return length // 2 // HUGE_BYTES * HUGE_BYTES


def _address(memory: mmap.mmap) -> int:
    """Where it is mapped; 0 if that cannot be found out: large values are arrays, nearly always."""
    numpy = imported("numpy", "frombuffer")
    if numpy is None:
        return 0
    bytes_: Any = numpy.frombuffer(memory, numpy.uint8, 1)
    return int(bytes_.__array_interface__["data"][0])


class Backing:
    """Has memory behind ranges of an arena's file.

    Parameters
    ----------
    fd
        The file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.huge = True
        """Whether the system has not yet refused to make huge pages."""

    def populate(self, memory: mmap.mmap, offset: int, size: int) -> int:
        """Have memory behind a range before it is written: a page that cannot be had would be fatal then.

        Parameters
        ----------
        offset, size
            The range. From a multiple of a huge page on, its whole huge pages become such.

        Returns
        -------
        int
            How many bytes have memory behind them.

        Raises
        ------
        OSError
            If there is no memory.
        """
        length = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        for at in range(0, length, STRETCH_BYTES):
            self._stretch(memory, offset + at, min(STRETCH_BYTES, length - at))
        return length

    def _stretch(self, memory: mmap.mmap, offset: int, length: int) -> None:
        if self.huge and length >= HUGE_BYTES:
            self._collapse(memory, offset, length // HUGE_BYTES * HUGE_BYTES)
        self._have(memory, offset, length)

    def _collapse(self, memory: mmap.mmap, offset: int, length: int) -> None:
        """Make a range huge pages; once the system has refused that, it is not asked again."""
        for at in range(offset, offset + length, HUGE_BYTES):
            self._have(memory, at, mmap.PAGESIZE)
        try:
            memory.madvise(MADV_COLLAPSE, offset, length)
        except OSError:
            self.huge = False

    def _have(self, memory: mmap.mmap, offset: int, length: int) -> None:
        try:
            memory.madvise(MADV_POPULATE_WRITE, offset, length)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            os.posix_fallocate(self._fd, offset, length)  # a kernel before 5.14
