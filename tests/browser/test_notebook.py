"""The everyday things in a real JupyterLab and Notebook 7: a cell becomes functions, and they are called."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Opener

CELLS = [
    "%load_ext cloudburst_nb\nimport cloudburst_nb as cb",
    "%%cloudburst\ndef square(x):\n    return x * x",
    "square(7).get()",
]
FUNCTIONS = """%%cloudburst
def load(n):
    return list(range(n))

def total(numbers):
    return sum(numbers)"""


def test_register_by_cell_and_call(notebook: Opener) -> None:
    opened = notebook(CELLS)
    opened.run_all()
    opened.picture("register_and_call")
    assert opened.errors() == []
    assert "square" in opened.outputs(1).inner_text()
    assert "49" in opened.outputs(2).inner_text()
    assert opened.run("square('no').get()").count("TypeError") >= 1


def test_a_dag_is_shown_and_run_in_notebook_7(notebook: Opener) -> None:
    opened = notebook([CELLS[0], FUNCTIONS, 'pipe = cb.dag("pipe", load >> total)\npipe'], classic=True)
    opened.run_all()
    page = opened.page
    assert "load" in opened.outputs(1).inner_text()
    page.get_by_test_id("input-load").fill("5")
    page.get_by_test_id("run").click()
    total = page.get_by_test_id("node-total")
    expect(total).to_have_attribute("data-state", "done")
    total.click()
    expect(page.get_by_test_id("value")).to_have_text("10")
    opened.picture("notebook_7")
    assert page.evaluate("() => window.jupyterapp.name") == "Jupyter Notebook"
    assert opened.run("pipe(4).get()").endswith("6")
    assert opened.errors() == []
