"""Clients and the functions that were defined before there was one; runtimes that outlive their client."""

from __future__ import annotations

import os

import pytest

import cloudburst_nb as cb
from tests.processes.watching import directory_of, nothing_left, supervisor_of

LIMIT = 20.0


@pytest.fixture
def defined_before(alone):
    """A function from before the first runtime."""

    @cb.function
    def increment(x):
        return x + 1

    return increment


@pytest.mark.parametrize(
    "use",
    [
        lambda client, function: client.functions() == ["increment"],
        lambda client, function: client.get_function("increment")(2).get(LIMIT) == 3,
        lambda client, function: client.call("increment", (2,)).get(LIMIT) == 3,
        lambda client, function: client.dag("pipe", function)(2).get(LIMIT) == 3,
        lambda client, function: client.dag("pipe", functions=["increment"])(2).get(LIMIT) == 3,
        lambda client, function: client.status().functions == {"increment": 1},
    ],
    ids=["functions", "get_function", "call", "dag", "dag by name", "status"],
)
def test_a_client_knows_what_was_defined_before_it(defined_before, use):
    with cb.up(executors=2) as client:
        assert use(client, defined_before)


def test_a_detached_runtime_that_is_shut_down_by_its_parent_is_reaped(alone):
    client = cb.up(executors=2, detach=True)
    directory = directory_of(client)
    supervisor = supervisor_of(directory)
    client.shutdown()
    assert nothing_left(directory)
    with pytest.raises(ProcessLookupError):  # a zombie would be found
        os.kill(supervisor, 0)
