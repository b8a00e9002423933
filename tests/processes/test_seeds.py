"""A seeded runtime: the same numbers with one executor and with many, whatever ran before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import cloudburst_nb as cb

pytestmark = pytest.mark.processes


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.normal()), float(np.random.default_rng().random())


class Sampler:
    def __init__(self) -> None:
        self.offset = random.random()

    def run(self, x: int) -> tuple[int, float, float]:
        return x, self.offset, random.random()


def letters(x: Any) -> list[str]:
    return list({"alpha", "beta", "gamma", "delta", "epsilon"})


def outcomes(executors: int, seed: int | None) -> list[Any]:
    with cb.up(executors=executors, seed=seed):
        sample, drawing = cb.function(Sampler), cb.function(draws)
        chained = cb.dag(
            "chained", cb.function(letters, name="letters") >> cb.function(tupled, name="tupled")
        )
        futures = [drawing() for _ in range(20)] + [sample(x) for x in range(20)] + [chained(1)]
        return cb.gather(futures)


def tupled(words: list[str]) -> tuple[str, ...]:
    return (*words, str(random.random()))


@pytest.fixture(autouse=True)
def nothing_up():
    cb.down()
    yield
    cb.down()


def test_a_seeded_run_is_the_same_with_one_executor_and_with_eight() -> None:
    one = outcomes(1, seed=11)
    assert one == outcomes(8, seed=11)
    assert len(set(one[:20])) == 20
    assert one[:20] != outcomes(2, seed=12)[:20]


def test_without_a_seed_numbers_differ() -> None:
    assert outcomes(2, None)[:20] != outcomes(2, None)[:20]


@pytest.mark.parametrize("seed", ["1", 1.5, True])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(TypeError, match="seed is a whole number"):
        cb.up(seed=seed)  # type: ignore[arg-type]
