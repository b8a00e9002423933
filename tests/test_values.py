"""Values survive their encoding; canonical bytes are equal exactly if the values are."""

from __future__ import annotations

import enum
import math
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_runtime.errors import SerializationError
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.messages import Put, pack, unpack
from cloudburst_runtime.values import (
    BY_VALUE,
    OUT_OF_BAND_BYTES_MIN,
    canonical,
    decode,
    encode,
    encode_call,
    explain,
    from_canonical,
)

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
comparable = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=8,
)


def same(left: object, right: object) -> bool:
    """Equal and of one type, all the way down; all nans are one."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)  # type: ignore[arg-type]
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))  # type: ignore[arg-type]
    if isinstance(left, frozenset):
        unmatched = list(right)  # type: ignore[call-overload]
        for part in left:
            found = [other for other in unmatched if same(part, other)]
            if not found:
                return False
            unmatched.remove(found[0])
        return not unmatched
    return left == right


# ---------------------------------------------------------------- canonical bytes


@settings(deadline=None)
@given(comparable.filter(lambda value: "nan" not in repr(value)))
def test_canonical_round_trip(value: object) -> None:
    assert same(from_canonical(canonical(value)), value)


@settings(deadline=None)
@given(comparable, comparable)
def test_canonical_bytes_are_equal_exactly_if_the_values_are(left: object, right: object) -> None:
    if "nan" not in repr((left, right)):
        assert (canonical(left) == canonical(right)) is same(left, right)


def test_one_true_and_one_point_zero_are_three() -> None:
    assert len({canonical(1), canonical(True), canonical(1.0)}) == 3
    assert len({canonical((1,)), canonical((True,)), canonical((1.0,))}) == 3
    assert len({canonical("a"), canonical(b"a"), canonical(("a",)), canonical(frozenset({"a"}))}) == 4


def test_one_zero_and_one_nan() -> None:
    assert canonical(-0.0) == canonical(0.0)
    assert canonical((-0.0,)) == canonical((0.0,))
    assert canonical(-math.nan) == canonical(math.nan) == canonical(np.float32("nan"))
    assert math.isnan(from_canonical(canonical(math.nan)))


@pytest.mark.parametrize("value", [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64])
def test_integers_over_64_bits(value: int) -> None:
    assert from_canonical(canonical(value)) == value


def test_integers_of_many_digits() -> None:
    assert from_canonical(canonical(-(10**5000))) == -(10**5000)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.array(7), 7),
        (np.str_("a"), "a"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
    ],
)
def test_scalars_and_subclasses_are_what_they_hold(value: object, held: object) -> None:
    assert canonical(value) == canonical(held)


@pytest.mark.parametrize("value", [[1], {1}, {"a": 1}, object(), 1j, np.longdouble(1), np.array([1]), ([],)])
def test_what_cannot_be_compared_is_refused(value: object) -> None:
    with pytest.raises(SerializationError, match="is none of them"):
        canonical(value)


def test_strings_that_are_no_unicode_and_deep_nesting_are_refused() -> None:
    with pytest.raises(SerializationError, match="valid Unicode"):
        canonical("\ud800")
    deep: object = 1
    for _ in range(100_000):
        deep = (deep,)
    with pytest.raises(SerializationError, match="nested too deeply"):
        canonical(deep)


@settings(deadline=None)
@given(st.binary(max_size=12))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        value = from_canonical(data)
    except SerializationError:
        return
    hash(value)


def test_canonical_bytes_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from cloudburst_runtime.values import canonical;"
        "print(canonical(frozenset({'a', 'b', 'c', ('d', frozenset({'e', 'f'}))})).hex())"
    )
    path = ":".join(sys.path)
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


# ---------------------------------------------------------------- encode and decode


@pytest.mark.parametrize("value", [None, b"", set(), (), [[1, "a"], {"k": 2.5}], "__main__", range(3)])
def test_round_trip(value: object) -> None:
    assert decode(encode(value)) == value


@given(st.lists(plain), st.dictionaries(st.sampled_from("ab"), plain))
def test_arguments_are_encoded_as_one_value(args: list[object], kwargs: dict[str, object]) -> None:
    assert encode_call(tuple(args), kwargs) == encode((tuple(args), kwargs))


ARRAYS = {
    "small": np.arange(3),
    "large": np.arange(10_000.0),
    "matrix": np.arange(10_000).reshape(100, 100),
    "fortran": np.asfortranarray(np.arange(10_000).reshape(100, 100)),
    "strided": np.arange(20_000)[::2],
    "column": np.arange(10_000).reshape(100, 100)[:, 1],
    "empty": np.empty((0, 3)),
    "structured": np.zeros(2000, dtype=[("a", "i4"), ("b", "f8")]),
    "text": np.array(["a", "bc"]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_over_the_wire(name: str) -> None:
    array = ARRAYS[name]
    put = unpack(pack(Put(1, "k", LWW(1, "w", encode(array)))))
    back = decode(put.lattice.value)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


def test_large_arrays_travel_beside_the_pickle() -> None:
    value = encode({"a": ARRAYS["large"], "b": ARRAYS["small"]})
    assert len(value.data) < OUT_OF_BAND_BYTES_MIN
    assert [buffer.nbytes for buffer in value.buffers] == [80_000]
    assert value.nbytes == len(value.data) + 80_000


def test_frozen_values_decode_to_read_only_arrays() -> None:
    array = decode(encode(np.zeros(4096)).frozen())
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def main_class(source: str, name: str) -> type:
    """A class as a notebook cell makes it: in ``__main__``, findable there by name."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(source, namespace)
    kind = namespace[name]
    assert isinstance(kind, type)
    return kind


