"""Counter-examples for people: the fewest accesses that still contradict each other, as a table.

Law: takes away and draws; what is wrong is for the checker to say, which is asked again each time.

Taking away goes by delta debugging (Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input",
2002): halves first, then smaller parts, until not one access can be spared. What the violation names stays,
and it must stay the *same*; for a record that lacks something may well have others that the whole has not.
"""

from __future__ import annotations

from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Access, Record
from cloudburst_runtime.sim.consistency.violations import Check, Violation, evidence, where

MARK = " ◄"


def explained(record: Record, check: Check, violation: Violation) -> str:
    """The violation with its counter-example: the sentence, the table, and what depends on what."""
    few = shrunk(record, check, violation)
    if not len(few):
        return str(violation)
    chains = _chains(Causality(few), violation)
    return "\n".join(
        [str(violation), "", *table(few, violation.accesses[0]), *([""] if chains else []), *chains]
    )


def shrunk(record: Record, check: Check, violation: Violation) -> Record:
    """A smallest record in which the check still finds the violation."""
    if not violation.accesses:
        return Record(())
    few = evidence(Causality(record), violation)
    if not _shows(few, check, violation):
        few = record
    parts = 2
    while len(few) > 1:
        size = -(-len(few) // parts)
        smaller = _without_a_part(few, size, check, violation)
        if smaller is not None:
            few, parts = smaller, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(parts * 2, len(few))
    return few


def _without_a_part(record: Record, size: int, check: Check, violation: Violation) -> Record | None:
    for start in range(0, len(record), size):
        rest = Record(record.accesses[:start] + record.accesses[start + size :])
        if _shows(rest, check, violation):
            return rest
    return None


def _shows(record: Record, check: Check, violation: Violation) -> bool:
    if not set(record).issuperset(violation.accesses):
        return False
    return any(each.accesses[:2] == violation.accesses[:2] for each in check(Causality(record)))


def table(record: Record, marked: Access) -> list[str]:
    """The record as lines: a column for each session or node, time downwards, the culprit marked."""
    heads = {access.lane: where(access) for access in record}
    rows = [{access.lane: f"{access}{MARK if access == marked else ''}"} for access in record]
    widths = {lane: max(len(row.get(lane, "")) for row in [*rows, heads]) for lane in heads}
    rule = "┼".join("─" * (width + 2) for width in widths.values())
    return [_line(heads, widths), rule, *(_line(row, widths) for row in rows)]


def _line(cells: dict[str, str], widths: dict[str, int]) -> str:
    return "│".join(f" {cells.get(lane, ''):{width}} " for lane, width in widths.items()).rstrip()


def _chains(causality: Causality, violation: Violation) -> list[str]:
    """How the accesses of the violation depend on each other, where they do by way of others."""
    positions = {access.number: position for position, access in enumerate(causality.record)}
    named = [positions[access.number] for access in violation.accesses if access.number in positions]
    paths = [causality.path(start, end) for start in named for end in named if start != end]
    told = [[str(causality.record.accesses[step]) for step in path] for path in paths if len(path) > 1]
    return [f"dependence: {' ⟶ '.join(steps)}" for steps in told]
