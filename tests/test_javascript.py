"""The widgets' JavaScript, by node's own test runner: each file of ``tests/js`` is a test here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"
STATIC = Path(__file__).parents[1] / "cloudburst_nb" / "widgets" / "static"
NODE_MIN = (20, 19)
"""From here on it takes a module for one without being told."""


@pytest.fixture(scope="module")
def node() -> str:
    """Node, of a version that has a test runner; without it the tests are skipped, or fail under CI."""
    found = shutil.which("node")
    said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout if found else "v0.0"
    if found is None or tuple(map(int, re.findall(r"\d+", said)[:2])) < NODE_MIN:
        message = "the tests of the JavaScript need node 20.19 or newer (Debian: apt-get install nodejs)"
        return pytest.fail(message, pytrace=False) if os.environ.get("CI") else pytest.skip(message)
    return found


@pytest.mark.parametrize("file", sorted(JS.glob("*.test.mjs")), ids=lambda file: file.stem)
def test_file(file: Path, node: str) -> None:
    ran = subprocess.run(
        [node, "--no-warnings", "--test", "--test-reporter=spec", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert re.search(r"pass [1-9]", ran.stdout), ran.stdout


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.*s")), ids=lambda file: file.name)
def test_the_page_asks_no_machine_for_anything(file: Path) -> None:
    text = file.read_text()
    assert not re.search(
        r"https?://(?!www\.w3\.org/)|\bfetch\(|XMLHttpRequest|@import|\bimport\b.*\bfrom\b", text
    )
