"""`cloudburst-nb run`: notebooks executed headless, from requests to an exit status.

Order matters here: everything that can be refused is refused before a kernel starts, and whatever happens
after that each notebook is written, with the outputs that there are. Each has a kernel of its own, and so a
runtime of its own; several go side by side, as many at once as asked for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cloudburst_nb.overrides import Executors, variables

from . import document, pages, parameters
from .errors import UsageError
from .selection import select

if TYPE_CHECKING:
    from .cells import Ended, Failure, Progress, Stop
    from .recording import Taping

OK, CELL_FAILED, USAGE, TIMED_OUT, DIFFERS, INTERRUPTED = 0, 1, 2, 3, 4, 130
STATUSES = {OK: "ok", CELL_FAILED: "failed", TIMED_OUT: "timed out", INTERRUPTED: "interrupted"}
GRAVEST_FIRST = (INTERRUPTED, CELL_FAILED, TIMED_OUT)


@dataclass(frozen=True)
class Request:
    """What is asked for on the command line, of one notebook.

    Attributes
    ----------
    notebook
        The input.
    out
        Where the executed notebook goes; None: beside the input, as ``NAME.out.ipynb``.
    inplace
        Over the input.
    parameters
        Values by name, for the cell tagged ``parameters``.
    kernel
        The kernelspec; None: the notebook's own.
    timeout_s, total_timeout_s
        What each cell may take, and all together; None: no limit.
    cells
        Which cells to execute, as `selection.select` reads it; None: all.
    allow_errors
        Go on after a cell that raised.
    executors, state_dir, seed
        What the runtime is started with, whatever the notebook says; None: as the notebook says.
    html, markdown
        Write a page beside the output as well.
    results
        Print the text outputs at the end.
    record
        Where the run is recorded; None: nowhere.
    """

    notebook: Path
    out: str | None = None
    inplace: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    timeout_s: float | None = None
    total_timeout_s: float | None = None
    cells: str | None = None
    allow_errors: bool = False
    executors: Executors | None = None
    state_dir: str | None = None
    seed: int | None = None
    html: bool = False
    markdown: bool = False
    results: bool = False
    record: Path | None = None


@dataclass
class Job:
    """A request that was not refused, and what became of it."""

    request: Request
    notebook: Any
    notes: list[str]
    indices: list[int]
    target: Path
    pages: dict[Path, Callable[[Any, Path], None]]
    ended: list[Ended] = field(default_factory=list)
    failure: Failure | None = None
    unrecorded: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> int:
        """The exit status that this run alone would have."""
        if self.failure is None:
            return CELL_FAILED if self.unrecorded else OK
        if self.failure.interrupted:
            return INTERRUPTED
        return TIMED_OUT if self.failure.timed_out else CELL_FAILED


def run(
    requests: Sequence[Request],
    jobs: int = 1,
    as_json: bool = False,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Execute notebooks, each in a kernel of its own, and write them with their outputs.

    Parameters
    ----------
    requests
        What to do.
    jobs
        How many notebooks are executed at the same time.
    as_json
        Write one JSON object a notebook to ``stdout``, and nothing else.
    stdout, stderr
        Where results, and progress and errors, are written.

    Returns
    -------
    int
        0 if every cell ran, 130 if the run was interrupted, 1 if a cell failed, 3 if a time was over.

    Raises
    ------
    UsageError
        If a request cannot be carried out; nothing was executed then.

    Examples
    --------
    >>> run([Request(Path("nowhere.ipynb"))])
    Traceback (most recent call last):
        ...
    cloudburst_nb.headless.errors.UsageError: nowhere.ipynb: no such file
    """
    prepared = [prepare(request) for request in requests]
    _check_apart([job.target for job in prepared])
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr
    execute(prepared, jobs, stderr)
    for job in prepared:
        _tell(job, as_json, stdout, stderr)
    found = [job.status for job in prepared]
    return next((status for status in GRAVEST_FIRST if status in found), OK)


def prepare(request: Request) -> Job:
    """Everything that can be refused, done before anything runs; `UsageError` if it is."""
    notebook, notes = document.read(request.notebook)
    notes += parameters.inject(notebook, request.parameters)
    target = document.output_path(request.notebook, request.out, request.inplace)
    wanted: dict[Path, Callable[[Any, Path], None]] = {}
    if request.html:
        wanted[target.with_suffix(".html")] = pages.write_html
    if request.markdown:
        wanted[target.with_suffix(".md")] = pages.write_markdown
    for page in wanted:
        pages.check(page)
    if request.record is not None:
        from . import recording

        recording.check(request.record, request.kernel or notebook.metadata.get("kernelspec", {}).get("name"))
    indices = select(notebook, request.cells)
    document.clear(notebook)
    return Job(request, notebook, notes, indices, target, wanted)


