"""Memory behind a file: in huge pages where the system has them, in any case there, and never changed."""

from __future__ import annotations

import errno
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudburst_runtime.segments import HUGE_BYTES
from cloudburst_runtime.shell import arena_file, backing
from cloudburst_runtime.shell.backing import MADV_COLLAPSE, MADV_POPULATE_WRITE, Backing, mapped

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not os.path.isdir(arena_file.ROOT), reason="no shared memory here"
)

LENGTH = 64 << 20


@pytest.fixture
def fd() -> Iterator[int]:
    with tempfile.TemporaryFile(dir=arena_file.ROOT) as file:
        os.ftruncate(file.fileno(), LENGTH)
        yield file.fileno()


class Asked(mmap.mmap):
    """Notes what is asked for, and may refuse some of it, as another system would."""

    asked: list[tuple[int, int, int]]
    refused: dict[int, int]

    def madvise(self, option: int, start: int = 0, length: int = LENGTH) -> None:
        self.asked.append((option, start, length))
        if option in self.refused:
            raise OSError(self.refused[option], os.strerror(self.refused[option]))
        super().madvise(option, start, length)


def asked(fd: int, **refused: int) -> Asked:
    memory = Asked(fd, LENGTH)
    memory.asked = []
    memory.refused = {getattr(backing, name): error for name, error in refused.items()}
    return memory


def resident(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512


def address(memory: mmap.mmap) -> int:
    array: Any = np.frombuffer(memory, np.uint8, 1)
    return int(array.__array_interface__["data"][0])


def mapped_huge(memory: mmap.mmap) -> int:
    """How much of a mapping is mapped as huge pages, in bytes."""
    start = f"{address(memory):x}-"
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.startswith(start):
            return next(int(each.split()[1]) << 10 for each in lines if each.startswith("ShmemPmdMapped"))
    raise AssertionError("it is not mapped")


@pytest.mark.parametrize("access", [mmap.ACCESS_DEFAULT, mmap.ACCESS_READ])
@pytest.mark.parametrize("disturbed", [0, 1, 3, 100])
def test_mappings_begin_where_a_huge_page_may(fd: int, access: int, disturbed: int) -> None:
    gaps = [mmap.mmap(-1, (disturbed + turn) << 12) for turn in range(disturbed)]
    del gaps[::2]
    for _ in range(3):
        memory = mapped(fd, LENGTH, access)
        assert len(memory) == LENGTH
        assert address(memory) % HUGE_BYTES == 0


def test_a_small_file_is_mapped_somewhere(fd: int) -> None:
    assert len(mapped(fd, 4096)) == 4096


@pytest.mark.parametrize("size", [1, 4096, 100_000, HUGE_BYTES, 8_000_000, 40_000_000])
def test_all_of_a_range_has_memory_and_nothing_else(fd: int, size: int) -> None:
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    assert Backing(fd).populate(mapped(fd, LENGTH), 4 * HUGE_BYTES, size) == pages
    assert resident(fd) == pages
    assert os.lseek(fd, 0, os.SEEK_DATA) == 4 * HUGE_BYTES


def test_whole_huge_pages_are_huge_where_the_system_has_them(fd: int) -> None:
    memory = mapped(fd, LENGTH)
    maker = Backing(fd)
    maker.populate(memory, HUGE_BYTES, 3 * HUGE_BYTES + 100_000)
    if not maker.huge:
        pytest.skip("this system makes no huge pages for files in shared memory")
    assert mapped_huge(memory) == 3 * HUGE_BYTES


def test_what_is_there_stays_when_more_is_wanted(fd: int) -> None:
    memory, reader = mapped(fd, LENGTH), mapped(fd, LENGTH, mmap.ACCESS_READ)
    maker = Backing(fd)
    written = os.urandom(5_000_000)
    maker.populate(memory, 0, len(written))
    memory[: len(written)] = written
    seen = np.frombuffer(reader, np.uint8, len(written))
    assert seen.tobytes() == written
    maker.populate(memory, 0, 20_000_000)
    assert seen.tobytes() == written
    assert memory[: len(written)] == written
    assert not any(memory[len(written) : 20_000_000])


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EAGAIN, errno.ENOMEM, errno.EBUSY])
def test_a_system_that_refuses_huge_pages_gives_others_and_is_not_asked_again(fd: int, error: int) -> None:
    memory = asked(fd, MADV_COLLAPSE=error)
    maker = Backing(fd)
    for offset in (0, 16 << 20):
        maker.populate(memory, offset, 8_000_000)
    assert [start for option, start, _ in memory.asked if option == MADV_COLLAPSE] == [0]
    assert resident(fd) == 2 * -(-8_000_000 // mmap.PAGESIZE) * mmap.PAGESIZE


def test_an_old_kernel_is_asked_for_memory_in_another_way(fd: int) -> None:
    memory = asked(fd, MADV_COLLAPSE=errno.EINVAL, MADV_POPULATE_WRITE=errno.EINVAL)
    Backing(fd).populate(memory, 0, 8_000_000)
    assert resident(fd) >= 8_000_000


def test_memory_that_is_not_there_is_said(fd: int) -> None:
    memory = asked(fd, MADV_POPULATE_WRITE=errno.ENOMEM)
    with pytest.raises(OSError, match="memory"):
        Backing(fd).populate(memory, 0, 8_000_000)


def test_much_is_made_in_stretches(fd: int) -> None:
    memory = asked(fd)
    Backing(fd).populate(memory, 0, LENGTH)
    lengths = [length for option, _, length in memory.asked if option == MADV_POPULATE_WRITE]
    assert max(lengths) < LENGTH / 2
