"""The original's client, over a native client that runs functions on the spot."""

from __future__ import annotations

import inspect
import pickle
import sys
import types
from typing import Any

import pytest

from cloudburst_nb import compat
from cloudburst_nb.compat import CloudburstConnection, CloudburstReference, Consistency, ErrorCode
from cloudburst_nb.packaging import Packed
from cloudburst_runtime.errors import (
    ConsistencyError,
    DagExists,
    DagNotFound,
    FunctionNotFound,
    InvalidDag,
    InvalidName,
    KeyNotFound,
    NoResources,
)
from cloudburst_runtime.messages import DagSpec


class FakeFuture:
    def __init__(self, client: FakeClient, key: str | None, outcome: Any) -> None:
        self.client, self.key, self.outcome = client, key, outcome

    @property
    def obj_id(self) -> str | None:
        return self.key

    def get(self, timeout: float | None = None) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class FakeFunction:
    def __init__(self, packed: Packed, version: int) -> None:
        self.name, self.version = packed.spec.name, version
        self.packed = packed
        self.__cloudburst_raw__ = packed.raw


class FakeClient:
    """Functions get this object as their library; a DAG runs its nodes in the order of definition."""

    def __init__(self) -> None:
        self.registered: dict[str, FakeFunction] = {}
        self.defined: dict[str, DagSpec] = {}
        self.store: dict[str, Any] = {}
        self.calls: list[dict[str, Any]] = []
        self.keys = 0

    def register(self, packed: Packed) -> FakeFunction:
        version = self.registered[packed.spec.name].version + 1 if packed.spec.name in self.registered else 1
        self.registered[packed.spec.name] = FakeFunction(packed, version)
        return self.registered[packed.spec.name]

    def get_function(self, name: str) -> FakeFunction:
        if name not in self.registered:
            raise FunctionNotFound(name)
        return self.registered[name]

    def functions(self, prefix: str = "") -> list[str]:
        return sorted(name for name in self.registered if name.startswith(prefix))

    def dags(self) -> list[str]:
        return sorted(self.defined)

    def define_dag(self, spec: DagSpec, replace: bool = True) -> None:
        if spec.name in self.defined and not replace:
            raise DagExists(spec.name)
        if any(node.gpu for node in spec.nodes):
            raise NoResources("no GPU")
        self.defined[spec.name] = spec

    def delete_dag(self, name: str) -> None:
        if name not in self.defined:
            raise DagNotFound(name)
        del self.defined[name]

    def get(self, key: str) -> Any:
        if key not in self.store:
            raise KeyNotFound(key)
        return self.store[key]

    def put(self, key: str, value: object, lattice: str | None = None) -> None:
        self.store[key] = value

    def new_key(self) -> str:
        self.keys += 1
        return f"k{self.keys}"

    def call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        kind: str = "function",
        **options: Any,
    ) -> FakeFuture:
        self.calls.append({"name": name, "kind": kind, **options})
        try:
            outcome = (
                self.run(name, args, kwargs)
                if kind == "function"
                else self.run_dag(name, options["node_args"])
            )
        except (FunctionNotFound, DagNotFound):
            raise
        except Exception as error:
            outcome = error
        if options.get("output_key") is not None:
            self.store[options["output_key"]] = outcome
        return FakeFuture(self, options.get("output_key"), outcome)

    def run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        packed = self.get_function(name).packed
        given = [self.store[arg.key] if isinstance(arg, CloudburstReference) else arg for arg in args]
        target = pickle.loads(packed.spec.payload)
        if packed.spec.kind == "class":
            cls, init_args, init_kwargs = target
            target = cls(*[self] * packed.spec.library_init, *init_args, **init_kwargs).run
        return target(*[self] * packed.spec.library, *given, **kwargs)

    def run_dag(self, name: str, node_args: dict[str, list[Any]]) -> Any:
        if name not in self.defined:
            raise DagNotFound(name)
        spec, results = self.defined[name], []
        for number, node in enumerate(spec.nodes):
            inputs = [results[source] for source, target in spec.edges if target == number]
            results.append(self.run(node.function, (*node_args.get(node.function, []), *inputs), {}))
        return results[-1]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    module = types.ModuleType("cloudburst_nb.starting")
    module.addresses = []  # type: ignore[attr-defined]
    module.embedded = lambda: fake  # type: ignore[attr-defined]
    module.connect = lambda address: module.addresses.append(address) or fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cloudburst_nb.starting", module)
    return fake


@pytest.fixture
def cloudburst(client: FakeClient) -> CloudburstConnection:
    connection = CloudburstConnection("127.0.0.1", "127.0.0.1", local=True)
    connection.register(lambda library, x: x + 1, "increment")
    connection.register(lambda library, x: x * x, "square")
    return connection


def addresses() -> list[str]:
    found: list[str] = sys.modules["cloudburst_nb.starting"].addresses  # type: ignore[attr-defined]
    return found


