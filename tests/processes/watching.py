"""What the tests of real processes look at: conditions that come true, processes, scripts of their own.

Law: nothing here knows what is tested; it waits, counts and starts.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cloudburst_nb import runtimes
from cloudburst_nb.client import Client
from cloudburst_runtime.config import Config
from cloudburst_runtime.launch import local
from cloudburst_runtime.shell.client import ClientShell

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds that a condition may take on a noisy machine before the test fails."""

DEADLINE = 3.0
"""Seconds after which nothing of a runtime may be left."""


def eventually(condition: Callable[[], T], seconds: float = PATIENCE, what: str = "") -> T:
    """The first true value of ``condition``; fails if there is none within ``seconds``."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}; last: {value!r}")
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def started(pid: int) -> tuple[int, int]:
    """Something that orders processes by when they were started, a parent before its children."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19]), pid


def processes_of(directory: str) -> list[int]:
    """The live processes of a runtime: its directory is an argument of all of them."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as file:
                if os.fsencode(directory) in file.read().split(b"\0") and alive(int(entry)):
                    found.append(int(entry))
    return found


def nothing_left(directory: str) -> bool:
    """Whether no process and no file of that runtime is left."""
    return not os.path.exists(directory) and not processes_of(directory)


def supervisor_of(directory: str) -> int:
    """The process that holds the runtime's lock."""
    with open(os.path.join(directory, "lock")) as file:
        return int(file.read())


def pid_of(directory: str, name: str) -> int:
    """The process that listens under a name: an executor, or a store other than the node's."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(os.path.join(directory, name))
        return int(struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def directory_of(client: Client) -> str:
    return client.address.removeprefix("unix:")


def forget_all() -> None:
    """As if this process had just begun: no runtime, no functions."""
    state = runtimes.state
    if state.current is not None:
        state.current.down()
    state.current, state.ended = None, ""
    state.known.clear()
    state.pending.clear()


@contextlib.contextmanager
def runtime(**settings: Any) -> Iterator[Client]:
    """A runtime with settings that `cb.up` does not have, in use within the block."""
    started = local.start(Config(**settings))
    try:
        client = Client(ClientShell(started.directory), started)
    except BaseException:
        started.stop()
        raise
    runtimes.use(client)
    try:
        yield client
    finally:
        forget_all()
    eventually(lambda: nothing_left(started.directory), DEADLINE, f"{started.directory} swept")


class Script:
    """A Python program of its own, which says something on its standard output, line by line."""

    def __init__(self, text: str) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"},
        )
        self.pid = self.process.pid

    def line(self) -> str:
        """The next line; fails with what was written to stderr if there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            self.process.kill()
            assert self.process.stderr is not None
            raise AssertionError(f"the script ended: {self.process.stderr.read()}")
        return line

    def end(self, signal_number: int | None = None) -> str:
        """Signal it if asked to, wait until it has ended; return the rest of its output."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        out, self.errors = self.process.communicate(timeout=PATIENCE)
        return out

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.communicate()
