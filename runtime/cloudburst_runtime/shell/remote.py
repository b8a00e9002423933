"""A client's or a store's connections to a runtime on another host: the `Hub` of a process that reaches its
peers, and is reached by them, through the runtime's gateway.

Law: as `transport`, this moves messages and knows nothing of what they mean. One ZeroMQ socket, encrypted
by CURVE, carries a channel per peer (frames in `relay`); each channel looks like a socket to the
`Connection` on top of it, which frames and decodes as it does on one host.

ZeroMQ's sockets are not thread-safe: all but `wait`, which only looks at file descriptors, happens under
the loop's lock. A ZeroMQ descriptor tells of a change once, and sending may use that up; so after sending,
what has arrived meanwhile is looked for.
"""

from __future__ import annotations

import contextlib
import itertools
import platform
import socket
import time
from typing import Any

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost
from cloudburst_runtime.errors import RuntimeUnavailable
from cloudburst_runtime.ids import NODE, PeerName
from cloudburst_runtime.messages import Hello
from cloudburst_runtime.shell import relay
from cloudburst_runtime.shell.relay import (
    CALLED,
    CHUNK_BYTES,
    DATA,
    LOST,
    OPEN,
    PROTOCOL,
    REFUSED,
    SERVE,
    SHUT,
    WELCOME,
)
from cloudburst_runtime.shell.ticket import Ticket, split_address
from cloudburst_runtime.shell.transport import Connection, Hub, frame

CONNECT_SECONDS_MAX = 5.0
HEARTBEAT_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 15_000
"""Silence after which a runtime whose machine vanished is given up."""

LINGER_MS = 500
RECONNECT_MS = 1_000_000_000
"""Not before this client is closed: another connection would be another client to the runtime. But to a
socket that never is to reconnect, or is told to disconnect, ZeroMQ loses what has arrived and was not read
when the connection ends, and may wait for ever when its context is to end."""

_ENDED: dict[int, str] = {
    zmq.EVENT_CLOSED: "nothing listens there, or a firewall is in between",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it refused the client key: the file is of an earlier runtime",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: (
        "it does not have the server key: the file is of another runtime, or none listens there"
    ),
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "what listens there is no runtime",
    zmq.EVENT_DISCONNECTED: "the connection ended",
}


class Channel:
    """A stream to one peer, in the form of a socket."""

    __slots__ = ("arrived", "hub", "number")

    def __init__(self, hub: RemoteHub, number: int) -> None:
        self.hub = hub
        self.number = number
        self.arrived = b""

    def recv(self, bufsize: int, /) -> bytes:
        if not self.arrived:
            raise BlockingIOError
        data, self.arrived = self.arrived, b""
        return data

    def recv_into(self, buffer: memoryview, /) -> int:
        data = self.recv(len(buffer))
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        self.arrived = data[count:]
        return count

    def send(self, data: bytes | memoryview, /) -> int:
        for start in range(0, len(data), CHUNK_BYTES):
            self.hub.tell(DATA, self.number, data[start : start + CHUNK_BYTES])
        return len(data)

    def setblocking(self, flag: bool, /) -> None:
        """It never blocks."""

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        self.hub.tell(SHUT, self.number)


