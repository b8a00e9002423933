"""Displays of what a real runtime did."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_nb.errors import CallTimeout, FunctionNotFound
from cloudburst_nb.widgets.cards import FunctionCard
from tests.processes.watching import PATIENCE, eventually
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


def test_a_function_shows_what_changed_and_goes_back_to_an_earlier_version(client: Client) -> None:
    factor = 3

    def scale(x):
        return factor * x

    cb.function(scale, source="def scale(x):\n    return factor * x")
    factor = 5
    made = cb.function(scale, source="def scale(x):\n    y = x\n    return factor * y")
    assert made(2).get(PATIENCE) == 10
    said = read(made._repr_html_())
    assert "what changed since v1: 2 lines added, 1 removed" in said
    assert "1 call from here · no errors · to the result p50" in said
    assert list(made.versions()) == [1, 2]
    card = FunctionCard(made, client)
    (back,) = card.actions()
    assert (back["op"], back["choices"]) == ("rollback", ["v1"])
    assert card.act("rollback", {"choice": "v1"}) == "v3 is v1 again"
    assert (made.version, made.source) == (3, made.versions()[1])
    assert made(2).get(PATIENCE) == made.local(2) == 6
    assert card.actions()[0]["choices"] == ["v2", "v1"]
    with pytest.raises(FunctionNotFound, match="version 9 of 'scale' is not kept"):
        made.rollback(9)
    with pytest.raises(ValueError, match="v3 of 'scale' is the latest"):
        made.rollback(3)
    assert made(2).get(PATIENCE) == 6
    with pytest.raises(ValueError, match="only one version of 'once'"):
        cb.function(lambda: 1, name="once").rollback()


def test_an_older_handle_says_that_there_is_a_newer_version(client: Client) -> None:
    cb.function(lambda: 1, name="twice", source="1")
    older = cb.function(lambda: 2, name="twice", source="2")
    cb.function(lambda: 3, name="twice", source="3")
    assert older.version == 2
    assert "v3 is registered now" in read(older._repr_html_())


def test_a_function_counts_the_runs_in_dags_and_for_other_clients_too(client: Client) -> None:
    def half(x):
        return 1 / x

    made = cb.function(half)
    fails = made(0)
    cb.dag("halves", made)
    with pytest.raises(ZeroDivisionError):
        fails.get(PATIENCE)
    assert cb.get_dag("halves")(2).get(PATIENCE) == 0.5
    code = f"import cloudburst_nb as cb; cb.connect({client.address!r}).call('half', (4,)).get()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
    eventually(lambda: client._runs("half").count == 3, PATIENCE)
    said = read(made._repr_html_())
    assert re.search(r"3 runs · 1 error · run p50 .+, p99 .+ · for everybody, in DAGs too", said)
    assert "1 call from here · 1 error" in said


def test_a_class_goes_back_with_the_arguments_it_was_built_with(client: Client) -> None:
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def run(self, x):
            return self.factor * x

    made = cb.function(Scale)
    made.bind(3)
    scale = made.bind(4)
    assert scale(1).get(PATIENCE) == 4
    assert scale.rollback() == 3
    assert scale(1).get(PATIENCE) == scale.local(1) == 3
    assert "built once per executor as Scale(3)" in read(scale._repr_html_())


def test_the_status_says_which_call_runs_for_long(client: Client) -> None:
    wait = cb.function(lambda cloudburst: cloudburst.recv(timeout=PATIENCE), name="wait")
    waiting = wait()
    eventually(lambda: "wait" in [each.running for each in cb.status().executors])
    waiting.cancel()
    eventually(lambda: not any(each.running for each in cb.status().executors))


def test_the_store_shows_values_that_lie_side_by_side(client: Client) -> None:
    cb.put("together/plain", {"a"})
    left, right = cb.session("sk"), cb.session("sk")
    for session, value in ((left, "left"), (right, "right")):
        with session:
            cb.put("together/draft", value)
    store = cb.browse("together/")
    draft, plain = store.rows()
    assert (draft.key, draft.lattice, plain.lattice) == ("together/draft", "causal", "set")
    said = read(store.whole(draft, -1))
    assert "2 values were written without knowledge of each other" in said
    assert "sibling 1 'right' sibling 2 'left'" in said
    assert re.search(
        r"this version · by this notebook at \d\d:\d\d:\d\d\.\d{3} · \d+ B {'a'}$",
        read(store.whole(plain, -1)),
    )
    assert "together/draft causal" in read(store._repr_html_())
    assert "together/draft" in repr(store)
    cb.delete("together/plain")
    assert store.whole(plain, -1) == ""


def test_the_store_shows_the_history_of_a_key_and_what_the_last_writer_dropped(client: Client) -> None:
    cb.put("history/rate", 0.5)
    cb.function(lambda cloudburst: cloudburst.put("history/rate", 0.75), name="rate")().get(PATIENCE)
    store = cb.browse("history/")
    (row,) = store.rows()
    assert (row.versions, row.replicas) == (2, 1)
    first, last = read(store.whole(row, 0)), read(store.whole(row, -1))
    assert "version 1 of 2 this version · by this notebook" in first
    assert first.endswith("B 0.5")
    assert re.search(
        r"version 2 of 2 .*the one before · by this notebook .* 0\.5 this version · by e\d", last
    )
    assert last.endswith("B 0.75")
    assert "last writer wins" not in last, "the call came after the put, and so does its write"


def test_the_store_shows_which_writes_did_not_know_of_each_other(client: Client) -> None:
    @cb.function
    def blind(cloudburst):
        cloudburst.put("met/begun", True)
        while cloudburst.get("met/go") is None:
            time.sleep(0.01)
        cloudburst.put("met/rate", 0.75)
        cloudburst.put("met/tags", {"b"})

    called = blind()
    eventually(lambda: cb.get("met/begun", False), PATIENCE)  # it knows of nothing that comes from now on
    cb.put("met/rate", 0.5)
    cb.put("met/tags", {"a"})
    cb.put("met/go", True)
    called.get(PATIENCE)
    rate, tags = cb.history("met/rate"), cb.history("met/tags")
    assert [[met.how for met in each.met] for each in (*rate, *tags)] == [["over"], [], ["over"], []]
    store = cb.browse("met/")
    said = {row.key: read(store.whole(row, -1)) for row in store.rows()}
    assert re.search(r"last writer wins: e\d+ had not seen what this notebook had written", said["met/rate"])
    assert re.search(r"merged: e\d+ had not seen what this notebook had written", said["met/tags"])
    assert re.search(r"{'a'} written · .* {'b'} merged · \d+ B {'a', 'b'}$", said["met/tags"])
