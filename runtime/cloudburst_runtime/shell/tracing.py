"""Where a call's time goes, stage by stage: stamps that processes take if the runtime is started to.

Law: nothing in here runs otherwise. What is traced is what stands in front of the core, of the hub's `wait`
and of the sandbox, and it is put there once, at start-up: a call that is not traced meets no test of whether
it is.

::

    client    begun ── submitted ── dispatched             woken ── read ── resolved ── resumed
                                         request │             │ reply
    executor                                   woken ── … ── ended

An executor's stamps travel in the `Step` of its task; the client keeps its own. Both are of the host's
monotonic clock, so a client on another host has no stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.client.calls import OwnedCall, Submit, SubmitAll
from cloudburst_runtime.effects import Core, Received, Send
from cloudburst_runtime.executor.tasks import Outcome, Ran, Task
from cloudburst_runtime.ids import Millis, TaskId
from cloudburst_runtime.messages import Call, Calls, Result, Results, Step, Trigger, Triggers

if TYPE_CHECKING:
    from cloudburst_runtime.shell.client import ClientShell
    from cloudburst_runtime.shell.executor import ExecutorProcess
    from cloudburst_runtime.shell.transport import Hub

STAGES = {
    "encode": "client: the arguments are encoded, the call and its future are made",
    "place": "client: the core picks an executor from the lease",
    "request": "the message is encoded and sent, and the executor wakes up",
    "receive": "executor: the message is read and decoded",
    "accept": "executor: the core makes a task of it",
    "turn": "executor: the task waits for its turn",
    "prepare": "executor: the function is found, the arguments are decoded",
    "run": "executor: user code",
    "pack": "executor: the result is encoded, what was printed is collected",
    "end": "executor: the core ends the task and words the result",
    "reply": "the message is encoded and sent, and the client wakes up",
    "read": "client: the message is read and decoded",
    "resolve": "client: the core ends the call",
    "resume": "client: the future has its result, and the thread that waits for it goes on",
}
"""The stages of one call, in their order, and what happens in each."""

TRACES_MAX = 20_000
"""So many calls' stamps a client keeps, and tasks' an executor."""

Stamps = list[Millis]


def stages(mine: Stamps, step: Step) -> dict[str, float]:
    """The seconds that each stage took, of a call that was a single task; empty if it was not traced.

    Examples
    --------
    >>> step = Step(0, "e1", 0.0, 8.0, 9.0, stamps=[4.0, 5.0, 6.0, 7.0, 10.0, 11.0])
    >>> took = stages([1.0, 2.0, 3.0, 12.0, 13.0, 14.0, 15.0], step)
    >>> list(took) == list(STAGES), set(took.values())
    (True, {0.001})
    """
    theirs = step.stamps
    if not theirs or len(mine) < 6:
        return {}
    marks = [*mine[:3], *theirs[:4], step.started, step.ended, *theirs[4:], *mine[3:]]
    return {name: (end - start) / 1000.0 for name, start, end in zip(STAGES, marks, marks[1:], strict=False)}


class _Traced:
    """A core behind which stamps are taken, and the hub's `wait`."""

    def __init__(self, core: Core, hub: Hub) -> None:
        self.core = core
        self.kept: dict[Any, Stamps] = {}
        self.woken = 0.0
        wait = hub.wait

        def waited(timeout_ms: float | None, eager: bool = False) -> list[tuple[int, int]]:
            ready = wait(timeout_ms, eager)
            self.woken = clock()
            return ready

        hub.wait = waited  # type: ignore[method-assign]

    def start(self, now: Millis) -> list[Any]:
        return self.core.start(now)

    def handle(self, event: Any, now: Millis) -> list[Any]:
        raise NotImplementedError

    def keep(self, key: Any, stamps: Stamps) -> None:
        self.kept[key] = stamps
        if len(self.kept) > TRACES_MAX:
            del self.kept[next(iter(self.kept))]


