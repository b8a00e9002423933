"""Stores in processes that know of a runtime what another host would, and what is done to them meanwhile.

Law: the other host is a directory, and reaches the runtime by TCP only; nothing here knows what is tested.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cloudburst_nb.client import Client
from cloudburst_runtime import messages
from tests.processes.watching import PATIENCE, eventually

ANYWHERE = "tcp://127.0.0.1:0"


class Elsewhere:
    """`cloudburst-nb store` in a process that knows the address and has a copy of the key file."""

    def __init__(self, client: Client, home: Path, key_file: str = "", state_dir: Path | None = None) -> None:
        home.mkdir()
        more = [] if state_dir is None else ["--state-dir", str(state_dir)]
        command = [sys.executable, "-m", "cloudburst_nb.cli", "store", "--connect", client.addresses[1]]
        self.process = subprocess.Popen(
            [*command, "--key-file", key_file or client.key_file, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            bufsize=0,  # so that what `line` waits for is not in a buffer
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "TMPDIR": str(home),
                "XDG_RUNTIME_DIR": str(home),
            },
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0]
        return self.process.stdout.readline().decode().strip()

    def joined(self) -> str:
        """Its name, once it has its share."""
        first, second = self.line(), self.line()
        assert "serves the runtime at tcp://127.0.0.1" in first
        assert "has its share" in second
        return first.split()[0]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def said(self) -> tuple[str, int]:
        """What else it says until it ends, and its exit status."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        return out.decode(), self.process.returncode


Start = Callable[..., Elsewhere]
"""Takes the client, and what else `Elsewhere` does but for its home."""


@contextlib.contextmanager
def hosts(directory: Path) -> Iterator[Start]:
    """Starts stores, each in a home of its own there, and kills them at the end."""
    started: list[Elsewhere] = []

    def start(client: Client, *given: Any, **named: Any) -> Elsewhere:
        started.append(Elsewhere(client, directory / f"host{len(started)}", *given, **named))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            each.process.kill()
            each.process.communicate()


class Writing:
    """A thread that puts one value after the other, and remembers those that were acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.written: dict[str, int] = {}
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            key = f"w{number % 300}"
            try:
                self.client.put(key, number)
            except Exception as error:
                self.errors.append(error)
                return
            self.written[key] = number
            number += 1

    def goes_on(self) -> None:
        """Wait for more acknowledged writes than there are now."""
        before = sum(self.written.values())
        eventually(lambda: sum(self.written.values()) > before + 1_000 or self.errors)

    def __enter__(self) -> Writing:
        self._thread.start()
        eventually(lambda: len(self.written) > 100 or self.errors)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        assert not self.errors


def settled(client: Client, *names: str) -> bool:
    reply = client._shell.ask(messages.Stores)
    return [store.name for store in reply.stores] == list(names) and bool(reply.settled)
