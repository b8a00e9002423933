"""The same notebook under the tools that people already run notebooks with: the real ones, as they come."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks_at_hand import environment, load, save, tagged, texts

pytestmark = [pytest.mark.notebook, pytest.mark.processes]

CELLS = (
    tagged("factor = 2", "parameters"),
    "%load_ext cloudburst_nb",
    "%%cloudburst\ndef scale(x):\n    return factor * x\n\ndef shift(x):\n    return x + 1",
    "%cloudburst dag both scale >> shift",
    "both(10).get(timeout=60)",
    "import cloudburst_nb as cb\ncb.put('k', {1, 2})\nsorted(cb.get('k'))",
)
OUTPUT = ("-m", "nbconvert", "--to", "notebook", "--execute", "nb.ipynb", "--output", "out.ipynb")
PAGE = ("-m", "nbconvert", "--to", "html", "--execute", "nb.ipynb", "--output", "out.html")


def execute(folder: Path, *arguments: str) -> None:
    """Run a module of this interpreter in ``folder``, where the notebook lies."""
    save(folder / "nb.ipynb", *CELLS)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(IPYTHONDIR=str(folder / "ipython"), JUPYTER_RUNTIME_DIR=str(folder / "runtime")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def forms(cell: Any) -> set[str]:
    return {form for output in cell.outputs for form in output.get("data", {})}


@pytest.mark.parametrize(
    ("arguments", "factor"),
    [
        (("-m", "jupyter", "execute", "nb.ipynb", "--output=out.ipynb"), 2),
        (OUTPUT, 2),
        (("-m", "papermill", "nb.ipynb", "out.ipynb", "-p", "factor", "3"), 3),
    ],
    ids=["jupyter-execute", "nbconvert", "papermill"],
)
def test_the_results_are_there_and_the_displays_have_a_static_form(
    tmp_path: Path, arguments: tuple[str, ...], factor: int
) -> None:
    execute(tmp_path, *arguments)
    made = load(tmp_path / "out.ipynb")
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    assert texts(cells[-2]) == f"{10 * factor + 1}\n"
    assert texts(cells[-1]) == "[1, 2]\n"
    shown = cells[-3]
    assert {"text/html", "text/plain"} <= forms(shown)
    (html,) = [output.data["text/html"] for output in shown.outputs if "text/html" in output.data]
    assert "data:image/svg+xml;base64," in html
    assert "widgets" not in made.metadata, "nobody is there to draw, so there is no editor to be kept"


def test_a_page_of_nbconvert_shows_the_picture_and_no_error(tmp_path: Path) -> None:
    execute(tmp_path, *PAGE)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "data:image/svg+xml;base64," in page
    assert "Error" not in page.partition("<main")[2]
