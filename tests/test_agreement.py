"""How parallel steps agree on versions: e2 and e3 run the diamond's, and e2 is their home."""

from __future__ import annotations

import pytest

from cloudburst_runtime.effects import PeerLost
from cloudburst_runtime.executor.agreement import TIMER, Claims, unchanged
from cloudburst_runtime.executor.kept import TIMER as WANTED_TIMER
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.messages import (
    Args,
    Astray,
    Call,
    Cancel,
    Claim,
    Claimed,
    Entry,
    Header,
    Kept,
    Recall,
    Release,
    Session,
    Trigger,
    Triggers,
)
from cloudburst_runtime.values import encode
from tests.levels_world import DIAMOND, FIRST, Cluster

BETWEEN_EXECUTORS = (Recall, Claim)


@pytest.fixture
def cluster() -> Cluster:
    """The key k is there; both parallel steps run, and hold nothing yet."""
    cluster = Cluster()
    cluster.outside("k", "old", 1)
    return cluster


def begin(cluster: Cluster) -> None:
    cluster.start("dsrr", DIAMOND, agreeing=True)
    cluster.end("e1")


def asked(cluster: Cluster) -> list[tuple[str, str]]:
    """Who has asked whom, among executors, since it is counted."""
    return [(sender, receiver) for sender, receiver, _ in cluster.back]


def keep_back(cluster: Cluster, *kinds: type) -> None:
    cluster.held = lambda sender, receiver, message: isinstance(message, kinds)


# ---------------------------------------------------------------- what is unchanged


def test_what_has_not_changed_since_the_start_is_read_without_a_word(cluster):
    begin(cluster)
    keep_back(cluster, *BETWEEN_EXECUTORS)
    for _ in range(2):
        assert cluster.get("e2", "k") == cluster.get("e3", "k") == "old"
    assert asked(cluster) == []


def test_what_was_read_so_stays_though_the_key_changes(cluster):
    begin(cluster)
    assert cluster.get("e2", "k") == cluster.get("e3", "k") == "old"
    cluster.outside("k", "new", 2)
    assert cluster.get("e2", "k") == cluster.get("e3", "k") == "old"
    cluster.end("e2")
    cluster.end("e3")
    assert cluster.get("e4", "k") == "old"
    cluster.end("e4")
    assert cluster.kept() == []


def test_what_has_come_later_or_is_not_there_is_not_unchanged():
    assert unchanged(Entry(0, LWW(1, "c1", encode(0)), {"node": 4}), {"node": 4, "s2": 1})
    assert not unchanged(Entry(0, LWW(1, "c1", encode(0)), {"node": 4, "s2": 2}), {"node": 4, "s2": 1})
    assert not unchanged(Entry(0, None, {"node": 4}), {"node": 4})
    assert not unchanged(Entry(0, LWW(1, "c1", encode(0))), {"node": 4})


def test_inputs_of_steps_of_one_executor_go_in_one_message_with_what_both_have_read(cluster):
    cluster.outside("j", "old", 2)
    begin(cluster)
    assert cluster.get("e2", "j") == "old"
    for name in ("e2", "e3", "e4"):
        cluster.end(name)
    floor = {"node": cluster.replica.seq}
    session = Session("dsrr", "e2", start=floor, beside=["e2"])
    header = Header("c1", 2, 0, DIAMOND, ["e1", "e2", "e2", "e4"], floor=floor, session=session)
    cluster.tell("c1", "e1", Call(header, 0, Args(encode(((), {})))))
    cluster.end("e1")
    keep_back(cluster, Trigger, Triggers)
    for key in ("j", "k"):
        assert cluster.get("e2", key) == "old"
        cluster.end("e2")
    [(_, receiver, message)] = cluster.back
    assert (receiver, [each.source for each in message.inputs]) == ("e4", [1, 2])
    for key in ("j", "k"):
        cluster.outside(key, "new", 3)
    cluster.release()
    assert cluster.get("e4", "j") == cluster.get("e4", "k") == "old"


# ---------------------------------------------------------------- what has changed


@pytest.mark.parametrize(("first", "second"), [("e2", "e3"), ("e3", "e2")])
def test_who_reads_a_key_after_its_change_reads_what_the_other_has_read_before(cluster, first, second):
    begin(cluster)
    assert cluster.get(first, "k") == "old"
    cluster.outside("k", "new", 2)
    assert cluster.get(second, "k") == "old"


@pytest.mark.parametrize(("first", "second"), [("e2", "e3"), ("e3", "e2")])
def test_if_both_read_it_after_its_change_they_read_that(cluster, first, second):
    begin(cluster)
    cluster.outside("k", "new", 2)
    assert cluster.get(first, "k") == "new"
    cluster.outside("k", "newer", 3)
    assert cluster.get(second, "k") == "new"


def test_who_has_given_a_key_asks_its_home_though_it_has_not_heard_of_the_change(cluster):
    begin(cluster)
    assert cluster.get("e3", "k") == "old"  # held from now on
    for name in ("e2", "e3"):
        cluster.tell("c1", name, Cancel("c1", 1, 0))
        cluster.end(name)
    cluster.start("dsrr", DIAMOND, number=2, agreeing=True)
    cluster.end("e1")
    cluster.held = lambda sender, receiver, message: (sender, receiver) == ("node", "e3")
    cluster.outside("k", "new", 2)  # e3 hears nothing of it
    assert cluster.get("e2", "k") == "new"
    assert cluster.get("e3", "k") == "new"


