"""Recording with real processes, and running what was recorded again."""

from __future__ import annotations

import io
import os
import pdb
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb import runtimes
from cloudburst_nb.headless.replays import replay, replay_of
from cloudburst_nb.records import again, speed
from cloudburst_nb.records.comparing import first_divergence
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.record import Record, read
from cloudburst_nb.records.recorder import WatchedShell
from cloudburst_runtime.shell.client import ClientShell

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    cb.down()
    monkeypatch.setattr(runtimes.state, "known", {})
    with cb.up(executors=2, seed=3):
        yield


def tell(cloudburst: Any, x: int) -> tuple[int, float, bool]:
    cloudburst.put("seen", {x: 1}, lattice="map[counter]")
    cloudburst.put("last", x)
    print("told", x)
    return x + cloudburst.get("table").sum(), cloudburst.now(), cloudburst.get("nothing") is None


def draw() -> float:
    return float(np.random.default_rng().random())


class Sum:
    def __init__(self) -> None:
        self.total = 0

    def run(self, x: int) -> int:
        self.total += x
        return self.total


def increment(x: int, by: int = 1) -> int:
    return x + by


def pair(a: int, b: int) -> list[int]:
    return [a, b]


def fail(x: int) -> None:
    raise ValueError(f"no {x}")


def doubled(xs: list[int]) -> list[int]:
    return [2 * x for x in xs]


def recorded(folder: Path) -> Record:
    """A record with something of everything."""
    cb.put("table", np.arange(20_000))
    names = (tell, draw, Sum, increment, pair, fail)
    told, drawing, summing, more, paired, failing = (cb.function(each) for each in names)
    batch = cb.function(doubled, batching=True)
    diamond = cb.dag("diamond", more >> [cb.function(lambda x: x * x, name="square"), summing] >> paired)
    with cb.record(folder):
        futures = [told(x) for x in range(3)] + drawing_twice(drawing) + [diamond(x) for x in range(4)]
        futures += [summing(10), more(1, by=more(2)), more(cb.ref("last")), *batch.map(range(8))]
        cb.wait([*futures, failing(7)])
        cb.get("last")
    return read(folder)


def drawing_twice(drawing: Any) -> list[Any]:
    return [drawing(), drawing()]


def test_a_recorded_run_comes_out_the_same_again(tmp_path: Path) -> None:
    record = recorded(tmp_path / "r")
    cb.down()
    outcome = replay_of(record)
    assert [str(each) for each in outcome.divergences] == []
    assert not outcome.skipped
    assert len(record.calls) == 22
    assert outcome.steps == 22 + 4 * 3


def test_a_record_says_what_determined_the_run(tmp_path: Path) -> None:
    record = recorded(tmp_path / "r")
    told = record.calls[0]
    [step] = told.steps
    assert (told.target, step.function, step.version) == ("tell", "tell", 1)
    assert [(seen.kind, seen.keys) for seen in step.seen] == [
        ("put", ["seen"]),
        ("put", ["last"]),
        ("get", ["table"]),
        ("now", []),
        ("get", ["nothing"]),
    ]
    assert record.revealed(step.seen[2].lattices[0]).sum() == np.arange(20_000).sum()
    assert step.executor in ("e1", "e2")
    assert step.stdout == "told 0\n"
    assert told.submitted <= step.started <= step.ended <= told.ended
    tables = {call.steps[0].seen[2].lattices[0].value.digest for call in record.calls[:3]}  # type: ignore[union-attr]
    assert len(tables) == 1, "one content is kept once"
    failed = record.calls[-1]
    assert (failed.target, failed.failure and failed.failure.message) == ("fail", "no 7")
    assert [stored.keys for stored in record.stored if stored.kind == "read"] == [["last"]]
    assert record.runtimes[0].seed == 3
    assert record.environment is not None
    assert record.environment.packages["numpy"] == np.__version__
    assert {function.name for function in record.functions.values()} >= {"tell", "Sum", "square"}
    assert [dag.name for dag in record.dags] == ["diamond"]


def test_calls_at_a_causal_level_are_recorded_and_run_again(tmp_path: Path) -> None:
    def extend(cloudburst: Any, word: str) -> list[str]:
        words = (cloudburst.get("words") or []) + [word]
        cloudburst.put("words", words)
        return [cloudburst.consistency, *words]

    step, more = (
        cb.function(extend),
        cb.function(lambda cloudburst, words: cloudburst.get("words"), name="more"),
    )
    chain = cb.dag("causal", step >> more)
    with cb.record(tmp_path / "r"), cb.session("dsc"):
        assert step("a").get() == ["dsc", "a"]
        assert chain("b").get() == ["a", "b"]
        cb.put("last", np.arange(20_000))
        cb.delete("words")
    record = read(tmp_path / "r")
    assert [call.level for call in record.calls] == ["dsc", "dsc"]
    assert [stored.kind for stored in record.stored] == ["write", "delete"]
    outcome = replay_of(record)
    assert (outcome.steps, outcome.divergences) == (3, [])


