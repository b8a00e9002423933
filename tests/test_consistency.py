"""Each checker of consistency accepts good histories and says what is wrong with bad ones."""

import pytest

from cloudburst_runtime.sim.consistency import atomic, causal, guarantees, siblings, survival
from cloudburst_runtime.sim.consistency.judge import PROMISES, broken, judge
from cloudburst_runtime.sim.consistency.repeatable import repeatable
from cloudburst_runtime.sim.history import Act
from tests.tales import Tale


@pytest.fixture
def tale():
    return Tale()


def only(found, *words):
    assert len(found) == 1, found
    for word in words:
        assert word in found[0]


# ---------------------------------------------------------------- session guarantees, of clients


def test_a_client_reads_its_writes(tale):
    tale.put("c1", "x", "a")
    tale.get("c1", "x", "a")
    assert tale.found(guarantees.read_your_writes) == []
    tale.get("c1", "x", None)
    only(tale.found(guarantees.read_your_writes), "c1 read x → nothing and misses a of c1")


def test_a_client_reads_something_older_than_its_write(tale):
    tale.put("c2", "x", "a")
    tale.get("c1", "x", "a")
    tale.put("c1", "x", "b")
    tale.get("c1", "x", "a")
    only(tale.found(guarantees.read_your_writes), "misses b")


def test_a_concurrent_write_may_win_over_ones_own(tale):
    tale.put("c2", "x", "a")
    tale.put("c1", "x", "b")
    tale.get("c1", "x", "a")
    assert tale.found(guarantees.read_your_writes) == []


def test_a_write_that_may_have_failed_need_not_be_read(tale):
    tale.put("c1", "x", "a", kind="info")
    tale.get("c1", "x", None)
    assert tale.found(guarantees.read_your_writes) == []
    tale.get("c1", "x", "a")
    tale.get("c1", "x", None)
    assert tale.found(guarantees.read_your_writes) == []
    only(tale.found(guarantees.monotonic_reads), "misses a")


def test_operations_at_once_are_in_no_order(tale):
    put = tale.begin("c1", Act("put", "x", "a"))
    get = tale.begin("c1", Act("get", "x"))
    tale.end("c1", put)
    tale.end("c1", get, None)
    assert tale.found(guarantees.read_your_writes) == []


def test_a_client_reads_backwards(tale):
    tale.put("c2", "x", "a")
    tale.put("c2", "x", "b")
    tale.get("c1", "x", "a")
    tale.get("c1", "x", "b")
    assert tale.found(guarantees.monotonic_reads) == []
    tale.get("c1", "x", "a")
    only(tale.found(guarantees.monotonic_reads), "read x → a and misses b", "read before")
    assert tale.found(guarantees.read_your_writes) == []


def test_writes_of_a_session_are_seen_out_of_order(tale):
    tale.put("c1", "x", "a")
    tale.put("c1", "y", "b")
    tale.get("c2", "x", "a")
    tale.get("c2", "y", None)
    assert tale.found(guarantees.monotonic_writes) == []
    tale.get("c3", "y", "b")
    tale.get("c3", "x", None)
    only(tale.found(guarantees.monotonic_writes), "c3 read x → nothing and misses a of c1")
    assert tale.found(guarantees.writes_follow_reads) == []


def test_a_reply_is_seen_without_the_post(tale):
    tale.put("c1", "post", "a")
    tale.get("c2", "post", "a")
    tale.put("c2", "reply", "b")
    tale.get("c3", "reply", "b")
    tale.get("c3", "post", "a")
    assert tale.found(guarantees.writes_follow_reads) == []
    tale.get("c4", "reply", "b")
    tale.get("c4", "post", None)
    only(tale.found(guarantees.writes_follow_reads), "c4", "misses a", "depends")
    assert tale.found(guarantees.monotonic_writes) == []


# ---------------------------------------------------------------- session guarantees, along DAGs


