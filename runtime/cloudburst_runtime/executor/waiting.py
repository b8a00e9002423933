"""What a task waits for until it is ready: its plan, its inputs, its references, its function, in this order.

Law: a waiting task occupies nothing. `Waiting.advance` moves it on as far as it goes whenever something
has come, and hands it to ``ready`` in the end; or to ``fail``, if what it waits for will never come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from cloudburst_runtime.effects import SetTimer
from cloudburst_runtime.executor.catalog import Catalog, unknown
from cloudburst_runtime.executor.operations import Operations
from cloudburst_runtime.executor.outgoing import news
from cloudburst_runtime.executor.tasks import Known, Task
from cloudburst_runtime.ids import Millis, PeerName, TaskId
from cloudburst_runtime.messages import Failure, Pin

Effects = list[Any]
Fail: TypeAlias = Callable[[Task, Failure, Millis], Effects]

WANTED_AFTER = 10
"""After so many resend intervals it is asked whether a waiting task is still wanted."""

TIMER = "wanted"


class Waiting:
    """The waiting tasks of one executor.

    Parameters
    ----------
    name
        The executor's name.
    resend_ms
        The unit of `WANTED_AFTER`.
    tasks
        The executor's tasks, of which those in state ``"waiting"`` matter here.
    catalog, operations
        Where plans and functions, and where the values of references come from.
    ready
        Takes a task that has everything it needs.
    fail
        Takes a task that misses something for good, and why.
    exhausted
        Takes a MULTIEXEC task all of whose inputs came and gave nothing valid.
    """

    def __init__(
        self,
        name: PeerName,
        resend_ms: Millis,
        tasks: dict[TaskId, Task],
        catalog: Catalog,
        operations: Operations,
        ready: Callable[[Task, Millis], Effects],
        fail: Fail,
        exhausted: Fail,
    ) -> None:
        self._name = name
        self._wanted_after = WANTED_AFTER * resend_ms
        self._tasks = tasks
        self._catalog = catalog
        self._operations = operations
        self._ready = ready
        self._fail = fail
        self._exhausted = exhausted
        self._armed = False

    def advance(self, task: Task, now: Millis) -> Effects:
        """Move a waiting task on as far as it goes."""
        if task.state != "waiting" or task.cancelled:
            return []
        known = task.known
        if known is None:
            known = self._catalog.plans.get(task.header.plan)
            if known is None:
                return self._catalog.fetch(task.header.plan, now)
            task.known = known
            task.node = known.plan.nodes[task.id.node]
        if not (task.started if known.single else _take_inputs(task, known)):
            failure = _nothing_valid(task, known)
            return self._ask_later(now) if failure is None else self._exhausted(task, failure, now)
        if task.header.session is not None:
            self._operations.levels.ready(task)
        if task.args is not None and task.args.refs and task.resolved is None:
            return self._resolve(task, now)
        if task.function is None:
            node = task.id.node
            key = (known.plan.nodes[node].function, known.plan.versions[node])
            task.function = self._catalog.functions.get(key)
            if task.function is None:
                return self._catalog.fetch(key, now)
        return self._ready(task, now)

    def _resolve(self, task: Task, now: Millis) -> Effects:
        """Read the references; once all of them exist, the task goes on."""
        if task.reading:
            return []
        assert task.args is not None
        refs = task.args.refs

        def resolved(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return self._fail(task, result, later)
            task.resolved = {ref.slot: lattice for ref, lattice in zip(refs, result, strict=True)}
            return self.advance(task, later)

        keys = [ref.key for ref in refs]
        effects = self._operations.read(task, keys, resolved, now, wait=True)
        return effects + self._ask_later(now) if task.reading else effects

    # ------------------------------------------------------------ plans and functions

    def on_pin(self, message: Pin, now: Millis) -> Effects:
        """Plans and functions have come, or the word that there are none of that name."""
        self._catalog.learn(message)
        effects: Effects = []
        for task in self._waiting():
            failure = unknown(task, message.missing)
            if failure is not None:
                effects += self._fail(task, failure, now)
            elif task.known is None or task.function is None:
                effects += self.advance(task, now)
        return effects

    def on_fetch_timer(self, now: Millis) -> Effects:
        """Ask again for what is still missing."""
        self._catalog.despair()
        effects: Effects = []
        for task in self._waiting():
            if task.known is None or task.function is None:
                effects += self.advance(task, now)
        return effects

    def _waiting(self) -> list[Task]:
        return [task for task in self._tasks.values() if task.state == "waiting"]

    # ------------------------------------------------------------ whether it is still wanted

    def _ask_later(self, now: Millis) -> Effects:
        """A task waits. Its `Cancel` may have been lost: so ask now and then whether it is still wanted."""
        if self._armed:
            return []
        self._armed = True
        return [SetTimer(TIMER, now + self._wanted_after)]

    def on_wanted(self, now: Millis) -> Effects:
        """Tell the callers of the tasks that wait."""
        self._armed = False
        waiting = self._waiting()
        if not waiting:
            return []
        return [*(news(task, self._name) for task in waiting), *self._ask_later(now)]


def _take_inputs(task: Task, known: Known) -> bool:
    """Put the inputs into the order of the edges, once all have come that the task needs."""
    node = task.id.node
    predecessors = known.topology.preds[node]
    if not predecessors:
        return task.started
    if node in task.header.fixed and not task.started:
        return False
    assert task.node is not None
    if task.node.invalid is not None:
        return bool(task.unused)
    if len(task.triggers) < len(predecessors):
        return False
    task.inputs = [task.triggers[source] for source in predecessors]
    return True


def _nothing_valid(task: Task, known: Known) -> Failure | None:
    """Why a MULTIEXEC task can give nothing any more, if all its inputs came and gave nothing valid."""
    assert task.node is not None
    expected = len(known.topology.preds[task.id.node])
    if task.node.invalid is None or task.unused or not expected or len(task.triggers) < expected:
        return None
    message = f"each of the {len(task.triggers)} inputs of {task.node.function!r} gave an invalid result"
    return task.last_failure or Failure("CloudburstError", message)