def test_where_a_connection_goes(client: FakeClient) -> None:
    CloudburstConnection()
    CloudburstConnection("localhost", "10.0.0.2", tid=3)
    CloudburstConnection("10.0.0.1", "10.0.0.2", local=True)
    assert addresses() == []
    CloudburstConnection("10.0.0.1", "10.0.0.2")
    assert addresses() == ["10.0.0.1"]
    with pytest.raises(TypeError, match="func_addr must be the address"):
        CloudburstConnection(None)  # type: ignore[arg-type]


def test_the_signatures_are_the_originals() -> None:
    def names(method: Any) -> str:
        return " ".join(name for name in inspect.signature(method).parameters if name != "self")

    assert names(CloudburstConnection) == "func_addr ip tid local"
    assert names(CloudburstConnection.register_dag) == (
        "name functions connections gpu_functions batching_functions colocated"
    )
    assert names(CloudburstConnection.call_dag) == (
        "dname arg_map direct_response consistency output_key client_id dry_run continuation"
    )
    assert names(CloudburstReference) == "key deserialize"


def test_the_readmes_example(cloudburst: CloudburstConnection, client: FakeClient) -> None:
    increment, square = cloudburst.get_function("increment"), cloudburst.get_function("square")
    assert increment is not None
    assert square is not None
    future = square(increment(1).get())
    assert future.get() == 4
    assert cloudburst.get_object(future.obj_id) == 4
    assert cloudburst.register_dag("dag", ["increment", "square"], [("increment", "square")]) == (True, 0)
    assert cloudburst.call_dag("dag", {"increment": 1}, True) == 4


def test_a_class_is_built_with_the_library_and_its_arguments(cloudburst: CloudburstConnection) -> None:
    class Store:
        def __init__(self, library: Any, base: int) -> None:
            self.base = base

        def run(self, library: Any, key: str) -> Any:
            library.put(key, self.base)
            return library.get(key)

    assert cloudburst.register((Store, (5,)), "store")("x").get() == 5
    assert cloudburst.register((Store, [6]), "store")("x").get() == 6
    assert cloudburst.register((Store, 7), "store")("x").get() == 7
    with pytest.raises(TypeError, match=r"a pair \(Class, init_args\)"):
        cloudburst.register((len, 1), "len")
    with pytest.raises(TypeError, match="__init__"):
        cloudburst.register((Store, ()), "store")


def test_names_are_checked(cloudburst: CloudburstConnection) -> None:
    for name in ("", None):
        with pytest.raises(InvalidName):
            cloudburst.register(lambda library: 1, name)  # type: ignore[arg-type]


