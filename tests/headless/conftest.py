from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks_at_hand import Program, start


@pytest.fixture
def program() -> Iterator[Program]:
    """Runs ``cloudburst-nb run …`` to its end; nothing of it may be left afterwards."""
    started: list[subprocess.Popen[str]] = []

    def execute(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **options)
        started.append(process)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    yield execute
    for process in started:
        process.kill()
        process.wait()
