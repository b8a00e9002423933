"""Live displays in a real JupyterLab: what they follow, what their buttons do, what is saved."""

from __future__ import annotations

import re

import nbformat

from tests.browser import lab
from tests.browser.conftest import Opener

BEGIN = """%load_ext cloudburst_nb
import time, numpy as np, cloudburst_nb as cb
client = cb.up(executors=2)
client"""
SLOW = """%%cloudburst
def slow(seconds):
    for tenth in range(int(seconds * 10)):
        print("step", tenth)
        time.sleep(0.1)
    return np.eye(4)"""
CANCEL = '[data-testid="cloudburst-cancel"]'
ROLLBACK = '[data-testid="cloudburst-rollback"]'
UNTRUST = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    for (let at = 0; at < cells.length; at++) cells.get(at).trusted = false;
}"""


def test_cancel_a_call_while_a_cell_waits_for_it(notebook: Opener) -> None:
    opened = notebook([BEGIN, SLOW, "future = slow(600)\nfuture", "future.get()"])
    opened.command("notebook:run-all-cells")
    opened.page.wait_for_selector(CANCEL)
    opened.outputs(2).get_by_text("running").wait_for()
    opened.outputs(2).get_by_text("stdout").wait_for()
    opened.outputs(0).get_by_text("1 busy").wait_for()
    opened.picture("cancel_while_waiting")
    opened.page.locator(CANCEL).click()
    opened.outputs(3).get_by_text("CallCancelled").first.wait_for()
    opened.outputs(2).get_by_text("cancelled", exact=False).first.wait_for()
    opened.wait_for(lab.IDLE)
    assert opened.page.locator(CANCEL).count() == 0
    opened.picture("cancelled")
    assert "4.0" in opened.run("float(slow(0.1).get().sum())")
    opened.outputs(0).get_by_text("0 busy").wait_for()


def test_what_displays_show_in_both_themes(notebook: Opener) -> None:
    first = "%%cloudburst\ndef scale(x):\n    # an early version\n    return 2 * x"
    second = "%%cloudburst\ndef scale(x):\n    return factor * x"
    cells = [
        BEGIN,
        first,
        "factor = 3",
        second,
        "cb.progress(scale.map(range(50)))[7]",
        "scale",
        "%%cloudburst\ndef broken(x):\n    print('about to divide')\n    return 1 / (x - x)",
        "future = broken(1)\ncb.wait([future])\nfuture",
    ]
    opened = notebook(cells)
    opened.run_all()
    assert opened.errors() == []
    card = opened.outputs(5)
    card.get_by_text("what changed since v1").click()
    card.get_by_text("carries along").click()
    card.get_by_text("50 calls").wait_for()
    opened.cell(4).scroll_into_view_if_needed()
    opened.picture("displays_light")
    opened.theme(lab.DARK)
    opened.picture("displays_dark")
    opened.theme(lab.LIGHT)
    card.locator(ROLLBACK).click()
    card.get_by_text("v3 is v1 again").wait_for()
    card.get_by_text("an early version").first.wait_for()
    opened.picture("rolled_back", card)
    assert "(10, 3)" in opened.run("scale(5).get(), scale.version")


def test_a_saved_notebook_shows_it_all_without_its_kernel_and_without_trust(notebook: Opener) -> None:
    opened = notebook([BEGIN, SLOW, "future = slow(600)\nfuture", "slow", "slow(0.1)"])
    opened.run_all()
    opened.page.wait_for_selector(CANCEL)
    opened.save()
    saved = nbformat.read(opened.path, 4)
    bundles = [output.data for cell in saved.cells for output in cell.outputs]
    assert not any("widget" in kind for bundle in bundles for kind in bundle)
    assert all({"text/html", "text/plain"} <= set(bundle) for bundle in bundles)
    assert "widgets" not in saved.metadata
    second = notebook(path=opened.name)
    second.page.wait_for_selector(CANCEL)  # the kernel lives: another page takes it up again
    (opened.path.parent / "copy.ipynb").write_bytes(opened.path.read_bytes())
    again = notebook(path="copy.ipynb")
    for trusted in (True, False):
        if not trusted:
            again.page.evaluate(UNTRUST)
        again.outputs(0).get_by_text("Cloudburst runtime").wait_for()
        again.outputs(2).get_by_text("slow").first.wait_for()
        again.outputs(3).get_by_text("cloud function").wait_for()
        assert again.page.locator(CANCEL).count() == 0
        assert again.errors() == []
        again.picture("reopened" if trusted else "reopened_untrusted")


def test_nothing_looks_alive_after_a_restart(notebook: Opener) -> None:
    opened = notebook([BEGIN, SLOW, "future = slow(600)\nfuture", 'cb.dag("pipe", [slow])'])
    opened.run_all()
    page = opened.page
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.wait_for_selector(CANCEL)
    page.get_by_test_id("dag-editor").wait_for()
    opened.command("notebook:restart-kernel")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    opened.outputs(0).get_by_text("when its kernel ended").wait_for()
    page.locator(CANCEL).wait_for(state="detached")
    page.get_by_test_id("dag-editor").wait_for(state="detached")
    opened.outputs(3).get_by_role("img").wait_for()
    opened.wait_for(lab.IDLE)
    opened.picture("restarted")
    assert "that define slow" in opened.run("import cloudburst_nb as cb\ncb.up(executors=1);")
    assert not thrown


STORE = """
for number in range(40):
    cb.put(f"user/{number:02}", {"name": f"user {number}"})
