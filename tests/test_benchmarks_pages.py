"""What is made of the figures of a run: goals, the page of the stages, and the README's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import benchmarks.cases  # noqa: F401  registers the cases
from benchmarks import digest, goals, latency_page, report, run
from benchmarks.__main__ import chosen
from benchmarks.case import FULL, QUICK, Case
from benchmarks.cases import parts
from benchmarks.cases.stages import GROUP, TOTAL
from benchmarks.contender import PEERS
from cloudburst_runtime.shell.tracing import STAGES
from tests.test_benchmarks import entry, result_of

US = 1e-6
TIMES = goals.RATIO


def case(name: str, group: str = "Calls", **figures: float) -> dict[str, Any]:
    """A case in which each of these took so long, once in each of two rounds."""
    roles = {"limit": "the machine's limit", "ours": "cloudburst-nb", "await": "cloudburst-nb, await"}
    measured = [
        (
            entry({"await": "ours"}.get(who, who if who in roles else "peer"), roles.get(who, who)),
            [[took]] * 2,
        )
        for who, took in figures.items()
    ]
    each = "call" if "at once" in name and name[0].isdigit() and "sum" not in name else ""
    return run.describe(Case(group, name, each=each), measured, {})


NOOP = case("no-op call", **{"limit": 40 * US, "ours": 60 * US, "await": 200 * US, "Ray": 1200 * US})
BURST = case("500 calls at once", ours=20 * US, ProcessPoolExecutor=80 * US)
STAGED = [case(TOTAL, GROUP, limit=40 * US, ours=70 * US)] + [
    case(name, GROUP, ours=5 * US) for name in STAGES
]


def test_goals_are_read_off_the_figures_and_those_not_measured_are_left_out() -> None:
    said = {text: rest for text, *rest in goals.verdicts(result_of(NOOP, BURST))}
    assert said["no-op call, to a ping-pong"] == [f"1.5 {TIMES}", f"≤ 2 {TIMES}", True]
    assert said["with `await`"] == [f"5 {TIMES}", f"≤ 3.5 {TIMES}", False]
    assert said["ahead of Ray's actors"] == [f"20 {TIMES}", f"≥ 15 {TIMES}", True]
    assert said["500 calls at once"] == ["50,000 /s", "≥ 30,000 /s", True]
    assert said["500 calls at once, ahead of the best peer"] == [f"4 {TIMES}", f"≥ 5 {TIMES}", False]
    assert not {text for text in said if "Dask" in text or "import" in text}
    assert list(goals.verdicts(result_of())) == []


@pytest.mark.parametrize("effort", [QUICK, FULL])
def test_every_goal_is_of_a_case_that_is_measured(effort: Any) -> None:
    """With a figure of one for everybody, so that a case that was renamed is found out."""
    cases = []
    for each in chosen(effort, ""):
        measured = [(row, [[1.0]] * 2) for row in run.entries(each, PEERS)]
        cases.append(run.describe(each, measured, {}))
    found = [text for text, *_ in goals.verdicts(result_of(*cases))]
    missing = {goal.text for goal in goals.GOALS} - set(found)
    assert missing <= {f"{name}{more}" for name in goals.BURST for more in ("", ", ahead of the best peer")}
    assert len(missing) == 2


def test_the_page_of_the_stages_has_each_with_its_share_and_says_why_a_goal_is_missed() -> None:
    page = latency_page.page(result_of(NOOP, BURST, *STAGED))
    for name, what in STAGES.items():
        assert f"| **{name}** | {what} | 5.00 µs | 5.00 µs | 7% |" in page
    assert "the sum of the medians | 70.0 µs" in page
    assert "a traced call, which takes 70.0 µs; one that is not traced takes 60.0 µs" in page
    assert "- *500 calls at once, ahead of the best peer*: they cost processor time" in page
    assert "- *no-op call, to a ping-pong*" not in page


def test_the_page_has_the_parts_of_the_calls_whose_parts_were_measured() -> None:
    whole, other, *_ = parts.WHOLES
    measured = [
        case(parts.title(whole, part), GROUP, ours=took * US)
        for part, took in zip(parts.PARTS, (10, 20, 30, 40), strict=True)
    ]
    page = latency_page.page(result_of(*STAGED, *measured, case(parts.title(other, "run"), GROUP, ours=US)))
    assert f"| part | what goes on | {whole.name} |\n" in page
    assert f"| **run** | {parts.PARTS['run']} | 30.0 µs |" in page
    assert "| | the sum of the medians | 100 µs |\n\n## What tracing costs" in page
    assert "the sum of the medians | 70.0 µs" in page  # of the stages, which these are none of
    assert "what goes on" not in latency_page.page(result_of(*STAGED))


def test_without_stages_there_is_no_such_page(tmp_path: Path) -> None:
    report.write(result_of(NOOP), tmp_path)
    assert not (tmp_path / "latency.md").exists()
    report.write(result_of(NOOP, *STAGED), tmp_path)
    assert (tmp_path / "latency.md").read_text().startswith("# Where the time of a call goes\n")
    assert f"## {GROUP}" not in (tmp_path / "benchmarks.md").read_text()


def test_the_readme_gets_the_figures_between_its_markers_and_nothing_else(tmp_path: Path) -> None:
    readme, figures = tmp_path / "README.md", tmp_path / "bench.json"
    readme.write_text(f"before\n{digest.BEGIN}\nold\n{digest.END}\nafter\n")
    figures.write_text(json.dumps(result_of(NOOP, BURST)))
    report.main([str(figures), "--docs", str(tmp_path), "--readme", str(readme)])
    before, *table, after = readme.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert table[0] == digest.BEGIN
    assert table[3:5] == [
        "| one call, `.get()` | 60.0 µs | bare ping-pong of two processes 40.0 µs; Ray 1.20 ms |",
        "| 500 calls at once | 50,000 a second | ProcessPoolExecutor 12,500 a second |",
    ]
    assert table[5] == digest.END
    readme.write_text("no place")
    with pytest.raises(ValueError, match="no place for the figures"):
        digest.update(result_of(NOOP), readme)


def test_the_readme_has_the_place() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    assert text.index(digest.BEGIN) < text.index(digest.END)
