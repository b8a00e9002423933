"""The benchmarks' own arithmetic, tables, page and limits; and one case against a real runtime.

Nothing here asserts how long something takes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

import benchmarks.cases  # noqa: F401  registers the cases
from benchmarks import machine, measure, report, run, table, work
from benchmarks.__main__ import chosen, main, parser
from benchmarks.case import FULL, QUICK, Case, Effort, Row
from benchmarks.contender import CONTENDERS, PEERS, Contender, contender_class, missing
from benchmarks.lives import Lives
from benchmarks.picture import bars, colours_of, curves
from benchmarks.station import answer
from benchmarks.stations import Station, descendants

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
TINY = Effort(quick=True, rounds=2, count=5, seconds=0.01, row_seconds=10.0, lives=1, idle_seconds=0.01)


# ---------------------------------------------------------------- measure


def test_percentiles_are_nearest_ranks() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [measure.percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert measure.percentile([7.0], 0.5) == measure.percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no sample"):
        measure.percentile([], 0.5)


def test_the_spread_is_that_of_the_rounds_medians_not_of_the_samples() -> None:
    figures = measure.figures([[1.0, 2.0, 90.0], [4.0, 4.0, 4.0]])
    assert (figures.low, figures.high, figures.samples) == (2.0, 4.0, 6)


def test_a_ratio_is_taken_within_rounds_so_that_drift_cancels() -> None:
    slow_then_fast = [[4.0], [40.0], [8.0]]
    limit = [[2.0], [20.0], [2.0]]
    assert measure.ratio(slow_then_fast, limit) == measure.Ratio(2.0, 2.0, 4.0)
    assert measure.ratio([[1.0]], [[0.0]]) is None
    assert measure.ratio([[4.0], [9.0]], [[2.0]]) == measure.Ratio(2.0, 2.0, 2.0)


def test_a_block_ends_by_count_and_by_time_but_has_a_sample() -> None:
    calls: list[int] = []
    probe = measure.timed(lambda: calls.append(1))
    assert len(probe(7, 1e6)) == len(calls) == 7
    assert len(probe(1_000_000, 0.0)) == 1


def test_a_sample_is_of_one_operation_and_excludes_what_comes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(measure.time, "perf_counter", clock)
    probe = measure.timed(lambda: clock.pass_(10.0), before=lambda: clock.pass_(100.0), each=5)
    assert probe(3, 1e6) == [2.0, 2.0, 2.0]


class FakeClock:
    """A clock that only goes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def test_a_wrong_result_is_no_result() -> None:
    probe = measure.timed(lambda: 41, expect=42)
    with pytest.raises(ValueError, match="41, not 42"):
        probe(3, 1.0)


# ---------------------------------------------------------------- cases


def names_asked_of(case: Case) -> list[tuple[str, str]]:
    asked = [("cloudburst", case.probe)]
    asked += [("machine", limit[0]) for limit in (case.limit, case.beside) if limit is not None]
    return asked + [(row.contender, row.probe) for row in case.rows]


@pytest.mark.parametrize("effort", [QUICK, FULL], ids=["quick", "full"])
def test_every_case_asks_for_probes_that_exist(effort: Effort) -> None:
    cases = chosen(effort, "")
    wrong = [
        asked
        for case in cases
        for asked in names_asked_of(case)
        if asked[1] != "life" and not hasattr(contender_class(asked[0]), asked[1])
    ]
    assert not wrong
    assert len({(case.group, case.name) for case in cases}) == len(cases)


def test_the_full_run_has_the_sizes_that_were_promised() -> None:
    largest: dict[str, int] = {}
    for case in chosen(FULL, ""):
        largest[case.series] = max(largest.get(case.series, 0), case.size)
    promised = {
        "chain length": 20,
        "arrays, hot": 8_000_000,
        "arrays, cold": 8_000_000,
        "put from the client": 64_000_000,
        "get inside a function": 64_000_000,
        "registered functions": 10_000,
        "keys: a get": 1_000_000,
        "DAG nodes: a call, per node": 1_000,
        "executors": 16,
        "calls in flight, per call": 100_000,
    }
    assert {series: largest[series] for series in promised} == promised


def test_growth_is_measured_from_small_to_large() -> None:
    sizes: dict[str, list[int]] = {}
    for case in chosen(FULL, "Growth"):
        sizes.setdefault(case.series, []).append(case.size)
    assert all(each == sorted(each) for each in sizes.values())


