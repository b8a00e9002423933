"""An executor process: its core, its sandbox, and a loop between them.

The main thread runs user code and, between two calls, reads the sockets. While user code runs for long,
the loop's background thread reads: calls are queued, cancelled, handed over, and asked about all the same.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from cloudburst_runtime import inplace, messages
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.errors import RuntimeUnavailable
from cloudburst_runtime.executor import departures
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.library import UserLibrary
from cloudburst_runtime.executor.printed import Streams
from cloudburst_runtime.executor.sandbox import Interrupted, Sandbox
from cloudburst_runtime.executor.seeding import Seeds
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
    StillRunning,
    Task,
)
from cloudburst_runtime.executor.witness import WitnessLibrary
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.messages import Failure, Hello
from cloudburst_runtime.runs import Counter
from cloudburst_runtime.shell import holding
from cloudburst_runtime.shell.alarm import Alarm
from cloudburst_runtime.shell.arena import Arena
from cloudburst_runtime.shell.clock import hybrid_clock, now_ms
from cloudburst_runtime.shell.holding import HOLDING
from cloudburst_runtime.shell.loop import REPORT_MS, Loop
from cloudburst_runtime.shell.spinning import EXECUTOR_TURNS_MAX
from cloudburst_runtime.shell.transport import Hub

LIVE_CHARACTERS_MAX = 10_000
"""How much of a long call's output is shown while it runs; all that is kept comes with the result."""

INTERRUPT_SIGNAL = signal.SIGUSR1

SWITCH_SECONDS = 0.001
"""After how long user code that computes lets another thread run, which has results to send or a cancel to
take: Python's own default is five times that."""

LOOK_MS = 1.0
"""How often an executor that runs one queued task after the other looks for messages. It would leave that to
the background thread, and the two would take turns with the interpreter."""

CANCELLED = Failure("CallCancelled", "the call that this thread belongs to was cancelled")


