"""What is public is documented, and each example in it does what it shows: against a real runtime.

Examples are written for a reader who has said ``import cloudburst_nb as cb`` and has a cloud function
``square``; they find just that, in a runtime of their own as soon as they need one.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import cloudburst_kernel
import cloudburst_nb
import cloudburst_nb as cb
import cloudburst_runtime
from cloudburst_nb import errors, runtimes
from cloudburst_nb.client import Client

HOLDERS = (
    cb.Client,
    cb.CloudClass,
    cb.CloudFunction,
    cb.CloudburstConnection,
    cb.CloudburstFuture,
    cb.Dag,
)
WITH_RUNTIME = {
    f"cloudburst_nb.{name}"
    for name in (
        "client",
        "compat",
        "errors",
        "function",
        "future",
        "lattices",
        "sessions",
        "module",
        "pipeline",
        "records.again",
        "records.recording",
        "plots.course",
        "plots.following",
        "plots.picking",
        "plots.over_time",
        "runtimes",
        "starting",
    )
}
INTERNAL = {
    "Client.register",
    "Client.define_dag",
    "Client.new_key",
    "CloudburstFuture.resolve",
    "CloudburstFuture.observe",
}
"""Methods without an underscore that other modules of this project need, and no user does."""

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public() -> dict[str, Any]:
    """Each public name, and each public method and property of the classes a user holds."""
    found = {name: getattr(cb, name) for name in cb.__all__}
    found |= {f"plots.{name}": getattr(cb.plots, name) for name in cb.plots.__all__}
    for holder in HOLDERS:
        for name, member in vars(holder).items():
            if (name == "__call__" or not name.startswith("_")) and _is_documented(member):
                found[f"{holder.__name__}.{name}"] = member
    return {name: each for name, each in sorted(found.items()) if name not in INTERNAL}


def _is_documented(member: object) -> bool:
    return inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)


PUBLIC = public()
EXAMPLES = list(
    {inspect.getdoc(each): name for name, each in {**PUBLIC, "cloudburst_nb": cb}.items()}.values()
)
"""Without those that stand in two places: the package's functions have the docstrings of the client's."""


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_has_a_docstring(name: str) -> None:
    documented = inspect.getdoc(PUBLIC[name])
    assert documented, f"{name} has no docstring"
    if not isinstance(PUBLIC[name], property):  # an attribute: its class has the example
        assert ">>> " in documented, f"{name} has no example"


@pytest.mark.parametrize("name", errors.__all__)
def test_each_error_says_when_it_is_raised(name: str) -> None:
    assert inspect.getdoc(getattr(errors, name))
    assert name in str(errors.__doc__), f"no example of {name}"


def test_time_outs_and_sizes_have_their_units() -> None:
    for name, each in PUBLIC.items():
        if isinstance(each, property | ModuleType) or not callable(each):
            continue
        documented = inspect.getdoc(each) or ""
        taken = documented.split("Examples\n---")[0]
        parameters = inspect.signature(each).parameters if not inspect.isclass(each) else {}
        assert "self" not in parameters or "." in name, f"{name}: a function of the package has no self"
        assert "timeout" not in parameters or "second" in taken.lower(), f"{name}: timeout in what?"
        assert "memory_limit" not in parameters or "Bytes" in taken, f"{name}: memory_limit in what?"


# ---------------------------------------------------------------- and the examples


@pytest.fixture
def fresh() -> Iterator[Callable[[], dict[str, Any]]]:
    """What an example finds; all runtimes that it starts are in a directory of their own, and gone after."""
    parent = tempfile.mkdtemp(prefix="cbx", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", parent)
        yield _names
        _forget()
        for runtime in runtimes.state.detached:
            runtime.stop()
        left = [entry for entry in os.walk(parent) if os.path.basename(entry[0]).startswith("r") or entry[2]]
        shutil.rmtree(parent)
    assert not left, f"runtimes are left: {left}"


def _names() -> dict[str, Any]:
    _forget()
    given: dict[str, Any] = {"__name__": "__main__", "cb": cb}
    exec("def square(x):\n    return x * x\n", given)
    given["square"] = cb.function(given["square"])
    return given


def _forget() -> None:
    cb.down()
    runtimes.state.known.clear()
    runtimes.state.pending.clear()
    runtimes.state.ended = ""


def _examples(each: object, name: str, names: dict[str, Any]) -> list[doctest.DocTest]:
    """The examples of one docstring; they may use what its module exports."""
    module = inspect.getmodule(getattr(each, "fget", each))
    exported = {key: getattr(module, key) for key in getattr(module, "__all__", ())}
    given = {**exported, "Consistency": cb.Consistency, "ErrorCode": cb.ErrorCode, **names}
    given["CloudburstReference"] = cb.CloudburstReference
    return doctest.DocTestFinder(recurse=False).find(each, name, globs=given)


@pytest.mark.processes
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, fresh: Callable[[], dict[str, Any]]) -> None:
    each = PUBLIC.get(name, cb)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in _examples(each, name, fresh()):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def modules() -> list[str]:
    """All modules whose examples need no runtime."""
    return sorted(
        module.name
        for package in (cloudburst_nb, cloudburst_runtime, cloudburst_kernel)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if module.name not in WITH_RUNTIME
    )


@pytest.mark.parametrize("name", modules())
def test_examples_that_need_no_runtime(name: str) -> None:
    module = importlib.import_module(name)
    assert not doctest.testmod(module, optionflags=OPTIONS).failed
    assert not cb.running()


def test_the_module_functions_are_the_client_s_methods() -> None:
    for name in ("get", "put", "gather", "dag", "status"):
        assert inspect.getdoc(getattr(cb, name)) == inspect.getdoc(getattr(Client, name))
