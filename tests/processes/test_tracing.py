"""Traced runtimes: where the time of a call went, and that others take no stamps at all."""

from __future__ import annotations

import sys

import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_runtime.shell.tracing import STAGES
from tests.processes.watching import PATIENCE


@pytest.fixture(scope="module")
def traced(home: str):
    with cb.up(executors=(2, 2), trace=True, listen="tcp://127.0.0.1:0") as made:
        yield made


def test_the_stages_of_a_call_are_all_of_it_and_in_their_order(traced: Client) -> None:
    same = traced.function(lambda x: x, name="same")
    for value in range(20):
        future = same(value)
        assert future.get(PATIENCE) == value
        timings = future.timings
        took = timings["stages"]
        assert list(took) == list(STAGES)
        assert min(took.values()) >= 0.0
        inside = sum(took.values()) - took["encode"] - took["resume"]
        assert inside <= timings["total"] <= sum(took.values())
        assert took["run"] <= timings["run"] + 1e-9
    assert list(cb.summary([future]).stages) == list(STAGES)


def test_calls_that_were_not_waited_for_one_by_one_have_what_happened_until_they_were_done(
    traced: Client,
) -> None:
    same = traced.function(lambda x: x, name="same")
    futures = same.map(range(100))
    assert cb.gather(futures, timeout=PATIENCE) == list(range(100))
    for future in futures:
        assert list(future.timings["stages"])[:13] == list(STAGES)[:13]


def test_a_dag_has_its_nodes_and_a_failed_call_its_stages(traced: Client) -> None:
    bad = traced.function(lambda x: 1 / x, name="bad")
    same = traced.function(lambda x: x, name="same")
    future = traced.dag("pair", same >> bad)(0)
    assert isinstance(future.exception(PATIENCE), ZeroDivisionError)
    assert "stages" not in future.timings
    future = bad(0)
    assert isinstance(future.exception(PATIENCE), ZeroDivisionError)
    assert list(future.timings["stages"]) == list(STAGES)


def test_a_client_on_another_host_has_no_stages(traced: Client) -> None:
    with cb.connect(traced.addresses[1], key_file=traced.key_file) as far:
        future = far.call("same", (3,))
        assert future.get(PATIENCE) == 3
        assert "stages" not in future.timings


def test_a_runtime_that_is_not_traced_has_nothing_in_front_of_its_cores(alone: None) -> None:
    with cb.up(executors=(1, 1)) as client:
        shell = client._shell
        assert shell.trace is None
        assert shell.loop.core is shell.core
        assert "wait" not in vars(shell.hub)
        future = cb.function(in_front, name="in_front")()
        assert future.get(PATIENCE) == ["ExecutorCore"]
        assert "stages" not in future.timings
    with cb.up(executors=(1, 1), trace=True):
        assert cb.function(in_front, name="in_front")().get(PATIENCE) == ["ExecutorTrace", "wait"]


def in_front() -> list[str]:
    """What the loop of the executor that this runs in calls in place of its core, and of its hub's `wait`."""
    frame = sys._getframe()
    while "loop" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    loop = frame.f_locals["loop"]
    return [type(loop.core).__name__, *vars(loop.hub).keys() & {"wait"}]
