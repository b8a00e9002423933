"""The README's tour is a program: it runs from top to bottom, and gives what its comments say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def checked(program: str) -> str:
    """The program with each expression that has a value in its comment turned into an assertion."""
    lines = program.splitlines()
    for statement in ast.parse(program).body:
        line = lines[statement.lineno - 1]
        code, _, comment = line.partition("  # ")
        said = value_in(comment)
        if isinstance(statement, ast.Expr) and said is not None:
            lines[statement.lineno - 1] = f"_ = {code.strip()}; assert _ == {said}, (_, {line!r})"
    return "\n".join(lines)


def value_in(comment: str) -> str | None:
    """The longest beginning of a comment that is a Python literal."""
    for end in range(len(comment), 0, -1):
        try:
            ast.literal_eval(comment[:end].strip())
        except (SyntaxError, ValueError):
            continue
        return comment[:end].strip(" ,")
    return None


@pytest.mark.processes
def test_the_tour_runs_and_its_comments_are_true(tmp_path: Path) -> None:
    program = checked("\n".join(CODE.findall((ROOT / "README.md").read_text(encoding="utf-8"))))
    assert program.count("assert _ ==") >= 9, "the comments are no longer read"
    (tmp_path / "tour.py").write_text(program, encoding="utf-8")
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    done = subprocess.run(
        [sys.executable, "tour.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
