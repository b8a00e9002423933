"""Start-up, memory, and what a runtime at rest costs: measured before any other contender runs."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of

PHASES = (
    ("import", "import", "s", False),
    ("up, to the first result", "first", "s", True),
    ("down", "down", "s", True),
    ("memory, besides the client", "memory", "B", True),
    ("memory, with the client", "memory with client", "B", True),
    ("processor at rest", "cpu", "core", False),
    ("wake-ups at rest", "wake-ups", "/s", False),
)
"""What is shown, the phase, its unit, and whether three bare processes are a limit to compare with."""
GROUP = "Start-up, memory, rest"


@cases_of
def startup(effort: Effort) -> list[Case]:
    """A whole life, phase by phase."""
    return [
        Case(
            GROUP,
            name,
            "life",
            (phase,),
            limit=("life", (phase,)) if limited else None,
            unit=unit,
            rounds=effort.lives,
        )
        for name, phase, unit, limited in PHASES
    ]
