"""Programs written for the original run with only their import lines changed."""

from __future__ import annotations

import os

import pytest

import cloudburst_nb as cb
from cloudburst_nb import CloudburstConnection, CloudburstFuture, CloudburstReference, ErrorCode
from cloudburst_nb.errors import (
    DagNotFound,
    FunctionNotFound,
    InvalidDag,
    InvalidName,
    KeyNotFound,
)
from tests.processes.watching import Script, eventually, nothing_left

LIMIT = 20.0


@pytest.fixture(scope="module")
def connection(client):
    return CloudburstConnection("127.0.0.1", "127.0.0.1", local=True)


@pytest.fixture(scope="module")
def functions(connection):
    """Functions of the original's tutorial."""
    connection.register(lambda _, x: x + 1, "incr")
    connection.register(lambda _, x: x * x, "square")
    connection.register(lambda _, *xs: sum(xs), "total")


def test_the_readmes_example_runs_as_it_stands(home):
    text = """
        from cloudburst_nb import CloudburstConnection
        local_cloud = CloudburstConnection('127.0.0.1', '127.0.0.1', local=True)
        cloud_sq = local_cloud.register(lambda _, x: x * x, 'square')
        print(cloud_sq(2).get())
        local_cloud.delete_dag('dag')
        local_cloud.register_dag('dag', ['square'], [])
        print(local_cloud.call_dag('dag', { 'square': [2] }).get())
        import cloudburst_nb; print(cloudburst_nb.status().address)
        """
    with Script(text) as script:
        assert [script.line() for _ in range(2)] == ["4", "4"]
        directory = script.line().removeprefix("unix:")
        script.end()
        assert script.process.returncode == 0, script.errors
    eventually(lambda: nothing_left(directory))


def test_a_registered_function_gets_the_library_and_stores_its_result(connection):
    def remember(cloudburst, x):
        cloudburst.put("compat/x", x)
        return cloudburst.get("compat/x") + 1

    remember_on_cloud = connection.register(remember, "remember")
    future = remember_on_cloud(1)
    assert isinstance(future, CloudburstFuture)
    assert future.get() == 2
    assert connection.get_object(future.obj_id) == 2
    assert connection.get_object("compat/x") == 1


def test_a_class_is_built_with_the_library_and_its_arguments(connection):
    class Model:
        def __init__(self, cloudburst, base, step):
            self.base, self.step, self.seen = base, step, cloudburst.get("compat/none")

        def run(self, cloudburst, x):
            return self.base + self.step * x, self.seen, os.getpid()

    model = connection.register((Model, (100, 10)), "model")
    assert model(2).get()[:2] == (120, None)
    assert connection.get_function("model")(3).get()[:2] == (130, None)


def test_functions_are_listed_and_looked_up(connection, functions, capsys):
    assert "incr" in connection.list("inc")
    assert capsys.readouterr().out == "incr\n"
    assert connection.get_function("incr")(1).get(LIMIT) == 2
    assert connection.get_function("absent") is None
    assert "absent" in capsys.readouterr().out
    key = connection.exec_func("incr", [41])
    eventually(lambda: connection._client.get(key, None) == 42)
    with pytest.raises(FunctionNotFound):
        connection._client.call("absent").get(LIMIT)


def test_references_and_futures_are_arguments(connection, functions):
    incr = connection.get_function("incr")
    assert connection.put_object("compat/five", 5) is True
    assert incr(CloudburstReference("compat/five", True)).get(LIMIT) == 6
    assert incr(incr(incr(1))).get(LIMIT) == 4
    late = incr(CloudburstReference("compat/late", True))
    connection.put_object("compat/late", 1)
    assert late.get(LIMIT) == 2


