"""Records as folders: written beside their place and moved there when they are whole; read and checked.

Law: this file opens, writes, renames and reads files; what stands in them is `format`'s business. Nothing
half-written ever has a record's own name: a `Draft` is a hidden folder beside it, ``.NAME.PID.part``, which
becomes the record by a rename, or is removed. Drafts whose process is gone are removed by the next.

::

    DIR/record.json        the head: what was run, and what the log must be like; written last
    DIR/log                entries, in blocks
    DIR/values/DIGEST      long parts of values, each once, by the digest of their bytes
    DIR/notebook.ipynb     the executed notebook, if there was one
"""

from __future__ import annotations

import contextlib
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudburst_nb.content import digest_of
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.format import (
    INLINE_BYTES_MAX,
    MAGIC,
    Damaged,
    Head,
    LogEntry,
    Part,
    block,
    entries_of,
    read_head,
    write_head,
)

HEAD, LOG, VALUES, NOTEBOOK = "record.json", "log", "values", "notebook.ipynb"
PROBE_BYTES = 65_536
WORTH_IT = 0.9
"""Data is compressed if its beginning shrinks to less than this."""


class Log:
    """The log and the values of a record that is being written.

    Parameters
    ----------
    folder
        An existing one, of a `Draft`.

    Raises
    ------
    RecordError
        From every method: what cannot be written, and why.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = {file.name for file in (folder / VALUES).iterdir()}

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Write some entries as one block."""
        with _told(self.folder), (self.folder / LOG).open("ab", buffering=0) as file:
            _write_all(file, block(entries))

    def keep(self, data: bytes | memoryview) -> Part:
        """A part of a value: itself if it is short, else the digest of the file that has it from now on."""
        if len(data) <= INLINE_BYTES_MAX:
            return bytes(data)
        digest = digest_of(data)
        if digest not in self._kept:
            with _told(self.folder), (self.folder / VALUES / digest).open("wb", buffering=0) as file:
                _write_all(file, squeezed(data))
            self._kept.add(digest)
        return digest

    def keep_blobs(self, blobs: dict[str, bytes]) -> None:
        """The long data of a content, which is named by digest already."""
        for digest, data in blobs.items():
            if digest not in self._kept:
                with _told(self.folder), (self.folder / VALUES / digest).open("wb", buffering=0) as file:
                    _write_all(file, squeezed(data))
                self._kept.add(digest)

    def mend(self) -> None:
        """Take off what a process that was killed left of its last block."""
        with _told(self.folder):
            data = (self.folder / LOG).read_bytes()
            try:
                entries_of(data)
            except Damaged as damage:
                os.truncate(self.folder / LOG, max(damage.good, len(MAGIC)))


def _write_all(file: Any, data: bytes) -> None:
    """All of it: an unbuffered write may stop early where the disk is full."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def squeezed(data: bytes | memoryview) -> bytes:
    """The contents of a value's file: ``z`` and compressed data, or ``r`` and the data itself.

    Examples
    --------
    >>> loosened(squeezed(b"abc" * 1000)) == b"abc" * 1000
    True
    """
    probe = bytes(data[:PROBE_BYTES])
    if len(zlib.compress(probe, 1)) < WORTH_IT * len(probe):
        return b"z" + zlib.compress(data, 6)
    return b"r" + bytes(data)


def loosened(data: bytes) -> bytes:
    """The data that `squeezed` was given."""
    return zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:]


class Draft:
    """A record on its way to ``target``.

    Parameters
    ----------
    target
        The record's folder; what is there is replaced if it is a record, or empty.

    Attributes
    ----------
    folder
        Where it is written meanwhile.
    log
        To write to.

    Raises
    ------
    RecordError
        If something else is at ``target``, or nothing can be written beside it.
    """

    def __init__(self, target: Path) -> None:
        check_target(target)
        self.target = Path(os.path.abspath(target))
        self.folder = self.target.with_name(f".{self.target.name}.{os.getpid()}.part")
        with _told(target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(self.target)
            self._begin()
        self.log = Log(self.folder)

    def _begin(self) -> None:
        try:
            (self.folder / VALUES).mkdir(parents=True)
            (self.folder / LOG).write_bytes(MAGIC)
        except OSError:  # such as a disk that has room for a name and for no byte
            self.drop()
            raise

    def finish(self, head: Head, notebook: str | None = None) -> None:
        """Write the head and give the record its name."""
        with _told(self.target):
            if notebook is not None:
                (self.folder / NOTEBOOK).write_text(notebook, encoding="utf-8", errors="backslashreplace")
            data = (self.folder / LOG).read_bytes()
            head.log_bytes, head.log_digest = len(data), digest_of(data)
            (self.folder / HEAD).write_bytes(write_head(head))
            self._take_place()

    def _take_place(self) -> None:
        former = self.folder.with_suffix(".former")
        if self.target.exists():
            os.rename(self.target, former)
        os.rename(self.folder, self.target)
        shutil.rmtree(former, ignore_errors=True)

    def drop(self) -> None:
        """Remove what there is of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def check_target(target: Path) -> None:
    """Raise `RecordError` if something is at ``target`` that no record may replace."""
    if os.path.lexists(target) and not _may_be_replaced(target):
        raise RecordError(f"{target}: exists and is no record; name a folder that does not exist yet")


