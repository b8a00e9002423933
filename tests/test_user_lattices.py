"""Lattices of users: what may be one, and what the law check finds."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudburst_nb as cb
from cloudburst_nb.errors import InvalidName, LatticeMismatch, SerializationError
from cloudburst_runtime.lattices import Custom, Max, join
from cloudburst_runtime.lattices.causal import EMPTY, Context
from cloudburst_runtime.lattices.custom import PARTS_MAX
from cloudburst_runtime.lattices.laws import exact
from cloudburst_runtime.lattices.puts import added, element, grown
from cloudburst_runtime.lattices.wrap import delta, dotted, is_causal_draft, reveal
from cloudburst_runtime.messages import Gossip, Heard, Put
from tests.test_anna_store import Bench, sent


@cb.lattice
@dataclass(frozen=True)
class Longest:
    text: str

    def merge(self, other: Longest) -> Longest:
        return max(self, other, key=lambda one: (len(one.text), one.text))


@cb.lattice(name="other")
class Other:
    def merge(self, other: Other) -> Other:
        return self


def part(value: object, writer: str) -> Custom:
    made = dotted(delta(value, None, writer, 1), writer, 1, EMPTY)
    assert isinstance(made, Custom)
    return made


def test_parts_stay_side_by_side_in_the_store_and_are_merged_by_the_reader():
    both = join(part(Longest("lattice"), "e1"), part(Longest("law"), "e2"), "k")
    assert len(both.parts.siblings) == 2
    assert reveal(both) == Longest("lattice")


def test_what_is_put_is_merged_with_what_was_found():
    found = part(Longest("lattice"), "e1")
    assert grown("k", Longest("law"), found) == (Longest("lattice"), False)
    assert grown("k", Longest("law"), None) == (Longest("law"), False)
    assert grown("k", Other(), found).value.__class__ is Other


@cb.lattice
class Words:
    """Says what is new."""

    def __init__(self, *words: str) -> None:
        self.words = frozenset(words)

    def __repr__(self) -> str:
        return f"Words({', '.join(sorted(self.words))})"

    def merge(self, other: Words) -> Words:
        return type(self)(*self.words, *other.words)

    def delta(self, since: Words) -> Words:
        return type(self)(*(self.words - since.words))


def put(found: Custom | None, value: Words, number: int, seen: Context) -> Custom:
    """What is there after a put by one writer."""
    made, adds = grown("k", value, found)
    draft = delta(made, None, "e1", number)
    written = dotted(added(draft) if adds else draft, "e1", number, seen)
    assert isinstance(written, Custom)
    return written if found is None else join(found, written, "k")


def test_of_a_lattice_with_a_delta_what_is_new_is_put_beside_the_rest():
    found = part(Words("a", "b"), "e1")
    made, adds = grown("k", Words("b", "c"), found)
    assert (made.words, adds) == ({"c"}, True)
    after = put(found, Words("b", "c"), 2, found.parts.seen)
    assert len(after.parts.siblings) == 2
    assert reveal(after).words == {"a", "b", "c"}


@given(st.lists(st.sets(st.sampled_from("abcdefgh")), min_size=1, max_size=60))
def test_however_many_are_put_their_join_is_there_in_a_few_parts(puts):
    found = None
    for number, words in enumerate(puts, start=1):
        found = put(found, Words(*words), number, EMPTY if found is None else found.parts.seen)
        assert reveal(found).words == set().union(*puts[:number])
        assert len(found.parts.siblings) <= PARTS_MAX


def test_a_part_that_is_added_replaces_nothing_that_was_written_meanwhile():
    found = part(Words("a"), "e1")
    mine, theirs = (
        dotted(added(delta(Words(word), None, name, 2)), name, 2, found.parts.seen)
        for name, word in (("e1", "b"), ("e2", "c"))
    )
    assert reveal(join(join(found, mine, "k"), theirs, "k")).words == {"a", "b", "c"}
    assert exact(join(join(found, theirs, "k"), mine, "k")) == exact(
        join(join(found, mine, "k"), theirs, "k")
    )


def test_a_delta_that_is_something_else_is_refused():
    @cb.lattice
    class Odd(Words):
        def delta(self, since: Words) -> Words:
            return Words()

    with pytest.raises(TypeError, match="key 'k': delta of lattice 'Odd' returned Words"):
        grown("k", Odd("a"), part(Odd("b"), "e1"))


def test_between_stores_only_the_part_travels():
    bench = Bench("s2")
    bench.tell("e1", Put(1, "k", part(Words(*(f"word {n}" for n in range(100))), "e1")))
    bench.tell("s2", Heard(1, bench.told(0, 0)))
    new = dotted(added(delta(Words("new"), None, "e1", 2)), "e1", 2, EMPTY)
    [(_, gossip)] = sent(bench.tell("e1", Put(2, "k", new)), Gossip)
    assert gossip.bases == {"k": 1}
    assert [exact(entry.lattice) for entry in gossip.entries] == [exact(new)]


def test_two_kinds_do_not_meet():
    with pytest.raises(LatticeMismatch, match=r"'k' holds a 'Longest' lattice, and a 'other' value was"):
        join(part(Longest("a"), "e1"), part(Other(), "e2"), "k")
    with pytest.raises(LatticeMismatch, match=r"key 'k' holds a 'Longest' lattice, .*: put it under another"):
        join(part(Longest("a"), "e1"), Max(1), "k")


def test_an_element_that_merges_into_something_else_is_refused():
    @cb.lattice
    class Broken:
        def merge(self, other: object) -> int:
            return 5

    with pytest.raises(TypeError, match="key 'k': merge of lattice 'Broken' returned int: 5"):
        grown("k", Broken(), part(Broken(), "e1"), lambda value: Broken())


@pytest.mark.parametrize(
    ("value", "lattice", "error"),
    [
        ("many", "counter", TypeError),
        (-1, "grow", ValueError),
        (1, "nosuch", ValueError),
        ({threading.Lock()}, None, SerializationError),
        (threading.Lock(), None, SerializationError),
    ],
)
def test_an_error_names_the_key(value, lattice, error):
    with pytest.raises(error, match="key 'k'"):
        element("k", value, lattice, "c1", 1)


@pytest.mark.parametrize("wrong", [None, "max", [1, 2]])
def test_laws_are_checked_of_elements(wrong):
    with pytest.raises(TypeError, match="a list of elements"):
        cb.check_laws(wrong)


def test_an_instance_is_a_draft_and_a_map_takes_none():
    assert is_causal_draft(delta(Longest("a"), None, "e1", 1))
    assert not is_causal_draft(delta(Longest("a"), "lww", "e1", 1))
    with pytest.raises(ValueError, match="none of your own lattices"):
        delta({"a": Longest("a")}, "map", "e1", 1)


@pytest.mark.parametrize("bad", [3, int, object()])
def test_only_a_class_with_merge_can_be_one(bad):
    with pytest.raises(TypeError, match="class with a method merge"):
        cb.lattice(bad)


def test_a_name_is_checked():
    with pytest.raises(InvalidName):
        cb.lattice(name="")(Other)


def test_the_laws_hold_of_a_lattice():
    cb.check_laws([Longest("a"), Longest("bb"), Longest("cc")])


class Number:
    def __init__(self, value: int) -> None:
        self.value = value

    def __repr__(self) -> str:
        return str(self.value)


class Sum(Number):
    def merge(self, other: Sum) -> Sum:
        return Sum(self.value + other.value)


class Left(Number):
    def merge(self, other: Left) -> Left:
        return self


class Mean(Number):
    def merge(self, other: Mean) -> Mean:
        return Mean((self.value + other.value) / 2)


class Greedy(Number):
    def merge(self, other: Greedy) -> Greedy:
        self.value = other.value = max(self.value, other.value)
        return Greedy(self.value)


class Forgetful(Words):
    def delta(self, since: Words) -> Words:
        return type(self)(*sorted(self.words - since.words)[1:])


class Fading(Number):
    def merge(self, other: Fading) -> Fading:
        return Fading(max(self.value, other.value))

    def __reduce__(self):
        return Fading, (0,)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Sum, "idempotent"),
        (Left, "commutative"),
        (Mean, "associative"),
        (Greedy, "change its inputs"),
        (Fading, "survive the way"),
    ],
)
def test_what_is_no_lattice_is_found_out(kind, law):
    with pytest.raises(AssertionError, match=law):
        cb.check_laws([kind(1), kind(2), kind(5)])


def test_a_delta_that_lacks_something_is_found_out():
    cb.check_laws([Words(), Words("a"), Words("a", "b")])
    with pytest.raises(AssertionError, match="told by its delta"):
        cb.check_laws([Forgetful(), Forgetful("a"), Forgetful("a", "b")])


@pytest.mark.parametrize("count", [0, 21])
def test_a_check_takes_some_elements_and_not_too_many(count):
    with pytest.raises(ValueError, match="from 1 to 20"):
        cb.check_laws([Longest("a")] * count)
