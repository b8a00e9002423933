"""Start-up, memory, and what an idle runtime costs: measured in processes of their own, nothing else running."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of

PHASES = (
    ("import", "import", "s"),
    ("up, to the first result", "first", "s"),
    ("down", "down", "s"),
    ("memory, besides the client", "memory", "B"),
    ("memory, with the client", "memory with client", "B"),
    ("processor at rest", "cpu", "core"),
    ("wake-ups at rest", "wake-ups", "/s"),
)
GROUP = "Start-up, memory, rest"


@cases_of
def startup(effort: Effort) -> list[Case]:
    """A whole life, phase by phase."""
    return [
        Case(GROUP, name, "life", (phase,), limit=("life", (phase,)), unit=unit, rounds=effort.lives)
        for name, phase, unit in PHASES
    ]
