"""Atomic writes by events and effects: a call publishes all that it wrote, once; or else its heir does."""

from __future__ import annotations

import itertools

import pytest

from cloudburst_runtime.anna.transactions import record_key
from cloudburst_runtime.effects import PeerLost
from cloudburst_runtime.executor.atomic import TIMER as RECORDS_TIMER
from cloudburst_runtime.executor.leftovers import TIMER as LEFT_TIMER
from cloudburst_runtime.lattices import Atomic
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import (
    Astray,
    Cancel,
    Delete,
    Due,
    ExecutorLost,
    Failed,
    Failure,
    Keys,
    Put,
    Result,
)
from cloudburst_runtime.values import encode
from tests.levels_world import DIAMOND, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def run(cluster: Cluster, number: int, **writes: object) -> None:
    """A chain whose second step writes."""
    cluster.start("atomic", number=number)
    cluster.end("e1")
    for key, value in writes.items():
        cluster.put("e2", key, value)
    cluster.end("e2")
    cluster.end("e3")


def test_writes_are_read_by_what_follows_and_published_at_the_end(cluster):
    cluster.outside("x", "old", 1)
    cluster.start("atomic")
    cluster.put("e1", "x", "new")
    assert cluster.get("e1", "x") == "new"
    cluster.end("e1")
    assert cluster.get("e2", "x") == "new"
    cluster.put("e2", "y", "new")
    cluster.end("e2")
    assert reveal(cluster.stored("x").lattice) == "old"
    assert cluster.replica.entry("y") is None
    cluster.end("e3")
    assert [reveal(cluster.stored(key).lattice) for key in ("x", "y")] == ["new", "new"]
    result = cluster.told[-1]
    assert isinstance(result, Result)
    assert (result.failure, result.published) == (None, None)
    cluster.fire("e3", RECORDS_TIMER)
    assert cluster.stored(record_key("c1.1")).lattice is None


@pytest.mark.parametrize(
    ("waits", "sync"),
    [([[]], True), ([[], [False]], True), ([[False], [False]], False), ([[False], [True]], True)],
)
def test_the_most_that_one_put_waits_for_goes_for_all_that_is_published(cluster, waits, sync):
    puts: list[Put] = []
    cluster.held = lambda sender, receiver, message: isinstance(message, Put) and puts.append(message)
    cluster.start("atomic")
    for step, given in enumerate(waits, start=1):
        cluster.put(f"e{step}", f"k{step}", "new", *given)
        cluster.end(f"e{step}")
    for step in range(len(waits) + 1, 4):
        cluster.end(f"e{step}")
    assert [put.key for put in puts] == [record_key("c1.1"), "k1", "k2"][: len(waits) + 1]
    assert {put.sync for put in puts} == {sync}


def test_what_there_is_no_room_for_is_published_later_and_the_record_stays_until_then(cluster):
    def full(sender, receiver, message):
        return isinstance(message, Put) and message.key == "y"

    def refuse():
        [(executor, _, put)] = cluster.back
        cluster.back.clear()
        cluster.tell("node", executor, Failed(put.req, Failure("StorageFull", "no room")))

    cluster.held = full
    run(cluster, 1, x="new", y="new")
    refuse()
    failure = cluster.told[-1].failure
    assert (failure.kind, "has committed" in failure.message) == ("StorageFull", True)
    cluster.fire("e3", RECORDS_TIMER)
    refuse()
    assert cluster.stored(record_key("c1.1")).lattice is not None
    cluster.release()
    cluster.fire("e3", RECORDS_TIMER)
    assert [reveal(cluster.stored(key).lattice) for key in ("x", "y")] == ["new", "new"]
    cluster.fire("e3", RECORDS_TIMER)
    assert cluster.stored(record_key("c1.1")).lattice is None


def test_several_keys_at_once_include_what_was_written(cluster):
    for number, key in enumerate(("x", "y"), start=1):
        cluster.outside(key, "old", number)
    cluster.start("atomic")
    cluster.put("e1", "x", "new")
    found = cluster.replies[cluster.ask("e1", "read", ["x", "y"])]
    assert [reveal(lattice) for lattice in found] == ["new", "old"]


