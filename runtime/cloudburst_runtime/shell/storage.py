"""The disk: an LMDB file, of which every commit is on disk when it returns.

Law: this file moves bytes; what they mean is `anna.durable`'s business. A commit is one LMDB transaction that
the system is told to write out (``fdatasync``), so that it survives the end of every process and of the
machine. LMDB never writes over a page that is in use, so what was there before stays until the end.

LMDB trusts what it reads, so a file is looked through first (`pages`). One that is damaged is put aside, what
is intact in it goes into a new one, and all that is said (`faults`).

One process at a time uses a directory: whoever calls `claim` holds a lock on it, and so do the processes that
it forks and that keep it open, until the last of them is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import mmap
import os
from collections.abc import Callable, Iterator

import lmdb

from cloudburst_runtime.errors import StorageError, StorageFull
from cloudburst_runtime.shell import pages
from cloudburst_runtime.shell.pages import DATA_NAME

NEW_NAME, LOCK_NAME, ASIDE_PREFIX = "new.mdb", "cloudburst-nb.lock", "damaged-"
MAP_BYTES_MIN = 1 << 30
"""The file may become so large before the map, which only takes addresses, must grow."""
PAGE_BYTES = 4096
PID_BYTES_MAX = 20
RESERVE_BYTES = 1 << 22
"""What a file that has reached its limit may take more, so that something can be deleted."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
COPY_RECORDS_MAX = 10_000


