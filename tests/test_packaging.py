"""Packing: what a spec says of a function or class, and what can be one."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudburst_nb.packaging import pack
from cloudburst_runtime import messages
from cloudburst_runtime.errors import InvalidName
from tests.packing import MODEL, cell, elsewhere, forget_modules


@pytest.fixture(autouse=True)
def by_value_modules() -> Iterator[None]:
    """Leave the modules that travel by value as they were."""
    yield
    forget_modules()


# ---------------------------------------------------------------- what a spec says


def test_a_function_becomes_a_spec() -> None:
    names = cell(
        """
        offset = 2
        def shift(x, by=1):
            return x + by + offset
        """
    )
    packed = pack(names["shift"], retries=3, timeout=2.5, batching=True, gpu=True)
    spec = packed.spec
    assert (spec.name, spec.version, spec.kind, spec.library) == ("shift", 0, "function", False)
    assert (spec.retries, spec.timeout, spec.batching, spec.gpu) == (3, 2.5, True, True)
    assert spec.source == "def shift(x, by=1):\n    return x + by + offset\n"
    assert spec.signature == "(x, by=1)"
    assert packed.raw is names["shift"]
    assert [(found.name, found.type) for found in packed.captured] == [("offset", "int"), ("by", "int")]
    assert messages.unpack(messages.pack(messages.Register(1, spec))).function == spec


def test_a_function_runs_elsewhere_with_what_it_captured(tmp_path: Path) -> None:
    names = cell(
        """
        import math
        table = [1, 2, 3]
        def helper(x): return x * table[1]
        def make(k):
            def closure(x, *, more=10): return helper(x) + k + more + math.floor(2.5)
            return closure
        """
    )
    packed = pack(names["make"](100))
    assert elsewhere(packed.spec.payload, "f(3)", tmp_path) == 6 + 100 + 10 + 2
    assert [found.name for found in packed.captured] == ["k", "helper", "math", "more", "table"]
    assert packed.missing == []


def test_given_source_and_name_win() -> None:
    spec = pack(cell("def f(): return 1")["f"], "other", source="the text").spec
    assert (spec.name, spec.source) == ("other", "the text")


def test_no_source_is_no_error() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(x): return x", namespace)
    assert pack(namespace["f"]).spec.source == ""


def test_the_source_of_a_class_of_a_notebook_is_found() -> None:
    names = cell(
        """
        import functools
        class Other:
            def run(self): return 0
        @functools.total_ordering
        class Model:
            def __lt__(self, other): return False
            def run(self, x): return x
        """
    )
    source = pack(names["Model"]).spec.source
    assert source.startswith("@functools.total_ordering\nclass Model:")
    assert source.endswith("return x\n")


@pytest.mark.parametrize(
    ("text", "takes"),
    [("def f(cloudburst, key): ...", True), ("def f(key, cloudburst): ...", False), ("def f(): ...", False),
     ("def f(*, cloudburst): ...", False)],
)  # fmt: skip
def test_a_first_parameter_called_cloudburst_asks_for_the_library(text: str, takes: bool) -> None:
    assert pack(cell(text)["f"]).spec.library is takes


def test_the_library_is_no_part_of_the_signature() -> None:
    follow = cell("def follow(cloudburst, key, depth=2): ...")["follow"]
    assert pack(follow).spec.signature == "(key, depth=2)"
    assert pack(cell("def f(lib, x): ...")["f"], library=True).spec.signature == "(x)"
    assert pack(follow, library=False).spec.signature == "(cloudburst, key, depth=2)"


def test_a_forced_library_needs_a_parameter_to_go_to() -> None:
    with pytest.raises(TypeError, match=r"function 'f' takes no argument, and the first is the user library"):
        pack(cell("def f(): ...")["f"], library=True)


# ---------------------------------------------------------------- classes


def test_a_class_travels_with_its_init_arguments(tmp_path: Path) -> None:
    packed = pack(cell(MODEL)["Model"], init=((10,), {"scale": 3}))
    assert (packed.spec.kind, packed.spec.signature) == ("class", "(x)")
    assert packed.init == ((10,), {"scale": 3})
    assert elsewhere(packed.spec.payload, "f[0](*f[1], **f[2]).run(4)", tmp_path) == 22


@pytest.mark.parametrize(
    ("init", "run", "expected"),
    [("self", "self, x", (False, False)), ("self, cloudburst", "self, x", (False, True)),
     ("self", "self, cloudburst, x", (True, False)), ("self, cloudburst", "self, cloudburst", (True, True))],
)  # fmt: skip
def test_run_and_init_ask_for_the_library_each_for_itself(init: str, run: str, expected: Any) -> None:
    text = f"""
    class Model:
        def __init__({init}): ...
        def run({run}): ...
    """
    spec = pack(cell(text)["Model"]).spec
    assert (spec.library, spec.library_init) == expected
    assert "cloudburst" not in spec.signature


def test_the_originals_client_gives_both_the_library() -> None:
    spec = pack(
        cell("class M:\n def __init__(self, lib): ...\n def run(self, lib, x): ...")["M"], library=True
    ).spec
    assert (spec.library, spec.library_init, spec.signature) == (True, True, "(x)")
    bare = pack(cell("class M:\n def run(self, lib): ...")["M"], library=True).spec
    assert (bare.library, bare.library_init) == (True, False)


def test_init_arguments_must_fit() -> None:
    with pytest.raises(TypeError, match=r"class 'Model': __init__\(base, scale=1\) .*missing .*'base'"):
        pack(cell(MODEL)["Model"], init=((), {}))
    with pytest.raises(TypeError, match="function 'f' is not a class"):
        pack(cell("def f(): ...")["f"], init=((), {}))


def test_a_class_without_run_is_refused() -> None:
    with pytest.raises(TypeError, match="class 'Empty' has no method run"):
        pack(cell("class Empty: ...")["Empty"])


# ---------------------------------------------------------------- what can be a cloud function


def test_builtins_partials_methods_and_callable_objects(tmp_path: Path) -> None:
    names = cell(
        """
        class Adder:
            def __init__(self, k): self.k = k
            def __call__(self, x): return x + self.k
            def add(self, x): return x + 2 * self.k
        def scale(k, x): return k * x
        """
    )
    adder = names["Adder"](5)
    assert pack(math.sqrt).spec.name == "sqrt"
    assert elsewhere(pack(math.sqrt).spec.payload, "f(9)", tmp_path) == 3
    assert elsewhere(pack(functools.partial(names["scale"], 4)).spec.payload, "f(5)", tmp_path) == 20
    assert pack(functools.partial(names["scale"], 4)).spec.name == "scale"
    assert elsewhere(pack(adder, "adder").spec.payload, "f(1)", tmp_path) == 6
    assert elsewhere(pack(adder.add).spec.payload, "f(1)", tmp_path) == 11
    assert elsewhere(pack(lambda x: x + 1, "inc").spec.payload, "f(1)", tmp_path) == 2
    assert pack(np.sin).spec.name == "sin"


def test_async_functions_are_accepted(tmp_path: Path) -> None:
    payload = pack(cell("async def f(x): return x + 1")["f"]).spec.payload
    assert elsewhere(payload, "__import__('asyncio').run(f(1))", tmp_path) == 2


@pytest.mark.parametrize("text", ["def f(): yield 1", "async def f(): yield 1",
                                  "class f:\n def run(self): yield 1",
                                  "class C:\n def __call__(self): yield 1\nf = C()"])  # fmt: skip
def test_generators_are_refused(text: str) -> None:
    with pytest.raises(TypeError, match=r"is a generator.*return a list"):
        pack(cell(text)["f"], "f")


def test_what_is_not_callable_or_has_no_name_is_refused() -> None:
    with pytest.raises(TypeError, match="must be callable; int is not: 5"):
        pack(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be callable; int is not: 5"):
        pack(5, "five")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a lambda has no name of its own"):
        pack(lambda: 1)
    with pytest.raises(
        TypeError, match=r"type test_packaging\.\S*Silent has no name|Silent has no name of its own"
    ):
        pack(Silent())
    for name in ("", 3, "x" * 256):
        with pytest.raises(InvalidName):
            pack(len, name)  # type: ignore[arg-type]


class Silent:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [({"retries": -1}, ValueError, "retries must be from 0 to 1000000, not -1"),
     ({"retries": 1.5}, TypeError, "retries must be a whole number"),
     ({"retries": True}, TypeError, "retries must be a whole number"),
     ({"timeout": 0}, ValueError, "timeout is a number of seconds above 0"),
     ({"timeout": math.nan}, ValueError, "timeout is a number of seconds above 0"),
     ({"timeout": "1"}, TypeError, "timeout is a number of seconds"),
     ({"gpu": 1}, TypeError, "gpu must be True or False"),
     ({"batching": None}, TypeError, "batching must be True or False")],
)  # fmt: skip
def test_options_are_checked(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pack(len, **options)


# ---------------------------------------------------------------- the context


def test_the_context_is_one_object_while_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = pack(len).spec.context
    assert pack(abs).spec.context is first
    assert (first.cwd, first.environ["PATH"]) == (str(Path.cwd()), os.environ["PATH"])
    monkeypatch.setenv("SOME_SETTING", "1")
    monkeypatch.syspath_prepend("")
    monkeypatch.chdir(tmp_path)
    changed = pack(abs).spec.context
    assert (changed.cwd, changed.environ["SOME_SETTING"]) == (str(tmp_path), "1")
    assert changed.sys_path[0] == str(tmp_path)
    assert "SOME_SETTING" not in first.environ


def test_an_environment_that_is_no_text_does_not_stop_a_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "ODD", os.fsdecode(b"\xff"))
    spec = pack(len).spec
    assert "ODD" not in spec.context.environ
    assert messages.pack(messages.Register(1, spec))
