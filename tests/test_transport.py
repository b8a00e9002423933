"""What a connection makes of the bytes that arrive on it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import msgspec
import pytest

from cloudburst_runtime.messages import Args, Call, Header, Hello, pack
from cloudburst_runtime.shell.transport import LARGE_BYTES, STRANGER_BYTES_MAX, Connection
from cloudburst_runtime.values import Value

HELLO = Hello("c1", "client", 1)
LARGE = Call(Header("c1", 1, 0, 1, ["e1"]), 0, Args(Value(b"x" * (2 * LARGE_BYTES))))


def framed(message: object) -> bytes:
    body = pack(message)
    return struct.pack("<I", len(body)) + body


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection of whose peer nothing is known, and the peer's socket."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    mine.setblocking(False)
    with mine, theirs:
        yield Connection(mine), theirs


def test_a_large_message_may_follow_a_hello_at_once(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    data = framed(HELLO) + framed(LARGE)
    peer.sendall(data[: STRANGER_BYTES_MAX * 2])
    assert connection.receive() == [HELLO]
    peer.sendall(data[STRANGER_BYTES_MAX * 2 : LARGE_BYTES])
    assert connection.receive() == []
    peer.sendall(data[LARGE_BYTES:])
    arrived = connection.receive()
    while not arrived:
        arrived = connection.receive()
    assert arrived == [LARGE]


def test_a_stranger_who_begins_with_much_is_refused(ends: tuple[Connection, socket.socket]) -> None:
    connection, peer = ends
    peer.sendall(framed(LARGE)[:STRANGER_BYTES_MAX])
    with pytest.raises(msgspec.DecodeError, match="before a Hello"):
        connection.receive()
