"""The cores under seeded faults: every seed passes every check, and planted defects do not.

A failing seed prints how to replay it. Seeds that once found a defect in a core stay in `REGRESSIONS`.
"""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from cloudburst_runtime.config import Config
from cloudburst_runtime.levels import LEVELS
from cloudburst_runtime.sim import faults
from cloudburst_runtime.sim.__main__ import main
from cloudburst_runtime.sim.mutants import MUTANTS
from cloudburst_runtime.sim.run import BLOCKS, MANY, VERSIONS, run

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 120
LEVEL_SEEDS = 20
STORES_SEEDS = 6
ESTATES_SEEDS = 5
ABROAD_SEEDS = 4
AMBUSH_SEEDS = 4
MUTANT_SEEDS = 128
RESTART_SEEDS = 24
LEVEL_RESTART_SEEDS = 6
MANY_SEEDS = 32
BLOCK_SEEDS = 20
VERSIONS_SEEDS = 24

SHOWN_BY = {
    "atomic-twice": 11,
    "cache-overlooks-gap": 19,
    "gossip-on-any-base": 27,
    "repair-skips-a-part": 21,
    "scheduler-rushes": 74,
    "store-waits-for-nobody": 4,
}
"""A seed that is known to show a defect, where none of the first does; the others are tried after it."""

REGRESSIONS = (
    6,  # a lost Call whose task a trigger had made known
    8,  # the pressure timer set for the present, for ever
    10,  # a lost Cancel left a waiting task behind
    15,  # a process that died amid its effects
    26,  # the same, for a task that waits for inputs
    30,  # a handover back that was lost
    40,  # an executor with a waiting task never said Idle again
    94,  # a repeated trigger ran a task that had been handed over
    124,  # the same on a network without faults
    204,  # a repeated trigger ran a task whose outcome was no longer kept
    722,  # a task whose handover was lost could not be given back
    914,
    1991,
    2179,
)

LEVEL_REGRESSIONS = (
    ("dsrr", 74),  # a read under way replaced the absence that another branch had read
    ("dsrr", 95),  # a version was recalled from a dead executor, for ever
    ("dsrr", 252),  # a write after a recalled read was stamped before it
    ("dsrr", 439),  # a version was kept for a dead client that its holder had never spoken with
    ("dsrr", 941),  # another was recalled for a client whose loss was known, and kept
    ("dsrr/stores", 29),  # the same over several stores
    ("dsrr", 1059),  # an attempt astray sent nothing again, and looked at that without end
    ("dsrr/stores", 1059),  # a last read came before the third copy of what was written just before it
    ("atomic/stores", 2),  # what a record had came with a version of a store that does not exist
    ("atomic", 19),  # a client found an older write than its call had had from a record
    ("atomic/restarts", 2),  # a restart left half of what a call had committed unpublished
    ("lww/stores", 9),  # a client that asked a dead store did not learn of another
    ("atomic/ambush", 3),  # each attempt came upon what the one before had come upon
    ("sk/estates", 16),  # a node whose store was alone sent messages to itself
    ("lww/stores", 21),  # nor did one that had never spoken with it
    ("atomic/blocks", 76),  # a block wrote with an older stamp than that of the version it had been told of
    ("atomic/blocks", 210),  # what a call had read later than its block was due there, and could not be read
    ("atomic/blocks", 236),  # what a call of the block had published tore what it had not read
    (VERSIONS, 60),  # a write that lost to another store's had no writer in the history
)


def replay(seed: int, scenario: str) -> str:
    """The command that runs a seed again and shows its history."""
    return f"PYTHONPATH=runtime python -m cloudburst_runtime.sim --seed {seed} --scenario {scenario}"


class Came(NamedTuple):
    """What came of a seed: all of a report but its world."""

    profile: str
    violations: list[str]
    met: Counter[str]
    stores: int
    executors: int


@cache
def ran(seed: int, scenario: str) -> Came:
    report = run(seed, scenario=scenario)
    world = report.world
    return Came(report.profile, report.violations, world.met, world.config.stores_min, world.executors_most)


