"""The DAG editor's JavaScript, by the test runner that node brings along."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "cloudburst_nb" / "widgets" / "static" / "dag.js"
NODE_MIN = 20
WANTED = f"the editor's JavaScript is tested with node {NODE_MIN} or newer (apt-get install nodejs)"


def version(path: str) -> str:
    """What node says that it is."""
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout


def node() -> str:
    """Where node is; without one the test is skipped, and fails under CI."""
    path = shutil.which("node")
    said = version(path) if path else ""
    if path and int(said.lstrip("v").partition(".")[0] or 0) >= NODE_MIN:
        return path
    if os.environ.get("CI"):
        pytest.fail(WANTED, pytrace=False)
    pytest.skip(WANTED)


def test_what_needs_no_page() -> None:
    done = subprocess.run(
        [node(), "--test", str(ROOT / "tests" / "javascript")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"# pass [1-9]", done.stdout)


def test_the_module_needs_nothing_and_fetches_nothing() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    assert not re.search(
        r"^\s*import\s|\bimport\(|\bfetch\(|XMLHttpRequest|WebSocket|eval\(", source, re.MULTILINE
    )
    addresses = set(re.findall(r"https?://[^\"'` ]+", source)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
