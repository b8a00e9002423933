"""The quick-start notebook: kept clean in the repository, and it does what it says."""

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


def test_the_quick_start_is_a_tutorial() -> None:
    """Prose before every cell that shows something new, and Python that at least parses."""
    cells = nbformat.read(QUICKSTART, as_version=4).cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") * 2 >= kinds.count("code")
    for cell in cells:
        if cell.cell_type == "code":
            plain = [line for line in cell.source.splitlines() if not line.startswith("%")]
            ast.parse("\n".join(plain))


@pytest.mark.notebook
@pytest.mark.processes
def test_the_quick_start_runs(tmp_path: Path) -> None:
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    request = ["run", QUICKSTART, "--results", "-o", tmp_path / "out.ipynb", "-p", "images_served", "120"]
    done = subprocess.run(
        [sys.executable, "-m", "cloudburst_nb.cli", *request],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "120 to serve" in done.stdout
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert not [
        output for cell in executed.cells for output in cell.get("outputs", []) if output.get("ename")
    ]