def test_get_function_prints_a_hint(
    cloudburst: CloudburstConnection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloudburst.get_function("nothing") is None
    assert "No function named 'nothing'" in capsys.readouterr().out


def test_list_prints_and_returns(
    cloudburst: CloudburstConnection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloudburst.list() == ["increment", "square"]
    assert capsys.readouterr().out == "increment\nsquare\n"
    assert cloudburst.list("sq") == ["square"]
    assert capsys.readouterr().out == "square\n"


def test_exec_func_returns_the_key(cloudburst: CloudburstConnection) -> None:
    for args in ([3], (3,), 3):
        assert cloudburst.get_object(cloudburst.exec_func("square", args)) == 9
    with pytest.raises(FunctionNotFound):
        cloudburst.exec_func("nothing", [])


def test_a_reference_is_passed_on(cloudburst: CloudburstConnection) -> None:
    assert cloudburst.put_object("four", 4) is True
    square = cloudburst.get_function("square")
    assert square is not None
    assert square(CloudburstReference("four", True)).get() == 16
    assert CloudburstReference("four") == CloudburstReference("four", False) != CloudburstReference("five")
    assert len({CloudburstReference("four"), CloudburstReference("four")}) == 1
    with pytest.raises(InvalidName):
        CloudburstReference("")


def test_an_error_raises(cloudburst: CloudburstConnection) -> None:
    failing = cloudburst.register(lambda library: 1 / 0, "failing")
    with pytest.raises(ZeroDivisionError):
        failing().get()
    cloudburst.register_dag("fails", ["failing"], [])
    with pytest.raises(ZeroDivisionError):
        cloudburst.call_dag("fails", {}, direct_response=True)
    with pytest.raises(KeyNotFound):
        cloudburst.get_object("nothing")


def test_a_dag_is_registered_once(cloudburst: CloudburstConnection, client: FakeClient) -> None:
    functions: list[Any] = ["increment", ("square", [None])]
    first = cloudburst.register_dag(
        "dag", functions, [("increment", "square")], batching_functions=["square"], colocated=["increment"]
    )
    assert first == (True, ErrorCode.NO_ERROR)
    node = client.defined["dag"].nodes[1]
    assert (node.batching, len(node.invalid or [])) == (True, 1)
    assert client.defined["dag"].colocated == ["increment"]
    assert cloudburst.register_dag("dag", functions, []) == (False, ErrorCode.DAG_ALREADY_EXISTS)
    assert cloudburst.register_dag("gpu", ["square"], [], ["square"]) == (False, ErrorCode.NO_RESOURCES)
    with pytest.raises(RuntimeError, match="DAG 'x' needs a function 'nothing', which is not registered"):
        cloudburst.register_dag("x", ["nothing"], [])
    with pytest.raises(InvalidDag):
        cloudburst.register_dag("x", ["square"], [("square", "nothing")])


def test_a_dag_is_deleted(cloudburst: CloudburstConnection) -> None:
    cloudburst.register_dag("dag", ["square"], [])
    assert cloudburst.delete_dag("dag") == (True, ErrorCode.NO_ERROR)
    assert cloudburst.delete_dag("dag") == (False, ErrorCode.NO_SUCH_DAG)
    assert cloudburst.register_dag("dag", ["square"], []) == (True, ErrorCode.NO_ERROR)


@pytest.mark.parametrize(
    ("given", "expected"),
    [([3], [3]), (3, [3]), ((3, 4), [(3, 4)]), ([[3]], [[3]]), ([], []), (None, [None])],
)
def test_arguments_are_a_list_or_one_bare_value(
    cloudburst: CloudburstConnection, client: FakeClient, given: Any, expected: list[Any]
) -> None:
    cloudburst.register(lambda library, *args: list(args), "echo")
    cloudburst.register_dag("dag", ["echo"], [])
    assert cloudburst.call_dag("dag", {"echo": given}, direct_response=True) == expected


def test_a_result_is_stored_unless_it_is_asked_for_directly(
    cloudburst: CloudburstConnection, client: FakeClient
) -> None:
    cloudburst.register_dag("dag", ["square"], [])
    future = cloudburst.call_dag("dag", {"square": [3]})
    assert (future.obj_id, cloudburst.get_object(future.obj_id), future.get()) == ("k1", 9, 9)
    assert cloudburst.call_dag("dag", {"square": [4]}, output_key="mine").obj_id == "mine"
    assert cloudburst.get_object("mine") == 16
    assert cloudburst.call_dag("dag", {"square": [5]}, direct_response=True) == 25
    assert client.calls[-1]["output_key"] is None


def test_options_reach_the_native_client(cloudburst: CloudburstConnection, client: FakeClient) -> None:
    cloudburst.register_dag("dag", ["square"], [])
    cloudburst.call_dag(
        "dag", {"square": 3}, consistency=Consistency.MULTI, continuation="next", client_id="me"
    )
    assert client.calls[-1] == {
        "name": "dag", "kind": "dag", "node_args": {"square": [3]}, "consistency": Consistency.DSC,
        "output_key": "k1", "continuation": "next",
    }  # fmt: skip
    cloudburst.call_dag("dag", {"square": 3})
    assert client.calls[-1]["consistency"] is Consistency.LWW


def test_wrong_calls_are_refused(cloudburst: CloudburstConnection) -> None:
    cloudburst.register_dag("dag", ["square"], [])
    with pytest.raises(InvalidDag, match="DAG 'dag' has no function 'increment'; it has square"):
        cloudburst.call_dag("dag", {"increment": 1})
    with pytest.raises(TypeError, match="arg_map must be a dict"):
        cloudburst.call_dag("dag", [1])  # type: ignore[arg-type]
    with pytest.raises(ConsistencyError):
        cloudburst.call_dag("dag", {}, consistency="strong")
    with pytest.raises(InvalidName):
        cloudburst.call_dag("dag", {}, output_key="")
    with pytest.raises(DagNotFound):
        cloudburst.call_dag("nothing", {})


def test_a_dry_run_checks_and_runs_nothing(cloudburst: CloudburstConnection, client: FakeClient) -> None:
    cloudburst.register_dag("dag", ["square"], [])
    assert cloudburst.call_dag("dag", {"square": 1}, dry_run=True) is None
    assert client.calls == []
    with pytest.raises(DagNotFound, match="no DAG named 'nothing'"):
        cloudburst.call_dag("nothing", {}, dry_run=True)
    with pytest.raises(DagNotFound, match="no DAG named 'next'"):
        cloudburst.call_dag("dag", {}, dry_run=True, continuation="next")


def test_a_handle_inside_a_function_runs_in_place(
    cloudburst: CloudburstConnection, client: FakeClient
) -> None:
    square = cloudburst.get_function("square")
    assert square is not None
    both = cloudburst.register(lambda library, x: square(library, x) + 1, "both")
    assert both(3).get() == 10
    assert [call["name"] for call in client.calls] == ["both"]
    assert repr(square >> both) == "square >> both"
    assert repr(both) == "<CloudburstFunction 'both'>"


def test_the_future_is_the_native_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("cloudburst_nb.future")
    module.CloudburstFuture = FakeFuture  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cloudburst_nb.future", module)
    assert compat.CloudburstFuture is FakeFuture
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = compat.Nothing
