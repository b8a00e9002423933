"""A record as a reader has it: its functions, calls, cells, and the values behind them.

Law: reads a folder and changes nothing. Values are decoded when they are asked for; decoding runs what
pickles run, so a record is to be trusted like a notebook.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cloudburst_nb.content import Content, content_of
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.folder import Files
from cloudburst_nb.records.format import (
    Called,
    Cell,
    Dag,
    Environment,
    Function,
    Head,
    Kept,
    KeptFailure,
    KeptLattice,
    LogEntry,
    Part,
    Runtime,
    Stored,
)
from cloudburst_runtime.lattices import LWW, AnyLattice
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.messages import Failure, FunctionSpec
from cloudburst_runtime.values import Value, decode

_lattices: msgspec.msgpack.Decoder[list[AnyLattice]] = msgspec.msgpack.Decoder(list[AnyLattice])


@dataclass
class Record:
    """What is recorded of one run.

    Attributes
    ----------
    functions
        By client, name and version.
    calls
        In the order of their submission.
    """

    files: Files
    head: Head
    runtimes: list[Runtime] = field(default_factory=list)
    functions: dict[tuple[int, str, int], Function] = field(default_factory=dict)
    dags: list[Dag] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    environment: Environment | None = None

    @property
    def name(self) -> str:
        """The folder, as it was given."""
        return str(self.files.folder)

    # ------------------------------------------------------------ values

    def value(self, kept: Kept) -> Value:
        """A kept value, encoded.

        Raises
        ------
        RecordError
            If it is not there.
        """
        if not kept.parts:
            raise RecordError(f"{self.name}: a value is not in the record ({kept.digest or 'never seen'})")
        data, *buffers = (self.files.data(part) for part in kept.parts)
        return Value(data, [memoryview(buffer) for buffer in buffers])

    def content(self, kept: Kept) -> Content:
        """The content of a kept value."""
        return content_of(decode(self.value(kept)))

    def lattice(self, kept: KeptLattice | None) -> AnyLattice | None:
        """What a key held."""
        if kept is None:
            return None
        if kept.kind == LWW.__name__:
            return LWW(kept.stamp, kept.writer, self.value(kept.value))
        if kept.raw == b"":
            raise RecordError(f"{self.name}: what a key held is not in the record")
        return _lattices.decode(self.files.data(kept.raw))[0]

    def revealed(self, kept: KeptLattice | None) -> Any:
        """What a user sees of what a key held."""
        lattice = self.lattice(kept)
        return None if lattice is None else reveal(lattice)

    def failure(self, kept: KeptFailure | None) -> Failure | None:
        """Why something failed."""
        if kept is None:
            return None
        exception = None if kept.exception is None else self.value(kept.exception)
        return Failure(kept.kind, kept.message, kept.traceback, exception)

    def blob(self, digest: str) -> bytes:
        """The long data of a digest."""
        return self.files.data(digest)

    def tree(self, part: Part) -> Any:
        """The tree of a packed content."""
        return msgspec.msgpack.decode(self.files.data(part))

    # ------------------------------------------------------------ calls

    def spec(self, kept: Function) -> FunctionSpec:
        """What registers a recorded function again; it runs where that is done, not where it was made."""
        return FunctionSpec(
            kept.name,
            kept.version,
            self.value(kept.payload).data,
            kept.source,
            kept.kind,
            kept.library,
            kept.retries,
            kept.timeout,
            kept.batching,
            signature=kept.signature,
            library_init=kept.library_init,
            cells=kept.cells,
        )

    def runtime_of(self, call: Called) -> Runtime | None:
        """The runtime that a call was made in."""
        return next((each for each in self.runtimes if each.client == call.client), None)


def read(directory: str | os.PathLike[str]) -> Record:
    """Read a record.

    Raises
    ------
    RecordError
        If there is none, it is of another version, cut short, or damaged; one line says which.
    """
    files = Files(Path(directory))
    head = files.head()
    return _sorted_into(Record(files, head), files.entries(head))


def read_draft(folder: Path) -> Record:
    """What there is already of a record that is still being written."""
    files = Files(folder)
    return _sorted_into(Record(files, Head()), files.entries_so_far())


def _sorted_into(record: Record, entries: list[LogEntry]) -> Record:
    for entry in entries:
        if isinstance(entry, Called):
            record.calls.append(entry)
        elif isinstance(entry, Function):
            record.functions[(entry.client, entry.name, entry.version)] = entry
        elif isinstance(entry, Cell):
            record.cells.append(entry)
        elif isinstance(entry, Environment):
            record.environment = entry
        elif isinstance(entry, Dag):
            record.dags.append(entry)
        elif isinstance(entry, Stored):
            record.stored.append(entry)
        else:
            record.runtimes.append(entry)
    record.calls.sort(key=lambda call: call.index)
    return record
