"""One call at a time."""

from __future__ import annotations

from benchmarks.case import Case, Effort, Row, cases_of, messages_limit

GROUP = "Calls"
CROWDED = "a no-op while the other systems are awake"


@cases_of
def calls(effort: Effort) -> list[Case]:
    """A no-op, awaited or not, also among others at rest; and the shared counter, a call with a write."""
    compiled = Row("ray", "compiled_noop", label="Ray, compiled graph")
    awaited = Row("cloudburst", "noop_awaited", label="cloudburst-nb, await")
    limit = messages_limit("ping_pong")
    return [
        Case(GROUP, "no-op call", "noop", rows=(awaited, compiled), **limit),
        Case(GROUP, CROWDED, "noop", rows=(awaited, compiled), crowded=True, **limit),
        Case(GROUP, "shared counter, one increment", "counter", **limit),
    ]
