"""What is written to disk: under which *place*, in which form, and what is found there again.

Law: pure functions between records and bytes. Each record is checked by itself: its bytes begin with a
checksum over its place and all that follows, so that one which is damaged, or has come to lie elsewhere, is
known, and costs nothing but itself.

Places, in bytes, by their first letter::

    k KEY SEQ     a version of a key: `Stored`, with the replica's number of the change (8 bytes)
    f NAME        the latest version of a function
    d NAME        a DAG
    r KEY         the replication factor of a key that has one of its own
    s IDENTITY    what a store on another host may have on its disk alone
    m             which store this is

A key's versions lie side by side, the current one last but for those that other stores had (`past`). It is
written under a place of its own, so that an older one is still there should it be damaged. A version has two
parts, each with a checksum: its *head*, which is read at each start, and its value, which may be large and is
read when it is asked for.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from cloudburst_runtime.anna.past import BESIDE
from cloudburst_runtime.anna.stored import Cold, Stored
from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.wrap import plain
from cloudburst_runtime.messages import DagSpec, Estate, FunctionSpec, Met, Papers
from cloudburst_runtime.vectors import Vector

FORMAT = 1
"""The version of all this; a store of another one is refused."""

WARM_BYTES_MAX = 65_536
"""A value larger than this stays on disk until it is asked for."""

HERE = b"m"

_sums = struct.Struct(
    "<III"
)  # checksum of what follows and the place, length of the head, checksum of the value
_seq = struct.Struct(">Q")
_encoder = msgspec.msgpack.Encoder()


class Damaged(Exception):
    """These bytes are not what was written."""


class Here(msgspec.Struct, array_like=True):
    """Which store this is.

    Attributes
    ----------
    format
        Of the records.
    name
        Under which its changes count.
    forgotten
        As in `Records`.
    life
        How often a runtime has begun with it.
    papers
        Of a runtime that has other stores, or of a store on another host: its identity.
    """

    format: int
    name: PeerName
    forgotten: Micros = 0
    life: int = 1
    papers: Papers | None = None


class Factor(msgspec.Struct, array_like=True):
    """How many stores keep a key."""

    key: str
    copies: int


class Known(msgspec.Struct, array_like=True):
    """A store on another host, by its identity."""

    identity: str
    estate: Estate


class _Head(msgspec.Struct, array_like=True):
    """A version without its value; ``kind`` is its lattice's name, empty for a deletion."""

    kind: str
    nbytes: int
    generation: Micros
    others: Vector | None
    stamp: Micros
    writer: PeerName
    deps: Vector | None = None
    met: tuple[Met, ...] = ()


Kept: TypeAlias = Stored | FunctionSpec | DagSpec | Factor | Known | Here
"""What may be kept."""

_head = msgspec.msgpack.Decoder(_Head)
_lattice: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(AnyLattice)
_plain: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
    b"f": msgspec.msgpack.Decoder(FunctionSpec),
    b"d": msgspec.msgpack.Decoder(DagSpec),
    b"r": msgspec.msgpack.Decoder(Factor),
    b"s": msgspec.msgpack.Decoder(Known),
    HERE: msgspec.msgpack.Decoder(Here),
}


def version_place(key: str, seq: int) -> bytes:
    """Where the version of a key lies that the change ``seq`` made.

    Examples
    --------
    >>> key_of(version_place("k", 7))
    'k'
    """
    return b"k" + key.encode() + _seq.pack(seq)


def seq_of(place: bytes) -> int:
    """The number under which a version lies at this place."""
    return int.from_bytes(place[-8:], "big")


def change_of(place: bytes) -> int:
    """The number of the change with which the version at this place came.

    Examples
    --------
    >>> change_of(version_place("k", 7)), change_of(version_place("k", BESIDE + 7))
    (7, 7)
    """
    return seq_of(place) % BESIDE


def function_place(name: str) -> bytes:
    """Where a function lies."""
    return b"f" + name.encode()


def dag_place(name: str) -> bytes:
    """Where a DAG lies."""
    return b"d" + name.encode()


def factor_place(key: str) -> bytes:
    """Where the replication factor of a key lies."""
    return b"r" + key.encode()


def known_place(identity: str) -> bytes:
    """Where what is known of a store on another host lies."""
    return b"s" + identity.encode()


def known_identity(place: bytes) -> str | None:
    """Of which store on another host something lies here; None if it is of something else."""
    return place[1:].decode() if place[:1] == b"s" else None


def key_of(place: bytes) -> str:
    """The key, function or DAG that a place is for, as a text for people too."""
    return (place[1:-8] if place[:1] == b"k" else place[1:]).decode(errors="replace")


def pack(place: bytes, record: Kept) -> bytes:
    """The bytes of a record.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> place = version_place("k", 7)
    >>> unpack(place, pack(place, Stored(Max(3), 0, 7))).lattice
    Max(value=3)
    """
    if not isinstance(record, Stored):
        return _checked(place, b"", _encoder.encode(record))
    kind, body = "", b""
    if record.lattice is not None:
        assert not isinstance(record.lattice, Cold), "a value that is on disk is written again"
        kind = record.lattice.name
        body = _encoder.encode(plain(record.lattice))
    head = _Head(
        kind,
        record.nbytes,
        record.generation,
        record.others,
        record.stamp,
        record.writer,
        record.deps,
        tuple(record.met),
    )
    return _checked(place, _encoder.encode(head), body)


