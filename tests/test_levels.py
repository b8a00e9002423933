"""The consistency levels by events and effects: executors and a store, whose messages arrive when told to."""

from __future__ import annotations

import itertools

import pytest

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.anna.transactions import record_key
from cloudburst_runtime.client.session import SEEN_SENT_MAX, ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Send, SetTimer, Timer
from cloudburst_runtime.executor.atomic import TIMER as RECORDS_TIMER
from cloudburst_runtime.executor.kept import TIMER as WANTED_TIMER
from cloudburst_runtime.executor.leftovers import TIMER as LEFT_TIMER
from cloudburst_runtime.executor.recalls import TIMER as RECALL_TIMER
from cloudburst_runtime.executor.releases import RELEASE_AFTER_MS, RELEASES_MAX, Releases
from cloudburst_runtime.executor.releases import TIMER as RELEASES_TIMER
from cloudburst_runtime.lattices import LWW, Atomic, Causal
from cloudburst_runtime.lattices.causal import EMPTY, Context
from cloudburst_runtime.lattices.wrap import delta, reveal, siblings
from cloudburst_runtime.messages import (
    Args,
    Astray,
    Call,
    Cancel,
    Delete,
    Due,
    Entry,
    ExecutorLost,
    Failed,
    Failure,
    Fix,
    GetReply,
    Header,
    Kept,
    Keys,
    Put,
    Recall,
    Recalled,
    Ref,
    Release,
    Result,
    Session,
    UnderWay,
    Update,
)
from cloudburst_runtime.values import encode
from tests.levels_world import CHAIN, DIAMOND, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# ---------------------------------------------------------------- repeatable reads


