"""What functions carry along: that it lives again elsewhere, what is missing, and what is to blame."""

from __future__ import annotations

import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloudburst_nb.capturing import survey
from cloudburst_nb.packaging import CapturedLargeValue, pack
from cloudburst_runtime.errors import SerializationError
from tests.packing import MODEL, Cloud, cell, elsewhere, forget_modules, refused


@pytest.fixture(autouse=True)
def by_value_modules() -> Iterator[None]:
    """Leave the modules that travel by value as they were."""
    yield
    forget_modules()


# ---------------------------------------------------------------- cloud functions inside cloud functions


def test_functions_of_one_cell_may_call_each_other(tmp_path: Path) -> None:
    names = cell(
        """
        def even(n): return True if n == 0 else odd(n - 1)
        def odd(n): return False if n == 0 else even(n - 1)
        """
    )
    even = names["even"]
    names.update(even=Cloud(names["even"]), odd=Cloud(names["odd"]))
    packed = pack(even)
    assert elsewhere(packed.spec.payload, "[f(10), f(7)]", tmp_path) == [True, False]
    assert (packed.missing, [found.name for found in packed.captured]) == ([], ["odd"])
    assert pack(names["odd"]).spec.name == "odd"
    assert elsewhere(pack(names["odd"]).spec.payload, "[f(10), f(7)]", tmp_path) == [False, True]


def test_a_cloud_function_may_call_itself(tmp_path: Path) -> None:
    names = cell("def fact(n): return 1 if n < 2 else n * fact(n - 1)")
    names["fact"] = Cloud(names["fact"])
    packed = pack(names["fact"])
    assert packed.missing == []
    assert elsewhere(packed.spec.payload, "f(5)", tmp_path) == 120


def test_a_captured_stateful_function_is_built_once_and_run(tmp_path: Path) -> None:
    names = cell(
        MODEL
        + """
    def serve(x): return model(x) + model(x), model.__class__.__name__
    """
    )
    names["model"] = Cloud(names["Model"], init=((10,), {"scale": 2}))
    assert elsewhere(pack(names["serve"]).spec.payload, "f(1)", tmp_path) == (24, "InPlace")


def test_a_cloud_function_without_its_code_is_refused() -> None:
    names = cell("def f(x): return g(x)", g=Cloud(None, "g"))
    with pytest.raises(SerializationError, match=r"function 'f' captures `g`: .*'g' was looked up by name"):
        pack(names["f"])
    with pytest.raises(SerializationError, match=r"'g' was looked up by name"):
        pack(names["g"])


def test_a_function_under_lru_cache_travels(tmp_path: Path) -> None:
    names = cell(
        """
        import functools
        @functools.lru_cache(maxsize=7)
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        def f(n): return fib(n), fib.cache_info().maxsize
        """
    )
    assert elsewhere(pack(names["f"]).spec.payload, "f(80)", tmp_path) == (23416728348467685, 7)
    assert elsewhere(pack(names["fib"]).spec.payload, "f(80)", tmp_path) == 23416728348467685


def test_forward_references_are_told() -> None:
    names = cell("def f(x):\n global made\n made = later(x)\n return [made, print, x.later2, undefined]")
    assert pack(names["f"]).missing == ["later", "undefined"]


def test_forward_references_of_helpers_and_methods_are_told() -> None:
    names = cell(
        "def helper(): return gone()\ndef f(): return helper()\nclass M:\n def run(self): return lost()"
    )
    assert pack(names["f"]).missing == ["gone"]
    assert pack(names["M"]).missing == ["lost"]


def test_a_name_that_still_means_the_version_before_counts_as_missing() -> None:
    text = "def fact(n): return n and n * fact(n - 1)"
    old = cell(text)["fact"]
    names = cell(text)
    new = names["fact"]
    names["fact"] = Cloud(old)
    assert pack(new).missing == ["fact"]
    names["fact"] = Cloud(new)
    assert pack(new).missing == []


# ---------------------------------------------------------------- what cannot travel


def test_a_captured_variable_that_cannot_travel_is_named() -> None:
    names = cell("def f(): return lock", lock=threading.Lock())
    assert refused(names["f"]) == (
        "function 'f' captures `lock`, of type _thread.lock, which cannot be sent to another process: "
        "create it inside the function"
    )


def test_the_part_that_cannot_travel_is_named() -> None:
    names = cell("def f(): return config", config={"a": [1, threading.Lock()]})
    assert "captures `config['a'][1]`, of type _thread.lock," in refused(names["f"])


def test_the_attribute_of_the_same_name_is_not_blamed() -> None:
    names = cell("def f(x): return x.lock, gen", lock=threading.Lock(), gen=(i for i in [1]))
    assert "captures `gen`, of type generator," in refused(names["f"])


def test_the_way_to_the_variable_is_told() -> None:
    names = cell("def g(): return lock\ndef f(): return h()", lock=threading.Lock())
    names["h"] = Cloud(names["g"], "h")
    assert "function 'f' captures `lock` (by way of `h`), of type _thread.lock" in refused(names["f"])


@pytest.mark.parametrize(
    ("text", "told"),
    [("def f(x=lock): ...", "function 'f' captures `x`, of type _thread.lock"),
     ("def f(*, x=lock): ...", "function 'f' captures `x`, of type _thread.lock"),
     ("def make(k):\n def f(): return k\n return f\nf = make(lock)", "function 'f' captures `k`"),
     ("class f:\n guard = lock\n def run(self): ...", "class 'f' captures `f.guard`, of type _thread.lock"),
     ("class f:\n @property\n def p(self): return lock\n def run(self): ...", "class 'f' captures `lock`"),
     ("import functools\nf = functools.partial(print, lock)", "function 'f' captures `args[0]`"),
     ("class C:\n def __call__(self): ...\nf = C()\nf.held = lock", "function 'f' captures `self.held`")],
)  # fmt: skip
def test_wherever_it_hides(text: str, told: str) -> None:
    assert told in refused(cell(text, lock=threading.Lock())["f"], name="f")


def test_an_init_argument_that_cannot_travel_is_named() -> None:
    text = refused(cell(MODEL)["Model"], init=((1,), {"scale": threading.Lock()}))
    assert text.startswith("class 'Model' is bound with `scale`, of type _thread.lock, which cannot")


def test_a_variable_nested_too_deeply_is_named() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    text = refused(cell("def f(): return deep", deep=deep)["f"])
    assert text.startswith("function 'f' captures `deep`, of type list, which is nested too deeply")
    while deep:  # taken apart by hand: the interpreter would recurse
        deep = deep.pop()


# ---------------------------------------------------------------- large variables


def test_a_large_variable_is_reported_with_its_size(tmp_path: Path) -> None:
    names = cell("def helper(): return table.sum()\ndef f(): return helper()", table=np.zeros(250_000))
    with pytest.warns(CapturedLargeValue) as caught:
        packed = pack(names["f"])
    assert [str(warning.message) for warning in caught] == [
        "function 'f' captures `table`, of type numpy.ndarray, 2.0 MB, which travels with every "
        "registration: put it in the store, cb.put('table', table), and pass cb.ref('table')"
    ]
    assert caught[0].filename == __file__
    assert [(found.name, found.nbytes > 2_000_000) for found in packed.captured] == [
        ("helper", False),
        ("table", True),
    ]


def test_a_small_variable_is_not_reported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = pack(cell("def f(): return table", table=np.zeros(1000))["f"])
    assert 8000 < packed.captured[0].nbytes < 9000


def test_a_survey_skips_what_is_imported_on_the_other_side() -> None:
    assert survey(textwrap.dedent) == ([], [])
