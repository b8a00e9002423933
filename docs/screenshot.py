"""Makes the README's picture: the quick start, run in a real JupyterLab, seen by a headless Chromium.

    python -m docs.screenshot [--chromium PATH] [--look]

Needs Chromium (``apt-get install chromium fonts-dejavu-core``) and the packages ``jupyterlab``,
``playwright`` and ``pillow``. Server and notebook are those of the browser tests. ``--look`` also writes the
whole page to ``out/``, for whoever has to find out why a picture is not what it should be.
"""

from __future__ import annotations

import argparse
import io
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser import lab

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"
PICTURE = ROOT / "docs" / "images" / "quickstart.png"

SHOWN = [
    "A cell becomes a function",
    "def square(x)",
    "square(3).get()",
    "The last stage lets the three answers vote",
    "label, _ = Counter(",
    "Snap them together",
    'serve = cb.dag("serve"',
    "answers = cb.gather(",
    "And these are the images that the service got wrong",
    "for axes in panels",
]
"""What the cells in the picture have in their source; the others are run and left out."""
WIDTH, HEIGHT, SCALE = 960, 2400, 1.5
MARGIN = 10
COLOURS = 128
"""A screen needs few: a palette makes the file a third of its size."""
RUN_SECONDS_MAX = 180

SOURCES = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .map(cell => cell.model.sharedModel.getSource())"""
LEAVE_OUT = """wanted => {
    document.querySelectorAll('.jp-Notebook-cell').forEach((cell, position) => {
        if (!wanted.includes(position)) cell.style.display = 'none';
    });
    document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0;
}"""


def main() -> None:
    """Run the notebook, take the picture, make it small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", default=lab.chromium())
    parser.add_argument("--look", action="store_true", help="write the whole page to out/page.png, too")
    options = parser.parse_args()
    if not options.chromium:
        raise SystemExit("no Chromium is found: install one, or say where it is with --chromium PATH")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # or the server would stay
    with (
        tempfile.TemporaryDirectory() as folder,
        lab.server(Path(folder)) as address,
        sync_playwright() as play,
    ):
        shutil.copy(NOTEBOOK, address.folder)
        browser = lab.launch(play, options.chromium)
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, reduced_motion="reduce"
        )
        page.set_default_timeout(lab.READY_SECONDS_MAX * 1000)
        run(lab.Notebook(page, address, NOTEBOOK.name))
        if options.look:
            (ROOT / "out").mkdir(exist_ok=True)
            page.screenshot(path=ROOT / "out" / "page.png")
        save(page.screenshot(clip=extent(page)))
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")


def run(notebook: lab.Notebook) -> None:
    """Open the notebook and run all of it."""
    notebook.open()
    notebook.run_all(seconds=RUN_SECONDS_MAX)
    failed = notebook.errors()
    if failed:
        raise SystemExit(f"a cell failed:\n{failed[0][:2000]}")


def extent(page: Page) -> Any:
    """Leave out the cells that are not wanted; where the others are then, on the page."""
    sources = page.evaluate(SOURCES)
    wanted = [position for position, source in enumerate(sources) if any(text in source for text in SHOWN)]
    if len(wanted) != len(SHOWN):
        raise SystemExit(f"{len(SHOWN)} texts are to name one cell each; they name cells {wanted}")
    page.evaluate(LEAVE_OUT, wanted)
    page.mouse.move(0, 0)  # nothing is to look hovered
    page.wait_for_timeout(500)
    cells = page.locator(".jp-Notebook-cell")
    top, bottom = cells.nth(wanted[0]).bounding_box(), cells.nth(wanted[-1]).bounding_box()
    assert top is not None
    assert bottom is not None
    height = bottom["y"] + bottom["height"] - top["y"] + 2 * MARGIN
    if top["y"] + height > HEIGHT:
        raise SystemExit(f"the cells are {height:.0f} pixels high and do not fit the window of {HEIGHT}")
    return {"x": top["x"], "y": top["y"] - MARGIN, "width": top["width"], "height": height}


def save(png: bytes) -> None:
    """Write the picture with a palette."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
