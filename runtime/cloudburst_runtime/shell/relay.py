"""Who is connected to whom through the gateway: remote clients and stores, and their channels to the
runtime's peers.

Law: a core. It opens no socket and reads nothing of what clients and peers say to each other: a channel is
a stream of bytes, in both directions, between a remote client and one peer; what is decoded here are the
frames around it, and those only come from clients that were authenticated.

A client that *serves* under a store's name is a store on another host: the gateway listens under that name
in the runtime's directory, and each connection to it becomes a channel that the gateway opens. Every byte to
and from such a store passes here. So this is where it is decided that one is dead, and where it is fenced
off: when its link is lost, all its channels end in the same step, and only then the runtime is told; whatever
the store itself believes, nobody hears of it any more, and no new owner of its keys has a second beside it.

::

    client → gateway                               gateway → client
    HELLO, protocol version, Python version        WELCOME, configuration     or REFUSED, why
    OPEN, channel, peer
    DATA, channel, bytes                           DATA, channel, bytes
    SHUT, channel                                  LOST, channel, reason
    SERVE, name of a store                         CALLED, channel: a peer has opened it
                                                   NOTHING: is anybody there?

The client numbers its channels, the gateway those that peers open (below zero), and neither uses a number
again, so that what was on its way when a channel was shut or lost cannot be taken for part of the next one.
"""

from __future__ import annotations

import re
from typing import Any

from cloudburst_runtime.effects import Record
from cloudburst_runtime.ids import PeerName

PROTOCOL = b"1"
HELLO, WELCOME, REFUSED = b"H", b"W", b"R"
OPEN, DATA, SHUT, LOST, NOTHING = b"O", b"D", b"X", b"L", b""
SERVE, CALLED = b"S", b"C"
RUNTIME_ENDED = "the runtime has ended"
"""What a store on another host is refused with when that is so."""

CHUNK_BYTES = 262_144
"""The most bytes of a stream in one frame. What claims to be larger is not received, known or not."""

CHANNELS_MAX = 4_096
"""Channels that one client may have at a time: one per executor, and the node's."""

_reachable = re.compile(r"node|[es][0-9]{1,9}")
"""The peers that clients speak to, and no other file in the runtime's directory."""
_servable = re.compile(r"s[0-9]{1,9}")
_GONE = "its connection ended, or nothing came from it for too long"


class Arrived(Record, frozen=True):
    """A remote client sent these frames."""

    route: bytes
    frames: list[bytes]


class Departed(Record, frozen=True):
    """A remote client is gone."""

    route: bytes


class Called(Record, frozen=True):
    """A peer wants to connect to what this remote client serves."""

    route: bytes


class Unserved(Record, frozen=True):
    """What this remote client wants to serve cannot be listened for."""

    route: bytes
    reason: str


class Said(Record, frozen=True):
    """The peer at the end of a channel sent bytes."""

    route: bytes
    channel: bytes
    data: bytes


class Ended(Record, frozen=True):
    """The peer at the end of a channel is gone, or could not be connected to."""

    route: bytes
    channel: bytes
    reason: str


class Tell(Record, frozen=True):
    """Send frames to a remote client."""

    route: bytes
    frames: list[bytes]


class Connect(Record, frozen=True):
    """Open a connection to a peer, for this channel."""

    route: bytes
    channel: bytes
    peer: PeerName


class Pass(Record, frozen=True):
    """Send bytes to the peer of this channel."""

    route: bytes
    channel: bytes
    data: bytes


class Disconnect(Record, frozen=True):
    """Close the connection of this channel."""

    route: bytes
    channel: bytes


class Listen(Record, frozen=True):
    """Accept connections to this name for a remote client; at the latest before its next frame is read."""

    route: bytes
    name: PeerName


class Accept(Record, frozen=True):
    """Accept the connection that waits, as this channel; with none, turn it away."""

    route: bytes
    channel: bytes | None


class Unlisten(Record, frozen=True):
    """This name is served no more."""

    route: bytes
    name: PeerName


class Report(Record, frozen=True):
    """Tell the runtime that this store has ended: nothing comes from it any more."""

    name: PeerName
    reason: str


