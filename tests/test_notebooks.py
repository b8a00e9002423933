"""The example notebooks: kept clean in the repository, and they do what they say."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_in_the_repository_is_clean(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert text == nbformat.writes(notebook) + "\n", "write it with nbformat, so that diffs stay small"
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"cell {cell.id} has outputs"
        assert cell.get("execution_count") is None, f"cell {cell.id} has an execution count"
        assert not {"execution", "widgets"} & set(cell.metadata), f"cell {cell.id} has metadata of a run"
        assert cell.source.strip(), f"cell {cell.id} is empty"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_tutorial(path: Path) -> None:
    """Prose before every cell that shows something new, and Python that at least parses."""
    cells = nbformat.read(path, as_version=4).cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") * 2 >= kinds.count("code")
    for cell in cells:
        if cell.cell_type == "code":
            plain = [line for line in cell.source.splitlines() if not line.startswith("%")]
            ast.parse("\n".join(plain))


PARAMETERS = {
    "01_quickstart": ("images_served", "120"),
    "04_where_does_the_latency_go": ("calls", "50"),
    "05_consistency_anomalies": ("executions", "60"),
}
"""What makes a notebook's run short; the others are short as they are."""


@pytest.mark.notebook
@pytest.mark.processes
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    parameters = ["-p", *PARAMETERS[path.stem]] if path.stem in PARAMETERS else []
    done = subprocess.run(
        [sys.executable, "-m", "cloudburst_nb.cli", "run", path, "-o", tmp_path / "out.ipynb", *parameters],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("ename")]
    if path == QUICKSTART:
        assert "120 to serve" in "".join(output.get("text", "") for output in outputs)