def test_a_node_reads_what_an_earlier_node_wrote(tale):
    call = tale.call("c1")
    call.put(0, "x", "a", cache="e1").get(1, "x", "a", after=(0,), cache="e2")
    assert tale.found(guarantees.read_your_writes) == []
    call.get(2, "x", None, after=(0, 1), cache="e3").done()
    only(tale.found(guarantees.read_your_writes), f"{call.name}.0/2 on e3", "misses a")


def test_parallel_nodes_owe_each_other_nothing_until_they_are_joined(tale):
    call = tale.call("c1")
    call.put(1, "x", "a", after=(0,)).get(2, "x", None, after=(0,), cache="e2")
    assert tale.found(guarantees.read_your_writes) == []
    call.get(3, "x", None, after=(0, 1, 2)).done()
    only(tale.found(guarantees.read_your_writes), ".0/3")


def test_a_node_that_does_nothing_does_not_break_the_order(tale):
    tale.put("c1", "x", "a")
    call = tale.call("c1")
    call.put(0, "y", "b").get(2, "y", None, after=(0, 1)).get(2, "x", None).done()
    assert len(tale.found(guarantees.read_your_writes)) == 2


def test_a_call_reads_what_its_client_wrote_and_the_other_way_round(tale):
    tale.put("c1", "x", "a")
    call = tale.call("c1")
    call.get(0, "x", "a").put(0, "y", "b").done()
    tale.get("c1", "y", "b")
    assert tale.found(guarantees.read_your_writes) == []
    tale.get("c1", "y", None)
    tale.call("c1").get(0, "x", None).done()
    assert len(tale.found(guarantees.read_your_writes)) == 2


def test_what_a_failed_call_wrote_is_not_owed(tale):
    tale.call("c1").put(0, "y", "b").done("fail", ["CallTimeout", ""])
    tale.get("c1", "y", None)
    assert tale.found(guarantees.read_your_writes) == []


def test_only_the_attempt_that_gave_the_result_is_owed(tale):
    call = tale.call("c1")
    call.put(0, "y", "a").again().put(0, "z", "b").done()
    tale.get("c1", "y", None)
    assert tale.found(guarantees.read_your_writes) == []
    tale.get("c1", "z", None)
    only(tale.found(guarantees.read_your_writes), "misses b")


# ---------------------------------------------------------------- causal consistency


def test_a_value_out_of_thin_air(tale):
    tale.put("c1", "x", "a")
    tale.get("c2", "x", "b")
    only(tale.found(causal.thin_air), "read x → b, which nobody wrote")


def test_something_that_depends_on_itself(tale):
    one, two = tale.begin("c1", Act("get", "x")), tale.begin("c2", Act("get", "y"))
    tale.end("c1", one, "b")
    tale.end("c2", two, "a")
    tale.put("c1", "y", "a")
    assert tale.found(causal.cyclic) == []
    tale.put("c2", "x", "b")
    only(tale.found(causal.cyclic), "depends on itself")


def test_dependence_reaches_over_many_sessions(tale):
    tale.put("c1", "x", "a")
    for number in range(2, 6):
        tale.get(
            f"c{number}", f"k{number - 1}" if number > 2 else "x", f"v{number - 1}" if number > 2 else "a"
        )
        tale.put(f"c{number}", f"k{number}", f"v{number}")
    tale.get("c6", "k5", "v5")
    tale.get("c6", "x", "a")
    assert tale.found(causal.causal) == []
    tale.get("c7", "k5", "v5")
    tale.get("c7", "x", None)
    only(tale.found(causal.causal), "c7 read x → nothing and misses a of c1")
    assert tale.found(guarantees.writes_follow_reads) == []


