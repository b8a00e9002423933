"""One JupyterLab and one browser for all tests of this folder; a kernel and a page for each.

Where there is no browser the tests are skipped, and say what to install; under CI that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.lab import Address, Notebook

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1200, 1000
WANTED = (
    "the browser tests need Chromium and the packages jupyterlab, notebook and playwright: `make test` "
    "installs them where it can, elsewhere install Chromium (Debian, Ubuntu: apt-get install chromium "
    "fonts-dejavu-core; macOS: brew install --cask chromium) and, in the environment, `pip install "
    "jupyterlab notebook playwright`"
)

Opener = Callable[..., "Notebook"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, and run them last: Playwright's event loop stays in the main thread until the end."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: HERE in item.path.parents)


def absent(what: str) -> Any:
    """There is no browser here."""
    message = f"{what}: {WANTED}"
    return pytest.fail(message, pytrace=False) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        import jupyterlab  # noqa: F401
        import notebook  # noqa: F401
        from playwright.sync_api import sync_playwright

        from tests.browser import lab
    except ImportError as error:
        absent(str(error))
    path = lab.chromium()
    if path is None:
        absent("no Chromium is found")
        return
    with sync_playwright() as play:
        launched = lab.launch(play, path)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def address(browser: Browser) -> Iterator[Address]:
    """The server; the runtimes of its kernels are in its folder, and gone at the end."""
    from tests.browser import lab

    folder = Path(tempfile.mkdtemp(prefix="cbb", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        with lab.server(folder) as found:
            yield found
    left = list(folder.glob("cloudburst-nb-*/*"))
    shutil.rmtree(folder)
    assert not left, f"runtimes are left: {left}"


@pytest.fixture
def notebook(browser: Browser, address: Address, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """``notebook(cells)``: a new notebook in a page of its own, with its kernel ready.

    ``notebook(path=…)`` opens one that is there, ``theme=`` is the theme's name, ``classic=True`` is
    Notebook 7. If the test fails, there is a picture of each page. No page may ask any machine but this one
    for anything.
    """
    from tests.browser import lab

    opened: list[Notebook] = []
    asked: list[str] = []
    title = re.sub(r"\W+", "_", request.node.name).strip("_")

    def open_one(
        cells: Sequence[str] = (), path: str = "", theme: str = lab.LIGHT, classic: bool = False
    ) -> Notebook:
        name = path or f"{title}_{len(opened)}.ipynb"
        if not path:
            lab.write_notebook(address.folder / name, cells)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.set_default_timeout(lab.WAIT_SECONDS_MAX * 1000)
        page.on("request", lambda request: asked.append(request.url))
        made = lab.Notebook(page, address, name)
        opened.append(made)
        made.open_classic() if classic else made.open()
        made.theme(theme)  # the server remembers that of the test before
        return made

    yield open_one
    for index, made in enumerate(opened):
        if getattr(request.node, "failed_here", False):
            made.picture(f"failed_{title}_{index}")
        close(made)
    elsewhere = [url for url in asked if not url.startswith((address.url, "data:", "blob:"))]
    assert not elsewhere, f"requests left this machine: {elsewhere[:5]}"


def close(made: Notebook) -> None:
    """End the notebook's kernel, and its page."""
    made.page.evaluate("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown()")
    made.page.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let the fixture know whether its test failed."""
    report = yield
    if report.when == "call":
        item.failed_here = report.failed  # type: ignore[attr-defined]
    return report
