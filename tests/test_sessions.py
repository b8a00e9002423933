"""Sessions: what they have seen, how they meet, and what a client's goes on from."""

from __future__ import annotations

import pytest

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.client.session import SEEN_SENT_MAX, ClientSession
from cloudburst_runtime.lattices import LWW, Causal
from cloudburst_runtime.lattices.causal import EMPTY, Context
from cloudburst_runtime.messages import (
    Entry,
    Fix,
    Result,
    Session,
)
from cloudburst_runtime.values import encode


def test_sessions_that_meet_know_what_both_knew():
    left, right = Session("dsrr"), Session("dsrr")
    left.fixed["k"] = Fix({"node": 1}, "e1")
    right.fixed.update(k=Fix({"node": 1}, "e1"), other=Fix({"node": 2}, "e1"))
    sessions.write_at(right, "k", 2)
    sessions.join(left, right)
    assert left.wrote == {"k": {2: 1}}
    assert left.fixed == {"other": Fix({"node": 2}, "e1")}
    copied = sessions.begun(left)
    sessions.write_at(copied, "other", 3)
    assert "other" in left.fixed


def test_what_was_seen_in_an_older_generation_is_forgotten():
    session = Session("sk")
    sessions.see(session, "k", Entry(0, Causal(context=Context({"e1": 3}))))
    sessions.see(session, "k", Entry(9, Causal(context=Context({"e1": 1}))))
    sessions.see(session, "k", Entry(0, Causal(context=Context({"e1": 4}))))
    assert sessions.terms(session, "k", {}, {})[:3] == ({}, 9, Context({"e1": 1}))
    assert sessions.terms(session, "none", {"s": 1}, {})[:3] == ({"s": 1}, 0, EMPTY)


def causal(context):
    return Entry(0, Causal(context=Context(context)), version={})


def test_what_a_session_remembers_is_bounded():
    session = ClientSession("sk")
    for number in range(sessions.SEEN_MAX + 10):
        session.read(f"k{number}", Entry(0, LWW(number, "c1", encode(0))))
    assert session.terms("k0", {}, {}).seen == EMPTY
    assert session.terms(f"k{sessions.SEEN_MAX}", {}, {}).seen != EMPTY
    assert len(session.onward("sk", "e1").seen) == SEEN_SENT_MAX
    assert session.onward("lww", "e1").seen == {}


def test_a_client_session_goes_on_from_its_calls():
    session = ClientSession("dsc")
    told = Session("dsc", seen={"k": (0, Context({"e1": 1}))})
    session.came_back(Result(1, 0, None, [], floor={"node": 7}, session=told), "c1.1")
    assert session.floor == {"node": 7}
    assert session.terms("k", {"node": 9}, {})[:3] == ({"node": 9}, 0, Context({"e1": 1}))


CAUSAL_PAIRS = [(outer, inner) for outer in ("sk", "mk", "dsc") for inner in ("sk", "mk", "dsc")]


@pytest.mark.parametrize(("outer", "inner"), CAUSAL_PAIRS)
def test_a_session_within_another_has_seen_what_that_has_and_the_other_way_round(outer, inner):
    around, own = ClientSession(outer), ClientSession(inner)
    within = own.within(around)
    around.read("a", causal({"e1": 1}))
    own.read("b", causal({"e1": 2}))
    assert within.terms("a", {}, {}).seen == Context({"e1": 1})
    assert within.terms("b", {}, {}).seen == Context({"e1": 2})
    within.wrote("a", causal({"e1": 1, "c1": 1}), {"node": 7})
    within.read("c", causal({"e2": 1}))
    within.came_back(
        Result(1, 0, None, [], session=Session(inner, seen={"d": (0, Context({"e3": 1}))})), "c1.1"
    )
    for session, levels in ((around, {outer}), (own, {inner}), (within, {outer, inner})):
        assert session.floor == ({} if levels == {"sk"} else {"node": 7})
        assert session.terms("a", {}, {}).seen == Context({"e1": 1, "c1": 1})
        assert session.terms("c", {}, {}).seen == Context({"e2": 1})
        assert session.terms("d", {}, {}).seen == Context({"e3": 1})
        assert session.terms("b", {}, {}).seen == (Context() if session is around else Context({"e1": 2}))
    assert set(within.onward("dsc", "e1").seen) == {"a", "b", "c", "d"}
    assert within.level == inner


def test_of_what_two_sessions_have_seen_of_a_key_the_other_replaces_both():
    around, own = ClientSession("dsc"), ClientSession("sk")
    around.read("k", causal({"e1": 1}))
    own.read("k", causal({"e2": 3}))
    within = own.within(ClientSession("mk").within(around))
    assert within.terms("k", {}, {}).seen == Context({"e1": 1, "e2": 3})
    assert within.onward("sk", "e1").seen == {"k": (0, Context({"e1": 1, "e2": 3}))}
    around.read("k", Entry(9, Causal(context=Context({"e1": 5}))))  # it was deleted in between
    assert within.terms("k", {}, {})[1:3] == (9, Context({"e1": 5}))


def test_repeatable_reads_go_on_within_and_end_with_writes_at_any_level():
    old, new, newer = Entry(0, None), Entry(0, LWW(1, "c1", encode(0))), Entry(0, LWW(2, "c1", encode(0)))
    around = ClientSession("dsrr")
    within = ClientSession("dsrr").within(ClientSession("dsc").within(around))
    assert around.read("k", old) is old
    assert within.read("k", new) is old
    latest = ClientSession("lww").within(around)
    assert latest.read("k", new) is new
    assert around.read("k", new) is old
    assert latest.read("j", old) is old
    assert around.read("j", new) is old  # for the notebook has read it so
    latest.wrote("k", newer, {})
    assert around.read("k", newer) is newer
    latest.came_back(Result(1, 0, None, [], session=Session("lww", wrote={"k": {0: 1}})), "c1.1")
    assert around.read("k", new) is new


def test_repeatable_reads_of_one_block_are_not_those_of_the_next():
    around = ClientSession("dsc")
    old, new = Entry(0, None), Entry(0, LWW(1, "c1", encode(0)))
    assert ClientSession("dsrr").within(around).read("k", old) is old
    assert ClientSession("dsrr").within(around).read("k", new) is new


def test_a_client_s_repeatable_reads_end_with_its_own_writes():
    session = ClientSession("dsrr")
    old, new = Entry(0, None), Entry(0, LWW(1, "c1", encode(0)))
    assert session.read("k", old) is old
    assert session.read("k", new) is old
    session.wrote("k", new, {})
    assert session.read("k", new) is new
    session.came_back(Result(1, 0, None, [], session=Session("dsrr", wrote={"k": {0: 1}})), "c1.1")
    assert session.read("k", old) is old
