"""``cb.record``: recording from within a notebook or a program.

Law: this file decides when a recording begins and ends, and where its record goes; what is written is
`recorder`'s business. All recordings of this process are remembered, so that a future's call can be found.
"""

from __future__ import annotations

import atexit
import datetime
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cloudburst_nb import runtimes
from cloudburst_nb.content import digest_of
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.folder import Draft
from cloudburst_nb.records.format import Cell, Environment, Head
from cloudburst_nb.records.recorder import Recorder, cell_now, cell_sources

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture


class Recordings:
    """What has recorded calls of this process.

    Attributes
    ----------
    recorder
        Of its calls.
    digest
        Of the log of its record, once that is whole: another record may take its place.
    """

    recorder: Recorder
    digest = ""

    def where(self) -> Path:
        """The folder of its record, or of the draft of that."""
        raise NotImplementedError

    def close(self) -> None:
        """End it, unless somebody else does."""

    def find(self, future: CloudburstFuture) -> tuple[Path, int] | None:
        """Where the record is, and which call of it a future is of; None if it is not in it."""
        index = self.recorder.calls.get((future._client.name, future._number))
        if index is None:
            return None
        with future._client._shell.loop.lock:  # an outcome that is being told is told to all of us
            pass
        self.recorder.flush()
        return self.where(), index


RECORDINGS: list[Recordings] = []
"""Those of this process, the newest last; also the closed ones."""


class Recording(Recordings):
    """What runs between its beginning and its end is recorded; made by `record`.

    As a context manager it waits, at the end of the block, for the calls that were made in it.

    Attributes
    ----------
    directory : pathlib.Path
        Where the record is once the recording was closed.

    Examples
    --------
    >>> import tempfile
    >>> with cb.record(tempfile.mkdtemp()) as recording:
    ...     future = square(3)
    >>> (recording.directory / "record.json").exists()
    True
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._draft = Draft(Path(directory))
        self.directory = self._draft.target
        self.recorder = Recorder(self._draft.log, cell_now)
        self._cells_before = cell_now()
        self._closed = False

    def _begin(self, client: Client) -> None:
        try:
            self.recorder.attach(client)
        except BaseException:
            self.recorder.close()
            self._draft.drop()
            raise
        runtimes.state.watchers.append(self.recorder.attach)
        RECORDINGS.append(self)

    def close(self) -> None:
        """End the recording, and give the record its name. Doing it twice is no error.

        Raises
        ------
        RecordError
            If it could not be written, say because the disk is full; there is no record then.

        Examples
        --------
        >>> import tempfile
        >>> recording = cb.record(tempfile.mkdtemp())
        >>> square(3).get()
        9
        >>> recording.close()
        """
        if self._closed:
            return
        self._closed = True
        runtimes.state.watchers.remove(self.recorder.attach)
        try:
            self.recorder.close()
            self._draft.log.append([environment(), *_cells(self._cells_before)])
            finished = head(len(self.recorder.calls))
            self._draft.finish(finished)
            self.digest = finished.log_digest
        except RecordError:
            RECORDINGS.remove(self)
            raise
        finally:
            self._draft.drop()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.recorder.wait()
        self.close()

    def where(self) -> Path:
        return self.directory if self._closed else self._draft.folder

    def __repr__(self) -> str:
        calls = len(self.recorder.calls)
        return f"<recording into {self.directory}: {calls} calls{', closed' if self._closed else ''}>"


def record(directory: str | os.PathLike[str]) -> Recording:
    """Record what determines this run from now on: calls, their arguments and reads, and the functions.

    Parameters
    ----------
    directory
        The record's folder; what is there is replaced if it is a record, or empty.

    Returns
    -------
    Recording
        To be closed, or used in a ``with`` block. What ``cloudburst-nb replay`` and `replay` re-execute is
        there once it is closed.

    Raises
    ------
    RecordError
        If nothing can be written there, or the runtime is on another host.

    Examples
    --------
    >>> import tempfile
    >>> with cb.record(tempfile.mkdtemp()):
    ...     future = square(3)
    >>> cb.replay(future)
    9
    """
    client = runtimes.ensure()
    recording = Recording(directory)
    recording._begin(client)
    return recording


def head(calls: int) -> Head:
    """The head of a record that was made now, in this process."""
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Head(made=made, calls=calls)


def environment() -> Environment:
    """What this process runs with."""
    machine = f"{platform.system()} on {platform.machine()}"
    return Environment(platform.python_version(), machine, packages())


def packages() -> dict[str, str]:
    """The versions of the installed packages that this process has imported."""
    imported = {name.partition(".")[0] for name in list(sys.modules)}
    found: dict[str, str] = {}
    for name, distributions in metadata.packages_distributions().items():
        if name in imported:
            for distribution in distributions:
                found[distribution] = metadata.version(distribution)
    return dict(sorted(found.items()))


def _cells(before: int) -> list[Cell]:
    """The sources of the cells that ran meanwhile, in a notebook."""
    sources = cell_sources()
    return [
        Cell(number, sources[count], digest_of(sources[count].encode()), count=count)
        for number, count in enumerate(range(before, len(sources)), 1)
        if count > 0
    ]


def _close_at_exit() -> None:
    for recording in RECORDINGS:
        try:
            recording.close()
        except RecordError as error:
            sys.stderr.write(f"{error}\n")


atexit.register(_close_at_exit)
