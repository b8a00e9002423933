"""The DAG editor in a real JupyterLab: drawn with the mouse, run, changed from cells, reopened."""

from __future__ import annotations

import re
import shutil

from playwright.sync_api import Locator, Page, expect

from tests.browser import lab
from tests.browser.conftest import Opener

START = "%load_ext cloudburst_nb\nimport cloudburst_nb as cb\ncb.up(executors=2);"
FUNCTIONS = """%%cloudburst
import time

def load(n):
    time.sleep(0.5)
    return list(range(n))

def total(numbers):
    print("adding", len(numbers))
    time.sleep(0.5)
    return sum(numbers)

def scale(x, factor=1):
    return factor * x"""
SECONDS = 40_000


def editor(page: Page) -> Locator:
    return page.get_by_test_id("dag-editor")


def state(page: Page, node: str, wanted: str) -> None:
    expect(page.get_by_test_id(f"node-{node}")).to_have_attribute("data-state", wanted, timeout=SECONDS)


def drag(page: Page, start: Locator, x: float, y: float) -> None:
    """From the middle of something to a place in the drawing, as a hand does it."""
    canvas = page.get_by_test_id("canvas").bounding_box()
    begin = start.bounding_box()
    assert canvas is not None
    assert begin is not None
    page.mouse.move(begin["x"] + begin["width"] / 2, begin["y"] + begin["height"] / 2)
    page.mouse.down()
    page.mouse.move(canvas["x"] + x, canvas["y"] + y, steps=6)


def drop_function(page: Page, name: str, x: float, y: float) -> None:
    drag(page, page.get_by_test_id(f"function-{name}"), x, y)
    page.mouse.up()
    expect(page.get_by_test_id(f"node-{name}")).to_be_visible()


def aim(page: Page, source: str, target: str, port: int = 0) -> None:
    """Draw an arrow from port to port, and do not let go yet."""
    canvas = page.get_by_test_id("canvas").bounding_box()
    end = page.get_by_test_id(f"in-{target}-{port}").bounding_box()
    assert canvas is not None
    assert end is not None
    x, y = end["x"] + end["width"] / 2 - canvas["x"], end["y"] + end["height"] / 2 - canvas["y"]
    drag(page, page.get_by_test_id(f"out-{source}"), x, y)


def connect(page: Page, source: str, target: str, port: int = 0) -> None:
    aim(page, source, target, port)
    page.mouse.up()
    expect(page.get_by_test_id(f"edge-{source}-{target}")).to_be_attached()


def test_a_dag_is_drawn_refused_a_cycle_and_run(notebook: Opener) -> None:
    opened = notebook([START, FUNCTIONS, 'drawn = cb.builder("drawn")\ndrawn'])
    opened.run_all()
    page = opened.page
    editor(page).scroll_into_view_if_needed()
    expect(page.get_by_test_id("run")).to_be_disabled()
    for place, name in enumerate(["load", "total", "scale"]):
        drop_function(page, name, 90 + 190 * place, 120 + 60 * (place % 2))
    expect(page.get_by_test_id("message")).to_contain_text("3 sinks")
    connect(page, "load", "total")
    connect(page, "total", "scale")
    expect(page.get_by_test_id("message")).not_to_contain_text("sinks")

    aim(page, "scale", "load")
    note = page.locator(".cbd-note")
    expect(note).to_have_text("a cycle: load → total → scale → load")
    opened.picture("widget_cycle", editor(page))
    page.mouse.up()
    expect(page.get_by_test_id("message")).to_contain_text("a cycle: load → total → scale → load")
    expect(page.get_by_test_id("edge-scale-load")).to_have_count(0)

    page.get_by_test_id("input-load").fill("10")
    page.get_by_test_id("run").click()
    state(page, "load", "running")
    state(page, "total", "running")
    expect(page.get_by_test_id("node-load")).to_have_attribute("data-state", "done")
    opened.picture("widget_running", editor(page))
    state(page, "scale", "done")
    page.get_by_test_id("node-total").click()
    expect(page.get_by_test_id("value")).to_have_text("45")
    expect(page.get_by_test_id("last-run")).to_contain_text("adding 10")
    opened.picture("widget_done", editor(page))
    said = opened.run("sorted(drawn.graph.edges), drawn(4).get()")
    assert said.endswith("([('load', 'total'), ('total', 'scale')], 6)")
    assert opened.errors() == []


