"""The store replica by requests and answers."""

from __future__ import annotations

import tracemalloc

import pytest

from cloudburst_runtime.anna.replica import DELETES_KEPT_MAX, REQUESTS, ReplicaCore
from cloudburst_runtime.anna.watches import PARKED_MAX
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send
from cloudburst_runtime.lattices import LWW, Counter, MapLattice, Max
from cloudburst_runtime.lattices.wrap import delta
from cloudburst_runtime.messages import (
    Delete,
    Entry,
    Failed,
    Failure,
    Forget,
    Get,
    GetReply,
    Keys,
    KeysReply,
    Message,
    Put,
    PutReply,
    Resync,
    Status,
    Unwatch,
    Update,
    pack,
    unpack,
)
from cloudburst_runtime.values import encode


@pytest.fixture
def replica() -> ReplicaCore:
    return ReplicaCore(Config(tombstones_max=3))


def ask(replica: ReplicaCore, peer: str, message: Message) -> list[tuple[str, Message]]:
    effects = replica.handle(Received(peer, message), 0.0)
    assert all(type(effect) is Send for effect in effects)
    return [(effect.peer, effect.message) for effect in effects]


def value(replica: ReplicaCore, key: str) -> Entry | None:
    [(_, reply)] = ask(replica, "probe", Get(999, [key]))
    assert isinstance(reply, GetReply)
    entry = reply.entries[0]
    return None if entry is None else Entry(entry.generation, entry.lattice)


# ---------------------------------------------------------------- put and get


def test_puts_merge_and_count_changes(replica: ReplicaCore) -> None:
    assert ask(replica, "a", Put(1, "k", Max(3))) == [("a", PutReply(1, 0, 1))]
    assert ask(replica, "b", Put(1, "k", Max(5))) == [("b", PutReply(1, 0, 2))]
    assert value(replica, "k") == Entry(0, Max(5))
    assert replica.start(0.0) == []


def test_the_version_names_the_last_change_of_the_key() -> None:
    replica = ReplicaCore(Config(), "s2")
    for key, number in (("k", 1), ("other", 1), ("k", 2), ("k", 2)):
        ask(replica, "a", Put(1, key, Max(number)))
    ask(replica, "a", Delete(2, "other", 7))
    [(_, reply)] = ask(replica, "a", Get(3, ["k", "other", "absent"]))
    assert [entry and entry.version for entry in reply.entries] == [{"s2": 3}, {"s2": 4}, None]


@pytest.mark.parametrize("again", [Max(3), Max(1), Max(2.5)])
def test_a_put_that_changes_nothing_is_no_change(replica: ReplicaCore, again: Max) -> None:
    ask(replica, "r", Get(1, ["k"], watch=True))
    ask(replica, "a", Put(1, "k", Max(3)))
    assert ask(replica, "a", Put(2, "k", again)) == [("a", PutReply(2, 0, 1))]


def test_missing_keys_are_none(replica: ReplicaCore) -> None:
    ask(replica, "a", Put(1, "k", Max(3)))
    assert ask(replica, "a", Get(2, ["x", "k"])) == [
        ("a", GetReply(2, [None, Entry(0, Max(3), {"node": 1})], 1))
    ]


def test_a_type_that_does_not_fit_is_refused(replica: ReplicaCore) -> None:
    ask(replica, "a", Put(1, "k", Max(3)))
    [(peer, failed)] = ask(replica, "a", Put(2, "k", Counter()))
    assert peer == "a"
    assert isinstance(failed, Failed)
    assert (failed.req, failed.failure.kind) == (2, "LatticeMismatch")
    assert "'k' holds a 'max' lattice" in failed.failure.message
    assert (value(replica, "k"), replica.seq) == (Entry(0, Max(3)), 1)


