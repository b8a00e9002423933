"""Whole lives: a new Python process that imports a system, gets its first result, idles, and takes it down.

Law: the program is the contender's (`Contender.life`): it calls ``say(start, imported)`` once it has its
first result and goes on when that returns; meanwhile its processes are looked at from outside. One life
gives a sample of every phase. The first life of a contender is not counted: it leaves bytecode, and
files in memory, as there are on every day but the first.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from typing import Any

import psutil

from benchmarks.processes import children_of, cpu_seconds, memory, wake_ups
from benchmarks.stations import StationError, descendants, end_all, environment, own_directory

PHASES = ("import", "first", "down", "memory", "memory with client", "cpu", "wake-ups")
LIFE_SECONDS_MAX = 90.0
SETTLE_SECONDS = 0.5

PROLOGUE = """
import os as _os, sys as _sys, json as _json, time as _time
_said = _os.fdopen(_os.dup(1), "w")
_os.dup2(2, 1)
def say(start, imported):
    print(_json.dumps([start, imported, _time.time()]), file=_said, flush=True)
    _sys.stdin.readline()
    global _goes
    _goes = _time.time()
if __name__ == "__main__":
"""
EPILOGUE = """
    print(_json.dumps(_time.time() - _goes), file=_said, flush=True)
"""


class Lives:
    """The lives of one contender; each phase's samples are handed out in the order of the lives.

    Parameters
    ----------
    program
        `Contender.life`.
    idle_seconds
        How long it is looked at while nothing happens.
    rehearsed
        Whether there is a first life that is not counted; a quick run has no time for it.
    """

    def __init__(self, program: str, idle_seconds: float, rehearsed: bool = True) -> None:
        self._program = program
        self._idle = idle_seconds
        self.took = 0.0
        self._begun = not rehearsed
        self._left: dict[str, list[float]] = defaultdict(list)

    def block(self, probe: str, args: tuple[Any, ...], count: int, seconds: float) -> list[float] | None:
        """One sample of a phase (``args[0]``); a new life begins when there is none left."""
        if not self._program:
            return None
        (phase,) = args
        if not self._begun:
            live(self._program, 0.0)
            self._begun = True
        if not self._left[phase]:
            for name, value in live(self._program, self._idle).items():
                self._left[name].append(value)
        return [self._left[phase].pop(0)] if self._left[phase] else None

    def rest(self) -> None:
        """Nothing goes on between lives."""

    def wake(self) -> None:
        """Nothing rests."""

    def close(self) -> None:
        """Nothing is kept between lives."""


def live(program: str, idle_seconds: float) -> dict[str, float]:
    """One life, phase by phase, in seconds, bytes, and per second.

    Raises
    ------
    StationError
        If the program fails or does not end in time.
    """
    body = "".join(f"    {line}\n" for line in program.strip().splitlines())
    directory = own_directory()
    with open(os.path.join(directory, "life.py"), "w") as file, tempfile.TemporaryFile() as errors:
        file.write(PROLOGUE + body + EPILOGUE)
        file.flush()
        process = subprocess.Popen(
            [sys.executable, file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(directory),
        )
        family: list[psutil.Process] = []
        try:
            phases, family = _watch(process, idle_seconds)
        except (ValueError, OSError, subprocess.TimeoutExpired):
            errors.seek(0)
            raise StationError(errors.read().decode(errors="replace")[-300:] or "it did not end") from None
        finally:
            end_all([*family, *descendants(process.pid)])
            process.kill()
            process.communicate()
            shutil.rmtree(directory, ignore_errors=True)
    return phases


def _watch(
    process: subprocess.Popen[bytes], idle_seconds: float
) -> tuple[dict[str, float], list[psutil.Process]]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], LIFE_SECONDS_MAX)
    if not ready:
        raise subprocess.TimeoutExpired(process.args, LIFE_SECONDS_MAX)
    start, imported, first = json.loads(process.stdout.readline())
    phases = {"import": imported - start, "first": first - imported}
    phases |= at_rest(process.pid, idle_seconds)
    family = descendants(process.pid)
    said, _ = process.communicate(b"\n", timeout=LIFE_SECONDS_MAX)
    phases["down"] = json.loads(said)
    return phases, family


def at_rest(pid: int, seconds: float) -> dict[str, float]:
    """What the processes below one cost while nothing happens, and their memory."""
    time.sleep(SETTLE_SECONDS)
    family = [pid, *children_of(pid)]
    begun, used, woken = time.perf_counter(), cpu_seconds(family), wake_ups(family)
    time.sleep(seconds)
    passed = time.perf_counter() - begun
    phases = {
        "cpu": (cpu_seconds(family) - used) / passed,
        "memory": float(memory(family[1:])),
        "memory with client": float(memory(family)),
    }
    if woken is not None:
        phases["wake-ups"] = ((wake_ups(family) or 0) - woken) / passed
    return phases
