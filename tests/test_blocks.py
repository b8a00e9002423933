"""Blocks of an atomic session by events and effects: a client and a store that get each other's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.transactions import record_key
from cloudburst_runtime.client.blocks import DUE_MAX, Block
from cloudburst_runtime.client.calls import Answered, Forget, Store
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, Timer
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import LWW, Atomic, MapLattice
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import (
    Delete,
    Due,
    Entry,
    Failure,
    Get,
    GetVersion,
    History,
    Put,
    Result,
    Session,
    pack,
    unpack,
)
from cloudburst_runtime.values import canonical, decode, encode


class Desk:
    """A client ``c1`` in an atomic session, and a store; ``lost`` says which messages do not arrive."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.replica = ReplicaCore(self.config)
        self.core = ClientCore(self.config, "c1", HybridClock(0), lambda: 0.5)
        self.session = ClientSession("atomic")
        self.answers: dict[int, Any] = {}
        self.sent: list[Any] = []
        self.lost: Callable[[Any], object] = lambda message: False
        self.req = 10**6

    def take(self, event: Any) -> None:
        for effect in self.core.handle(event, 0.0):
            if isinstance(effect, Answered):
                assert effect.req not in self.answers
                self.answers[effect.req] = effect.answer
            elif isinstance(effect, Send):
                self._arrive(effect.message)
        self.core.validate()

    def _arrive(self, message: Any) -> None:
        self.sent.append(message)
        if not self.lost(message):
            for send in self.replica.handle(Received("c1", unpack(pack(message))), 0.0):
                if isinstance(send, Send) and send.peer == "c1":
                    self.take(Received("node", unpack(pack(send.message))))

    def store(self, kind: str, *arguments: Any) -> int:
        op = self.core.next_req()
        self.take(Store(op, kind, arguments, self.session))
        return op

    def get(self, *keys: str) -> Any:
        answer = self.answers[self.store("read", list(keys))]
        if isinstance(answer, Failure):
            return answer
        found = [None if lattice is None else reveal(lattice, decode) for lattice in answer]
        return found if len(found) > 1 else found[0]

    def put(self, key: str, value: object) -> None:
        self.core.clock.observe(10**6)
        stamp = self.core.clock.tick(0.0)
        assert self.answers[self.store("write", key, LWW(stamp, "c1", encode(value)))] is None

    def again(self) -> None:
        """The session is left and entered again."""
        assert self.session.block is not None
        self.session.block.begin()

    # ------------------------------------------------------------ what others do

    def others(self, message: Any) -> None:
        self.replica.handle(Received("e9", message), 0.0)

    def next_req(self) -> int:
        self.req += 1
        return self.req

    def plain(self, stamp: int, key: str, value: object) -> None:
        self.others(Put(self.next_req(), key, LWW(stamp, "e9", encode(value))))

    def record(self, stamp: int, *keys: str) -> None:
        parts: dict[bytes, Any] = {canonical(key): part(stamp, *keys) for key in keys}
        self.others(Put(self.next_req(), record_key(f"t{stamp}"), MapLattice(parts)))

    def publish(self, stamp: int, *keys: str, only: str | None = None) -> None:
        """The transaction of this stamp writes its stamp under the keys."""
        for key in keys if only is None else (only,):
            self.others(Put(self.next_req(), key, part(stamp, *keys)))

    def delete(self, key: str, stamp: int = 10**9) -> None:
        self.others(Delete(self.next_req(), key, stamp))

    def stored(self, key: str) -> Any:
        entry = self.replica.entry(key)
        return None if entry is None or entry.lattice is None else reveal(entry.lattice, decode)


def part(stamp: int, *keys: str) -> Atomic:
    return Atomic(stamp, "e9", encode(stamp), f"t{stamp}", keys)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.publish(10, "x", "y")
    return desk


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


# ---------------------------------------------------------------- what the block does itself


def test_own_writes_are_read_back(desk):
    assert desk.get("x") == 10
    desk.put("x", "mine")
    assert (desk.get("x"), desk.stored("x")) == ("mine", "mine")
    later = 10**18
    desk.publish(later, "x", "y")
    assert [desk.get("x"), desk.get("y")] == ["mine", 10]


def test_what_was_published_with_a_key_that_the_block_wrote_is_read_as_before(desk):
    desk.put("x", "mine")
    desk.publish(10**18, "x", "y")
    assert [desk.get("y"), desk.get("x")] == [10, "mine"]


