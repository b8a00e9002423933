"""What a core may ask of the world, and how it is told of events.

Law: a core is a plain object with ``start`` and ``handle``; it has no clock, socket, thread, randomness,
environment or file. Time comes in as an argument, everything else as an event; what is to be done goes
out as a list of effects, which the shell (or the simulator) carries out in order.

::

    Received, PeerLost, Timer  ──►  core.handle(event, now)  ──►  Send, SetTimer, Persist, Execute, …

Events and effects that only one core knows stand beside that core (``client.core``, ``executor.core``,
``scheduler.core``); those that all of them share stand here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from .ids import Millis, PeerName
    from .messages import Failure, Message


class Record(msgspec.Struct, frozen=True, gc=False):
    """The base of events and effects: made and compared in C, which a call's latency notices.

    They live for one event and are in no reference cycle, so the garbage collector need not look at them.
    """


class Received(Record, frozen=True):
    """A message arrived from ``peer``."""

    peer: PeerName
    message: Message


class PeerLost(Record, frozen=True):
    """The connection to ``peer`` ended: it is gone, cannot be reached, or ``runs`` and wants none."""

    peer: PeerName
    reason: str = ""
    runs: bool = False


class Timer(Record, frozen=True):
    """The timer set under ``key`` is due."""

    key: str


class Send(Record, frozen=True):
    """Send ``message`` to ``peer``, connecting if need be. May be lost; never raises."""

    peer: PeerName
    message: Message


class SetTimer(Record, frozen=True):
    """Wake the core at ``due`` with ``Timer(key)``; replaces an earlier timer of that key."""

    key: str
    due: Millis


class Persist(Record, frozen=True):
    """Write ``record`` (of `anna.durable.Kept`) under ``place``; None removes what is there.

    What the same event has sent is sent when that is done, and so is everything after it. ``sync=False``: it
    need not be waited for, and is done soon. ``undo`` is the core's own: what it needs to take this back.
    ``moved``: another store has it already, so no limit but the disk's own may keep it from being here.
    ``spare``: what the same event has sent holds without it.
    """

    place: bytes
    record: Any
    sync: bool = True
    undo: Any = None
    moved: bool = False
    spare: bool = False


class Load(Record, frozen=True):
    """Read what is under ``places``, answer with `Loaded`, then bring ``event`` again."""

    places: list[bytes]
    event: Any


class Loaded(Record, frozen=True):
    """By place, what was read: None if nothing is there, a text for people if it is damaged."""

    found: dict[bytes, Any]


class Unwritten(Record, frozen=True):
    """What ``event`` was to persist could not be written, and what it was to send was not sent.

    Without an event: what was sent held without it.
    """

    event: Any
    persists: list[Persist]
    failure: Failure


class Core(Protocol):
    """Scheduler, Anna replica, cache, executor, client."""

    def start(self, now: Millis) -> list[Any]:
        """The effects that bring the core to life."""
        ...

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event; return what is to be done, in order."""
        ...
