"""What comes of a task: its result, or its failure, for the client or for the steps that follow.

Law: a task ends once. What it gives is kept for a repetition, and goes out after all that is to be in the
store by then: what it wrote under an output key, or at ``atomic`` all that its call wrote. With the call's
last step, nothing is kept for the attempt any more, here and elsewhere.

A failure ends the whole call, unless each of the steps that follow can do without this input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.effects import Send
from cloudburst_runtime.executor.operations import Operations
from cloudburst_runtime.executor.outgoing import Outputs, keepers, outputs, plain_result
from cloudburst_runtime.executor.past import Past
from cloudburst_runtime.executor.releases import Releases
from cloudburst_runtime.executor.tasks import Outcome, Task
from cloudburst_runtime.ids import HybridClock, Millis, PeerName, TaskId
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.lattices.causal import draft
from cloudburst_runtime.levels import CAUSAL
from cloudburst_runtime.messages import Failure
from cloudburst_runtime.values import Value
from cloudburst_runtime.vectors import joined

Effects = list[Any]


class Endings:
    """How the tasks of one executor end.

    Parameters
    ----------
    output_kept_bytes_max
        What a larger value gave is not kept for a repetition.
    name, clock
        As of the executor's core.
    tasks
        The executor's tasks: one that has ended is none of them any more.
    past, operations, releases
        The executor's: what is kept of a task, the store, and the word that an attempt is over.
    deliver
        Sends outputs to others, and gives those for this executor to itself.
    next_input
        Takes a MULTIEXEC task whose last input gave nothing.
    """

    def __init__(
        self,
        output_kept_bytes_max: int,
        name: PeerName,
        clock: HybridClock,
        tasks: dict[TaskId, Task],
        past: Past,
        operations: Operations,
        releases: Releases,
        deliver: Callable[[Outputs, Millis], Effects],
        next_input: Callable[[Task, Millis], Effects],
    ) -> None:
        self._output_kept_bytes_max = output_kept_bytes_max
        self._name = name
        self._clock = clock
        self._tasks = tasks
        self._past = past
        self._operations = operations
        self._releases = releases
        self._deliver = deliver
        self._next_input = next_input

    # ------------------------------------------------------------ a value

    def plain(self, task: Task, outcome: Outcome) -> Effects:
        """The common case, without detours: a result for the client is all that comes of it."""
        floor = joined(task.floor, self._operations.cache.floor)
        result = plain_result(task, outcome, self._name, self._clock.last, floor)
        del self._tasks[task.id]
        self._keep(task, [(task.id.client, result)], outcome.value)
        return [Send(task.id.client, result)]

    def succeed(self, task: Task, value: Value, now: Millis) -> Effects:
        """A task gave a value: store what is to be stored first, and send it."""
        if not task.targets and self._operations.levels.level(task) == "atomic":
            return self._publish(task, value, now)
        if task.header.output_key is not None and not task.targets:
            return self._store_output(task, task.header.output_key, value, now)
        return self._end(task, value, None, task.targets, now)

    def _publish(self, task: Task, value: Value, now: Millis) -> Effects:
        """The call is over: its writes are published, all or none, and then its result."""
        assert task.session is not None
        if task.header.output_key is not None:
            task.session.writes[task.header.output_key] = LWW(self._clock.tick(now), self._name, value)
        if not task.session.writes:
            return self._end(task, value, None, (), now)
        task.state = "storing"

        def published(result: Value | Failure, attempt: int, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return self.fail(task, result, later)
            task.published = None if attempt == task.id.attempt else attempt
            return self._end(task, result, None, (), later)

        return self._operations.publishing.publish(task, value, published, now)

    def _store_output(self, task: Task, key: str, value: Value, now: Millis) -> Effects:
        """Write the result under the call's output key first: who has the result finds the write."""
        task.state = "storing"

        def stored(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return self.fail(task, result, later)
            levels.wrote(task, key, result)
            return self._end(task, value, None, (), later)

        levels = self._operations.levels
        op = self._operations.begin(stored)
        made = draft if levels.level(task) in CAUSAL else LWW
        lattice = made(self._clock.tick(now), self._name, value)
        written = self._operations.cache.write(op, key, lattice, now, terms=levels.terms(task, key))
        return self._operations.pass_on(written, now)

    # ------------------------------------------------------------ a failure

    def fail(self, task: Task, failure: Failure, now: Millis) -> Effects:
        """A task failed: so does its call, unless what follows can do without this input."""
        if task.known is None:
            return self.fail_call(task, failure, now)
        if task.node is not None and task.node.invalid is not None:
            task.last_failure = failure
            return self._next_input(task, now)
        nodes = task.known.plan.nodes
        if any(nodes[target].invalid is None for target in task.targets):
            return self.fail_call(task, failure, now)
        return self._end(task, None, failure, task.targets, now)

    def fail_call(self, task: Task, failure: Failure, now: Millis) -> Effects:
        """The whole call fails."""
        return self._end(task, None, failure, (), now)

    # ------------------------------------------------------------ the end

    def _end(
        self, task: Task, value: Value | None, failure: Failure | None, targets: tuple[int, ...], now: Millis
    ) -> Effects:
        """The task is done: send what it gave, and keep that for a repetition."""
        self._tasks.pop(task.id, None)
        if task.session is None:  # it may fail before its inputs are there
            self._operations.levels.begin(task, task.header.session)
        if targets:
            self._operations.snapshots.hand_on(task)
        floor = joined(task.floor, self._operations.cache.floor)
        sent = outputs(task, value, failure, targets, self._clock.last, floor)
        self._keep(task, sent, value)
        effects = self._deliver(sent, now)
        kept_by = [] if targets else keepers(task)
        if kept_by:  # nothing is to be kept for the attempt any more, here and elsewhere
            effects += self._releases.add(task.id[:3], kept_by, now)
        return [*effects, *self._operations.snapshots.watch(now)]

    def _keep(self, task: Task, sent: Outputs, value: Value | None) -> None:
        """For a repetition, unless it is large."""
        small = value is None or value.nbytes <= self._output_kept_bytes_max
        self._past.finish(task.id, sent if small else None)
