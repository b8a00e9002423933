"""The anomaly experiment: what lww lets through, counted by the checkers."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from cloudburst_runtime.levels import LEVELS
from cloudburst_runtime.sim.__main__ import main
from cloudburst_runtime.sim.anomalies import KINDS, STEPS, Experiment, run
from cloudburst_runtime.sim.visits import SHAPES, size, zipf

ROOT = Path(__file__).resolve().parent.parent
BUSY = Experiment(executions=150, keys=20, clients=12, writes=2)


@pytest.fixture(scope="module")
def busy():
    return run(BUSY)


def test_everything_runs_and_is_recorded(busy):
    calls = [each for each in busy.world.history.operations() if each.act.kind == "call"]
    assert len(calls) == BUSY.executions
    assert all(call.kind == "ok" for call in calls)
    executions = {access.execution for access in busy.record} - {""}
    assert len(executions) == BUSY.executions
    behind = {access.cache for access in busy.record if access.execution}
    assert len(behind) == BUSY.executors


def test_lww_keeps_its_own_promise_and_lets_others_through(busy):
    counts = {count.level: count for count in busy.counts}
    assert list(counts) == list(KINDS)
    assert busy.broken == []
    assert counts["lww"].anomalies == 0
    assert counts["sk"].anomalies > 0
    assert counts["dsrr"].anomalies >= counts["dsrr"].executions > 0


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_prevents_its_anomalies(level):
    outcome = run(replace(BUSY, level=level))
    counts = {count.level: count.anomalies for count in outcome.counts}
    prevented = STEPS[: STEPS.index(level) + 1] if level in STEPS else ("lww", level)
    assert outcome.broken == []
    assert [counts[each] for each in prevented] == [0] * len(prevented)


@pytest.mark.parametrize("seed", [0, 6, 10])
def test_what_is_read_from_a_record_on_another_executor_is_no_change_of_a_store(seed):
    small = Experiment(executions=60, keys=20, clients=12, writes=2, stores=3, replication=2, seed=seed)
    outcome = run(replace(small, level="atomic"))
    assert outcome.broken == []


def test_each_kind_that_was_counted_has_an_example(busy):
    assert list(busy.examples) == [count.level for count in busy.counts if count.anomalies]


def test_dags_have_three_functions_on_average():
    sizes = [size(shape) for shape in range(len(SHAPES))]
    assert sum(sizes) / len(sizes) == pytest.approx(3.2)


def test_keys_are_chosen_by_zipfs_law():
    chosen = Counter(islice(zipf(50, 1.0, Random(3)), 20_000))
    assert chosen[0] / chosen[1] == pytest.approx(2, rel=0.1)
    assert chosen[0] / chosen[9] == pytest.approx(10, rel=0.2)
    even = Counter(islice(zipf(5, 0.0, Random(3)), 20_000))
    assert max(even.values()) < 1.1 * min(even.values())


def test_equal_seeds_give_equal_counts_under_different_hash_seeds():
    code = (
        "from cloudburst_runtime.sim.anomalies import Experiment, run\n"
        "outcome = run(Experiment(executions=20, keys=5))\n"
        "print(outcome.world.digest, [count.anomalies for count in outcome.counts])"
    )
    said = set()
    for hash_seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "runtime")}
        command = [sys.executable, "-c", code]
        said.add(subprocess.run(command, env=environ, capture_output=True, timeout=60, check=True).stdout)
    assert len(said) == 1


def test_the_command_line_shows_a_table_and_examples(capsys):
    assert main(["anomalies", "--executions", "60", "--keys", "5", "--clients", "12"]) == 0
    shown = capsys.readouterr().out
    assert "dsrr: repeatable read: " in shown
    assert "60 executions at lww, seed 0" in shown
    assert shown.splitlines()[-1].startswith("atomic")
