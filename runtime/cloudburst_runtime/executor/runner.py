"""What is ready and what runs: the queue, batches, and tasks that another executor takes over.

Law: one task, or one batch, runs at a time; a task gets here with everything that it needs, and what
becomes of it afterwards is not known here.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from cloudburst_runtime.executor.load import LoadWatch
from cloudburst_runtime.executor.tasks import Execute, Task
from cloudburst_runtime.ids import Millis

Effects = list[Any]


class Runner:
    """Runs ready tasks in their order.

    Parameters
    ----------
    batch_max
        The most tasks of a batching function that run as one.
    load
        Is told when a task has to wait, and when there is nothing to do.

    Attributes
    ----------
    queue, running
        Tasks that are ready, and those that run: one, a batch, or none.
    since
        When what runs, or ran last, was begun.
    mean_run_ms
        How long a task takes, as a moving average.
    """

    def __init__(self, batch_max: int, load: LoadWatch) -> None:
        self._batch_max = batch_max
        self._load = load
        self.queue: deque[Task] = deque()
        self.running: list[Task] = []
        self.since: Millis = 0.0
        self.mean_run_ms = 0.0

    def add(self, task: Task, now: Millis) -> Effects:
        """A task is ready: run it, or let it wait for its turn."""
        task.state = "queued"
        task.ready_at = now
        if self.queue and (task.inputs or task.unused):
            self._insert(task)
        else:
            self.queue.append(task)
        return self._load.waits(now) if self.running else self.run_next(now)

    def _insert(self, task: Task) -> None:
        """What a call has begun goes before calls that have not begun, else in order of readiness."""
        place = len(self.queue)
        while place and not self.queue[place - 1].inputs and not self.queue[place - 1].unused:
            place -= 1
        self.queue.insert(place, task)

    def run_next(self, now: Millis) -> Effects:
        """Run the first in the queue, with its companions."""
        if not self.queue:
            return self._load.at_rest(now)
        task = self.queue.popleft()
        batch = [task]
        if task.batching and task.session is None:
            batch += self._companions(task)
        for member in batch:
            member.state = "running"
            if member.node is not None and member.node.invalid is not None:
                member.inputs = [member.unused.pop(0)]
        self.running = batch
        self.since = now
        return [Execute(batch)]

    def _companions(self, first: Task) -> list[Task]:
        """The other waiting requests of the same function, up to the batch's limit.

        A call at another level than ``lww`` runs by itself: what it sees is its own.
        """
        others = [
            task
            for task in self.queue
            if task.function is first.function and task.batching and task.session is None
        ]
        others = others[: self._batch_max - 1]
        for task in others:
            self.queue.remove(task)
        return others

    def ended(self, tasks: list[Task], now: Millis) -> None:
        """What ran has ended."""
        self.running = []
        self.mean_run_ms += 0.1 * ((now - self.since) / len(tasks) - self.mean_run_ms)

    def give_away(self, places_max: int) -> list[Task]:
        """Take up to so many tasks out of the queue that can go elsewhere, the first of them first."""
        given = [task for task in self.queue if task.complete][:places_max]
        for task in given:
            self.queue.remove(task)
        return given

    def validate(self) -> None:
        """Assert what must hold between events."""
        for task in self.queue:
            assert task.state == "queued", task
        for task in self.running:
            assert task.state == "running", task
        if self.queue:
            assert self.running, "tasks wait, and nothing runs"
