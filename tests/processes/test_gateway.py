"""A gateway by itself, in a thread: what reaches it, and what does not."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading

import pytest
import zmq

from cloudburst_runtime.config import Config
from cloudburst_runtime.messages import Hello
from cloudburst_runtime.shell import gateway as gateway_module
from cloudburst_runtime.shell import remote as remote_module
from cloudburst_runtime.shell.gateway import Gateway
from cloudburst_runtime.shell.remote import RemoteHub
from cloudburst_runtime.shell.ticket import TICKET_NAME, read_ticket, split_address
from cloudburst_runtime.shell.transport import Hub, bind
from tests.processes.watching import (
    PATIENCE,
    eventually,
)

ANYWHERE = "tcp://127.0.0.1:0"


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    """A gateway in a thread, whose core notes what reaches it."""
    monkeypatch.setattr(gateway_module, "QUEUE_FRAMES_MAX", 4)
    ours, its = socket.socketpair()
    made = Gateway(str(tmp_path), Config(listen=ANYWHERE), its)
    made.heard = []
    handle = made.core.handle
    made.core.handle = lambda event: made.heard.append(event) or handle(event)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    ours.close()
    thread.join(PATIENCE)
    its.close()
    assert not thread.is_alive()


@pytest.fixture
def ticket(gateway, tmp_path):
    return read_ticket(str(tmp_path / TICKET_NAME))


def gets_in(ticket):
    hub = RemoteHub(ticket, Hello("c1", "client"))
    hub.close()
    return True


ZMTP = b"\xff" + bytes(8) + b"\x7f\x03\x01"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x80\x04\x95" * 100_000,
        ZMTP + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04\x29\x05READY",
        ZMTP + b"CURVE".ljust(20, b"\0") + bytes(32) + b"\x02" + b"\x7f" * 8 + b"x" * 1_000_000,
        ZMTP + b"CURVE".ljust(20, b"\0") + bytes(32) + b"\x04\xc8\x05HELLO" + bytes(194),
    ],
    ids=["nothing", "http", "noise", "null mechanism", "a huge frame", "a false hello"],
)
def test_garbage_on_the_port_reaches_nothing_and_harms_nothing(gateway, ticket, garbage):
    with socket.create_connection(split_address(ticket.address)) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is right to close it on us
            sock.sendall(garbage)
        assert gets_in(ticket)
    assert gets_in(ticket)
    assert {event.frames[0] for event in gateway.heard if hasattr(event, "frames")} == {b"H"}
    assert len(gateway.heard) == 2 + departures(gateway)


def departures(gateway):
    return sum(not hasattr(event, "frames") for event in gateway.heard)


@pytest.mark.parametrize("keys", ["none", "other"])
def test_a_peer_without_the_key_is_not_heard(gateway, ticket, keys):
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    if keys == "other":
        dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
        dealer.curve_serverkey = ticket.server_key.encode()
    dealer.setsockopt(zmq.RECONNECT_IVL, remote_module.RECONNECT_MS)
    monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    dealer.connect(ticket.address)
    with contextlib.suppress(zmq.Again):  # it was sent away already
        dealer.send_multipart([b"H", b"1", b"3.11"], zmq.NOBLOCK)
    assert monitor.poll(PATIENCE * 1000), "it is sent away"
    assert not dealer.poll(0), "and learns nothing"
    dealer.disable_monitor()
    context.destroy(linger=0)
    assert gateway.heard == []
    assert gets_in(ticket)


def test_a_client_that_does_not_read_is_not_read_for(gateway, ticket, tmp_path):
    """Its peer keeps what it has to say; all of it arrives once the client reads."""
    peer = Hub(str(tmp_path), Hello("node", "node"))
    peer.listen(bind(str(tmp_path / "node")))
    context, dealer = slow_client(ticket)
    dealer.send_multipart([b"O", b"1", b"node"])
    eventually(lambda: (peer.collect(peer.wait(10)), peer.connections)[1])
    (connection,) = peer.connections.values()
    data = os.urandom(1_000_000) * 40
    peer.send_on(connection, data)
    eventually(lambda: (peer.collect(peer.wait(1)), gateway.stuck)[1])
    queued = sum(len(frames[-1]) for waiting in gateway.stuck.values() for frames in waiting)
    assert queued <= 2 * gateway_module.CHUNK_BYTES, "one frame, and it reads no further"
    received = []
    while sum(map(len, received)) < len(data):
        peer.collect(peer.wait(0))
        while dealer.poll(10):
            received.append(dealer.recv_multipart()[2])
    assert b"".join(received) == data
    assert not gateway.stuck
    context.destroy(linger=0)
    peer.close()


def slow_client(ticket):
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.curve_serverkey = ticket.server_key.encode()
    dealer.curve_publickey = ticket.client_key.encode()
    dealer.curve_secretkey = ticket.client_secret.encode()
    dealer.setsockopt(zmq.RCVHWM, 1)
    dealer.connect(ticket.address)
    dealer.send_multipart([b"H", b"1", f"{sys.version_info[0]}.{sys.version_info[1]}".encode()])
    assert dealer.recv_multipart()[0] == b"W"
    return context, dealer
