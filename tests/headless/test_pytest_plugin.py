"""`pytest --cloudburst-notebooks`: each notebook a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cloudburst_nb.cli import main
from tests.notebooks_at_hand import environment, load, save, texts

PLUGIN = ("-p", "cloudburst_nb.pytest_plugin", "-p", "no:cacheprovider")


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-v", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


def test_each_notebook_is_a_test_and_a_failure_shows_its_cell(tmp_path: Path) -> None:
    save(
        tmp_path / "good.ipynb",
        "import cloudburst_nb as cb",
        "print(cb.function(lambda: 1, name='one')().get())",
    )
    save(tmp_path / "bad.ipynb", "x = 0", "y = 1\n1 / x")
    save(tmp_path / "bad.out.ipynb", "an output of earlier = ")
    (tmp_path / "torn.ipynb").write_text("{")
    ran = pytest_on(tmp_path, "--cloudburst-notebooks", "--cloudburst-output", "kept")
    assert ran.returncode == 1
    assert "good.ipynb::good PASSED" in ran.stdout
    assert "bad.ipynb::bad FAILED" in ran.stdout
    assert "cell 2 of 2: ZeroDivisionError: division by zero" in ran.stdout
    assert "-->  2  1 / x" in ran.stdout
    assert "torn.ipynb: not a notebook: it is not JSON" in ran.stdout
    assert "2 failed, 1 passed" in ran.stdout
    assert texts(load(tmp_path / "kept" / "good.ipynb").cells[1]) == "1\n"


def test_without_the_option_no_notebook_is_collected(tmp_path: Path) -> None:
    save(tmp_path / "bad.ipynb", "1 / 0")
    ran = pytest_on(tmp_path)
    assert "collected 0 items" in ran.stdout


def test_a_cell_that_takes_too_long_fails(tmp_path: Path) -> None:
    save(tmp_path / "long.ipynb", "import time; time.sleep(600)")
    ran = pytest_on(tmp_path, "--cloudburst-notebooks", "--cloudburst-timeout", "1")
    assert "the cell ran longer than 1 s" in ran.stdout


def test_a_notebook_is_verified_against_the_record_beside_it(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    for name in ("same", "other"):
        notebook = save(tmp_path / f"{name}.ipynb", "print(40 + 2)")
        assert main(["record", str(notebook), "-o", str(tmp_path / "records" / name)]) == 0
    save(tmp_path / "other.ipynb", "print(40 + 3)")
    save(tmp_path / "unknown.ipynb", "print(1)")
    ran = pytest_on(tmp_path, "--cloudburst-notebooks", "--verify")
    assert "same.ipynb::same PASSED" in ran.stdout
    assert "other.ipynb::other FAILED" in ran.stdout
    assert "43" in ran.stdout
    assert "records/unknown: no such record" in ran.stdout
    assert "2 failed, 1 passed" in ran.stdout
