"""Stores, executors, clients and whole runtimes are killed under load, and nothing acknowledged is lost.

Each setting is killed in for as many seconds as ``CLOUDBURST_NB_CHAOS_SECONDS`` says, 6 by default, besides
what it takes to start, heal and compare. For minutes, and more settings: ``python -m tests.processes.chaos``.
"""

from __future__ import annotations

import os

import pytest

from tests.processes.chaos.rig import Setting
from tests.processes.chaos.run import run

pytestmark = pytest.mark.usefixtures("alone")

SECONDS = float(os.environ.get("CLOUDBURST_NB_CHAOS_SECONDS", "6"))
SEED = int(os.environ.get("CLOUDBURST_NB_CHAOS_SEED", "1"))
SETTINGS = [
    Setting(1, 1, True, "lww"),
    Setting(3, 2, True, "all"),
    Setting(3, 2, False, "dsc"),
    Setting(2, 2, False, "atomic"),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_nothing_acknowledged_is_lost_whoever_is_killed(setting: Setting) -> None:
    report = run(setting, SEED, SECONDS)
    print(report.summary())
    assert report.is_good, report.text()
    assert report.ledger.acknowledged
    assert {"executor", "client"} <= set(report.kills)


MUTANTS = [
    (Setting(1, 1, True, "lww", 2, "acknowledge-before-persisting"), "was acknowledged"),
    (Setting(3, 2, False, "lww", 2, "hand-nothing-over"), "do not agree"),
    (Setting(1, 1, False, "sk", 2, "drop-siblings"), "none of them had seen it"),
]


@pytest.mark.parametrize(("setting", "word"), MUTANTS, ids=[setting.mutant for setting, _ in MUTANTS])
def test_a_planted_defect_is_found_and_explained(setting: Setting, word: str) -> None:
    report = run(setting, SEED, 3.0)
    assert word in report.text()