class ExecutorProcess:
    """One executor.

    Parameters
    ----------
    directory
        The runtime's directory.
    name
        This executor's peer name.
    config
        The runtime's configuration.
    """

    def __init__(self, directory: str, name: str, config: Config) -> None:
        hello = Hello(name, "executor", os.getpid(), config.gpus, os.uname().nodename)
        self.hub = Hub(directory, hello)
        self.hub.spin_for(config.spin_us, EXECUTOR_TURNS_MAX)
        self.core = ExecutorCore(config, name, hybrid_clock())
        inplace.home = directory
        self.streams = Streams(config.printed_bytes_max)
        seeds = None if config.seed is None else Seeds(config.seed)
        served = (self.core, self._perform, self._pump)
        self.sandbox = Sandbox(UserLibrary(*served), self.streams, seeds, WitnessLibrary(*served))
        self.todo: deque[list[Task]] = deque()
        self._replies: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        self.counter = Counter()
        self._shown = ("", "")
        self._used = (0.0, now_ms())
        self._shown_for: Task | None = None
        self._reported_at = 0.0
        self._main = threading.get_ident()
        carry: dict[type, Callable[[Any], None]] = {
            Execute: lambda effect: self.todo.append(effect.tasks),
            Reply: lambda effect: self._replies.__setitem__(effect.number, effect.result),
            Measure: lambda effect: self._measure(),
            Interrupt: lambda effect: self._interrupt(),
            Leave: lambda effect: os._exit(0),
            SetTimer: self._set_timer,
        }
        self.loop = Loop(self.core, self.hub, carry, self._report)
        self._alarm = Alarm(self.loop.fire_due)
        self.arena = Arena(directory, name, config.arena_bytes_max, lambda: self.loop.lock)
        holding.install()
        if config.trace:
            from cloudburst_runtime.shell.tracing import ExecutorTrace

            ExecutorTrace(self)

    def run(self) -> NoReturn:
        """Serve calls until the node is gone or says to leave."""
        self.streams.install()
        signal.signal(INTERRUPT_SIGNAL, self._on_interrupt)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.register_at_fork(after_in_child=self._after_fork)
        self.hub.listen()
        self.loop.start()
        self.loop.start_background("cloudburst-executor")
        with self.loop.lock:  # from now on the node takes it for ready
            if self.hub.connect(NODE) is None:
                os._exit(1)
        sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        gc.collect()
        gc.freeze()
        todo, sandbox, loop = self.todo, self.sandbox, self.loop
        while True:
            while not todo:
                loop.wait(todo.__len__, self.counter.due)  # type: ignore[arg-type]
                self._tell_if_due()
            tasks = todo.popleft()
            outcomes = sandbox.run(tasks)
            loop.post(Ran(tasks, outcomes))
            self._count(tasks, outcomes)
            if HOLDING.ended:
                HOLDING.settle()

    def _set_timer(self, effect: SetTimer) -> None:
        self.loop.set_timer(effect)
        if effect.key == departures.TIMER:  # it is for what user code is not to hold up
            self._alarm.set(effect.due)

    # ------------------------------------------------------------ what is counted

    def _count(self, tasks: list[Task], outcomes: list[Outcome]) -> None:
        """Count these runs; their results are on the way already."""
        now = now_ms()
        for task, outcome in zip(tasks, outcomes, strict=True):
            if task.function is not None and not task.cancelled:
                failed = outcome.failure is not None
                self.counter.note(task.function.name, outcome.ended - outcome.started, failed, now)
        if self.todo:
            self._tell_if_due()
            if now > self.loop.read_at + LOOK_MS:
                self.loop.glance()

    def _tell_if_due(self) -> None:
        now = now_ms()
        if self.counter.due is not None and now >= self.counter.due:
            with self.loop.lock:
                self.loop.perform([Send(NODE, messages.Ran(self.counter.take(now)))])

    # ------------------------------------------------------------ what user code asks for

    def _perform(self, kind: str, arguments: tuple[Any, ...]) -> Any:
        """Carry out one operation of user code; it waits, and the sockets are served meanwhile."""
        self._refuse_forked()
        task = self.sandbox.tasks[0]
        number = next(self._numbers)
        with _Outside(self):
            if kind == "write":
                arguments = (arguments[0], self.arena.moved(arguments[1]), *arguments[2:])
            self.loop.post(Op(task, number, kind, arguments))
            self.loop.wait(lambda: number in self._replies or task.cancelled)
            self._report_if_due()
        self._raise_if_cancelled()
        return self._replies.pop(number, CANCELLED)

    def _refuse_forked(self) -> None:
        if self.sandbox.forked:
            raise RuntimeUnavailable(
                "this process was forked by a cloud function, and the user library serves that one only"
            )

    def _pump(self, done: Callable[[], bool], timeout: float | None) -> bool:
        self._refuse_forked()
        task = self.sandbox.tasks[0]
        deadline = None if timeout is None else now_ms() + timeout * 1000
        finished = False
        with _Outside(self):
            while not finished:
                due = self._report_if_due()
                until = deadline if due is None or (deadline is not None and deadline < due) else due
                finished = self.loop.wait(lambda: done() or task.cancelled, until)
                if deadline is not None and now_ms() >= deadline:
                    break
        self._raise_if_cancelled()
        return finished

    # ------------------------------------------------------------ cancelling

    def _interrupt(self) -> None:
        if self.sandbox.in_user_code:
            signal.pthread_kill(self._main, INTERRUPT_SIGNAL)

    def _on_interrupt(self, number: int, frame: Any) -> None:
        if self.sandbox.in_user_code:
            self._raise_if_cancelled()

    def _raise_if_cancelled(self) -> None:
        if threading.get_ident() == self._main and all(task.cancelled for task in self.sandbox.tasks):
            raise Interrupted

    # ------------------------------------------------------------ while user code runs for long

    def _measure(self) -> None:
        """How much of a processor this process has used since the last time."""
        used, at = processor_ms(), now_ms()
        share = (used - self._used[0]) / max(1.0, at - self._used[1])
        self._used = (used, at)
        self.loop.perform(self.core.handle(Measured(share), at))

    def _report_if_due(self) -> float | None:
        """Report in the main thread, which a function that often asks for something leaves no time to
        the background thread to do; returns when to come again, None if all is told."""
        now = now_ms()
        if now < self._reported_at + REPORT_MS:
            return self._reported_at + REPORT_MS
        self._reported_at = now
        with self.loop.lock:
            self.loop.perform(self._report())
        return None

    def _report(self) -> list[Any]:
        """Tell the caller that its call still runs, and what it has printed, when that changed."""
        if not self.core.running:
            return []
        shown = tuple(
            stream.peek()[-LIVE_CHARACTERS_MAX:] for stream in (self.streams.stdout, self.streams.stderr)
        )
        if self._shown_for is self.core.running[0] and shown == self._shown:
            return []
        self._shown_for, self._shown = self.core.running[0], (shown[0], shown[1])
        return self.core.handle(StillRunning(shown[0], shown[1]), now_ms())

    def _after_fork(self) -> None:
        """A child that user code forked must not hold this executor's sockets open."""
        for connection in list(self.hub.connections.values()):
            connection.sock.close()
        if self.hub.listener is not None:
            self.hub.listener.close()
        self.arena.disown()
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  (for the child's lifetime)


class _Outside:
    """While in this block the main thread is in the runtime, not in user code: it is not interrupted."""

    __slots__ = ("process", "was")

    def __init__(self, process: ExecutorProcess) -> None:
        self.process = process
        self.was = False

    def __enter__(self) -> None:
        if threading.get_ident() == self.process._main:
            self.was = self.process.sandbox.in_user_code
            self.process.sandbox.in_user_code = False

    def __exit__(self, *exc: object) -> None:
        if self.was:
            self.process.sandbox.in_user_code = True


def processor_ms() -> float:
    """Milliseconds that this process has run or, where the system says so, was ready to run.

    What matters is whether it waits for something else than a processor: on a busy machine a process that
    computes gets little of one.
    """
    try:
        with open("/proc/self/schedstat") as file:
            running, ready, _ = file.read().split()
        return (int(running) + int(ready)) / 1e6
    except (OSError, ValueError):
        return time.process_time() * 1000
