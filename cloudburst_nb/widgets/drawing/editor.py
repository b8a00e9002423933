"""One DAG on the drawing board: takes operations, keeps the runtime's definition the same, runs it.

Law: everything goes through one lock, since front ends, cells and the ticker come from threads of their own;
nothing here knows of widgets: what is to be seen goes to ``publish``, answers to one question to ``tell``.
A sketch that is a DAG is defined at once, so that the picture, its code and what a cell calls are the same.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cloudburst_nb.errors import CloudburstError
from cloudburst_nb.widgets.drawing import arguments, placing, views
from cloudburst_nb.widgets.drawing.checking import marks, obstacle
from cloudburst_nb.widgets.drawing.copying import register_copies
from cloudburst_nb.widgets.drawing.editing import OPERATIONS, History, Refused, apply, refusals
from cloudburst_nb.widgets.drawing.measuring import Book, measured
from cloudburst_nb.widgets.drawing.palette import Palette
from cloudburst_nb.widgets.drawing.running import Run, WatchedFuture
from cloudburst_nb.widgets.drawing.sketch import Sketch
from cloudburst_nb.widgets.drawing.ticking import PERIOD_S, Ticker
from cloudburst_runtime.messages import DagSpec

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture

RUNS_MAX = 20
TIMES_MAX = 1000
LAST_WORDS_S = 2.0
"""How long values are waited for that come after the result."""

SETTLED_S = 1.0
"""After so long without an operation the drawing counts as settled."""

Publish = Callable[[dict[str, Any]], None]


class Editor:
    """The editor of one DAG.

    Parameters
    ----------
    client
        Gives the client that is in use; may raise `RuntimeUnavailable`.
    spec
        The DAG; without nodes, an empty sheet.
    publish
        Takes what has changed of ``graph``, ``status`` and ``palette``.
    tell
        Takes an answer to one question.
    adopted
        Is told of each new definition.
    settled
        Is told when nothing was drawn for a while.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        spec: DagSpec,
        publish: Publish,
        tell: Publish,
        adopted: Callable[[DagSpec], None],
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._publish = publish
        self._tell = tell
        self._adopted = adopted
        self._settled = settled
        self._drawn_at: float | None = None
        self._news: deque[DagSpec | None] = deque()
        self._lock = threading.RLock()
        self._begun = threading.Event()
        self.palette = Palette()
        self.rev = 0
        self.runs: deque[Run] = deque(maxlen=RUNS_MAX)
        self.book = Book()
        self.message = ""
        self._home: Client | None = None
        self._defined: DagSpec | None = spec if spec.nodes else None
        self._heard: deque[CloudburstFuture] = deque(maxlen=TIMES_MAX)
        self._left = 0
        self._again: Callable[[], None] | None = None
        self._ended_at = self._published_at = 0.0
        self._booked = self._told = 0
        self._count = 0
        self._refresh()
        with contextlib.suppress(CloudburstError):
            self._home = client()
        self.history = History(self._arranged(Sketch.of(spec)))
        self._ticker = Ticker(self._beat, self._rest)
        self._questions: dict[str, Callable[[dict[str, Any]], object]] = {
            "undo": lambda message: self._step(self.history.undo, "undo"),
            "redo": lambda message: self._step(self.history.redo, "redo"),
            "arrange": lambda message: self._push(self._arranged(self.sketch)),
            "targets": self._on_targets,
            "run": self._on_run,
            "stop": lambda message: self._stop(),
            "details": self._on_details,
            "compare": self._on_compare,
            "refresh": lambda message: self.refresh(),
        }

    # ------------------------------------------------------------ what comes in

    @property
    def sketch(self) -> Sketch:
        """What is drawn now."""
        return self.history.now

    @property
    def known(self) -> dict[str, Any]:
        """The registered functions."""
        return self.palette.known

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take one operation from a front end; a refusal is told, with its reason."""
        given = dict(message)
        op, number = str(given.pop("op", "")), given.pop("id", 0)
        given.pop("rev", None)  # names say what is meant, whatever has changed meanwhile
        with self._lock:
            try:
                self.message = ""
                if op in self._questions:
                    self._questions[op]({**given, "id": number})
                else:
                    self._edit(op, given)
                self._tell({"kind": "done", "op": op, "id": number, "rev": self.rev})
            except (Refused, CloudburstError) as error:
                self._tell({"kind": "refused", "op": op, "id": number, "reason": str(error), "rev": self.rev})

    def _edit(self, op: str, given: dict[str, Any]) -> None:
        if op not in OPERATIONS:
            raise Refused(f"there is no operation {op!r:.40}")
        if op == "add" and "x" not in given:
            width = placing.width(str(given.get("function", "")), "")
            given["x"], given["y"] = placing.free_place(self.sketch, width)
        made = apply(self.sketch, op, given, self.known)
        if op == "duplicate":
            register_copies(self._client(), made)
            self._refresh()
        self._push(made)

    def _push(self, sketch: Sketch) -> None:
        self.history.push(sketch)
        self._define()
        self.publish_graph()

    def _step(self, go: Callable[[], bool], word: str) -> None:
        if not go():
            raise Refused(f"there is nothing to {word}")
        self._define()
        self.publish_graph()

    def _define(self) -> None:
        """Make the runtime's definition that of the sketch, if it is a DAG."""
        spec, client = self.sketch.spec, self._client()
        if client is not self._home:  # another runtime, which knows nothing of it
            self._home, self._defined = client, None
        if spec == self._defined or obstacle(self.sketch, marks(self.sketch, self.known)):
            return
        register_copies(client, self.sketch)
        self._defined = spec  # before: the client's word of this definition is not news here
        client._define(spec, replace=True)
        self._adopted(spec)

    # ------------------------------------------------------------ what cells do

    def notice(self, spec: DagSpec | None) -> None:
        """The DAG was defined anew, or (None) a function was registered: the ticker takes it from here.

        Whoever says so may hold a lock that an operation under way wants.
        """
        self._news.append(spec)
        self._ticker.wake()

    def catch_up(self) -> None:
        """Take what was noticed."""
        with self._lock:
            while self._news:
                spec = self._news.popleft()
                if spec is not None:
                    self._adopt(spec)
                elif None not in self._news:
                    self.refresh()

    def _adopt(self, spec: DagSpec) -> None:
        if spec == self._defined:
            return
        self._defined = spec
        self._refresh()
        made = Sketch.of(spec, self.sketch)
        if set(made.nodes) != set(self.sketch.nodes) or dict(made.inputs) != dict(self.sketch.inputs):
            made = self._arranged(made)
        self.history.push(made)
        self._adopted(spec)
        self.publish_palette()
        self.publish_graph()

    def refresh(self) -> None:
        """Look at the registered functions again."""
        with self._lock:
            if self._refresh():
                self._define()
                self.publish_palette()
                self.publish_graph()

    def _refresh(self) -> bool:
        before = self.palette.known
        try:
            changed = self.palette.refresh(self._client())
            self.book.forget([name for name in before if self.known.get(name) != before[name]])
            return changed
        except CloudburstError as error:
            self.message = str(error)
            return False

    def hear(self, future: CloudburstFuture) -> None:
        """A cell has called the DAG: its times count (called by the client's loop, when it is done)."""
        self._heard.append(future)
        self._ticker.wake()

    # ------------------------------------------------------------ running

    def _on_run(self, message: dict[str, Any]) -> None:
        begin, times = str(message.get("begin") or ""), int(message.get("times") or 1)
        if not 1 <= times <= TIMES_MAX:
            raise Refused(f"it can be run 1 to {TIMES_MAX:,} times, not {times}")
        if self.running:
            raise Refused("it is running: wait, or stop it")
        self._left = times - 1
        self._again = lambda: self._run(begin)
        self._run(begin)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return bool(self.runs) and self.runs[-1].state == "running"

    def _run(self, begin: str) -> None:
        sketch, client = self.sketch, self._client()
        self._refresh()
        why_not = obstacle(sketch, marks(sketch, self.known))
        if why_not:
            raise Refused(f"it cannot run yet: {why_not}")
        if begin and begin not in sketch.nodes:
            raise Refused(f"there is no node {begin!r:.60} any more")
        self._define()
        last = self._last_with_results() if begin else None
        if begin and last is None:
            raise Refused("there is no run yet whose results could be kept: run the DAG from the start")
        pins = last.pins_for(sketch, begin) if last is not None else {}
        if isinstance(pins, str):
            raise Refused(pins)
        skipped = views.before(sketch, begin) if begin else set()
        given = arguments.evaluated(sketch, skipped)
        future = self._submit(client, sketch, given, pins)
        self._count += 1
        kept = {name: last.value(name) for name in skipped} if last is not None else {}
        pinned = {name: value for name, value in kept.items() if value is not None}
        versions = {name: each.version for name, each in self.known.items() if name in sketch.nodes}
        if last is not None:  # what was not run again is what it was
            versions.update({name: last.versions[name] for name in skipped if name in last.versions})
        began = time.strftime("%H:%M:%S")
        self.runs.append(Run(self._count, began, sketch, versions, future, pinned, skipped, begin))
        self._ended_at = 0.0
        self._begun.set()
        future._subscribe(lambda done: self._ticker.wake())
        self._ticker.wake()
        self.publish_status()

    def _last_with_results(self) -> Run | None:
        return next((run for run in reversed(self.runs) if run.state in ("done", "failed")), None)

    @staticmethod
    def _submit(
        client: Client, sketch: Sketch, given: dict[str | None, list[Any]], pins: dict[str, Any]
    ) -> WatchedFuture:
        options = sketch.options
        client._nodes[sketch.name] = list(sketch.nodes)
        future = client._submit(
            "dag",
            sketch.name,
            {name: (tuple(args), {}) for name, args in given.items()},
            options.consistency,
            None,
            options.timeout,
            None,
            options.retries,
            pins,
            WatchedFuture,
        )
        assert isinstance(future, WatchedFuture)
        return future

    def _stop(self) -> None:
        self._left = 0
        if self.running:
            self.runs[-1].future.cancel()
            self._ticker.wake()

    def _rest(self) -> None:
        """Until the next beat. Whoever waits for a call reads its sockets: so it ends when it has ended."""
        run = self.runs[-1] if self.runs else None
        if run is not None and run.state == "running":
            run.future._client._shell.wait(run.future._is_done, PERIOD_S)
        else:
            self._begun.wait(PERIOD_S)
            self._begun.clear()

    def _beat(self) -> bool:
        """Publish what has come since; whether more is to be expected."""
        with self._lock:
            self.catch_up()
            while self._heard:
                heard = self._heard.popleft()
                if heard._result is not None and heard._result.failure is None:
                    self.book.add(measured(heard._result.steps, list(self.sketch.nodes)))
            goes_on = self._follow()
            early = time.monotonic() < self._published_at + PERIOD_S
            if not early or (self.runs and not goes_on and self._told != self.runs[-1].number):
                self.publish_status()
            return self._settle() or goes_on or early

    def _settle(self) -> bool:
        """Whether something was drawn just now; once it was not, say so."""
        if self._drawn_at is None:
            return False
        if time.monotonic() < self._drawn_at + SETTLED_S:
            return True
        self._drawn_at = None
        self._settled()
        return False

    def _follow(self) -> bool:
        """Look after the run that is under way; whether it goes on."""
        if not self.runs or self._booked == self.runs[-1].number:
            return False
        run = self.runs[-1]
        if run.state == "running":
            return True
        self._ended_at = self._ended_at or time.monotonic()
        if not run.over and time.monotonic() < self._ended_at + LAST_WORDS_S:
            return True
        self._booked = run.number
        if run.state == "done":
            self.book.add(run.measured())
        if run.state != "done" or not self._left or self._again is None:
            self._left = 0
            return False
        self._left -= 1
        try:
            self._again()
        except (Refused, CloudburstError) as error:
            self.message, self._left = str(error), 0
            return False
        return True

    # ------------------------------------------------------------ questions

    def _on_targets(self, message: dict[str, Any]) -> None:
        source = str(message.get("source"))
        told = {"kind": "targets", "source": source, "refused": refusals(self.sketch, source)}
        self._tell({**told, "id": message["id"]})

    def _on_details(self, message: dict[str, Any]) -> None:
        name, run = str(message.get("node")), self._run_numbered(message.get("run"))
        self._tell({"kind": "details", "id": message["id"], **views.details(name, run)})

    def _on_compare(self, message: dict[str, Any]) -> None:
        first, second = self._run_numbered(message.get("a")), self._run_numbered(message.get("b"))
        if first is None or second is None:
            raise Refused("two runs are compared: choose both")
        self._tell({"kind": "comparison", "id": message["id"], **views.comparison(first, second)})

    def _run_numbered(self, number: object) -> Run | None:
        """A run by its number; the last one for none."""
        if number is None:
            return self.runs[-1] if self.runs else None
        found = next((run for run in self.runs if run.number == number), None)
        if found is None:
            raise Refused(f"run {number} is not kept any more")
        return found

    # ------------------------------------------------------------ what goes out

    def _arranged(self, sketch: Sketch) -> Sketch:
        return placing.arranged(sketch, views.words(sketch, self.known))

    def publish_all(self) -> None:
        """Everything, for whoever has nothing yet."""
        with self._lock:
            self.publish_palette()
            self.publish_graph()
            self.publish_status()

    def publish_graph(self) -> None:
        """The drawing, with all that is wrong with it, and its code."""
        self.rev += 1
        self._drawn_at = time.monotonic()
        self._ticker.wake()
        self._publish({"graph": views.graph(self.sketch, self.known, self.history, self.rev)})
        if self.runs:  # what is stale may have changed
            self.publish_status()

    def publish_palette(self) -> None:
        """The functions."""
        self._publish({"palette": self.palette.published()})

    def publish_status(self) -> None:
        """The last run, and where the time goes."""
        self._published_at = time.monotonic()
        self._told = 0 if not self.runs or self.running else self.runs[-1].number
        status = views.status(self.sketch, self.known, self.runs, self.book, self._left)
        self._publish({"status": {**status, "message": self.message}})
