"""Contents and their differences: equal exactly for equal values, and readable where they are not."""

from __future__ import annotations

import collections
import datetime
import decimal
import math
import os
import subprocess
import sys
import threading
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_nb.content import content_of, pack_tree
from cloudburst_nb.display.preview import preview
from cloudburst_nb.records.difference import Tolerance, differences
from cloudburst_nb.records.showing import show
from cloudburst_runtime.values import decode, encode

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=40)
hashable = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6
)
values = st.recursive(
    scalars | st.frozensets(hashable, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.lists(st.floats(), max_size=4).map(np.array)
    ),
    max_leaves=12,
)


class Point:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


class Slotted:
    __slots__ = ("a",)


@given(values)
def test_a_value_that_travelled_has_the_content_that_it_had(value: Any) -> None:
    assert content_of(decode(encode(value))).digest == content_of(value).digest


@given(values, values)
def test_contents_differ_exactly_where_differences_are_found(one: Any, other: Any) -> None:
    trees = content_of(one), content_of(other)
    assert trees[0].digest == content_of(one).digest
    same = pack_tree(trees[0].tree) == pack_tree(trees[1].tree)
    found = list(differences(trees[0].tree, trees[1].tree))
    if same:
        assert not found
    for difference in found:
        assert difference.old != difference.new
        assert "\n" not in str(difference)


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_a_dict_is_no_content(made: dict[str, int]) -> None:
    assert content_of(made).digest == content_of(dict(reversed(made.items()))).digest


@given(values)
def test_a_content_reads_as_one_line_of_bounded_length(value: Any) -> None:
    text = show(content_of(value).tree)
    assert "\n" not in text
    assert len(text) <= 120


def test_the_hash_seed_is_no_content() -> None:
    """A pickle of a set of strings follows the hash seed; its content does not."""
    code = (
        "from cloudburst_nb.content import content_of\n"
        "print(content_of([{'alpha', 'beta', 'gamma', ('x', 1)}, {'k': frozenset('abc')}]).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ([1], (1,)),
        ({1}, frozenset({1})),
        (b"a", "a"),
        (np.int64(1), 1),
        (np.zeros(2), np.zeros((1, 2))),
        (np.zeros(2), np.zeros(2, "f4")),
        (Point(1, 2), Point(1, 3)),
        (2**80, 2**81),
        (ValueError("a"), ValueError("b")),
        (ValueError("a"), TypeError("a")),
        (decimal.Decimal("1.5"), decimal.Decimal("1.50")),
        (datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)),
        (collections.deque([1]), collections.deque([2])),
        (lambda x: x + 1, lambda x: x + 2),
        (bytes(2000), bytes(2001)),
    ],
)
def test_values_that_differ_have_different_contents(one: Any, other: Any) -> None:
    trees = content_of(one).tree, content_of(other).tree
    assert content_of(one).digest != content_of(other).digest
    found = list(differences(*trees))
    assert found
    assert all(difference.old != difference.new for difference in found)


def test_equal_objects_have_equal_contents() -> None:
    slotted = Slotted()
    slotted.a = 3
    for make in (
        lambda: Point(1, np.arange(2000)),
        lambda: collections.Counter("abca"),
        lambda: [math.nan, np.array([math.nan])],
        lambda: slotted,
        lambda: np.array([1, "a", None], dtype=object),
        lambda: np.arange(3, dtype=">i4"),
    ):
        assert content_of(make()).digest == content_of(make()).digest
    assert content_of(0.0).digest == content_of(-0.0).digest
    assert content_of(np.arange(3, dtype=">i4")).digest == content_of(np.arange(3, dtype="<i4")).digest


def test_what_cannot_be_looked_into_is_opaque_and_no_error() -> None:
    class Refuses:
        def __reduce_ex__(self, protocol: Any) -> Any:
            raise RuntimeError("no")

    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 0
    for _ in range(5000):
        deep = [deep]
    assert content_of(threading.Lock()).tree == ["opaque", "_thread.lock"]
    assert content_of(Refuses()).tree[0] == "opaque"
    assert content_of(endless).tree == ["list", [["cycle", 1]]]
    assert content_of(deep).digest == content_of(deep).digest


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (9, 27, "9 → 27"),
        (1, 1.0, "1 → 1.0"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "['a'][1]['b']: 2 → 3"),
        ([1, 2], [1, 2, 3], "[2]: nothing → 3"),
        ({"a": 1}, {"b": 1}, "['a']: 1 → nothing"),
        ({"x", "y"}, {"y", "z"}, "'x' → 'z'"),
        (Point(1, "a"), Point(1, "b"), ".y: 'a' → 'b'"),
        (np.zeros((2, 3)), np.eye(2, 3), "[0, 0]: 0.0 → 1.0 (2 of 6 elements differ, by at most 1)"),
        (np.zeros(2), np.zeros(3), "array of shape (2,), float64: 0.0, 0.0 → array of shape (3,), float64"),
        ("a\nlong text\n" * 20, "a\nlong test\n" * 20, "…'long text'… → …'long test'…"),
        (None, [1], "None → [1]"),
    ],
)
def test_a_difference_says_where_and_what(old: Any, new: Any, told: str) -> None:
    first = next(differences(content_of(old).tree, content_of(new).tree))
    assert str(first).startswith(told)


def test_long_arrays_are_compared_element_by_element_where_their_data_is_at_hand() -> None:
    old, new = np.zeros(10_000), np.zeros(10_000)
    new[77] = 2.5
    contents = content_of(old), content_of(new)
    blobs = contents[0].blobs.__getitem__, contents[1].blobs.__getitem__
    [difference] = differences(contents[0].tree, contents[1].tree, blobs=blobs)
    assert str(difference) == "[77]: 0.0 → 2.5 (1 of 10,000 elements differ, by at most 2.5)"
    [by_digest] = differences(contents[0].tree, contents[1].tree)
    assert by_digest.old != by_digest.new


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.floats(0, 0.01))
def test_numbers_within_the_tolerance_are_one(number: float, share: float) -> None:
    other = number * (1 + share)
    tolerance = Tolerance(relative=0.011)
    for made in (lambda x: x, lambda x: [x], np.float64, lambda x: np.array([x, 1.0])):
        assert not list(differences(content_of(made(number)).tree, content_of(made(other)).tree, tolerance))


def test_a_tolerance_does_not_forgive_more() -> None:
    tolerance = Tolerance(relative=0.1, absolute=0.5)
    assert not list(differences(1, 1.4, tolerance))
    assert list(differences(10, 12, tolerance))
    assert list(differences(["float", "nan"], 1.0, tolerance))
    assert list(differences(["float", "inf"], 1e300, tolerance))
    assert not list(differences(["float", "nan"], ["float", "nan"], tolerance))
    assert list(differences(True, 1.0, tolerance)), "a truth value is no number"
    old, new = np.array([1.0, np.nan, 3.0]), np.array([1.05, np.nan, 9.0])
    [difference] = differences(content_of(old).tree, content_of(new).tree, tolerance)
    assert difference.path == "[2]"
    assert "1 of 3" in difference.new


def test_a_numpy_that_another_thread_is_importing_is_none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    value = decimal.Decimal("1.5")
    expected, shown = content_of(value), preview(value)
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
    assert content_of(value) == expected
    assert preview(value) == shown
