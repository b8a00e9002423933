"""The commands up, status, kv and down on a real runtime, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Command = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.processes


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    roots = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "kernel_ext")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "XDG_RUNTIME_DIR": str(tmp_path)}
    environment.pop("CLOUDBURST_ADDRESS", None)

    def execute(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "cloudburst_nb.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    yield execute
    execute("down")


def test_a_runtime_outlives_the_command_that_starts_it_until_down(command: Command) -> None:
    status, address, err = command("up", "--executors", "1:1")
    assert (status, err) == (0, "")
    assert address.startswith("unix:")
    assert address.strip() in command("status")[1]
    assert command("kv", "put", "n", "3", "--lattice", "counter") == (0, "", "")
    assert command("kv", "put", "n", "4", "--lattice", "counter") == (0, "", "")
    assert command("kv", "get", "n") == (0, "7\n", "")
    latest, first = (line.split() for line in command("kv", "history", "n")[1].splitlines())
    assert latest[4] == first[4] == "counter"
    assert command("kv", "get", "n", "--version", first[0]) == (0, "3\n", "")
    assert command("kv", "put-set", "names", "Ada", "7") == (0, "", "")
    assert command("kv", "put-set", "names", "Bob") == (0, "", "")
    assert command("kv", "get-set", "names") == (0, "7\nAda\nBob\n", "")
    assert "key 'n' has no set but int" in command("kv", "get-set", "n")[2]
    assert command("kv", "delete", "names") == (0, "", "")
    assert command("kv", "keys") == (0, "n\n", "")
    assert command("kv", "delete", "n") == (0, "", "")
    assert command("kv", "get", "n") == (1, "", "cloudburst-nb: there is no key 'n' in the store\n")
    assert command("kv", "replicate", "n", "3") == (0, "", "")
    assert "replication: 1\n" in command("kv", "stats")[1]
    status, out, err = command("kv", "replicate", "n", "0")
    assert (status, out) == (2, "")
    assert "copies is a number from 1 to 64; not 0" in err
    assert command("down") == (0, "", "")
    assert command("status", address.strip())[0] == 1
