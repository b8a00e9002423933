"""One seed from beginning to end: a scenario in a world of its own, and what was wrong with it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import NamedTuple

from cloudburst_runtime.config import Config
from cloudburst_runtime.levels import LEVELS
from cloudburst_runtime.sim import calls, executions, faults, restarts, versions
from cloudburst_runtime.sim.faults import Faults
from cloudburst_runtime.sim.mutant import HONEST, Mutant
from cloudburst_runtime.sim.world import World

STORES = "/stores"
"""How the names of scenarios end in which several stores keep the keys."""

RESTARTS = "/restarts"
"""How those end in which all processes are killed at once, and others begin with what is on disk."""

ESTATES = "/estates"
"""How those end in which there are several stores besides, which die, and others take over what they left."""

ABROAD = "/abroad"
"""How those end in which some of these stores are on other hosts, and come back when they were killed."""

AMBUSH = "/ambush"
"""How those end in which stores that keep all in memory are killed when others may not know what they do."""

BLOCKS = "atomic/blocks"
"""The scenario of clients whose reads go together."""

VERSIONS = "versions"
"""The scenario of histories that travel with their keys."""

MANY = "many"
"""The scenario of many calls, which travel together."""

SCENARIOS: dict[str, Callable[[World], list[str]]] = {
    "calls": calls.drive,
    "calls" + STORES: calls.drive_several,
    MANY: calls.drive_many,
    BLOCKS: executions.drive_blocks,
    VERSIONS: versions.drive,
    **{level + stores: executions.at(level) for stores in ("", STORES, AMBUSH) for level in LEVELS},
    **{level + RESTARTS: restarts.at(level) for level in LEVELS},
    **{level + ESTATES: restarts.at(level, several=True) for level in LEVELS},
    **{level + ABROAD: restarts.at(level, several=True, hosts=2) for level in LEVELS},
}
"""By name: drives a world, and returns what is wrong with its history."""


class Report(NamedTuple):
    """What became of a seed."""

    seed: int
    profile: str
    violations: list[str]
    world: World


def run(
    seed: int,
    mutant: Mutant = HONEST,
    profile: str | None = None,
    trace: Callable[[str], None] | None = None,
    scenario: str | None = None,
) -> Report:
    """Run a seed, in the scenario that is to notice the mutant, and check what its clients saw."""
    scenario = scenario or mutant.scenario
    plan, config = _setting(seed, scenario, faults.plan(seed, profile))
    world = World(seed, plan, config, mutant, trace)
    try:
        violations = SCENARIOS[scenario](world)
    except Exception as error:  # a core that fails an assertion is a finding like any other
        violations = [f"crash: {type(error).__name__} {error} ({_place(error)})"]
    return Report(seed, plan.profile, violations, world)


def _setting(seed: int, scenario: str, plan: Faults) -> tuple[Faults, Config]:
    """What goes wrong in a scenario, and the runtime's configuration."""
    if scenario.endswith(AMBUSH):
        plan = faults.in_ambush(seed, plan)
    if scenario.endswith(ESTATES):
        plan = faults.dying(seed, plan)
    if scenario == VERSIONS:
        plan = faults.moving(seed, plan)
    config = faults.config(seed, plan)
    if scenario.endswith((STORES, AMBUSH, VERSIONS)):
        config = faults.with_stores(seed, config)
    if scenario.endswith(AMBUSH):
        config = faults.copied(seed, config)
    if scenario.endswith(ESTATES):
        config = faults.with_estates(seed, config)
    if scenario.endswith(ABROAD):
        config = faults.with_hosts(seed, config)
    if scenario == MANY:
        config = faults.with_company(seed, config)
    return plan, config


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(frame.filename).name} line {frame.lineno}"
