"""The latency of calls, against the machine's own limit, in one run.

    python -m benchmarks.latency [--json FILE]

Prints a table: each figure in microseconds, and as a multiple of what two (or three) Python processes that
do nothing else need for the same messages over unix sockets. Then start-up, and what an idle runtime costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cloudburst_nb as cb
from benchmarks.limits import PingPong
from benchmarks.measure import Figures, interleaved, micros

IDLE_SECONDS = 5.0

START_UP = """
import time
start = time.perf_counter()
import cloudburst_nb as cb
imported = time.perf_counter()
cb.up(executors=2)
@cb.function
def same(x): return x
same(1).get(timeout=60)
first = time.perf_counter()
cb.down()
print(imported - start, first - imported, time.perf_counter() - first)
"""


def same(x: int) -> int:
    """The function that a process pool runs for comparison."""
    return x


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the figures to this file, too")
    options = parser.parse_args()
    # The limits fork this process, so they come before it has a runtime and threads.
    with PingPong(1) as ping, PingPong(2) as chain, ProcessPoolExecutor(2) as pool:
        pool.submit(same, 1).result()
        figures = measure_calls(ping, chain, pool)
        report: dict[str, Any] = {"calls": table(figures)}
        report["start-up"] = start_up()
        report["idle"] = idle()
        report["store"] = {name: f._asdict() for name, f in measure_store(ping).items()}
        cb.down()
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)


def measure_calls(ping: PingPong, chain: PingPong, pool: ProcessPoolExecutor) -> dict[str, Figures]:
    """Calls, interleaved with their limits."""
    cb.up(executors=2)
    noop = cb.function(lambda x: x, name="noop")
    increment = cb.function(lambda x: x + 1, name="increment")
    square = cb.function(lambda x: x * x, name="square")
    composed = cb.dag("composed", increment >> square)
    contenders: dict[str, Callable[[], object]] = {
        "unix ping-pong": ping.once,
        "unix chain of three": chain.once,
        "no-op call, get()": lambda: noop(1).get(),
        "square(increment(x))": lambda: composed(1).get(),
        "ProcessPoolExecutor": lambda: pool.submit(same, 1).result(),
    }
    figures = interleaved(contenders)
    figures["no-op call, await"] = asyncio.run(awaited(noop))
    return figures


async def awaited(noop: Callable[[int], Any], count: int = 1000) -> Figures:
    """The same call, awaited."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        await noop(1)
        times.append(time.perf_counter() - start)
    times.sort()
    return Figures(times[count // 2], times[int(count * 0.95)], times[int(count * 0.99)], times[0], times[-1])


def measure_store(ping: PingPong) -> dict[str, Figures]:
    """The store from the client."""
    cb.put("bench", 1)
    figures = interleaved(
        {
            "unix ping-pong": ping.once,
            "put, 8 B": lambda: cb.put("bench", 1),
            "get, 8 B": lambda: cb.get("bench"),
        },
        rounds=5,
    )
    print(f"\n{'store':<24}{'p50 µs':>10}{'ratio':>8}")
    for name, each in figures.items():
        print(f"{name:<24}{micros(each.p50):>10}{each.ratio(figures['unix ping-pong']):>8.2f}")
    return figures


def table(figures: dict[str, Figures]) -> dict[str, Any]:
    """Print the calls; return them with their ratios."""
    limits = {"square(increment(x))": "unix chain of three", "unix chain of three": "unix chain of three"}
    print(f"{'call':<24}{'p50 µs':>10}{'p95':>10}{'p99':>10}{'rounds':>20}{'ratio':>8}{'of ping':>9}")
    report = {}
    for name, each in figures.items():
        ratio = each.ratio(figures[limits.get(name, "unix ping-pong")])
        of_ping = each.ratio(figures["unix ping-pong"])
        spread = f"{each.low * 1e6:.0f} to {each.high * 1e6:.0f}"
        print(
            f"{name:<24}{micros(each.p50):>10}{micros(each.p95):>10}{micros(each.p99):>10}"
            f"{spread:>20}{ratio:>8.2f}{of_ping:>9.2f}"
        )
        report[name] = {**each._asdict(), "ratio": ratio, "of_ping": of_ping}
    return report


def start_up(repetitions: int = 5) -> dict[str, float]:
    """A new process: import, up to the first result, down; medians in seconds."""
    runs = []
    for _ in range(repetitions):
        done = subprocess.run(
            [sys.executable, "-c", START_UP], capture_output=True, text=True, check=True, env=os.environ
        )
        runs.append([float(word) for word in done.stdout.split()])
    names = ("import", "up to first result", "down")
    middle = repetitions // 2
    medians = {name: sorted(run[index] for run in runs)[middle] for index, name in enumerate(names)}
    print("\n" + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in medians.items()))
    return medians


def idle() -> dict[str, float]:
    """CPU and memory of the runtime's processes while nothing happens."""
    pids = [executor.pid for executor in cb.status().executors]
    tree = family(pids[0])
    time.sleep(1.0)
    before = cpu_seconds(tree)
    time.sleep(IDLE_SECONDS)
    share = (cpu_seconds(tree) - before) / IDLE_SECONDS
    memory = sum(proportional_bytes(pid) for pid in tree)
    print(f"idle: {share:.2%} of a core, {memory / 1e6:.0f} MB (PSS) in {len(tree)} processes")
    return {"cpu": share, "pss_bytes": memory, "processes": len(tree)}


def family(executor: int) -> list[int]:
    """The supervisor of an executor, and all its children."""
    parent = int(stat(executor)[1])
    children = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_child(int(pid), parent)]
    return [parent, *children]


def is_child(pid: int, parent: int) -> bool:
    """Whether ``pid`` is a child of ``parent``."""
    try:
        return int(stat(pid)[1]) == parent
    except OSError:
        return False


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of some processes."""
    return sum(int(stat(pid)[11]) + int(stat(pid)[12]) for pid in pids) / os.sysconf("SC_CLK_TCK")


def proportional_bytes(pid: int) -> int:
    """Memory, shared pages divided among those who share them."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
