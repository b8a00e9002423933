"""Progress of many calls: counted once each, shown by whoever waits, in the form that the place allows."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from cloudburst_nb.display import progress
from cloudburst_nb.display.html import STATES
from cloudburst_nb.display.tally import Tally
from cloudburst_nb.errors import CallTimeout
from cloudburst_nb.future import CloudburstFuture
from cloudburst_runtime.messages import Failure, Result, Running
from cloudburst_runtime.values import encode
from tests.showing import Shell, future, read

ROOT = Path(__file__).resolve().parents[1]


class Seen:
    """A view that remembers the lines it was to show."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ends: list[str] = []

    def show(self, tally: Tally, seconds: float) -> None:
        self.lines.append(f"{tally.over}/{tally.total}")

    def end(self, tally: Tally, seconds: float) -> None:
        self.ends.append(f"{tally.over}/{tally.total}, {tally.failed} failed")


def end(made: CloudburstFuture, failure: Failure | None = None) -> Callable[[], object]:
    value = None if failure else encode(1)
    return lambda: made.resolve(Result(1, 0, value, [], failure), 1005.0)


def calls(shell: Shell, *targets: str) -> list[CloudburstFuture]:
    return [future(target, shell=shell, number=index) for index, target in enumerate(targets)]


# ---------------------------------------------------------------- counting


def test_a_tally_counts_by_function() -> None:
    tally = Tally(["square"] * 3 + ["cube"])
    tally.ended("square", "done")
    tally.ended("cube", "failed")
    assert tally.line(4.0) == "2/4 done (1 failed), 0.5/s, 4 s left: square 1/3, cube 1/1"
    said = read(tally.html(4.0))
    assert said == ("2 of 4 calls are done · 0.5/s, 4 s left square 1 done 2 waiting cube 0 done 1 failed")


def test_calls_that_were_given_up_have_not_failed() -> None:
    tally = Tally(["square", "square", "cube"])
    tally.ended("square", "cancelled")
    tally.ended("cube", "failed")
    assert tally.line(2.0).startswith("2/3 done (1 failed, 1 cancelled), 1/s")
    tally.ended("square", "done")
    assert tally.line(2.0).startswith("3/3 done (1 failed, 1 cancelled), 2 s")
    assert "1 done 1 cancelled" in read(tally.html(2.0))
    alone = Tally(["square"])
    alone.ended("square", "cancelled")
    assert STATES["cancelled"] in alone.html(1.0)
    assert STATES["failed"] not in alone.html(1.0)


def test_calls_that_run_are_told_from_those_that_wait() -> None:
    tally = Tally(["square"] * 4 + ["cube"])
    tally.ended("square", "done")
    tally.run(["square", "cube"])
    tally.run(["square", "square"])
    assert tally.line(1.0) == "1/5 done, 2 running, 1/s, 4 s left: square 1/4, cube 0/1"
    assert read(tally.html(1.0)).endswith("square 1 done 2 running 1 waiting cube 0 done 1 waiting")


def test_the_last_line_has_no_time_left_but_the_time_it_took() -> None:
    tally = Tally(["square"])
    assert tally.line(0.0) == "0/1 done: square"
    tally.ended("square", "done")
    assert tally.line(0.5) == "1/1 done, 500 ms, 2/s: square"
    assert Tally([]).line(0.0) == "0/0 done"


def test_a_high_rate_is_written_out() -> None:
    tally = Tally(["square"] * 2)
    tally.ended("square", "done")
    assert "2,000/s, 0.5 ms left" in tally.line(0.0005)


def test_a_line_fits_a_terminal() -> None:
    tally = Tally(f"{index}{'f' * 300}" for index in range(50))
    assert len(tally.bar(1.0, columns=80)) < 80
    assert "f" * 30 not in tally.line(1.0)


# ---------------------------------------------------------------- waiting


def test_each_call_is_counted_once_and_shown_as_it_ends() -> None:
    shell, seen = Shell(), Seen()
    first, second = calls(shell, "square", "square")
    shell.script = [end(first), lambda: None, end(second, Failure("user", "no"))]
    assert progress.watch([first, second, first], None, seen) == [first, second, first]
    assert seen.lines == ["1/2", "1/2"]
    assert seen.ends == ["2/2, 1 failed"]
    assert all(wait == progress.PERIOD_S for wait in shell.waits)