def test_a_call_that_fails_publishes_nothing(cluster):
    cluster.start("atomic")
    cluster.put("e1", "x", "new")
    cluster.end("e1")
    cluster.end("e2", Failure("user", "no good"))
    assert cluster.replica.entry("x") is None
    assert cluster.kept() == []


def test_a_second_attempt_publishes_what_the_first_had_committed(cluster):
    cluster.start("atomic")
    cluster.put("e1", "x", "first")
    cluster.put("e1", "y", "first")
    cluster.end("e1")
    cluster.end("e2")
    cluster.held = lambda sender, receiver, message: isinstance(message, Put) and message.key in ("x", "y")
    cluster.end("e3")  # the record is there, and nothing else
    cluster.back.clear()
    cluster.held = lambda sender, receiver, message: False
    cluster.start("atomic", attempt=1)
    cluster.put("e1", "x", "second")
    cluster.end("e1")
    cluster.end("e2")
    cluster.end("e3")
    assert [reveal(cluster.stored(key).lattice) for key in ("x", "y")] == ["first", "first"]
    assert cluster.told[-1].published == 0


def count_on(cluster, number, schedule, attempt=0):
    """A call whose steps each add one to a key of their own, and all to ``count``."""
    cluster.start("atomic", number=number, attempt=attempt, schedule=schedule)
    for name in schedule:
        if not cluster.executors[name].running:
            return  # the step before it was killed
        for key in ("count", f"of {schedule.index(name)}"):
            read = cluster.ask(name, "read", [key])
            if read not in cluster.replies:
                return
            [found] = cluster.replies[read]
            cluster.put(name, key, 1 if found is None else reveal(found) + 1)
        cluster.end(name, settles=False)


def kill_at(cluster, victim, cut):
    """The victim is killed as it would send its message number ``cut``; says whether it was."""
    sent = 0

    def held(sender, receiver, message):
        nonlocal sent
        sent += sender == victim
        return victim in (sender, receiver) and sent > cut

    cluster.held = held
    count_on(cluster, 1, ["e1", "e2", "e3"])
    cluster.back.clear()
    if sent <= cut:
        return False
    cluster.held = lambda sender, receiver, message: victim in (sender, receiver)
    for name, core in cluster.executors.items():
        if name != victim:
            cluster.perform(name, core.handle(PeerLost(victim), cluster.now))
            cluster.tell("c1", name, Cancel("c1", 1, 0))
    return True


@pytest.mark.parametrize("victim", ["e1", "e2", "e3"])
def test_whenever_an_executor_is_killed_what_is_tried_again_counts_once(victim):
    for cut in itertools.count():
        cluster = Cluster()
        was_killed = kill_at(cluster, victim, cut)
        ended = [message for message in cluster.told if isinstance(message, Result)]
        assert len(ended) <= 1
        if not ended:
            assert was_killed
            count_on(cluster, 1, [name.replace(victim, "e4") for name in ("e1", "e2", "e3")], attempt=1)
            assert isinstance(cluster.told[-1], Result)
        values = [reveal(cluster.stored(key).lattice) for key in ("count", "of 0", "of 1", "of 2")]
        assert values == [3, 1, 1, 1], cut
        if not was_killed:
            assert cut > (8 if victim == "e3" else 1)  # it was killed before each of its messages
            return


def test_who_has_read_one_write_is_given_the_others_though_they_are_not_there_yet(cluster):
    run(cluster, 7, x="old", y="old")
    cluster.held = lambda sender, receiver, message: (sender, getattr(message, "key", "")) == ("e3", "y")
    run(cluster, 8, x="new", y="new")
    assert reveal(cluster.stored("y").lattice) == "old"
    cluster.start("atomic", number=9)
    assert cluster.get("e1", "x") == "new"
    cluster.end("e1")
    assert cluster.get("e2", "y") == "new"
    assert reveal(cluster.stored("y").lattice) == "new", "who reads after it must not find less"


