"""What a block of an atomic session does itself, its calls and those within it: by events and effects."""

from __future__ import annotations

import pytest

from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.lattices.wrap import delta
from cloudburst_runtime.messages import Due, Put, Result, Session
from tests.blocks_world import Desk, published


@pytest.fixture
def desk() -> Desk:
    return published()


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