class RelayCore:
    """The gateway's state.

    Parameters
    ----------
    config
        The runtime's configuration as JSON: each client gets it.
    python
        The version of Python whose functions executors can load, such as ``"3.12"``.

    Examples
    --------
    >>> core = RelayCore(b"{}", "3.12")
    >>> core.handle(Arrived(b"r1", [HELLO, PROTOCOL, b"3.12"]))
    [Tell(route=b'r1', frames=[b'W', b'{}'])]
    """

    def __init__(self, config: bytes, python: str) -> None:
        self.config = config
        self.python = python
        self.clients: dict[bytes, dict[bytes, PeerName]] = {}
        self.serving: dict[bytes, PeerName] = {}
        self._called = 0

    def handle(self, event: Any) -> list[Any]:
        """Take one event; return what is to be done, in order."""
        kind = type(event)
        if kind is Said:
            return [Tell(event.route, [DATA, event.channel, event.data])] if self._has(event) else []
        if kind is Arrived:
            return self._arrived(event.route, event.frames)
        if kind is Ended:
            return self._ended(event)
        if kind is Departed:
            return self._departed(event.route)
        if kind is Called:
            return self._call(event.route)
        if kind is Unserved:
            del self.serving[event.route]
            return self._refuse(event.route, event.reason)
        raise TypeError(f"the relay knows no event {event!r}")

    def _departed(self, route: bytes) -> list[Any]:
        """The order matters: once a store's end is reported, nothing of it may be on its way."""
        channels, name = self.clients.pop(route, {}), self.serving.pop(route, None)
        effects: list[Any] = [] if name is None else [Unlisten(route, name)]
        effects += [Disconnect(route, channel) for channel in channels]
        return effects if name is None else [*effects, Report(name, _GONE)]

    def _call(self, route: bytes) -> list[Any]:
        channels = self.clients[route]
        if len(channels) >= CHANNELS_MAX:
            return [Accept(route, None)]
        self._called += 1
        channel = b"-%d" % self._called
        channels[channel] = ""
        return [Tell(route, [CALLED, channel]), Accept(route, channel)]

    def _has(self, event: Said | Ended) -> bool:
        return event.channel in self.clients.get(event.route, {})

    def _ended(self, event: Ended) -> list[Any]:
        if not self._has(event):
            return []
        del self.clients[event.route][event.channel]
        return [Tell(event.route, [LOST, event.channel, event.reason.encode()])]

    def _arrived(self, route: bytes, frames: list[bytes]) -> list[Any]:
        match frames:
            case [kind, channel, data] if kind == DATA:
                known = channel in self.clients.get(route, {})
                return [Pass(route, channel, data)] if known else []  # it was lost; the client will hear
            case [kind, protocol, python] if kind == HELLO:
                return self._hello(route, protocol, python)
            case [kind, channel, peer] if kind == OPEN and route in self.clients:
                return self._open(route, channel, peer)
            case [kind, name] if kind == SERVE and route in self.clients:
                return self._serve(route, name.decode("ascii", "replace"))
            case [kind, channel] if kind == SHUT:
                known = self.clients.get(route, {}).pop(channel, None) is not None
                return [Disconnect(route, channel)] if known else []
        return [Tell(route, [REFUSED, b"it does not know what this client said"])]

    def _hello(self, route: bytes, protocol: bytes, python: bytes) -> list[Any]:
        if protocol != PROTOCOL:
            return self._refuse(
                route, "it has another version of cloudburst-nb: install the same on both sides"
            )
        if python != self.python.encode():
            theirs = python.decode(errors="replace")
            return self._refuse(
                route,
                f"it runs Python {self.python} and this is Python {theirs:.20}, between which functions "
                "cannot travel: use the same version on both sides",
            )
        self.clients.setdefault(route, {})
        return [Tell(route, [WELCOME, self.config])]

    def _serve(self, route: bytes, name: PeerName) -> list[Any]:
        if _servable.fullmatch(name) is None or route in self.serving:
            return self._refuse(route, f"it has no store {name:.20} to be served")
        self.serving[route] = name
        return [Listen(route, name)]

    def _refuse(self, route: bytes, why: str) -> list[Any]:
        return [Tell(route, [REFUSED, why.encode()])]

    def _open(self, route: bytes, channel: bytes, peer: bytes) -> list[Any]:
        channels = self.clients[route]
        name = peer.decode("ascii", "replace")
        if _reachable.fullmatch(name) is None or channel in channels or len(channels) >= CHANNELS_MAX:
            return [Tell(route, [LOST, channel, b"there is no such peer"])]
        channels[channel] = name
        return [Connect(route, channel, name)]
