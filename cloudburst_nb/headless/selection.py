"""Which cells of a notebook a run executes: ``--cells 1-5,tag:train``. Pure.

Code cells that have something to execute are counted from 1, as the progress of a run shows them. What sets
the parameters is executed whatever is chosen, since nothing else would be what was asked for.
"""

from __future__ import annotations

import re
from typing import Any

from .document import runnable
from .errors import UsageError
from .parameters import DEFAULTS_TAG, INJECTED_TAG

SPAN = re.compile(r"(\d*)(-?)(\d*)")


def select(notebook: Any, wanted: str | None) -> list[int]:
    """The indices of the cells to execute, in the notebook's order.

    Parameters
    ----------
    notebook
        Before anything is executed; an injected cell of parameters is not counted.
    wanted
        Parts divided by commas: ``3``, ``2-5``, ``4-``, ``-2``, ``tag:NAME``; None for all cells.

    Raises
    ------
    UsageError
        If a part is none of these, or chooses no cell.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell, new_notebook
    >>> cells = [new_code_cell("1"), new_code_cell("2"), new_code_cell("3", metadata={"tags": ["slow"]})]
    >>> select(new_notebook(cells=cells), "1,tag:slow")
    [0, 2]
    """
    indices = runnable(notebook)
    if wanted is None:
        return indices
    counted = [index for index in indices if INJECTED_TAG not in _tags(notebook, index)]
    chosen = {index for part in wanted.split(",") for index in _part(notebook, counted, part.strip())}
    chosen.update(index for index in indices if {DEFAULTS_TAG, INJECTED_TAG} & set(_tags(notebook, index)))
    return sorted(chosen)


def _part(notebook: Any, counted: list[int], part: str) -> list[int]:
    if part.startswith("tag:"):
        tag = part.removeprefix("tag:")
        found = [index for index in counted if tag in _tags(notebook, index)]
        if not found:
            tags = sorted({tag for index in counted for tag in _tags(notebook, index)})
            raise UsageError(f"--cells: no cell is tagged {tag!r}; tags are: {', '.join(tags) or 'none'}")
        return found
    span = SPAN.fullmatch(part)
    if span is None or not (span[1] or span[3]):
        raise UsageError(f"--cells: {part!r} is neither a number, nor a range such as 2-5, nor tag:NAME")
    first = int(span[1] or 1)
    last = int(span[3] or len(counted)) if span[2] else first
    if not 1 <= first <= last <= len(counted):
        raise UsageError(f"--cells: {part!r} is not within the notebook's code cells, 1 to {len(counted)}")
    return counted[first - 1 : last]


def _tags(notebook: Any, index: int) -> list[str]:
    return list(notebook.cells[index].metadata.get("tags", []))
