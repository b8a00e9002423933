"""DAGs: what runs where with which arguments, competition, continuation, and what is refused."""

from __future__ import annotations

import os
import time

import networkx as nx
import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import (
    CloudburstError,
    ConsistencyError,
    DagExists,
    DagNotFound,
    FunctionNotFound,
    InvalidDag,
    NoResources,
)
from tests.processes.watching import eventually

pytestmark = pytest.mark.usefixtures("client", "functions")

LIMIT = 20.0


@cb.function
def load(x):
    return x


@cb.function
def left(x, k=0):
    return ("left", x, k)[1] * 2 + k


@cb.function
def right(x):
    return x * 3


@cb.function
def merge(*parts):
    return list(parts)


@cb.function
def count(cloudburst, *parts):
    cloudburst.put("dags/runs", 1, lattice="counter")
    return parts[-1]


@cb.function
def fail(x):
    raise ArithmeticError(f"no good: {x}")


@cb.function
def slow(cloudburst, x):
    cloudburst.put("dags/slow", os.getpid())
    while cloudburst.get("dags/never") is None:
        time.sleep(0.01)


@cb.function
def increment(x):
    return x + 1


@cb.function
def square(x):
    return x * x


@pytest.fixture(scope="module")
def functions(client):
    """The functions above, with this module's runtime."""
    for made in (load, left, right, merge, count, fail, slow, increment, square):
        assert client.register(made._packed).version == 1


# ---------------------------------------------------------------- shape and arguments


def test_a_function_feeds_the_next():
    chain = cb.dag("chain", increment >> square)
    assert chain(3).get(LIMIT) == 16
    assert cb.gather([chain(n) for n in range(30)], timeout=LIMIT) == [(n + 1) ** 2 for n in range(30)]


def test_fan_out_and_fan_in_give_the_results_in_the_order_of_the_edges():
    pipe = cb.dag("diamond", load >> [left, right] >> merge)
    assert pipe(5).get(LIMIT) == [10, 15]
    other = cb.dag(
        "diamond2",
        functions=["load", "left", "right", "merge"],
        edges=[("load", "left"), ("load", "right"), ("right", "merge"), ("left", "merge")],
    )
    assert other(5).get(LIMIT) == [15, 10]


def test_several_sources_get_arguments_by_name():
    pipe = cb.dag("sources", [left, right] >> merge)
    assert pipe(left=[1, 5], right=2).get(LIMIT) == [7, 6]
    with pytest.raises(InvalidDag, match="several sources"):
        pipe(1).get(LIMIT)
    with pytest.raises(InvalidDag, match="has no function 'nobody'"):
        pipe(left=1, right=1, nobody=[2]).get(LIMIT)


def test_arguments_for_a_function_that_a_dag_of_one_does_not_have_are_refused():
    pipe = cb.dag("alone", left)
    assert pipe(left=[1, 5]).get(LIMIT) == pipe(1, 5).get(LIMIT)
    with pytest.raises(InvalidDag, match="has no function 'nobody'"):
        pipe(nobody=[1, 5]).get(LIMIT)


def test_fixed_arguments_of_an_inner_function_come_before_its_predecessors_results():
    pipe = cb.dag("fixed", load >> [left, right] >> merge)
    assert pipe(load=[1], merge=["a", "b"]).get(LIMIT) == ["a", "b", 2, 3]
    assert pipe(load=1, merge=0.5).get(LIMIT) == [0.5, 2, 3]


def test_references_and_futures_are_arguments_of_dags():
    pipe = cb.dag("refs", load >> [left, right] >> merge)
    waiting = pipe(load=[cb.ref("dags/x")], merge=[increment(1)])
    cb.put("dags/x", 10)
    assert waiting.get(LIMIT) == [2, 20, 30]


def test_a_tuple_is_several_arguments_and_a_list_is_one():
    @cb.function
    def both():
        return 7, 8

    @cb.function
    def none():
        return ()

    @cb.function
    def listed():
        return [1, 2]

    assert cb.dag("tuple", both >> merge)().get(LIMIT) == [7, 8]
    assert cb.dag("tuples", [both, listed, none] >> merge)(both=[], listed=[], none=[]).get(LIMIT) == [
        7,
        8,
        [1, 2],
    ]
    assert cb.dag("tuple_sink", load >> both)().exception(LIMIT) is not None
    assert cb.dag("alone", both)().get(LIMIT) == (7, 8), "the DAG's own result is what the sink returned"


