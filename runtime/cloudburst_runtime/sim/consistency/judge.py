"""Which checks each consistency level must pass.

Law: the levels as promises, each a list of checkers; what keeps a promise is not known here.

======  =================================================================================================
level   promise
======  =================================================================================================
lww     replicas converge and nothing acknowledged is lost; sessions read their writes, and not backwards
dsrr    the same of executions; within one, or by its client itself, reads of a key stay at one version
sk      and no write is lost to one that had not seen it
mk      and each cache is a causal cut
dsc     and the caches that one session touches are a cut together, with all four session guarantees
atomic  as lww, in a client's block as of its begin; an execution's writes are seen all or none, there too
======  =================================================================================================
"""

from __future__ import annotations

from cloudburst_runtime.sim.consistency import atomic, causal, guarantees, siblings, survival
from cloudburst_runtime.sim.consistency.counterexample import explained
from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Record
from cloudburst_runtime.sim.consistency.repeatable import repeatable
from cloudburst_runtime.sim.consistency.violations import Check, Violation
from cloudburst_runtime.sim.history import History

DSRR: tuple[Check, ...] = (
    causal.thin_air,
    causal.cyclic,
    survival.convergence,
    survival.acknowledged,
    guarantees.read_your_writes,
)
LWW = (*DSRR, guarantees.monotonic_reads)
SK = (*LWW, siblings.per_key, siblings.superseded, siblings.kept)
MK = (*SK, causal.cut)
PROMISES: dict[str, tuple[Check, ...]] = {
    "lww": LWW,
    "dsrr": (*DSRR, guarantees.monotonic_executions, repeatable),
    "sk": SK,
    "mk": MK,
    "dsc": (
        *MK,
        guarantees.monotonic_writes,
        guarantees.writes_follow_reads,
        causal.causal,
        causal.conflicts,
    ),
    "atomic": (
        *DSRR,
        guarantees.monotonic_blocks,
        atomic.fractured,
        atomic.unpublished,
        atomic.twice,
        atomic.partial,
    ),
}


def judge(record: Record, level: str) -> list[tuple[Check, Violation]]:
    """Whatever breaks the promise of a level, with the check that found it."""
    causality = Causality(record.at(level))
    return [(check, violation) for check in PROMISES[level] for violation in check(causality)]


def broken(history: History) -> list[str]:
    """What is wrong with a history, at each level that is in it: of each check the first counter-example.

    Whether everything succeeds once all has healed is asked of histories that say when that was.
    """
    record = Record.of(history)
    healed = any(event.kind == survival.HEALED for event in history.events)
    found = [str(violation) for violation in survival.liveness(history)] if healed else []
    for level in PROMISES:
        if any(access.level == level for access in record):
            first: dict[Check, Violation] = {}
            for check, violation in judge(record, level):
                first.setdefault(check, violation)
            found += [f"{level}: {explained(record.at(level), *each)}" for each in first.items()]
    return found