def test_what_a_function_captures_is_part_of_it(tmp_path: Path) -> None:
    factor = 3
    with cb.record(tmp_path / "one"):
        cb.function(lambda x: x * factor, name="scale")(2).get()
    factor = 4
    with cb.record(tmp_path / "two"):
        cb.function(lambda x: x * factor, name="scale")(2).get()
    one, two = (list(read(tmp_path / name).functions.values())[-1] for name in ("one", "two"))
    assert one.digest != two.digest
    assert [(name, text) for name, _, text in two.captured] == [("factor", "4")]


def test_one_past_call_runs_again_from_what_it_saw(tmp_path: Path) -> None:
    first = cb.function(lambda cloudburst: cloudburst.get("k"), name="first")
    random = cb.function(draw)
    cb.put("k", 4)
    with cb.record(tmp_path / "r"):
        old, drawn = first(), random()
        number = drawn.get()
        assert cb.replay(drawn) == number, "also while it is still being recorded"
    cb.put("k", 5)
    before = np.random.get_state()[1][:5]
    assert cb.replay(old) == 4
    assert cb.replay(drawn) == drawn.get()
    assert list(np.random.get_state()[1][:5]) == list(before), "this process draws as if nothing had been"
    assert first().get() == 5


def test_a_function_of_a_dag_is_run_again_by_its_name(tmp_path: Path) -> None:
    chain = cb.dag("chain", cb.function(increment) >> cb.function(fail))
    with cb.record(tmp_path / "r"):
        future = chain(1)
    assert cb.replay(future, node="increment") == 2
    with pytest.raises(ValueError, match="no 2") as caught:
        cb.replay(future)
    assert "in fail" in str(caught.value.__cause__), "the traceback is that of the function"
    with pytest.raises(RecordError, match="has no function 'other'; it has increment, fail"):
        cb.replay(future, node="other")


def test_a_call_that_was_not_recorded_cannot_be_run_again() -> None:
    future = cb.function(increment)(1)
    with pytest.raises(RecordError, match=r"was not recorded: make it while cb\.record"):
        cb.replay(future)


def test_only_a_future_can_be_run_again() -> None:
    with pytest.raises(TypeError, match="takes the future of a recorded call; not 3"):
        cb.replay(3)  # type: ignore[arg-type]


def test_a_record_in_the_place_of_another_does_not_stand_for_it(tmp_path: Path) -> None:
    add = cb.function(increment)
    with cb.record(tmp_path / "r"):
        former = add(1)
    with cb.record(tmp_path / "r"):
        latter = add(10)
    with pytest.raises(RecordError, match="another record took the place"):
        cb.replay(former)
    assert cb.replay(latter) == 11
    shutil.rmtree(tmp_path / "r")
    with pytest.raises(RecordError, match="no such record"):
        cb.replay(latter)


def test_a_debugger_stops_in_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cb.record(tmp_path / "r"):
        future = cb.function(increment)(41)
    said = io.StringIO()
    commands = io.StringIO("p x\np by\ncontinue\n")
    monkeypatch.setattr(again, "debugger", lambda: pdb.Pdb(stdin=commands, stdout=said))
    assert cb.replay(future, pdb=True) == 42
    assert "increment" in said.getvalue()
    assert "(Pdb) 41\n(Pdb) 1\n" in said.getvalue()


# ---------------------------------------------------------------- how fast


def test_the_calls_are_made_again_in_a_runtime_and_timed(tmp_path: Path) -> None:
    record = recorded(tmp_path / "r")
    cb.down()
    compared = speed.compare(record, speed.measure(record))
    assert not compared.left_out
    calls = {row.name: row.calls for row in compared.rows if row.stage == "total"}
    assert calls == {"tell": 3, "draw": 2, "diamond": 4, "Sum": 1, "increment": 3, "doubled": 8, "fail": 1}
    stages = [row.stage for row in compared.rows if row.name == "diamond"]
    assert stages[:4] == ["total", "queued", "transfer", "run"]
    assert set(stages[4:]) == {f"run of {name}" for name in ("increment", "square", "Sum", "pair")}
    assert all(row.now.p50 >= 0 and row.then.p50 >= 0 for row in compared.rows)
    first, *lines = compared.lines()
    assert first.split() == [
        "milliseconds",
        "calls",
        "p50",
        "then",
        "now",
        "p95",
        "then",
        "now",
        "p50",
        "ratio",
    ]
    assert lines[0].split()[:2] == ["Sum", "1"]


def test_a_call_whose_code_is_not_in_the_record_is_left_out(tmp_path: Path) -> None:
    record = recorded(tmp_path / "r")
    cb.down()
    record.functions = {key: each for key, each in record.functions.items() if each.name != "Sum"}
    measured = speed.measure(record)
    assert measured.left_out == {"the code of 'Sum' v1 is not in the record": 5}
    assert len(measured.timings) == 22 - 5
    skipped = replay_of(record).skipped
    assert skipped == {"Sum: the code of 'Sum' v1 is not in the record": 5}


