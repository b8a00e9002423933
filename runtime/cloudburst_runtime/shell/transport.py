"""Messages over unix stream sockets: framing, connecting, buffering, and noticing that a peer is gone.

Law: this file moves messages and knows nothing of what they mean, `Hello` aside. A peer is a name, and the
name is a socket in the runtime's directory, which only the user can enter; besides, the kernel is asked
for the uid of whoever connects. A frame is four bytes of length, little-endian, and a packed message.

A `Hub` is one process's end of all its connections. It is not thread-safe: the loop's lock guards it.
Sending never blocks: what the kernel does not take stays in the connection's buffer until it does. What is
sent to a peer that cannot be connected to (a client listens nowhere) waits for that peer to connect.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections import deque
from typing import Any, Protocol

import msgspec

from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Hello, pack, unpack
from cloudburst_runtime.shell.poller import Poller

READ_BYTES = 65_536
HELD_MESSAGES_MAX = 100_000
STRANGER_BYTES_MAX = 4096
"""The most that a connection may send as one message before it said Hello."""
BATCHED_BYTES_MAX = 16_384
"""A longer message is sent by itself: copying it would cost more than a system call."""
LARGE_BYTES = 131_072
"""A message from here on is read into a buffer of its own, and its arrays are views of that."""

_length = struct.Struct("<I")


class Stream(Protocol):
    """What a connection needs of a socket."""

    def recv(self, bufsize: int, /) -> bytes: ...
    def recv_into(self, buffer: memoryview, /) -> int: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Connection:
    """One stream socket with its buffers; ``peer`` is empty until the other side said Hello."""

    __slots__ = ("batch", "filled", "large", "out", "peer", "rest", "sock", "writing")

    def __init__(self, sock: Stream, peer: PeerName = "") -> None:
        self.sock = sock
        self.peer = peer
        self.batch: list[bytes] = []
        self.rest = b""
        self.large: bytearray | None = None
        self.filled = 0
        self.out: deque[memoryview] = deque()
        self.writing = False

    def receive(self) -> list[Any] | None:
        """The messages that are here; None at the end of the stream."""
        if self.large is not None:
            return self._receive_large()
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        if not data:
            return None
        if self.rest:
            data = self.rest + data
            self.rest = b""
        size = len(data)
        if size >= 4 and _length.unpack_from(data)[0] == size - 4:  # the common case: one whole message
            return [unpack(data[4:])]
        return self._split(data, size)

    def _split(self, data: bytes, size: int) -> list[Any]:
        messages: list[Any] = []
        start = 0
        while size - start >= 4:
            length = _length.unpack_from(data, start)[0]
            end = start + 4 + length
            if end > size:
                known = self.peer or (messages and type(messages[0]) is Hello)
                if length > STRANGER_BYTES_MAX and not known:
                    raise msgspec.DecodeError(f"{length} bytes before a Hello")
                if length >= LARGE_BYTES:
                    self._begin_large(data, start + 4, length)
                    return messages
                break
            messages.append(unpack(data[start + 4 : end]))
            start = end
        self.rest = data[start:]
        return messages

    def _begin_large(self, data: bytes, start: int, length: int) -> None:
        self.large = bytearray(length)
        self.filled = len(data) - start
        self.large[: self.filled] = data[start:]

    def _receive_large(self) -> list[Any] | None:
        assert self.large is not None
        view = memoryview(self.large)
        while self.filled < len(self.large):
            try:
                count = self.sock.recv_into(view[self.filled :])
            except (BlockingIOError, InterruptedError):
                return []
            except OSError:
                return None
            if not count:
                return None
            self.filled += count
        message = unpack(self.large)
        self.large = None
        return [message]

    def send(self, data: bytes) -> bool:
        """Send or buffer one framed message; False if the peer is gone."""
        if self.out:
            self.out.append(memoryview(data))
            return True
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return False
        if sent < len(data):
            self.out.append(memoryview(data)[sent:])
        return True

    def flush(self) -> bool:
        """Send what is buffered as far as the kernel takes it; False if the peer is gone."""
        while self.out:
            head = self.out[0]
            try:
                sent = self.sock.send(head)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            if sent < len(head):
                self.out[0] = head[sent:]
                return True
            self.out.popleft()
        return True


class Hub:
    """All connections of one process.

    Parameters
    ----------
    directory
        The runtime's directory: the socket of peer ``x`` is ``directory/x``.
    hello
        How this process introduces itself; ``hello.name`` is its peer name.
    """

    def __init__(self, directory: str, hello: Hello) -> None:
        self.directory = directory
        self.hello = hello
        self.listener: socket.socket | None = None
        self.connections: dict[int, Connection] = {}
        self.peers: dict[PeerName, Connection] = {}
        self.held: dict[PeerName, list[bytes]] = {}
        self.lost: list[PeerLost] = []
        self._batches: list[Connection] | None = None
        self._poller = Poller()
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._poller.add(self._wake_r)
        self._watched: dict[int, str] = {}

    # ------------------------------------------------------------ opening and closing

    def listen(self, sock: socket.socket | None = None) -> None:
        """Accept connections on this process's own socket, or on one that was bound already."""
        self.listener = sock or bind(os.path.join(self.directory, self.hello.name))
        self.listener.setblocking(False)
        self._poller.add(self.listener.fileno())

    def adopt(self, sock: socket.socket, peer: PeerName) -> None:
        """Take over a connected socket whose other end is ``peer``."""
        self._add(Connection(sock, peer))

    def watch(self, fd: int, name: str) -> None:
        """Report the readability of a file descriptor as the loss of ``name``: the owner's pipe closed."""
        self._watched[fd] = name
        self._poller.add(fd)

    def watch_readable(self, fd: int) -> None:
        """Let `wait` return when this descriptor is readable; whoever watches it reads it."""
        self._poller.add(fd)

    def connect(self, peer: PeerName) -> Connection | None:
        """The connection to ``peer``, made if need be; None if it cannot be connected to."""
        connection = self.peers.get(peer)
        if connection is not None:
            return connection
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(os.path.join(self.directory, peer))
        except OSError:
            sock.close()
            return None
        connection = Connection(sock, peer)
        self._add(connection)
        self.send_on(connection, frame(self.hello))
        return connection

    def _add(self, connection: Connection) -> None:
        connection.sock.setblocking(False)
        fd = connection.sock.fileno()
        self.connections[fd] = connection
        self._poller.add(fd)
        if not self._poller.live:
            self.wake()  # a poll that runs already does not know of this descriptor
        if connection.peer:
            self._named(connection)

    def _named(self, connection: Connection) -> None:
        peer = connection.peer
        self.peers[peer] = connection
        for data in self.held.pop(peer, []):
            self.send_on(connection, data)

    def _listens(self, peer: PeerName) -> bool:
        """Whether a peer still accepts connections: the sockets of a process that ended close together."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            try:
                sock.connect(os.path.join(self.directory, peer))
            except OSError:
                return False
        return True

    def drop(self, connection: Connection, reason: str) -> None:
        """Close a connection; `collect` will report the loss if it was the one to its peer."""
        fd = connection.sock.fileno()
        if self.connections.pop(fd, None) is None:
            return
        self._poller.remove(fd)
        connection.sock.close()
        if connection.peer and self.peers.get(connection.peer) is connection:
            del self.peers[connection.peer]
            self.lost.append(PeerLost(connection.peer, reason, self._listens(connection.peer)))
            self.wake()

    def close(self) -> None:
        """Close everything; nothing is reported."""
        for connection in list(self.connections.values()):
            connection.sock.close()
        self.connections.clear()
        self.peers.clear()
        if self.listener is not None:
            self.listener.close()
        os.close(self._wake_r)
        os.close(self._wake_w)
        self._poller.close()

    # ------------------------------------------------------------ sending

    def send(self, peer: PeerName, message: Any) -> None:
        """Send a message; to a client that is not connected, when it connects; another peer is lost then."""
        connection = self.peers.get(peer) or self.connect(peer)
        body = pack(message)
        data = _length.pack(len(body)) + body  # as `frame`
        if connection is not None:
            self.send_on(connection, data)
        elif peer.startswith("c"):  # only clients are expected to call back
            held = self.held.setdefault(peer, [])
            if len(held) < HELD_MESSAGES_MAX:
                held.append(data)
        else:
            self.lost.append(PeerLost(peer, "it does not accept connections"))
            self.wake()

    def send_on(self, connection: Connection, data: bytes) -> None:
        if self._batches is not None and self._batched(connection, data):
            return
        if not connection.send(data):
            self.drop(connection, "the connection broke")
        elif connection.out and not connection.writing:
            connection.writing = True
            self._poller.want_write(connection.sock.fileno(), True)
            self.wake()

    # ------------------------------------------------------------ several messages in one piece

    def begin_batch(self) -> None:
        """Until `end_batch`, what is sent waits, so that what goes to one peer goes in one piece."""
        self._batches = []

    def _batched(self, connection: Connection, data: bytes) -> bool:
        """Let a message wait for the end of the batch; False if it is to go now, after those before it."""
        assert self._batches is not None
        if len(data) > BATCHED_BYTES_MAX:
            self.end_batch()
            self.begin_batch()
            return False
        if not connection.batch:
            self._batches.append(connection)
        connection.batch.append(data)
        return True

    def end_batch(self) -> None:
        """Send what has waited since `begin_batch`."""
        batches, self._batches = self._batches, None
        for connection in batches or ():
            messages, connection.batch = connection.batch, []
            self.send_on(connection, messages[0] if len(messages) == 1 else b"".join(messages))

    # ------------------------------------------------------------ receiving

    def wait(self, timeout_ms: float | None, eager: bool = False) -> list[tuple[int, int]]:
        """Block until something is ready; an ``eager`` wait spins before it sleeps, if `spin_for` allows it.
        The only call that may be made without the loop's lock."""
        return self._poller.poll(timeout_ms, eager)

    def spin_for(self, limit_us: float, turns_max: int = 0) -> None:
        """How long eager waits may spin; after so many turns taken on one processor, leave it (0: never)."""
        self._poller.spin_for(limit_us, turns_max)

    def fileno(self) -> int:
        """A descriptor that is readable when `wait` would return at once; -1 where there is no such thing."""
        return self._poller.fileno()

    def wake(self) -> None:
        """Make `wait` return, from any thread."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_w, b"x")

    def collect(self, ready: list[tuple[int, int]]) -> list[Any]:
        """The events of these ready descriptors: `Received` and `PeerLost`."""
        events: list[Any] = []
        for fd, flags in ready:
            connection = self.connections.get(fd)
            if connection is None:
                self._other(fd, events)
                continue
            if flags & select.POLLOUT and not self._flush(connection):
                continue
            if flags & ~select.POLLOUT:
                self._receive(connection, events)
        if self.lost:
            events += self.lost
            self.lost = []
        return events

    def _receive(self, connection: Connection, events: list[Any]) -> None:
        try:
            messages = connection.receive()
        except msgspec.MsgspecError as error:
            self.drop(connection, f"it sent what is no message: {error}")
            return
        if messages is None:
            self.drop(connection, "the process ended")
            return
        for message in messages:
            if connection.peer:
                events.append(Received(connection.peer, message))
            elif type(message) is Hello:
                connection.peer = message.name
                self._named(connection)
                events.append(Received(message.name, message))

    def _flush(self, connection: Connection) -> bool:
        if not connection.flush():
            self.drop(connection, "the connection broke")
            return False
        if not connection.out:
            connection.writing = False
            self._poller.want_write(connection.sock.fileno(), False)
        return True

    def _other(self, fd: int, events: list[Any]) -> None:
        if fd == self._wake_r:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_r, 4096)
        elif self.listener is not None and fd == self.listener.fileno():
            self._accept()
        elif fd in self._watched:
            self._poller.remove(fd)
            events.append(PeerLost(self._watched.pop(fd), "it ended"))

    def _accept(self) -> None:
        assert self.listener is not None
        while True:
            try:
                sock, _ = self.listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return
            if peer_uid(sock) not in (None, os.getuid()):
                sock.close()
                continue
            self._add(Connection(sock))


def bind(path: str) -> socket.socket:
    """A listening unix socket at ``path``."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(1024)
    return sock


def peer_uid(sock: socket.socket) -> int | None:
    """The uid of the process at the other end; None where the platform does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def frame(message: Any) -> bytes:
    """A message as it travels: its length, then itself."""
    body = pack(message)
    return _length.pack(len(body)) + body