def test_two_readers_disagree_about_concurrent_writes(tale):
    """Each knows of both writes, and takes another one for the newer: no single order explains it."""
    tale.put("c1", "x", "a")
    tale.put("c2", "x", "b")
    for reader, first, second in (("c3", "a", "b"), ("c4", "b", "a")):
        tale.get(reader, "x", first)
        tale.get(reader, "x", second)
    assert tale.found(causal.causal) == []
    only(tale.found(causal.conflicts), "older than itself")


def test_two_readers_see_one_of_two_concurrent_writes_each(tale):
    tale.put("c1", "x", "a")
    tale.put("c2", "x", "b")
    tale.get("c3", "x", "a")
    tale.get("c4", "x", "b")
    assert tale.found(causal.conflicts) == []


def test_a_dag_shows_a_reply_on_one_cache_and_no_post_on_the_next(tale):
    tale.put("c1", "post", "a")
    tale.get("c2", "post", "a")
    tale.put("c2", "reply", "b")
    call = tale.call("c3")
    call.get(0, "reply", "b", cache="e1").get(1, "post", None, after=(0,), cache="e2").done()
    only(tale.found(causal.causal), "on e2 read post → nothing")
    assert tale.found(causal.cut) == []


def test_one_cache_shows_a_reply_without_the_post(tale):
    call = tale.call("c1")
    call.get(0, "post", None).put(0, "post", "a").put(0, "reply", "b").done()
    tale.call("c2").get(0, "reply", "b", cache="e2").done()
    assert tale.found(causal.cut) == []
    tale.call("c3").get(0, "post", None, cache="e2").done()
    only(tale.found(causal.cut), "on e2 read post → nothing", "had shown")
    assert tale.found(causal.causal) == []


def test_what_is_written_beside_a_sibling_is_missed_only_where_all_are_asked_for(tale):
    tale.put("c1", "x", "a")
    tale.put("c2", "x", "b")
    tale.get("c3", "x", "a")
    tale.get("c3", "x", "b")
    assert tale.found(causal.causal) == []
    tale.siblings("c3", "x", "a", "b")
    assert tale.found(causal.causal) == []
    tale.siblings("c3", "x", "b")
    only(tale.found(causal.causal), "misses a")


# ---------------------------------------------------------------- repeatable reads


def test_reads_of_one_execution_agree(tale):
    call = tale.call("c1")
    call.get(0, "x", None).get(1, "x", None, after=(0,), cache="e2").get(1, "y", None).done()
    tale.put("c2", "x", "a")
    tale.call("c1").get(0, "x", "a").done()
    assert tale.found(repeatable) == []


def test_reads_of_one_execution_differ(tale):
    call = tale.call("c1")
    call.get(0, "x", None)
    tale.put("c2", "x", "a")
    call.get(1, "x", "a", after=(0,), cache="e2").done()
    only(tale.found(repeatable), "/1 on e2 read x → a, and", "/0 on e1 read x → nothing")


def test_parallel_nodes_read_different_versions(tale):
    call = tale.call("c1")
    call.get(1, "x", None, after=(0,))
    tale.put("c2", "x", "a")
    call.get(2, "x", "a", after=(0,), cache="e2").done()
    only(tale.found(repeatable), "/2 on e2")


def test_an_execution_that_wrote_the_key_reads_another_version(tale):
    call = tale.call("c1")
    call.get(0, "x", None).put(0, "x", "a").get(1, "x", "a", after=(0,)).get(2, "x", "a", after=(0, 1)).done()
    assert tale.found(repeatable) == []
    call.get(3, "x", None, after=(0, 1, 2))
    only(tale.found(repeatable), "/3")


def test_another_executions_write_does_not_excuse(tale):
    call, other = tale.call("c1"), tale.call("c2")
    call.get(0, "x", None)
    other.put(0, "x", "a").done()
    call.get(0, "x", "a").done()
    only(tale.found(repeatable), "read x → a")


