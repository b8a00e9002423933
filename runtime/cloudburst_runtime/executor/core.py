"""Everything that changes a task's state in an executor starts here; sockets and user code do not.

::

    Call, Trigger, Handover ──► waiting ──(plan, inputs, references, function)──► queued
    queued ──Execute──► running ──Ran──► Trigger or Result sent, kept for a repetition
                                     └─► storing, where an output key is to be acknowledged first

This file routes events, and takes tasks in. Until a task is ready it is `waiting`'s, with the `catalog` of
plans and functions; the `runner` has it while it is queued and runs; `operations` are what it and its user
code ask of the store; `endings` say what comes of it; `past` answers for it once it is not here any more;
`outgoing` words the messages about it, and `load` tells the node how much there is to do.

Tasks are told apart by `TaskId`, so that a message that arrives twice acts once: a repetition about a
finished task has its outcome sent again. A task in the queue can be handed over to another executor
(`Shed`); the place that it went to is remembered, and whoever asks here is told.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, Timer
from cloudburst_runtime.executor import (
    agreement,
    atomic,
    catalog,
    departures,
    kept,
    leftovers,
    load,
    recalls,
    releases,
    waiting,
)
from cloudburst_runtime.executor.catalog import Catalog
from cloudburst_runtime.executor.departures import Departures
from cloudburst_runtime.executor.endings import Endings
from cloudburst_runtime.executor.load import LoadWatch
from cloudburst_runtime.executor.operations import Operations
from cloudburst_runtime.executor.outgoing import (
    Outputs,
    handover,
    news,
    probes_behind,
    step_of,
    steps,
)
from cloudburst_runtime.executor.past import Past
from cloudburst_runtime.executor.releases import Releases
from cloudburst_runtime.executor.runner import Runner
from cloudburst_runtime.executor.tasks import (
    Away,
    Interrupt,
    Leave,
    Measured,
    Op,
    Outcome,
    Ran,
    StillRunning,
    Task,
)
from cloudburst_runtime.executor.waiting import Waiting
from cloudburst_runtime.executor.witness import witness
from cloudburst_runtime.ids import NODE, HybridClock, Millis, PeerName, TaskId, is_store
from cloudburst_runtime.messages import (
    Args,
    Call,
    Calls,
    Cancel,
    Claim,
    Claimed,
    ExecutorLost,
    Handover,
    Header,
    KeysReply,
    Mail,
    Pin,
    Probe,
    Recall,
    Recalled,
    Release,
    Retire,
    Shed,
    Trigger,
    Triggers,
    UnderWay,
    Unknown,
    Unpin,
)
from cloudburst_runtime.vectors import joined

Effects = list[Any]


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
        self.tasks: dict[TaskId, Task] = {}
        self.past = Past(config.outputs_kept_max)
        self.load = LoadWatch(config, self.tasks)
        self.runner = Runner(config.batch_max, self.load)
        self.departures = Departures(config, self.runner)
        self.operations = Operations(config, name, clock, self.runner)
        self.releases = Releases(name, lambda attempt: self.operations.snapshots.release(attempt))
        self.cache = self.operations.cache
        self.catalog = Catalog(config.resend_ms)
        self.endings = Endings(
            config.output_kept_bytes_max,
            name,
            clock,
            self.tasks,
            self.past,
            self.operations,
            self.releases,
            deliver=self._deliver,
            next_input=self._await_next_input,
        )
        self.waiting = Waiting(
            name,
            config.resend_ms,
            self.tasks,
            self.catalog,
            self.operations,
            ready=self.runner.add,
            fail=self.endings.fail,
            exhausted=self.endings.fail_call,
        )
        snapshots = self.operations.snapshots
        self._handlers: dict[type, Callable[[Any, Millis], Effects]] = {
            Call: self._on_call,
            Calls: self._on_calls,
            Trigger: self._on_trigger,
            Triggers: self._on_triggers,
            Handover: self._on_handover,
            Cancel: self._on_cancel,
            Probe: self._on_probe,
            Mail: self.operations.on_mail,
            Recall: snapshots.holder.on_recall,
            Recalled: snapshots.on_recalled,
            Claim: snapshots.holder.on_claim,
            Claimed: snapshots.claims.on_claimed,
            Release: self._on_release,
            UnderWay: snapshots.keeping.on_under_way,
            Pin: self.waiting.on_pin,
            Unpin: self.catalog.on_unpin,
            ExecutorLost: self._on_executor_lost,
            KeysReply: self._on_keys,
            Shed: self._on_shed,
            Retire: self.load.on_retire,
        }
        self._timers: dict[str, Callable[[Millis], Effects]] = {
            load.PRESSURE_TIMER: lambda now: self.load.on_pressure(self.runner, now),
            load.IDLE_TIMER: self.load.on_idle,
            catalog.TIMER: self.waiting.on_fetch_timer,
            waiting.TIMER: self.waiting.on_wanted,
            recalls.TIMER: snapshots.recalls.on_timer,
            kept.TIMER: self._on_wanted_timer,
            agreement.TIMER: snapshots.claims.on_timer,
            departures.TIMER: self.departures.on_timer,
            releases.TIMER: self.releases.on_timer,
            atomic.TIMER: self.operations.publishing.on_timer,
            leftovers.TIMER: self.operations.leftovers.on_timer,
        }

    # ------------------------------------------------------------ the core's face

    @property
    def running(self) -> list[Task]:
        """The task that runs, or the tasks that run as one batch."""
        return self.runner.running

    def mail_id(self, task: Task) -> str:
        """Where direct messages to this task are sent."""
        return self.operations.mail_id(task)

    def start(self, now: Millis) -> Effects:
        """Begin: the idle timer runs from now."""
        return self.load.start(now)

    def handle(self, event: Any, now: Millis) -> Effects:
        """Take one event, return the effects in order."""
        kind = type(event)
        if kind is Received:
            handler = self._handlers.get(type(event.message))
            return self._to_cache(event, now) if handler is None else handler(event.message, now)
        if kind is Ran:
            return self._on_ran(event, now)
        if kind is Op:
            return self.operations.on_op(event, now)
        if kind is Timer:
            timer = self._timers.get(event.key)
            return self._to_cache(event, now) if timer is None else timer(now)
        if kind is Measured:
            return self.load.on_measured(event, self.runner, now)
        if kind is StillRunning:
            return self._on_still_running(event)
        if kind is PeerLost:
            return self._on_peer_lost(event.peer, now)
        raise TypeError(f"the executor core knows no event {event!r}")

    def _to_cache(self, event: Any, now: Millis) -> Effects:
        return self.operations.pass_on(self.cache.handle(event, now), now)

    def validate(self) -> None:
        """Assert what must hold between events."""
        queue = self.runner.queue
        for task in queue:
            assert self.tasks.get(task.id) is task, task
        queued = sum(task.state == "queued" for task in self.tasks.values())
        assert queued == len(queue), (queued, len(queue))
        self.runner.validate()
        self.departures.validate()

    # ------------------------------------------------------------ tasks come in

    def _on_call(self, message: Call, now: Millis) -> Effects:
        return self._begin(message.header, message.node, message.args, now)

    def _on_calls(self, message: Calls, now: Millis) -> Effects:
        first, begin = message.header, self._begin
        effects: Effects = []
        for number, node, args in zip(message.numbers, message.nodes, message.args, strict=True):
            header = first if number == first.number else first.numbered(number)
            effects += begin(header, node, args, now)
        return effects

    def _begin(self, header: Header, node: int, args: Args, now: Millis) -> Effects:
        """The client's word to start a task, with its fixed arguments."""
        task_id = header.task(node)
        task = self.tasks.get(task_id)
        if task is None:
            reply = self.past.reply(task_id)
            if reply is not None:
                return self._deliver(reply, now)
            task = self._new_task(task_id, header)
        elif task.started:
            return []
        task.started = True
        task.args = args
        return self.waiting.advance(task, now)

    def _on_trigger(self, message: Trigger, now: Millis) -> Effects:
        header = message.header
        task_id = header.task(message.target)
        task = self.tasks.get(task_id)
        if task is None:
            reply = self.past.reply(task_id)
            if reply is None and message.again and self.past.may_be_done(task_id):
                reply = self._behind(header, message.target)
            if reply is not None:
                return self._deliver(reply, now)
            task = self._new_task(task_id, header)
        if message.source in task.triggers:
            return []
        self._take_input(task, message, now)
        return self.waiting.advance(task, now)

    def _on_triggers(self, message: Triggers, now: Millis) -> Effects:
        header, target = message.header, message.target
        effects: Effects = []
        for each in message.inputs:
            effects += self._on_trigger(Trigger(header, each.source, target, each.value, each.steps), now)
        return effects

    def _on_handover(self, message: Handover, now: Millis) -> Effects:
        task_id = message.header.task(message.node)
        if task_id in self.tasks:
            return []
        self.past.come_back(task_id, message.hops)
        reply = self.past.reply(task_id)
        if reply is not None:
            return self._deliver(reply, now)
        task = self._new_task(task_id, message.header)
        task.started = True
        task.args = message.args
        task.hops = message.hops
        task.steps = message.steps
        for trigger in message.inputs:
            self._take_input(task, trigger, now, trigger.source not in message.used)
        return self.waiting.advance(task, now)

    def _new_task(self, task_id: TaskId, header: Header) -> Task:
        task = Task(task_id, header, clock=header.clock, floor=header.floor, told=header.floor)
        if header.clock > self.clock.last:
            self.clock.observe(header.clock)
        self.tasks[task_id] = task
        return task

    def _take_input(self, task: Task, trigger: Trigger, now: Millis, unused: bool = True) -> None:
        task.triggers[trigger.source] = trigger
        task.arrived[trigger.source] = now
        if trigger.failure is not None:
            task.last_failure = trigger.failure
        elif unused:
            task.unused.append(trigger)
        self.operations.levels.begin(task, trigger.header.session)
        if trigger.header is task.header:  # then the task began with what it says
            return
        task.floor = joined(task.floor, trigger.header.floor)
        task.told = joined(task.told, trigger.header.floor)
        self.clock.observe(trigger.header.clock)

    # ------------------------------------------------------------ tasks are asked after

    def _on_probe(self, message: Probe, now: Millis) -> Effects:
        header, node = message.header, message.node
        task_id = header.task(node)
        task = self.tasks.get(task_id)
        if task is not None and (task.started or (task.triggers and node not in header.fixed)):
            return []
        reply = None
        if task is None:
            self.past.come_back(task_id, message.hops)  # it was to, should that have been lost
            reply = self.past.reply(task_id)
            if reply is None and self.past.may_be_done(task_id):
                reply = self._behind(header, node)
        if reply is None:
            reply = [(task_id.client, Unknown(task_id.number, task_id.attempt, node))]
        return self._deliver(reply, now)

    def _behind(self, header: Header, node: int) -> Outputs:
        return probes_behind(header, node, self.catalog.plans.get(header.plan))

    def _on_still_running(self, event: StillRunning) -> Effects:
        for task in self.running:
            task.printed = (event.stdout, event.stderr)
        return [*(news(task, self.name) for task in self.running), *self.load.doing(self.runner)]

    # ------------------------------------------------------------ tasks go

    def _on_shed(self, message: Shed, now: Millis) -> Effects:
        places = list(takewhile(lambda place: place != self.name, message.to))
        effects: Effects = []
        for place, task in zip(places, self.runner.give_away(len(places)), strict=False):
            del self.tasks[task.id]
            moved = self.past.move(task.id, Away(place, task.hops + 1))
            effects += [Send(place, handover(task)), Send(task.id.client, moved)]
        return effects

    def _on_cancel(self, message: Cancel, now: Millis) -> Effects:
        self.past.cancel(message)
        attempt = (message.client, message.number, message.attempt)
        dropped = self._drop([task for task in self.tasks.values() if task.id[:3] == attempt])
        return dropped + self.operations.snapshots.release(attempt)

    def _on_release(self, message: Release, now: Millis) -> Effects:
        snapshots = self.operations.snapshots
        return [effect for attempt in message.attempts for effect in snapshots.release(attempt)]

    def _on_wanted_timer(self, now: Millis) -> Effects:
        """What a client wants that never answers is cancelled, as if it had said so itself."""
        snapshots = self.operations.snapshots
        unwanted = snapshots.keeping.unwanted()
        cancelled = [self._on_cancel(Cancel(*attempt), now) for attempt in unwanted]
        return [*(effect for effects in cancelled for effect in effects), *snapshots.on_wanted_timer(now)]

    def _on_peer_lost(self, peer: PeerName, now: Millis) -> Effects:
        """A client that is gone wants nothing any more; an executor has nothing any more."""
        if peer == NODE:
            return [Leave()]
        self.past.lose_peer(peer)
        self.departures.lose(peer)
        self.releases.lose(peer)
        dropped = self._drop([task for task in self.tasks.values() if task.id.client == peer])
        snapshots = self.operations.snapshots
        effects = [*dropped, *snapshots.release_all(peer), *snapshots.lose(peer, now)]
        return effects + self._to_cache(PeerLost(peer), now) if is_store(peer) else effects

    def _on_executor_lost(self, message: ExecutorLost, now: Millis) -> Effects:
        self.past.lose_executor(message.name)
        return self.operations.leftovers.inherit(now) if message.heir == self.name else []

    def _on_keys(self, message: KeysReply, now: Millis) -> Effects:
        return self.operations.conclude(message.req, message.keys, now)

    def _drop(self, tasks: list[Task]) -> Effects:
        """Nobody wants these tasks any more."""
        effects: Effects = []
        for task in tasks:
            task.cancelled = True
            if task.state == "running":
                effects.append(Interrupt(task))
                continue
            if task.state == "queued":
                self.runner.queue.remove(task)
            del self.tasks[task.id]
            if task.reading:
                effects += self.operations.cancel(task.reading)
        return effects

    # ------------------------------------------------------------ tasks end

    def _on_ran(self, event: Ran, now: Millis) -> Effects:
        run_ms = now - self.runner.since
        self.runner.ended(event.tasks, now)
        effects: Effects = []
        for task, outcome in zip(event.tasks, event.outcomes, strict=True):
            effects += self._on_outcome(task, outcome, event.tasks, now)
        if not self.runner.running:  # an outcome may have fed a task of this very executor, and started it
            effects += self.runner.run_next(now)
        return self.departures.after_run(event.tasks[0].function, run_ms, effects, now)

    def _on_outcome(self, task: Task, outcome: Outcome, batch: list[Task], now: Millis) -> Effects:
        if task.cancelled:
            self.tasks.pop(task.id, None)
            return []
        if task.plain:
            return self.endings.plain(task, outcome)
        seen = witness(task, outcome, batch) if task.header.record else None
        task.steps = steps(task, step_of(task, outcome, self.name, seen))
        if outcome.failure is not None:
            return self.endings.fail(task, outcome.failure, now)
        if outcome.invalid:
            return self._await_next_input(task, now)
        assert outcome.value is not None
        return self.endings.succeed(task, outcome.value, now)

    def _await_next_input(self, task: Task, now: Millis) -> Effects:
        """A MULTIEXEC node dropped a result: take the next input, or give up when there is none left."""
        task.state = "waiting"
        return self.waiting.advance(task, now)

    def _deliver(self, sent: Outputs, now: Millis) -> Effects:
        effects: Effects = []
        for peer, message in sent:
            if peer == self.name:
                effects += self._handlers[type(message)](message, now)
            else:
                effects.append(Send(peer, message))
        return effects
