"""A real JupyterLab and Notebook 7, seen by a headless Chromium: for these tests, and the README's picture.

Law: a server gets folders of its own for settings, kernels and everything else, so that nothing depends on
whose machine it is; whoever starts one ends it. Waiting is for conditions, never for a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from playwright.sync_api import Browser, Locator, Page, Playwright

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "out" / "browser"
"""Where each flow leaves what it looked like."""
SERVER_SECONDS_MAX = 60
READY_SECONDS_MAX = 60
WAIT_SECONDS_MAX = 45
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"

FLAGS = [
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

SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "apputils-extension/themes": {"theme": LIGHT},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}

IDLE = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    return !!session?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
COMMAND = "([name, args]) => { window.jupyterapp.commands.execute(name, args ?? {}); }"
"""Its promise is not returned: ``evaluate`` would wait for it without a limit."""
FINISHED = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""
APPEND = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    window.jupyterapp.commands.execute('notebook:insert-cell-below').then(() => {
        notebook.activeCell.model.sharedModel.setSource(source);
        window.jupyterapp.commands.execute('notebook:run-cell');
    });
}"""
CELL_DONE = """position => {
    const cell = window.jupyterapp.shell.currentWidget.content.widgets[position];
    return cell?.model?.executionCount != null && cell.model.executionState !== 'running'
        && /\\[\\d+\\]/.test(cell.node.querySelector('.jp-InputArea-prompt').textContent);
}"""
CLEAN = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"


class Address(NamedTuple):
    """Where a server answers, its token, and the folder whose notebooks it has."""

    url: str
    token: str
    folder: Path

    def notebook(self, name: str) -> str:
        """The page of a notebook in JupyterLab, in a fresh workspace."""
        return f"{self.url}/lab/tree/{name}?reset&token={self.token}"

    def classic(self, name: str) -> str:
        """The page of a notebook in Notebook 7, which the same server has where it is installed."""
        return f"{self.url}/notebooks/{name}?token={self.token}"


def chromium() -> str | None:
    """Where the browser is; ``CLOUDBURST_NB_CHROMIUM`` says it if it is not on the path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CLOUDBURST_NB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def launch(play: Playwright, path: str) -> Browser:
    """A headless browser that asks nobody for anything."""
    return play.chromium.launch(executable_path=path, args=FLAGS)


# ---------------------------------------------------------------- the server


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Address]:
    """A JupyterLab of its own; its notebooks are in ``folder / "notebooks"``."""
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    token, port = secrets.token_hex(16), free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={notebooks}", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    command += ["--JupyterNotebookApp.expose_app_in_browser=True"]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            command, env=surroundings(folder), stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await_server(process, f"{url}/api?token={token}", folder / "server.log")
        yield Address(url, token, notebooks)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End the server, which ends its kernels; and what is left of them if it does not."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
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
    limit = time.monotonic() + SERVER_SECONDS_MAX
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(address, timeout=2).close()
            return
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab does not answer:\n{log.read_text()[-2000:]}")


# ---------------------------------------------------------------- a notebook in it


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """A notebook of code cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(made, path)


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Page, address: Address, name: str) -> None:
        self.page = page
        self.address = address
        self.name = name

    @property
    def path(self) -> Path:
        """The file."""
        return self.address.folder / self.name

    def open(self) -> None:
        """Load the page and wait until its kernel can be used."""
        self.page.goto(self.address.notebook(self.name))
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.wait_for(IDLE, seconds=READY_SECONDS_MAX)
        self.command("application:toggle-left-area")

    def open_classic(self) -> None:
        """The same in Notebook 7, which has no splash and nothing at the left."""
        self.page.goto(self.address.classic(self.name))
        self.wait_for(IDLE, seconds=READY_SECONDS_MAX)

    def wait_for(self, condition: str, argument: object = None, seconds: float = WAIT_SECONDS_MAX) -> None:
        """Wait until a JavaScript function is true."""
        self.page.wait_for_function(condition, arg=argument, timeout=seconds * 1000)

    def command(self, name: str, arguments: Mapping[str, object] | None = None) -> None:
        """Have JupyterLab carry out a command; it is not waited for."""
        self.page.evaluate(COMMAND, [name, dict(arguments or {})])

    def run_all(self, seconds: float = WAIT_SECONDS_MAX) -> None:
        """Run all cells and wait until they have ended."""
        self.command("notebook:run-all-cells")
        self.wait_for(FINISHED, seconds=seconds)
        self.wait_for(IDLE, seconds=seconds)

    def begin(self, source: str) -> int:
        """Run a new last cell without waiting for it; where it is."""
        position = self.page.locator(".jp-Notebook-cell").count()
        self.page.evaluate(APPEND, source)
        self.wait_for(
            "position => window.jupyterapp.shell.currentWidget.content.widgets.length > position", position
        )
        return position

    def run(self, source: str, seconds: float = WAIT_SECONDS_MAX) -> str:
        """Run a new last cell; the text of its outputs."""
        position = self.begin(source)
        self.wait_for(CELL_DONE, position, seconds=seconds)
        return self.outputs(position).inner_text().strip() if self.outputs(position).count() else ""

    def cell(self, position: int) -> Locator:
        """A cell, counted from 0."""
        return self.page.locator(".jp-Notebook-cell").nth(position)

    def outputs(self, position: int) -> Locator:
        """What is below a cell."""
        return self.cell(position).locator(".jp-OutputArea")

    def errors(self) -> list[str]:
        """Tracebacks and warnings below the cells, and widgets that could not be shown."""
        found = self.page.locator(
            ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'],"
            ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']"
        ).all_inner_texts()
        return found + self.page.get_by_text("Error displaying widget").all_inner_texts()

    def theme(self, name: str) -> None:
        """Change the theme; wait until it is there."""
        self.command("apputils:change-theme", {"theme": name})
        self.wait_for("name => document.body.dataset.jpThemeName === name", name)
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def save(self) -> None:
        """Write the file."""
        self.command("docmanager:save")
        self.wait_for(CLEAN)

    def picture(self, name: str, part: Locator | None = None) -> Path:
        """Leave a screenshot of the page, or of a part of it."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        (self.page if part is None else part).screenshot(path=path)
        return path
