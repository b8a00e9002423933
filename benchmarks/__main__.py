"""``python -m benchmarks [--quick] [--only TEXT] [--peers NAMES] [--json FILE]``: measure and print."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import benchmarks.cases  # noqa: F401  registers the cases
from benchmarks.case import CASES, FULL, QUICK, Case, Effort
from benchmarks.contender import PEERS
from benchmarks.run import Bench
from benchmarks.table import table


def main(arguments: list[str] | None = None) -> None:
    """Measure what was asked for, print the table, write the figures."""
    options = parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    peers = [name for name in options.peers.split(",") if name]
    bench = Bench(effort, peers, say=lambda line: print(line, flush=True))
    result = bench.run(chosen(effort, options.only))
    print(table(result))
    target = Path(options.json)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(f"the figures are in {target}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project and its peers."
    )
    made.add_argument("--quick", action="store_true", help="fewer sizes and repetitions: under three minutes")
    made.add_argument("--only", default="", help="cases whose group or name contains this")
    made.add_argument("--peers", default=",".join(PEERS), help="comma-separated; empty: none")
    made.add_argument("--json", default="out/bench.json", help="where the figures are written")
    return made


def chosen(effort: Effort, only: str) -> list[Case]:
    """The cases whose group or name contains a text."""
    every = [case for make in CASES for case in make(effort)]
    return [case for case in every if only.lower() in f"{case.group}: {case.name}".lower()]


if __name__ == "__main__":
    # asked to end, it ends what it has started: systems that are suspended would stay for ever
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    main()