@pytest.mark.parametrize(
    "message",
    [
        Put(1, "", Max(1)),
        Put(1, "k" * 256, Max(1)),
        Put(1, "k", Max(1), 2**63),
        Delete(1, "", 5),
        Delete(1, "k", -1),
        Delete(1, "k", 2**63),
    ],
)
def test_malformed_writes_are_refused(replica: ReplicaCore, message: Message) -> None:
    [(_, failed)] = ask(replica, "a", message)
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "InvalidName"
    assert (replica.key_count, replica.seq) == (0, 0)


def test_values_nested_without_end_are_refused(replica: ReplicaCore) -> None:
    deep = MapLattice()
    for _ in range(5000):
        deep = MapLattice({b"\1": deep})
    [(_, failed)] = ask(replica, "a", Put(1, "k", deep))
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "SerializationError"
    assert (replica.key_count, replica.nbytes, replica.seq) == (0, 0, 0)


@pytest.mark.parametrize(
    "message",
    [
        Unwatch(["k"]),
        Forget(4),
        Resync(0),
        Status(1),
        Failed(1, Failure("CloudburstError", "")),
        Entry(0, None),
        Get(1, []),
        Get(1, [], wait=True, watch=True),
        Keys(1, "\0"),
    ],
)
def test_anything_else_does_no_harm(replica: ReplicaCore, message: Message) -> None:
    ask(replica, "a", message)
    ask(replica, "a", Put(1, "k", Max(1)))
    assert ask(replica, "a", Unwatch(["k", "none"])) == []
    assert value(replica, "k") == Entry(0, Max(1))


def test_every_request_has_a_handler(replica: ReplicaCore) -> None:
    assert set(replica._handlers) == set(REQUESTS)


# ---------------------------------------------------------------- generations


def test_a_deletion_begins_a_generation(replica: ReplicaCore) -> None:
    ask(replica, "a", Put(1, "k", Max(9)))
    assert ask(replica, "a", Delete(2, "k", 100)) == [("a", PutReply(2, 100, 2))]
    assert value(replica, "k") == Entry(100, None)
    assert ask(replica, "b", Put(1, "k", Max(7))) == [("b", PutReply(1, 100, 2))]
    assert value(replica, "k") == Entry(100, None)
    assert ask(replica, "b", Put(2, "k", Max(1), 100)) == [("b", PutReply(2, 100, 3))]
    assert value(replica, "k") == Entry(100, Max(1))


def test_a_put_may_know_a_newer_generation(replica: ReplicaCore) -> None:
    ask(replica, "a", Put(1, "k", Max(9)))
    assert ask(replica, "a", Put(2, "k", Counter({"a": (1, 0)}), 50)) == [("a", PutReply(2, 50, 2))]
    assert value(replica, "k") == Entry(50, Counter({"a": (1, 0)}))
    assert ask(replica, "b", Put(1, "k", Max(7), 49)) == [("b", PutReply(1, 50, 2))]


def test_a_deletion_with_an_old_stamp_deletes_all_the_same(replica: ReplicaCore) -> None:
    ask(replica, "a", Put(1, "k", Max(9), 100))
    assert ask(replica, "b", Delete(1, "k", 7)) == [("b", PutReply(1, 101, 2, 0, 0))]
    assert value(replica, "k") == Entry(101, None)


def test_a_repeated_deletion_does_not_delete_again(replica: ReplicaCore) -> None:
    ask(replica, "a", Delete(1, "k", 100))
    ask(replica, "a", Put(2, "k", Max(1), 100))
    assert ask(replica, "a", Delete(1, "k", 100)) == [("a", PutReply(1, 100, 2))]
    assert value(replica, "k") == Entry(100, Max(1))
    ask(replica, "b", Delete(1, "k", 100))
    assert value(replica, "k") == Entry(101, None)


def test_the_memory_of_deletions_is_bounded(replica: ReplicaCore) -> None:
    for req in range(1, DELETES_KEPT_MAX + 10):
        ask(replica, "a", Delete(req, "k", req))
    assert len(replica.watches.peers["a"].deleted) == DELETES_KEPT_MAX