# ---------------------------------------------------------------- what diverges


def test_a_function_that_changed_diverges_at_its_call_and_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed module travels by name, so what it does may be another thing when a record is replayed."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    source = "def grade(points):\n    return {'grade': points // 10, 'of': [points]}\n"
    (site / "grading.py").write_text(source)
    import grading  # type: ignore[import-not-found]

    with cb.record(tmp_path / "r"):
        cb.gather(cb.function(grading.grade).map([12, 25, 37, 45]))
    (site / "grading.py").write_text(source.replace("// 10", "// 10 + (points > 30)"))
    command = [sys.executable, "-m", "cloudburst_nb.cli", "replay", str(tmp_path / "r")]
    path = os.pathsep.join([str(site), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4, done.stderr
    first, detail, *_, last = done.stdout.splitlines()
    assert first == "call 3: grade(37) version 1: it returned something else (then → now)"
    assert detail.strip() == "['grade']: 3 → 4"
    assert last == "4 calls, 4 functions executed: 2 came out as they did, 2 did not"


def test_what_nothing_determines_diverges(tmp_path: Path) -> None:
    with cb.record(tmp_path / "r"):
        cb.function(time.time_ns, name="clock")().get()
        cb.function(lambda: print(time.time_ns()), name="say")().get()
    words = [divergence.what for divergence in replay(tmp_path / "r").divergences]
    assert words == ["it returned something else (then → now)", "it printed something else (then → now)"]


def test_a_call_that_asks_for_something_else_has_strayed(tmp_path: Path) -> None:
    names = iter(["first", "second", "third"])

    def ask(cloudburst: Any, path: str) -> Any:
        with open(path) as file:
            return cloudburst.get(file.read())

    def put(cloudburst: Any, path: str) -> None:
        with open(path) as file:
            cloudburst.put("k", file.read())

    (tmp_path / "key").write_text(next(names))
    with cb.record(tmp_path / "r"):
        cb.gather(cb.function(ask)(str(tmp_path / "key")), cb.function(put)(str(tmp_path / "key")))
    (tmp_path / "key").write_text(next(names))
    read_other, put_other = replay(tmp_path / "r").divergences
    assert read_other.what == "it wants to read 'second', where it did read 'first' then"
    assert put_other.what == "it puts into 'k' something else: 'first' → 'second'"


def test_two_runs_differ_first_where_an_argument_does(tmp_path: Path) -> None:
    more = cb.function(increment)
    for name, numbers in (("one", [1, 2, 3]), ("two", [1, 5, 3])):
        with cb.record(tmp_path / name):
            cb.gather(more.map(numbers))
    records = read(tmp_path / "one"), read(tmp_path / "two")
    found = first_divergence(*records)
    assert found is not None
    assert (found.call, found.what) == (1, "an argument is another (then → now)")
    assert found.details == ("[0][0]: 2 → 5",)
    assert first_divergence(records[0], records[0]) is None


# ---------------------------------------------------------------- what goes wrong


def test_a_call_that_never_ended_is_in_the_record_all_the_same(tmp_path: Path) -> None:
    recording = cb.record(tmp_path / "r")
    nap = cb.function(time.sleep, name="nap")(60)
    recording.close()
    nap.cancel()
    [call] = read(tmp_path / "r").calls
    assert call.failure is not None
    assert call.failure.kind == "unfinished"
    with pytest.raises(RecordError, match="ended before it ran"):
        cb.replay(nap)


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the process that records may write 40 KB into one."""
    script = """
        import resource, signal, sys
        import numpy as np
        import cloudburst_nb as cb
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        cb.up(executors=1)
        total = cb.function(lambda array: float(array.sum()), name="total")
        recording = cb.record(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        print(total(np.random.default_rng(0).random(40_000)).get() > 0)
        try:
            recording.close()
        except cb.errors.CloudburstError as error:
            print(error)
        recording.close()
        cb.down()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "r")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "True",
        f"{tmp_path / 'r'}: the record cannot be written: File too large",
    ], done.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_way_out_of_a_client_is_watched() -> None:
    """Who adds a method to the shell decides here whether a recording has to know of it."""
    known, watched = (
        {name for name, each in vars(shell).items() if callable(each) and not name.startswith("_")}
        for shell in (ClientShell, WatchedShell)
    )
    assert known == watched | {"new_number", "cancel", "turn_is_due", "unfinished", "wait", "check", "close"}


def test_a_runtime_that_comes_up_later_is_recorded_too(tmp_path: Path) -> None:
    with cb.record(tmp_path / "r"):
        cb.function(increment)(1).get()
        cb.down()
        cb.up(executors=1)
        cb.function(increment)(5).get()
    record = read(tmp_path / "r")
    assert [(call.client, call.target) for call in record.calls] == [(0, "increment"), (1, "increment")]
    assert replay_of(record).divergences == []
