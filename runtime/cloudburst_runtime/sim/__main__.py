"""Run seeds, say what was wrong: ``python -m cloudburst_runtime.sim --seed 7 [--mutant NAME] [--trace]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cloudburst_runtime.sim.faults import PROFILES
from cloudburst_runtime.sim.mutants import HONEST, MUTANTS
from cloudburst_runtime.sim.run import Report, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay one seed with its history, or search many; 1 if a check failed."""
    options = _parser().parse_args(arguments)
    mutant = MUTANTS[options.mutant] if options.mutant else HONEST
    trace = _print if options.trace else None
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        report = run(seed, mutant, options.profile, trace)
        failed += bool(report.violations)
        if options.seeds == 1:
            _show(report)
        elif report.violations:
            _print(f"seed {seed} ({report.profile}): {report.violations[0]}")
    if options.seeds > 1:
        _print(f"{failed} of {options.seeds} seeds failed")
    return 1 if failed else 0


def _show(report: Report) -> None:
    for line in report.world.history.lines():
        _print(line)
    _print(f"seed {report.seed}, profile {report.profile}, digest {report.world.digest}")
    for violation in report.violations or ["nothing is wrong"]:
        _print(violation)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cloudburst_runtime.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the seed to run, or the first of several")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to search, from that one on")
    parser.add_argument("--profile", choices=PROFILES, help="the kind of faults; by default the seed's")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="run cores with this planted defect")
    parser.add_argument("--trace", action="store_true", help="show every event that a core is given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
