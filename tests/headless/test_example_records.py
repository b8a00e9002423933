"""The example notebooks show what their committed records say, and their recorded calls come out the same."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cloudburst_nb.headless.replays import replay
from cloudburst_nb.headless.verifying import verify
from cloudburst_nb.records.record import read

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def record_of(notebook: Path) -> Path:
    return notebook.parent / "records" / notebook.stem


@pytest.mark.notebook
@pytest.mark.processes
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_its_record_says(notebook: Path) -> None:
    done = verify(notebook, record_of(notebook), stderr=io.StringIO())
    told = "\n".join(done.report.lines())
    assert done.status == 0, f"{told}\nif that is meant: make records"
    assert sum(row.state == "same" for row in done.report.rows) > len(done.report.rows) / 2


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_recorded_calls_come_out_the_same(notebook: Path) -> None:
    outcome = replay(record_of(notebook))
    assert [str(divergence) for divergence in outcome.divergences] == []
    assert outcome.steps == sum(len(call.steps) for call in read(record_of(notebook)).calls)
    assert not outcome.skipped
