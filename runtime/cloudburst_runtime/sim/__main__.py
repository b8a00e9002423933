"""Run seeds, say what was wrong: ``python -m cloudburst_runtime.sim --seed 7 [--mutant NAME] [--trace]``.

Or count anomalies: ``python -m cloudburst_runtime.sim anomalies --executions 4000 --level lww``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from cloudburst_runtime.sim import anomalies
from cloudburst_runtime.sim.anomalies import Experiment
from cloudburst_runtime.sim.consistency.counterexample import explained
from cloudburst_runtime.sim.faults import PROFILES
from cloudburst_runtime.sim.mutant import HONEST
from cloudburst_runtime.sim.mutants import MUTANTS
from cloudburst_runtime.sim.run import SCENARIOS, Report, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay one seed with its history, or search many; 1 if a check failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["anomalies"]:
        return _count_anomalies(given[1:])
    options = _parser().parse_args(given)
    mutant = MUTANTS[options.mutant] if options.mutant else HONEST
    trace = _print if options.trace else None
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        report = run(seed, mutant, options.profile, trace, options.scenario)
        failed += bool(report.violations)
        if options.seeds == 1:
            _show(report)
        elif report.violations:
            _print(f"seed {seed} ({report.profile}): {report.violations[0]}")
    if options.seeds > 1:
        _print(f"{failed} of {options.seeds} seeds failed")
    return 1 if failed else 0


def _count_anomalies(arguments: list[str]) -> int:
    """Run the experiment; 1 if its level does not keep its promise."""
    parser = argparse.ArgumentParser(
        prog="python -m cloudburst_runtime.sim anomalies", description=anomalies.__doc__
    )
    for field in fields(Experiment):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    experiment = Experiment(**vars(parser.parse_args(arguments)))
    outcome = anomalies.run(experiment)
    for level, (check, violation) in outcome.examples.items():
        _print(f"{level}: {explained(outcome.record, check, violation)}\n")
    _print(f"{experiment.executions} executions at {experiment.level}, seed {experiment.seed}")
    _print(f"{'level':8}{'anomalies':>10}{'executions':>12}  that it prevents")
    for count in outcome.counts:
        _print(f"{count.level:8}{count.anomalies:10,}{count.executions:12,}  {count.what}")
    return 1 if outcome.broken else 0


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
    parser.add_argument("--scenario", choices=SCENARIOS, help="what clients do; by default the mutant's")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="run cores with this planted defect")
    parser.add_argument("--trace", action="store_true", help="show every event that a core is given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
