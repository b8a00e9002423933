"""Runtimes for the tests of real processes: in a directory of their own, and none left at the end."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_runtime.shell import arena_file
from tests.processes.watching import (
    DEADLINE,
    directory_of,
    eventually,
    forget_all,
    nothing_left,
    processes_of,
)

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.processes)


def arenas_of(parent: str) -> list[str]:
    """The directories of shared memory that name a runtime below ``parent``: others may be testing, too."""
    links = glob.glob(os.path.join(arena_file.ROOT, "cloudburst-nb-*", arena_file.LINK))
    found = []
    for link in links:
        with contextlib.suppress(OSError):  # removed just now
            if os.readlink(link).startswith(parent):
                found.append(link)
    return found


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[str]:
    """Where this session's runtimes are; at the end there are none, and no shared memory of theirs."""
    parent = tempfile.mkdtemp(prefix="cbt", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", parent)
        base = os.path.join(parent, f"cloudburst-nb-{os.getuid()}")
        yield base
    forget_all()
    left = os.listdir(base) if os.path.exists(base) else []
    shared = arenas_of(parent)
    shutil.rmtree(parent)
    assert not left, f"runtimes are left: {left}"
    assert not shared, f"shared memory is left: {shared}"


@pytest.fixture(scope="module")
def client(home: str) -> Iterator[Client]:
    """The runtime that a module's tests share: two executors to begin with."""
    forget_all()
    made = cb.up(executors=2)
    directory = directory_of(made)
    yield made
    forget_all()
    eventually(lambda: nothing_left(directory), DEADLINE, f"{directory}: {processes_of(directory)}")


@pytest.fixture
def alone(home: str) -> Iterator[None]:
    """For tests that start their own runtime, or none."""
    forget_all()
    yield
    forget_all()
