"""The gateway process: clients and stores on other hosts, over TCP, encrypted and authenticated by CURVE.

Law: this file carries out what the `relay` core says, and never looks into what it relays. ZeroMQ decodes
nothing of a peer that has not proven to hold the client key of this runtime: it is asked for the key
during the handshake, and answered by `_answer_zap`, in this very loop.

For each channel there is one unix connection to the peer meant. Who does not read is not read from: while
a client's queue is full, its unix connections are left alone, and whoever writes to them keeps the bytes.

A store on another host has a listening socket here besides, under its name in the runtime's directory. When
its link is lost (the connection ended, or ZeroMQ's heartbeats were not answered for ``silence_ms``), socket
and connections are closed first, and then the supervisor is told that it ended, as of a process that it has
reaped; why that is a fence is said in `relay`. When this process ends, all such stores have, and the
supervisor says so to the node.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import platform
import signal
import socket
import time
from collections import deque
from typing import Any, NoReturn

import msgspec
import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from cloudburst_runtime.config import Config
from cloudburst_runtime.messages import Exited
from cloudburst_runtime.shell.relay import (
    CHUNK_BYTES,
    NOTHING,
    REFUSED,
    RUNTIME_ENDED,
    Accept,
    Arrived,
    Called,
    Connect,
    Departed,
    Disconnect,
    Ended,
    Listen,
    Pass,
    RelayCore,
    Report,
    Said,
    Tell,
    Unlisten,
    Unserved,
)
from cloudburst_runtime.shell.ticket import LISTENING, Ticket, split_address, write_ticket
from cloudburst_runtime.shell.transport import Connection, bind, frame, peer_uid

HEARTBEATS = 3
"""How often a peer is asked for a sign of life in the time after which one that gives none is given up."""

HANDSHAKE_MS = 5_000
QUEUE_FRAMES_MAX = 256
"""Frames that wait for one client's link; beyond these its unix connections are not read."""

RETRY_MS = 5
LOOK_AFTER_MS = (0.0, 100.0, 1_000.0)
"""When to look who is gone after a TCP connection has ended: ZeroMQ says that one did, not whose."""

FRAMES_PER_TURN_MAX = 64
LINGER_MS = 500
FRAME_OVERHEAD_BYTES = 1_024
ZAP_ADDRESS = "inproc://zeromq.zap.01"
WILDCARDS = ("0.0.0.0", "[::]")

Key = tuple[bytes, bytes]


