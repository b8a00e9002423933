"""Running the cells of one notebook in order, and what became of them.

Of each cell one of four things is awaited: that it ends, that its kernel dies, that the user stops the run,
or that its time is up. Nothing here waits without a bound, except for a cell with no time limit.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from traceback import format_exception
from typing import Any, Protocol

from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

from .kernel import Kernel, KernelFailed

DRAIN_S = 1.0
"""How long the last messages of a kernel that died are waited for."""
INTERRUPT_S = 2.0
"""How long a cell over its time may take to end once interrupted."""
TICK_S = 0.2
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Failure:
    """Why a run did not reach its end.

    Attributes
    ----------
    reason
        One line.
    number, total
        The code cell, counted from 1, of how many; 0 if it was no cell's doing.
    source
        Of that cell.
    line
        The line in it that failed, counted from 1, if known.
    traceback
        As the kernel sent it, with its colours.
    interrupted
        True if the user stopped the run.
    timed_out
        True if a limit of time was over.
    raised
        True if the cell's code raised, and the kernel would go on.
    """

    reason: str
    number: int = 0
    total: int = 0
    source: str = ""
    line: int | None = None
    traceback: str = ""
    interrupted: bool = False
    timed_out: bool = False
    raised: bool = False


@dataclass(frozen=True)
class Limits:
    """What a run may take and put up with.

    Attributes
    ----------
    cell_s, total_s
        The seconds that each cell has, and all of them together; None: no limit.
    allow_errors
        Go on after a cell that raised.
    """

    cell_s: float | None = None
    total_s: float | None = None
    allow_errors: bool = False


@dataclass(frozen=True)
class Ended:
    """One cell that ended: its number counted from 1, its seconds, and the exception's line if it raised."""

    number: int
    seconds: float
    error: str | None


class Progress(Protocol):
    """Who wants to know how a run goes."""

    def started(self, number: int, total: int, source: str) -> None:
        """The code cell ``number`` of ``total`` starts."""

    def tick(self, seconds: float, calls: Mapping[str, int]) -> None:
        """It still runs, since ``seconds``; ``calls`` of each function and DAG have ended meanwhile."""

    def ended(self, seconds: float, ok: bool, calls: Mapping[str, int]) -> None:
        """It ended after ``seconds``."""


