"""The store: put and get, from the client and inside a function."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Effort, cases_of, messages_limit
from benchmarks.cases.arrays import size_text

GROUP = "Store"
SIZES = (8, 1_000, 64_000, 1_000_000, 8_000_000, 64_000_000)
SIZES_QUICK = (8, 64_000, 8_000_000, 64_000_000)
WRITERS = 100
WRITTEN, WRITTEN_QUICK = 20_000, 5_000
BYTES_MAX_SMALL = 100_000
WAYS = (
    ("put from the client", "put"),
    ("get from the client", "get"),
    ("put inside a function", "put_inside"),
    ("get inside a function", "get_inside"),
)


@cases_of
def store(effort: Effort) -> list[Case]:
    """Small values are compared with a message, large ones to put with one copy of their bytes."""
    return [
        Case(
            GROUP,
            f"{name}, {size_text(size)}",
            probe,
            (size,),
            series=name,
            size=size,
            **_limit(probe, size),
        )
        for name, probe in WAYS
        for size in (SIZES_QUICK if effort.quick else SIZES)
    ]


@cases_of
def writers(effort: Effort) -> list[Case]:
    """Many small puts at once, in memory and on disk: there, those that wait are written together."""
    puts = WRITTEN_QUICK if effort.quick else WRITTEN
    return [
        Case(
            GROUP,
            f"put, {WRITERS} writers at once, {where}",
            "puts_in_flight",
            (WRITERS, puts),
            peers=False,
            each="put",
            options={"durable": where == "on disk", "only_for": f"writers {where}"},
            **messages_limit("flood", puts),
        )
        for where in ("in memory", "on disk")
    ]


def _limit(probe: str, size: int) -> dict[str, Any]:
    if probe == "get_inside":
        return {"limit": ("look_up", (size,))}
    if probe.startswith("put") and size > BYTES_MAX_SMALL:
        return {"limit": ("copy", (size,))}
    return messages_limit("ping_pong")
