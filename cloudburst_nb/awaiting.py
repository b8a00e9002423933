"""Awaiting a future on an asyncio event loop: there, too, whoever waits reads.

Law: the event loop watches the client's sockets while something is awaited, and reads them in its own
thread; a hop through the background thread would double the latency. That thread still takes over if the
event loop is busy with something else for long, so nothing depends on the event loop's diligence.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from cloudburst_nb.interrupting import shorten

if TYPE_CHECKING:
    from cloudburst_nb.future import CloudburstFuture
    from cloudburst_runtime.shell.loop import Loop

BEAT_SECONDS = 0.1
"""An interrupt of a notebook's top-level await is only noticed when the event loop turns."""


class Watch:
    """An event loop's interest in a client's sockets, for as long as something is awaited there."""

    def __init__(self, events: asyncio.AbstractEventLoop, loop: Loop) -> None:
        self._events = events
        self._loop = loop
        self._count = 0
        self._watching = -1

    def begin(self) -> None:
        """One more is awaited."""
        self._count += 1
        if self._count == 1:
            fd = self._loop.hub.fileno()
            if fd >= 0:
                with contextlib.suppress(NotImplementedError, OSError):
                    self._events.add_reader(fd, self._loop.glance)
                    self._watching = fd
            if self._watching < 0:
                self._loop.nudge()

    def end(self) -> None:
        """One less is awaited."""
        self._count -= 1
        if not self._count:
            if self._watching >= 0:
                self._events.remove_reader(self._watching)
                self._watching = -1
            _watches.pop((id(self._events), id(self._loop)), None)


_watches: dict[tuple[int, int], Watch] = {}


def _watch(events: asyncio.AbstractEventLoop, loop: Loop) -> Watch:
    return _watches.setdefault((id(events), id(loop)), Watch(events, loop))


async def arrival(future: CloudburstFuture) -> None:
    """Wait until ``future`` has its outcome; being cancelled cancels the call."""
    events = asyncio.get_running_loop()
    arrived = events.create_future()
    thread = threading.get_ident()

    def settle() -> None:
        if not arrived.done():
            arrived.set_result(None)

    def tell(_: CloudburstFuture) -> None:
        if threading.get_ident() == thread:
            settle()
            return
        with contextlib.suppress(RuntimeError):  # that event loop is closed: nobody waits there any more
            events.call_soon_threadsafe(settle)

    loop = future._client._shell.loop
    watch = _watch(events, loop)
    watch.begin()
    beat = _Beat(events, loop)
    try:
        future._subscribe(tell)
        await arrived
    except asyncio.CancelledError as error:
        future._give_up()
        shorten(error)
        raise
    finally:
        beat.stop()
        watch.end()


class _Beat:
    """Turns the event loop, and lets the client's timers fire, now and then."""

    def __init__(self, events: asyncio.AbstractEventLoop, loop: Loop) -> None:
        self._events = events
        self._loop = loop
        self._handle = events.call_later(BEAT_SECONDS, self._again)

    def _again(self) -> None:
        self._loop.glance()
        self._handle = self._events.call_later(BEAT_SECONDS, self._again)

    def stop(self) -> None:
        """No more."""
        self._handle.cancel()
