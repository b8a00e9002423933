"""Many calls at once."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of, messages_limit

GROUP = "Throughput"
COUNT, COUNT_QUICK = 2_000, 500
CLIENTS = 4


@cases_of
def many(effort: Effort) -> list[Case]:
    """Two thousand calls from one client, from four, and by ``map``."""
    count = COUNT_QUICK if effort.quick else COUNT
    limit = messages_limit("flood", count)
    return [
        Case(GROUP, f"{count:,} calls at once", "burst", (count,), each="call", **limit),
        Case(
            GROUP,
            f"{count:,} calls from {CLIENTS} client processes",
            "from_clients",
            (CLIENTS, count),
            each="call",
            **limit,
        ),
        Case(GROUP, f"map over {count:,} elements", "mapped", (count,), each="element", **limit),
    ]
