"""One call at a time."""

from __future__ import annotations

from benchmarks.case import Case, Effort, Row, cases_of, messages_limit

GROUP = "Calls"


@cases_of
def calls(effort: Effort) -> list[Case]:
    """A no-op, awaited or not; and the shared counter, which is a call with a write."""
    compiled = Row("ray", "compiled_noop", label="Ray, compiled graph")
    awaited = Row("cloudburst", "noop_awaited", label="cloudburst-nb, await")
    limit = messages_limit("ping_pong")
    return [
        Case(GROUP, "no-op call", "noop", rows=(awaited, compiled), **limit),
        Case(GROUP, "shared counter, one increment", "counter", **limit),
    ]
