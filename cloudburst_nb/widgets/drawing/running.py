"""One run of a DAG from the editor: its state node by node, its values, and what failed.

Law: a run reads what its future was told by messages; it asks nobody and waits for nothing. A node whose
inputs are all there is shown as running: what it waits for then is only its turn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from cloudburst_nb.display.tracebacks import named
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.widgets.drawing.measuring import Measured, measured
from cloudburst_nb.widgets.drawing.sketch import Sketch
from cloudburst_runtime.messages import Produced, Running, Step
from cloudburst_runtime.values import Value

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

TEXT_CHARACTERS_MAX = 20_000


class WatchedFuture(CloudburstFuture):
    """A future that hears of each task that is done.

    Attributes
    ----------
    produced
        By node, what the tasks that feed others gave.
    """

    __slots__ = ("produced",)

    def __init__(self, client: Client, number: int, target: str, nodes: list[str], submitted: float) -> None:
        super().__init__(client, number, target, nodes, submitted)
        self.produced: dict[int, Produced] = {}

    def observe(self, running: Running | Produced) -> None:
        """Take news (called by the loop)."""
        if isinstance(running, Running):
            super().observe(running)
            return
        before = self.produced.get(running.node)
        if before is None or before.attempt <= running.attempt:
            self.produced[running.node] = running


class Run:
    """A run.

    Attributes
    ----------
    number, began
        Its place among the runs of the editor, and when it began, as text.
    sketch, versions
        What ran: the drawing as of then, and the versions of its functions.
    pinned
        Results of an earlier run that were given on instead of being made again.
    begin
        The node that it began at; empty if it ran from the start.
    """

    def __init__(
        self,
        number: int,
        began: str,
        sketch: Sketch,
        versions: Mapping[str, int],
        future: WatchedFuture,
        pinned: Mapping[str, Value],
        skipped: Collection[str] = (),
        begin: str = "",
    ) -> None:
        self.number = number
        self.began = began
        self.sketch = sketch
        self.versions = dict(versions)
        self.future = future
        self.pinned = dict(pinned)
        self.skipped = frozenset(skipped)
        self.begin = begin
        self.names = list(sketch.nodes)

    # ------------------------------------------------------------ state

    @property
    def state(self) -> str:
        """``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``."""
        state = self.future._state()
        return "running" if state == "waiting" else state

    @property
    def over(self) -> bool:
        """Whether it has ended, and all that it gave is here."""
        result = self.future._result
        if result is None:
            return False
        sinks = set(self.sketch.sinks)
        feeding = [step.node for step in result.steps if self.names[step.node] not in sinks]
        failed = result.steps[-1].node if result.failure is not None and result.steps else None
        return all(node in self.future.produced or node == failed for node in feeding)

    def states(self) -> dict[str, str]:
        """By function: waiting, running, done, failed, cancelled, or pinned."""
        future, names = self.future, self.names
        states = {name: "pinned" if name in self.skipped else "waiting" for name in names}
        for node, produced in list(future.produced.items()):
            states[names[node]] = "done" if produced.failure is None else "failed"
        if future._result is not None:
            return self._final(states)
        for name in names:
            if states[name] == "waiting" and self._has_inputs(name, states):
                states[name] = "running"
        for node in list(future._news or ()):
            if states[names[node]] == "waiting":
                states[names[node]] = "running"
        return states

    def _has_inputs(self, name: str, states: Mapping[str, str]) -> bool:
        there = [states[source] in ("done", "pinned") for source in self.sketch.inputs[name]]
        once_per_input = self.sketch.nodes[name].invalid is not None
        return any(there) if once_per_input and there else all(there)

    def _final(self, states: dict[str, str]) -> dict[str, str]:
        result = self.future._result
        assert result is not None
        for step in result.steps:
            states[self.names[step.node]] = "done"
        if result.failure is None:
            return states
        # Nobody waits for the others any more, and what they give is dropped.
        states = {name: "cancelled" if state == "waiting" else state for name, state in states.items()}
        if self.state != "cancelled" and self.failed_at:
            states[self.failed_at] = "failed"
        return states

    @property
    def failed_at(self) -> str:
        """The function that failed, if one did."""
        result = self.future._result
        if result is None or result.failure is None or not result.steps or result.failure.kind != "user":
            return ""
        return self.names[result.steps[-1].node]

    @property
    def reason(self) -> str:
        """Why it failed, in one line: for an exception of user code as its traceback ends, with the class."""
        result = self.future._result
        failure = None if result is None else result.failure
        if failure is None:
            return ""
        if failure.kind == "user" and failure.traceback.strip():
            return failure.traceback.strip().splitlines()[-1]
        return failure.message

    @property
    def total_ms(self) -> float:
        """From the call to its outcome."""
        future = self.future
        return 0.0 if future._result is None else future._ended - future._submitted

    def steps(self) -> dict[str, Step]:
        """What is known of each function that ran."""
        found = {self.names[node]: produced.step for node, produced in list(self.future.produced.items())}
        if self.future._result is not None:
            found.update({self.names[step.node]: step for step in self.future._result.steps})
        return found

    def measured(self) -> Measured:
        """Where the time went."""
        return measured(self.steps().values(), self.names)

    # ------------------------------------------------------------ what came out

    def value(self, name: str) -> Value | None:
        """What a function gave, if it is here."""
        if name in self.pinned:
            return self.pinned[name]
        if name not in self.sketch.nodes:
            return None
        produced = self.future.produced.get(self.names.index(name))
        if produced is not None:
            return produced.value
        result = self.future._result
        return result.value if result is not None and name in self.sketch.sinks else None

    def printed(self, name: str) -> tuple[str, str]:
        """What it has printed, and written to stderr."""
        step: Any = self.steps().get(name)
        if step is None and name in self.sketch.nodes:
            step = (self.future._news or {}).get(self.names.index(name))
        return ("", "") if step is None else (step.stdout, step.stderr)

    def traceback(self, name: str) -> str:
        """The remote traceback, if it is this function that failed."""
        result = self.future._result
        if result is None or result.failure is None or name != self.failed_at:
            return ""
        return named(result.failure.traceback or result.failure.message)[-TEXT_CHARACTERS_MAX:]

    # ------------------------------------------------------------ what can be kept

    def pins_for(self, sketch: Sketch, begin: str) -> dict[str, Value] | str:
        """The results that a run which begins at ``begin`` needs of this one; or why there are none.

        Those that feed what runs again: ``begin`` and all that follows it.
        """
        import networkx

        runs = {begin, *networkx.descendants(sketch.graph, begin)}
        needed = {source for source, target in sketch.edges if target in runs and source not in runs}
        found = {name: self.value(name) for name in needed}
        missing = sorted(name for name, value in found.items() if value is None)
        if missing:
            return f"the last run has no result of {', '.join(missing)}: run the DAG from the start"
        return {name: value for name, value in found.items() if value is not None}

    def __repr__(self) -> str:
        return f"<run {self.number} of {self.sketch.name}: {self.state}>"
