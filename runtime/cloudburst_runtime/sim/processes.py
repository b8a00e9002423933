"""Processes: one core each, and what its shell would do with the core's effects.

Law: no decision is made here that the real shells do not make; compare `shell.executor` and `shell.client`.
Those that keep a store are in `serving`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
    SubmitAll,
)
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.effects import Send, SetTimer, Timer
from cloudburst_runtime.executor.tasks import (
    Execute,
    Interrupt,
    Leave,
    Measure,
    Measured,
    Reply,
)
from cloudburst_runtime.ids import Millis, PeerName, TaskId
from cloudburst_runtime.lattices.wrap import delta
from cloudburst_runtime.messages import (
    Failure,
    GetVersion,
    History,
    HistoryReply,
    Message,
    Result,
    Version,
    VersionReply,
)
from cloudburst_runtime.sim.faults import SkewedClock
from cloudburst_runtime.sim.usercode import STEP_MS, UserCode, revealed

if TYPE_CHECKING:
    from cloudburst_runtime.sim.world import World


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
        self.clock = SkewedClock(world.faults, world.random(f"clock/{name}"), world.met)
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

    def submit_all(self, calls: list[OwnedCall], thens: list[Callable[[Result], None]]) -> None:
        """Start calls that differ in their arguments alone."""
        self._results.update(zip((call.number for call in calls), thens, strict=True))
        self.take(SubmitAll(calls))

    def cancel(self, number: int) -> None:
        """Give a call up."""
        self.take(CancelCall(number))

    def ask(self, make: Callable[[int], Message], then: Callable[[Any], None]) -> None:
        """Send a request to the scheduler."""
        req = self.core.next_req()
        self._answers[req] = then
        self.take(Ask(make(req)))

    def read(self, key: str, every: bool, session: ClientSession | None, then: Callable[[Any], None]) -> None:
        """Read a key; ``then`` gets its Python value, ``every`` value as a list, or a `Failure`."""
        self._store(lambda found: then(revealed(found, every)), session, "read", [key])

    def look(self, key: str, then: Callable[[Any], None]) -> None:
        """Read a key; ``then`` gets a list of what the store has there, or a `Failure`."""
        self._store(then, None, "read", [key])

    def look_back(self, key: str, then: Callable[[Any], None]) -> None:
        """Ask for the versions of a key; ``then`` gets a list of numbers and values, or a `Failure`."""
        self.ask(partial(_history, key), partial(self._look_at_each, key, then, []))

    def _look_at_each(
        self, key: str, then: Callable[[Any], None], seen: list[Any], said: HistoryReply | Failure
    ) -> None:
        """Ask for the values one after the other; a version that has been dropped meanwhile is left out."""
        if isinstance(said, Failure) or not said.versions:
            then(said if isinstance(said, Failure) else seen)
            return
        version = said.versions.pop(0)

        def had(reply: VersionReply | Failure) -> None:
            if isinstance(reply, VersionReply) and reply.entry is not None:
                seen.append([version.number, revealed([reply.entry.lattice], False)])
            self._look_at_each(key, then, seen, reply if isinstance(reply, Failure) else said)

        self.ask(partial(_version, key, version), had)

    def write(
        self,
        key: str,
        value: Any,
        lattice: str | None,
        session: ClientSession | None,
        then: Callable[[Any], None],
        sync: bool | None = None,
    ) -> None:
        """Merge a value into a key; ``sync``: whether to wait for the disk."""
        level = "lww" if session is None else session.level
        element = delta(value, lattice, self.name, self.clock.tick(self.world.now), level)
        self._store(then, session, "write", key, element, sync)

    def delete(self, key: str, then: Callable[[Any], None]) -> None:
        """Delete a key."""
        self._store(then, None, "delete", key)

    def _store(
        self, then: Callable[[Any], None], session: ClientSession | None, kind: str, *arguments: Any
    ) -> None:
        op = self.core.next_req()
        self._answers[op] = then
        self.take(Store(op, kind, arguments, session))

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


def _history(key: str, req: int) -> History:
    return History(req, key)


def _version(key: str, version: Version, req: int) -> GetVersion:
    return GetVersion(req, key, version.number, version.writer)