class Gateway:
    """Listens at ``config.listen`` and writes the connection file.

    Parameters
    ----------
    directory
        The runtime's directory.
    config
        The runtime's configuration.
    supervisor
        One end of a socket pair; when the other closes, this ends.

    Raises
    ------
    OSError, zmq.ZMQError
        If the address cannot be listened at.
    """

    def __init__(self, directory: str, config: Config, supervisor: socket.socket) -> None:
        self.directory = directory
        self.supervisor = supervisor
        self.core = RelayCore(msgspec.json.encode(config), ".".join(platform.python_version_tuple()[:2]))
        self.links: dict[int, tuple[Key, Connection]] = {}
        self.by_key: dict[Key, Connection] = {}
        self.stuck: dict[bytes, deque[list[bytes]]] = {}
        self.listeners: dict[int, tuple[bytes, socket.socket]] = {}
        self.look_at: list[float] = []
        self._context = zmq.Context()
        self._client_key, client_secret = zmq.curve_keypair()
        self._server_key, server_secret = zmq.curve_keypair()
        self._zap = self._context.socket(zmq.REP)
        self._zap.bind(ZAP_ADDRESS)
        self._router = self._make_router(config.listen, server_secret, config.silence_ms)
        self._monitor = self._router.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._router.bind(config.listen)
        self._write_ticket(client_secret)
        self._poller = zmq.Poller()
        for source in (supervisor.fileno(), self._zap, self._router, self._monitor):
            self._poller.register(source, zmq.POLLIN)

    def _make_router(self, address: str, secret: bytes, silence_ms: int) -> zmq.Socket[bytes]:
        router = self._context.socket(zmq.ROUTER)
        router.curve_server = True
        router.curve_secretkey = secret
        router.zap_domain = b"cloudburst"
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody is let in if nobody answers for them
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # to be told that a client is gone
        router.setsockopt(zmq.MAXMSGSIZE, CHUNK_BYTES + FRAME_OVERHEAD_BYTES)
        router.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        router.setsockopt(zmq.HEARTBEAT_IVL, max(1, silence_ms // HEARTBEATS))
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, silence_ms)
        router.setsockopt(zmq.SNDHWM, QUEUE_FRAMES_MAX)
        router.setsockopt(zmq.LINGER, LINGER_MS)
        router.setsockopt(zmq.IPV6, address.startswith("tcp://["))
        return router

    def _write_ticket(self, client_secret: bytes) -> None:
        host, port = split_address(self._router.getsockopt_string(zmq.LAST_ENDPOINT))
        ticket = Ticket(
            f"tcp://{os.uname().nodename if host in WILDCARDS else host}:{port}",
            self._server_key.decode(),
            self._client_key.decode(),
            client_secret.decode(),
        )
        write_ticket(self.directory, ticket)

    # ------------------------------------------------------------ the loop

    def run(self) -> None:
        """Relay until the supervisor is gone; what peers have said by then still arrives."""
        while True:
            ready = self._poller.poll(self._timeout_ms())
            for source, flags in ready:
                self._serve(source, flags)
            self._retry()
            self._look()
            if any(source == self.supervisor.fileno() for source, _ in ready):
                break
        self._finish()

    def _finish(self) -> None:
        for fd in list(self.links):
            self._read(fd)
        for route in list(self.core.serving):
            self._tell(route, [REFUSED, RUNTIME_ENDED.encode()])
        self._router.disable_monitor()
        self._monitor.close()
        self._router.close()
        self._zap.close()
        self._context.term()

    def _timeout_ms(self) -> int | None:
        if self.stuck:
            return RETRY_MS
        return max(0, round((self.look_at[0] - time.monotonic()) * 1000)) if self.look_at else None

    def _serve(self, source: Any, flags: int) -> None:
        if source is self._router:
            self._read_clients()
        elif source is self._zap:
            self._answer_zap()
        elif source is self._monitor:
            recv_monitor_message(self._monitor)
            now = time.monotonic()
            self.look_at = sorted([*self.look_at, *(now + after / 1000 for after in LOOK_AFTER_MS)])
        elif source in self.listeners:
            self._handle(Called(self.listeners[source][0]))
        elif source in self.links:
            if flags & zmq.POLLOUT:
                self._flush(source)
            if flags & ~zmq.POLLOUT:
                self._read(source)

    # ------------------------------------------------------------ who may come in

    def _answer_zap(self) -> None:
        """ZeroMQ asks whether a peer with this public key, whose secret it has proven, may connect."""
        version, request, _, _, _, mechanism, *credentials = self._zap.recv_multipart()
        known = z85.decode(self._client_key)
        allowed = mechanism == b"CURVE" and credentials and hmac.compare_digest(credentials[0], known)
        said = [b"200", b"OK"] if allowed else [b"400", b"unknown key"]
        self._zap.send_multipart([version, request, *said, b"", b""])

    def _look(self) -> None:
        """Say nothing to each client: ZeroMQ refuses that for those who are gone."""
        if not self.look_at or self.look_at[0] > time.monotonic():
            return
        while self.look_at and self.look_at[0] <= time.monotonic():
            self.look_at.pop(0)
        for route in list(self.core.clients):
            self._tell(route, [NOTHING])

    # ------------------------------------------------------------ events in, effects out

    def _handle(self, event: Any) -> None:
        for effect in self.core.handle(event):
            kind = type(effect)
            if kind is Tell:
                self._tell(effect.route, effect.frames)
            elif kind is Pass:
                self._pass(effect)
            elif kind is Connect:
                self._connect(effect)
            elif kind is Disconnect:
                self._disconnect((effect.route, effect.channel))
            else:
                self._act_for_store(effect)

    def _act_for_store(self, effect: Listen | Accept | Unlisten | Report) -> None:
        if isinstance(effect, Listen):
            self._listen(effect)
        elif isinstance(effect, Accept):
            self._accept(effect)
        elif isinstance(effect, Unlisten):
            self._unlisten(effect)
        else:
            os.write(2, f"the store {effect.name} has left or was given up: {effect.reason}\n".encode())
            with contextlib.suppress(OSError):  # the supervisor is gone, and all is about to end
                self.supervisor.sendall(frame(Exited(effect.name, effect.reason)))

    def _read_clients(self) -> None:
        for _ in range(FRAMES_PER_TURN_MAX):
            try:
                route, *frames = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._handle(Arrived(route, frames))

    def _tell(self, route: bytes, frames: list[bytes]) -> None:
        waiting = self.stuck.get(route)
        if waiting is not None:
            waiting.append(frames)
        elif not self._send(route, frames):
            self.stuck[route] = deque([frames])
            self._watch(route, False)

    def _send(self, route: bytes, frames: list[bytes]) -> bool:
        """False if the client's queue is full."""
        try:
            self._router.send_multipart([route, *frames], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.stuck.pop(route, None)
            self._handle(Departed(route))
        return True

    def _retry(self) -> None:
        for route, waiting in list(self.stuck.items()):
            while waiting and self._send(route, waiting[0]):
                waiting.popleft()
            if not waiting and self.stuck.pop(route, None) is not None:
                self._watch(route, True)

    def _watch(self, route: bytes, readable: bool) -> None:
        """Read, or do not read, the unix connections of one client."""
        for fd, ((owner, _), connection) in self.links.items():
            if owner == route:
                self._want(fd, connection, readable)

    def _want(self, fd: int, connection: Connection, readable: bool) -> None:
        mask = (zmq.POLLIN if readable else 0) | (zmq.POLLOUT if connection.out else 0)
        self._poller.register(fd, mask)  # which unregisters at 0

    # ------------------------------------------------------------ the peers

    def _connect(self, effect: Connect) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(os.path.join(self.directory, effect.peer))
        except OSError:
            sock.close()
            self._handle(Ended(effect.route, effect.channel, "it does not accept connections"))
            return
        self._link((effect.route, effect.channel), sock)

    def _link(self, key: Key, sock: socket.socket) -> None:
        """This connection is the channel's other end."""
        sock.setblocking(False)
        connection = Connection(sock)
        self.links[sock.fileno()] = (key, connection)
        self.by_key[key] = connection
        self._want(sock.fileno(), connection, key[0] not in self.stuck)

    def _pass(self, effect: Pass) -> None:
        connection = self.by_key[(effect.route, effect.channel)]
        if not connection.send(effect.data):
            self._lose(connection.sock.fileno(), "the connection broke")
        elif connection.out:
            self._want(connection.sock.fileno(), connection, effect.route not in self.stuck)

    def _flush(self, fd: int) -> None:
        (route, _), connection = self.links[fd]
        if not connection.flush():
            self._lose(fd, "the connection broke")
        else:
            self._want(fd, connection, route not in self.stuck)

    def _read(self, fd: int) -> None:
        link = self.links.get(fd)
        if link is None:
            return
        (route, channel), connection = link
        try:
            data = connection.sock.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._handle(Said(route, channel, data))
        else:
            self._lose(fd, "the process ended")

    def _lose(self, fd: int, reason: str) -> None:
        (route, channel), _ = self.links[fd]
        self._disconnect((route, channel))
        self._handle(Ended(route, channel, reason))

    def _disconnect(self, key: Key) -> None:
        connection = self.by_key.pop(key, None)
        if connection is not None:
            fd = connection.sock.fileno()
            del self.links[fd]
            self._poller.register(fd, 0)
            connection.sock.close()

    # ------------------------------------------------------------ stores on other hosts

    def _listen(self, effect: Listen) -> None:
        """What the store says next may bring peers here, so there is somebody to answer by then."""
        try:
            listener = bind(os.path.join(self.directory, effect.name))
        except OSError as error:
            self._handle(Unserved(effect.route, f"{effect.name} cannot be listened for: {error.strerror}"))
            return
        listener.setblocking(False)
        self.listeners[listener.fileno()] = (effect.route, listener)
        self._poller.register(listener.fileno(), zmq.POLLIN)

    def _accept(self, effect: Accept) -> None:
        found = [listener for route, listener in self.listeners.values() if route == effect.route]
        if not found:  # the store was lost when it was told
            return
        sock: socket.socket | None = None
        with contextlib.suppress(OSError):
            sock, _ = found[0].accept()
        if sock is not None and effect.channel is not None and peer_uid(sock) in (None, os.getuid()):
            self._link((effect.route, effect.channel), sock)
            return
        if sock is not None:
            sock.close()
        if effect.channel is not None:
            self._handle(Ended(effect.route, effect.channel, "it did not wait"))

    def _unlisten(self, effect: Unlisten) -> None:
        for fd, (route, listener) in list(self.listeners.items()):
            if route == effect.route:
                del self.listeners[fd]
                self._poller.register(fd, 0)
                listener.close()
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.directory, effect.name))


def run_gateway(directory: str, config: Config, supervisor: socket.socket) -> NoReturn:
    """Tell the supervisor in one line that this listens, or why not; then relay until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        gateway = Gateway(directory, config, supervisor)
    except (OSError, zmq.ZMQError) as error:
        supervisor.sendall(f"cannot listen at {config.listen}: {error.strerror}\n".encode())
        os._exit(1)
    supervisor.sendall(LISTENING.encode())
    gateway.run()
    os._exit(0)