class Stop:
    """The user's wish to end the run; may be asked for from a signal handler."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self, signum: int) -> None:
        """Ask for the end."""
        self.signal = signum
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._event.set)

    async def asked(self) -> None:
        """Return once it was asked for."""
        self._loop = asyncio.get_running_loop()
        if self.signal is None:
            await self._event.wait()


@dataclass
class Run:
    """One pass over a notebook's cells.

    Parameters
    ----------
    kernel
        Not yet started.
    stop
        Ends the run early.
    progress
        Is told about each cell.
    indices
        The cells to execute.
    limits
        Of time, and whether a cell may raise.

    Attributes
    ----------
    ended
        The cells so far.
    """

    kernel: Kernel
    stop: Stop
    progress: Progress
    indices: list[int]
    limits: Limits = field(default_factory=Limits)
    ended: list[Ended] = field(default_factory=list)
    _before: dict[str, int] = field(default_factory=dict)
    _until: float = field(init=False, default=math.inf)
    _stopped: asyncio.Task[None] = field(init=False)
    _died: asyncio.Task[None] = field(init=False)

    async def cells(self) -> Failure | None:
        """Start the kernel, execute every cell, end the kernel; the failure if there was one."""
        asyncio.get_running_loop().set_exception_handler(_ignore_abandoned)
        if self.limits.total_s is not None:
            self._until = time.monotonic() + self.limits.total_s
        self._stopped = asyncio.create_task(self.stop.asked())
        self._died = asyncio.create_task(self.kernel.started_and_died())
        try:
            failure = await self._start() or await self._each()
            if not (self._stopped.done() or self._died.done()):
                await self._finish()
            return failure
        finally:
            await self._end()
            self._stopped.cancel()
            self._died.cancel()

    async def _start(self) -> Failure | None:
        start = asyncio.create_task(self.kernel.start())
        await asyncio.wait({start, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            await _abandon(start)
            return Failure("interrupted while the kernel started", interrupted=True)
        try:
            start.result()
        except KernelFailed as error:
            return Failure(f"the kernel {self.kernel.name!r} did not start: {error}", traceback=error.words)
        return None

    async def _finish(self) -> None:
        """Let the kernel finish, unless it dies of that or the user wants the end."""
        finishing = asyncio.create_task(self.kernel.finish())
        await asyncio.wait({finishing, self._stopped, self._died}, return_when=asyncio.FIRST_COMPLETED)
        if not finishing.done():
            await _abandon(finishing)

    async def _end(self) -> None:
        ending = asyncio.create_task(self.kernel.end(hurried=self.stop.signal is not None))
        if not self._stopped.done():
            await asyncio.wait({ending, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                self.kernel.kill()
        await ending

    async def _each(self) -> Failure | None:
        total = len(self.indices)
        for number, index in enumerate(self.indices, 1):
            source = self.kernel.client.nb.cells[index].source
            self.progress.started(number, total, source)
            start = time.monotonic()
            failure = await self._one(index, start)
            seconds = time.monotonic() - start
            self.progress.ended(seconds, failure is None, self._calls())
            self._before = self.kernel.calls()
            self.ended.append(Ended(number, seconds, None if failure is None else failure.reason))
            if failure is not None and not (self.limits.allow_errors and failure.raised):
                return replace(failure, number=number, total=total, source=source)
        return None

    async def _one(self, index: int, start: float) -> Failure | None:
        work = asyncio.create_task(self.kernel.execute(index))
        awaited = {work, self._stopped, self._died}
        while not any(task.done() for task in awaited) and not self._is_late(start):
            await asyncio.wait(awaited, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
            self.progress.tick(time.monotonic() - start, self._calls())
        if work.done():
            return self._ended(work, index)
        if self._stopped.done():
            await _abandon(work)
            return Failure("interrupted", interrupted=True)
        if self._died.done():
            await asyncio.wait({work}, timeout=DRAIN_S)
            await _abandon(work)
            return self._death()
        return await self._late(work, index)

    def _calls(self) -> dict[str, int]:
        """How many calls have ended since the cell began."""
        now = self.kernel.calls()
        since = {name: count - self._before.get(name, 0) for name, count in now.items()}
        return {name: count for name, count in since.items() if count > 0}

    def _is_late(self, start: float) -> bool:
        now = time.monotonic()
        return now >= self._until or (self.limits.cell_s is not None and now - start >= self.limits.cell_s)

    def _ended(self, work: asyncio.Task[None], index: int) -> Failure | None:
        error = work.exception()
        if error is None:
            return None
        if isinstance(error, CellExecutionError):
            return failure_of(self.kernel.client.nb.cells[index], error)
        if isinstance(error, DeadKernelError):
            return self._death()
        told = "".join(format_exception(error))
        return Failure(f"the cell could not be run: {type(error).__name__}: {error}", traceback=told)

    async def _late(self, work: asyncio.Task[None], index: int) -> Failure:
        whole = time.monotonic() >= self._until
        reason = (
            f"the run took longer than {self.limits.total_s:g} s"
            if whole
            else f"the cell ran longer than {self.limits.cell_s:g} s"
        )
        await self.kernel.interrupt()
        await asyncio.wait({work}, timeout=INTERRUPT_S)
        if work.done() and isinstance(error := work.exception(), CellExecutionError):
            told = failure_of(self.kernel.client.nb.cells[index], error)
            return Failure(reason, line=told.line, traceback=told.traceback, timed_out=True)
        await _abandon(work)
        return Failure(f"{reason}, and did not let itself be interrupted", timed_out=True)

    def _death(self) -> Failure:
        return Failure(f"the kernel died: {self.kernel.cause()}", traceback=self.kernel.last_words())


def failure_of(cell: Any, error: CellExecutionError) -> Failure:
    """The failure that an exception in ``cell`` is."""
    told = next((output for output in reversed(cell.outputs) if output.output_type == "error"), None)
    traceback = "\n".join(told.traceback) if told is not None else ""  # a UsageError of IPython has none
    reason = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
    return Failure(
        ANSI.sub("", reason).splitlines()[0],
        line=failing_line(traceback, cell.get("execution_count")),
        traceback=traceback,
        raised=True,
    )


def failing_line(traceback: str, count: int | None) -> int | None:
    """The line of cell ``In[count]`` that an IPython traceback passes through.

    Examples
    --------
    >>> failing_line("Cell In[3], line 2\\n----> 2 1 / 0", 3)
    2
    """
    found = re.search(rf"Cell In\[{count}\], line (\d+)", ANSI.sub("", traceback))
    return int(found.group(1)) if found else None


async def _abandon(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=DRAIN_S)
    if task.done() and not task.cancelled():
        task.exception()


def _ignore_abandoned(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Stay silent about the control-flow exceptions of tasks that nbclient leaves behind."""
    if not isinstance(context.get("exception"), CellControlSignal | DeadKernelError):
        loop.default_exception_handler(context)
