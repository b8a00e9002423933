"""Everything that changes a task's state in an executor lives here; sockets and user code do not.

::

    Call, Trigger, Handover ──► waiting ──(plan, function, arguments, triggers, references)──► queued
    queued ──Execute──► running ──Ran──► Trigger or Result sent, kept for a repetition
                                     └─► storing, where an output key is to be acknowledged first

One task, or one batch, runs at a time; what it blocks on is this executor's business only. A task whose
references do not exist yet waits here and occupies nothing. Tasks are told apart by `TaskId`, so that a
message that arrives twice acts once: a repetition about a finished task has its outcome sent again.

Tasks in the queue can be handed over to another executor (`Shed`); the place that they went to is
remembered, and whoever asks here is told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from cloudburst_runtime.anna.cache import Answer, CacheCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.executor.bounded import BoundedDict
from cloudburst_runtime.executor.tasks import (
    Away,
    Execute,
    Finished,
    Interrupt,
    Known,
    Leave,
    Measure,
    Measured,
    Op,
    Outcome,
    Ran,
    Reply,
    StillRunning,
    Task,
)
from cloudburst_runtime.ids import NODE, HybridClock, Millis, PeerName, TaskId
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.messages import (
    Call,
    Cancel,
    ExecutorLost,
    Failure,
    Fetch,
    FunctionSpec,
    Gone,
    Handover,
    Header,
    Idle,
    Load,
    Mail,
    Message,
    Moved,
    Pin,
    Probe,
    Result,
    Retire,
    Running,
    Shed,
    Step,
    Trigger,
    Unknown,
    Unpin,
)
from cloudburst_runtime.scheduler.dag import Topology
from cloudburst_runtime.values import Value

Effects = list[Any]

WANTED_AFTER = 10
"""After so many resend intervals it is asked whether a waiting task is still wanted."""

COMPUTING_SHARE = 0.5
"""An executor that uses more of a processor than this computes rather than waits."""

TINY_CALL_MS = 1.0
"""Calls shorter than this are not helped by more executors than there are cores."""


class ExecutorCore:
    """Runs tasks one at a time, in the order in which they became ready.

    Parameters
    ----------
    config
        The runtime's configuration.
    name
        This executor's peer name, such as ``"e3"``.
    clock
        Stamps this executor's writes.
    """

    def __init__(self, config: Config, name: PeerName, clock: HybridClock) -> None:
        self.config = config
        self.name = name
        self.clock = clock
        self.cache = CacheCore(config, name, clock, caching=True, next_req=self._next_req)
        self.tasks: dict[TaskId, Task] = {}
        self.queue: deque[Task] = deque()
        self.running: list[Task] = []
        self.finished: BoundedDict[TaskId, Finished] = BoundedDict(config.outputs_kept_max, self._forgotten)
        self.moved: BoundedDict[TaskId, Away] = BoundedDict(config.outputs_kept_max)
        self.evicted: BoundedDict[PeerName, int] = BoundedDict(config.outputs_kept_max)
        self.gone: BoundedDict[PeerName, bool] = BoundedDict(config.outputs_kept_max)
        self.cancelled: BoundedDict[tuple[PeerName, int, int], bool] = BoundedDict(config.outputs_kept_max)
        self.plans: dict[int, Known] = {}
        self.functions: dict[tuple[str, int], FunctionSpec] = {}
        self.last_busy: Millis = 0.0
        self.mean_run_ms = 0.0
        self.running_since: Millis = 0.0
        self._req = 0
        self._ops: dict[int, Callable[[Any, Millis], Effects]] = {}
        self._idle_due: Millis = 0.0
        self._pressure_armed = False
        self._pressed = False
        self._fetch_armed = False
        self._asks_armed = False
        self._asked: dict[object, None] = {}
        self._retiring = False
        self._handlers: dict[type, Callable[[Any, PeerName, Millis], Effects]] = {
            Call: self._on_call,
            Trigger: self._on_trigger,
            Handover: self._on_handover,
            Cancel: self._on_cancel,
            Probe: self._on_probe,
            Mail: self._on_mail,
            Pin: self._on_pin,
            Unpin: self._on_unpin,
            ExecutorLost: self._on_executor_lost,
            Shed: self._on_shed,
            Retire: self._on_retire,
        }

    # ------------------------------------------------------------ the core's face

    def start(self, now: Millis) -> Effects:
        """Begin: the idle timer runs from now."""
        self.last_busy = now
        return self._arm_idle(now + self.config.executor_idle_ms)

    def handle(self, event: Any, now: Millis) -> Effects:
        """Take one event, return the effects in order."""
        kind = type(event)
        if kind is Received:
            handler = self._handlers.get(type(event.message))
            if handler is not None:
                return handler(event.message, event.peer, now)
            return self._from_cache(self.cache.handle(event, now), now)
        if kind is Ran:
            return self._on_ran(event, now)
        if kind is Op:
            return self._on_op(event, now)
        if kind is Timer:
            return self._on_timer(event, now)
        if kind is Measured:
            return self._on_measured(event, now)
        if kind is StillRunning:
            return self._on_still_running(event)
        if kind is PeerLost:
            return self._on_peer_lost(event.peer, now)
        raise TypeError(f"the executor core knows no event {event!r}")

    def validate(self) -> None:
        """Assert what must hold between events."""
        for task in self.queue:
            assert task.state == "queued", task
            assert self.tasks.get(task.id) is task, task
        for task in self.running:
            assert task.state == "running", task
        queued = sum(task.state == "queued" for task in self.tasks.values())
        assert queued == len(self.queue), (queued, len(self.queue))
        if self.queue:
            assert self.running, "tasks wait, and nothing runs"

    # ------------------------------------------------------------ messages about tasks

    def _on_call(self, message: Call, peer: PeerName, now: Millis) -> Effects:
        header = message.header
        task_id = header.task(message.node)
        task = self.tasks.get(task_id)
        if task is None:
            known = self._elsewhere(task_id, now)
            if known is not None:
                return known
            task = self._new_task(task_id, header)
        elif task.started:
            return []
        task.started = True
        task.args = message.args
        return self._advance(task, now)

    def _on_trigger(self, message: Trigger, peer: PeerName, now: Millis) -> Effects:
        task_id = message.header.task(message.target)
        task = self.tasks.get(task_id)
        if task is None:
            known = self._elsewhere(task_id, now)
            if known is not None:
                return known
            if message.again and self._may_be_done(task_id):
                return self._ask_behind(message.header, message.target, now)
            task = self._new_task(task_id, message.header)
        if message.source in task.triggers:
            return []
        self._take_input(task, message)
        return self._advance(task, now)

    def _on_handover(self, message: Handover, peer: PeerName, now: Millis) -> Effects:
        task_id = message.header.task(message.node)
        if task_id in self.tasks:
            return []
        away = self.moved.get(task_id)
        if away is not None and away.hops < message.hops:
            del self.moved[task_id]  # it has come back
        known = self._elsewhere(task_id, now)
        if known is not None:
            return known
        task = self._new_task(task_id, message.header)
        task.started = True
        task.args = message.args
        task.hops = message.hops
        task.steps = message.steps
        for trigger in message.inputs:
            self._take_input(task, trigger, trigger.source not in message.used)
        return self._advance(task, now)

    def _take_input(self, task: Task, trigger: Trigger, unused: bool = True) -> None:
        task.triggers[trigger.source] = trigger
        if trigger.failure is not None:
            task.last_failure = trigger.failure
        elif unused:
            task.unused.append(trigger)
        self._learn_session(task, trigger.header)

    def _new_task(self, task_id: TaskId, header: Header) -> Task:
        task = Task(task_id, header, clock=header.clock, floor=header.floor)
        self.clock.observe(header.clock)
        self.tasks[task_id] = task
        return task

    def _elsewhere(self, task_id: TaskId, now: Millis) -> Effects | None:
        """What to do about a task that is not here any more; None if it is new.

        A task is complete when it is moved, so a message about it is a repetition: the client asks there.
        """
        if (done := self.finished.get(task_id)) is not None:
            return self._again(task_id, done, now)
        if (away := self.moved.get(task_id)) is not None:
            return [self._tell_moved(task_id, away)]
        if (task_id.client, task_id.number, task_id.attempt) in self.cancelled:
            return []
        return [] if task_id.client in self.gone else None

    def _again(self, task_id: TaskId, done: Finished, now: Millis) -> Effects:
        if done.outputs is None:
            return [Send(task_id.client, Gone(task_id.number, task_id.attempt, task_id.node))]
        return self._deliver([(peer, _repeated(output)) for peer, output in done.outputs], now)

    @staticmethod
    def _tell_moved(task_id: TaskId, away: Away) -> Send:
        moved = Moved(task_id.number, task_id.attempt, task_id.node, away.place, away.hops)
        return Send(task_id.client, moved)

    def _on_probe(self, message: Probe, peer: PeerName, now: Millis) -> Effects:
        task_id = message.header.task(message.node)
        task = self.tasks.get(task_id)
        if task is not None and (
            task.started or (task.triggers and message.node not in message.header.fixed)
        ):
            return []
        if task is None:
            away = self.moved.get(task_id)
            if away is not None and away.hops < message.hops:
                del self.moved[task_id]  # it was to come back, and that was lost
            known = self._elsewhere(task_id, now)
            if known is not None:
                return known
            if self._may_be_done(task_id):
                return self._ask_behind(message.header, message.node, now)
        return [Send(task_id.client, Unknown(task_id.number, task_id.attempt, task_id.node))]

    def _may_be_done(self, task_id: TaskId) -> bool:
        """Whether a task of which nothing is known may have been finished here, and dropped since."""
        return task_id.number <= self.evicted.get(task_id.client, -1)

    def _ask_behind(self, header: Header, node: int, now: Millis) -> Effects:
        """This task was probably finished here: ask after those that it feeds, rather than run it again."""
        known = self.plans.get(header.plan)
        targets = () if known is None else known.topology.succs[node]
        if not targets:
            return [Send(header.client, Gone(header.number, header.attempt, node))]
        effects: Effects = []
        for target in targets:
            probe = Probe(header, target)
            if header.schedule[target] == self.name:
                effects += self._on_probe(probe, self.name, now)
            else:
                effects.append(Send(header.schedule[target], probe))
        return effects

    def _on_cancel(self, message: Cancel, peer: PeerName, now: Millis) -> Effects:
        attempt = (message.client, message.number, message.attempt)
        self.cancelled[attempt] = True
        effects: Effects = []
        for task in [task for task in self.tasks.values() if task.id[:3] == attempt]:
            effects += self._drop(task)
        return effects

    def _drop(self, task: Task) -> Effects:
        task.cancelled = True
        if task.state == "running":
            return [Interrupt(task)]
        if task.state == "queued":
            self.queue.remove(task)
        del self.tasks[task.id]
        if not task.reading:
            return []
        self._ops.pop(task.reading, None)
        return list(self.cache.cancel(task.reading))

    def _on_peer_lost(self, peer: PeerName, now: Millis) -> Effects:
        """A client that is gone wants nothing any more."""
        if peer == NODE:
            return [Leave()]
        self._lose_moved(peer)
        self.gone[peer] = True
        effects: Effects = []
        for task in [task for task in self.tasks.values() if task.id.client == peer]:
            effects += self._drop(task)
        return effects

    def _on_executor_lost(self, message: ExecutorLost, peer: PeerName, now: Millis) -> Effects:
        self._lose_moved(message.name)
        return []

    def _lose_moved(self, executor: PeerName) -> None:
        """Tasks that went there are gone; whether they had run, nobody knows."""
        for task_id in [task_id for task_id, away in self.moved.items() if away.place == executor]:
            del self.moved[task_id]
            self.finished[task_id] = Finished(None)

    # ------------------------------------------------------------ from waiting to running

    def _advance(self, task: Task, now: Millis) -> Effects:
        """Move a waiting task on as far as it goes."""
        if task.state != "waiting" or task.cancelled:
            return []
        known = task.known
        if known is None:
            known = self.plans.get(task.header.plan)
            if known is None:
                return self._fetch(now, plan=task.header.plan)
            task.known = known
            task.node = known.plan.nodes[task.id.node]
        if not self._inputs_complete(task, known):
            return self._give_up_if_exhausted(task, now) or self._ask_later(now)
        if task.args is not None and task.args.refs and task.resolved is None:
            return self._resolve(task, now)
        if task.function is None:
            node = task.id.node
            key = (known.plan.nodes[node].function, known.plan.versions[node])
            task.function = self.functions.get(key)
            if task.function is None:
                return self._fetch(now, function=key)
        return self._enqueue(task, now)

    def _inputs_complete(self, task: Task, known: Known) -> bool:
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

    def _resolve(self, task: Task, now: Millis) -> Effects:
        if task.reading:
            return []
        assert task.args is not None
        refs = task.args.refs

        def resolved(result: Any, later: Millis) -> Effects:
            task.reading = 0
            if isinstance(result, Failure):
                return self._fail(task, result, later)
            task.resolved = {ref.slot: lattice for ref, lattice in zip(refs, result, strict=True)}
            return self._advance(task, later)

        task.reading = self._new_op(resolved)
        keys = [ref.key for ref in refs]
        effects = self._from_cache(self.cache.read(task.reading, keys, task.floor, now, wait=True), now)
        return effects + self._ask_later(now) if task.reading else effects

    def _ask_later(self, now: Millis) -> Effects:
        """A task waits. Its `Cancel` may have been lost: so ask now and then whether it is still wanted."""
        if self._asks_armed:
            return []
        self._asks_armed = True
        return [SetTimer("wanted", now + WANTED_AFTER * self.config.resend_ms)]

    def _on_wanted(self, now: Millis) -> Effects:
        """Tell the callers of the tasks that wait; whoever does not want one answers with a `Cancel`."""
        self._asks_armed = False
        waiting = [task for task in self.tasks.values() if task.state == "waiting"]
        if not waiting:
            return []
        return [*map(self._news_of, waiting), *self._ask_later(now)]

    def _enqueue(self, task: Task, now: Millis) -> Effects:
        task.state = "queued"
        task.ready_at = now
        self._insert(task)
        if not self.running:
            return self._run_next(now)
        if self._pressure_armed:
            return []
        self._pressure_armed = True
        return [SetTimer("pressure", now + self.config.pressure_after_ms)]

    def _insert(self, task: Task) -> None:
        """In order of readiness; but what a call has begun goes before calls that have not begun."""
        if not task.inputs and not task.unused:
            self.queue.append(task)
            return
        place = len(self.queue)
        while place and not self.queue[place - 1].inputs and not self.queue[place - 1].unused:
            place -= 1
        self.queue.insert(place, task)

    def _run_next(self, now: Millis) -> Effects:
        if not self.queue:
            self.last_busy = now
            return self._free_again() + self._at_rest(now) if self._pressed else self._at_rest(now)
        task = self.queue.popleft()
        batch = [task]
        if task.batching:
            batch += self._companions(task)
        for member in batch:
            member.state = "running"
            if member.node is not None and member.node.invalid is not None:
                member.inputs = [member.unused.pop(0)]
        self.running = batch
        self.running_since = now
        return [Execute(batch)]

    def _companions(self, first: Task) -> list[Task]:
        """The other waiting requests of the same function, up to the batch's limit."""
        others = [task for task in self.queue if task.function is first.function and task.batching]
        others = others[: self.config.batch_max - 1]
        for task in others:
            self.queue.remove(task)
        return others

    def _at_rest(self, now: Millis) -> Effects:
        if self._retiring and not self.tasks:
            return [Leave()]
        due = now + self.config.executor_idle_ms
        if self._idle_due <= due:
            return []
        return self._arm_idle(due)

    # ------------------------------------------------------------ outcomes

    def _on_ran(self, event: Ran, now: Millis) -> Effects:
        self.running = []
        spent = now - self.running_since
        self.mean_run_ms += 0.1 * (spent / len(event.tasks) - self.mean_run_ms)
        effects: Effects = []
        for task, outcome in zip(event.tasks, event.outcomes, strict=True):
            effects += self._on_outcome(task, outcome, now)
        if not self.running:  # an outcome may have fed a task of this very executor, and started it
            effects += self._run_next(now)
        return effects

    def _on_outcome(self, task: Task, outcome: Outcome, now: Millis) -> Effects:
        if task.cancelled:
            self.tasks.pop(task.id, None)
            return []
        step = Step(
            task.id.node,
            self.name,
            task.ready_at,
            outcome.started,
            outcome.ended,
            outcome.stdout,
            outcome.stderr,
        )
        task.steps = self._steps(task, step)
        if outcome.failure is not None:
            return self._fail(task, outcome.failure, now)
        if outcome.invalid:
            return self._await_next_trigger(task, now)
        assert outcome.value is not None
        return self._succeed(task, outcome.value, now)

    def _steps(self, task: Task, step: Step) -> list[Step]:
        if not task.inputs and not task.steps:
            return [step]
        seen = {known.node: known for known in task.steps}
        for trigger in task.inputs:
            for known in trigger.steps:
                seen.setdefault(known.node, known)
        seen[step.node] = step
        return list(seen.values())

    def _succeed(self, task: Task, value: Value, now: Millis) -> Effects:
        known = task.known
        assert known is not None
        targets = known.topology.succs[task.id.node]
        if targets:
            header = self._header_for_next(task)
            return self._emit(
                task,
                [
                    (header.schedule[target], Trigger(header, task.id.node, target, value, task.steps))
                    for target in targets
                ],
                value.nbytes,
                now,
            )
        if task.header.output_key is not None:
            return self._store_output(task, value, now)
        return self._emit(task, [(task.id.client, self._result(task, value, None))], value.nbytes, now)

    def _store_output(self, task: Task, value: Value, now: Millis) -> Effects:
        """Write the result under the call's output key first: who has the result finds the write."""
        task.state = "storing"
        assert task.header.output_key is not None

        def stored(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return self._fail(task, result, later)
            return self._emit(task, [(task.id.client, self._result(task, value, None))], value.nbytes, later)

        op = self._new_op(stored)
        lattice = LWW(self.clock.tick(now), self.name, value)
        return self._from_cache(self.cache.write(op, task.header.output_key, lattice, now), now)

    def _await_next_trigger(self, task: Task, now: Millis) -> Effects:
        """A MULTIEXEC node dropped a result: take the next input, or give up when there is none left."""
        task.state = "waiting"
        return self._advance(task, now)

    def _give_up_if_exhausted(self, task: Task, now: Millis) -> Effects:
        """Fail a MULTIEXEC node all of whose inputs came and gave nothing valid."""
        assert task.known is not None
        assert task.node is not None
        expected = len(task.known.topology.preds[task.id.node])
        if task.node.invalid is None or task.unused or not expected or len(task.triggers) < expected:
            return []
        name = task.known.plan.nodes[task.id.node].function
        failure = task.last_failure or Failure(
            "CloudburstError", f"each of the {len(task.triggers)} inputs of {name!r} gave an invalid result"
        )
        return self._fail(task, failure, now, final=True)

    def _fail(self, task: Task, failure: Failure, now: Millis, final: bool = False) -> Effects:
        """End a task with a failure: the call fails, unless what follows can do without this input."""
        if task.known is not None and not final:
            plan, topology = task.known
            if task.node is not None and task.node.invalid is not None:
                task.last_failure = failure
                return self._await_next_trigger(task, now)
            targets = topology.succs[task.id.node]
            if targets and all(plan.nodes[target].invalid is not None for target in targets):
                header = self._header_for_next(task)
                return self._emit(
                    task,
                    [
                        (
                            header.schedule[target],
                            Trigger(header, task.id.node, target, None, task.steps, failure),
                        )
                        for target in targets
                    ],
                    0,
                    now,
                )
        return self._emit(task, [(task.id.client, self._result(task, None, failure))], 0, now)

    def _result(self, task: Task, value: Value | None, failure: Failure | None) -> Result:
        return Result(
            task.id.number,
            task.id.attempt,
            value,
            task.steps,
            failure,
            self.clock.last,
            max(task.floor, self.cache.seen_seq),
        )

    def _header_for_next(self, task: Task) -> Header:
        """The header with what this step has seen of the store, so that the next step sees no less."""
        header = task.header
        clock, floor = self.clock.last, max(task.floor, self.cache.seen_seq)
        if clock == header.clock and floor == header.floor:
            return header
        return Header(
            header.client,
            header.number,
            header.attempt,
            header.plan,
            header.schedule,
            header.fixed,
            clock,
            floor,
            header.output_key,
        )

    def _learn_session(self, task: Task, header: Header) -> None:
        task.floor = max(task.floor, header.floor)
        self.clock.observe(header.clock)

    def _emit(self, task: Task, outputs: list[tuple[PeerName, Message]], nbytes: int, now: Millis) -> Effects:
        """The task is done: send what it gave, and keep that for a repetition."""
        self.tasks.pop(task.id, None)
        if task.state == "queued":
            self.queue.remove(task)
        kept = outputs if nbytes <= self.config.output_kept_bytes_max else None
        self.finished[task.id] = Finished(kept)
        return self._deliver(outputs, now)

    def _forgotten(self, tasks: list[TaskId]) -> None:
        """Outcomes were dropped to make room: only the latest call of each client is remembered."""
        for task_id in tasks:
            if task_id.number > self.evicted.get(task_id.client, -1):
                self.evicted[task_id.client] = task_id.number

    def _deliver(self, outputs: list[tuple[PeerName, Message]], now: Millis) -> Effects:
        effects: Effects = []
        for peer, message in outputs:
            if peer == self.name:
                assert isinstance(message, Trigger)
                effects += self._on_trigger(message, self.name, now)
            else:
                effects.append(Send(peer, message))
        return effects

    # ------------------------------------------------------------ plans and functions

    def _fetch(
        self, now: Millis, plan: int | None = None, function: tuple[str, int] | None = None
    ) -> Effects:
        what = plan if plan is not None else function
        if what in self._asked:
            return []
        self._asked[what] = None
        ask = Fetch([function] if function else [], [plan] if plan is not None else [])
        effects: Effects = [Send(NODE, ask)]
        if not self._fetch_armed:
            self._fetch_armed = True
            effects.append(SetTimer("fetch", now + self.config.resend_ms))
        return effects

    def _on_pin(self, message: Pin, peer: PeerName, now: Millis) -> Effects:
        self._asked.clear()
        for function in message.functions:
            self.functions[(function.name, function.version)] = function
        for plan in message.plans:
            self.plans[plan.number] = Known(plan, Topology.of(plan))
        effects: Effects = []
        for task in [task for task in self.tasks.values() if task.state == "waiting"]:
            effects += self._advance_after_pin(task, message.missing, now)
        return effects

    def _advance_after_pin(self, task: Task, missing: list[str], now: Millis) -> Effects:
        if f"#{task.header.plan}" in missing:
            return self._fail(task, Failure("DagNotFound", "what this call runs is no longer known"), now)
        if task.known is not None:
            plan, node = task.known.plan, task.id.node
            name, version = plan.nodes[node].function, plan.versions[node]
            if f"{name}@{version}" in missing:
                message = f"version {version} of {name!r} is no longer known"
                return self._fail(task, Failure("FunctionNotFound", message), now)
        waits = task.known is None or task.function is None
        return self._advance(task, now) if waits else []

    def _on_unpin(self, message: Unpin, peer: PeerName, now: Millis) -> Effects:
        for name, version in message.functions:
            self.functions.pop((name, version), None)
        return []

    # ------------------------------------------------------------ load, elasticity

    def _on_shed(self, message: Shed, peer: PeerName, now: Millis) -> Effects:
        movable = deque(task for task in self.queue if self._movable(task))
        effects: Effects = []
        for place in message.to:
            if not movable or place == self.name:
                break
            task = movable.popleft()
            self.queue.remove(task)
            del self.tasks[task.id]
            away = self.moved[task.id] = Away(place, task.hops + 1)
            effects += [Send(place, self._handover(task)), self._tell_moved(task.id, away)]
        return effects

    @staticmethod
    def _movable(task: Task) -> bool:
        """Whether all inputs are here: a MULTIEXEC node starts with the first of them."""
        assert task.known is not None
        return len(task.triggers) == len(task.known.topology.preds[task.id.node])

    @staticmethod
    def _handover(task: Task) -> Handover:
        unused = {trigger.source for trigger in task.unused}
        return Handover(
            task.header,
            task.id.node,
            task.args,
            list(task.triggers.values()),
            task.steps,
            task.hops + 1,
            [source for source in task.triggers if source not in unused],
        )

    def _on_retire(self, message: Retire, peer: PeerName, now: Millis) -> Effects:
        self._retiring = True
        return [] if self.tasks else [Leave()]

    def _on_timer(self, event: Timer, now: Millis) -> Effects:
        if event.key == "pressure":
            return self._on_pressure(now)
        if event.key == "idle":
            return self._on_idle(now)
        if event.key == "fetch":
            return self._on_fetch_timer(now)
        if event.key == "wanted":
            return self._on_wanted(now)
        return self._from_cache(self.cache.handle(event, now), now)

    def _on_pressure(self, now: Millis) -> Effects:
        """Tasks waited for as long as that: find out whether more executors would help."""
        self._pressure_armed = False
        if not self.queue:
            return self._calm(now)
        self._pressure_armed = True
        period = self.config.pressure_after_ms
        due = self.queue[0].ready_at + period
        if now < due:
            return [SetTimer("pressure", due)]
        effects: Effects = [SetTimer("pressure", now + period)]
        if now - self.running_since >= period or self.mean_run_ms >= TINY_CALL_MS:
            effects.append(Measure())
        return effects

    def _on_measured(self, event: Measured, now: Millis) -> Effects:
        if not self.queue:
            return self._calm(now)
        self._pressed = True
        waiting = [task for task in self.queue if task.function is not None]
        names = list(dict.fromkeys(task.function.name for task in waiting if task.function))
        worth = len(self.queue)
        if now - self.running_since < self.config.pressure_after_ms:
            worth = min(worth, math.ceil(worth * self.mean_run_ms / self.config.drain_ms))
        load = Load(len(self.queue), self._running_name(), names, worth, event.share > COMPUTING_SHARE)
        return [Send(NODE, load)]

    def _calm(self, now: Millis) -> Effects:
        """Nothing waits any more: its tasks went elsewhere, or into the call that runs.

        If that runs for long, this executor is not free, whatever its queue says: the tasks that it gave
        away would come back to it, and go round for ever among executors that all are blocked.
        """
        if not self._pressed:
            return []
        if not self.running or now - self.running_since < self.config.pressure_after_ms:
            return self._free_again()
        return [Send(NODE, Load(0, self._running_name()))]

    def _free_again(self) -> Effects:
        self._pressed = False
        return [Send(NODE, Load(0))]

    def _running_name(self) -> str:
        return self.running[0].function.name if self.running and self.running[0].function else ""

    def _on_idle(self, now: Millis) -> Effects:
        """Say that there was nothing to do for long; again after twice as long, should that be lost."""
        period = self.config.executor_idle_ms
        if self.tasks:
            return self._arm_idle(now + period)
        due = self.last_busy + period
        if now < due:
            return self._arm_idle(due)
        return [Send(NODE, Idle()), *self._arm_idle(now + (now - self.last_busy))]

    def _arm_idle(self, due: Millis) -> Effects:
        self._idle_due = due
        return [SetTimer("idle", due)]

    def _on_fetch_timer(self, now: Millis) -> Effects:
        """Ask again for what is still missing."""
        self._fetch_armed = False
        self._asked.clear()
        effects: Effects = []
        for task in [task for task in self.tasks.values() if task.state == "waiting"]:
            if task.known is None or task.function is None:
                effects += self._advance(task, now)
        return effects

    def _on_still_running(self, event: StillRunning) -> Effects:
        for task in self.running:
            task.printed = (event.stdout, event.stderr)
        return [self._news_of(task) for task in self.running]

    def _news_of(self, task: Task) -> Send:
        number, attempt, node = task.id.number, task.id.attempt, task.id.node
        return Send(task.id.client, Running(number, attempt, node, self.name, *task.progress, *task.printed))

    # ------------------------------------------------------------ operations of user code

    def _on_op(self, event: Op, now: Millis) -> Effects:
        task, number, kind, arguments = event.task, event.number, event.kind, event.arguments
        if kind == "send":
            return [*self._send_mail(task, arguments[0], arguments[1], now), Reply(number, None)]
        if kind == "progress":
            task.progress = arguments
            return [self._news_of(task), Reply(number, None)]

        def answered(result: Any, later: Millis) -> Effects:
            return [Reply(number, result)]

        op = self._new_op(answered)
        if kind == "read":
            return self._from_cache(self.cache.read(op, arguments[0], task.floor, now), now)
        if kind == "write":
            return self._from_cache(self.cache.write(op, arguments[0], arguments[1], now), now)
        if kind == "delete":
            return self._from_cache(self.cache.delete(op, arguments[0], now), now)
        raise TypeError(f"the executor core knows no operation {kind!r}")

    def mail_id(self, task: Task) -> str:
        """Where direct messages to this task are sent."""
        return f"{self.name}/{task.id}"

    def _send_mail(self, task: Task, to: str, body: Value, now: Millis) -> Effects:
        mail = Mail(to, self.mail_id(task), body, self.clock.last)
        place = to.partition("/")[0]
        if place == self.name:
            return self._on_mail(mail, self.name, now)
        return [Send(place, mail)]

    def _on_mail(self, message: Mail, peer: PeerName, now: Millis) -> Effects:
        self.clock.observe(message.clock)
        for task in self.running:
            if self.mail_id(task) == message.to:
                task.mailbox.append((message.sender, message.body))
        return []

    # ------------------------------------------------------------ the cache

    def _next_req(self) -> int:
        self._req += 1
        return self._req

    def _new_op(self, answered: Callable[[Any, Millis], Effects]) -> int:
        op = self._next_req()
        self._ops[op] = answered
        return op

    def _from_cache(self, effects: Effects, now: Millis) -> Effects:
        """Pass the cache's effects on; its answers go to whoever asked."""
        out: Effects = []
        for effect in effects:
            if type(effect) is Answer:
                answered = self._ops.pop(effect.op, None)
                if answered is not None:
                    out += answered(effect.result, now)
            else:
                out.append(effect)
        return out


def _repeated(output: Message) -> Message:
    """An outcome that is sent again, marked as such."""
    return msgspec.structs.replace(output, again=True) if isinstance(output, Trigger) else output
