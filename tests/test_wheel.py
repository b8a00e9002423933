"""What `pip install` brings: the three packages, typed, complete, and working without the checkout."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cloudburst_nb

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "cloudburst_nb": ROOT / "cloudburst_nb",
    "cloudburst_runtime": ROOT / "runtime" / "cloudburst_runtime",
    "cloudburst_kernel": ROOT / "kernel_ext" / "cloudburst_kernel",
}

FIRST_CALL = """
import cloudburst_nb as cb

@cb.function
def square(x):
    return x * x

with cb.up(executors=1):
    print(cb.__file__, square(3).get(timeout=60))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is in the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, *arguments: str) -> str:
    """Python outside the checkout, which finds the wheel's packages first."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_module_and_nothing_but_the_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for package, folder in PACKAGES.items():
        modules = {f"{package}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.py")}
        assert modules <= set(names)
        assert f"{package}/py.typed" in names
    assert {f"cloudburst_nb/widgets/static/dag.{kind}" for kind in ("js", "css")} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("cloudburst_nb-")} == set(PACKAGES)
    assert not [name for name in names if "__pycache__" in name]


def test_the_kernelspec_is_installed_where_jupyter_looks_for_it(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("kernels/cloudburst/kernel.json")]
    assert ".data/data/share/jupyter/" in name
    spec = json.loads(archive.read(name))
    assert spec["display_name"] == "Cloudburst (Python 3)"
    assert spec["argv"][:3] == ["python", "-m", "cloudburst_kernel"]


def test_its_metadata_are_the_packages(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert (metadata["Name"], metadata["Version"]) == ("cloudburst-nb", cloudburst_nb.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_command_line_of_the_wheel_works(installed: Path) -> None:
    assert cloudburst_nb.__version__ in run(installed, "-m", "cloudburst_nb.cli", "--version")


@pytest.mark.processes
def test_functions_run_from_the_wheel(installed: Path) -> None:
    path, result = run(installed, "-c", FIRST_CALL).split()
    assert Path(path).is_relative_to(installed), "the checkout was imported"
    assert result == "9"
