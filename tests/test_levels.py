"""The consistency levels by events and effects: executors and a store, whose messages arrive when told to."""

from __future__ import annotations

import pytest

from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Send, SetTimer, Timer
from cloudburst_runtime.executor.kept import TIMER as WANTED_TIMER
from cloudburst_runtime.executor.recalls import TIMER as RECALL_TIMER
from cloudburst_runtime.executor.releases import RELEASE_AFTER_MS, RELEASES_MAX, Releases
from cloudburst_runtime.executor.releases import TIMER as RELEASES_TIMER
from cloudburst_runtime.lattices import LWW, Causal
from cloudburst_runtime.lattices.causal import Context
from cloudburst_runtime.lattices.wrap import reveal, siblings
from cloudburst_runtime.messages import (
    Args,
    Astray,
    Call,
    Cancel,
    Entry,
    Failure,
    GetReply,
    Header,
    Kept,
    Put,
    Recall,
    Recalled,
    Ref,
    Release,
    Result,
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
    assert cluster.executors["e2"].operations.snapshots.pending == 0  # nothing more is asked for
    for _ in range(4):
        cluster.fire("e2", RECALL_TIMER)
        assert cluster.timers["e2"][RECALL_TIMER] > cluster.now


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