def blind(cloudburst):
    cloudburst.put("begun", True)
    while cloudburst.get("go") is None:
        time.sleep(0.01)
    cloudburst.put("rate", 0.25)
    cloudburst.put("visits", 4, lattice="counter")
    cloudburst.put("tags", {"c"})
called = cb.function(blind)()
while not cb.get("begun", None):
    time.sleep(0.01)  # it knows of nothing that is written from now on
cb.put("visits", 3, lattice="counter")
cb.put("tags", {"a", "b"})
cb.put("rate", 0.5)
cb.put("rate", 0.75)
cb.put("go", True)
called.get()
cb.delete("go"), cb.delete("begun")
for who in ("left", "right"):
    with cb.session("sk"):
        cb.put("draft", f"what {who} has written")
cb.put("weights", np.arange(10_000.0).reshape(100, 100))"""


def test_the_store_is_looked_into(notebook: Opener) -> None:
    opened = notebook([BEGIN.removesuffix("client"), STORE, "%cloudburst keys"])
    opened.run_all()
    assert opened.errors() == []
    store = opened.outputs(2)
    store.get_by_text("45 keys").wait_for()
    store.get_by_text("page 1 of 3").wait_for()
    store.get_by_role("button", name="on", exact=True).click()
    store.get_by_text("page 2 of 3").wait_for()
    store.get_by_role("button", name="size", exact=True).click()
    store.get_by_text("size ▾").wait_for()
    store.get_by_role("button", name="weights", exact=True).click()
    store.get_by_text("ndarray of shape (100, 100)").wait_for()
    opened.picture("store")
    store.get_by_label("filter keys").fill("tag")
    store.get_by_text("user/").first.wait_for(state="detached")
    store.get_by_role("button", name="tags", exact=True).click()
    store.get_by_text("merged:").wait_for()
    store.get_by_text(re.compile(r"^\{'[abc]', '[abc]', '[abc]'\}$")).wait_for()
    opened.theme(lab.DARK)
    opened.picture("store_filtered_dark")
    opened.theme(lab.LIGHT)
    store.get_by_label("filter keys").fill("rate")
    store.get_by_role("button", name="rate", exact=True).click()
    store.get_by_text("last writer wins").wait_for()
    opened.picture("store_dropped", store)
    store.get_by_label("version", exact=True).fill("1")
    store.get_by_text("version 2 of 3").wait_for()
    store.get_by_text("0.75").wait_for()
    store.get_by_text("last writer wins").wait_for(state="detached")
    store.get_by_label("version", exact=True).fill("2")
    store.get_by_text("version 3 of 3").wait_for()
    opened.picture("store_history", store)
    store.get_by_label("filter keys").fill("draft")
    store.get_by_role("button", name="draft", exact=True).click()
    store.get_by_text("both are kept").wait_for()
    opened.picture("store_siblings", store)
    assert "True" in opened.run("cb.put('draft/new', 1) is None")
    store.get_by_role("button", name="draft/new", exact=True).wait_for()
