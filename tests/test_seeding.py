"""Seeded random numbers: what they follow from, and what they do not."""

from __future__ import annotations

import random
import sys
import types

import numpy as np
import pytest

from cloudburst_runtime.executor.seeding import Seeds, derive
from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.ids import TaskId
from cloudburst_runtime.messages import Header


@pytest.fixture(autouse=True)
def generators_as_they_were(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(np.random, "default_rng", np.random.default_rng)
    state, numpy_state = random.getstate(), np.random.get_state()
    yield
    random.setstate(state)
    np.random.set_state(numpy_state)


def task(client: str = "c1", number: int = 1, attempt: int = 0, node: int = 0) -> Task:
    return Task(TaskId(client, number, attempt, node), Header(client, number, attempt, 1, ["e1"]))


def drawn(seeds: Seeds, of: Task) -> tuple[float, ...]:
    seeds.for_task(of)
    return (
        random.random(),
        float(np.random.random()),
        float(np.random.default_rng().random()),
        float(np.random.default_rng().random()),
    )


def test_numbers_follow_from_the_seed_and_the_call_alone() -> None:
    first = drawn(Seeds(7), task())
    assert len(set(first)) == 4
    other = Seeds(7)
    drawn(other, task(number=2))
    assert drawn(other, task(client="c2", attempt=3)) == first


@pytest.mark.parametrize(("seed", "of"), [(8, task()), (7, task(number=2)), (7, task(node=1))])
def test_another_seed_call_or_node_draws_other_numbers(seed: int, of: Task) -> None:
    assert not set(drawn(Seeds(seed), of)) & set(drawn(Seeds(7), task()))


def test_a_generator_that_is_given_a_seed_keeps_it() -> None:
    expected = np.random.default_rng(5).random()
    Seeds(7).for_task(task())
    assert np.random.default_rng(5).random() == expected
    assert np.random.default_rng(seed=5).random() == expected


def test_a_class_draws_numbers_of_its_own() -> None:
    seeds = Seeds(7)
    seeds.for_class("Model", 1)
    first = random.random()
    drawn(seeds, task(number=3))
    seeds.for_class("Model", 1)
    assert random.random() == first
    seeds.for_class("Model", 2)
    assert random.random() != first


def test_derived_numbers_do_not_run_together() -> None:
    assert derive(1, "call", 12, 3) != derive(1, "call", 1, 23)
    assert 0 <= derive(-5) < 2**64


def test_a_numpy_that_another_thread_is_importing_is_not_seeded_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    Seeds(7).for_task(task())
    expected = random.random()
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
    Seeds(7).for_task(task())
    assert random.random() == expected
