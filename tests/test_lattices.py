"""Every lattice keeps the laws, crosses the wire unchanged, and means what ``lattice=`` says."""

from __future__ import annotations

from functools import reduce
from typing import get_args

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from cloudburst_runtime import lattices
from cloudburst_runtime.errors import LatticeMismatch, SerializationError
from cloudburst_runtime.lattices import (
    LWW,
    AnyLattice,
    Atomic,
    Bool,
    Causal,
    Counter,
    Custom,
    Grow,
    MapLattice,
    Max,
    Min,
    Mixed,
    OrderedSet,
    Priority,
    SetLattice,
    VectorClock,
    below,
    join,
    lub,
)
from cloudburst_runtime.lattices.causal import Context, Sibling
from cloudburst_runtime.lattices.laws import check_all, exact
from cloudburst_runtime.lattices.wrap import counts, delta, dotted, newest, one_of, reveal
from cloudburst_runtime.messages import Put, pack, unpack
from cloudburst_runtime.values import Value, canonical, encode

naturals = st.integers(0, 5) | st.sampled_from([0.5, 1.0, 2.0, 3.0])
numbers = naturals | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False).map(lambda x: x + 0.0)
names = st.sampled_from(["a", "b", "c"])
lww = st.builds(
    lambda stamp, writer, data: LWW(stamp, writer, Value(data, [memoryview(data * 2)] if data else [])),
    st.integers(0, 3),
    names,
    st.binary(max_size=2),
)
elements = st.lists(st.integers(0, 6) | st.text(max_size=2), max_size=5).map(
    lambda items: dict.fromkeys(map(canonical, items))
)
priorities = st.builds(
    lambda priority, stamp, writer, data: Priority(priority, stamp, writer, Value(data)),
    st.sampled_from([0, 1, 1.0, -2.5]),
    st.integers(0, 2),
    names,
    st.binary(max_size=1),
)


@st.composite
def causals(draw: st.DrawFn) -> Causal:
    """An element of any history: some dots were heard of, and of these some are siblings."""
    heard = draw(st.lists(st.tuples(names, st.integers(1, 4)), max_size=6, unique=True))
    dots = sorted(dot for dot in heard if draw(st.booleans()))
    context = Context(plain=draw(st.tuples(st.integers(0, 3), names)))
    for dot in heard:
        context = context.plus(*dot)
    plain = draw(st.none() | lww)
    if plain is not None and (plain.stamp, plain.writer) <= context.plain:
        plain = None
    siblings = [Sibling(writer, number, 7 * number, Value(b"%d" % number)) for writer, number in dots]
    return Causal(tuple(siblings), plain, context)


STRATEGIES: dict[str, st.SearchStrategy[AnyLattice]] = {
    "lww": lww,
    "causal": causals(),
    "atomic": st.builds(
        lambda plain, name: Atomic(plain.stamp, plain.writer, plain.value, name, ("k", name)), lww, names
    ),
    "custom": st.builds(Custom, st.just("mine"), causals()),
    "priority": priorities,
    "set": st.builds(SetLattice, elements),
    "ordered-set": st.builds(OrderedSet, elements),
    "max": st.builds(Max, numbers),
    "min": st.builds(Min, numbers),
    "bool": st.builds(Bool, st.booleans()),
    "grow": st.builds(Grow, st.dictionaries(names, naturals, max_size=3)),
    "counter": st.builds(Counter, st.dictionaries(names, st.tuples(naturals, naturals), max_size=3)),
    "clock": st.builds(VectorClock, st.dictionaries(names, st.integers(0, 4), max_size=3)),
}
"""A strategy for the elements of each lattice but maps: a new type needs one line here."""


@st.composite
def maps(draw: st.DrawFn, depth: int = 2) -> tuple[MapLattice, MapLattice, MapLattice]:
    """Three maps that agree on the type under each key, mostly."""
    triples = {}
    for key in draw(st.lists(st.integers(0, 3), max_size=3, unique=True)):
        if depth and draw(st.booleans()):
            triples[canonical(key)] = draw(maps(depth=depth - 1))
        else:
            kind = STRATEGIES[draw(st.sampled_from(list(STRATEGIES)))]
            triples[canonical(key)] = draw(st.tuples(kind, kind, kind))
    made = []
    for index in range(3):
        present = [key for key in triples if draw(st.booleans())]
        made.append(MapLattice({key: triples[key][index] for key in present}))
    return made[0], made[1], made[2]