def test_what_was_deleted_since_does_not_come_back_from_the_record(cluster):
    run(cluster, 7, x="old", y="old")
    cluster.held = lambda sender, receiver, message: (sender, getattr(message, "key", "")) == ("e3", "y")
    run(cluster, 8, x="new", y="new")
    cluster.tell("c9", "node", Delete(10**12, "y", 10**12))
    cluster.start("atomic", number=9)
    assert cluster.get("e1", "x") == "new"
    cluster.end("e1")
    assert cluster.get("e2", "y") is None
    assert cluster.stored("y").lattice is None


def test_what_was_deleted_since_is_later_than_what_was_published_also_without_the_record(cluster):
    """Each attempt waited for the write that had been deleted, and the call failed."""
    run(cluster, 8, x="new", y="new")
    cluster.tell("c9", "node", Delete(10**12, "y", 10**12))
    cluster.fire("e3", RECORDS_TIMER)
    cluster.start("atomic", number=9)
    assert cluster.get("e1", "x") == "new"
    assert cluster.get("e1", "y") is None


def test_what_was_deleted_before_a_call_wrote_it_does_not_go_with_what_that_wrote(cluster):
    run(cluster, 7, x="old", y="old")
    cluster.tell("c9", "node", Delete(10**12, "y", 10**12))
    cluster.start("atomic", number=9)
    assert cluster.get("e1", "x") == "old"
    assert cluster.get("e1", "y") is None, "it was deleted after the call that wrote both"


def test_what_a_record_had_is_no_change_of_a_store_that_does_not_exist(cluster):
    run(cluster, 7, x="old", y="old")
    cluster.held = lambda sender, receiver, message: (sender, getattr(message, "key", "")) == ("e3", "y")
    run(cluster, 8, x="new", y="new")
    cluster.start("atomic", DIAMOND, number=9)
    assert cluster.get("e1", "x") == "new"
    cluster.end("e1")
    assert cluster.get("e2", "y") == "new"  # e1 has it from the record
    floors = [core.cache.floor for core in cluster.executors.values()]
    assert {store for floor in floors for store in floor} <= {"node"}


def test_what_does_not_go_with_what_was_read_sends_the_attempt_astray(cluster):
    run(cluster, 7, x="old", y="old")
    cluster.start("atomic", number=9)
    assert cluster.get("e1", "y") == "old"
    stamp = 10**12
    for key in ("x", "y"):
        part = Atomic(stamp, "c9", encode("new"), "c9.1", ("x", "y"))
        cluster.tell("c9", "node", Put(stamp, key, part))
    op = cluster.ask("e1", "read", ["x"])
    assert op not in cluster.replies
    assert isinstance(cluster.told[-1], Astray)
    assert cluster.told[-1].free
    assert cluster.told[-1].due == dict.fromkeys(("x", "y"), Due((stamp, "c9"), "c9.1"))


def test_parallel_steps_do_not_see_a_part_each(cluster):
    for key in ("x", "y"):
        cluster.outside(key, "old", 1 if key == "x" else 2)
    cluster.start("atomic", DIAMOND)
    cluster.end("e1")
    assert cluster.get("e2", "y") == "old"
    stamp = 10**12
    for key in ("x", "y"):
        part = Atomic(stamp, "c9", encode("new"), "c9.1", ("x", "y"))
        cluster.tell("c9", "node", Put(stamp, key, part))
    op = cluster.ask("e3", "read", ["x"])
    assert op not in cluster.replies
    assert isinstance(cluster.told[-1], Astray)
    assert cluster.told[-1].due == dict.fromkeys(("x", "y"), Due((stamp, "c9"), "c9.1"))


# ---------------------------------------------------------------- what an executor leaves when it ends


def leave_behind(cluster: Cluster, number: int = 1, **writes: object) -> str:
    """A call whose last executor ends when it has written the record, and nothing else; the record's key."""
    cluster.held = lambda sender, receiver, message: isinstance(message, Put) and message.key in writes
    run(cluster, number, **writes)
    cluster.back.clear()
    cluster.held = lambda sender, receiver, message: False
    return record_key(f"c1.{number}")


