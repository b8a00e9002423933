"""Waiting for many calls and showing how far they are.

Law: everything is shown by the thread that waits, so that it lands in the cell that asked; no more often than
every `PERIOD_S`. Where it is shown is found out once: in a notebook with a front end as a live display, which
is plain HTML at the end, so that a saved notebook shows the outcome; in a terminal as one line that
is written over; elsewhere (a file, a notebook run headless) once, at the end.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from cloudburst_nb.display.tally import Tally
from cloudburst_nb.errors import CallTimeout
from cloudburst_nb.widgets.cards import TallyCard
from cloudburst_nb.widgets.showing import HEADLESS, Display, displays, kernel_shell
from cloudburst_runtime.seconds import to_wait

if TYPE_CHECKING:
    from cloudburst_nb.future import CloudburstFuture

PERIOD_S = 0.1


class View(Protocol):
    """Somewhere to show a tally."""

    def show(self, tally: Tally, seconds: float) -> None:
        """How far it is now."""

    def end(self, tally: Tally, seconds: float) -> None:
        """The last word; also when the wait was broken off."""


class Final:
    """One line, at the end; none where there is no stream, as in a program without a console."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def show(self, tally: Tally, seconds: float) -> None:
        """Nobody is there to see it."""

    def end(self, tally: Tally, seconds: float) -> None:
        if self.stream is not None:
            self.stream.write(f"{tally.line(seconds)}\n")
            self.stream.flush()


class Terminal:
    """One line, written over and over."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def show(self, tally: Tally, seconds: float) -> None:
        columns = shutil.get_terminal_size().columns
        self.stream.write(f"\r\x1b[K{tally.bar(seconds, columns)}")
        self.stream.flush()

    def end(self, tally: Tally, seconds: float) -> None:
        self.show(tally, seconds)
        self.stream.write("\n")
        self.stream.flush()


class Page:
    """HTML in a notebook that is run headless: the outcome only."""

    def show(self, tally: Tally, seconds: float) -> None:
        """Nobody is there to see it."""

    def end(self, tally: Tally, seconds: float) -> None:
        from IPython.display import display

        display(_bundle(tally, seconds), raw=True)  # type: ignore[no-untyped-call]


class Widget:
    """A live display in a notebook, which leaves plain HTML behind."""

    def __init__(self, futures: Sequence[CloudburstFuture] = ()) -> None:
        self._futures = futures
        self._display: Display | None = None
        self._card: TallyCard | None = None

    def show(self, tally: Tally, seconds: float) -> None:
        if self._display is None or self._card is None:
            self._card = TallyCard(tally, seconds, self._futures)
            self._display = Display(self._card)
            self._display.begin()
        else:
            self._card.seconds = seconds
            self._display.tell()

    def end(self, tally: Tally, seconds: float) -> None:
        if self._display is None or self._card is None:
            Page().end(tally, seconds)
            return
        self._card.seconds = seconds
        self._card.ended = True
        displays.end(self._display)


def _bundle(tally: Tally, seconds: float) -> dict[str, str]:
    return {"text/plain": tally.line(seconds), "text/html": tally.html(seconds)}


def view(futures: Sequence[CloudburstFuture]) -> View:
    """Where this process shows progress."""
    if kernel_shell() is not None:
        return Page() if os.environ.get(HEADLESS) else Widget(futures)
    stream = sys.stderr
    return Terminal(stream) if stream is not None and stream.isatty() else Final(stream)


def watch(
    futures: Sequence[CloudburstFuture], timeout: float | None, where: View | None = None
) -> list[CloudburstFuture]:
    """Wait until all are done, and show it meanwhile; see `Client.progress`."""
    timeout = to_wait(timeout)
    start = time.monotonic()
    watched = _Watched(futures)
    where = view(futures) if where is None else where
    try:
        while not watched.wait(start, timeout):
            where.show(watched.tally, time.monotonic() - start)
    except KeyboardInterrupt:
        for future in futures:
            future._give_up()
        raise
    finally:
        watched.count()
        if watched.futures:
            where.end(watched.tally, time.monotonic() - start)
    return list(futures)


class _Watched:
    """Futures, of which each is counted once, when it has ended."""

    def __init__(self, futures: Sequence[CloudburstFuture]) -> None:
        self.futures = list(dict.fromkeys(futures))
        self.tally = Tally(future._target for future in self.futures)
        self._arrived: list[CloudburstFuture] = []
        for future in self.futures:
            future._subscribe(self._arrived.append)

    def wait(self, start: float, timeout: float | None) -> bool:
        """Wait for a moment; True once all have ended."""
        left = PERIOD_S if timeout is None else min(PERIOD_S, start + timeout - time.monotonic())
        first = next((future for future in self.futures if not future.done()), None)
        if first is not None:
            first._client._shell.wait(self._all_ended, max(0.0, left))
        self.count()
        if self._all_ended():
            return True
        if timeout is not None and time.monotonic() >= start + timeout:
            unfinished = len(self.futures) - self.tally.over
            raise CallTimeout(
                f"{unfinished:,} of {len(self.futures):,} calls are not done within {timeout:g} s; they go on"
            )
        return False

    def _all_ended(self) -> bool:
        return len(self._arrived) >= len(self.futures)

    def count(self) -> None:
        """Take note of those that have ended since, and of those that run."""
        for future in self._arrived[self.tally.over :]:
            self.tally.ended(future._target, future._state())
        self.tally.run(future._target for future in self.futures if future.running())