def test_a_late_put_revives_nothing_even_if_the_tombstone_was_dropped(replica: ReplicaCore) -> None:
    for req in range(1, 6):
        ask(replica, "a", Put(10 + req, f"k{req}", Max(1)))
        ask(replica, "a", Delete(req, f"k{req}", 100 * req))
    assert list(replica.records.deleted) == ["k3", "k4", "k5"]
    [(_, reply)] = ask(replica, "b", Put(1, "k1", Max(9)))
    assert reply == PutReply(1, 200, replica.seq)
    assert value(replica, "k1") == Entry(200, None)
    ask(replica, "b", Put(2, "k1", Max(9), 200))
    assert value(replica, "k1") == Entry(200, Max(9))


# ---------------------------------------------------------------- watching


def test_updates_come_before_the_answer_and_to_the_writer_too(replica: ReplicaCore) -> None:
    for peer in ("e1", "e2"):
        ask(replica, peer, Resync(1))
        assert ask(replica, peer, Get(5, ["k"], watch=True)) == [(peer, GetReply(5, [None], 0, 0, 1))]
    entry = Entry(0, Max(1), {"node": 1})
    assert ask(replica, "e1", Put(6, "k", Max(1))) == [
        ("e1", Update(1, 1, 1, "k", entry)),
        ("e2", Update(1, 1, 1, "k", entry)),
        ("e1", PutReply(6, 0, 1, 1, 1)),
    ]
    assert replica.holders("k") == ["e1", "e2"]
    assert ask(replica, "e2", Delete(6, "k", 9))[:2] == [
        ("e1", Update(1, 2, 2, "k", Entry(9, None, {"node": 2}))),
        ("e2", Update(1, 2, 2, "k", Entry(9, None, {"node": 2}))),
    ]


def test_unwatch_ends_it_unless_a_later_get_asked_again(replica: ReplicaCore) -> None:
    ask(replica, "e1", Get(5, ["k", "x"], watch=True))
    ask(replica, "e1", Unwatch(["k"], 4))
    assert replica.holders("k") == ["e1"]
    ask(replica, "e1", Unwatch(["k"], 6))
    assert (replica.holders("k"), replica.holders("x")) == ([], ["e1"])
    ask(replica, "e1", Get(7, ["k"], watch=True))
    ask(replica, "e1", Get(5, ["k"], watch=True))
    ask(replica, "e1", Unwatch(["k"], 6))
    assert replica.holders("k") == ["e1"]
    ask(replica, "e1", Unwatch(["k"]))
    assert replica.holders("k") == []


def test_resync_begins_to_count_anew_and_only_once(replica: ReplicaCore) -> None:
    ask(replica, "e1", Get(1, ["k"], watch=True))
    ask(replica, "a", Put(1, "k", Max(1)))
    ask(replica, "e1", Resync(2))
    assert replica.holders("k") == []
    assert ask(replica, "e1", Get(2, ["k"], watch=True))[0][1] == GetReply(
        2, [Entry(0, Max(1), {"node": 1})], 1, 0, 2
    )
    for epoch in (2, 1):
        ask(replica, "e1", Resync(epoch))
        assert replica.holders("k") == ["e1"]
    assert ask(replica, "a", Put(2, "k", Max(2)))[0] == (
        "e1",
        Update(2, 1, 2, "k", Entry(0, Max(2), {"node": 2})),
    )


def test_a_lost_peer_leaves_nothing(replica: ReplicaCore) -> None:
    ask(replica, "e1", Get(1, ["k"], watch=True))
    ask(replica, "e1", Get(2, ["x", "k"], wait=True))
    ask(replica, "e2", Get(2, ["x"], wait=True))
    ask(replica, "e1", Delete(3, "z", 9))
    assert replica.handle(PeerLost("e1"), 0.0) == []
    assert replica.handle(PeerLost("nobody"), 0.0) == []
    assert (replica.holders("k"), list(replica.watches.peers)) == ([], ["e2"])
    assert [peer for peer, _ in ask(replica, "a", Put(1, "x", Max(1)))] == ["e2", "a"]


# ---------------------------------------------------------------- waiting


