"""`cloudburst-nb record` and `verify`: a run that is kept, and another one that is compared with it.

Law: a verification is a recording that is thrown away afterwards; what is the same is decided by
`cloudburst_nb.records.comparing`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from cloudburst_nb import options
from cloudburst_nb.records.comparing import Report, compare
from cloudburst_nb.records.difference import EXACT, Tolerance
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.record import Record, read

from . import progress
from .errors import UsageError
from .parameters import parse_pairs
from .run import DIFFERS, INTERRUPTED, OK, TIMED_OUT, Job, Request, execute, prepare, run


@dataclass(frozen=True)
class Verified:
    """The outcome of a verification.

    Attributes
    ----------
    report
        What is the same and what is not.
    job
        The run that was compared.
    """

    report: Report
    job: Job

    @property
    def status(self) -> int:
        """The exit status: of the run, if that was cut short; else whether something differs."""
        if self.job.status in (INTERRUPTED, TIMED_OUT):
            return self.job.status
        return OK if self.report.ok else DIFFERS


def verify(
    notebook: Path,
    against: Path,
    tolerance: Tolerance = EXACT,
    request: Request | None = None,
    stderr: TextIO | None = None,
) -> Verified:
    """Execute a notebook as it was recorded, and compare what its cells show with the record.

    Parameters
    ----------
    notebook
        The notebook, in its present state.
    against
        The record.
    tolerance
        How far numbers may be apart.
    request
        How to execute it; what it leaves open is done as in the record: parameters, cells, seed, executors.
    stderr
        Where progress is shown.

    Raises
    ------
    UsageError
        If the notebook or the record cannot be read, or the run could not be recorded.

    Examples
    --------
    >>> verify(Path("nb.ipynb"), Path("nowhere.record"))
    Traceback (most recent call last):
        ...
    cloudburst_nb.headless.errors.UsageError: nowhere.record: no such record
    """
    try:
        then = read(against)
        with tempfile.TemporaryDirectory(prefix="cbnb-verify-") as folder:
            target = Path(folder, "record")
            job = prepare(as_recorded(request or Request(notebook), notebook, then, target))
            execute([job], 1, stderr or sys.stderr)
            if job.unrecorded:
                raise UsageError(job.unrecorded)
            return Verified(compare(then, read(target), tolerance), job)
    except RecordError as error:
        raise UsageError(str(error)) from None


def as_recorded(request: Request, notebook: Path, then: Record, target: Path) -> Request:
    """The request, with what it leaves open as it was when the record was made."""
    head = then.head
    return replace(
        request,
        notebook=notebook,
        out=request.out or os.devnull,
        parameters={**head.parameters, **parse_pairs(list(head.arguments.items())), **request.parameters},
        cells=request.cells or head.cells,
        seed=head.seed if request.seed is None else request.seed,
        executors=request.executors or head.executors,
        kernel=request.kernel or head.kernel,
        record=target,
    )


# ---------------------------------------------------------------- commands


def record_command(arguments: argparse.Namespace) -> int:
    """`cloudburst-nb record`."""
    notebook: Path = arguments.notebook
    target = arguments.output or notebook.with_name(f"{notebook.stem}.record")
    request: Request = options.request_of(arguments, notebook, out=os.devnull, record=target)
    return run([request], as_json=arguments.json)


def verify_command(arguments: argparse.Namespace) -> int:
    """`cloudburst-nb verify`."""
    request = options.request_of(arguments, arguments.notebook)
    tolerance = Tolerance(arguments.rtol, arguments.atol)
    done = verify(arguments.notebook, arguments.against, tolerance, request)
    if arguments.json:
        print(json.dumps(told(done)))
    else:
        print("\n".join(done.report.lines()))
    if done.job.failure is not None and done.status != OK:
        progress.Lines(sys.stderr).failure(done.job.failure)
    return done.status


def told(done: Verified) -> dict[str, object]:
    """What a machine is told of a verification."""
    report = done.report
    return {
        "ok": done.status == OK,
        "exit": done.status,
        "cells": [
            {"number": row.number, "state": row.state, "details": list(row.details)} for row in report.rows
        ],
        "functions": report.functions,
        "divergence": None if report.divergence is None else str(report.divergence),
    }
