"""The hub over real sockets: framing, greeting, holding back, and noticing an end."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from cloudburst_runtime import messages
from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.messages import Done, Failed, Failure, Hello, Message, Reported, Wire, pack, unpack
from cloudburst_runtime.shell.transport import BATCHED_BYTES_MAX, Hub

PATIENCE_MS = 10_000.0


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[Callable[[str], Hub]]:
    made: list[Hub] = []

    def make(name: str) -> Hub:
        made.append(Hub(str(tmp_path), Hello(name, "test")))
        return made[-1]

    yield make
    for hub in made:
        hub.close()


def arrive(hub: Hub, count: int) -> list[Any]:
    """The next ``count`` events at a hub."""
    events: list[Any] = []
    while len(events) < count:
        ready = hub.wait(PATIENCE_MS)
        assert ready, f"only {events} came"
        events += hub.collect(ready)
    return events


def frame(message: Any) -> bytes:
    body = pack(message)
    return struct.pack("<I", len(body)) + body


def stranger(hub: Hub) -> socket.socket:
    """A plain socket that is connected to a hub."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(f"{hub.directory}/{hub.hello.name}")
    return sock


def test_messages_go_both_ways_over_one_connection(hubs: Callable[[str], Hub]) -> None:
    left, right = hubs("e1"), hubs("c1")
    left.listen()
    right.send("e1", Done(7))
    assert [type(event.message) for event in arrive(left, 2)] == [Hello, Done]
    left.send("c1", Done(8))
    assert arrive(right, 1) == [Received("e1", Done(8))]


def test_a_large_first_message_may_come_with_the_greeting(hubs: Callable[[str], Hub]) -> None:
    hub = hubs("e1")
    hub.listen()
    large = Failed(1, Failure("x", "y" * 1_000_000))
    with stranger(hub) as sock:
        sock.setblocking(False)
        data = memoryview(frame(Hello("c1", "client")) + frame(large))
        events: list[Any] = []
        while len(events) < 2:
            if data:
                with contextlib.suppress(BlockingIOError):
                    data = data[sock.send(data) :]
            events += hub.collect(hub.wait(PATIENCE_MS if not data else 0.0))
    assert events[1] == Received("c1", large)


@pytest.mark.parametrize("first", [b"", frame(Done(1))], ids=["at-once", "after-another-message"])
def test_a_stranger_cannot_have_memory_set_aside(hubs: Callable[[str], Hub], first: bytes) -> None:
    hub = hubs("e1")
    hub.listen()
    with stranger(hub) as sock:
        sock.settimeout(PATIENCE_MS / 1000)
        sock.sendall(first + struct.pack("<I", 2**31) + b"x" * 100)
        while not hub.connections:
            hub.collect(hub.wait(PATIENCE_MS))
        while hub.connections:
            hub.collect(hub.wait(PATIENCE_MS))
        assert sock.recv(1) == b""


def test_what_cannot_be_delivered_waits_for_a_client_to_call_back(hubs: Callable[[str], Hub]) -> None:
    hub, client = hubs("e1"), hubs("c1")
    hub.listen()
    hub.send("c1", Done(1))
    hub.send("c1", Done(2))
    client.connect("e1")
    arrive(hub, 1)
    assert [event.message for event in arrive(client, 2)] == [Done(1), Done(2)]


def test_an_end_is_noticed_after_all_that_was_said(hubs: Callable[[str], Hub]) -> None:
    hub = hubs("e1")
    hub.listen()
    with stranger(hub) as sock:
        sock.sendall(frame(Hello("c1", "client")) + frame(Done(1)))
    events = arrive(hub, 3)
    assert events[1] == Received("c1", Done(1))
    assert isinstance(events[2], PeerLost)
    assert events[2].peer == "c1"


def test_an_executor_that_does_not_listen_is_reported_as_lost(hubs: Callable[[str], Hub]) -> None:
    hub = hubs("c1")
    hub.send("e9", Done(1))
    (lost,) = arrive(hub, 1)
    assert (type(lost), lost.peer) == (PeerLost, "e9")


def test_a_batch_goes_to_each_peer_in_one_piece_and_in_order(hubs: Callable[[str], Hub]) -> None:
    sender, one, two = hubs("c1"), hubs("e1"), hubs("e2")
    one.listen()
    two.listen()
    sender.begin_batch()
    for number in range(1, 4):
        sender.send("e1", Done(number))
        sender.send("e2", Done(10 + number))
    assert one.collect(one.wait(0.0)) == two.collect(two.wait(0.0)) == []
    sender.end_batch()
    assert [event.message for event in arrive(one, 4)[1:]] == [Done(1), Done(2), Done(3)]
    assert [event.message for event in arrive(two, 4)[1:]] == [Done(11), Done(12), Done(13)]
    sender.send("e1", Done(4))
    assert arrive(one, 1)[0].message == Done(4)


def test_a_large_message_in_a_batch_overtakes_nothing(hubs: Callable[[str], Hub]) -> None:
    sender, one = hubs("c1"), hubs("e1")
    one.listen()
    large = Failed(2, Failure("user", "x" * (2 * BATCHED_BYTES_MAX)))
    sender.begin_batch()
    for message in (Done(1), large, Done(3)):
        sender.send("e1", message)
    sender.end_batch()
    assert [event.message for event in arrive(one, 4)[1:]] == [Done(1), large, Done(3)]


def test_a_batch_to_a_peer_that_is_lost_meanwhile_is_told(hubs: Callable[[str], Hub]) -> None:
    sender, one = hubs("c1"), hubs("e1")
    one.listen()
    sender.send("e1", Done(1))
    arrive(one, 2)
    sender.begin_batch()
    sender.send("e1", Done(2))
    for connection in list(one.connections.values()):
        one.drop(connection, "as a test")
    sender.end_batch()
    assert isinstance(arrive(sender, 1)[0], PeerLost)


def test_whatever_can_be_sent_can_be_read() -> None:
    """Who is sent what it does not know takes the sender for a stranger, and ends the connection."""
    kinds = [kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Wire)]
    tagged = {kind for kind in kinds if kind.__struct_config__.tag is not None}
    assert tagged - set(get_args(Message)) == set()
    assert unpack(pack(Reported(["page 7 is damaged"]))) == Reported(["page 7 is damaged"])
