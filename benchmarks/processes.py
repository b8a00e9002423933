"""What processes cost: memory, processor time, wake-ups.

Law: reads /proc where there is one, and says None where the system does not tell.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from benchmarks.stations import descendants


def children_of(pid: int | None = None) -> list[int]:
    """The processes below one (this one by default)."""
    return [process.pid for process in descendants(os.getpid() if pid is None else pid)]


def memory(pids: list[int]) -> int:
    """Bytes; a page that several processes share is divided among them where the system says so."""
    return sum(_memory_of(pid) for pid in pids)


def _memory_of(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except ProcessLookupError:
        return 0
    except OSError:
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that all threads of some processes have used."""
    return sum(_cpu_of(pid) for pid in pids)


def _cpu_of(pid: int) -> float:
    """From the scheduler's own account, in nanoseconds, or else in clock ticks."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, IndexError):
        pass
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def wake_ups(pids: list[int]) -> int | None:
    """How often threads of some processes have gone to sleep; None where the system does not say."""
    if not Path("/proc/self/task").exists():
        return None
    return sum(_switches(task) for pid in pids for task in _tasks(pid))


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _switches(task: Path) -> int:
    try:
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