def inherit(cluster: Cluster, heir: str = "e1") -> None:
    for name in ("e1", "e2", "e4"):
        cluster.tell("node", name, ExecutorLost("e3", "killed", heir=heir))


def test_the_heir_publishes_what_the_dead_had_committed_and_deletes_the_record(cluster):
    cluster.outside("x", "old", 1)
    key = leave_behind(cluster, x="new", y="new")
    inherit(cluster)
    assert reveal(cluster.stored("x").lattice) == "old", "whoever wrote the record may live"
    cluster.fire("e1", LEFT_TIMER)
    assert [reveal(cluster.stored(name).lattice) for name in ("x", "y")] == ["new", "new"]
    assert cluster.stored(key).lattice is not None
    cluster.fire("e1", RECORDS_TIMER)
    assert cluster.stored(key).lattice is None
    assert all(LEFT_TIMER not in cluster.timers[name] for name in ("e2", "e4"))


def test_what_was_published_in_full_is_only_deleted(cluster):
    run(cluster, 1, x="new")
    inherit(cluster)
    before = cluster.stored("x")
    cluster.fire("e1", LEFT_TIMER)
    cluster.fire("e1", RECORDS_TIMER)
    assert cluster.stored(record_key("c1.1")).lattice is None
    assert cluster.stored("x") == before


def test_what_came_after_the_commit_stays(cluster):
    leave_behind(cluster, x="new", y="new", z="new")
    cluster.outside("x", "later", 10**12)
    cluster.outside("y", "later", 10**12)
    cluster.tell("c9", "node", Delete(10**13, "y", 10**13))
    inherit(cluster)
    cluster.fire("e1", LEFT_TIMER)
    assert reveal(cluster.stored("x").lattice) == "later"
    assert cluster.stored("y").lattice is None
    assert reveal(cluster.stored("z").lattice) == "new"


def test_the_records_of_the_living_are_left_to_them(cluster):
    run(cluster, 1, x="new")
    inherit(cluster)
    cluster.fire("e3", RECORDS_TIMER)  # it was another one that had ended
    key = leave_behind(cluster, number=2, y="new")
    cluster.fire("e1", LEFT_TIMER)
    assert cluster.stored(key).lattice is not None, "it came after the loss"
    assert cluster.replica.entry("y") is None
    assert cluster.timers["e1"].get(RECORDS_TIMER) is None


def test_the_heir_asks_until_it_is_told(cluster):
    key = leave_behind(cluster, x="new")
    cluster.held = lambda sender, receiver, message: isinstance(message, Keys)
    inherit(cluster)
    cluster.fire("e1", LEFT_TIMER)
    assert [(sender, message.req) for sender, _, message in cluster.back] == [
        ("e1", cluster.back[0][2].req)
    ] * 2
    cluster.release()
    for timer in (LEFT_TIMER, RECORDS_TIMER):
        cluster.fire("e1", timer)
    assert cluster.stored(key).lattice is None
    assert cluster.executors["e1"].operations.pending == {}


def test_the_heirs_heir_finds_what_the_heir_had_not_done(cluster):
    key = leave_behind(cluster, x="new")
    inherit(cluster)
    inherit(cluster, heir="e2")
    cluster.fire("e2", LEFT_TIMER)
    cluster.fire("e2", RECORDS_TIMER)
    assert reveal(cluster.stored("x").lattice) == "new"
    assert cluster.stored(key).lattice is None


def test_only_plain_values_are_written_atomically(cluster):
    cluster.start("atomic")
    failure = cluster.replies[cluster.ask("e1", "write", "s", delta({1}, None, "e1", 1))]
    assert failure.kind == "ConsistencyError"
    assert cluster.replies[cluster.ask("e1", "delete", "s")].kind == "ConsistencyError"


def test_nothing_is_published_if_one_of_the_keys_holds_something_else(cluster):
    cluster.tell("c9", "node", Put(1, "s", delta({1}, None, "c9", 1)))
    run(cluster, 7, s="plain", x="new")
    assert cluster.told[-1].failure.kind == "LatticeMismatch"
    assert cluster.replica.entry("x") is None
    assert cluster.replica.entry(record_key("c1.7")) is None