def test_nested_lists_and_networkx_graphs_are_dags():
    pipe = cb.dag("nested", load >> [increment >> square, right] >> merge)
    assert pipe(2).get(LIMIT) == [9, 6]
    graph = nx.DiGraph([("load", "right"), ("load", "square"), ("right", "merge"), ("square", "merge")])
    assert cb.dag("graph", graph)(3).get(LIMIT) == [9, 9]
    shown = cb.get_dag("nested").graph
    assert isinstance(shown, nx.DiGraph)
    assert list(shown.predecessors("merge")) == ["square", "right"]


def test_the_result_is_stored_under_the_output_key_before_it_is_returned():
    pipe = cb.dag("stored", increment >> square)
    future = pipe(1, output_key="dags/out")
    assert future.get(LIMIT) == 4
    assert cb.get("dags/out") == 4
    assert future.key == "dags/out"


def test_a_continuation_gets_the_result():
    cb.dag("one", load >> increment)
    two = cb.dag("two", [left, right] >> merge)
    assert cb.get_dag("one")(1, continuation="two").get(LIMIT) == [4, 6]
    assert cb.get_dag("one")(2, continuation=two).get(LIMIT) == [6, 9]
    assert cb.get_dag("one")(2, continuation="square").get(LIMIT) == 9
    with pytest.raises(DagNotFound, match="nowhere"):
        cb.get_dag("one")(1, continuation="nowhere").get(LIMIT)


def test_timings_and_states_are_told_per_function():
    pipe = cb.dag("told", load >> [left, right] >> merge)
    future = pipe(1)
    assert set(future.node_states) == {"load", "left", "right", "merge"}
    future.get(LIMIT)
    assert set(future.node_states.values()) == {"done"}
    assert set(future.timings["nodes"]) == {"load", "left", "right", "merge"}
    assert future.timings["nodes"]["merge"]["run"] >= 0


def test_a_dag_uses_a_functions_new_version_from_its_next_call_on():
    def version(n):
        def changing(x):
            return x, n

        return cb.function(changing)

    version(1)
    pipe = cb.dag("changing_dag", functions=["load", "changing"], edges=[("load", "changing")])
    assert pipe(0).get(LIMIT) == (0, 1)
    version(2)
    assert pipe(0).get(LIMIT) == (0, 2)


# ---------------------------------------------------------------- failure


def test_a_failure_in_one_branch_is_the_dags_and_the_other_branch_does_not_delay_it():
    @cb.function
    def endless(x):
        time.sleep(60)

    pipe = cb.dag("failing", load >> [fail, endless] >> merge)
    future = pipe(1)
    with pytest.raises(ArithmeticError, match="no good: 1"):
        future.get(LIMIT)
    assert future.node_states["fail"] == "failed"
    assert cb.dag("after", load >> increment)(1).get(LIMIT) == 2


def test_a_dag_is_cancelled_and_given_up_in_time_as_a_whole():
    pipe = cb.dag("cancelled", load >> slow >> increment)
    with pytest.raises(cb.errors.CallTimeout, match=r"0\.2 s"):
        pipe(1, timeout=0.2).get(LIMIT)
    cb.delete("dags/slow")
    future = pipe(1)
    pid = eventually(lambda: cb.get("dags/slow", None))
    assert future.cancel()

    @cb.function
    def where():
        time.sleep(0.01)
        return os.getpid()

    eventually(lambda: pid in cb.gather([where() for _ in range(10)]))
    assert future.cancelled()


# ---------------------------------------------------------------- MULTIEXEC


def test_the_first_valid_result_of_competitors_wins():
    cb.delete("dags/runs")

    @cb.function
    def quick(x):
        return -1

    @cb.function
    def good(x):
        return x + 100

    @cb.function
    def pick(x):
        return x

    race = cb.dag(
        "race",
        functions=["load", "quick", "good", ("pick", [-1])],
        edges=[("load", "quick"), ("load", "good"), ("quick", "pick"), ("good", "pick")],
    )
    assert [race(n).get(LIMIT) for n in range(10)] == [n + 100 for n in range(10)]


def test_a_competitor_that_raises_or_never_ends_does_not_matter_if_another_is_good():
    @cb.function
    def best(x):
        return x

    race = cb.dag(
        "race2",
        functions=["load", "fail", "slow", "increment", ("best", [None])],
        edges=[("load", part) for part in ("fail", "slow", "increment")]
        + [(part, "best") for part in ("fail", "slow", "increment")],
    )
    assert race(1).get(LIMIT) == 2
    assert race(2).get(LIMIT) == 3


