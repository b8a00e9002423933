"""The asking side of stations: start one, have it measure a block, stop it, and leave nothing behind.

Law: whatever a contender does (hang, die, print), it is here that it becomes a note instead of the end of
the run. Only processes that descend from a station started here are ever stopped or killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
START_SECONDS_MAX = 60.0
BLOCK_SECONDS_MAX = 300.0
STOP_SECONDS_MAX = 20.0


class StationError(Exception):
    """A station did not start, did not answer, or answered that something failed."""


class Station:
    """One contender in a process of its own.

    Parameters
    ----------
    name, options
        The contender's short name, and what its class is constructed with.
    address
        Of a contender that runs already, to be used from this further process.

    Attributes
    ----------
    took
        The seconds of the last block, without those of what was made ready for it.

    Raises
    ------
    StationError
        If it is not ready within the time limit; the message has the end of what it printed.
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any] | None = None,
        address: str | None = None,
        patience: float = START_SECONDS_MAX,
    ) -> None:
        self.name = name
        self.took = 0.0
        self._resting: list[psutil.Process] = []
        self._directory = own_directory()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  closed with the station
        extra = [] if address is None else [address]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.station", name, json.dumps(options or {}), *extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env=environment(self._directory),
        )
        try:
            self._read(patience)
        except BaseException:
            self._kill()
            raise

    def block(self, probe: str, args: tuple[Any, ...], count: int, seconds: float) -> list[float] | None:
        """One block of samples; None if the contender has no such measurement."""
        self.ask(probe, args, count, seconds)
        return self.answer()

    def ask(self, probe: str, args: tuple[Any, ...], count: int, seconds: float) -> None:
        """Have a block measured, without waiting for it."""
        request = {"probe": probe, "args": args, "count": count, "seconds": seconds}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise StationError(f"its process has ended: {self._last_words()}") from None

    def answer(self) -> list[float] | None:
        """What was asked for."""
        reply = self._read(BLOCK_SECONDS_MAX)
        if "error" in reply:
            raise StationError(reply["error"])
        self.took = reply.get("seconds", 0.0)
        samples: list[float] | None = reply.get("samples")
        return samples

    def rest(self) -> None:
        """Suspend it with all that it has started, so that it takes no time from whoever is measured."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._resting = suspend(psutil.Process(self._process.pid))

    def wake(self) -> None:
        """Let it go on; without effect if it does not rest."""
        for process in self._resting:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        self._resting = []

    def close(self) -> None:
        """Have it stop; what has not ended then is killed."""
        self.wake()
        family = descendants(self._process.pid)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS_MAX)
        self._kill(family)

    def _read(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else b""
        if not ready:
            raise StationError(f"no answer within {seconds:g} s: {self._last_words()}")
        if not line:
            raise StationError(f"its process has ended: {self._last_words()}")
        return json.loads(line)

    def _last_words(self) -> str:
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else "it printed nothing"

    def _kill(self, family: list[psutil.Process] | None = None) -> None:
        end_all(family if family is not None else descendants(self._process.pid))
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._printed):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def own_directory() -> str:
    """For one contender's temporary files; its path is short, because sockets will lie in it."""
    return tempfile.mkdtemp(prefix="cbb", dir="/tmp" if os.path.isdir("/tmp") else None)


def environment(directory: str) -> dict[str, str]:
    """Of a contender: imports as in this process, one thread for BLAS, and temporary files in a directory.

    Modules keep their bytecode, whatever this process is told: pip has compiled those of the peers, and a
    checkout that nothing is kept of would compile itself at every start.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    places = dict.fromkeys(("TMPDIR", "RAY_TMPDIR"), directory)
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **threads, **places, "PYTHONPATH": path}


def descendants(pid: int) -> list[psutil.Process]:
    """The processes below one, as of now."""
    try:
        below: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return below


def suspend(first: psutil.Process) -> list[psutil.Process]:
    """Suspend a process and all below it, also those that one of them was just starting; all of them."""
    stopped: list[psutil.Process] = []
    found = [first]
    while found:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
                stopped.append(process)
        found = [process for process in descendants(first.pid) if process not in stopped]
    return stopped


def end_all(processes: list[psutil.Process]) -> None:
    """Kill those that still run; a process number that has been given to another one is not touched."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=STOP_SECONDS_MAX)


def at_once(calls: Iterable[Callable[[], T]]) -> list[T]:
    """The results of calls that mostly wait, each in a thread; the first failure is raised at the end."""
    listed = list(calls)
    with ThreadPoolExecutor(max(1, len(listed))) as threads:
        futures = [threads.submit(call) for call in listed]
    return [future.result() for future in futures]


def together(stations: list[Station], probe: str, args: tuple[Any, ...]) -> float:
    """Seconds until every one of several stations has measured one sample, all having begun at once."""
    start = time.perf_counter()
    for station in stations:
        station.ask(probe, args, 1, 0.0)
    for station in stations:
        if station.answer() is None:
            raise StationError(f"{station.name} has no {probe}")
    return time.perf_counter() - start
