"""Processes: one core each, and what its shell would do with the core's effects.

Law: no decision is made here that the real shells do not make; compare `shell.executor`, `shell.client`
and `shell.node`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudburst_runtime.client.calls import (
    Answered,
    Ask,
    CancelCall,
    Dispatched,
    Observed,
    OwnedCall,
    Resolve,
    Store,
    Submit,
)
from cloudburst_runtime.effects import Send, SetTimer, Timer
from cloudburst_runtime.executor.tasks import (
    Execute,
    Interrupt,
    Leave,
    Measure,
    Measured,
    Op,
    Outcome,
    Ran,
    Reply,
    Task,
)
from cloudburst_runtime.ids import Millis, PeerName, TaskId
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import Failure, Message, Result
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.scheduler.events import Kill, Spawn, Stop
from cloudburst_runtime.sim import programs
from cloudburst_runtime.sim.faults import SkewedClock
from cloudburst_runtime.values import decode, encode

if TYPE_CHECKING:
    from cloudburst_runtime.sim.world import World

STEP_MS = 0.02
"""What a step of user code takes besides what it asks for."""


class Execution(NamedTuple):
    """That an executor ran a task; ``source`` is the input taken, for a MULTIEXEC node."""

    executor: PeerName
    task: TaskId
    source: int


class Process:
    """A core with its timers."""

    core: Any

    def __init__(self, world: World, name: PeerName) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.timers: dict[str, Millis] = {}
        self.clock = SkewedClock(world.faults, world.random(f"clock/{name}"))
        self.carry: dict[type, Callable[[Any], None]] = {Send: self._send, SetTimer: self._set_timer}

    def start(self) -> None:
        """Bring the core to life."""
        self.perform(self.core.start(self.world.now))

    def take(self, event: Any) -> None:
        """Let the core take an event, if the process lives."""
        if not self.alive:
            return
        effects = self.core.handle(event, self.world.now)
        self.core.validate()
        self.perform(effects)

    def perform(self, effects: list[Any]) -> None:
        """Carry out effects, in order."""
        for effect in effects:
            if not self.alive:
                return
            self.carry[type(effect)](effect)

    def _send(self, effect: Send) -> None:
        self.world.send(self, effect.peer, effect.message)

    def _set_timer(self, effect: SetTimer) -> None:
        self.timers[effect.key] = effect.due
        self.world.at(effect.due, self._fire, effect.key, effect.due)

    def _fire(self, key: str, due: Millis) -> None:
        if self.alive and self.timers.get(key) == due:
            del self.timers[key]
            self.world.record(self.name, f"timer {key}")
            self.take(Timer(key))


class NodeProcess(Process):
    """Scheduler and store."""

    core: NodeCore

    def __init__(self, world: World, name: PeerName) -> None:
        super().__init__(world, name)
        replica = world.mutant.replica(world.config)
        self.core = world.mutant.node(world.config, replica, world.random("node").random)
        self.replica = replica
        self.carry[Spawn] = lambda effect: world.spawn(effect.name)
        self.carry[Kill] = lambda effect: world.kill(effect.name, effect.reason)
        self.carry[Stop] = lambda effect: None


class ClientProcess(Process):
    """A client, and who waits for which of its answers."""

    def __init__(self, world: World, name: PeerName) -> None:
        super().__init__(world, name)
        self.core = world.mutant.client(world.config, name, self.clock, world.random(f"client/{name}").random)
        self._numbers = 0
        self._answers: dict[int, Callable[[Any], None]] = {}
        self._results: dict[int, Callable[[Result], None]] = {}
        self.carry[Resolve] = lambda effect: self._results[effect.number](effect.result)
        self.carry[Answered] = lambda effect: self._answers[effect.req](effect.answer)
        self.carry[Observed] = lambda effect: None
        self.carry[Dispatched] = self._stay_connected

    def new_number(self) -> int:
        """A number for a call."""
        self._numbers += 1
        return self._numbers

    def submit(self, call: OwnedCall, then: Callable[[Result], None]) -> None:
        """Start a call."""
        self._results[call.number] = then
        self.take(Submit(call))

    def cancel(self, number: int) -> None:
        """Give a call up."""
        self.take(CancelCall(number))

    def ask(self, make: Callable[[int], Message], then: Callable[[Any], None]) -> None:
        """Send a request to the scheduler."""
        req = self.core.next_req()
        self._answers[req] = then
        self.take(Ask(make(req)))

    def read(self, key: str, then: Callable[[Any], None]) -> None:
        """Read a key; ``then`` gets its Python value, or a `Failure`."""
        self._store(lambda found: then(_revealed(found)), "read", [key])

    def write(self, key: str, value: Any, lattice: str | None, then: Callable[[Any], None]) -> None:
        """Merge a value into a key."""
        element = delta(value, lattice, self.name, self.clock.tick(self.world.now))
        self._store(then, "write", key, element)

    def delete(self, key: str, then: Callable[[Any], None]) -> None:
        """Delete a key."""
        self._store(then, "delete", key)

    def _store(self, then: Callable[[Any], None], kind: str, *arguments: Any) -> None:
        op = self.core.next_req()
        self._answers[op] = then
        self.take(Store(op, kind, arguments))

    def _stay_connected(self, effect: Dispatched) -> None:
        for peer in effect.schedule:
            if peer in self.world.processes:
                self.world.connect(self.name, peer)


class ExecutorProcess(Process):
    """An executor whose user code runs in virtual time."""

    def __init__(self, world: World, name: PeerName) -> None:
        super().__init__(world, name)
        self.core = world.mutant.executor(world.config, name, self.clock)
        self.code: UserCode | None = None
        self.ops = 0
        self.pace = world.random(f"executor/{name}")
        self.carry[Execute] = self._execute
        self.carry[Reply] = self._reply
        self.carry[Interrupt] = self._interrupt
        self.carry[Measure] = lambda effect: self.take(Measured(self.pace.random()))
        self.carry[Leave] = lambda effect: world.kill(name, "it left")

    def take(self, event: Any) -> None:
        """Let the core take an event, and the user code look at its messages."""
        super().take(event)
        if self.code is not None:
            self.code.look()

    def _execute(self, effect: Execute) -> None:
        for task in effect.tasks:
            multi = task.node is not None and task.node.invalid is not None
            source = task.inputs[0].source if multi and task.inputs else -1
            self.world.executions.append(Execution(self.name, task.id, source))
            self.world.record(self.name, f"runs {task.id}")
        self.code = UserCode(self, effect.tasks)
        self.world.after(self.pace.uniform(0.01, 0.3), self.code.begin)

    def _reply(self, effect: Reply) -> None:
        if self.code is not None:
            self.code.replied(effect.number, effect.result)

    def _interrupt(self, effect: Interrupt) -> None:
        if self.code is not None:
            self.world.after(STEP_MS, self.code.interrupt)


class UserCode:
    """One running call, or one batched call."""

    def __init__(self, process: ExecutorProcess, tasks: list[Task]) -> None:
        self.process = process
        self.world = process.world
        self.tasks = tasks
        self.started = self.world.now
        self._steps: programs.Steps | None = None
        self._turn = 0
        self._asked = (0, "")
        self._listening = False
        self._over = False

    def begin(self) -> None:
        """Start the program."""
        address = self.process.core.mail_id(self.tasks[0])
        self._steps = programs.begin(self.tasks, address)
        self._resume(self._turn, None)

    def look(self) -> None:
        """There may be a message now."""
        if self._listening and self.tasks[0].mailbox:
            self._continue(STEP_MS, self._mail)

    def replied(self, op: int, result: Any) -> None:
        """An operation was answered."""
        number, kind = self._asked
        if op == number and not self._over:
            self._asked = (0, "")
            self._continue(STEP_MS, lambda: _revealed(result) if kind == "read" else result)

    def interrupt(self) -> None:
        """Some task was cancelled: stop if nobody wants this any more."""
        if not self._over and self.process.alive and all(task.cancelled for task in self.tasks):
            self._finish([(None, Failure("CallCancelled", "the call was cancelled"))] * len(self.tasks))

    # ------------------------------------------------------------ steps

    def _continue(self, span: Millis, answer: Callable[[], Any]) -> None:
        self._listening = False
        self._turn += 1
        self.world.after(span, lambda turn: self._resume(turn, answer()), self._turn)

    def _resume(self, turn: int, answer: Any) -> None:
        if turn != self._turn or self._over or not self.process.alive:
            return
        assert self._steps is not None
        try:
            request = self._steps.send(answer)
        except StopIteration as done:
            self._finish(list(self._outcomes(done.value)))
        except ValueError as error:
            self._finish([(None, programs.failure_of(error))] * len(self.tasks))
        else:
            self._serve(request)

    def _serve(self, request: programs.Request) -> None:
        core, task = self.process.core, self.tasks[0]
        if isinstance(request, programs.Sleep):
            self._continue(request.span * self.process.pace.uniform(0.8, 1.2), lambda: None)
        elif isinstance(request, programs.Get):
            entry = core.cache.peek(request.key, task.floor)
            if entry is not None:
                found = [entry.lattice]
                self._continue(STEP_MS, lambda: _revealed(found))
            else:
                self._do("read", [request.key])
        elif isinstance(request, programs.Put):
            stamp = core.clock.tick(self.world.now)
            element = delta(request.value, request.lattice, core.name, stamp)
            self._do("write", request.key, element)
        elif isinstance(request, programs.Tell):
            self._do("send", request.to, encode(request.body))
        else:
            self._listen(request.span)

    def _do(self, kind: str, *arguments: Any) -> None:
        self._turn += 1
        self.process.ops += 1
        self._asked = (self.process.ops, kind)
        self.process.take(Op(self.tasks[0], self.process.ops, kind, arguments))

    def _listen(self, span: Millis) -> None:
        if self.tasks[0].mailbox:
            self._continue(STEP_MS, self._mail)
            return
        self._continue(span, self._mail)
        self._listening = True

    def _mail(self) -> list[tuple[str, Any]]:
        mailbox = self.tasks[0].mailbox
        arrived = [(sender, decode(body)) for sender, body in mailbox]
        mailbox.clear()
        return arrived

    # ------------------------------------------------------------ the end

    def _outcomes(self, result: Any) -> Iterator[tuple[Any, Failure | None]]:
        results = result if self.tasks[0].batching else [result]
        for value in results:
            yield value, None

    def _finish(self, results: list[tuple[Any, Failure | None]]) -> None:
        self._over = True
        node = self.tasks[0].node
        invalid = [decode(value) for value in (node.invalid or [])] if node is not None else []
        now = self.world.now
        outcomes = [
            Outcome(
                None if failure is not None else encode(value),
                failure,
                self.started,
                now,
                invalid=failure is None and value in invalid,
            )
            for value, failure in results
        ]
        self.process.code = None
        self.process.take(Ran(self.tasks, outcomes))


def _revealed(found: Any) -> Any:
    """What a read gives: the value of its only key, None if it is missing, or the failure."""
    if isinstance(found, Failure):
        return found
    return None if found[0] is None else reveal(found[0])