def test_only_what_was_asked_for_is_chosen() -> None:
    assert [case.name for case in chosen(QUICK, "no-op c")] == ["no-op call"]
    assert parser().parse_args([]).json == "out/bench.json"


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_says_how_it_is_used_without_being_installed(name: str) -> None:
    kind = contender_class(name)
    assert kind.label
    assert len(kind.how) > 20
    assert issubclass(kind, Contender)
    compile(kind.life, name, "exec")


def test_a_peer_that_is_not_installed_is_named() -> None:
    class Absent(Contender):
        label = "Absent"
        module = "a_module_that_nobody_has"

    assert "a_module_that_nobody_has is not installed" in missing(Absent)
    assert missing(contender_class("futures")) == ""


def test_entries_are_limits_then_this_project_then_peers() -> None:
    case = Case(
        "g",
        "n",
        "noop",
        limit=("ping_pong", ("two cores",)),
        beside=("ping_pong", ("one core",)),
        rows=(Row("cloudburst", "noop_awaited", label="awaited"), Row("ray", "compiled_noop", label="graph")),
    )
    found = [(entry.role, entry.label) for entry in run.entries(case, ["futures"])]
    assert found == [
        ("limit", "the machine's limit, two cores"),
        ("beside", "the machine's limit, one core"),
        ("ours", "cloudburst-nb"),
        ("ours", "awaited"),
        ("peer", "ProcessPoolExecutor"),
    ]


# ---------------------------------------------------------------- describing


def entry(role: str, label: str) -> run.Entry:
    return run.Entry("x", label, role, "probe", (), {})


def described() -> dict[str, Any]:
    measured = [
        (entry("limit", "limit, two cores"), [[10e-6], [20e-6]]),
        (entry("beside", "limit, one core"), [[5e-6], [5e-6]]),
        (entry("ours", "cloudburst-nb"), [[20e-6, 20e-6], [40e-6, 40e-6]]),
        (entry("peer", "slow"), [[1e-3], [1e-3]]),
        (entry("peer", "fast"), [[80e-6], [160e-6]]),
    ]
    case = Case("Calls", "no-op call", each="call", series="chain length", size=1)
    return run.describe(case, measured, {"broken": "it | did\nnot answer"})


def result_of(*cases: dict[str, Any]) -> dict[str, Any]:
    peers = {
        "fast": {"label": "fast", "how": "as advised", "version": "1.0", "skipped": ""},
        "gone": {"label": "gone", "how": "so", "version": "", "skipped": "gone is not installed"},
    }
    return {
        "machine": run.about_machine(),
        "quick": True,
        "peers": peers,
        "seconds": 61.0,
        "cases": list(cases),
    }


def test_figures_come_with_ratios_to_limit_and_best_peer() -> None:
    rows = {row["label"]: row for row in described()["rows"]}
    ours = rows["cloudburst-nb"]
    assert ours["to_limit"] == pytest.approx({"p50": 2.0, "low": 2.0, "high": 2.0})
    assert ours["to_beside"]["p50"] == pytest.approx(6.0)
    assert ours["to_best_peer"]["p50"] == pytest.approx(0.25)
    assert described()["best_peer"] == "fast"


def test_a_result_is_json_and_says_nothing_of_whose_machine_it_was() -> None:
    result = result_of(described())
    assert json.loads(json.dumps(result)) == result
    assert os.uname().nodename not in json.dumps(result["machine"]).split('"')


def test_the_table_has_every_row_its_ratios_and_who_was_missing() -> None:
    text = table.table(result_of(described()))
    assert re.search(
        r"cloudburst-nb +20\.0 µs +40\.0 µs +40\.0 µs +20\.0 µs … 40\.0 µs +2\.00 +6\.00 +0\.25", text
    )
    assert "gone did not take part: gone is not installed" in text
    assert "50,000 a second by cloudburst-nb" in text
    assert "broken: it | did" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0.00 ns"),
        (9.996e-7, "s", "1.00 µs"),
        (0.99999, "s", "1.00 s"),
        (512.0, "B", "512 B"),
        (0.0, "core", "0.000 %"),
        (688.2, "/s", "688 /s"),
    ],
)
def test_figures_have_their_units(value: float, unit: str, text: str) -> None:
    assert table.figure_text(value, unit) == text


# ---------------------------------------------------------------- the page


def grown(size: int, p50: float, limit: float) -> dict[str, Any]:
    case = Case("Growth", f"keys: {size}", series="keys", size=size)
    return run.describe(case, [(entry("limit", "limit"), [[limit]]), (entry("ours", "us"), [[p50]])], {})