def _may_be_replaced(target: Path) -> bool:
    if not target.is_dir():
        return False
    return (target / HEAD).is_file() or not any(target.iterdir())


def _sweep(target: Path) -> None:
    """Remove what processes that are gone left of this record."""
    for left in target.parent.glob(f".{target.name}.*.part"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def _told(path: str | os.PathLike[str]) -> Any:
    """What the system refuses, as a `RecordError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise RecordError(f"{_own_name(path)}: the record cannot be written: {error.strerror}") from None


def _own_name(path: str | os.PathLike[str]) -> str:
    """The record's name, also where its draft is meant."""
    path = Path(path)
    if path.suffix == ".part" and path.name.startswith("."):
        return str(path.with_name(path.name[1:].rsplit(".", 2)[0]))
    return str(path)


# ---------------------------------------------------------------- reading


class Files:
    """The files of a record, or of a draft.

    Parameters
    ----------
    folder
        Of the record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def head(self) -> Head:
        """The head; `RecordError` if there is none, or one of another version."""
        if not self.folder.is_dir():
            told = "a file, and a record is a folder" if self.folder.exists() else "no such record"
            raise RecordError(f"{self.folder}: {told}")
        if not (self.folder / HEAD).is_file():
            raise RecordError(f"{self.folder}: not a record: it has no {HEAD}")
        try:
            return read_head(self._read(HEAD))
        except ValueError as error:
            raise RecordError(f"{self.folder}: {error}") from None

    def entries(self, head: Head) -> list[LogEntry]:
        """The log, checked against the head."""
        data = self._read(LOG)
        if len(data) < head.log_bytes:
            told = f"its log has {len(data):,} of {head.log_bytes:,} bytes"
            raise RecordError(f"{self.folder}: the record is cut short: {told}")
        try:
            found = entries_of(data)
        except Damaged as damage:
            raise RecordError(f"{self.folder}: the record's log cannot be read: {damage}") from None
        if digest_of(data) != head.log_digest:
            raise RecordError(f"{self.folder}: the record's log is not the one that its {HEAD} belongs to")
        return found

    def entries_so_far(self) -> list[LogEntry]:
        """The log of a record that is still being written."""
        try:
            return entries_of(self._read(LOG))
        except Damaged as damage:
            return damage.entries

    def data(self, part: Part) -> bytes:
        """The bytes of a part."""
        if isinstance(part, bytes):
            return part
        try:
            data = loosened(self._read(f"{VALUES}/{part}"))
        except zlib.error:
            data = b""
        if digest_of(data) != part:
            raise RecordError(f"{self.folder}: the record is damaged: {VALUES}/{part} is not what it was")
        return data

    def notebook(self) -> str | None:
        """The executed notebook, if there is one."""
        if not (self.folder / NOTEBOOK).exists():
            return None
        return self._read(NOTEBOOK).decode("utf-8", "replace")

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise RecordError(f"{self.folder}: the record is cut short: {name} is missing") from None
        except OSError as error:
            raise RecordError(f"{self.folder}: {name} cannot be read: {error.strerror}") from None