def test_keys_do_all_that_the_mouse_does(notebook: Opener) -> None:
    opened = notebook([START, FUNCTIONS, 'typed = cb.builder("typed")\ntyped'], theme=lab.DARK)
    opened.run_all()
    page = opened.page
    page.get_by_test_id("canvas").focus()
    for name in ("load", "total"):
        page.keyboard.press("a")
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        expect(page.get_by_test_id(f"node-{name}")).to_have_class(re.compile("selected"))
        page.get_by_test_id("palette-search").fill("")
        page.get_by_test_id("canvas").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".cbd-note")).to_have_text("load → total, as numbers")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("edge-load-total")).to_be_attached()
    page.keyboard.press("Control+z")
    expect(page.get_by_test_id("edge-load-total")).to_have_count(0)
    page.keyboard.press("Control+Shift+z")
    expect(page.get_by_test_id("edge-load-total")).to_be_attached()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    expect(page.get_by_test_id("node-total_2")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_test_id("help")).to_be_visible()
    opened.picture("widget_keys_dark", editor(page))
    page.keyboard.press("Escape")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    expect(page.locator(".cbd-node")).to_have_count(0)
    assert opened.errors() == []


def test_a_new_version_makes_results_stale_and_a_run_from_there_renews_them(notebook: Opener) -> None:
    opened = notebook([START, FUNCTIONS, 'pipe = cb.dag("pipe", load >> total >> scale)\npipe'])
    opened.run_all()
    page = opened.page
    page.get_by_test_id("input-load").fill("5")
    page.get_by_test_id("run").click()
    state(page, "scale", "done")
    opened.run("%%cloudburst\ndef total(numbers):\n    return 1000 + sum(numbers)")
    stale = page.get_by_test_id("node-total")
    expect(stale).to_have_class(re.compile("stale"))
    expect(page.get_by_test_id("node-scale")).to_have_class(re.compile("stale"))
    expect(page.get_by_test_id("node-load")).not_to_have_class(re.compile("stale"))
    stale.click()
    expect(page.get_by_test_id("stale")).to_have_text("stale: total is v2 now, the last run used v1")
    opened.picture("widget_stale", editor(page))
    page.get_by_test_id("run-here").click()
    state(page, "load", "pinned")
    expect(page.get_by_test_id("value")).to_have_text("1010")
    expect(stale).not_to_have_class(re.compile("stale"))
    page.get_by_test_id("tab-runs").click()
    page.get_by_test_id("compare-1").check()
    page.get_by_test_id("compare-2").check()
    expect(page.get_by_test_id("comparison")).to_contain_text("v2")
    opened.picture("widget_compared", editor(page))
    opened.run("%%cloudburst\ndef load(n):\n    return list(range(n))")  # as fast as can be
    opened.run("for _ in range(30):\n    pipe(3).get()")
    page.get_by_test_id("tab-properties").click()
    page.locator("[data-testid='edge-load-total'] .cbd-hit").click(force=True)
    expect(page.get_by_test_id("latency")).to_contain_text("transfer")
    opened.picture("widget_edge", editor(page))
    assert opened.errors() == []


def test_a_failure_is_shown_where_it_happened_while_a_cell_runs(notebook: Opener) -> None:
    broken = "%%cloudburst\ndef broken(numbers):\n    return numbers[99]"
    shown = 'pipe = cb.dag("pipe", load >> broken >> scale)\npipe'
    opened = notebook([START, FUNCTIONS, broken, shown], theme=lab.DARK)
    opened.run_all()
    page = opened.page
    page.get_by_test_id("input-load").fill("5")
    opened.begin("import pathlib, time\nwhile not pathlib.Path('go on').exists():\n    time.sleep(0.1)")
    page.get_by_test_id("run").click()
    state(page, "broken", "failed")
    traceback = page.get_by_test_id("traceback-broken")
    expect(traceback).to_contain_text("IndexError: list index out of range")
    expect(traceback).to_contain_text("return numbers[99]")
    state(page, "load", "done")
    opened.picture("widget_failed_dark", editor(page))
    # What cannot be read is not run with what was there before.
    page.get_by_test_id("tab-runs").click()
    page.get_by_test_id("input-load").fill("5 (")
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("message")).to_contain_text("cannot be read as arguments")
    page.get_by_test_id("input-load").fill("6")
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("compare-2")).to_be_visible()
    expect(page.get_by_test_id("message")).to_contain_text("run 2 failed in broken: IndexError")
    expect(page.get_by_test_id("compare-3")).to_have_count(0)
    (opened.path.parent / "go on").touch()
    assert opened.errors() == []


