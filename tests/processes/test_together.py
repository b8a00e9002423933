"""Many calls at once, in real processes: nothing waits for company while somebody could use it."""

from __future__ import annotations

import os
import time

import pytest

import cloudburst_nb as cb
from tests.processes.watching import eventually

LIMIT = 60.0
MANY = 60


@pytest.fixture(autouse=True)
def one_executor(alone):
    cb.up(executors=(1, 1))


@cb.function
def echo_or_wait(n, path):
    """The last one takes until the file is there, asleep or computing."""
    while n == "asleep" and not os.path.exists(path):
        time.sleep(0.01)
    while n == "computing" and not os.path.exists(path):
        sum(range(10_000))
    return n


@pytest.mark.parametrize("how", ["asleep", "computing"])
def test_results_do_not_wait_for_a_call_behind_them_that_takes_long(how, tmp_path):
    end = tmp_path / "end"
    futures = echo_or_wait.map([*range(MANY), how], [str(end)] * (MANY + 1))
    try:
        assert cb.gather(futures[:-1], timeout=LIMIT) == list(range(MANY))
        assert not futures[-1].done()
    finally:
        end.touch()
    assert futures[-1].get(timeout=LIMIT) == how


@cb.function
def touch(path):
    with open(path, "w"):
        return


def test_calls_leave_though_nobody_waits_for_them(tmp_path):
    touch(str(tmp_path / "first")).get(timeout=LIMIT)
    futures = [touch(str(tmp_path / str(n))) for n in range(MANY)]
    eventually(lambda: len(os.listdir(tmp_path)) == MANY + 1)
    assert cb.gather(futures, timeout=LIMIT) == [None] * MANY


@cb.function(retries=3)
def die_once(n, marker):
    if n == MANY // 2 and not os.path.exists(marker):
        with open(marker, "w"):
            os._exit(1)
    return n * n


def test_an_executor_that_dies_amid_many_calls_costs_none_of_them(tmp_path):
    marker = str(tmp_path / "died")
    squares = cb.gather(die_once.map(range(MANY), [marker] * MANY), timeout=LIMIT)
    assert squares == [n * n for n in range(MANY)]
    assert os.path.exists(marker)