anything = st.one_of(*STRATEGIES.values())
MIXED = {
    "mixed": st.lists(anything, min_size=2, max_size=3)
    .map(lambda some: reduce(lub, some))
    .filter(lambda element: isinstance(element, Mixed))
}
"""What elements of several types become where they meet."""

mixed = [lww | causals() | STRATEGIES["atomic"], lww | STRATEGIES["atomic"]]
TRIPLES = [st.tuples(kind, kind, kind) for kind in (*STRATEGIES.values(), *mixed)] + [
    maps(),
    st.tuples(MIXED["mixed"], MIXED["mixed"], MIXED["mixed"]),
    st.tuples(anything, anything, anything),
    st.tuples(*3 * [st.dictionaries(names.map(canonical), anything, max_size=2).map(MapLattice)]),
]
NAMES = [*STRATEGIES, "lww, atomic and causal", "lww and atomic", "map", "mixed", "any", "map of any"]


def test_every_lattice_is_checked() -> None:
    checked = {kind.__name__ for kind in get_args(AnyLattice)} - {"MapLattice", "Mixed"}
    assert {type(find(kind, lambda _: True)).__name__ for kind in STRATEGIES.values()} == checked


@pytest.mark.parametrize("triples", TRIPLES, ids=NAMES)
def test_laws(triples: st.SearchStrategy[tuple[AnyLattice, ...]]) -> None:
    @settings(max_examples=150, deadline=None)
    @given(triples)
    def holds(triple: tuple[AnyLattice, ...]) -> None:
        check_all(*triple)

    holds()


