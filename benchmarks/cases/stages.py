"""Where the time of a no-op call goes: a runtime that takes the stamps of each stage."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of, messages_limit

GROUP = "Where the time of a call goes"
TOTAL = "the whole call, traced"
TRACED = {"trace": True, "only_for": "stages"}


@cases_of
def stages(effort: Effort) -> list[Case]:
    """The traced call as a whole, and a case for each of its stages."""
    from cloudburst_runtime.shell.tracing import STAGES

    whole = Case(GROUP, TOTAL, "noop", peers=False, options=TRACED, **messages_limit("ping_pong"))
    return [whole, *[Case(GROUP, name, "stage", (name,), peers=False, options=TRACED) for name in STAGES]]
