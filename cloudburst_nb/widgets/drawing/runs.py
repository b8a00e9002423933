"""The runs of one editor: the one under way, those before it, and where the time of all of them went.

Law: knows sketches, clients and futures; whether a sketch may run is for the editor to say, which also has
the lock: this is not for several threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudburst_nb.widgets.drawing import arguments, views
from cloudburst_nb.widgets.drawing.editing import Refused
from cloudburst_nb.widgets.drawing.measuring import Book, measured
from cloudburst_nb.widgets.drawing.running import Run, WatchedFuture
from cloudburst_nb.widgets.drawing.sketch import Sketch

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture

RUNS_MAX = 20
TIMES_MAX = 1000
LAST_WORDS_S = 2.0
"""How long values are waited for that come after the result."""


class Runs:
    """Begins runs, and keeps the last ones.

    Attributes
    ----------
    kept
        The last runs, in order.
    book
        What was measured, in calls from cells, too.
    left
        How often the last one is to be repeated.
    booked
        The number of the last one that has ended, and said all.
    """

    def __init__(self) -> None:
        self.kept: deque[Run] = deque(maxlen=RUNS_MAX)
        self.book = Book()
        self.left = 0
        self._heard: deque[CloudburstFuture] = deque(maxlen=TIMES_MAX)
        self._count = 0
        self.booked = 0
        self._ended_at = 0.0

    @property
    def last(self) -> Run | None:
        """The run under way, or the one before."""
        return self.kept[-1] if self.kept else None

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.last is not None and self.last.state == "running"

    def numbered(self, number: object) -> Run | None:
        """A run by its number; the last one for None."""
        if number is None:
            return self.last
        found = next((run for run in self.kept if run.number == number), None)
        if found is None:
            raise Refused(f"run {number} is not kept any more")
        return found

    # ------------------------------------------------------------ beginning

    def repeat(self, times: int) -> None:
        """Have the run that begins now repeated, so that it happens so often in all."""
        if not 1 <= times <= TIMES_MAX:
            raise Refused(f"it can be run 1 to {TIMES_MAX:,} times, not {times}")
        if self.running:
            raise Refused("it is running: wait, or stop it")
        self.left = times - 1

    def begin(self, client: Client, sketch: Sketch, versions: Mapping[str, int], start: str) -> Run:
        """Begin a run: at ``start``, with what is before it as it was in the last run; or from the sources.

        Raises
        ------
        Refused
            If there is nothing to begin with, or fixed arguments cannot be evaluated.
        """
        last = self._with_results() if start else None
        skipped = views.before(sketch, start) if start else set()
        pins = last.pins_for(sketch, start) if last is not None else {}
        if isinstance(pins, str):
            raise Refused(pins)
        future = _submit(client, sketch, arguments.evaluated(sketch, skipped), pins)
        kept = {name: last.value(name) for name in skipped} if last is not None else {}
        pinned = {name: value for name, value in kept.items() if value is not None}
        used = dict(versions)
        if last is not None:  # what was not run again is what it was
            used.update({name: last.versions[name] for name in skipped if name in last.versions})
        self._count += 1
        self._ended_at = 0.0
        run = Run(self._count, time.strftime("%H:%M:%S"), sketch, used, future, pinned, skipped, start)
        self.kept.append(run)
        return run

    def _with_results(self) -> Run:
        found = next((run for run in reversed(self.kept) if run.state in ("done", "failed")), None)
        if found is None:
            raise Refused("there is no run yet whose results could be kept: run the DAG from the start")
        return found

    def stop(self) -> None:
        """Give up the run under way, and what was to follow it."""
        self.left = 0
        if self.last is not None and self.running:
            self.last.future.cancel()

    # ------------------------------------------------------------ following

    def hear(self, future: CloudburstFuture) -> None:
        """A cell's call is done (called by the client's loop, with its lock held)."""
        self._heard.append(future)

    def take_heard(self, names: list[str]) -> bool:
        """Count what was heard; whether there was anything."""
        heard = bool(self._heard)
        while self._heard:
            result = self._heard.popleft()._result
            if result is not None and result.failure is None:
                self.book.add(measured(result.steps, names))
        return heard

    def follow(self) -> bool:
        """Look after the last run; whether it goes on, or has not said all yet."""
        run = self.last
        if run is None or self.booked == run.number:
            return False
        if run.state == "running":
            return True
        self._ended_at = self._ended_at or time.monotonic()
        if not run.over and time.monotonic() < self._ended_at + LAST_WORDS_S:
            return True
        self.booked = run.number
        if run.state == "done":
            self.book.add(run.measured())
        else:
            self.left = 0
        return False

    def another(self) -> Run | None:
        """The run that is to be repeated now, if one is."""
        run = self.last
        if run is None or not self.left or self.booked != run.number:
            return None
        self.left -= 1
        return run


def _submit(
    client: Client, sketch: Sketch, given: dict[str | None, list[Any]], pins: dict[str, Any]
) -> WatchedFuture:
    client._nodes[sketch.name] = list(sketch.nodes)
    future = client._submit(
        "dag",
        sketch.name,
        {name: (tuple(args), {}) for name, args in (given or {None: []}).items()},
        sketch.options.consistency,
        timeout=sketch.options.timeout,
        retries=sketch.options.retries,
        pinned=pins,
        make=WatchedFuture,
    )
    assert isinstance(future, WatchedFuture)
    return future