def _check_apart(targets: list[Path]) -> None:
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"{target}: two of the notebooks would be written there")


def execute(prepared: Sequence[Job], jobs: int, stderr: TextIO) -> None:
    """Execute the jobs and write what there is then; signals end the cells, not the writing."""
    from . import progress
    from .cells import Stop

    side_by_side = len(prepared) > 1 and jobs > 1
    stops: list[Stop] = []

    async def one(job: Job, turn: asyncio.Semaphore, stop: Stop) -> None:
        async with turn:
            lines = progress.Lines(stderr, job.request.notebook.stem if side_by_side else None)
            for note in job.notes:
                lines.note(note)
            await _execute(job, lines, stop)

    async def every() -> None:
        turn = asyncio.Semaphore(jobs)
        stops.extend(Stop() for _ in prepared)
        await asyncio.gather(*(one(job, turn, stop) for job, stop in zip(prepared, stops, strict=True)))

    def ask(number: int) -> None:
        for stop in stops:
            stop.ask(number)

    with _signals(ask):
        _in_own_loop(every)


async def _execute(job: Job, lines: Progress, stop: Stop) -> None:
    from .cells import Limits, Run
    from .kernel import Kernel

    request = job.request
    asked = variables(request.executors, request.state_dir, request.seed)
    if request.seed is not None:
        asked["PYTHONHASHSEED"] = "0"  # as in executors: the order of a set is part of what a notebook shows
    place = request.notebook.resolve().parent
    taping = _taping(request)
    kernel = Kernel(job.notebook, request.kernel, place, asked, None if taping is None else taping.around)
    limits = Limits(request.timeout_s, request.total_timeout_s, request.allow_errors)
    start = time.monotonic()
    attempt = Run(kernel, stop, lines, job.indices, limits)
    job.failure = await attempt.cells()
    job.ended, job.seconds = attempt.ended, time.monotonic() - start
    document.drop_widget_views(job.notebook)
    if taping is not None:
        job.unrecorded = taping.finish(job, kernel.complaint)
    document.write(job.notebook, job.target)
    for page, write in job.pages.items():
        write(job.notebook, page)


def _taping(request: Request) -> Taping | None:
    """The recording of a run, if it is to be recorded."""
    if request.record is None:
        return None
    from .recording import Taping

    return Taping(request.record)


def _tell(job: Job, as_json: bool, stdout: TextIO, stderr: TextIO) -> None:
    """Results, the failure if there was one, and where the notebook lies."""
    from . import progress

    if as_json:
        stdout.write(json.dumps(told(job)) + "\n")
        stdout.flush()
    elif job.request.results:
        stdout.write("\n".join(["", *progress.results(job.notebook)]) + "\n")
        stdout.flush()
    if job.failure is not None:
        progress.Lines(stderr).failure(job.failure)
    if job.unrecorded:
        stderr.write(f"cloudburst-nb: {job.unrecorded}\n")
    to = stdout if job.request.results and not as_json else stderr
    raised = sum(cell.error is not None for cell in job.ended) if job.failure is None else 0
    if raised:
        to.write(f"cells that raised, as allowed: {raised}\n")
    if job.target != Path(os.devnull):
        to.write(f"executed notebook: {job.target}\n")
    to.write("".join(f"page: {page}\n" for page in job.pages))
    if job.request.record is not None and not job.unrecorded:
        to.write(f"record: {job.request.record}\n")


def told(job: Job) -> dict[str, Any]:
    """What a machine is told of a job."""
    failure = job.failure
    return {
        "notebook": str(job.request.notebook),
        "output": str(job.target),
        "pages": [str(page) for page in job.pages],
        "status": STATUSES[job.status],
        "exit": job.status,
        "seconds": round(job.seconds, 3),
        "cells": [
            {"number": cell.number, "seconds": round(cell.seconds, 3), "error": cell.error}
            for cell in job.ended
        ],
        "failure": None
        if failure is None
        else {"cell": failure.number or None, "line": failure.line, "reason": failure.reason},
    }


def _in_own_loop(attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end, also when the calling thread runs a loop already (in a notebook)."""
    if asyncio._get_running_loop() is None:
        asyncio.run(attempt())
        return
    failed: list[BaseException] = []

    def body() -> None:
        try:
            asyncio.run(attempt())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="headless-run")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@contextmanager
def _signals(ask: Callable[[int], None]) -> Iterator[None]:
    """While this lasts, the signals that mean "end" ask for it instead of ending this process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _frame: ask(got)) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