def test_dags_are_registered_called_and_deleted_with_codes(connection, functions):
    made = connection.register_dag("d", ["incr", "square"], [("incr", "square")])
    assert made == (True, ErrorCode.NO_ERROR)
    assert connection.register_dag("d", ["incr"], []) == (False, ErrorCode.DAG_ALREADY_EXISTS)
    assert connection.call_dag("d", {"incr": [1]}).get() == 4
    assert connection.call_dag("d", {"incr": 1}, direct_response=True) == 4
    future = connection.call_dag("d", {"incr": [2]}, output_key="compat/out")
    assert future.get() == 9
    assert connection.get_object("compat/out") == 9
    assert connection.call_dag("d", {"incr": [2]}, dry_run=True) is None
    connection.register_dag("next", ["total"], [])
    assert connection.call_dag("d", {"incr": [2], "total": [1]}, continuation="next").get() == 10
    assert connection.delete_dag("d") == (True, ErrorCode.NO_ERROR)
    assert connection.delete_dag("d") == (False, ErrorCode.NO_SUCH_DAG)
    with pytest.raises(DagNotFound, match="'d'"):
        connection.call_dag("d", {"incr": [1]}).get()
    with pytest.raises(DagNotFound, match="'d'"):
        connection.call_dag("d", dry_run=True)


def test_a_dag_needs_registered_functions_and_one_sink(connection, functions):
    with pytest.raises(RuntimeError, match="'nobody', which is not registered"):
        connection.register_dag("bad", ["incr", "nobody"], [("incr", "nobody")])
    with pytest.raises(InvalidDag):
        connection.register_dag("bad", ["incr", "square"], [])
    connection.register_dag("alone", ["incr"], [])
    with pytest.raises(InvalidDag, match="square"):
        connection.call_dag("alone", {"square": [1]})


def test_competition_batches_and_gpus_of_the_original(connection, functions):
    edges = [("incr", "total"), ("square", "total")]
    connection.register_dag("race", ["incr", "square", ("total", [-1])], edges)
    assert connection.call_dag("race", {"incr": [-2], "square": [3]}, direct_response=True) == 9
    connection.register(lambda _, xs: [-x for x in xs], "negate")
    connection.register_dag("batch", ["negate"], [], batching_functions=["negate"])
    assert connection.call_dag("batch", {"negate": [3]}, direct_response=True) == -3
    connection.register_dag("gpu", ["incr"], [], gpu_functions=["incr"])
    with pytest.raises(cb.errors.NoResources):
        connection.call_dag("gpu", {"incr": [1]}, direct_response=True)


def test_an_error_raises_instead_of_becoming_a_value(connection):
    connection.register(lambda _, x: 1 / x, "inverse")
    with pytest.raises(ZeroDivisionError):
        connection.get_function("inverse")(0).get(LIMIT)
    connection.register_dag("inverse_dag", ["inverse"], [])
    with pytest.raises(ZeroDivisionError):
        connection.call_dag("inverse_dag", {"inverse": [0]}, direct_response=True)
    with pytest.raises(KeyNotFound):
        connection.get_object("compat/absent")
    with pytest.raises(InvalidName):
        connection.register(lambda _: 1, "")


def test_levels_of_the_original(connection, functions):
    connection.register_dag("level", ["incr"], [])
    normal = connection.call_dag("level", {"incr": [1]}, consistency=cb.Consistency.NORMAL)
    assert normal.get(LIMIT) == 2
    for level in (cb.Consistency.SINGLE, cb.Consistency.MULTI):
        assert connection.call_dag("level", {"incr": [1]}, consistency=level).get(LIMIT) == 2


def test_defects_of_the_original_are_not_repeated(connection):
    connection.register(lambda _: [1, 2], "listed")
    connection.register(lambda _: [], "nothing")
    connection.register(lambda _, *args: args, "shown")
    for name, expected in (("listed", ([1, 2],)), ("nothing", ([],))):
        connection.register_dag(f"{name}_dag", [name, "shown"], [(name, "shown")])
        assert connection.call_dag(f"{name}_dag", {name: []}, direct_response=True) == expected
    assert connection.get_function("shown")((1, 2)).get(LIMIT) == ((1, 2),)
    for value in ({1, 2}, b"", set(), b"\x80\x04N."):
        connection.put_object(f"compat/{value!r}", value)
        assert connection.get_object(f"compat/{value!r}") == value
    connection.register(lambda _: "old", "again")
    assert connection.get_function("again")().get(LIMIT) == "old"
    connection.register(lambda _: "new", "again")
    assert connection.get_function("again")().get(LIMIT) == "new"


def test_connecting_to_an_address_that_is_none_says_so():
    with pytest.raises(cb.errors.RuntimeUnavailable):
        CloudburstConnection("unix:/nowhere", "127.0.0.1")
    with pytest.raises(TypeError):
        CloudburstConnection(None, "127.0.0.1")
