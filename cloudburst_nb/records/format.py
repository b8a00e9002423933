"""The format of a record's log: what can stand in it, and how that becomes bytes.

Law: bytes in, entries out, and back; no file is known here. `docs/records.md` describes the whole format; a
change of it that an older program cannot read raises `VERSION`.

A log is a line that says what it is, then blocks: the length and the CRC-32 of what follows, as two
little-endian numbers of four bytes, then zlib over a msgpack array of entries. A block is written in one
piece, so a log that was cut short ends with a block that is shorter than it says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

FORMAT = "cloudburst-record"
VERSION = 1
MAGIC = f"{FORMAT} {VERSION}\n".encode()
INLINE_BYTES_MAX = 2048
"""A part of a value that is longer lies in a file of its own."""
Part: TypeAlias = Any
"""Some bytes, or as a str the digest of the file that holds them (a union that msgspec has no type for)."""
_FRAME = struct.Struct("<II")


class Entry(msgspec.Struct, array_like=True, gc=False):
    """The base of everything below."""


class Kept(Entry):
    """A Python value, to be had again.

    Attributes
    ----------
    digest
        Of its content (`content`); of its bytes, after ``"bytes:"``, if it cannot be looked into.
    parts
        The pickle and its out-of-band buffers: each as bytes, or by the digest of the file that holds it.
    """

    digest: str
    parts: list[Part] = []


class KeptLattice(Entry):
    """What a key held, or what was merged into it.

    Attributes
    ----------
    kind
        The lattice's name.
    value
        What a user sees of it.
    raw
        The lattice as the protocol has it, or the digest of the file that holds that; empty for a
        last-writer-wins pair, which is made of the rest.
    stamp, writer
        Of a last-writer-wins pair.
    version
        Which changes of which stores it includes, where that is known.
    """

    kind: str
    value: Kept
    raw: Part = b""
    stamp: int = 0
    writer: str = ""
    version: dict[str, int] = {}


class KeptFailure(Entry):
    """Why something failed, as `cloudburst_runtime.messages.Failure` says it."""

    kind: str
    message: str
    traceback: str = ""
    exception: Kept | None = None


class KeptSeen(Entry):
    """One thing that user code asked of its library, as `cloudburst_runtime.messages.Seen` says it."""

    kind: str
    keys: list[str] = []
    lattices: list[KeptLattice | None] = []
    mail: list[tuple[str, Kept]] = []
    at: float = 0.0
    text: str = ""
    failure: KeptFailure | None = None


class KeptStep(Entry):
    """What one function did in a call; times in milliseconds, on the host's monotonic clock."""

    node: int
    executor: str
    ready: float
    started: float
    ended: float
    function: str
    version: int
    inputs: list[int] = []
    refs: list[KeptLattice | None] = []
    seen: list[KeptSeen] = []
    stdout: str = ""
    stderr: str = ""
    value: Kept | None = None
    failure: KeptFailure | None = None
    place: int = 0
    size: int = 1
    built: Kept | None = None


class KeptArgs(Entry):
    """The fixed arguments of one node: ``(args, kwargs)``, references, and what other calls gave."""

    value: Kept
    refs: list[tuple[int | str, str]] = []
    inline: list[tuple[int | str, Kept]] = []


# ---------------------------------------------------------------- what stands in a log


class Runtime(Entry, tag="runtime"):
    """A client of a runtime began to be recorded; what follows is that of client ``client``, from 0."""

    client: int
    seed: int | None
    executors_min: int
    executors_max: int
    policy: str


class Function(Entry, tag="function"):
    """A function was registered.

    ``digest`` is that of its source and of the contents of what it captures; ``captured`` has each captured
    variable as (name, digest, how it reads). ``payload`` is empty where only its name is known here.
    """

    client: int
    name: str
    version: int
    digest: str
    source: str
    kind: str
    payload: Kept
    captured: list[tuple[str, str, str]] = []
    signature: str = ""
    library: bool = False
    library_init: bool = False
    retries: int = 1
    timeout: float | None = None
    batching: bool = False
    gpu: bool = False
    cells: dict[str, str] = {}


class Dag(Entry, tag="dag"):
    """A DAG was defined; of each node the function, and how it is run."""

    client: int
    name: str
    nodes: list[tuple[str, bool, bool, bool]]
    edges: list[tuple[int, int]]
    colocated: list[str] = []


class Called(Entry, tag="call"):
    """A call, once it has its outcome; ``index`` counts the calls of the record in the order of submission.

    ``nodes`` are the plan's: function, version, the invalid results of a node that runs once per input, and
    whether it is called with batches. ``pinned`` has the results of nodes that were given and did not run;
    ``level`` is that of its consistency.
    """

    index: int
    client: int
    number: int
    kind: str
    target: str
    submitted: float
    ended: float
    args: list[tuple[str | None, KeptArgs]]
    nodes: list[tuple[str, int, list[Kept] | None, bool]] = []
    edges: list[tuple[int, int]] = []
    attempt: int = 0
    value: Kept | None = None
    failure: KeptFailure | None = None
    steps: list[KeptStep] = []
    output_key: str | None = None
    timeout: float | None = None
    continuation: str | None = None
    cell: int = 0
    pinned: dict[str, Kept] = {}
    level: str = "lww"