def test_growth_is_told_without_the_machines_drift() -> None:
    page = report.page(result_of(grown(1_000, 10e-6, 5e-6), grown(10_000, 30e-6, 10e-6)))
    assert "| 1,000 | 10.0 µs | 10.0 µs | 2.00 | 1.00 |" in page
    assert "| 10,000 | 30.0 µs | 30.0 µs | 3.00 | 1.50 |" in page


def test_a_point_that_failed_has_its_note_in_the_page() -> None:
    failed = run.describe(Case("Growth", "x", series="keys", size=7), [], {"us": "no answer"})
    page = report.page(result_of(grown(1, 1e-6, 1e-6), failed))
    assert "| 7 |  |  |  |  |" in page
    assert "7: no answer" in page


def test_page_and_picture_are_written_from_the_figures_alone(tmp_path: Path) -> None:
    figures = tmp_path / "bench.json"
    figures.write_text(json.dumps(result_of(described(), grown(1, 1e-6, 1e-6))))
    report.main([str(figures), "--docs", str(tmp_path / "docs")])
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "| cloudburst-nb | 20.0 µs |" in page
    assert "*did not take part: gone is not installed*" in page
    assert "it \\| did not answer" in page
    assert (tmp_path / "docs" / "images" / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
    report.main([str(figures), "--docs", str(tmp_path / "again")])
    assert (tmp_path / "again" / "benchmarks.md").read_text() == page


def test_the_picture_takes_points_and_bars_from_the_cases() -> None:
    result = result_of(described())
    assert curves(result, "chain length", ("peer",)) == {"slow": [(1, 1e-3)], "fast": [(1, 80e-6)]}
    assert bars(result, "no-op")[1][0] == ("limit, two cores", 10e-6)
    assert bars(result, "of which there is none") == ("of which there is none", [])
    colours = colours_of(result)
    assert len({colours["slow"], colours["fast"], colours["cloudburst-nb"]}) == 3


# ---------------------------------------------------------------- stations and limits


def test_a_station_makes_each_probe_once_and_says_what_is_absent() -> None:
    made: list[int] = []

    class Counted(Contender):
        def chain(self, length: int) -> measure.Probe:
            made.append(length)
            return lambda count, seconds: [1.0] * count

    probes: dict[str, measure.Probe | None] = {}
    request = {"probe": "chain", "args": [3], "count": 2, "seconds": 0.0}
    for _ in range(2):
        assert answer(Counted(), probes, request)["samples"] == [1.0, 1.0]
    assert made == [3]
    for unknown in ("noop", "compiled_noop"):
        assert answer(Counted(), probes, {**request, "probe": unknown, "args": []}) == {"absent": True}


@pytest.mark.parametrize("cores", ["one core", "two cores"])
def test_limits_answer_and_give_the_cores_back(cores: str) -> None:
    before = machine.available()
    made = machine.Machine()
    try:
        probes = [made.ring(3, cores), made.scatter(10, cores), made.flood(2_500, cores)]
        assert [len(probe(3, 60.0)) for probe in probes] == [3, 3, 3]
    finally:
        made.stop()
    assert machine.available() == before


def test_memory_limits_compute_what_the_functions_do() -> None:
    made = machine.Machine()
    for probe in (made.in_process(8_000, "hot"), made.in_process(8_000, "cold"), made.look_up(8)):
        assert len(probe(2, 60.0)) == 2
    made.stop()
    assert work.total(*work.new_arrays(8_000)) == work.sum_of_arrays(8_000)


@pytest.mark.processes
def test_the_life_that_compiles_what_it_imports_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    tmp_path.joinpath("imported.py").touch()
    lines = f"""
        import os, sys, time
        os.chdir({str(tmp_path)!r})
        was = os.path.exists("__pycache__")
        sys.path.insert(0, ".")
        import imported
        now = time.time()
        say(now, now + was)
    """
    lives = Lives("\n".join(line.strip() for line in lines.splitlines()), 0.01)
    samples = [lives.block("life", ("import",), 1, 1.0) for _ in range(2)]
    assert [round(each[0]) for each in samples if each] == [1, 1]


@pytest.mark.processes
def test_a_station_that_is_closed_leaves_no_process_and_no_file() -> None:
    station = Station("futures")
    directory, family = station._directory, descendants(os.getpid())
    assert station.block("noop", (), 3, 60.0) is not None
    assert os.path.isdir(directory)
    station.close()
    assert not os.path.exists(directory)
    assert family
    assert not [process for process in family if process.is_running()]


@pytest.mark.processes
def test_a_station_that_rests_does_nothing_with_all_its_workers_until_it_is_woken() -> None:
    station = Station("futures")
    station.block("noop", (), 3, 60.0)
    family = descendants(os.getpid())
    station.rest()
    assert len(family) > 1
    assert {process.status() for process in family} == {psutil.STATUS_STOPPED}
    station.wake()
    assert station.block("noop", (), 3, 60.0) is not None
    station.rest()
    station.close()
    assert not [process for process in family if process.is_running()]


class Watched:
    """A source that notes who is awake while a block is taken."""

    awake: ClassVar[set[int]] = set()
    seen: ClassVar[list[set[int]]] = []
    took = 0.0

    def __init__(self, number: int) -> None:
        self.number = number
        self.wake()

    def block(self, *_: object) -> list[float]:
        self.seen.append({source - self.number for source in self.awake})
        return [1.0]

    def rest(self) -> None:
        self.awake.discard(self.number)

    def wake(self) -> None:
        self.awake.add(self.number)

    def close(self) -> None:
        self.rest()


@pytest.mark.parametrize("crowded", [False, True])
def test_others_are_awake_only_while_a_crowd_is_what_is_measured(
    crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Watched.seen.clear()
    bench = run.Bench(TINY, ["futures"], lambda _: None)
    opened: list[Watched] = []
    monkeypatch.setattr(bench, "_open", lambda _: opened.append(Watched(len(opened))) or opened[-1])
    bench.run([Case("g", "n", "noop", limit=("ping_pong", ()), crowded=crowded)])
    assert len(Watched.seen) == 3 * TINY.rounds
    assert all((len(awake) == 3) if crowded else awake == {0} for awake in Watched.seen)
    assert not Watched.awake


@pytest.mark.parametrize(("took", "rounds"), [(0.0, TINY.rounds), (TINY.row_seconds, 1)])
def test_what_is_made_ready_for_a_block_leaves_no_fewer_rounds(
    took: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Watched.seen.clear()
    monkeypatch.setattr(Watched, "took", took)
    bench = run.Bench(TINY, [], lambda _: None)
    monkeypatch.setattr(bench, "_open", lambda _: Watched(0))
    bench.run([Case("g", "n", "noop")])
    assert len(Watched.seen) == rounds


@pytest.mark.processes
def test_a_case_runs_against_a_real_runtime_and_failures_become_notes(tmp_path: Path) -> None:
    said: list[str] = []
    bench = run.Bench(TINY, ["futures"], said.append)
    noop = next(case for case in chosen(QUICK, "no-op c"))
    broken = Case("Calls", "broken", "chain", (0,))
    result = bench.run([noop, broken])
    rows = {row["label"]: row for row in result["cases"][0]["rows"]}
    assert {"cloudburst-nb", "cloudburst-nb, await", "ProcessPoolExecutor"} <= set(rows)
    assert all(row["samples"] == 2 * TINY.count or row["samples"] >= 2 for row in rows.values())
    assert result["cases"][1]["notes"]["cloudburst-nb"].startswith("InvalidDag")
    assert any("no-op call" in line for line in said)
    report.write(result, tmp_path)


@pytest.mark.processes
def test_a_contender_that_does_not_start_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    bench = run.Bench(TINY, ["redis"], lambda _: None)
    bench.peers["redis"]["skipped"] = ""
    counter = next(case for case in chosen(QUICK, "shared counter"))
    result = bench.run([Case("g", "n", "put", (8,), limit=counter.limit)])
    assert "it did not start" in result["peers"]["redis"]["skipped"]
    assert [row["role"] for row in result["cases"][0]["rows"]] == ["limit", "ours"]


@pytest.mark.processes
def test_a_run_that_is_asked_to_end_leaves_nobody_suspended() -> None:
    command = [sys.executable, "-u", "-m", "benchmarks", "--quick", "--only", "Calls: ", "--peers", "futures"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert b"no-op call" in process.stdout.readline()
        family = descendants(process.pid)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert len(family) > 3
    assert not psutil.wait_procs(family, timeout=60)[1]


@pytest.mark.processes
def test_the_command_prints_a_table_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "made" / "bench.json"
    main(["--quick", "--only", "nothing is called this", "--peers", "", "--json", str(target)])
    assert json.loads(target.read_text())["cases"] == []
    assert str(target) in capsys.readouterr().out


def test_every_contender_has_a_class() -> None:
    assert all(issubclass(contender_class(name), Contender) for name in CONTENDERS)