def unpack(place: bytes, data: memoryview | bytes, warm_bytes_max: int | None = None) -> Kept:
    """The record of some bytes.

    Parameters
    ----------
    warm_bytes_max
        A value that takes more bytes is left where it is, unchecked, and `Cold` stands for it; None: none is.

    Raises
    ------
    Damaged
        If they are not what was written under this place.
    """
    try:
        head, body, total = _parts(place, memoryview(data))
        if place[:1] != b"k":
            _check(body, total)
            return _plain[place[:1]].decode(bytes(body))  # type: ignore[no-any-return]
        fields = _head.decode(head)
        (seq,) = _seq.unpack(place[-8:])
        lattice: AnyLattice | Cold | None = None
        if fields.kind and warm_bytes_max is not None and len(body) > warm_bytes_max:
            lattice = Cold(fields.kind)
        elif fields.kind:
            _check(body, total)
            lattice = _lattice.decode(bytes(body))
    except (struct.error, msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        raise Damaged(str(error)) from None
    generation, others, stamp, writer = fields.generation, fields.others, fields.stamp, fields.writer
    return Stored(lattice, generation, seq, others, stamp, writer, fields.nbytes, fields.deps, fields.met)


def is_whole(place: bytes, data: memoryview | bytes) -> bool:
    """Whether these bytes were written under this place.

    Examples
    --------
    >>> is_whole(HERE, pack(HERE, Here(FORMAT, "node"))), is_whole(HERE, b"anything")
    (True, False)
    """
    try:
        unpack(place, data, 0)
    except Damaged:
        return False
    return True


def _checked(place: bytes, head: bytes, body: bytes) -> bytes:
    tail = _sums.pack(0, len(head), zlib.crc32(body))[4:]
    return zlib.crc32(place + tail + head).to_bytes(4, "little") + tail + head + body


def _parts(place: bytes, data: memoryview) -> tuple[memoryview, memoryview, int]:
    total, size, body_total = _sums.unpack_from(data)
    start = _sums.size
    if size > len(data) - start:
        raise Damaged("it is cut off")
    if zlib.crc32(place + bytes(data[4 : start + size])) != total:
        raise Damaged("its checksum is wrong")
    return data[start : start + size], data[start + size :], body_total


def _check(body: memoryview, total: int) -> None:
    if zlib.crc32(body) != total:
        raise Damaged("the checksum of its value is wrong")


class Recovered:
    """What was found on disk.

    Attributes
    ----------
    here
        Which store it is; None: a new one.
    life
        Which time this is that a runtime begins with it.
    versions
        Of each key, by the number of the change.
    functions, dags
        By name.
    factors
        The replication factors of the keys that have their own.
    known
        By identity, what the stores on other hosts may have alone.
    damaged
        By key, the places whose records are damaged; keys are those of versions only.
    said
        A line for people on each record that is damaged.
    """

    def __init__(self) -> None:
        self.here: Here | None = None
        self.life = 1
        self.versions: dict[str, dict[int, Stored]] = {}
        self.functions: dict[str, FunctionSpec] = {}
        self.dags: dict[str, DagSpec] = {}
        self.factors: dict[str, int] = {}
        self.known: dict[str, Estate] = {}
        self.damaged: dict[str, list[bytes]] = {}
        self.said: list[str] = []

    @property
    def is_strange(self) -> bool:
        """Whether there was something, and none of it is a store's."""
        known = (self.here, self.versions, self.functions, self.dags, self.factors, self.known)
        return bool(self.said) and not any(known)


KINDS = {
    b"k": "key",
    b"f": "function",
    b"d": "DAG",
    b"r": "replication of",
    b"s": "what is known of store",
    HERE: "the store's own",
}


def recover(
    found: Iterable[tuple[bytes, memoryview | bytes]], warm_bytes_max: int = WARM_BYTES_MAX
) -> Recovered:
    """Read everything that lies on disk; what is damaged is left out, and said.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> place = version_place("k", 7)
    >>> recover([(place, pack(place, Stored(Max(3), 0, 7)))]).versions["k"][7].lattice
    Max(value=3)
    >>> recover([(place, b"something else")]).said
    ["key 'k', change 7: it is cut off"]
    """
    recovered = Recovered()
    for place, data in found:
        try:
            record = unpack(place, data, warm_bytes_max)
        except Damaged as damage:
            _say(recovered, place, str(damage))
        else:
            _take(recovered, place, record)
    return recovered


def _take(recovered: Recovered, place: bytes, record: Kept) -> None:
    if isinstance(record, Stored):
        recovered.versions.setdefault(key_of(place), {})[record.seq] = record
    elif isinstance(record, FunctionSpec):
        recovered.functions[record.name] = record
    elif isinstance(record, DagSpec):
        recovered.dags[record.name] = record
    elif isinstance(record, Factor):
        recovered.factors[record.key] = record.copies
    elif isinstance(record, Known):
        recovered.known[record.identity] = record.estate
    else:
        recovered.here = record
        recovered.life = record.life + 1


def _say(recovered: Recovered, place: bytes, why: str) -> None:
    key = key_of(place)
    what = f"{KINDS.get(place[:1], 'something')} {key!r}"
    if place[:1] == b"k":
        what += f", change {change_of(place)}"
        recovered.damaged.setdefault(key, []).append(place)
    recovered.said.append(f"{what}: {why}")
