"""Displays of what a real runtime did."""

from __future__ import annotations

import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_nb.errors import CallTimeout
from tests.processes.watching import PATIENCE
from tests.showing import named, pictures, read


def test_futures_functions_and_dags_of_a_runtime_show_themselves(client: Client) -> None:
    def load(x):
        print("loading")
        return [x] * 3

    first, second = cb.function(load), cb.function(sum, name="total")
    pipe = cb.dag("pipe", first >> second)
    future = pipe(7)
    assert future.get(PATIENCE) == 21
    said = read(future._repr_html_())
    assert said.startswith("● done pipe in ")
    assert " 21 ■ queued " in said
    assert said.endswith("stdout (1 line) loading")
    assert read(first._repr_html_()).startswith("cloud function load (x) v1")
    (picture,) = pictures(pipe._repr_html_())
    assert [text.text for text in named(picture, "text")] == ["load", "v1", "total", "v1"]
    assert "load v1" in read(cb.status()._repr_html_())
    assert cb.plots.timeline(future).axes[0].get_xlim()[1] > 0


def test_a_failure_shows_the_line_that_failed(client: Client) -> None:
    future = cb.function(lambda x: 1 / x, name="inverse")(0)
    assert isinstance(future.exception(PATIENCE), ZeroDivisionError)
    assert "1 / x" in read(future._repr_html_())


def test_gather_with_progress_counts_and_gives_the_values(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    square = cb.function(lambda x: x * x, name="square")
    assert cb.gather(square.map(range(20)), progress=True, timeout=PATIENCE) == [x * x for x in range(20)]
    shown = capsys.readouterr()
    assert shown.err.startswith("20/20 done, ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_progress_gives_failed_calls_too_and_keeps_to_its_time(client: Client) -> None:
    wait = cb.function(lambda cloudburst: cloudburst.recv(timeout=PATIENCE), name="wait")
    inverse = cb.function(lambda x: 1 / x, name="inverse")
    futures = cb.progress(inverse.map([1, 0]), timeout=PATIENCE)
    assert [future.exception() is None for future in futures] == [True, False]
    waiting = wait()
    with pytest.raises(CallTimeout, match=r"1 of 1 calls are not done within 0\.3 s"):
        cb.progress(waiting, timeout=0.3)
    waiting.cancel()