def test_a_later_execution_reads_something_older(tale):
    tale.put("c2", "x", "a")
    tale.put("c2", "x", "b")
    tale.call("c1").get(0, "x", "b", cache="e1").done()
    tale.get("c1", "x", "a")  # its client has read that before
    assert tale.found(guarantees.monotonic_executions) == []
    tale.call("c1").get(0, "x", "a", cache="e2").done()
    only(tale.found(guarantees.monotonic_executions), "on e2 read x → a and misses b", "read before")
    assert tale.found(repeatable) == []
    assert guarantees.monotonic_executions in PROMISES["dsrr"]


# ---------------------------------------------------------------- siblings


def test_a_write_that_had_seen_another_supersedes_it(tale):
    tale.put("c1", "x", "a")
    tale.get("c2", "x", "a")
    tale.put("c2", "x", "b")
    tale.siblings("final", "x", "b")
    assert tale.found(siblings.kept) == []
    assert tale.found(siblings.per_key) == []


def test_a_concurrent_write_is_lost(tale):
    tale.put("c1", "x", "a")
    tale.put("c2", "x", "b")
    tale.siblings("final", "x", "a", "b")
    assert tale.found(siblings.kept) == []
    tale.siblings("final/2", "x", "b")
    only(tale.found(siblings.kept), "final/2 read x → b: a of c1 is lost")


def test_a_write_is_lost_to_an_older_one(tale):
    tale.put("c1", "x", "a")
    tale.put("c1", "x", "b")
    tale.get("c2", "x", "b")
    tale.get("c2", "x", "a")
    only(tale.found(siblings.per_key), "misses b")
    tale.get("final", "x", "a")
    only(tale.found(siblings.kept), "b of c1 is lost")


def test_what_one_key_says_of_another_does_not_concern_single_keys(tale):
    tale.put("c1", "x", "a")
    tale.put("c1", "y", "b")
    tale.get("c2", "y", "b")
    tale.get("c2", "x", None)
    assert tale.found(siblings.per_key) == []


def test_to_have_seen_another_key_is_not_to_have_seen_the_write(tale):
    tale.put("c1", "x", "a")
    tale.put("c1", "y", "b")
    tale.get("c2", "y", "b")
    tale.put("c2", "x", "c")
    tale.get("final", "x", "c")
    only(tale.found(siblings.kept), "a of c1 is lost")


def test_a_superseded_sibling_comes_back(tale):
    call = tale.call("c1")
    call.put(0, "x", "a").put(0, "x", "b").done()
    tale.siblings("c2", "x", "b")
    assert tale.found(siblings.superseded) == []
    tale.siblings("c2", "x", "a", "b")
    only(tale.found(siblings.superseded), "b was written by one who had seen a")


# ---------------------------------------------------------------- atomic visibility


def test_an_executions_writes_are_read_in_part(tale):
    tale.put("c0", "x", "x0")
    writer = tale.call("c1")
    writer.get(0, "x", "x0").put(0, "x", "x1").put(0, "y", "y1").done()
    tale.call("c2").get(0, "y", "y1").get(0, "x", "x1").done()
    tale.call("c2").get(0, "x", "x0").get(0, "y", None).done()
    assert tale.found(atomic.fractured) == []
    tale.call("c3").get(0, "x", "x0").get(1, "y", "y1", after=(0,)).done()
    only(tale.found(atomic.fractured), "read x → x0 and misses x1", "of whose execution")


def test_the_reads_of_a_block_go_together(tale):
    tale.get("c2", "x", None)
    tale.get("c2", "x", None, block="c2#1")
    tale.call("c1").put(0, "x", "x1").put(0, "y", "y1").done()
    tale.get("c2", "y", None, block="c2#1")
    tale.get("c2", "y", "y1")
    tale.get("c2", "y", "y1", block="c2#2")
    assert tale.found(atomic.fractured) == []
    tale.get("c2", "y", "y1", block="c2#1")
    only(tale.found(atomic.fractured), "c2 read x → nothing and misses x1 of c1")