class RemoteHub(Hub):
    """All connections of a client to the runtime that a connection file is of.

    Parameters
    ----------
    ticket
        The connection file.
    hello
        How this client introduces itself to each peer.

    Attributes
    ----------
    config : Config
        The runtime's configuration, as it says.

    Raises
    ------
    RuntimeUnavailable
        If it does not let this client in within a few seconds; the message says why.
    """

    def __init__(self, ticket: Ticket, hello: Hello) -> None:
        _check_host(ticket)
        self._context = zmq.Context()
        self._socket = _make_socket(self._context, ticket)
        super().__init__("", hello)
        self.ticket = ticket
        self.broken = ""
        self._numbers = itertools.count(1)
        self._monitor = self._socket.get_monitor_socket(sum(_ENDED))
        for each in (self._socket, self._monitor):
            self._poller.add(int(each.getsockopt(zmq.FD)))
        try:
            self._socket.connect(ticket.address)
            self.config = self._greet()
        except BaseException:
            self.broken = "it was never there"
            self.close()
            raise

    def _greet(self) -> Config:
        """Introduce this client; wait for the configuration, or for the reason why there is none."""
        python = ".".join(platform.python_version_tuple()[:2])
        with contextlib.suppress(zmq.Again):  # the connection has failed already
            self._socket.send_multipart([relay.HELLO, PROTOCOL, python.encode()], zmq.NOBLOCK)
        deadline = time.monotonic() + CONNECT_SECONDS_MAX
        while True:
            why = self._monitored()
            frames = self._receive_frames()
            if frames is not None and frames[0] == WELCOME:
                return msgspec.json.decode(frames[1], type=Config)
            if frames is not None and frames[0] == REFUSED:
                raise RuntimeUnavailable(f"{self._there()} refuses: {frames[1].decode()}")
            left = deadline - time.monotonic()
            if why or left <= 0:
                why = why or f"it gave no answer within {CONNECT_SECONDS_MAX:g} s"
                raise RuntimeUnavailable(
                    f"{self._there()} cannot be used: {why}. A runtime writes its connection file anew "
                    "when it starts; cloudburst-nb status shows, on its host, where"
                )
            self._poller.poll(left * 1000)

    def _there(self) -> str:
        return f"the runtime at {self.ticket.address} (key file {self.ticket.path})"

    # ------------------------------------------------------------ opening and closing

    def connect(self, peer: PeerName) -> Connection | None:
        """The channel to ``peer``, opened if need be; None once the gateway is gone."""
        connection = self.peers.get(peer)
        if connection is not None or self.broken:
            return connection
        number = next(self._numbers)
        connection = Connection(Channel(self, number), peer)
        self.connections[number] = connection
        self.tell(OPEN, number, peer.encode())
        self.send_on(connection, frame(self.hello))
        self._named(connection)
        return connection

    def drop(self, connection: Connection, reason: str) -> None:
        """Shut a channel; `collect` will report the loss if it was the one to its peer."""
        if self.connections.pop(connection.sock.fileno(), None) is None:
            return
        connection.sock.close()
        if self.peers.get(connection.peer) is connection:
            del self.peers[connection.peer]
            self.lost.append(PeerLost(connection.peer, reason))
            self.wake()

    def serve(self, hello: Hello) -> Connection | None:
        """From now on be a store of this name: reachable for all, and introduced by it.

        Returns
        -------
        Connection or None
            The one to the node under the former name, to be dropped when it is not needed any more.
        """
        former = self.peers.pop(NODE, None)
        self.hello = hello
        with contextlib.suppress(zmq.Again):  # the connection has ended; `collect` will say so
            self._socket.send_multipart([SERVE, hello.name.encode()], zmq.NOBLOCK)
        return former

    def close(self) -> None:
        """Disconnect; nothing is reported."""
        super().close()
        linger = 0 if self.broken else LINGER_MS
        self.broken = self.broken or "it was closed"
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close(linger)
        self._context.term()

    # ------------------------------------------------------------ sending and receiving

    def tell(self, kind: bytes, number: int, *frames: bytes | memoryview) -> None:
        """Send one frame of a channel to the gateway; nothing once that is gone, which `collect` tells."""
        if self.broken:
            return
        try:
            self._socket.send_multipart([kind, b"%d" % number, *frames], zmq.NOBLOCK)
        except zmq.Again:  # there is no connection any more
            self.wake()
            return
        if _has_input(self._socket):
            self.wake()

    def collect(self, ready: list[tuple[int, int]]) -> list[Any]:
        """What has arrived on all channels, and which were lost."""
        events: list[Any] = []
        for fd, _ in ready:
            self._other(fd, events)
        why = self._monitored()  # first: what was sent before the connection ended is there by now
        while (frames := self._receive_frames()) is not None:
            self._take(frames, events)
        if why:
            self._break(why)
        if self.lost:
            events += self.lost
            self.lost = []
        return events

    def _receive_frames(self) -> list[bytes] | None:
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def _take(self, frames: list[bytes], events: list[Any]) -> None:
        kind = frames[0]
        if kind == REFUSED:
            self._break(frames[1].decode(errors="replace"))
        if kind == CALLED:
            number = int(frames[1])
            self.connections[number] = Connection(Channel(self, number))
        if kind not in (DATA, LOST):
            return
        connection = self.connections.get(int(frames[1]))
        if connection is None:  # it was shut, and the gateway did not know yet
            return
        if kind == LOST:
            self.drop(connection, frames[2].decode(errors="replace"))
            return
        channel = connection.sock
        assert isinstance(channel, Channel)
        channel.arrived = frames[2]
        while channel.arrived and connection.sock.fileno() in self.connections:
            self._receive(connection, events)

    def _monitored(self) -> str:
        """Why there is no connection to the gateway any more; empty if there is one."""
        why = ""
        while _has_input(self._monitor):
            event = recv_monitor_message(self._monitor)["event"]
            why = why or _ENDED[event]
        return why

    def _break(self, why: str) -> None:
        self.broken = self.broken or why
        for connection in list(self.connections.values()):
            self.drop(connection, f"{self.ticket.address}: {why}")


def _has_input(source: zmq.Socket[bytes]) -> bool:
    return bool(int(source.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _make_socket(context: zmq.Context[zmq.Socket[bytes]], ticket: Ticket) -> zmq.Socket[bytes]:
    made = context.socket(zmq.DEALER)
    try:
        made.curve_serverkey = ticket.server_key.encode()
        made.curve_publickey = ticket.client_key.encode()
        made.curve_secretkey = ticket.client_secret.encode()
    except zmq.ZMQError:  # of the right length and alphabet, and still none
        context.destroy(0)
        raise RuntimeUnavailable(f"the key file {ticket.path} is damaged: it has no valid keys") from None
    made.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    made.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    made.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    made.setsockopt(zmq.SNDHWM, 0)
    made.setsockopt(zmq.RCVHWM, 0)  # a full queue would keep heartbeats from being read
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.IPV6, ticket.address.startswith("tcp://["))
    return made


def _check_host(ticket: Ticket) -> None:
    """ZeroMQ waits in silence for a host that has no address."""
    host, port = split_address(ticket.address)
    try:
        socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RuntimeUnavailable(
            f"{ticket.address}: the host {host!r} has no address here ({error.strerror}): give one that has, "
            "as in cb.connect('tcp://10.0.0.7:7000', key_file=…)"
        ) from None
