"""Several stores, two of which keep each key: what that costs, and how long it takes to make up for one."""

from __future__ import annotations

from benchmarks.case import Case, Effort, cases_of, messages_limit

GROUP = "Several stores"
KEYS, KEYS_QUICK = 100_000, 5_000
GOSSIPED, GOSSIPED_QUICK = 10_000, 1_000
ELEMENTS, ADDED = (10, 1_000, 100_000), 20
THREE = {"stores": 3, "only_for": "stores"}


@cases_of
def stores(effort: Effort) -> list[Case]:
    """Three stores, two copies."""
    keys = KEYS_QUICK if effort.quick else KEYS
    puts = GOSSIPED_QUICK if effort.quick else GOSSIPED
    put = Case(
        GROUP, "put, two copies", "put", (8,), peers=False, options=THREE, **messages_limit("ping_pong")
    )
    get = Case(GROUP, "get", "get", (8,), peers=False, options=THREE, **messages_limit("ping_pong"))
    gossip = Case(
        GROUP, "gossip of a put of 8 B", "gossip_bytes", (puts,), peers=False, unit="B", options=THREE
    )
    grown = [
        Case(
            GROUP,
            f"{what} of one element more in a set of {elements:,}",
            probe,
            (elements, ADDED),
            peers=False,
            unit=unit,
            options=THREE,
        )
        for elements in ELEMENTS
        for what, probe, unit in (("gossip", "growth_bytes", "B"), ("work", "growth_seconds", "s"))
    ]
    repair = Case(
        GROUP,
        f"two copies of {keys:,} keys again after kill -9 of a store",
        "repair",
        (keys,),
        peers=False,
        options={"stores": 3, "only_for": "repair"},
        rounds=1,
    )
    return [put, get, gossip, *grown, repair]
