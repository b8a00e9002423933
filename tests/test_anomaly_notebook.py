"""The notebook of the anomaly experiment runs, with fewer executions, and shows what it counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.notebooks_at_hand import ROOT, environment

NOTEBOOK = ROOT / "notebooks" / "05_consistency_anomalies.ipynb"


@pytest.mark.notebook
def test_the_anomalies_are_counted_and_drawn(tmp_path: Path) -> None:
    small = {"executions": "60", "clients": "12", "keys": "20", "writes": "2"}
    given = [word for name, value in small.items() for word in ("-p", name, value)]
    command = [
        sys.executable,
        "-m",
        "cloudburst_nb.cli",
        "run",
        NOTEBOOK,
        *given,
        "-o",
        tmp_path / "out.ipynb",
    ]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    data = [output.data for cell in executed.cells for output in cell.get("outputs", []) if "data" in output]
    tables = [each["text/markdown"] for each in data if "text/markdown" in each]
    assert len(tables) == 2
    assert "| `sk` | updates lost" in tables[0]
    assert any("image/png" in each for each in data)
    text = "".join(out.text for cell in executed.cells for out in cell.get("outputs", []) if "text" in out)
    assert "Each level kept its promise in 60 executions." in text
    assert "◄" in text
