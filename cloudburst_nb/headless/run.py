"""`cloudburst-nb run`: one notebook, executed headless, from request to exit status.

Order matters here: everything that can be refused is refused before a kernel starts, and whatever happens
after that the notebook is written, with the outputs that there are.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from . import document, parameters
from .errors import UsageError

if TYPE_CHECKING:
    from .cells import Failure, Progress

EXTERNAL_SCRIPT = re.compile(r"""<script[^>]*\ssrc=["']https?://[^>]*>\s*</script>""")
"""What nbconvert's template loads from the network; the page shows without it."""

OK, CELL_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Request:
    """What is asked for on the command line.

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
    timeout_s
        What each cell may take; None: no limit.
    html
        Write a self-contained HTML page beside the output as well.
    results
        Print the text outputs at the end.
    """

    notebook: Path
    out: str | None = None
    inplace: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    timeout_s: float | None = None
    html: bool = False
    results: bool = False


def run(request: Request, stdout: TextIO | None = None, stderr: TextIO | None = None) -> int:
    """Execute a notebook in a kernel of its own and write it with its outputs.

    Parameters
    ----------
    request
        What to do.
    stdout, stderr
        Where results, and progress and errors, are written.

    Returns
    -------
    int
        0 if every cell ran, 1 if one failed, 130 if the run was interrupted.

    Raises
    ------
    UsageError
        If the request cannot be carried out; nothing was executed then.

    Examples
    --------
    >>> run(Request(Path("nowhere.ipynb")))
    Traceback (most recent call last):
        ...
    cloudburst_nb.headless.errors.UsageError: nowhere.ipynb: no such file
    """
    notebook, notes = document.read(request.notebook)
    notes += parameters.inject(notebook, request.parameters)
    target = document.output_path(request.notebook, request.out, request.inplace)
    page = target.with_suffix(".html") if request.html else None
    if page is not None:
        _check_html(page)
    document.clear(notebook)
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr

    from . import progress

    lines = progress.Lines(stderr)
    for note in notes:
        lines.note(note)
    failure = _execute(request, notebook, lines, target, page)
    if request.results:
        stdout.write("\n".join(["", *progress.results(notebook)]) + "\n")
        stdout.flush()
    if failure is not None:
        lines.failure(failure)
    told = stdout if request.results else stderr
    told.write(f"executed notebook: {target}\n" + (f"page: {page}\n" if page is not None else ""))
    if failure is None:
        return OK
    return INTERRUPTED if failure.interrupted else CELL_FAILED


def _execute(
    request: Request, notebook: Any, lines: Progress, target: Path, page: Path | None
) -> Failure | None:
    """Execute the cells and write what there is then; signals end the cells, not the writing."""
    from .cells import Run, Stop
    from .kernel import Kernel

    stop = Stop()
    folder = request.notebook.resolve().parent

    async def attempt() -> Failure | None:
        kernel = Kernel(notebook, request.kernel, folder)
        return await Run(kernel, stop, lines, request.timeout_s).cells()

    with _signals(stop.ask):
        failure: Failure | None = _in_own_loop(attempt)
        document.drop_widget_views(notebook)
        document.write(notebook, target)
        if page is not None:
            document.write_text(_to_html(notebook, target.stem), page)
    return failure


def _in_own_loop(attempt: Callable[[], Any]) -> Any:
    """Run a coroutine to its end, also when the calling thread runs a loop already (in a notebook)."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(attempt())
    box: list[Any] = []

    def body() -> None:
        try:
            box.append((asyncio.run(attempt()), None))
        except BaseException as error:
            box.append((None, error))

    thread = threading.Thread(target=body, name="headless-run")
    thread.start()
    thread.join()
    value, error = box[0]
    if error is not None:
        raise error
    return value


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


def _check_html(page: Path) -> None:
    if importlib.util.find_spec("nbconvert") is None:
        raise UsageError(
            f"--html needs nbconvert: {os.path.basename(sys.executable)} -m pip install nbconvert"
        )
    document.check_writable(page)


def _to_html(notebook: Any, title: str) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True)
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return EXTERNAL_SCRIPT.sub("", str(body))
