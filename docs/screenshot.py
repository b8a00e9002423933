"""Makes the README's picture: the quick start, run in a real JupyterLab, seen by a headless Chromium.

    python docs/screenshot.py [--chromium PATH] [--look]

Needs Chromium (``apt-get install chromium fonts-dejavu-core``) and the packages ``jupyterlab``,
``playwright`` and ``pillow``. The server gets folders of its own for settings, kernels and everything else,
so that the picture does not depend on whose machine it is made on. ``--look`` also writes the whole page to
``out/``, for whoever has to find out why a picture is not what it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

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
SERVER_SECONDS_MAX = 60
RUN_SECONDS_MAX = 180

BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
]

SETTINGS = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
    "notebook-extension/tracker": {"windowingMode": "none"},
}

IDLE = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    return !!session?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
HIDE_PANEL = "() => { window.jupyterapp.commands.execute('application:toggle-left-area'); }"
SOURCES = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .map(cell => cell.model.sharedModel.getSource())"""
LEAVE_OUT = """wanted => {
    document.querySelectorAll('.jp-Notebook-cell').forEach((cell, position) => {
        if (!wanted.includes(position)) cell.style.display = 'none';
    });
    document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0;
}"""
FINISHED = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""


def main() -> None:
    """Run the notebook, take the picture, make it small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser"))
    parser.add_argument("--look", action="store_true", help="write the whole page to out/page.png, too")
    options = parser.parse_args()
    if not options.chromium:
        raise SystemExit("no Chromium is found: install one, or say where it is with --chromium PATH")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # or the server would stay
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=options.chromium, args=BROWSER)
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, reduced_motion="reduce"
        )
        page.set_default_timeout(SERVER_SECONDS_MAX * 1000)
        run(page, address)
        if options.look:
            (ROOT / "out").mkdir(exist_ok=True)
            page.screenshot(path=ROOT / "out" / "page.png")
        save(page.screenshot(clip=extent(page)))
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """A JupyterLab of its own, with a copy of the notebook; gives the notebook's address."""
    shutil.copy(NOTEBOOK, folder)
    token, port = secrets.token_hex(16), free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, env=surroundings(folder), stdout=log, stderr=log)
    try:
        await_server(process, f"http://127.0.0.1:{port}/api?token={token}", folder / "server.log")
        yield f"http://127.0.0.1:{port}/lab/tree/{NOTEBOOK.name}?reset&token={token}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def surroundings(folder: Path) -> dict[str, str]:
    """An environment in which Jupyter finds nothing of the user's, and the kernel this checkout."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    names += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(folder / name.lower()) for name in names}
    for name, value in SETTINGS.items():
        path = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    sources = os.pathsep.join(str(ROOT / part) for part in (".", "runtime", "kernel_ext"))
    return {**os.environ, **own, "PYTHONPATH": sources}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_server(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until it answers; say what it said if it does not."""
    end = time.monotonic() + SERVER_SECONDS_MAX
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(address, timeout=2).close()
            return
        time.sleep(0.2)
    raise SystemExit(f"JupyterLab does not answer:\n{log.read_text()[-2000:]}")


def run(page: Page, address: str) -> None:
    """Open the notebook, run all of it, and put away what is not notebook."""
    page.goto(address)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_function(IDLE)
    page.evaluate(HIDE_PANEL)
    page.evaluate(RUN_ALL)
    page.wait_for_function(FINISHED, timeout=RUN_SECONDS_MAX * 1000)
    page.wait_for_function(IDLE)
    failed = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
    if failed.count():
        raise SystemExit(f"a cell failed:\n{failed.first.inner_text()[:2000]}")


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