def check(seed: int, scenario: str = "calls") -> None:
    came = ran(seed, scenario)
    if came.violations:
        shown = "\n".join(came.violations)
        replayed = replay(seed, scenario)
        pytest.fail(f"seed {seed} ({came.profile}):\n{shown}\nreplay it: {replayed}", pytrace=False)


@pytest.mark.parametrize("first", range(0, SEEDS, 8))
def test_what_clients_see_is_right_under_every_kind_of_fault(first):
    for seed in range(first, first + 8):
        check(seed)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("first", range(0, LEVEL_SEEDS, 10))
def test_what_executions_read_is_what_their_level_promises(level, first):
    for seed in range(first, first + 10):
        check(seed, level)


@pytest.mark.parametrize("first", range(0, RESTART_SEEDS, 8))
def test_what_was_acknowledged_survives_the_end_of_all_processes(first):
    for seed in range(first, first + 8):
        check(seed, "lww/restarts")


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "lww"])
def test_levels_keep_their_promise_when_all_processes_end(level):
    for seed in range(LEVEL_RESTART_SEEDS):
        check(seed, f"{level}/restarts")


@pytest.mark.parametrize("level", LEVELS)
def test_levels_keep_their_promise_over_several_stores(level):
    for seed in range(STORES_SEEDS):
        check(seed, f"{level}/stores")


@pytest.mark.parametrize("level", LEVELS)
def test_levels_keep_their_promise_when_stores_die_and_others_take_over_their_files(level):
    for seed in range(ESTATES_SEEDS):
        check(seed, f"{level}/estates")


@pytest.mark.parametrize("level", ["lww", "dsc"])
def test_levels_keep_their_promise_when_stores_on_other_hosts_come_back_with_what_they_had(level):
    for seed in range(ABROAD_SEEDS):
        check(seed, f"{level}/abroad")
    assert sum(ran(seed, f"{level}/abroad").met["brought back"] for seed in range(ABROAD_SEEDS)) > 3


@pytest.mark.parametrize("level", LEVELS)
def test_levels_keep_their_promise_when_a_store_dies_before_others_know_what_it_does(level):
    for seed in range(AMBUSH_SEEDS):
        check(seed, f"{level}/ambush")


def test_several_stores_keep_counters_deletions_and_types():
    for seed in range(STORES_SEEDS):
        check(seed, "calls/stores")


def test_the_versions_of_keys_go_from_store_to_store():
    for seed in range(VERSIONS_SEEDS):
        check(seed, VERSIONS)


@pytest.mark.parametrize("first", range(0, MANY_SEEDS, 8))
def test_what_travels_together_is_right_under_every_kind_of_fault(first):
    for seed in range(first, first + 8):
        check(seed, MANY)


@pytest.mark.parametrize("first", range(0, BLOCK_SEEDS, 10))
def test_what_a_block_reads_goes_together(first):
    for seed in range(first, first + 10):
        check(seed, BLOCKS)


def all_of(level: str) -> list[Came]:
    """What came of all seeds at a level."""
    seeds = {
        "": LEVEL_SEEDS,
        "/stores": STORES_SEEDS,
        "/restarts": RESTART_SEEDS if level == "lww" else LEVEL_RESTART_SEEDS,
        "/estates": ESTATES_SEEDS,
        "/ambush": AMBUSH_SEEDS,
    }
    return [ran(seed, level + name) for name, count in seeds.items() for seed in range(count)]


@pytest.mark.parametrize("level", LEVELS)
def test_every_kind_of_fault_befalls_every_level(level):
    met = sum((came.met for came in all_of(level)), Counter())
    kinds = [*faults.ON_WIRES, *faults.OF_CLOCKS, *faults.OF_PROCESSES, *faults.OF_STORES]
    kinds += [*faults.OF_RESTARTS, *faults.OF_ESTATES, *faults.OF_AMBUSHES]
    assert [kind for kind in kinds if not met[kind]] == []
    assert set(met) == set(kinds)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_runs_on_one_to_five_stores_and_two_to_six_executors(level):
    assert {came.stores for came in all_of(level)} == {1, 2, 3, 4, 5}
    assert {came.executors for came in all_of(level)} >= {2, 3, 4, 5, 6}