def test_what_a_step_has_read_before_it_was_moved_counts(cluster):
    """A step that runs where none was to run asks the home, which asks where it was."""
    begin(cluster)
    assert cluster.get("e3", "k") == "old"
    cluster.outside("k", "new", 2)
    session = cluster.running("e3").session
    recall = Recall(1, "e1", "c1", 1, 0, "k", {}, True, session.start, start=session.start)
    recall.beside = session.beside
    cluster.tell("e1", "e2", recall)
    assert cluster.executors["e1"].cache.peek("k", {}) is None
    kept = cluster.executors["e2"].operations.snapshots.kept["c1", 1, 0]
    assert [entry.lattice.stamp for entry in kept.values()] == [1]


def test_a_key_that_is_absent_is_the_home_s_to_decide_on(cluster):
    begin(cluster)
    assert cluster.get("e3", "nothing") is None
    cluster.outside("nothing", "new", 2)
    assert cluster.get("e2", "nothing") is None


def test_what_the_call_itself_wrote_is_the_home_s_to_decide_on(cluster):
    begin(cluster)
    cluster.put("e3", "k", "own")
    keep_back(cluster, Claim)  # nobody else can have read it after that write
    assert cluster.get("e3", "k") == "own"
    assert asked(cluster) == []


def test_a_step_that_begins_with_its_first_input_agrees_with_what_feeds_it_later(cluster):
    cluster.start("dsrr", FIRST, agreeing=True)
    cluster.end("e1")
    cluster.end("e2")
    cluster.outside("k", "new", 2)
    assert cluster.get("e4", "k") == "new"
    cluster.outside("k", "newer", 3)
    assert cluster.get("e3", "k") == "new"


# ---------------------------------------------------------------- what may go wrong


def test_a_claim_that_was_lost_is_sent_again_and_answered_once(cluster):
    begin(cluster)
    cluster.outside("k", "new", 2)
    keep_back(cluster, Claim)
    op = cluster.ask("e2", "read", ["k"])
    assert op not in cluster.replies
    cluster.back.clear()
    cluster.held = lambda sender, receiver, message: False
    cluster.fire("e2", TIMER)
    assert cluster.replies[op][0].stamp == 2
    cluster.fire("e2", TIMER)
    assert TIMER not in cluster.timers["e2"]
    assert cluster.executors["e2"].operations.snapshots.pending == 0


def test_who_is_gone_has_read_nothing(cluster):
    begin(cluster)
    cluster.outside("k", "new", 2)
    keep_back(cluster, Claim)
    op = cluster.ask("e2", "read", ["k"])
    cluster.perform("e2", cluster.executors["e2"].handle(PeerLost("e3"), cluster.now))
    assert cluster.replies[op][0].stamp == 2


def test_who_waits_for_a_version_of_one_that_is_gone_says_so(cluster):
    begin(cluster)
    cluster.outside("k", "new", 2)
    keep_back(cluster, Recall)
    cluster.ask("e3", "read", ["k"])
    cluster.perform("e3", cluster.executors["e3"].handle(PeerLost("e2"), cluster.now))
    cluster.settle()
    astray = cluster.told[-1]
    assert isinstance(astray, Astray)
    assert astray.lost


def test_a_claim_of_an_attempt_that_is_over_leaves_nothing_behind(cluster):
    cluster.tell("e4", "e3", Release([("c1", 1, 0)]))
    cluster.tell("e2", "e3", Claim(1, "e2", "c1", 1, 0, "k"))
    assert cluster.executors["e3"].operations.snapshots.claims.attempts == []
    assert WANTED_TIMER not in cluster.timers["e3"]


def test_of_what_was_given_the_client_is_asked_until_it_is_over(cluster):
    cluster.tell("e2", "e3", Claim(1, "e2", "c1", 1, 0, "k"))
    cluster.fire("e3", WANTED_TIMER)
    assert cluster.told[-1] == Kept(1, 0, "e3")
    cluster.tell("c1", "e3", Cancel("c1", 1, 0))
    cluster.fire("e3", WANTED_TIMER)
    assert cluster.executors["e3"].operations.snapshots.claims.attempts == []
    assert WANTED_TIMER not in cluster.timers["e3"]


def test_a_round_that_was_given_up_ends_nothing():
    ended: list[Entry | None] = []
    claims = Claims("e1", 100.0, iter(range(1, 9)).__next__)

    def end(entry: Entry | None, now: float) -> list[object]:
        ended.append(entry)
        return []

    claims.ask(("c1", 1, 0), "k", ["e1", "e2", "e3"], end, 0.0)
    claims.release(("c1", 1, 0))
    assert claims.on_claimed(Claimed(1, None), 1.0) == claims.on_claimed(Claimed(2, None), 1.0) == []
    assert claims.on_timer(100.0) == []
    assert not ended
    assert claims.ask(("c1", 2, 0), "k", ["e1"], end, 200.0) == []
    assert ended == [None]


def test_what_is_claimed_in_the_moment_of_the_read_is_asked_for(cluster, monkeypatch):
    """User code reads in one thread, while another takes the home's claim."""
    begin(cluster)
    assert cluster.get("e2", "k") == "old"
    snapshots = cluster.executors["e3"].operations.snapshots
    held = cluster.stored("k")
    monkeypatch.setattr(snapshots._cache, "peek", lambda key, floor: held)
    fix = snapshots._fix

    def claimed(*args: object) -> Entry:
        found = fix(*args)
        cluster.tell("e2", "e3", Claim(7, "e2", "c1", 1, 0, "k"))
        return found

    monkeypatch.setattr(snapshots, "_fix", claimed)
    assert snapshots.peek(cluster.running("e3"), "k") is None
    assert "k" not in cluster.running("e3").session.fixed