def test_a_block_may_read_what_its_own_client_has_published(tale):
    tale.get("c1", "x", None, block="c1#1")
    tale.call("c1").put(0, "x", "x1").put(0, "y", "y1").done()
    tale.get("c1", "y", "y1", block="c1#1")
    assert tale.found(atomic.fractured) == []


def test_a_block_need_not_follow_what_its_executions_read_meanwhile(tale):
    tale.put("c1", "x", "a")
    tale.get("c2", "x", "a", block="c2#1")
    tale.call("c1").get(0, "x", "a").put(0, "x", "b").done()
    tale.call("c2").get(0, "x", "b").done()
    tale.get("c2", "x", "a", block="c2#1")
    assert tale.found(guarantees.monotonic_blocks) == []
    assert guarantees.monotonic_blocks in PROMISES["atomic"]
    tale.get("c2", "x", "a", block="c2#2")
    only(tale.found(guarantees.monotonic_blocks), "c2 read x → a and misses b", "read before")


def test_a_block_reads_forwards(tale):
    tale.put("c1", "x", "a")
    tale.get("c2", "x", "a", block="c2#1")
    tale.get("c2", "x", None, block="c2#1")
    only(tale.found(guarantees.monotonic_blocks), "c2 read x → nothing and misses a")


def test_a_later_write_stands_for_the_one_that_was_overwritten(tale):
    tale.call("c1").put(0, "x", "x1").put(0, "y", "y1").done()
    tale.call("c1").get(0, "x", "x1").put(0, "x", "x2").done()
    tale.call("c2").get(0, "y", "y1").get(0, "x", "x2").done()
    assert tale.found(atomic.fractured) == []


def test_an_intermediate_write_is_read(tale):
    writer = tale.call("c1")
    writer.put(0, "x", "a").get(0, "x", "a").put(0, "x", "b")
    assert tale.found(atomic.unpublished) == []
    tale.call("c2").get(0, "x", "a").done()
    writer.done()
    only(tale.found(atomic.unpublished), "read x → a", "overwrote")


def test_what_a_failed_execution_wrote_is_read(tale):
    tale.call("c1").put(0, "x", "a").done("fail", ["user", "boom"])
    tale.get("c2", "x", None)
    assert tale.found(atomic.unpublished) == []
    tale.get("c2", "x", "a")
    only(tale.found(atomic.unpublished), "whose execution failed")


def test_a_retried_call_publishes_twice(tale):
    call = tale.call("c1")
    call.put(0, "x", "a/0").again().put(0, "x", "a/1").done()
    tale.get("c2", "x", "a/1")
    assert tale.found(atomic.twice) == []
    tale.get("c3", "x", "a/0")
    only(tale.found(atomic.twice), "of another attempt")


def test_half_an_execution_remains(tale):
    tale.call("c1").put(0, "x", "a").put(0, "y", "b").done("info")
    tale.get("final", "x", None)
    tale.get("final", "y", None)
    assert tale.found(atomic.partial) == []
    tale.get("c2", "x", "a")
    tale.get("final/2", "x", "a")
    tale.get("final/2", "y", "b")
    assert len(tale.found(atomic.partial)) == 2
    assert all("final read" in reason for reason in tale.found(atomic.partial))


# ---------------------------------------------------------------- in the end


def test_replicas_that_do_not_converge(tale):
    tale.put("c1", "x", "a")
    tale.put("c2", "x", "b")
    tale.get("final/s1", "x", "b")
    tale.get("final/s2", "x", "b")
    assert tale.found(survival.convergence) == []
    tale.get("final/s3", "x", "a")
    only(tale.found(survival.convergence), "final/s3 read x → a, and final/s1 read x → b")


@pytest.mark.parametrize("kind", ["ok", "info"])
def test_an_acknowledged_write_is_lost(tale, kind):
    tale.put("c1", "x", "a", kind)
    tale.get("final", "x", None)
    found = tale.found(survival.acknowledged)
    if kind == "ok":
        only(found, "misses a of c1, which was acknowledged")
    else:
        assert found == []