def test_clusters_are_of_several_sizes():
    several = [faults.with_stores(seed, Config()) for seed in range(20)]
    assert len({config.stores_min for config in several}) >= 3
    assert len({config.replication for config in several}) >= 2


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_once_failed_passes(seed):
    check(seed)


@pytest.mark.parametrize(("level", "seed"), LEVEL_REGRESSIONS)
def test_a_seed_that_once_broke_a_promise_keeps_it(level, seed):
    check(seed, level)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_defect_is_noticed(name):
    seeds = [SHOWN_BY.get(name, 0), *range(MUTANT_SEEDS)]
    caught = next((seed for seed in seeds if run(seed, MUTANTS[name]).violations), None)
    assert caught is not None, f"{MUTANTS[name].defect}, and no seed below {MUTANT_SEEDS} notices"


def test_a_defect_of_stores_is_in_the_nodes_own_one_too():
    mutant = MUTANTS["handover-without-history"]
    world = run(0, mutant).world
    steward = world.node().core.steward
    stores = [steward.store, *(process.core for process in world.stores())]
    assert len(stores) > 1
    assert {type(store) for store in stores} == {mutant.store}


def test_a_defect_that_breaks_a_promise_is_shown_as_a_small_table():
    mutant = MUTANTS["replica-updates-one"]
    found = run(0, mutant, scenario="lww").violations
    tables = [violation.splitlines() for violation in found if violation.startswith("lww: read your writes")]
    assert tables
    assert all(len(lines) < 20 and any("◄" in line for line in lines) for lines in tables)


def test_a_write_that_was_acknowledged_too_early_is_shown_as_a_small_table():
    """Where one store alone had it, and died: who had been told that it is there does not find it."""
    mutant = MUTANTS["store-acknowledges-alone"]
    found = next(found for seed in range(MUTANT_SEEDS) if (found := run(seed, mutant).violations))
    tables = [violation.splitlines() for violation in found if violation.startswith("lww: ")]
    assert tables
    assert all(len(lines) < 20 and any("◄" in line for line in lines) for lines in tables)


def test_the_seeds_meet_every_profile():
    profiles = {faults.plan(seed).profile for seed in range(SEEDS)}
    assert profiles == set(faults.PROFILES)
    assert {faults.plan(seed).profile for seed in range(LEVEL_SEEDS)} == profiles


def test_sessions_are_long_enough_to_show_something():
    for seed in (0, 1, 2):
        operations = run(seed).world.history.operations()
        for session in ("c1", "c2"):
            assert sum(operation.session == session for operation in operations) >= 25


def test_equal_seeds_give_equal_traces_under_different_hash_seeds():
    code = (
        "from cloudburst_runtime.sim.run import run\n"
        "print(*[run(seed).world.digest for seed in (1, 2, 3, 4)])"
    )
    digests = {_python(code, hash_seed) for hash_seed in ("1", "2")}
    assert len(digests) == 1
    assert len(set(digests.pop().split())) == 4


def _python(code: str, hash_seed: str) -> str:
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "runtime")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_a_profile_changes_the_faults_and_not_the_first_operations():
    calm, storm = run(5, profile="calm").world, run(5, profile="storm").world
    assert calm.digest != storm.digest
    first = [[event.act for event in world.history.events if event.act][:5] for world in (calm, storm)]
    assert first[0] == first[1]


def test_the_command_line_replays_a_seed_and_says_so(capsys):
    assert main(["--seed", "3"]) == 0
    shown = capsys.readouterr().out
    assert "invoke register plain" in shown
    assert shown.endswith("nothing is wrong\n")


def test_the_command_line_shows_a_violation_and_the_events(capsys):
    seed = next(seed for seed in range(MUTANT_SEEDS) if run(seed, MUTANTS["replica-pretends"]).violations)
    assert main(["--seed", str(seed), "--mutant", "replica-pretends", "--trace"]) == 1
    shown = capsys.readouterr().out
    assert "← node Placed" in shown
    assert "nothing is wrong" not in shown


def test_the_command_line_searches_seeds(capsys):
    assert main(["--seed", "0", "--seeds", "3", "--profile", "crash"]) == 0
    assert capsys.readouterr().out == "0 of 3 seeds failed\n"
