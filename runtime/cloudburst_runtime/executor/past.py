"""What became of tasks that are not here any more: finished, moved, cancelled, or of a client that is gone.

Law: a message about such a task is a repetition, and `reply` says what to answer; nothing here makes a
task, or runs one twice. All of it is bounded: of outcomes that were dropped to make room, only the latest
call of each client is remembered, so that a task before it *may be* done.
"""

from __future__ import annotations

import msgspec

from cloudburst_runtime.executor.bounded import BoundedDict
from cloudburst_runtime.executor.outgoing import Outputs
from cloudburst_runtime.executor.tasks import Away, Finished
from cloudburst_runtime.ids import PeerName, TaskId
from cloudburst_runtime.messages import Cancel, Gone, Message, Moved, Trigger


class Past:
    """The memory of one executor.

    Parameters
    ----------
    entries_min
        How many entries of each kind are kept at least.

    Examples
    --------
    >>> past = Past(entries_min=100)
    >>> task = TaskId("c1", 1, 0, 0)
    >>> past.reply(task) is None
    True
    >>> past.finish(task, None)
    >>> past.reply(task)
    [('c1', Gone(number=1, attempt=0, node=0))]
    """

    def __init__(self, entries_min: int) -> None:
        self.finished: BoundedDict[TaskId, Finished] = BoundedDict(entries_min, self._forgotten)
        self.moved: BoundedDict[TaskId, Away] = BoundedDict(entries_min)
        self._evicted: BoundedDict[PeerName, int] = BoundedDict(entries_min)
        self._gone: BoundedDict[PeerName, bool] = BoundedDict(entries_min)
        self._cancelled: BoundedDict[tuple[PeerName, int, int], bool] = BoundedDict(entries_min)

    def reply(self, task_id: TaskId) -> Outputs | None:
        """What to send to whom about a task that is not here; None if it is new.

        A task is complete when it is moved, so a message about it is a repetition: the client asks there.
        """
        if (done := self.finished.get(task_id)) is not None:
            return _again(task_id, done)
        if self.moved and (away := self.moved.get(task_id)) is not None:
            return [(task_id.client, _moved(task_id, away))]
        if self._cancelled and task_id[:3] in self._cancelled:
            return []
        return [] if self._gone and task_id.client in self._gone else None

    def may_be_done(self, task_id: TaskId) -> bool:
        """Whether a task of which nothing is known may have been finished here, and dropped since."""
        return task_id.number <= self._evicted.get(task_id.client, -1)

    # ------------------------------------------------------------ what happens to tasks

    def finish(self, task_id: TaskId, outputs: Outputs | None) -> None:
        """A task ended; its outputs are None if they are too large to keep."""
        self.finished[task_id] = Finished(outputs)

    def move(self, task_id: TaskId, away: Away) -> Moved:
        """A task was handed over; returns what its client is to be told."""
        self.moved[task_id] = away
        return _moved(task_id, away)

    def come_back(self, task_id: TaskId, hops: int) -> None:
        """Somebody knows of ``hops`` handovers: if that is more than were known here, it was to come back."""
        away = self.moved.get(task_id)
        if away is not None and away.hops < hops:
            del self.moved[task_id]

    def cancel(self, message: Cancel) -> None:
        """Nothing of this attempt is wanted."""
        self._cancelled[(message.client, message.number, message.attempt)] = True

    def lose_peer(self, peer: PeerName) -> None:
        """A client, which wants nothing any more, or an executor, is gone."""
        self.lose_executor(peer)
        self._gone[peer] = True

    def lose_executor(self, name: PeerName) -> None:
        """Tasks that went there are gone; whether they had run, nobody knows."""
        for task_id in [task_id for task_id, away in self.moved.items() if away.place == name]:
            del self.moved[task_id]
            self.finished[task_id] = Finished(None)

    def _forgotten(self, tasks: list[TaskId]) -> None:
        for task_id in tasks:
            if task_id.number > self._evicted.get(task_id.client, -1):
                self._evicted[task_id.client] = task_id.number


def _again(task_id: TaskId, done: Finished) -> Outputs:
    if done.outputs is None:
        return [(task_id.client, Gone(task_id.number, task_id.attempt, task_id.node))]
    return [(peer, _repeated(output)) for peer, output in done.outputs]


def _repeated(output: Message) -> Message:
    return msgspec.structs.replace(output, again=True) if isinstance(output, Trigger) else output


def _moved(task_id: TaskId, away: Away) -> Moved:
    return Moved(task_id.number, task_id.attempt, task_id.node, away.place, away.hops)
