"""The everyday things in a real JupyterLab: a cell becomes functions, and they are called."""

from __future__ import annotations

from tests.browser.conftest import Opener

CELLS = [
    "%load_ext cloudburst_nb\nimport cloudburst_nb as cb",
    "%%cloudburst\ndef square(x):\n    return x * x",
    "square(7).get()",
]


def test_register_by_cell_and_call(notebook: Opener) -> None:
    opened = notebook(CELLS)
    opened.run_all()
    opened.picture("register_and_call")
    assert opened.errors() == []
    assert "square" in opened.outputs(1).inner_text()
    assert "49" in opened.outputs(2).inner_text()
    assert opened.run("square('no').get()").count("TypeError") >= 1