POINT = """
class Point:
    def __init__(self, x): self.x = x
    def twice(self): return 2 * self.x
"""


def test_classes_of_main_travel_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = main_class(POINT, "Point")
    monkeypatch.setattr(sys.modules["__main__"], "Point", kind, raising=False)
    data = pack(Put(1, "k", LWW(1, "w", encode(kind(21)))))
    code = (
        "import sys; from cloudburst_runtime.messages import unpack;"
        "from cloudburst_runtime.values import decode;"
        "print(decode(unpack(sys.stdin.buffer.read()).lattice.value).twice())"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], input=data, env=path, capture_output=True, check=True)
    assert done.stdout == b"42\n"


def test_modules_beside_the_notebook_travel_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("beside_the_notebook")
    exec("def triple(x): return 3 * x", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    BY_VALUE.set([module])
    try:
        value = encode(module.triple)
    finally:
        BY_VALUE.set([])
    monkeypatch.delitem(sys.modules, module.__name__)
    assert decode(value)(5) == 15


def test_lambdas_and_closures_travel() -> None:
    base = 10
    assert decode(encode(lambda x: x + base))(1) == 11


def test_what_cannot_travel_says_so() -> None:
    with pytest.raises(SerializationError, match=r"dict cannot be sent to another process"):
        encode({"lock": threading.Lock()})
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError, match="nested too deeply"):
        encode(nested)


LOCK = threading.Lock()


def uses_global() -> object:
    return [LOCK for _ in range(1)]


class Holder:
    def __init__(self) -> None:
        self.fine = 1
        self.handle = threading.Lock()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": 1, "b": [0, threading.Lock()]}, r"arg\['b'\]\[1\], of type _thread.lock"),
        (Holder(), r"arg\.handle, of type _thread.lock"),
        ((1, {2}, threading.Lock()), r"arg\[2\], of type _thread.lock"),
        (threading.Lock(), r"arg, of type _thread.lock"),
    ],
)
def test_explain_names_the_culprit(value: object, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(explain(value, "arg"))


def test_explain_looks_into_functions() -> None:
    lock = threading.Lock()

    def closes_over() -> object:
        return lock

    assert explain(closes_over, "f") == "lock, of type _thread.lock"
    by_value = types.FunctionType(uses_global.__code__, {"__name__": "__main__", "LOCK": LOCK}, "uses_global")
    by_value.__module__ = "__main__"
    assert explain(by_value, "f") == "LOCK, of type _thread.lock"


def test_code_keeps_the_file_that_it_came_from() -> None:
    def outer() -> object:
        return lambda: 0

    copy = decode(encode(outer))
    assert copy.__code__.co_filename == copy().__code__.co_filename == __file__