def test_atomic_writes_are_acknowledged_with_their_execution():
    tale = Tale("atomic")
    tale.call("c1").put(0, "x", "a").done("fail", ["user", "boom"])
    tale.call("c1").put(0, "y", "b").again().put(0, "y", "c").done()
    tale.get("final", "x", None)
    tale.get("final", "y", "c")
    assert tale.found(survival.acknowledged) == []
    tale.get("final/2", "y", None)
    only(tale.found(survival.acknowledged), "misses c")


def test_a_write_is_lost_with_what_had_replaced_it(tale):
    tale.put("c1", "x", "a")
    tale.put("c1", "x", "b")
    tale.get("final", "x", "a")
    only(tale.found(survival.acknowledged), "misses b")


def test_operations_without_an_end_or_success(tale):
    tale.put("c1", "x", "a", "fail")
    tale.history.note(5.0, "net", survival.HEALED)
    tale.put("c1", "x", "b")
    assert list(survival.liveness(tale.history)) == []
    tale.begin("c2", Act("get", "x"))
    tale.put("c1", "x", "c", "fail")
    first, second = survival.liveness(tale.history)
    assert "without end" in first.reason
    assert "all had healed" in second.reason
    tale.history.note(9.0, "c2", "crash")
    assert list(survival.liveness(tale.history)) == [second]


# ---------------------------------------------------------------- levels


def test_each_level_is_judged_by_what_was_done_at_it():
    tale = Tale("dsc")
    tale.put("c1", "x", "a")
    tale.put("c1", "y", "b")
    tale.get("c2", "y", "b")
    tale.get("c2", "x", None)
    assert {check for check, _ in judge(tale.record, "dsc")} == {
        causal.causal,
        causal.cut,
        guarantees.monotonic_writes,
    }
    assert judge(tale.record, "lww") == []


def test_writes_at_another_level_carry_no_dependencies():
    tale = Tale("lww")
    tale.put("c1", "x", "a")
    tale.put("c1", "y", "b")
    tale.level = "dsc"
    tale.get("c2", "y", "b")
    tale.get("c2", "x", None)
    assert judge(tale.record, "dsc") == []
    tale.get("c2", "y", None)
    assert {check for check, _ in judge(tale.record, "dsc")} >= {guarantees.monotonic_reads}


def test_keys_that_are_no_registers_are_not_judged(tale):
    tale.put("c1", "own", "a")
    tale.end("c1", tale.begin("c1", Act("delete", "own")))
    tale.get("c1", "own", None)
    tale.end("c1", tale.begin("c1", Act("put", "list", ["a"])))
    tale.end("c1", tale.begin("c1", Act("add", "n", 3)))
    tale.end("c1", tale.begin("c1", Act("get", "n")), 3)
    assert len(tale.record) == 0


def test_stronger_levels_promise_more():
    assert set(PROMISES["lww"]) < set(PROMISES["sk"]) < set(PROMISES["mk"]) < set(PROMISES["dsc"])


def test_a_history_says_what_is_broken_at_which_level():
    tale = Tale("sk")
    tale.put("c1", "x", "a")
    tale.put("c2", "x", "b")
    tale.siblings("final", "x", "b")
    said = [text.splitlines()[0] for text in broken(tale.history)]
    assert said == [
        "sk: acknowledged: final read x → b and misses a of c1, which was acknowledged",
        "sk: kept: final read x → b: a of c1 is lost, unseen",
    ]


def test_a_history_that_says_when_all_had_healed_is_asked_for_success():
    tale = Tale()
    tale.history.note(1.0, "net", survival.HEALED)
    tale.put("c1", "x", "a", "fail")
    only(broken(tale.history), "liveness: c1", "all had healed")
