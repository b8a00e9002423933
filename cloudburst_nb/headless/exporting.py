"""`cloudburst-nb export`: a notebook is executed, and what it registered written as a package.

Law: the notebook runs as `run` runs it, with one step more at its end, in the same kernel: only there are
the functions, with what they captured. The executed notebook itself is not kept.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from cloudburst_nb.export.package import check

from . import progress
from .run import CELL_FAILED, OK, Job, Request, execute, prepare

STEP = """\
# write the package
from cloudburst_nb.export.package import attempt as _attempt
print(_attempt({directory!r}, {origin!r}))
"""


def export(request: Request, directory: Path, stderr: TextIO | None = None) -> int:
    """Execute a notebook and write its functions and DAGs as a Python package.

    Parameters
    ----------
    request
        Which notebook, and how it is executed.
    directory
        The package.
    stderr
        Where progress and errors are written.

    Returns
    -------
    int
        0, or the status that a run of the notebook that failed so would have.

    Raises
    ------
    UsageError
        If the request cannot be carried out.
    """
    check(directory.absolute())
    stderr = stderr or sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        job = prepare(replace(request, out=str(Path(folder) / "executed.ipynb")))
        _add_step(job, directory.absolute())
        execute([job], 1, stderr)
    if job.failure is not None:
        progress.Lines(stderr).failure(job.failure)
        return job.status
    notes, refusal = _said(job)
    for line in [*notes, *refusal]:
        progress.Lines(stderr).note(line)
    if refusal:
        return CELL_FAILED
    stderr.write(f"package: {directory}\n")
    return OK


def _add_step(job: Job, directory: Path) -> None:
    from nbformat.v4 import new_code_cell

    source = STEP.format(directory=str(directory), origin=job.request.notebook.name)
    job.notebook.cells.append(new_code_cell(source))
    job.indices.append(len(job.notebook.cells) - 1)


def _said(job: Job) -> tuple[list[str], list[str]]:
    """What the last step printed: notes, and why it wrote nothing."""
    [output] = job.notebook.cells[-1].outputs
    told = json.loads(progress.text_of(output))
    return told["notes"], told["refused"]
