"""What a headless run shows: a line per cell while it goes, the failure, the results. Text only, no kernel.

On a terminal the seconds of the running cell count up in place; elsewhere each cell gets its one line, the
beginning of it written when the cell starts, so that a log also says which cell a run hangs in.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from .cells import ANSI, Failure
from .document import runnable

WIDTH_MAX = 130
SECONDS_WIDTH = 10
CALLED_WIDTH = 34
CALLED_MAX = 3
NAME_WIDTH_MAX = 24
CONTEXT_LINES = 3
RESULT_LINES_MAX = 200


def headline(source: str) -> str:
    """The line that stands for a cell: its first, and behind a cell magic also the next.

    Examples
    --------
    >>> headline("%%time\\n\\nx = 1")
    '%%time x = 1'
    """
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return " ".join(lines[:2] if lines and lines[0].startswith("%%") else lines[:1])


class Lines:
    """Progress, written to a stream.

    Parameters
    ----------
    stream
        Usually stderr.
    name
        Of the notebook, where several run side by side: then each line is written when its cell has ended.
    """

    def __init__(self, stream: TextIO, name: str | None = None) -> None:
        self.stream = stream
        self.name = name
        self.heard = True
        self.live = stream.isatty() and name is None
        columns = shutil.get_terminal_size((WIDTH_MAX, 24)).columns if self.live else WIDTH_MAX
        self.width = max(20, min(columns, WIDTH_MAX) - SECONDS_WIDTH - CALLED_WIDTH - 1)
        self.line = ""

    def started(self, number: int, total: int, source: str) -> None:
        """Begin the line of a cell."""
        counter = f"[{number:>{len(str(total))}}/{total}] "
        place = "" if self.name is None else f"{self.name} "
        self.line = _fit(place + counter + headline(source), self.width)
        if self.name is None:
            self._write(self.line)

    def tick(self, seconds: float, calls: Mapping[str, int]) -> None:
        """On a terminal, show how long the cell has been running, and what it has called."""
        if self.live:
            self._write(f"\r{self.line} {seconds:7.1f} s{called(calls)}")

    def ended(self, seconds: float, ok: bool, calls: Mapping[str, int]) -> None:
        """End the line of a cell."""
        again = self.line if self.name is not None else f"\r{self.line}" if self.live else ""
        self._write(f"{again} {seconds:7.1f} s{'' if ok else '  failed'}{called(calls)}\n")

    def note(self, text: str) -> None:
        """A line of its own."""
        self._write(f"cloudburst-nb: {text}\n")

    def failure(self, failure: Failure) -> None:
        """Why the run ended: the reason, the cell with its failing line, the traceback."""
        place = f"cell {failure.number} of {failure.total}: " if failure.number else ""
        self._write(f"cloudburst-nb: {place}{failure.reason}\n")
        if failure.source:
            self._write("\n" + "\n".join(excerpt(failure.source, failure.line)) + "\n")
        if failure.traceback:
            text = failure.traceback if self.live else ANSI.sub("", failure.traceback)
            self._write("\n" + text.rstrip("\n") + "\n")

    def _write(self, text: str) -> None:
        if self.heard:
            try:
                self.stream.write(text)
                self.stream.flush()
            except BrokenPipeError:  # such as `| head`: the run goes on, and what it made is written
                self.heard = False


def called(calls: Mapping[str, int]) -> str:
    """The calls of a cell, in a few words: the functions and DAGs that it called most.

    Examples
    --------
    >>> called({"square": 12, "pipe": 4000}), called({})
    ('  pipe 4,000, square 12', '')
    """
    most = sorted(calls, key=lambda name: (-calls[name], name))
    shown = [f"{_fit(name, NAME_WIDTH_MAX).rstrip()} {calls[name]:,}" for name in most[:CALLED_MAX]]
    more = [f"{len(most) - CALLED_MAX} more"] if len(most) > CALLED_MAX else []
    words = "  " + ", ".join([*shown, *more]) if shown else ""
    return words if len(words) <= CALLED_WIDTH else words[: CALLED_WIDTH - 1] + "…"


def excerpt(source: str, line: int | None) -> list[str]:
    """A cell's source, numbered, with an arrow at ``line`` and long stretches far from it left out.

    Examples
    --------
    >>> excerpt("a = 1\\nb = a / 0", 2)
    ['       1  a = 1', '  -->  2  b = a / 0']
    """
    lines = source.splitlines()
    first, last = 1, min(len(lines), 4 * CONTEXT_LINES)
    if line is not None and len(lines) > 4 * CONTEXT_LINES:
        first, last = max(1, line - CONTEXT_LINES), min(len(lines), line + CONTEXT_LINES)
    shown = [
        f"  {'-->' if number == line else '   '} {number:>2}  {lines[number - 1]}".rstrip()
        for number in range(first, last + 1)
    ]
    return ["        …"] * (first > 1) + shown + ["        …"] * (last < len(lines))


def results(notebook: Any) -> Iterator[str]:
    """The text outputs of the code cells, each block under its cell's first line.

    Parameters
    ----------
    notebook
        An executed notebook.

    Yields
    ------
    str
        Lines.
    """
    for number, index in enumerate(runnable(notebook), 1):
        cell = notebook.cells[index]
        lines = "".join(map(text_of, cell.outputs)).rstrip("\n").splitlines()
        if lines:
            yield _fit(f"[{number}] {headline(cell.source)}", WIDTH_MAX).rstrip()
            yield from (f"    {line}".rstrip() for line in lines[:RESULT_LINES_MAX])
            if len(lines) > RESULT_LINES_MAX:
                yield f"    … {len(lines) - RESULT_LINES_MAX} more lines in the notebook"
            yield ""


def text_of(output: Any) -> str:
    """The text form of one output, ending in a newline; a figure is only mentioned."""
    if output.output_type == "stream":
        return ANSI.sub("", str(output.text))
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}\n"
    if any(kind.startswith("image/") for kind in output.data):
        return "(a figure: see the notebook)\n"
    plain = output.data.get("text/plain", "")
    return f"{plain}\n" if plain else ""


def _fit(text: str, width: int) -> str:
    return text[: width - 1] + "…" if len(text) > width else text.ljust(width)