def test_competition_without_a_valid_result_fails_and_says_so():
    @cb.function
    def judge(x):
        return None

    edges = [("load", "left"), ("load", "right"), ("left", "judge"), ("right", "judge")]
    race = cb.dag("nobody_wins", functions=["load", "left", "right", ("judge", [None])], edges=edges)
    with pytest.raises(CloudburstError, match="each of the 2 inputs of 'judge' gave an invalid result"):
        race(1).get(LIMIT)

    edges = [("load", "fail"), ("fail", "judge")]
    race = cb.dag("all_raise", functions=["load", "fail", ("judge", [None])], edges=edges)
    with pytest.raises(ArithmeticError, match="no good"):
        race(1).get(LIMIT)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("level", ["strong", 3])
def test_a_level_that_does_not_exist_is_refused(level):
    pipe = cb.dag("level", load >> increment)
    with pytest.raises(ConsistencyError, match="level"):
        pipe(1, consistency=level)


def test_colocated_functions_run():
    pipe = cb.dag("together", load >> [left, right] >> merge, colocated=["left", "right"])
    assert pipe(1).get(LIMIT) == [2, 3]
    assert pipe.graph.graph["colocated"] == ["left", "right"]


def test_a_gpu_function_needs_an_executor_with_one():
    pipe = cb.dag("gpu", load >> increment, gpu=["increment"])
    with pytest.raises(NoResources, match="increment"):
        pipe(1).get(LIMIT)

    @cb.function(gpu=True)
    def train():
        return 1

    with pytest.raises(NoResources, match="'train'"):
        train().get(LIMIT)


def test_a_batching_function_of_a_dag_gets_lists():
    @cb.function
    def batched(xs):
        time.sleep(0.01)
        return [(x, len(xs)) for x in xs]

    pipe = cb.dag("batched_dag", load >> batched, batching=["batched"])
    results = cb.gather([pipe(n) for n in range(60)], timeout=LIMIT)
    assert [x for x, _ in results] == list(range(60))
    assert 1 < max(size for _, size in results) <= 20


def test_functions_of_a_dag_run_in_executors():
    @cb.function
    def where(*_):
        return os.getpid()

    pids = {executor.pid for executor in cb.status().executors}
    assert cb.dag("where_dag", load >> where)(1).get(LIMIT) in pids


# ---------------------------------------------------------------- definition


def test_a_dag_is_replaced_unless_it_must_not_be():
    cb.dag("again", load >> increment)
    pipe = cb.dag("again", load >> square)
    assert pipe(3).get(LIMIT) == 9
    assert cb.get_dag("again").functions == ["load", "square"]
    with pytest.raises(DagExists, match="'again'"):
        cb.dag("again", load >> increment, replace=False)
    assert cb.get_dag("again")(3).get(LIMIT) == 9


def test_a_deleted_dag_is_gone_and_its_functions_stay():
    pipe = cb.dag("deleted", load >> increment)
    shares = cb.dag("shares", load >> increment >> square)
    assert pipe(1).get(LIMIT) == 2
    cb.delete_dag("deleted")
    assert "deleted" not in cb.dags()
    with pytest.raises(DagNotFound, match="'deleted'"):
        pipe(1).get(LIMIT)
    with pytest.raises(DagNotFound, match="'deleted'"):
        cb.delete_dag("deleted")
    with pytest.raises(DagNotFound, match="'deleted'"):
        cb.get_dag("deleted")
    assert shares(1).get(LIMIT) == 4
    assert increment(1).get(LIMIT) == 2


@pytest.mark.parametrize(
    ("functions", "edges", "error", "said"),
    [
        (
            ["load", "left", "right"],
            [("load", "left"), ("left", "right"), ("right", "left")],
            InvalidDag,
            "left → right → left",
        ),
        (["load", "left", "right"], [("load", "left"), ("load", "right")], InvalidDag, "left.*right"),
        ([], [], InvalidDag, "no function"),
        (["load"], [("load", "elsewhere")], InvalidDag, "elsewhere"),
        (["load", "load"], [], InvalidDag, "twice"),
        (["load"], [("load", "load")], InvalidDag, "load → load"),
        (["load", "incremen"], [("load", "incremen")], FunctionNotFound, "did you mean 'increment'"),
    ],
    ids=["cycle", "two sinks", "empty", "unknown node", "twice", "loop", "unknown function"],
)
def test_what_is_no_dag_is_refused_with_the_reason(functions, edges, error, said):
    with pytest.raises(error, match=said):
        cb.dag("bad", functions=functions, edges=edges)
    assert "bad" not in cb.dags()


def test_an_unknown_dag_is_refused_with_the_names_that_come_close():
    cb.dag("pipeline", load >> increment)
    with pytest.raises(DagNotFound, match="did you mean 'pipeline'"):
        cb.get_dag("pipelin")