@pytest.mark.parametrize("triples", TRIPLES, ids=NAMES)
def test_wire(triples: st.SearchStrategy[tuple[AnyLattice, ...]]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(triples)
    def survives(triple: tuple[AnyLattice, ...]) -> None:
        put = unpack(pack(Put(1, "k", triple[0], 5)))
        assert isinstance(put, Put)
        assert type(put.lattice) is type(triple[0])
        assert exact(put.lattice) == exact(triple[0])
        assert put.generation == 5

    survives()


class Last(Max, tag="last", frozen=True, array_like=True):
    """Not a lattice: the right-hand side wins."""

    def merge(self, other: Max) -> Max:
        return other


class Hoarder(SetLattice, tag="hoarder", frozen=True, array_like=True):
    """Not a lattice: a merge changes its left-hand side."""

    def merge(self, other: SetLattice) -> SetLattice:
        self.elements.update(other.elements)
        return self


class Summing(Max, tag="summing", frozen=True, array_like=True):
    """Not a lattice: merging twice counts twice."""

    def merge(self, other: Max) -> Max:
        return Summing(self.value + other.value)


@pytest.mark.parametrize(
    ("three", "law"),
    [
        ([Last(1), Last(2), Last(3)], "commutativity"),
        ([Summing(1), Summing(2), Summing(3)], "idempotence|exactly if"),
        ([Hoarder({b"\1": None}), Hoarder({b"\2": None}), Hoarder({b"\3": None})], "leaves its inputs alone"),
    ],
)
def test_the_laws_can_fail(three: list[AnyLattice], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_all(*three)


def test_equal_numbers_of_two_types_merge_to_one() -> None:
    assert exact(Max(1).merge(Max(1.0))) == exact(Max(1.0).merge(Max(1)))
    assert not Max(1.0) <= Max(1)


def test_of_two_priorities_the_smaller_wins_and_of_equals_the_later() -> None:
    early, late = delta((1, "a"), "priority", "w", 1), delta((1.0, "b"), "priority", "w", 2)
    low = delta((7, "c"), "priority", "w", 9)
    assert reveal(join(join(low, late, "k"), early, "k")) == (1, "b")
    assert reveal(join(early, low, "k")) == (1, "a")


def test_mismatch_names_key_and_types() -> None:
    with pytest.raises(LatticeMismatch, match=r"key 'k' holds a 'max' lattice, and a 'counter'"):
        join(Max(1), Counter(), "k")
    left, right = delta({"a": 1}, "map[max]", "w", 1), delta({"a": 1}, "map[counter]", "w", 1)
    with pytest.raises(LatticeMismatch, match="'a' of the map under key 'k' holds a 'max'"):
        join(left, right, "k")
    assert not left <= right  # type: ignore[operator]


def test_mismatch_under_a_key_that_is_no_encoding() -> None:
    with pytest.raises(LatticeMismatch, match="xc1"):
        join(MapLattice({b"\xc1": Max(1)}), MapLattice({b"\xc1": Counter()}), "k")


def test_two_types_that_met_are_an_error_that_names_both_and_each_can_be_read() -> None:
    both = lub(lub(delta({1, 2}, None, "w", 1), Max(7)), delta({3}, None, "w", 2))
    told = r"key 'k' holds 'max' and 'set' lattices.*get\(key, lattice='max'\)"
    with pytest.raises(LatticeMismatch, match=told):
        reveal(both, key="k")
    with pytest.raises(LatticeMismatch, match=told):
        join(both, Max(9), "k")
    assert reveal(one_of(both, "set", "k")) == {1, 2, 3}
    assert reveal(one_of(both, "max", "k")) == 7
    with pytest.raises(LatticeMismatch, match="holds 'max' and 'set', and was to be read as 'lww'"):
        one_of(both, "lww", "k")


def test_two_types_that_met_inside_a_map_leave_the_rest_of_it_usable() -> None:
    left = delta({"a": 1, "b": 2}, "map[max]", "w", 1)
    both = lub(left, delta({"a": 5}, "map[min]", "w", 1))
    with pytest.raises(
        LatticeMismatch, match=r"'a' of the map under key 'k' holds 'max' and 'min'.*map\[max\]"
    ):
        reveal(both, key="k")
    assert reveal(one_of(both, "map[max]", "k")) == {"a": 1, "b": 2}
    assert reveal(one_of(both, "map[min]", "k")) == {"a": 5, "b": 2}
    with pytest.raises(LatticeMismatch, match="'a' of the map"):
        join(both, delta({"a": 3}, "map[max]", "w", 1), "k")
    assert reveal(one_of(join(both, delta({"b": 9}, "map[max]", "w", 1), "k"), "map[max]", "k"))["b"] == 9


def test_what_is_known_of_a_plain_write_is_known_of_two_types_that_met() -> None:
    both: AnyLattice = lub(LWW(5, "w", encode(1)), Max(7))
    assert newest(both) == 5
    assert below(LWW(4, "w", encode(0)), both)
    assert not below(LWW(6, "w", encode(0)), both)
    assert reveal(one_of(lub(both, dotted(delta(2, "causal", "w", 9), "w", 1, Context())), "lww", "k")) == 2


# ---------------------------------------------------------------- lattice=


@pytest.mark.parametrize(
    ("value", "name", "seen"),
    [
        ({1, "a"}, None, {1, "a"}),
        ([1, 2], None, [1, 2]),
        (frozenset({1}), None, frozenset({1})),
        ({"a": {1}, "b": 2}, None, {"a": {1}, "b": 2}),
        ({1}, "lww", {1}),
        ([1, 1, 2], "set", {1, 2}),
        (["b", 2, (1, "a"), "a", 2], "ordered-set", [2, "a", "b", (1, "a")]),
        ({None, True, 1.5, b"x", frozenset({2})}, "ordered-set", [None, True, 1.5, b"x", frozenset({2})]),
        (7, "max", 7),
        (-7.5, "min", -7.5),
        (np.True_, "bool", True),
        (3, "grow", 3),
        ({"a": 1}, "causal", {"a": 1}),
        ((2, ["x"]), "priority", (2, ["x"])),
        ([2.5, "x"], "priority", (2.5, "x")),
        ({"b": 2, "a": np.int64(1)}, "clock", {"a": 1, "b": 2}),
        ({"a": (1, {2})}, "map[priority]", {"a": (1, {2})}),
        ({"a": {"b": [3]}}, "map[map[ordered-set]]", {"a": {"b": [3]}}),
        (np.int32(7), "max", 7),
        (-2.5, "counter", -2.5),
        (np.float64(2.5), "counter", 2.5),
        ({"a": {1}, "b": [2]}, "map", {"a": {1}, "b": [2]}),
        ({"a": {1}}, "map[lww]", {"a": {1}}),
        ({(1, 2): [3, 3]}, "map[set]", {(1, 2): {3}}),
        ({1: 2, 3: -4}, "map[counter]", {1: 2, 3: -4}),
        ({}, "map[max]", {}),
        ({"x": {"y": 1}}, "map[map[counter]]", {"x": {"y": 1}}),
        ({"x": {"y": {1}}}, "map[map]", {"x": {"y": {1}}}),
    ],
)
def test_delta_reveals_what_was_put(value: object, name: str | None, seen: object) -> None:
    shown = reveal(delta(value, name, "w", 1))
    assert shown == seen
    assert type(shown) is type(seen)


def test_a_lattice_passes_through() -> None:
    made = Max(3)
    assert delta(made, "counter", "w", 1) is made
    assert reveal(delta({"n": made}, "map", "w", 1)) == {"n": 3}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lwww",
        "dsc",
        "MULTI",
        "map[]",
        "map[max",
        "map[max]]",
        "[max]",
        "Map",
        "map[" * 17 + "max" + "]" * 17,
    ],
)
def test_unknown_names_list_the_known(name: str) -> None:
    with pytest.raises(ValueError, match=r"none of lww, causal, set, ordered-set, max, min, .* map, "):
        delta(1, name, "w", 1)