class Stored(Entry, tag="store"):
    """The notebook itself read, wrote or deleted keys."""

    client: int
    kind: str
    at: float
    keys: list[str]
    lattices: list[KeptLattice | None] = []
    failure: KeptFailure | None = None
    cell: int = 0


class Shown(Entry):
    """One output of a cell: ``text``, ``value``, ``figure`` or ``error``.

    ``text`` is the plain form; ``content`` the packed tree of a value's content, or of a figure's data.
    """

    kind: str
    text: str
    content: Part = b""


class Cell(Entry, tag="cell"):
    """A cell that was executed: ``number`` counts the code cells from 1."""

    number: int
    source: str
    digest: str
    tags: list[str] = []
    seconds: float = 0.0
    outputs: list[Shown] = []
    error: str | None = None
    count: int = 0


class Environment(Entry, tag="environment"):
    """What the recorded process ran with: versions of Python and of the packages that it had imported."""

    python: str
    platform: str
    packages: dict[str, str]


LogEntry: TypeAlias = Runtime | Function | Dag | Called | Stored | Cell | Environment
"""An entry of a log."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[LogEntry])


class Damaged(ValueError):
    """A log is not what it should be; ``entries`` are those before the damage, ``good`` bytes hold them."""

    def __init__(self, reason: str, entries: Sequence[LogEntry], good: int) -> None:
        super().__init__(reason)
        self.entries = list(entries)
        self.good = good


def block(entries: Sequence[LogEntry]) -> bytes:
    """Some entries as one block."""
    packed = zlib.compress(_encoder.encode(entries), 6)
    return _FRAME.pack(len(packed), zlib.crc32(packed)) + packed


def entries_of(data: bytes) -> list[LogEntry]:
    """The entries of a whole log.

    Raises
    ------
    Damaged
        If it is no log, one of another version, cut short, or changed.

    Examples
    --------
    >>> entries_of(MAGIC + block([Environment("3.11.2", "linux", {})]))
    [Environment(python='3.11.2', platform='linux', packages={})]
    """
    if not data.startswith(MAGIC):
        raise Damaged(_wrong_beginning(data), [], 0)
    found: list[LogEntry] = []
    at = len(MAGIC)
    while at < len(data):
        if len(data) - at < _FRAME.size:
            raise Damaged("it is cut short", found, at)
        length, check = _FRAME.unpack_from(data, at)
        packed = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(packed) < length:
            raise Damaged("it is cut short", found, at)
        if zlib.crc32(packed) != check:
            raise Damaged("it was changed since: a checksum is wrong", found, at)
        found += _decoded(packed, found, at)
        at += _FRAME.size + length
    return found


def _decoded(packed: bytes, found: list[LogEntry], at: int) -> list[LogEntry]:
    try:
        return _decoder.decode(zlib.decompress(packed))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Damaged(f"it holds what this version does not know ({error})", found, at) from None


def _wrong_beginning(data: bytes) -> str:
    line = data[:64].split(b"\n")[0].decode("utf-8", "replace")
    name, _, version = line.partition(" ")
    if MAGIC.startswith(data):
        return "it is cut short"
    if name == FORMAT and version.isdecimal():
        return f"it is of version {version}, and this program reads version {VERSION}"
    return "it does not begin as a log does"


# ---------------------------------------------------------------- the head


class Head(msgspec.Struct, kw_only=True):
    """What ``record.json`` says: what was run and how, and what the log must be like.

    Attributes
    ----------
    made
        When, in UTC, as ISO 8601.
    notebook
        The file's name; empty if it was recorded from within.
    parameters, arguments, cells, seed, executors, kernel
        What was asked for; ``arguments`` are parameters in the words of a command line.
    complete
        Whether the run reached its end.
    calls, log_bytes, log_digest
        How many calls the log has, how long it is, and its digest.
    """

    format: str = FORMAT
    version: int = VERSION
    made: str = ""
    notebook: str = ""
    parameters: dict[str, Any] = {}
    arguments: dict[str, str] = {}
    cells: str | None = None
    seed: int | None = None
    executors: int | tuple[int, int] | None = None
    kernel: str | None = None
    complete: bool = True
    calls: int = 0
    log_bytes: int = 0
    log_digest: str = ""


def write_head(head: Head) -> bytes:
    """The bytes of ``record.json``."""
    return msgspec.json.format(msgspec.json.encode(head), indent=2) + b"\n"


def read_head(data: bytes) -> Head:
    """The head of a record.

    Raises
    ------
    ValueError
        If it is none, or one of another version: the message says so.

    Examples
    --------
    >>> read_head(b'{"format": "cloudburst-record", "version": 9}')
    Traceback (most recent call last):
        ...
    ValueError: it is of version 9, and this program reads version 1: make it again with cloudburst-nb record
    """
    try:
        rough = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ValueError("its record.json is cut short, or no JSON") from None
    if not isinstance(rough, dict) or rough.get("format") != FORMAT:
        raise ValueError(f"its record.json is not that of a {FORMAT}")
    if rough.get("version") != VERSION:
        raise ValueError(
            f"it is of version {rough.get('version')}, and this program reads version {VERSION}: "
            "make it again with cloudburst-nb record"
        )
    try:
        return msgspec.convert(rough, Head)
    except msgspec.ValidationError as error:
        raise ValueError(f"its record.json is damaged: {error}") from None
