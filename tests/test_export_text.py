"""The text of an exported function does what the function does; what no text can say is kept, and said."""

from __future__ import annotations

import functools
import linecache
import math
import pickle
import re
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cloudburst_nb.export.text import FUTURE, LOADER, module_of
from cloudburst_nb.pickling import dump

CELL = '''
import math
from collections import Counter as Tally
import numpy as np

factor = 3
names = ["a", "b"]
weights = np.arange(3.0)


def helper(x):
    return factor * x


def plain(x, by=2):
    """Its words."""
    return math.sqrt(helper(x)) ** by


def tally(words):
    return Tally(words)["a"], names


def weigh(x: Undefined = 1) -> float:
    def inner(y):
        return float((weights * y).sum())
    return inner(x)


def by_default(x, scale=factor):
    return scale * x


class Base:
    def __init__(self, start):
        self.start = start

    def run(self, x):
        return self.start + helper(x)


class Derived(Base):
    pass


def make():
    amount = 5
    return lambda x: x + amount


closure = make()
short = lambda x: x + 1
cached = functools.lru_cache(helper)
'''


@pytest.fixture(scope="module")
def cell() -> dict[str, Any]:
    """What the cell defines, with the lines where `inspect` looks for them."""
    text = FUTURE + CELL
    linecache.cache["<a cell>"] = (len(text), None, text.splitlines(keepends=True), "<a cell>")
    names: dict[str, Any] = {"__name__": "__main__", "functools": functools}
    exec(compile(text, "<a cell>", "exec", dont_inherit=True), names)
    return names


def travelled(value: Any) -> Any:
    return pickle.loads(dump(value))


def made_of(text: str, kept: dict[str, object]) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "exported", LOADER: kept.__getitem__}
    exec(compile(text, "<exported>", "exec", dont_inherit=True), names)
    return names


def exported(raw: Any, source: str = "") -> tuple[Any, Any]:
    module = module_of(travelled(raw), source)
    names = made_of((FUTURE if module.future else "") + module.text, module.kept)
    return module, names[module.attribute]


@pytest.mark.parametrize(
    ("name", "arguments", "kept"),
    [
        ("plain", (4,), set()),
        ("tally", ("abac",), set()),
        ("weigh", (2,), {"weights"}),
        ("helper", (2,), set()),
        ("by_default", (2,), set()),
    ],
)
def test_the_text_does_what_the_function_does(
    cell: dict[str, Any], name: str, arguments: tuple[Any, ...], kept: set[str]
) -> None:
    module, function = exported(cell[name])
    assert function(*arguments) == cell[name](*arguments)
    if name != "by_default":  # whose default is a name that did not travel
        assert (module.reason, set(module.kept)) == ("", kept)
        assert f"def {name}(" in module.text


def test_a_default_that_names_something_keeps_the_function_whole(cell: dict[str, Any]) -> None:
    module, _ = exported(cell["by_default"])
    assert module.reason == "its text alone does not run: NameError: name 'factor' is not defined"


def test_a_class_comes_with_its_bases(cell: dict[str, Any]) -> None:
    module, made = exported(cell["Derived"], "class Derived(Base):\n    pass\n")
    assert module.text.index("class Base:") < module.text.index("class Derived(Base):")
    assert made(1).run(2) == 7
    assert not module.reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("closure", "it is a closure"),
        ("short", "its text is not one definition|not made by a def"),
        ("cached", "no function of the notebook but a _lru_cache_wrapper"),
    ],
)
def test_what_no_text_can_say_is_kept_with_the_reason(cell: dict[str, Any], name: str, reason: str) -> None:
    module, made = exported(cell[name])
    assert made(2) == cell[name](2)
    assert re.search(reason, module.reason)


@pytest.mark.parametrize("raw", [math.sqrt, Counter, np.linalg.norm, sum])
def test_what_is_installed_is_imported(raw: Callable[..., Any]) -> None:
    module, made = exported(raw)
    assert made is raw
    assert module.text.startswith(("from ", "import "))


def test_a_text_that_says_something_else_is_not_believed(cell: dict[str, Any]) -> None:
    module = module_of(travelled(cell["helper"]), "def helper(x):\n    return factor + x\n")
    assert module.reason == "helper has been made otherwise than its text says"
    assert isinstance(module.kept["helper"], types.FunctionType)
