"""What blocks of an atomic session read, by events and effects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.transactions import record_key
from cloudburst_runtime.client.blocks import DUE_MAX, Block
from cloudburst_runtime.client.calls import Forget
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, Timer
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.messages import (
    Entry,
    Failure,
    Get,
    GetVersion,
    History,
    pack,
    unpack,
)
from cloudburst_runtime.values import decode
from tests.blocks_world import Desk, part, published


@pytest.fixture
def desk() -> Desk:
    return published()


# ---------------------------------------------------------------- what was published meanwhile


def test_what_was_published_between_two_reads_is_read_by_neither(desk):
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    assert desk.get("y") == 10
    assert desk.get("x") == 10, "a key is read again as it was read first"
    desk.again()
    assert [desk.get("y"), desk.get("x")] == [20, 20]


def test_the_latest_version_that_goes_is_read(desk):
    assert desk.get("x") == 10
    desk.publish(20, "y", "z")
    desk.plain(21, "y", "plain")
    desk.publish(30, "x", "y")
    desk.publish(40, "x", "y")
    assert desk.get("y") == "plain"
    assert desk.get("z") == 20


def test_what_no_call_has_published_is_read_as_it_is(desk):
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    desk.plain(21, "y", "plain")
    desk.publish(22, "z")
    assert [desk.get("y"), desk.get("z")] == ["plain", 22]


def test_of_several_keys_at_once_each_goes_with_the_others(desk):
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    assert desk.get("y", "x", "y") == [10, 10, 10]
    desk.again()
    desk.record(30, "x", "y")
    desk.publish(30, "x", "y", only="x")
    assert desk.get("x", "y") == [30, 30]
    desk.again()
    desk.record(40, "x", "y")
    desk.publish(40, "x", "y", only="x")
    assert desk.get("y", "x") == [30, 30]


def test_a_block_whose_version_is_kept_no_more_is_to_begin_again():
    desk = Desk(Config(history_max=1))
    desk.publish(10, "x", "y")
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    failure = desk.get("y")
    assert failure.kind == "ConsistencyError"
    assert "'y' was published together with key 'x'" in failure.message
    assert "begin it again" in failure.message
    assert desk.get("x") == 10
    desk.again()
    assert desk.get("y", "x") == [20, 20]


def test_that_there_was_no_such_key_before_is_not_known(desk):
    """The history does not say whether its first version is the first that there was."""
    assert desk.get("x") == 10
    desk.publish(20, "x", "z")
    assert desk.get("z").kind == "ConsistencyError"


def test_the_absence_of_a_key_is_read_like_a_value(desk):
    assert desk.get("z") is None
    desk.publish(20, "y", "z")
    assert desk.get("y") == 10
    assert desk.get("z") is None


def test_what_the_block_writes_is_later_than_the_version_that_it_has_read(desk):
    """One that came meanwhile was from a clock that is ahead, and the write was lost."""
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    stamp = 10**15

    def meanwhile(message: Any) -> None:
        if isinstance(message, History):
            desk.plain(stamp, "y", "plain")

    desk.lost = meanwhile
    assert desk.get("y") == "plain"
    desk.put("y", "mine")
    assert desk.stored("y") == "mine"


# ---------------------------------------------------------------- what is not there yet


def test_who_has_read_one_write_is_given_the_others_though_they_are_not_there_yet(desk):
    desk.record(20, "x", "y")
    desk.publish(20, "x", "y", only="x")
    assert desk.get("x") == 20
    assert desk.get("y") == 20
    assert desk.stored("y") == 20, "who reads after it must not find less"


def test_if_the_record_goes_meanwhile_the_key_is_read_once_more(desk):
    desk.record(20, "x", "y")
    desk.publish(20, "x", "y", only="x")
    assert desk.get("x") == 20

    def goes(message: Any) -> None:
        if isinstance(message, Get) and message.keys == [record_key("t20")]:
            desk.publish(20, "x", "y")
            desk.delete(record_key("t20"))

    desk.lost = goes
    assert desk.get("y") == 20


def test_if_the_record_is_lost_the_block_is_to_begin_again(desk):
    desk.publish(20, "x", "y", only="x")
    assert desk.get("x") == 20
    failure = desk.get("y")
    assert (failure.kind, "that is lost" in failure.message) == ("ConsistencyError", True)
    desk.again()
    assert desk.get("y") == 10, "a session does not insist on what is lost"


def test_what_came_too_late_for_the_history_is_in_the_record(desk):
    desk.record(20, "x", "y")
    desk.publish(20, "x", "y", only="x")
    assert desk.get("x") == 20
    desk.publish(30, "x", "y", only="y")
    desk.publish(20, "x", "y", only="y")
    assert desk.get("y") == 20
    desk.again()
    desk.publish(30, "x", "y", only="x")
    assert desk.get("y", "x") == [30, 30]


def test_what_was_deleted_since_is_read_as_deleted(desk):
    assert desk.get("x") == 10
    desk.delete("y")
    assert desk.get("y") is None


def test_the_next_block_does_not_read_backwards(desk):
    desk.record(20, "x", "y")
    desk.publish(20, "x", "y", only="x")
    assert desk.get("x") == 20
    desk.again()
    assert desk.get("y") == 20


def test_what_a_session_remembers_of_the_blocks_before_is_bounded():
    block = Block()
    for number in range(DUE_MAX + 9):
        block.take(f"k{number}", Entry(0, part(5, f"k{number}", f"j{number}")))
    assert len(block.due) == 2 * (DUE_MAX + 9), "all of its own block"
    block.begin()
    assert len(block.due) == DUE_MAX
    assert f"j{DUE_MAX + 8}" in block.due


# ---------------------------------------------------------------- what goes wrong


def torn(desk: Desk, kind: type) -> int:
    """A read whose request of this kind is lost."""
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    desk.lost = lambda message: isinstance(message, kind)
    op = desk.store("read", ["y"])
    desk.lost = lambda message: False
    assert op not in desk.answers
    return op


@pytest.mark.parametrize("kind", [History, GetVersion])
def test_a_request_that_was_lost_is_sent_again(desk, kind):
    op = torn(desk, kind)
    for effect in desk.core.handle(Timer("tick"), desk.config.resend_ms):
        if isinstance(effect, Send):
            desk._arrive(effect.message)
    assert reveal(desk.answers[op][0], decode) == 10


@pytest.mark.parametrize("kind", [History, GetVersion])
def test_a_read_that_nobody_waits_for_ends(desk, kind):
    op = torn(desk, kind)
    desk.take(Forget(op))
    assert desk.core.requests.unanswered.open == {}
    desk.take(
        Received("node", unpack(pack(desk.replica.handle(Received("c1", desk.sent[-1]), 0.0)[0].message)))
    )
    assert op not in desk.answers


@pytest.mark.parametrize("kind", [History, GetVersion])
def test_a_read_under_way_ends_with_the_runtime(desk, kind):
    op = torn(desk, kind)
    before = dict(desk.answers)
    desk.take(PeerLost("node", "it is gone"))
    assert desk.answers.keys() - before.keys() == {op}
    assert desk.answers[op].kind == "RuntimeUnavailable"


def test_reads_at_once_go_with_each_other(desk):
    """One is told of the past; another one, answered meanwhile, is later than that."""
    assert desk.get("x") == 10
    desk.publish(20, "y", "z")
    desk.publish(30, "x", "y")
    desk.lost = lambda message: isinstance(message, GetVersion)
    op = desk.store("read", ["y"])
    desk.lost = lambda message: False
    asked = desk.sent[-1]
    desk.plain(5, "w", "old")
    desk.publish(40, "w", "v")
    assert desk.get("z") == 20
    desk._arrive(asked)
    assert reveal(desk.answers[op][0], decode) == 20


# ---------------------------------------------------------------- the law

KEYS = ("x", "y", "z")
WRITES = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True).map(sorted)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), WRITES),
        st.tuples(st.just("spread"), st.integers(0, 30)),
        st.tuples(st.just("plain"), st.sampled_from(KEYS)),
        st.tuples(st.just("get"), st.sampled_from(KEYS)),
        st.tuples(st.just("begin"), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_block_reads_a_part_of_what_was_published_together(steps):
    """Commits spread in any order; what is read is compared with what the commits wrote."""
    desk, commits, left, seen = Desk(), {0: KEYS}, [], {}
    desk.publish(0, *KEYS)
    for number, (what, which) in enumerate(steps, start=1):
        if what == "commit":
            commits[number] = tuple(which)
            desk.record(number, *which)
            left += [(number, key) for key in which]
        elif what == "spread" and left:
            stamp, key = left.pop(which % len(left))
            desk.publish(stamp, *commits[stamp], only=key)
        elif what == "plain":
            desk.plain(number, which, number)
        elif what == "begin":
            desk.again()
            seen = {}
        elif what == "get":
            found = desk.get(which)
            if not isinstance(found, Failure):
                assert seen.setdefault(which, found) == found
        for key, stamp in seen.items():
            parts = commits.get(stamp, ())
            assert all(seen.get(other, stamp) >= stamp for other in parts), (key, seen)
