"""The file that an arena is: where it lies, its table, and the locks that say who holds what.

Law: all that processes must agree on about arenas stands here. ::

    /dev/shm/cloudburst-nb-UID-RUNTIME/   mode 0700, made and removed by the runtime's supervisor
        runtime -> the runtime's directory
        c1f9…, e3, …                      one arena per process that writes large values
            0        the table: a line per segment (generation, offset, size); line 0 tells what the file is
            TABLE_BYTES …                 the segments

Segment ``n`` is held by a shared lock on byte ``n`` of the file, and recycled under an exclusive one. The
locks belong to an open file description and the kernel keeps them: those of a process that was killed are
gone with it, so no count is ever left over; and since a lock is taken in the kernel, whoever has taken a
shared one and then finds the generation that it was told of has a segment that cannot be recycled under it.

The file is sparse and grows by doubling its length, so that a mapping of it lasts. Where the system has no
such locks (they are Linux's) or no ``/dev/shm``, there are no arenas, and values travel in the messages.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
import time
import zlib
from typing import NamedTuple

ROOT = "/dev/shm"
LINK = "runtime"
MAGIC = 0x43425F4152454E41
TABLE_BYTES = 1 << 20
FILE_BYTES_MIN = 1 << 30
"""How long a new file is; it takes memory only where it was written."""

ABANDONED_SECONDS = 30.0
"""A directory without a runtime's name in it is somebody's who is making it, unless it is older."""

_SETLK = getattr(fcntl, "F_OFD_SETLK", None)
_lock = struct.Struct("hhqqi0q")  # struct flock
_line = struct.Struct("=QQQQ")


class Line(NamedTuple):
    """A segment in the table."""

    generation: int
    offset: int
    size: int


# ---------------------------------------------------------------- directories


def directory_name(runtime: str) -> str:
    """The name of the directory for the arenas of the runtime in ``runtime``."""
    path = os.path.abspath(runtime)
    return f"{_prefix()}{os.path.basename(path)}-{zlib.crc32(os.fsencode(path)):08x}"


def _prefix() -> str:
    return f"cloudburst-nb-{os.getuid()}-"


def make_directory(runtime: str) -> None:
    """Make the directory for a runtime's arenas; where that is not possible there will be none."""
    if _SETLK is None or not os.path.isdir(ROOT):
        return
    path = os.path.join(ROOT, directory_name(runtime))
    with contextlib.suppress(OSError):
        os.mkdir(path, 0o700)
        os.symlink(os.path.abspath(runtime), os.path.join(path, LINK))


def remove_directory(runtime: str) -> None:
    """Remove a runtime's arenas. What processes have mapped they keep."""
    shutil.rmtree(os.path.join(ROOT, directory_name(runtime)), ignore_errors=True)


def is_reachable(runtime: str) -> bool:
    """Whether this process sees the arenas of that runtime: it may run on another host, or in a container."""
    return os.path.isdir(os.path.join(ROOT, directory_name(runtime)))


def sweep() -> None:
    """Remove the arenas of this user's runtimes that have no directory any more."""
    with contextlib.suppress(OSError):
        for name in os.listdir(ROOT):
            if name.startswith(_prefix()) and _is_abandoned(os.path.join(ROOT, name)):
                shutil.rmtree(os.path.join(ROOT, name), ignore_errors=True)


def _is_abandoned(path: str) -> bool:
    try:
        return not os.path.exists(os.readlink(os.path.join(path, LINK)))
    except OSError:
        return time.time() - os.lstat(path).st_mtime > ABANDONED_SECONDS


# ---------------------------------------------------------------- files


def create(runtime: str, name: str) -> tuple[str, int]:
    """Create the arena of the process ``name``; what a `Shared` calls it, and a descriptor.

    Raises
    ------
    OSError
        If there can be none.
    """
    arena = f"{directory_name(runtime)}/{name}"
    fd = os.open(_path(arena), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.ftruncate(fd, FILE_BYTES_MIN)
    os.pwrite(fd, _line.pack(MAGIC, 0, 0, 0), 0)
    if not lock(fd, 0, fcntl.F_WRLCK):
        raise OSError(errno.ENOLCK, "no locks on shared memory")
    lock(fd, 0, fcntl.F_UNLCK)
    return arena, fd


def open_arena(arena: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of somebody's arena.

    Raises
    ------
    OSError
        If it is gone, or is none of ours.
    """
    fd = os.open(_path(arena), flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid() or read_line(fd, 0)[0] != MAGIC:
            raise PermissionError(errno.EPERM, "not an arena", arena)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _path(arena: str) -> str:
    """Where an arena lies. Its name may come from a message, and must not lead elsewhere."""
    directory, _, name = arena.partition("/")
    if not directory.startswith(_prefix()) or "/" in name or name in ("", ".", "..", LINK):
        raise PermissionError(errno.EPERM, "not the name of an arena", arena)
    return os.path.join(ROOT, directory, name)


def unlink(arena: str) -> None:
    """Remove an arena's file; who has it open keeps it."""
    with contextlib.suppress(OSError):
        os.unlink(_path(arena))


def others(arena: str) -> list[str]:
    """The arenas beside this one."""
    directory, _, own = arena.partition("/")
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(os.path.join(ROOT, directory)))
        return [f"{directory}/{name}" for name in names if name not in (own, LINK)]
    return []


def usage(arena: str) -> tuple[int, int]:
    """Bytes that all arenas beside and including this one take, and bytes that are free."""
    directory = os.path.join(ROOT, arena.partition("/")[0])
    used = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                used += entry.stat(follow_symlinks=False).st_blocks * 512
    system = os.statvfs(directory)
    return used, system.f_bavail * system.f_frsize


# ---------------------------------------------------------------- the table and the locks


def read_line(fd: int, segment: int) -> Line:
    """A segment's line; zeroes for a segment that never was."""
    data = os.pread(fd, _line.size, segment * _line.size)
    return Line(*_line.unpack(data)[:3])


def write_line(fd: int, segment: int, line: Line) -> None:
    """Write a segment's line; the caller has its exclusive lock."""
    os.pwrite(fd, _line.pack(*line, 0), segment * _line.size)


def lock(fd: int, segment: int, kind: int) -> bool:
    """Take (``F_RDLCK``, ``F_WRLCK``) or give up (``F_UNLCK``) a lock; False if another is in the way.

    Raises
    ------
    OSError
        If the system cannot lock at all.
    """
    assert _SETLK is not None
    try:
        fcntl.fcntl(fd, _SETLK, _lock.pack(kind, os.SEEK_SET, segment, 1, 0))
    except (BlockingIOError, PermissionError):  # both mean this
        return False
    return True
