"""A pytest plugin: ``pytest --cloudburst-notebooks notebooks/`` makes each notebook a test.

A notebook passes if all its cells run, each notebook in a kernel and with a runtime of its own, as under
``cloudburst-nb run``. With ``--verify`` its results must also be those of its record, which is kept in the
repository: ``records/NAME`` beside ``NAME.ipynb``. Without the first option nothing of this is imported.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cloudburst_nb.headless.run import Job, Request

RECORDS = "records"
RECORD_HEAD = "record.json"
"""Beside it lies a record's own copy of its notebook."""
NOT_INPUTS = (".out.ipynb", "-checkpoint.ipynb")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("cloudburst", "notebooks of cloudburst-nb")
    group.addoption(
        "--cloudburst-notebooks", action="store_true", help="take each notebook for a test that runs it"
    )
    group.addoption(
        "--verify", action="store_true", help="compare each notebook with its record, records/NAME beside it"
    )
    group.addoption(
        "--cloudburst-output", metavar="DIR", type=Path, help="keep the executed notebooks in this folder"
    )
    group.addoption(
        "--cloudburst-timeout", metavar="S", type=float, help="seconds that each cell of a notebook may take"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Notebooks are files with one test."""
    if file_path.suffix != ".ipynb" or not parent.config.getoption("cloudburst_notebooks"):
        return None
    if file_path.name.endswith(NOT_INPUTS) or (file_path.parent / RECORD_HEAD).exists():
        return None
    made: pytest.Collector = NotebookFile.from_parent(parent, path=file_path)
    return made


class NotebookFile(pytest.File):
    """A notebook."""

    def collect(self) -> Iterator[pytest.Item]:
        yield NotebookItem.from_parent(self, name=self.path.stem)


class NotebookFailed(Exception):
    """A cell failed, or the results are not those of the record; the message is what is shown."""


class NotebookItem(pytest.Item):
    """The run of one notebook."""

    def runtest(self) -> None:
        output = self.config.getoption("cloudburst_output")
        with tempfile.TemporaryDirectory() as folder:
            into = Path(output or folder)
            into.mkdir(parents=True, exist_ok=True)
            self._run(into / self.path.name)

    def _run(self, target: Path) -> None:
        from cloudburst_nb.headless.run import Request

        request = Request(self.path, out=str(target), timeout_s=self.config.getoption("cloudburst_timeout"))
        if self.config.getoption("verify"):
            verify_notebook(request, self.path.parent / RECORDS / self.path.stem)
        else:
            run_notebook(request)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | Any:
        from cloudburst_nb.headless.errors import UsageError

        if isinstance(excinfo.value, NotebookFailed | UsageError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"notebook: {self.name}"


def run_notebook(request: Request) -> None:
    """Run a notebook; its progress goes to stdout, where pytest keeps it.

    Raises
    ------
    NotebookFailed
        If a cell failed.
    """
    from cloudburst_nb.headless.run import execute, prepare

    job = prepare(request)
    execute([job], 1, sys.stdout)
    _check(job)


def verify_notebook(request: Request, record: Path) -> None:
    """Run a notebook as it was recorded, and compare.

    Raises
    ------
    NotebookFailed
        If a cell failed that did not fail in the record, or something differs.
    UsageError
        If there is no such record.
    """
    from cloudburst_nb.headless.run import OK
    from cloudburst_nb.headless.verifying import verify

    done = verify(request.notebook, record, request=request, stderr=sys.stdout)
    if done.status != OK:
        _check(done.job)
        raise NotebookFailed("\n".join(done.report.lines()))


def _check(job: Job) -> None:
    from cloudburst_nb.headless import progress

    if job.failure is not None:
        told = io.StringIO()
        progress.Lines(told).failure(job.failure)
        raise NotebookFailed(told.getvalue())
