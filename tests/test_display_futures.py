"""Futures in a notebook: each state, and nothing of what users wrote is taken for HTML."""

from __future__ import annotations

import pytest

from cloudburst_nb.display import futures as module
from cloudburst_nb.display.tracebacks import marked
from cloudburst_nb.future import CloudburstFuture
from cloudburst_runtime.executor.printed import Printed
from cloudburst_runtime.messages import Failure, Result
from cloudburst_runtime.values import Value
from tests.showing import Shell, done, failed, future, named, pictures, read, running, step

TRACEBACK = 'Traceback (most recent call last):\n  File "x"\n    1 < 2\nZeroDivisionError: division by zero\n'


def words(made: CloudburstFuture) -> str:
    return read(made._repr_html_())


def test_a_future_that_waits_says_so_and_nobody_waits_for_it() -> None:
    shell = Shell()
    assert words(future(shell=shell)) == "● waiting square not done yet: get() waits for it"
    assert shell.waits == []


def test_a_call_that_runs_says_where_and_how_far_it_is_and_what_it_printed() -> None:
    said = words(running(future(), fraction=0.25, text="step 3", stdout="a\nb\n"))
    assert said == "● running square on e3, 25% step 3 stdout (2 lines) a b"


def test_a_value_comes_with_the_split_of_its_latency() -> None:
    made = done(9)
    stages = "■ queued 1 ms ■ transfer 1 ms ■ run 2 ms ■ return 1 ms"
    assert words(made) == f"● done square in 5 ms 9 {stages} on e1"
    (bar,) = pictures(made._repr_html_())  # the bar is one
    rail, *spans = named(bar, "rect")
    assert float(rail.attrib["width"]) == sum(float(each.attrib["width"]) for each in spans) == 260
    assert [float(each.attrib["width"]) for each in spans] == [52, 52, 104, 52]


def test_a_failure_shows_the_remote_traceback_open() -> None:
    html = failed(Failure("user", "division by zero", TRACEBACK), steps=[step(stderr="oh")])._repr_html_()
    assert "<details open><summary>" in html
    said = read(html)
    assert said.startswith("● failed broken after 5 ms ZeroDivisionError: division by zero Traceback")
    assert "1 < 2" in said
    assert said.endswith("stderr (1 line) oh")


def test_a_failure_without_a_traceback_is_one_line() -> None:
    said = words(failed(Failure("ExecutorLost", "it is <gone>")))
    assert said == "● failed broken ExecutorLost: it is <gone>"


def test_a_cancelled_call_says_so() -> None:
    assert words(failed(Failure("CallCancelled", "given up"))).startswith("● cancelled broken")


def test_a_dag_has_a_row_for_each_function() -> None:
    nodes = ["load", "left", "merge"]
    steps = [step(0), step(1, "e2", 1003.0, 0.5)]
    made = done([1], "pipe", steps, nodes=nodes)
    said = words(made)
    assert "● done load queued 1 ms, run 2 ms e1" in said
    assert "● done left queued 1 ms, run 0.5 ms e2" in said
    assert said.endswith("● waiting merge")
    assert len(pictures(made._repr_html_())) == 3


def test_what_a_failed_dag_left_out_is_cancelled() -> None:
    made = running(future("pipe", nodes=["load", "left", "right", "merge"]))
    assert made.node_states == {"load": "running", "left": "waiting", "right": "waiting", "merge": "waiting"}
    made.resolve(Result(1, 0, None, [step(0), step(1)], Failure("user", "no", TRACEBACK)), 1005.0)
    assert made.node_states == {"load": "done", "left": "failed", "right": "cancelled", "merge": "cancelled"}
    assert words(made).endswith("● cancelled right ● cancelled merge")


def test_a_wide_dag_is_shown_in_part() -> None:
    nodes = [f"f{index}" for index in range(module.NODES_SHOWN_MAX + 7)]
    said = words(future("pipe", nodes))
    assert said.endswith("… and 7 more functions")
    assert "f60" not in said


def test_what_users_wrote_is_no_html() -> None:
    said = words(done("<script>1</script>", "<b>f", [step(stdout="<img src=x>")]))
    assert "'<script>1</script>'" in said
    assert "<b>f" in said
    assert "<img src=x>" in said


def test_a_value_that_cannot_be_read_here_says_why() -> None:
    made = future()
    made.resolve(Result(1, 0, Value(b"no pickle"), [step()]), 1005.0)
    assert "returned what this process cannot read" in words(made)


@pytest.mark.parametrize("count", [1, 50_000])
def test_of_much_output_the_end_is_shown(count: int) -> None:
    html = done(9, steps=[step(stdout="x" * count + "the end")])._repr_html_()
    assert "the end" in read(html)
    assert len(html) < 25_000
    assert ("characters before this" in html) == (count > 20_000)


def test_of_output_that_was_cut_short_it_is_said_how_much_is_missing() -> None:
    cut = Printed(1, 2000)
    for _ in range(100_000):
        cut.write("line\n")
    said = words(done(9, steps=[step(stdout=cut.take())]))
    assert "stdout (400 lines, and 498,000 characters left out)" in said


TWO_CELLS = """Traceback (most recent call last):
  File "/usr/lib/x.py", line 7, in <lambda>
    helper()
  File "cell-1", line 3, in inner<b>
    return 1 / 0
           ~~^~~
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

  File "cell-2", line 1
    (
    ^
SyntaxError: '(' was never closed"""


def test_a_traceback_marks_the_lines_of_cells_and_keeps_every_word() -> None:
    html = marked(TWO_CELLS, lambda file: {"cell-1": "In[4]", "cell-2": "In[5]"}.get(file, ""))
    assert html.count("border-left:3px") == 2
    assert "<b>Cell In[4], line 3</b>, in inner&lt;b&gt;\n    return 1 / 0\n           ~~^~~</span>" in html
    assert "<b>Cell In[5], line 1</b>\n    (\n    ^</span>" in html
    plain = marked(TWO_CELLS, lambda file: "")
    assert "border-left:3px" not in plain
    assert read(plain) == " ".join(TWO_CELLS.split())


def test_the_way_back_is_told_from_the_way_there() -> None:
    made = done(9, steps=[step(at=1001.0, run=2.0)])  # from 1000 to 1005, run from 1002 to 1004
    assert made.timings["return"] == 0.001
    assert "transfer 1 ms ■ run 2 ms ■ return 1 ms" in words(made)
    elsewhere = done(9, steps=[step(at=9001.0, run=2.0)])  # another host's clock
    assert "return" not in elsewhere.timings
    assert "return" not in words(elsewhere)