def test_a_chain_reads_one_version_on_every_executor_though_the_key_changes(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.outside("k", "new", 2)
    cluster.end("e1")
    assert cluster.get("e2", "k") == "old"
    cluster.end("e2")
    assert cluster.get("e3", "k") == "old"


def test_a_version_that_the_reader_has_itself_is_not_fetched(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("lww", number=7)
    cluster.end("e1")
    assert cluster.get("e2", "k") == "old"  # held by e2 from now on
    cluster.end("e2")
    cluster.end("e3")
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.held = lambda sender, receiver, message: isinstance(message, Recall)
    cluster.end("e1")
    assert cluster.get("e2", "k") == "old"
    assert not cluster.back


def test_what_a_step_has_read_by_itself_stays_while_it_runs_and_is_kept_from_its_end_on(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.outside("k", "new", 2)
    assert cluster.get("e1", "k") == "old"
    assert cluster.kept() == []
    cluster.end("e1")
    assert cluster.kept() == ["e1"]
    cluster.end("e2")
    assert cluster.get("e3", "j") is None
    cluster.end("e3")
    assert cluster.kept() == []


def test_two_reads_of_one_step_at_once_give_what_came_first(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    cluster.held = lambda sender, receiver, message: isinstance(message, GetReply)
    first = cluster.ask("e1", "read", ["k"])
    task = cluster.running("e1")
    task.own["k"] = Entry(0, LWW(2, "c9", encode("new")), {"node": 2})  # another thread was faster
    cluster.release()
    assert [reveal(found) for found in cluster.replies[first]] == ["new"]
    assert cluster.get("e1", "k") == "new"


def test_what_a_step_writes_is_what_it_reads_from_then_on_and_hands_on(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.put("e1", "k", "own")
    assert cluster.get("e1", "k") == "own"
    cluster.outside("k", "new", 2 * 10**9)
    assert cluster.get("e1", "k") == "own"
    cluster.end("e1")
    assert cluster.get("e2", "k") == "own"


def test_a_step_whose_call_and_input_come_in_either_order_goes_on_from_the_input(cluster):
    cluster.outside("k", "old", 1)
    for number, first in ((1, "call"), (2, "input")):
        schedule, args = ["e1", "e2", "e3"], Args(encode(((), {})))
        session = ClientSession("dsrr").onward("dsrr", "")
        header = Header("c1", number, 0, CHAIN, schedule, [1], session=session)
        if first == "call":
            cluster.tell("c1", "e2", Call(header, 1, args))
        cluster.tell("c1", "e1", Call(header, 0, args))
        assert cluster.get("e1", "k") == "old"
        cluster.end("e1")
        cluster.outside("k", "new", 2)
        if first == "input":
            cluster.tell("c1", "e2", Call(header, 1, args))
        assert cluster.get("e2", "k") == "old"
        cluster.end("e2")
        cluster.end("e3")
        cluster.outside("k", "old", 3)


def test_absence_is_repeated_too(cluster):
    cluster.start("dsrr")
    assert cluster.get("e1", "k") is None
    cluster.outside("k", "new")
    cluster.end("e1")
    assert cluster.get("e2", "k") is None


def test_parallel_steps_agree_by_way_of_the_home(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr", DIAMOND)
    cluster.end("e1")
    assert cluster.get("e2", "k") == "old"
    cluster.outside("k", "new", 2)
    assert cluster.get("e3", "k") == "old"
    cluster.end("e2")
    cluster.end("e3")
    assert cluster.get("e4", "k") == "old"


def test_what_the_call_itself_wrote_is_read_and_only_by_what_follows(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr", DIAMOND)
    assert cluster.get("e1", "k") == "old"
    cluster.end("e1")
    cluster.put("e2", "k", "own")
    assert cluster.get("e2", "k") == "own"
    assert cluster.get("e3", "k") == "old"
    cluster.end("e2")
    cluster.end("e3")
    assert cluster.get("e4", "k") == "own"


def test_a_reference_waits_for_its_key_and_then_counts_as_read(cluster):
    cluster.start("dsrr", args=Args(encode(((None,), {})), [Ref(0, "k")]))
    assert not cluster.executors["e1"].running
    cluster.outside("k", "first", 1)
    task = cluster.running("e1")
    assert reveal(task.resolved[0]) == "first"
    cluster.outside("k", "second", 2)
    cluster.end("e1")
    assert cluster.get("e2", "k") == "first"


def test_the_last_step_releases_what_was_kept(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr", DIAMOND)
    cluster.end("e1")
    for name in ("e2", "e3"):
        assert cluster.get(name, "k") == "old"
    assert cluster.kept()
    for name in ("e2", "e3", "e4"):
        cluster.end(name)
    assert isinstance(cluster.told[-1], Result)
    assert cluster.kept() == []
    assert not any(core.operations.snapshots.pending for core in cluster.executors.values())


@pytest.mark.parametrize("how", ["failure", "cancel", "lost client"])
def test_what_was_kept_is_released_however_the_call_ends(cluster, how):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.end("e1")
    assert cluster.get("e2", "k") == "old"
    if how == "failure":
        cluster.end("e2", Failure("user", "no good"))
    for name in ("e1", "e2", "e3"):
        if how == "cancel":
            cluster.tell("c1", name, Cancel("c1", 1, 0))
        elif how == "lost client":
            cluster.perform(name, cluster.executors[name].handle(PeerLost("c1"), 0.0))
    assert cluster.kept() == []


def test_the_word_that_calls_are_over_leaves_together(cluster):
    cluster.outside("k", "old", 1)
    for number in (1, 2, 3):
        cluster.start("dsrr", number=number)
        assert cluster.get("e1", "k") == "old"
        cluster.end("e1")
        cluster.end("e2")
        cluster.end("e3", settles=False)
    assert len(cluster.executors["e1"].operations.snapshots.kept) == 3
    releases = cluster.executors["e3"].handle(Timer(RELEASES_TIMER), cluster.now)
    attempts = [("c1", number, 0) for number in (1, 2, 3)]
    assert releases == [Send(name, Release(attempts)) for name in ("e1", "e2")]
    cluster.perform("e3", releases)
    cluster.settle()
    assert cluster.kept() == []


def test_so_many_are_told_of_at_once_oneself_too_and_an_executor_that_is_gone_of_none():
    released = []
    releases = Releases("e1", lambda attempt: released.append(attempt) or [])
    attempts = [("c1", number, 0) for number in range(RELEASES_MAX)]
    assert releases.add(attempts[0], ["e1", "e2"], 5.0) == [SetTimer(RELEASES_TIMER, 5.0 + RELEASE_AFTER_MS)]
    for attempt in attempts[1:-1]:
        assert releases.add(attempt, ["e2"], 6.0) == []
    assert released == []
    assert releases.add(attempts[-1], ["e3"], 6.0) == [
        Send("e2", Release(attempts[:-1])),
        Send("e3", Release(attempts[-1:])),
    ]
    assert released == attempts[:1]
    releases.add(("c1", 99, 0), ["e2", "e3"], 7.0)
    releases.lose("e2")
    assert releases.on_timer(25.0) == [Send("e3", Release([("c1", 99, 0)]))]
    assert releases.on_timer(45.0) == []


def test_if_the_release_is_lost_the_client_is_asked(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.end("e1")
    cluster.end("e2")
    cluster.held = lambda sender, receiver, message: isinstance(message, Release)
    cluster.end("e3")
    assert cluster.kept() == ["e1"]
    cluster.fire("e1", WANTED_TIMER)
    assert cluster.told[-1] == Kept(1, 0, "e1")
    cluster.tell("c1", "e1", Cancel("c1", 1, 0))
    assert cluster.kept() == []
    cluster.fire("e1", WANTED_TIMER)
    assert WANTED_TIMER not in cluster.timers["e1"]


def keeping_for_nobody(cluster: Cluster) -> None:
    """e1 keeps a version, and the word that the call is over is lost."""
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.end("e1")
    cluster.end("e2")
    cluster.held = lambda sender, receiver, message: isinstance(message, Release)
    cluster.end("e3")
    assert cluster.kept() == ["e1"]


def test_a_client_that_never_answers_is_asked_so_often_and_then_nothing_is_kept(cluster):
    keeping_for_nobody(cluster)
    for _ in range(Config().unanswered_max):
        cluster.fire("e1", WANTED_TIMER)
        assert cluster.kept() == ["e1"]
    asked = cluster.told.count(Kept(1, 0, "e1"))
    cluster.fire("e1", WANTED_TIMER)
    assert cluster.kept() == []
    assert cluster.told.count(Kept(1, 0, "e1")) == asked == Config().unanswered_max
    assert WANTED_TIMER not in cluster.timers["e1"]


def test_a_client_that_answers_has_it_kept_for_as_long_as_it_wants(cluster):
    keeping_for_nobody(cluster)
    for _ in range(3 * Config().unanswered_max):
        cluster.fire("e1", WANTED_TIMER)
        cluster.tell("c1", "e1", UnderWay("c1", 1, 0))
    assert cluster.kept() == ["e1"]


def test_an_attempt_astray_whose_client_is_gone_is_given_up(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.end("e1")
    cluster.outside("k", "new", 2)
    cluster.tell("e3", "e1", Release([("c1", 1, 0)]))
    cluster.ask("e2", "read", ["k"])
    assert isinstance(cluster.told[-1], Astray)
    for _ in range(Config().unanswered_max + 1):
        cluster.fire("e2", WANTED_TIMER)
    cluster.fire("e2", RECALL_TIMER)
    assert not {WANTED_TIMER, RECALL_TIMER} & cluster.timers["e2"].keys()
    assert all(task.cancelled for task in cluster.executors["e2"].tasks.values())


def test_what_is_recalled_for_a_client_that_is_gone_is_not_kept(cluster):
    cluster.outside("k", "old", 1)
    cluster.perform("e1", cluster.executors["e1"].handle(PeerLost("c1"), 0.0))
    cluster.tell("e2", "e1", Recall(1, "e2", "c1", 1, 0, "k", {}, True, {}))
    assert cluster.kept() == []
    assert WANTED_TIMER not in cluster.timers["e1"]


def test_a_recall_that_was_lost_is_sent_again_and_answered_once(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr", DIAMOND)
    cluster.end("e1")
    cluster.held = lambda sender, receiver, message: isinstance(message, Recall)
    op = cluster.ask("e2", "read", ["k"])
    assert op not in cluster.replies
    cluster.back.clear()
    cluster.held = lambda sender, receiver, message: False
    cluster.fire("e2", RECALL_TIMER)
    assert [reveal(found) for found in cluster.replies[op]] == ["old"]
    task = cluster.running("e2")
    cluster.tell("e1", "e2", Recalled(op, Entry(0, None)))
    assert task.session.fixed["k"].holder == "e1"


def test_an_attempt_that_has_lost_its_version_goes_astray_until_it_is_cancelled(cluster):
    cluster.outside("k", "old", 1)
    cluster.start("dsrr")
    assert cluster.get("e1", "k") == "old"
    cluster.outside("k", "new", 2)
    cluster.end("e1")
    cluster.tell("e3", "e1", Release([("c1", 1, 0)]))
    op = cluster.ask("e2", "read", ["k"])
    assert op not in cluster.replies
    astray = cluster.told[-1]
    assert isinstance(astray, Astray)
    assert not astray.free
    cluster.fire("e2", RECALL_TIMER)
    assert cluster.told[-1] == astray
    cluster.tell("c1", "e2", Cancel("c1", 1, 0))
    assert cluster.executors["e2"].operations.pending == {}
    cluster.fire("e2", RECALL_TIMER)
    assert RECALL_TIMER not in cluster.timers["e2"]


def test_an_attempt_astray_waits_before_it_says_so_again_though_another_recall_was_lost(cluster):
    cluster.start("dsrr")
    assert cluster.get("e1", "k") is cluster.get("e1", "j") is None
    for key in ("k", "j"):
        cluster.outside(key, "new", 2)
    cluster.end("e1")
    cluster.tell("e3", "e1", Release([("c1", 1, 0)]))
    cluster.held = lambda sender, receiver, message: isinstance(message, Recall) and message.key == "j"
    cluster.ask("e2", "read", ["k", "j"])
    for _ in range(4):
        cluster.fire("e2", RECALL_TIMER)
        assert cluster.timers["e2"][RECALL_TIMER] > cluster.now


# ---------------------------------------------------------------- atomic writes


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


# ---------------------------------------------------------------- causal levels


@pytest.mark.parametrize("level", ["sk", "mk", "dsc"])
def test_a_write_replaces_what_its_call_has_seen_on_another_executor(cluster, level):
    cluster.outside("k", "seed", 1)
    cluster.start(level)
    assert cluster.get("e1", "k") == "seed"
    cluster.end("e1")
    cluster.outside("k", "unseen", 2)
    cluster.put("e2", "k", "made")
    assert sorted(siblings(cluster.stored("k").lattice)) == ["made", "unseen"]
    cluster.end("e2")
    assert cluster.get("e3", "k") is not None
    cluster.put("e3", "k", "last")
    assert siblings(cluster.stored("k").lattice) == ["last"]
    cluster.end("e3")
    result = cluster.told[-1]
    assert isinstance(result, Result)
    assert result.session.seen["k"][1].upto == {"e2": 1, "e3": 1}


def test_at_dsc_what_was_read_comes_with_all_that_it_depends_on(cluster):
    """e2 holds an old x, and the update is on its way: the call has seen what was written after it."""
    cluster.outside("x", "x1", 1)
    cluster.start("lww", number=7)
    cluster.end("e1")
    assert cluster.get("e2", "x") == "x1"
    cluster.end("e2")
    cluster.end("e3")
    cluster.held = lambda sender, receiver, message: receiver == "e2" and isinstance(message, Update)
    cluster.outside("x", "x2", 2)
    cluster.outside("y", "y2", 3)
    cluster.start("dsc")
    assert cluster.get("e1", "y") == "y2"
    cluster.end("e1")
    assert cluster.get("e2", "x") == "x2"


@pytest.mark.parametrize(("level", "seen"), [("sk", "x1"), ("mk", "x2"), ("dsc", "x2")])
def test_a_cache_that_has_shown_something_shows_what_it_depends_on(cluster, level, seen):
    """y is not held and fetched; the update of x, which came before it, is still on its way."""
    cluster.outside("x", "x1", 1)
    cluster.start(level)
    assert cluster.get("e1", "x") == "x1"
    cluster.held = lambda sender, receiver, message: receiver == "e1" and isinstance(message, Update)
    cluster.outside("x", "x2", 2)
    cluster.outside("y", "y2", 3)
    assert cluster.get("e1", "y") == "y2"
    assert cluster.get("e1", "x") == seen


def test_writes_carry_what_their_call_has_seen(cluster):
    levels = cluster.executors["e1"].operations.levels
    cluster.start("dsc")
    task = cluster.running("e1")
    levels.see(task, "other", Entry(0, None, {"s3": 5}, {"s4": 2}))
    assert levels.terms(task, "k").deps == {"s3": 5, "s4": 2}
    assert task.floor == {"s3": 5, "s4": 2}
    assert levels.cut == {"s3": 5, "s4": 2}


def test_a_plain_call_carries_nothing_until_it_meets_siblings(cluster):
    cluster.outside("k", "plain", 1)
    cluster.tell("c1", "e1", Call(Header("c1", 1, 0, CHAIN, ["e1", "e2", "e3"]), 0, Args(encode(((), {})))))
    assert cluster.get("e1", "k") == "plain"
    assert cluster.running("e1").session is None
    cluster.tell("c9", "node", Put(5, "k", Causal(context=Context({"c9": 1}))))
    cluster.get("e1", "k")
    cluster.end("e1")
    assert cluster.running("e2").session.seen["k"][1].upto == {"c9": 1}


# ---------------------------------------------------------------- sessions


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