def test_a_set_that_the_block_adds_to_is_read_as_the_store_has_it(desk):
    desk.others(Put(desk.next_req(), "s", delta({"theirs"}, "set", "e9", 0)))
    desk.store("write", "s", delta({"mine"}, "set", "e9", 0))
    assert desk.get("s") == {"mine", "theirs"}
    desk.store("write", "s", delta({"more"}, "set", "e9", 0))
    assert desk.get("s") == {"mine", "more", "theirs"}


def test_what_the_block_deletes_is_gone(desk):
    assert desk.get("x") == 10
    desk.store("delete", "x")
    assert desk.get("x") is None


def told(*dues: tuple[str, int]) -> Result:
    due = {key: Due((stamp, "e9"), f"t{stamp}") for key, stamp in dues}
    return Result(1, 0, None, [], session=Session("atomic", due=due))


def test_what_a_call_of_the_block_has_published_is_read(desk):
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    desk.session.came_back(told(("x", 20), ("y", 20)), "t20")
    assert [desk.get("y"), desk.get("x")] == [20, 20]


def test_what_others_publish_after_a_call_of_the_block_goes_unless_the_block_has_read_it(desk):
    desk.plain(5, "z", "plain")
    desk.publish(20, "x", "y")
    desk.session.came_back(told(("x", 20), ("y", 20)), "t20")
    desk.publish(30, "x", "z")
    assert [desk.get("z"), desk.get("x")] == [30, 30]
    desk.again()
    assert desk.get("x") == 30
    desk.publish(40, "x", "y")
    desk.session.came_back(told(("x", 40), ("y", 40)), "t40")
    desk.publish(50, "x", "z")
    assert [desk.get("z"), desk.get("x")] == [30, 40]


def test_what_a_call_of_the_block_has_read_is_due(desk):
    desk.record(20, "x", "y")
    desk.session.came_back(told(("x", 20), ("y", 20)), "c1.1")
    assert desk.get("y") == 20


def test_what_a_call_has_read_later_than_the_block_is_due_in_the_next(desk):
    assert desk.get("x") == 10
    desk.record(20, "x", "y")
    desk.publish(20, "x", "y", only="x")
    desk.session.came_back(told(("x", 20), ("y", 20)), "c1.1")
    assert [desk.get("y"), desk.get("x")] == [10, 10]
    desk.again()
    assert [desk.get("y"), desk.get("x")] == [20, 20]


def test_a_call_does_not_say_all_that_it_has_read_of_a_key(desk):
    """It had read two transactions, of which the later one hid that the earlier one does not go either."""
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    desk.publish(30, "x", "z")
    desk.session.came_back(told(("x", 30), ("z", 30), ("y", 20)), "c1.1")
    assert desk.get("y") == 10


def test_calls_of_the_block_are_told_what_is_due(desk):
    assert desk.get("x") == 10
    desk.put("z", "mine")
    due = desk.session.onward("atomic", "").due
    assert due == dict.fromkeys(("x", "y"), Due((10, "e9"), "t10"))
    assert desk.session.onward("lww", "").due == {}
    assert ClientSession("dsc").onward("atomic", "").due == {}


def test_a_block_within_another_reads_what_goes_with_both(desk):
    outer = desk.session
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    desk.plain(21, "z", "plain")
    desk.session = ClientSession("atomic").within(ClientSession("dsc").within(outer))
    assert [desk.get("y"), desk.get("x"), desk.get("z")] == [10, 10, "plain"]
    assert desk.session.onward("atomic", "").due == dict.fromkeys(("x", "y"), Due((10, "e9"), "t10"))
    desk.publish(30, "y", "z")
    desk.session = outer
    assert [desk.get("z"), desk.get("y")] == ["plain", 10], "it has read what was read within"


def test_what_is_read_within_at_another_level_need_not_go(desk):
    outer = desk.session
    assert desk.get("x") == 10
    desk.publish(20, "x", "y")
    desk.session = ClientSession("lww").within(outer)
    assert [desk.get("y"), desk.get("x")] == [20, 20]
    desk.put("z", "mine")
    desk.session = outer
    desk.plain(10**9, "z", "later")
    assert [desk.get("y"), desk.get("x"), desk.get("z")] == [10, 10, "mine"]


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
