"""Causal values: what replaces what, what stays beside it, and what the original's lattice got wrong."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.dots import Dots
from cloudburst_runtime.errors import LatticeMismatch
from cloudburst_runtime.lattices import LWW, Causal, Custom, Max, below, join
from cloudburst_runtime.lattices.causal import EMPTY, Context, draft, is_draft, numbered
from cloudburst_runtime.lattices.laws import check_all, exact
from cloudburst_runtime.lattices.wrap import delta, is_causal_draft, newest, reveal, siblings
from cloudburst_runtime.values import encode
from tests.test_lattices import STRATEGIES


def write(value: object, writer: str, number: int, stamp: int, seen: Context = EMPTY) -> Causal:
    return numbered(draft(stamp, writer, encode(value)), writer, number, seen)


def merged(*parts: Causal | LWW) -> Causal:
    whole: Causal | LWW = parts[0]
    for part in parts[1:]:
        whole = join(whole, part, "k")
    assert isinstance(whole, Causal)
    return whole


def test_a_write_replaces_what_its_writer_had_seen_and_nothing_else():
    first, other = write("a", "e1", 1, 5), write("b", "e2", 1, 6)
    both = merged(first, other)
    assert siblings(both) == ["b", "a"]
    assert reveal(both) == "b"
    later = write("c", "e3", 1, 9, first.seen)
    assert siblings(merged(both, later)) == ["c", "b"]
    assert siblings(merged(later, first)) == ["c"]


def test_two_writes_of_one_writer_are_siblings_if_the_second_had_not_seen_the_first():
    assert siblings(merged(write("a", "e1", 1, 5), write("b", "e1", 2, 6))) == ["b", "a"]


def test_what_was_replaced_does_not_come_back():
    first = write("a", "e1", 1, 5)
    second = write("b", "e1", 2, 6, first.seen)
    assert siblings(merged(second, first, first)) == ["b"]
    assert first <= merged(first, second)
    assert not second <= first


def test_the_original_s_lattice_of_siblings_under_one_clock_is_not_associative_and_this_one_is():
    """A = {a1: x}, B = {b1: y}, C = {a2: z}: the original has (A+B)+C = {x, y, z} and A+(B+C) = {y, z}."""
    a, b = write("x", "a", 1, 1), write("y", "b", 1, 2)
    blind, aware = write("z", "a", 2, 3), write("z", "a", 2, 3, write("x", "a", 1, 1).seen)
    for c, expected in ((blind, {"x", "y", "z"}), (aware, {"y", "z"})):
        check_all(a, b, c)
        for first, second, third in permutations((a, b, c)):
            assert set(siblings(merged(merged(first, second), third))) == expected
            assert set(siblings(merged(first, merged(second, third)))) == expected


def test_a_plain_write_meets_siblings_and_the_latest_is_shown():
    plain, sibling = LWW(5, "c1", encode("plain")), write("sibling", "e1", 1, 4)
    both = merged(plain, sibling)
    assert siblings(both) == ["plain", "sibling"]
    assert exact(both) == exact(merged(sibling, plain))
    assert below(plain, both)
    assert not below(both, plain)
    assert siblings(merged(both, LWW(9, "c1", encode("later")))) == ["later", "sibling"]


def test_a_causal_write_replaces_the_plain_one_that_it_had_seen():
    plain = LWW(5, "c1", encode("plain"))
    seen = Causal(plain=plain).seen
    after = merged(plain, write("after", "e1", 1, 9, seen))
    assert siblings(after) == ["after"]
    assert siblings(merged(after, plain, LWW(4, "c9", encode("late")))) == ["after"]
    assert siblings(merged(after, LWW(6, "c2", encode("unseen")))) == ["after", "unseen"]


def test_other_types_still_do_not_meet():
    with pytest.raises(LatticeMismatch, match="holds a 'max' lattice, and a 'causal'"):
        join(Max(1), write("a", "e1", 1, 5), "k")
    with pytest.raises(LatticeMismatch, match="'k' holds a 'mine' lattice, and a 'yours'"):
        join(Custom("mine", EMPTY_CAUSAL), Custom("yours", EMPTY_CAUSAL), "k")


EMPTY_CAUSAL = Causal()


def test_too_many_siblings_lose_the_oldest_and_that_converges():
    parts = [write(number, f"e{number}", 1, number) for number in range(1, 6)]
    whole = merged(*parts)
    assert siblings(whole.bounded(3)) == [5, 4, 3]
    assert whole.bounded(5) is whole
    assert below(whole, whole.bounded(3))
    assert siblings(merged(whole.bounded(3), *parts)) == [5, 4, 3]


@given(STRATEGIES["causal"], STRATEGIES["causal"], st.integers(1, 4))
def test_what_a_write_brought_to_a_value_that_is_then_bounded_is_all_that_changed(value, part, siblings_max):
    whole = value.merge(part)
    bounded = whole.bounded(siblings_max)
    brought = whole.brought(part, bounded)
    assert exact(value.merge(brought)) == exact(bounded)
    assert exact(brought.merge(value)) == exact(bounded)


def test_a_draft_has_no_number():
    made = delta("a", "causal", "e1", 5)
    assert isinstance(made, Causal)
    assert is_draft(made)
    assert is_causal_draft(made)
    assert newest(made) == 5
    assert not is_causal_draft(write("a", "e1", 1, 5))
    assert not is_causal_draft(delta("a", None, "e1", 5))


def test_nothing_is_shown_where_all_was_replaced():
    assert reveal(Causal()) is None
    assert siblings(Causal()) == []


dots = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=12)


@given(dots, dots)
def test_a_context_is_the_set_of_its_dots(left, right):
    def made(some):
        context = EMPTY
        for writer, number in some:
            context = context.plus(writer, number)
        return context

    one, other = made(left), made(right)
    assert one == made(reversed(left))
    assert one.joined(other) == made(left + right)
    assert (one <= other) is (set(left) <= set(right))
    for writer in "abc":
        for number in range(1, 10):
            assert one.has(writer, number) is ((writer, number) in left)


def test_a_context_without_gaps_takes_one_number_per_writer():
    context = EMPTY
    for number in range(1, 1000):
        context = context.plus("e1", number)
    assert context == Context({"e1": 999})
    assert context.nbytes == 26


def test_a_writer_numbers_its_writes_per_key_and_generation():
    dots = Dots("e1", keys_max=4)
    assert [dots.next("a", 0), dots.next("a", 0), dots.next("b", 0)] == [("e1", 1), ("e1", 2), ("e1", 1)]
    assert (dots.next("a", 7), dots.generation("a"), dots.generation("x")) == (("e1", 1), 7, 0)
    dots.abandon("b")
    dots.abandon("unknown")
    assert (dots.next("b", 0), dots.next("a", 7)) == (("e1~1", 1), ("e1", 2))


def test_a_dot_is_given_out_once_though_tallies_are_dropped():
    dots = Dots("e1", keys_max=4)
    given = [(key, dots.next(key, 0)) for _ in range(3) for key in "abcdef"]
    assert len(set(given)) == len(given)
