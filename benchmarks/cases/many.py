"""Many calls at once."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of, messages_limit

GROUP = "Throughput"
COUNT = 2_000
CLIENTS = 4


@cases_of
def many(effort: Effort) -> list[Case]:
    """Two thousand calls from one client, from four, and by ``map``."""
    limit = messages_limit("flood", COUNT)
    return [
        Case(GROUP, f"{COUNT:,} calls at once", "burst", (COUNT,), each="call", **limit),
        Case(
            GROUP,
            f"{COUNT:,} calls from {CLIENTS} client processes",
            "from_clients",
            (CLIENTS, COUNT),
            each="call",
            **limit,
        ),
        Case(GROUP, f"map over {COUNT:,} elements", "mapped", (COUNT,), each="element", **limit),
    ]