def test_a_waiting_read_is_answered_when_all_keys_exist(replica: ReplicaCore) -> None:
    get = Get(1, ["x", "y"], wait=True, watch=True)
    assert ask(replica, "e1", get) == []
    assert ask(replica, "e1", get) == []
    assert len(ask(replica, "a", Put(1, "y", Max(2)))) == 1
    answered = ask(replica, "a", Put(2, "x", Max(1)))
    both = [Entry(0, Max(1), {"node": 2}), Entry(0, Max(2), {"node": 1})]
    assert answered == [("e1", GetReply(1, both, 2)), ("a", PutReply(2, 0, 2))]
    assert replica.holders("x") == ["e1"]
    assert len(ask(replica, "e1", get)) == 1
    assert replica.watches.parked == {}


def test_a_key_that_goes_again_is_waited_for_again(replica: ReplicaCore) -> None:
    ask(replica, "e1", Get(1, ["x", "y"], wait=True))
    ask(replica, "a", Put(1, "x", Max(1)))
    ask(replica, "a", Delete(2, "x", 5))
    assert len(ask(replica, "a", Put(3, "y", Max(1)))) == 1
    assert [peer for peer, _ in ask(replica, "a", Put(4, "x", Max(2), 5))] == ["e1", "a"]


def test_a_forgotten_read_is_not_answered(replica: ReplicaCore) -> None:
    ask(replica, "e1", Get(1, ["x"], wait=True))
    ask(replica, "e1", Forget(1))
    ask(replica, "e1", Forget(1))
    assert replica.watches.parked == {}
    assert len(ask(replica, "a", Put(1, "x", Max(1)))) == 1


def test_only_so_many_reads_may_wait(replica: ReplicaCore) -> None:
    for req in range(PARKED_MAX):
        assert ask(replica, "e1", Get(req, ["x"], wait=True)) == []
    [(_, failed)] = ask(replica, "e1", Get(PARKED_MAX, ["x"], wait=True))
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "NoResources"
    assert ask(replica, "e2", Get(1, ["x"], wait=True)) == []


# ---------------------------------------------------------------- what is there


def test_keys_are_listed_in_order(replica: ReplicaCore) -> None:
    for key in ("b", "a2", "a1", "gone"):
        ask(replica, "a", Put(1, key, Max(1)))
    ask(replica, "a", Put(4, "a2", Max(2)))
    ask(replica, "a", Put(2, "set", delta({"x"}, None, "a", 1)))
    ask(replica, "a", Delete(3, "gone", 9))
    ask(replica, "e1", Get(1, ["a2"], watch=True))
    assert ask(replica, "c", Keys(7, "a"))[0][1] == KeysReply(
        7, ["a1", "a2"], ["max"] * 2, [8, 8], [[], ["e1"]], [1, 2], [1, 1]
    )
    everything = ask(replica, "c", Keys(8))[0][1]
    assert isinstance(everything, KeysReply)
    assert everything.keys == ["a1", "a2", "b", "set"]
    assert everything.lattices[-1] == "set"
    assert replica.key_count == 4


def test_size_is_kept_account_of(replica: ReplicaCore) -> None:
    puts = [("a", {"x", "y"}), ("b", 1), ("a", {"z", "y"}), ("bb", [1] * 500), ("b", 2)]
    for stamp, (key, content) in enumerate(puts):
        ask(replica, "w", Put(stamp, key, delta(content, None, "w", stamp)))
    ask(replica, "w", Delete(90, "bb", 50))
    ask(replica, "w", Delete(91, "never", 50))
    held = [(key, value(replica, key)) for key in ("a", "b")]
    assert replica.nbytes == sum(len(key) + entry.lattice.nbytes for key, entry in held)  # type: ignore[union-attr]


def test_a_small_key_takes_under_500_bytes() -> None:
    replica = ReplicaCore(Config())
    count = 5000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for index in range(count):
            put = Put(index, f"user:{index}", LWW(1_700_000_000_000_000 + index, "c1f9a0", encode(index)))
            replica.handle(Received("c1f9a0", unpack(pack(put))), 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / count < 500