def test_those_that_are_known_to_run_are_counted_each_time() -> None:
    class Lines(Seen):
        def show(self, tally: Tally, seconds: float) -> None:
            self.lines.append(f"{tally.over} over, {tally.running} running")

    shell, seen = Shell(), Lines()
    first, second = calls(shell, "square", "square")
    shell.script = [lambda: first.observe(Running(0, 0, 0, "e1")), end(first), end(second)]
    progress.watch([first, second], None, seen)
    assert seen.lines == ["0 over, 1 running", "1 over, 0 running"]


def test_calls_that_are_done_are_not_waited_for() -> None:
    shell, seen = Shell(), Seen()
    (only,) = calls(shell, "square")
    end(only)()
    assert progress.watch([only], None, seen) == [only]
    assert (shell.waits, seen.lines, seen.ends) == ([], [], ["1/1, 0 failed"])


def test_of_nothing_nothing_is_shown() -> None:
    seen = Seen()
    assert progress.watch([], None, seen) == []
    assert seen.ends == []


def test_a_time_out_says_how_many_are_left() -> None:
    shell, seen = Shell(), Seen()
    first, second = calls(shell, "square", "square")
    shell.script = [end(first)]
    with pytest.raises(CallTimeout, match=r"1 of 2 calls are not done within 0\.01 s; they go on"):
        progress.watch([first, second], 0.01, seen)
    assert seen.ends == ["1/2, 0 failed"]


def test_an_interrupt_cancels_the_calls_and_leaves_a_last_word() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    shell, seen = Shell(), Seen()
    made = calls(shell, "square", "square")
    shell.script = [end(made[0]), interrupt]
    with pytest.raises(KeyboardInterrupt):
        progress.watch(made, None, seen)
    assert shell.cancelled == [1]
    assert seen.ends == ["1/2, 0 failed"]


# ---------------------------------------------------------------- showing


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    view, tally = progress.view([]), Tally(["square", "square"])
    view.show(tally, 1.0)
    tally.ended("square", "done")
    view.show(tally, 2.0)
    tally.ended("square", "done")
    view.end(tally, 4.0)
    shown = stream.getvalue().split("\r\x1b[K")
    assert [line[:20].count("█") for line in shown[1:]] == [0, 10, 20]
    assert stream.getvalue().count("\n") == 1
    assert shown[-1].endswith("2/2 done, 4 s, 0.5/s: square\n")


def test_elsewhere_there_is_one_line_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    view, tally = progress.view([]), Tally(["square"])
    view.show(tally, 1.0)
    assert stream.getvalue() == ""
    view.end(tally, 1.0)
    assert stream.getvalue() == "0/1 done: square\n"


def test_a_process_without_a_standard_error_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    view = progress.view([])
    view.show(Tally(["square"]), 1.0)
    view.end(Tally(["square"]), 1.0)


CELL = """
from cloudburst_nb.display.progress import view
from cloudburst_nb.display.html import STATES
from cloudburst_nb.display.tally import Tally
tally, where = Tally(["square", "square"]), view([])
where.show(tally, 1.0)
tally.ended("square", "done")
where.show(tally, 2.0)
tally.ended("square", "failed")
where.end(tally, 4.0)
type(where).__name__
"""


@pytest.mark.notebook
@pytest.mark.parametrize(("headless", "expected"), [("", "'Widget'"), ("1", "'Page'")])
def test_a_notebook_keeps_plain_html(
    headless: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "runtime", "kernel_ext"))
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv(progress.HEADLESS, headless)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    executed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path)],
        input=nbformat.writes(notebook),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert executed.returncode == 0, executed.stderr
    shown, named = nbformat.reads(executed.stdout, as_version=4).cells[0].outputs
    assert named.data["text/plain"] == expected
    assert set(shown.data) == {"text/plain", "text/html"}
    assert shown.data["text/plain"] == "2/2 done (1 failed), 4 s, 0.5/s: square"
    assert re.match("2 of 2 calls are done", read(shown.data["text/html"]))


RUN = f"""
import sys
import nbformat
from nbclient import {NotebookClient.__name__}
from jupyter_client.manager import AsyncKernelManager
notebook = nbformat.read(sys.stdin, 4)
manager = AsyncKernelManager(transport="ipc", ip=sys.argv[1] + "/k", kernel_name="python3")
NotebookClient(notebook, km=manager, store_widget_state=False).execute()
print(nbformat.writes(notebook))
"""