def test_what_is_typed_wrongly_stays_marked_and_nothing_runs_without_it(notebook: Opener) -> None:
    opened = notebook([START, FUNCTIONS, 'pipe = cb.dag("pipe", load >> total)\npipe'])
    opened.run_all()
    page = opened.page
    page.get_by_test_id("input-load").fill("3")
    page.get_by_test_id("node-total").click()
    written = page.get_by_test_id("arguments-total")
    written.fill("1 +")
    written.press("Tab")
    expect(written).to_have_attribute("aria-invalid", "true")
    page.get_by_test_id("node-load").click()
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("message")).to_contain_text("total: '1 +' cannot be read as arguments")
    page.get_by_test_id("node-total").click()
    expect(written).to_have_value("1 +")
    expect(page.get_by_test_id("side")).to_contain_text("cannot be read as arguments: invalid syntax")
    opened.picture("widget_wrong", editor(page))
    written.press("Escape")
    expect(written).to_have_value("")
    page.keyboard.press("Escape")
    for name, typed in (("retries", "2000"), ("timeout", "1e")):
        field = page.get_by_test_id(f"option-{name}")
        field.focus()
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_test_id("message")).to_contain_text("is a number")
        field.press("Escape")
        expect(field).to_have_value("")
    page.get_by_test_id("run").click()
    state(page, "total", "done")
    assert opened.errors() == []


def test_python_and_picture_are_the_same_thing_in_every_page(notebook: Opener) -> None:
    opened = notebook([START, FUNCTIONS, 'pipe = cb.dag("pipe", load >> total)\npipe'])
    opened.run_all()
    page = opened.page
    opened.run('pipe = cb.dag("pipe", load >> total >> scale)')
    expect(page.get_by_test_id("node-scale")).to_be_visible()
    page.get_by_test_id("tab-code").click()
    expect(page.get_by_test_id("code")).to_have_text('pipe = cb.dag("pipe", load >> total >> scale)')
    cells = page.locator(".jp-Notebook-cell").count()
    page.get_by_test_id("insert").click()
    expect(page.locator(".jp-Notebook-cell")).to_have_count(cells + 1)
    expect(page.locator(".jp-Notebook-cell").nth(3)).to_contain_text('pipe = cb.dag("pipe"')
    opened.picture("widget_code")
    opened.save()

    second = notebook(path=opened.name)
    expect(second.page.get_by_test_id("node-scale")).to_be_visible()
    second.page.get_by_test_id("node-scale").click()
    second.page.keyboard.press("Delete")
    expect(page.get_by_test_id("node-scale")).to_have_count(0)
    assert opened.run("list(pipe.graph)").endswith("['load', 'total']")
    assert opened.errors() == second.errors() == []


def test_a_saved_notebook_has_a_picture_and_no_widget_that_is_gone(notebook: Opener) -> None:
    opened = notebook([START, FUNCTIONS, 'drawn = cb.builder("drawn")\ndrawn'])
    opened.run_all()
    page = opened.page
    page.get_by_test_id("canvas").focus()
    for name in ("load", "total"):
        page.get_by_test_id(f"function-{name}").dblclick()
        expect(page.get_by_test_id(f"node-{name}")).to_be_visible()
    page.get_by_test_id("tool-fit").click()
    connect(page, "load", "total")
    # What is saved follows what is drawn.
    expect(page.locator('img[alt="<cloud DAG drawn: load→total>"]')).to_have_count(1)
    expect(editor(page)).to_be_visible()
    opened.save()
    copied = opened.path.with_name("untrusted.ipynb")
    shutil.copy(opened.path, copied)
    copied.write_text(copied.read_text().replace("cb.builder", "cb . builder"))  # another text: not signed
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    for name, shot in ((opened.name, "widget_reopened"), (copied.name, "widget_untrusted")):
        again = notebook(path=name)
        picture = again.page.locator('img[alt="<cloud DAG drawn: load→total>"]')
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") > 100
        expect(editor(again.page)).to_have_count(0)
        again.picture(shot)
        assert again.errors() == []
        assert "Error displaying" not in again.page.locator(".jp-Notebook").inner_text()