@pytest.mark.parametrize(
    ("value", "name", "error", "text"),
    [
        ("abc", "set", TypeError, "set or list of elements, not str"),
        (5, "set", TypeError, "not int"),
        ("5", "max", TypeError, "takes an int or float, not str"),
        (True, "max", TypeError, "not bool"),
        (np.True_, "counter", TypeError, "not bool"),
        (np.array([1]), "counter", TypeError, "to add, an int or float, not ndarray"),
        ("x", "ordered-set", TypeError, "'ordered-set' takes a set or list of elements, not str"),
        ("x", "min", TypeError, "not str"),
        (1, "bool", TypeError, "True or False, not int: 1"),
        (-1, "grow", ValueError, "only goes up, and -1 is negative"),
        (True, "grow", TypeError, "not bool"),
        (float("inf"), "grow", ValueError, "finite"),
        (5, "priority", TypeError, r"a pair \(priority, value\), not int: 5"),
        ((1, 2, 3), "priority", TypeError, "pair"),
        (("high", 2), "priority", TypeError, "priority that is an int or float, not str"),
        ((float("nan"), 2), "priority", ValueError, "nan"),
        ([1], "clock", TypeError, "dict of counts by name, not list"),
        ({"a": 1.5}, "clock", TypeError, "whole numbers, not 'a': 1.5"),
        ({1: 1}, "clock", TypeError, "strings and whole numbers"),
        ({"a": -1}, "clock", ValueError, "from 0"),
        ([1], "map", TypeError, "takes a dict, not list"),
        ({"a": "x"}, "map[counter]", TypeError, "to add, an int or float, not str"),
        (float("nan"), "max", ValueError, "nan"),
        (float("inf"), "counter", ValueError, "finite"),
        (2**63, "counter", ValueError, "64 bits"),
        ({"a": 1}, "map[causal]", ValueError, "a map holds no causal values"),
        ({object()}, None, SerializationError, "object is none of them"),
        ({object(): 1}, "map", SerializationError, "object is none of them"),
    ],
)
def test_wrong_values_say_what_is_expected(
    value: object, name: str | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        delta(value, name, "w", 1)


def test_lattice_must_be_a_name() -> None:
    with pytest.raises(TypeError, match="takes a name"):
        delta(1, 5, "w", 1)  # type: ignore[arg-type]


def test_delta_of_a_set_is_in_canonical_order() -> None:
    made = delta({"b", "a", 3, None, 2.5}, None, "w", 1)
    assert isinstance(made, SetLattice)
    assert list(made.elements) == sorted(made.elements)


def test_newest_and_counts_look_into_maps() -> None:
    made = MapLattice({b"\1": MapLattice({b"\2": LWW(9, "w", encode(1))}), b"\3": Grow()})
    assert (newest(made), newest(Max(99)), newest(None)) == (9, 0, 0)
    assert newest(delta((1, "x"), "priority", "w", 5)) == 5
    assert counts(made)
    assert not counts(made.entries[b"\1"])


def test_revealed_arrays_are_read_only() -> None:
    array = np.arange(4096.0)
    shown = reveal(delta(array, None, "w", 1))
    with pytest.raises(ValueError, match="read-only"):
        shown[0] = 1


def test_the_package_names_its_lattices() -> None:
    assert {kind.__name__ for kind in get_args(AnyLattice)} <= set(lattices.__all__)


def test_a_large_set_knows_its_size_without_counting_it_again() -> None:
    large = SetLattice({b"%06d" % number: None for number in range(2_000)})
    more = SetLattice({b"000007": None, b"a": None})
    for merged in (large.merge(more), more.merge(large), unpack_lattice(large.merge(more))):
        assert merged.nbytes == 2_000 * 6 + 1
    assert large.nbytes == 2_000 * 6


def unpack_lattice(lattice: SetLattice) -> AnyLattice:
    put = unpack(pack(Put(1, "k", lattice)))
    assert isinstance(put, Put)
    return put.lattice
