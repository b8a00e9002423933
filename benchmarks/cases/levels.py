"""What the consistency levels cost: random DAGs whose functions hop between executors, and their metadata."""

from __future__ import annotations

from benchmarks.case import Case, Effort, Row, cases_of

GROUP = "Consistency levels"
LEVELS = ("lww", "dsrr", "sk", "mk", "dsc", "atomic")
RANDOM = {"executors": 3, "policy": "random", "only_for": "levels"}
ROUNDS = 20
"""For latency: a round is some fifty DAGs, and of two hundred the p99 would be that of two."""
LATENCY, METADATA = "random DAG of three functions", "session of a random DAG"


def label(level: str) -> str:
    """What the row of a level is called."""
    return f"cloudburst-nb at {level}"


@cases_of
def levels(effort: Effort) -> list[Case]:
    """The same DAGs at each level, in turn; ``lww`` is the first row."""
    first, *others = LEVELS
    return [
        Case(
            GROUP,
            name,
            probe,
            (first,),
            rows=tuple(Row("cloudburst", probe, (level,), label(level), RANDOM) for level in others),
            peers=False,
            unit=unit,
            options=RANDOM,
            rounds=0 if effort.quick else rounds,
        )
        for name, probe, unit, rounds in (
            (LATENCY, "random_dag", "s", ROUNDS),
            (METADATA, "session_bytes", "B", 0),
        )
    ]
