"""The documents speak of what there is: files that exist, every module, every dependency."""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from cloudburst_nb import cli, pytest_plugin

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)|src=\"(?!https?:)([^\"]+)\"")
QUOTED = re.compile(r"`([^`\n]+)`")
PACKAGES = [
    ROOT / "cloudburst_nb",
    ROOT / "runtime/cloudburst_runtime",
    ROOT / "kernel_ext/cloudburst_kernel",
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        path = document.parent / (target[0] or target[1])
        assert path.exists(), f"{document.name} links to {path.relative_to(ROOT)}, which is not there"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_that_a_document_names_are_there(document: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z]+)\b", document.read_text(encoding="utf-8"), re.MULTILINE))
    for target in named:
        assert f"\n{target}:" in text("Makefile"), f"there is no target {target}"


def test_python_files_that_the_architecture_names_are_there() -> None:
    files = [
        f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.py") if ".venv" not in path.parts
    ]
    named = {name for name in QUOTED.findall(text("ARCHITECTURE.md")) if re.fullmatch(r"[\w/]+\.py", name)}
    assert named, "the architecture names no file any more"
    for name in named:
        assert any(file.endswith(f"/{name}") for file in files), f"there is no {name}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_architecture_has_every_module(package: Path) -> None:
    named = set(QUOTED.findall(text("ARCHITECTURE.md")))
    for path in package.iterdir():
        if path.suffix == ".py" and path.stem != "__init__":
            assert path.stem in named, f"ARCHITECTURE.md does not say what {path.stem} is for"
        elif (path / "__init__.py").exists():
            assert f"{path.name}/" in named, f"ARCHITECTURE.md does not say what {path.name}/ is for"


def requirements() -> list[str]:
    """Names of everything that pyproject.toml asks for."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return sorted({re.split(r"[\[<>=~! ]", each)[0] for group in groups for each in group})


@pytest.mark.parametrize("name", requirements())
def test_each_dependency_is_justified(name: str) -> None:
    lines = [line for line in text("docs/dependencies.md").splitlines() if line.startswith("| ")]
    assert any(f"`{name}`" in line.split("|")[1] for line in lines), f"what is {name} for?"


def test_the_changelog_has_this_version() -> None:
    assert f"## [{PROJECT['version']}]" in text("CHANGELOG.md")


def test_the_workflow_in_the_documents_is_one_and_calls_what_there_is() -> None:
    """Each step's command has a program and options that this project has."""
    [workflow] = re.findall(r"```yaml\n(.*?)```", text("docs/ci.md"), re.DOTALL)
    steps = yaml.safe_load(workflow)["jobs"]["notebooks"]["steps"]
    commands = [shlex.split(step["run"]) for step in steps if "run" in step]
    [ours] = [command for command in commands if command[0] == "cloudburst-nb"]
    assert cli._parser().parse_args(ours[1:]).jobs == 2
    [pytest_command] = [command for command in commands if command[:3] == ["python", "-m", "pytest"]]
    known = inspect.getsource(pytest_plugin)
    options = [word for word in pytest_command if word.startswith("--")]
    assert options
    assert all(f'"{option}"' in known for option in options)