class ClientTrace(_Traced):
    """Takes the stamps of one client's calls.

    Attributes
    ----------
    kept
        By the call's number: begun, submitted, dispatched, woken, read, resolved, resumed. The last is
        missing if nobody waited for just this call.
    """

    def __init__(self, shell: ClientShell) -> None:
        super().__init__(shell.core, shell.hub)
        self._resolved: Stamps | None = None
        self._new_number, self._wait = shell.new_number, shell.wait
        shell.new_number = self._begin  # type: ignore[method-assign]
        shell.wait = self._waited  # type: ignore[method-assign]
        shell.loop.core = self

    def stages(self, number: int, step: Step) -> dict[str, float]:
        """The stages of a call, as `stages`."""
        return stages(self.kept.get(number, []), step)

    def _begin(self) -> int:
        begun = clock()
        number = self._new_number()
        self.keep(number, [begun])
        return number

    def _waited(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        outcome = self._wait(done, timeout)
        stamps, self._resolved = self._resolved, None
        if stamps is not None:
            stamps.append(clock())
        return outcome

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event."""
        if isinstance(event, Submit | SubmitAll):
            traced = self._submitted(event.calls if isinstance(event, SubmitAll) else [event.call])
        elif type(event) is Received and isinstance(event.message, Result | Results):
            traced = self._arrived(_results_in(event.message))
        else:
            return self.core.handle(event, now)
        effects = self.core.handle(event, now)
        done = clock()
        for stamps in traced:
            stamps.append(done)
        return effects

    def _submitted(self, calls: list[OwnedCall]) -> list[Stamps]:
        traced = [self.kept.get(call.number, []) for call in calls]
        for stamps in traced:
            stamps.append(clock())
        return traced

    def _arrived(self, results: list[Result]) -> list[Stamps]:
        """Of the calls that end now; a repetition is none of them."""
        traced = [self.kept.get(result.number, []) for result in results]
        traced = [stamps for stamps in traced if len(stamps) == 3]
        for stamps in traced:
            self._resolved = stamps
            stamps += [self.woken, clock()]
        return traced


class ExecutorTrace(_Traced):
    """Takes the stamps of one executor's tasks: woken, read, accepted, running, ran, ended."""

    def __init__(self, process: ExecutorProcess) -> None:
        super().__init__(process.core, process.hub)
        self._departures = process.core.departures
        self._run = process.sandbox.run
        process.sandbox.run = self._ran  # type: ignore[method-assign]
        process.loop.core = self

    def _ran(self, tasks: list[Task]) -> list[Outcome]:
        running = clock()
        outcomes = self._run(tasks)
        ran = clock()
        for task in tasks:
            self.kept.get(task.id, []).extend((running, ran))
        return outcomes

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event."""
        read = clock()
        effects = self.core.handle(event, now)
        if type(event) is Ran:
            self._tell(event.tasks, effects)
        elif type(event) is Received:
            for task_id in _tasks(event.message):
                self.keep(task_id, [self.woken, read, clock()])
        return effects

    def _tell(self, tasks: list[Task], effects: list[Any]) -> None:
        """Let the outcomes that are sent now carry the stamps of their tasks."""
        ended = clock()
        sent = {
            (effect.peer, result.number): result
            for effect in effects
            if type(effect) is Send
            for result in _results_in(effect.message)
        }
        for task in tasks:
            stamps = self.kept.pop(task.id, [])
            result = sent.get((task.id.client, task.id.number), self._departures.latest(task.id.client))
            if result is not None and result.number == task.id.number and result.steps:
                result.steps[-1].stamps = [*stamps, ended]


def _results_in(message: Any) -> list[Result]:
    if isinstance(message, Results):
        return message.results
    return [message] if isinstance(message, Result) else []


def _tasks(message: Any) -> list[TaskId]:
    """The tasks that a message begins or feeds."""
    if isinstance(message, Call):
        return [message.header.task(message.node)]
    if isinstance(message, Calls):
        pairs = zip(message.numbers, message.nodes, strict=True)
        return [message.header.numbered(number).task(node) for number, node in pairs]
    return [message.header.task(message.target)] if isinstance(message, Trigger | Triggers) else []


def clock() -> Millis:
    """The host's monotonic clock, as in `clock.now_ms`, without a call between."""
    return time.monotonic() * 1000.0