class LmdbStorage:
    """The records in one directory.

    Parameters
    ----------
    directory
        Is made if it is not there.
    bytes_max
        How large the file may become; None: as large as the disk lets it.
    sync
        Whether a commit waits for the disk. Without, it survives this process and not the machine.
    is_whole
        Whether a record that was found in a damaged file is one of ours.

    Attributes
    ----------
    faults
        A line for people on each damage that was found.

    Raises
    ------
    StorageError
        If it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage = LmdbStorage(directory)
    ...     storage.write({b"k": b"7"})
    ...     storage.read(b"k")
    ...     storage.close()
    b'7'
    """

    def __init__(
        self,
        directory: str,
        bytes_max: int | None = None,
        sync: bool = True,
        is_whole: Callable[[bytes, memoryview], bool] = lambda place, data: True,
    ) -> None:
        self.faults: list[str] = []
        self._is_whole = is_whole
        self._path = os.path.join(directory, DATA_NAME)
        self._bytes_max = bytes_max
        self._sync = sync
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, NEW_NAME))
            if os.path.exists(self._path):
                self._examine()
            self._env = self._open(self._path)
            self._main = self._env.open_db(None)
        except (OSError, lmdb.Error) as error:
            raise StorageError(f"the store in {directory} cannot be opened: {error}") from error

    def _open(self, path: str) -> lmdb.Environment:
        size = os.path.getsize(path) if os.path.exists(path) else 0
        limit = self._bytes_max + RESERVE_BYTES if self._bytes_max is not None else 0
        return lmdb.open(
            path,
            map_size=max(limit or MAP_BYTES_MIN, 2 * size),
            subdir=False,
            mode=0o600,
            sync=self._sync,
            metasync=self._sync,
            lock=False,
            meminit=False,
        )

    # ------------------------------------------------------------ reading

    def read(self, place: bytes) -> bytes | None:
        """What was written under a place."""
        try:
            with self._env.begin() as transaction:
                found = transaction.get(place)
        except lmdb.Error as error:
            raise StorageError(f"{self._path} cannot be read: {error}") from error
        return None if found is None else bytes(found)

    def records(self) -> Iterator[tuple[bytes, memoryview]]:
        """All that is there, in the order of places; each view is valid until the next is asked for."""
        try:
            with self._env.begin(buffers=True) as transaction, transaction.cursor() as cursor:
                for place, data in cursor:
                    yield bytes(place), data
        except lmdb.Error as error:
            raise StorageError(f"{self._path} cannot be read: {error}") from error

    # ------------------------------------------------------------ writing

    def write(self, changes: dict[bytes, bytes | None], beyond: bool = False) -> None:
        """Write all of this or nothing; None removes what is under a place.

        Parameters
        ----------
        beyond
            Whether the file may become larger than its limit by this, as far as the disk lets it.

        Raises
        ------
        StorageFull
            If there is no room; all is as it was.
        StorageError
            If it cannot be written for another reason.
        """
        bytes_max = None if beyond else self._bytes_max
        while True:
            try:
                self._commit(changes, bytes_max)
                return
            except lmdb.MapFullError:
                if bytes_max is not None:
                    raise self._full(f"it may have {bytes_max} bytes") from None
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                if self._is_full(error, changes):
                    raise self._full(str(error)) from error
                raise StorageError(f"{self._path} cannot be written: {error}") from error

    def _commit(self, changes: dict[bytes, bytes | None], bytes_max: int | None) -> None:
        with self._env.begin(write=True) as transaction:
            before = 0 if bytes_max is None else self._used(transaction)
            for place, data in changes.items():
                if data is None:
                    transaction.delete(place)
                else:
                    transaction.put(place, data)
            if bytes_max is not None and self._used(transaction) > max(before, bytes_max):
                raise lmdb.MapFullError("over the limit")

    def _used(self, transaction: lmdb.Transaction) -> int:
        """How many bytes the pages of the records have."""
        stat = transaction.stat(self._main)
        return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]))

    def _is_full(self, error: lmdb.Error, changes: dict[bytes, bytes | None]) -> bool:
        """Whether the disk is: LMDB calls a write that was cut short an input/output error."""
        if any(os.strerror(code) in str(error) for code in FULL):
            return True
        wanted = sum(len(data) + PAGE_BYTES for data in changes.values() if data is not None)
        room = os.statvfs(os.path.dirname(self._path))
        return os.strerror(errno.EIO) in str(error) and room.f_bavail * room.f_frsize < wanted + RESERVE_BYTES

    def _full(self, why: str) -> StorageFull:
        return StorageFull(f"there is no room for this in {self._path}: {why}; delete keys, or give it more")

    def close(self) -> None:
        """Let go of the file."""
        self._env.close()

    # ------------------------------------------------------------ damage

    def _examine(self) -> None:
        """Look the file through; if it is damaged, go on with a new one of what is intact."""
        if not os.path.getsize(self._path):  # which cannot be mapped
            self.faults = [f"{self._path} is empty, as after a crash of the machine: it begins anew"]
            return
        with (
            open(self._path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory,
            memoryview(memory) as view,
        ):
            found = pages.read(view)
            if found.faults:
                self._rescue(found)
            for record in found.records:
                record.value.release()

    def _rescue(self, found: pages.Found) -> None:
        new, aside = self._beside(NEW_NAME), self._aside()
        env = self._open(new)
        rescued = [each for each in found.records if each.reached or self._is_whole(each.key, each.value)]
        try:
            for start in range(0, len(rescued), COPY_RECORDS_MAX):
                self._copy(env, rescued[start : start + COPY_RECORDS_MAX])
            env.sync(True)
        finally:
            env.close()
        os.rename(self._path, aside)
        os.rename(new, self._path)
        self.faults = [
            f"{self._path} is damaged: {found.faults[0]}"
            + (f", and {len(found.faults) - 1} more faults" if len(found.faults) > 1 else ""),
            f"{len(rescued)} records were found in it; the damaged file is kept as {aside}",
        ]

    def _copy(self, env: lmdb.Environment, records: list[pages.Record]) -> None:
        """What the trees lead to goes before what was only found; a key too long for LMDB is none of ours."""
        with env.begin(write=True) as transaction:
            for record in records:
                if 0 < len(record.key) <= env.max_key_size():
                    transaction.put(record.key, record.value, overwrite=record.reached)

    def _beside(self, name: str) -> str:
        return os.path.join(os.path.dirname(self._path), name)

    def _aside(self) -> str:
        number = 1
        while os.path.exists(self._beside(f"{ASIDE_PREFIX}{number}.mdb")):
            number += 1
        return self._beside(f"{ASIDE_PREFIX}{number}.mdb")


def claim(directory: str, user: str = "runtime") -> io.FileIO:
    """Lock a directory for this process, and for those forked from it that keep the file open.

    Parameters
    ----------
    user
        What wants to use it: a runtime, or a store of one on another host.

    Returns
    -------
    file
        To be kept open for as long as the directory is in use.

    Raises
    ------
    StorageError
        If a living process has it, with its pid; if it cannot be made; or if what has the name of the lock
        there is none: it stays as it is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory, claim(directory):
    ...     try:
    ...         claim(directory)
    ...     except StorageError as error:
    ...         str(os.getpid()) in str(error)
    True
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        file = open(os.path.join(directory, LOCK_NAME), "a+b", buffering=0)  # noqa: SIM115  (held for life)
    except OSError as error:
        raise StorageError(f"state_dir {directory} cannot be used: {error}") from error
    try:
        _lock(file, directory, user)
    except OSError as error:  # such as a full disk
        file.close()
        raise StorageError(f"state_dir {directory} cannot be used: {error}") from error
    except StorageError:
        file.close()
        raise
    return file


def _lock(file: io.FileIO, directory: str, user: str) -> None:
    """Write this process's pid into a file that is a lock, and hold it."""
    file.seek(0)
    pid = file.read(PID_BYTES_MAX + 1)
    if len(pid) > PID_BYTES_MAX or not (pid.isdigit() or pid == b""):
        raise StorageError(
            f"state_dir {directory} has a file {LOCK_NAME!r} that no runtime has written: "
            "use another directory, or remove it"
        )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        whose = "the runtime of process" if user == "runtime" else "a runtime or another store, process"
        what = "connect to that one, or end it" if user == "runtime" else "end that one, or use another"
        raise StorageError(
            f"state_dir {directory} is in use by {whose} {pid.decode() or 'unknown'}: {what}"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
