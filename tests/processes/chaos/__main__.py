"""``python -m tests.processes.chaos``: kill processes under load, and judge what is left."""

from __future__ import annotations

import argparse
import sys

from tests.processes.chaos.mutants import MUTANTS
from tests.processes.chaos.rig import Setting
from tests.processes.chaos.run import run
from tests.processes.chaos.work import LEVELS


def main() -> int:
    """Run once; the exit status is 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.processes.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to kill (60)")
    parser.add_argument("--stores", type=int, default=3, help="storage processes (3)")
    parser.add_argument("--replication", type=int, default=2, help="copies of each key (2)")
    parser.add_argument("--clients", type=int, default=3, help="client processes (3)")
    parser.add_argument("--memory", action="store_true", help="without a state_dir")
    parser.add_argument("--level", choices=["all", *LEVELS], default="all", help="of all that is done (all)")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed and what is done (1)")
    parser.add_argument(
        "--mutant", choices=sorted(MUTANTS), default="", help="plant a defect, to see it found"
    )
    asked = parser.parse_args()
    copies = min(asked.replication, asked.stores)
    setting = Setting(asked.stores, copies, not asked.memory, asked.level, asked.clients, asked.mutant)
    report = run(setting, asked.seed, asked.seconds)
    print(report.text())
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
