"""Notebook files: reading any of them, cleaning them, writing them. No kernel is known here.

A notebook that arrives is checked once, so that everything behind this file works on valid nbformat 4.
What is written is complete or not there at all: a temporary file beside the target, then a rename. Only a
target that is no regular file (``/dev/null``, a pipe) is written directly, since a rename would replace it.
"""

from __future__ import annotations

import json
import os
import stat
import warnings
from pathlib import Path
from typing import Any

from .errors import UsageError

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
NBFORMAT = 4


def read(path: Path) -> tuple[Any, list[str]]:
    """Read the notebook at ``path``.

    Parameters
    ----------
    path
        A notebook of any nbformat up to 4.

    Returns
    -------
    tuple
        The notebook, as valid nbformat 4, and a note for each thing that had to be changed.

    Raises
    ------
    UsageError
        If there is no such file, or it is not a notebook.
    """
    text = _load(path)
    document = _parse(path, text)
    version = document.get("nbformat")
    if not isinstance(version, int) or not isinstance(
        document.get("cells", document.get("worksheets")), list
    ):
        raise UsageError(f"{path}: JSON, but not a notebook: it has no nbformat and cells")
    if version > NBFORMAT:
        raise UsageError(f"{path}: nbformat {version} is newer than this program reads ({NBFORMAT})")
    notes = [] if version == NBFORMAT else [f"{path}: converted from nbformat {version} to {NBFORMAT}"]
    return _upgrade(path, text), notes


def _load(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a directory, not a notebook") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a notebook: it is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    if not text.strip():
        raise UsageError(f"{path}: the file is empty")
    try:
        document = json.loads(text)
    except RecursionError:
        raise UsageError(f"{path}: not a notebook: it is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{path}: not a notebook: it is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path}: JSON, but not a notebook: it holds a {type(document).__name__}")
    return document


def _upgrade(path: Path, text: str) -> Any:
    import nbformat
    from nbformat import reader
    from nbformat.validator import normalize

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbformat warns of what it mends: a cell without an id
            notebook = nbformat.convert(reader.reads(text), NBFORMAT)
            _give_ids(notebook)
            _, notebook = normalize(notebook)
            nbformat.validate(notebook)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{path}: not a valid notebook: {reason}") from None
    return notebook


def _give_ids(notebook: Any) -> None:
    """Bring nbformat 4.0 to 4.4 up to 4.5; ids by position, so that two runs write the same."""
    if notebook.nbformat_minor < 5:
        notebook.nbformat_minor = 5
        for position, cell in enumerate(notebook.cells):
            cell.setdefault("id", f"cell-{position}")


def runnable(notebook: Any) -> list[int]:
    """The indices of the cells that have something to execute.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
    >>> runnable(new_notebook(cells=[new_markdown_cell("a"), new_code_cell("1"), new_code_cell("")]))
    [1]
    """
    return [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        and cell.source.strip()
        and "skip-execution" not in cell.metadata.get("tags", [])
    ]


def clear(notebook: Any) -> None:
    """Forget what an earlier run left: outputs, counts, timings, widget state."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
            cell.metadata.pop("execution", None)


def drop_widget_views(notebook: Any) -> None:
    """Keep the plain forms of widgets only.

    A widget view without its kernel shows as an error message even beside other forms of the same output.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET_VIEW, None)
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]


def output_path(notebook: Path, out: str | None, inplace: bool) -> Path:
    """Where the executed notebook goes; made sure of before anything runs.

    Parameters
    ----------
    notebook
        The input.
    out
        What the user asked for, or None: beside the input, as ``NAME.out.ipynb``.
    inplace
        Write over the input.

    Raises
    ------
    UsageError
        If the output would replace the input unasked, or cannot be written.
    """
    if inplace:
        target = notebook
    elif out is None:
        target = notebook.with_name(f"{notebook.stem}.out.ipynb")
    else:
        target = Path(out)
        if target.exists() and notebook.exists() and target.samefile(notebook):
            raise UsageError(f"{target}: the output would replace the input (use --inplace to do so)")
    check_writable(target)
    return target


def check_writable(target: Path) -> None:
    """Raise `UsageError` unless a file can be made at ``target``; missing folders are created."""
    try:
        if target.is_dir():
            raise UsageError(f"{target}: a directory; name a file to write to")
        target.parent.mkdir(parents=True, exist_ok=True)
        if _is_replaceable(target):
            probe = _beside(target)
            probe.touch(exist_ok=False)
            probe.unlink()
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from None


def write(notebook: Any, target: Path) -> None:
    """Write ``notebook`` to ``target``, whole or not at all.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    import nbformat

    write_text(nbformat.writes(notebook) + "\n", target)


def write_text(text: str, target: Path) -> None:
    """Write ``text`` to ``target``, whole or not at all; `UsageError` if it cannot be.

    A lone surrogate, which UTF-8 does not have, is written as the escape that JSON has for it.
    """
    write_bytes(text.encode("utf-8", errors="backslashreplace"), target)


def write_bytes(data: bytes, target: Path) -> None:
    """Write ``data`` to ``target``, whole or not at all; `UsageError` if it cannot be."""
    target = Path(os.path.realpath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _is_replaceable(target):
            target.write_bytes(data)
            return
        temporary = _beside(target)
        try:
            temporary.write_bytes(data)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from None


def _is_replaceable(target: Path) -> bool:
    return not target.exists() or stat.S_ISREG(target.stat().st_mode)


def _beside(target: Path) -> Path:
    real = Path(os.path.realpath(target))
    return real.with_name(f".{real.name[:100]}.{os.getpid()}.part")
