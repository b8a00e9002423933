"""Runtimes for the tests of real processes: in a directory of their own, and none left at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
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


def arenas_below(parent: str) -> list[str]:
    """The shared memory of runtimes below ``parent``; others may be at work on this machine."""
    found = []
    for name in os.listdir("/dev/shm"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/dev/shm/{name}/runtime").startswith(f"{parent}/"):
                found.append(name)
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
    shared = arenas_below(parent)
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
