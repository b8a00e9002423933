"""Recording a headless run: what the kernel is told, and what the record says of the cells afterwards.

Law: while the kernel lives, it writes the calls; once it is gone, this file adds the cells, the notebook and
the head, and gives the record its name. A run that failed is recorded up to there.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from cloudburst_nb.records import recording
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.folder import Draft, Files, check_target
from cloudburst_nb.records.format import Called
from cloudburst_nb.records.outputs import cells_of, strip

from .errors import UsageError
from .kernel import DEFAULT, NATIVE
from .parameters import Text

if TYPE_CHECKING:
    from .run import Job


def check(target: Path, kernel: str | None) -> None:
    """Raise `UsageError` if a run in that kernel cannot be recorded there."""
    if (kernel or DEFAULT) not in NATIVE:
        raise UsageError(f"a run is recorded in a Python kernel of this program, not in {kernel!r}")
    try:
        check_target(target)
    except RecordError as error:
        raise UsageError(str(error)) from None


class Taping:
    """The recording of one run.

    Parameters
    ----------
    target
        Where the record will be.

    Attributes
    ----------
    around
        What the kernel runs before the first cell, and after the last.
    """

    def __init__(self, target: Path) -> None:
        self._draft: Draft | None = None
        self._why_not = ""
        try:
            self._draft = Draft(target)
        except RecordError as error:
            self._why_not = str(error)

    @property
    def around(self) -> tuple[str, str] | None:
        if self._draft is None:
            return None
        module = "__import__('cloudburst_nb.records.inside', fromlist=['begin'])"
        return f"{module}.begin({str(self._draft.folder)!r})", f"{module}.end()"

    def finish(self, job: Job, complaint: str) -> str:
        """Make the record whole, or remove what there is of it; returns why there is none."""
        if self._draft is None:
            return self._why_not
        try:
            if complaint:
                return complaint
            self._complete(self._draft, job)
            return ""
        except RecordError as error:
            return str(error)
        finally:
            strip(job.notebook)
            self._draft.drop()

    @staticmethod
    def _complete(draft: Draft, job: Job) -> None:
        import nbformat

        request = job.request
        draft.log.mend()
        seconds = {ended.number: ended.seconds for ended in job.ended}
        draft.log.append(cells_of(job.notebook, job.indices, seconds))
        entries = Files(draft.folder).entries_so_far()
        head = recording.head(sum(isinstance(entry, Called) for entry in entries))
        head.notebook, head.cells = request.notebook.name, request.cells
        for name, value in request.parameters.items():
            if isinstance(value, Text):
                head.arguments[name] = str(value)
            else:
                head.parameters[name] = value
        head.seed, head.executors, head.kernel = request.seed, request.executors, request.kernel
        head.complete = job.failure is None
        kept = copy.deepcopy(job.notebook)
        strip(kept)
        draft.finish(head, nbformat.writes(kept) + "\n")
