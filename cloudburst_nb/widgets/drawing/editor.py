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
from cloudburst_nb.widgets.drawing import placing, views
from cloudburst_nb.widgets.drawing.checking import marks, obstacle
from cloudburst_nb.widgets.drawing.copying import register_copies
from cloudburst_nb.widgets.drawing.editing import OPERATIONS, History, Refused, apply, refusals
from cloudburst_nb.widgets.drawing.palette import Palette
from cloudburst_nb.widgets.drawing.runs import Runs
from cloudburst_nb.widgets.drawing.sketch import Sketch
from cloudburst_nb.widgets.drawing.ticking import PERIOD_S, Ticker
from cloudburst_runtime.messages import DagSpec

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture


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
        self.message = ""
        self.runs = Runs()
        self._home: Client | None = None
        self._defined: DagSpec | None = spec if spec.nodes else None
        self._published_at = 0.0
        self._owed = self._going_on = False
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
            except (Refused, CloudburstError, TypeError, ValueError) as error:
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
            self.publish_palette()
            fresh = made.nodes.keys() - self.sketch.nodes.keys()
            made = placing.apart(made, fresh, views.words(made, self.known))
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
                with contextlib.suppress(Refused, CloudburstError):  # said when it is to run
                    register_copies(self._client(), self.sketch)
                    self._define()
                self.publish_palette()
                self.publish_graph()

    def _refresh(self) -> bool:
        before = self.palette.known
        try:
            changed = self.palette.refresh(self._client())
            self.runs.book.forget([name for name in before if self.known.get(name) != before[name]])
            return changed
        except CloudburstError as error:
            self.message = str(error)
            return False

    def hear(self, future: CloudburstFuture) -> None:
        """A cell has called the DAG: its times count (called by the client's loop, when it is done)."""
        self.runs.hear(future)
        self._ticker.wake()

    # ------------------------------------------------------------ running

    def _on_run(self, message: dict[str, Any]) -> None:
        self.runs.repeat(int(message.get("times") or 1))
        self._run(str(message.get("begin") or ""))

    def _run(self, start: str) -> None:
        sketch, client = self.sketch, self._client()
        self._refresh()
        why_not = obstacle(sketch, marks(sketch, self.known))
        if why_not:
            raise Refused(f"it cannot run yet: {why_not}")
        if start and start not in sketch.nodes:
            raise Refused(f"there is no node {start!r:.60} any more")
        self._define()
        versions = {name: each.version for name, each in self.known.items() if name in sketch.nodes}
        run = self.runs.begin(client, sketch, versions, start)
        self._begun.set()
        run.future._subscribe(lambda done: self._ticker.wake())
        self._ticker.wake()
        self.publish_status()

    def _stop(self) -> None:
        self.runs.stop()
        self._ticker.wake()

    def _rest(self) -> None:
        """Until the next beat. Whoever waits for a call reads its sockets: so it ends when it has ended."""
        run = self.runs.last
        if run is not None and run.state == "running":
            run.future._client._shell.wait(run.future._is_done, PERIOD_S)
        else:
            self._begun.wait(PERIOD_S)
            self._begun.clear()

    def _beat(self) -> bool:
        """Publish what has come since; whether more is to be expected."""
        with self._lock:
            self.catch_up()
            heard = self.runs.take_heard(list(self.sketch.nodes))
            before = self.runs.booked
            self._going_on = self.runs.follow()
            ended = self.runs.booked != before  # a short run ends before it was ever seen to go on
            self._repeat()
            self._owed = self._owed or heard or ended or self._going_on
            if self._owed and (
                (ended and not self._going_on) or time.monotonic() >= self._published_at + PERIOD_S
            ):
                self.publish_status()
            return self._settle() or self._going_on or self._owed

    def _repeat(self) -> None:
        run = self.runs.another()
        if run is None:
            return
        try:
            self._run(run.begin)
            self._going_on = True
        except (Refused, CloudburstError) as error:
            self.message, self.runs.left = str(error), 0

    def _settle(self) -> bool:
        """Whether something was drawn just now; once it was not, say so."""
        if self._drawn_at is None:
            return False
        if time.monotonic() < self._drawn_at + SETTLED_S:
            return True
        self._drawn_at = None
        self._settled()
        return False

    # ------------------------------------------------------------ questions

    def _on_targets(self, message: dict[str, Any]) -> None:
        source = str(message.get("source"))
        told = {"kind": "targets", "source": source, "refused": refusals(self.sketch, source)}
        self._tell({**told, "id": message["id"]})

    def _on_details(self, message: dict[str, Any]) -> None:
        name, run = str(message.get("node")), self.runs.numbered(message.get("run"))
        self._tell({"kind": "details", "id": message["id"], **views.details(name, run)})

    def _on_compare(self, message: dict[str, Any]) -> None:
        first, second = self.runs.numbered(message.get("a")), self.runs.numbered(message.get("b"))
        if first is None or second is None:
            raise Refused("two runs are compared: choose both")
        self._tell({"kind": "comparison", "id": message["id"], **views.comparison(first, second)})

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
        if self.runs.last is not None:  # what is stale may have changed
            self.publish_status()

    def publish_palette(self) -> None:
        """The functions."""
        self._publish({"palette": self.palette.published()})

    def publish_status(self) -> None:
        """The last run, and where the time goes."""
        self._published_at, self._owed = time.monotonic(), False
        runs = self.runs
        status = views.status(self.sketch, self.known, runs.kept, runs.book, runs.left)
        self._publish({"status": {**status, "message": self.message}})
