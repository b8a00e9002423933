"""Notebooks made for a test, and the real program to run them with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from cloudburst_nb.headless import progress

ROOT = Path(__file__).resolve().parents[1]
KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
Program = Callable[..., "subprocess.CompletedProcess[str]"]


def save(path: Path, *cells: Any, **metadata: Any) -> Path:
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    notebook = new_notebook(cells=made, metadata={"kernelspec": KERNELSPEC, **metadata})
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


def load(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def texts(cell: Any) -> str:
    return "".join(map(progress.text_of, cell.outputs))


def environment(**changes: str) -> dict[str, str]:
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IPYTHON", "JUPYTER"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(roots), **changes}


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cloudburst_nb.cli", "run", *map(str, arguments)]
    options = {"env": environment(), "stdin": subprocess.DEVNULL, **options}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options
    )


def tagged(source: str, tag: str) -> Any:
    return new_code_cell(source, metadata={"tags": [tag]})
