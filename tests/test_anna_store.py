"""One store among several, by events and effects."""

from __future__ import annotations

from typing import Any

import pytest

from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.lattices import Counter, Max, Mixed, SetLattice
from cloudburst_runtime.messages import (
    Compare,
    Compared,
    Delete,
    Elsewhere,
    Entry,
    Failed,
    Get,
    GetReply,
    Gossip,
    Heard,
    History,
    HistoryReply,
    Keys,
    KeysReply,
    Members,
    Pull,
    Pulled,
    Put,
    PutReply,
    Resync,
    Ring,
    Settled,
    Told,
    Update,
    Want,
    Wanted,
)

CONFIG = Config(resend_ms=1000.0, anti_entropy_ms=10_000.0, stats_ms=2000.0)


class Bench:
    """The node's store in a ring of some stores, two of which keep each key."""

    def __init__(self, *names: str, replication: int = 2) -> None:
        self.store = StoreCore(CONFIG, ReplicaCore(CONFIG))
        self.names = ["node", *names]
        self.epoch, self.replication, self.now = 0, replication, 0.0
        if names:
            self.ring(self.names)

    def ring(self, names: list[str], former: list[list[str]] | None = None, **more: Any) -> list[Any]:
        self.epoch += 1
        more.setdefault("live", list(dict.fromkeys([*names, *(n for each in former or [] for n in each)])))
        ring = Ring(
            self.epoch,
            Members(names, more.pop("factors", {})),
            self.replication,
            [Members(each) for each in former or []],
            born=9,
            **more,
        )
        return self.tell("node", ring)

    def tell(self, peer: str, message: Any) -> list[Any]:
        self.now += 1.0
        effects = self.store.handle(Received(peer, message), self.now)
        self.store.validate()
        return [effect for effect in effects if type(effect) is not SetTimer]

    def key(self, *owners: str) -> str:
        """A key that these stores keep."""
        assert self.store.owners is not None
        of = self.store.owners.of
        return next(key for n in range(10_000) if sorted(of(key := f"k{n}")) == sorted(owners))

    def told(self, number: int, seq: int) -> Told:
        return Told(self.epoch, number, seq)


def sent(effects: list[Any], kind: type) -> list[Any]:
    return [(each.peer, each.message) for each in effects if isinstance(each.message, kind)]


# ---------------------------------------------------------------- one store


def test_one_store_answers_at_once_and_is_never_woken() -> None:
    store = StoreCore(CONFIG, ReplicaCore(CONFIG))
    assert store.start(0.0) == []
    effects = store.handle(Received("c1", Put(1, "k", Max(3))), 1.0)
    assert effects == [Send("c1", PutReply(1, 0, 1))]
    effects = store.handle(Received("c1", Get(2, ["k"])), 2.0)
    assert effects == [Send("c1", GetReply(2, [Entry(0, Max(3), {"node": 1})], 1))]


# ---------------------------------------------------------------- who serves


def test_who_does_not_keep_a_key_says_who_does() -> None:
    bench = Bench("s2", "s3")
    [effect] = bench.tell("c1", Put(1, bench.key("s2", "s3"), Max(1)))
    assert isinstance(effect.message, Elsewhere)
    assert effect.message.ring.epoch == 1
    mine, other = bench.key("node", "s2"), bench.key("s2", "s3")
    [effect] = bench.tell("c1", Get(2, [mine, other]))
    assert isinstance(effect.message, Elsewhere)


def test_a_new_store_waits_for_the_ring() -> None:
    store = StoreCore(CONFIG, ReplicaCore(CONFIG, "s2"))
    assert store.handle(Received("c1", Get(1, ["k"])), 0.0) == []
    ring = Ring(1, Members(["node", "s2"]), 2, live=["node", "s2"], born=2)
    effects = store.handle(Received("node", ring), 1.0)
    assert [effect.peer for effect in effects if type(effect) is Send] == ["c1", "node"]


# ---------------------------------------------------------------- writes


def test_a_write_is_acknowledged_when_a_second_store_has_it() -> None:
    bench = Bench("s2")
    [gossip] = bench.tell("c1", Put(1, "k", Max(7)))
    assert gossip.peer == "s2"
    assert gossip.message.entries == [Entry(0, Max(7), {"node": 1})]
    assert bench.tell("s2", Heard(0, bench.told(0, 0))) == []
    [reply] = bench.tell("s2", Heard(1, bench.told(0, 0)))
    assert reply == Send("c1", PutReply(1, 0, 1))


def test_a_repetition_is_not_acknowledged_earlier() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", Max(7)))
    assert bench.tell("c1", Put(1, "k", Max(7))) == []
    assert sent(bench.tell("s2", Heard(1, bench.told(0, 0))), PutReply) == [
        ("c1", PutReply(1, 0, 1)),
        ("c1", PutReply(1, 0, 1)),
    ]


def test_later_changes_do_not_hold_an_acknowledgement_back() -> None:
    bench = Bench("s2")
    for number in range(1, 9):
        bench.tell("c1", Put(number, "k", Max(number)))
    effects = bench.tell("s2", Heard(1, bench.told(0, 0)))
    assert [message.req for _, message in sent(effects, PutReply)] == [1]
    [(_, gossip)] = sent(effects, Gossip)  # what had gathered meanwhile, in one message
    assert gossip.entries[0].lattice == Max(8)


def test_nothing_is_shown_that_one_crash_could_take_back() -> None:
    bench = Bench("s2")
    bench.tell("e1", Resync(1))
    bench.tell("e1", Get(1, ["k"], watch=True))
    assert sent(bench.tell("c1", Put(1, "k", Max(7))), Update) == []
    assert bench.tell("c2", Get(1, ["k"])) == []
    effects = bench.tell("s2", Heard(1, bench.told(0, 0)))
    assert [type(effect.message) for effect in effects] == [Update, PutReply, GetReply]


def test_the_last_store_acknowledges_alone() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", Max(7)))
    effects = bench.ring(["node"], [["node", "s2"]], live=["node"])
    assert sent(effects, PutReply) == [("c1", PutReply(1, 0, 1))]


def test_a_write_that_a_deletion_overtook_is_put_again() -> None:
    """The other store has deleted the key: it says so with its acknowledgement."""
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", Max(7)))
    newer = Entry(50, None, {"s2": 9})
    effects = bench.tell("s2", Heard(1, bench.told(0, 0), ["k"], [newer]))
    assert sent(effects, PutReply) == [("c1", PutReply(1, 50, 1))]


def test_gossip_of_an_old_generation_is_answered_with_the_new_one() -> None:
    bench = Bench("s2")
    bench.tell("c1", Delete(1, "k", 50))
    effects = bench.tell("s2", Gossip(bench.told(1, 1), ["k"], [Entry(0, Max(7), {"s2": 1})]))
    [(_, heard)] = sent(effects, Heard)
    assert (heard.number, heard.keys) == (1, ["k"])
    assert heard.entries[0].generation == 50


def test_a_message_of_the_stream_is_merged_in_its_turn_only() -> None:
    bench = Bench("s2")
    second = Gossip(bench.told(2, 2), ["j"], [Entry(0, Max(2), {"s2": 2})])
    [(_, heard)] = sent(bench.tell("s2", second), Heard)
    assert (heard.number, bench.store.key_count) == (0, 0)
    bench.tell("s2", Gossip(bench.told(1, 1), ["k"], [Entry(0, Max(1), {"s2": 1})]))
    [(_, heard)] = sent(bench.tell("s2", second), Heard)
    assert (heard.number, bench.store.key_count) == (2, 2)


@pytest.mark.parametrize("first", [0, 1])
def test_two_types_that_met_in_two_stores_end_as_the_same_one(first: int) -> None:
    entries = [Entry(0, Counter({"w": (1, 0)}), {"s2": 1}), Entry(0, SetLattice({b"x": None}), {"s3": 1})]
    replica = ReplicaCore(CONFIG)
    for entry in (entries[first], entries[1 - first]):
        replica.absorb("k", entry)
    both = Mixed({"counter": Counter({"w": (1, 0)}), "set": SetLattice({b"x": None})})
    assert replica.entry("k") == Entry(0, both, {"s2": 1, "s3": 1})


# ---------------------------------------------------------------- reads


def test_a_read_waits_for_what_its_session_has_seen() -> None:
    bench = Bench("s2")
    [pull] = bench.tell("c1", Get(1, ["k"], floor={"s2": 5}))
    assert pull == Send("s2", Pull(1, ["k"]))
    effects = bench.tell("s2", Pulled(1, [Entry(0, Max(9), {"s2": 5})], bench.told(0, 6)))
    [(_, reply)] = sent(effects, GetReply)
    assert reply.entries == [Entry(0, Max(9), {"s2": 5})]
    assert reply.known == {"s2": 6}
    [(_, reply)] = sent(bench.tell("c1", Get(2, ["k"], floor={"s2": 6})), GetReply)
    assert reply.entries[0].lattice == Max(9)


def test_a_promise_by_a_ring_that_is_not_known_yet_says_nothing() -> None:
    bench = Bench("s2")
    bench.tell("s2", Heard(0, Told(bench.epoch + 1, 0, 9)))
    [effect] = bench.tell("c1", Get(1, ["k"], floor={"s2": 5}))
    assert isinstance(effect.message, Pull)


def test_a_store_that_is_gone_is_not_asked_and_one_to_come_is() -> None:
    bench = Bench("s2")
    [reply] = bench.tell("c1", Get(1, ["k"], floor={"s7": 5}))
    assert isinstance(reply.message, GetReply)
    [pull] = bench.tell("c1", Get(2, ["k"], floor={"s12": 5}))
    assert pull.peer == "s12"
    assert bench.store.handle(PeerLost("s12"), 5.0) == []
    effects = bench.ring(["node", "s2"])
    assert sent(effects, Pull) == [("s12", Pull(2, ["k"]))]


# ---------------------------------------------------------------- changes of the ring


def test_a_part_that_changed_hands_is_compared_before_it_is_served() -> None:
    bench = Bench()
    effects = bench.ring(["node", "s2"], [["s2"]])
    assert sent(effects, Settled) == []
    compares = sent(effects, Compare)
    assert sum(len(message.parts) for _, message in compares) == 1024
    [pull] = bench.tell("c1", Get(1, ["k"]))
    assert pull.peer == "s2"
    bench.tell("s2", Pulled(1, [None], bench.told(0, 0)))
    settled = []
    for _, message in compares:
        settled += sent(bench.tell("s2", Compared(bench.epoch, message.parts, [])), Settled)
    assert settled == [("node", Settled(bench.epoch))]
    [reply] = bench.tell("c1", Get(2, ["k"]))
    assert isinstance(reply.message, GetReply)


def test_what_differs_is_fetched_and_asked_for_until_there_is_no_more() -> None:
    bench = Bench()
    compares = sent(bench.ring(["node", "s2"], [["s2"]]), Compare)
    part = compares[0][1].parts[0]
    [want] = bench.tell("s2", Compared(bench.epoch, [], [part]))
    assert want.message == Want(bench.epoch, part, [])
    again = bench.tell("s2", Wanted(bench.epoch, part, ["k"], [Entry(0, Max(1), {"s2": 1})], more=True))
    assert sent(again, Want)[0][1].part == part
    assert sent(bench.tell("s2", Wanted(bench.epoch, part, [], [])), Want) == []
    assert bench.store.key_count == 1


def test_who_keeps_a_key_no_longer_drops_it_once_the_ring_is_settled() -> None:
    bench = Bench("s2", "s3")
    key = bench.key("node", "s2")
    bench.tell("c1", Put(1, key, Max(7)))
    bench.ring(["s2", "s3"], [["node", "s2", "s3"]])
    bench.ring(["s2", "s3"], live=["s2", "s3"])
    assert bench.store.key_count == 1  # the others have not acknowledged it
    bench.tell("s2", Heard(3, bench.told(0, 0)))
    bench.tell("s3", Heard(2, bench.told(0, 0)))
    assert bench.store.key_count == 0
    assert sent(bench.tell("c1", Get(2, [key])), Elsewhere)


def test_a_reader_that_waits_for_a_key_is_sent_to_its_new_store() -> None:
    bench = Bench("s2", "s3")
    key = bench.key("node", "s2")
    assert bench.tell("c1", Get(1, [key], wait=True)) == []
    effects = bench.ring(["s2", "s3"], [["node", "s2", "s3"]])
    assert [peer for peer, _ in sent(effects, Elsewhere)] == ["c1"]


def test_a_raised_key_is_kept_by_more() -> None:
    bench = Bench("s2", "s3")
    key = bench.key("s2", "s3")
    effects = bench.ring(["node", "s2", "s3"], [["node", "s2", "s3"]], factors={key: 3})
    asked = [message.parts for _, message in sent(effects, Compare)]
    assert asked == [[key]]
    assert sent(bench.tell("c1", Get(1, [key])), Pull)


# ---------------------------------------------------------------- the rest


def test_all_keys_are_those_of_all_stores() -> None:
    bench = Bench("s2")
    bench.store.replica.absorb("a", Entry(0, Max(1), {"s2": 1}))
    [ask] = bench.tell("c1", Keys(5))
    assert ask.peer == "s2"
    theirs = KeysReply(ask.message.req, ["a", "b"], ["max"] * 2, [8, 8], [[], ["e1"]], [2, 3], [1, 1])
    [reply] = bench.tell("s2", theirs)
    assert reply == Send("c1", KeysReply(5, ["a", "b"], ["max"] * 2, [8, 8], [[], ["e1"]], [2, 3], [2, 1]))
    assert isinstance(bench.tell("s2", Keys(6))[0].message, KeysReply)


def test_what_has_changed_is_compared_once_and_then_all_rests() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", Max(7)))
    bench.tell("s2", Heard(1, bench.told(0, 0)))
    compared: list[Compare] = []
    for _ in range(20):
        due = bench.store._armed
        if due is None:
            break
        bench.now = due
        for effect in bench.store.handle(Timer("store"), due):
            if isinstance(effect, Send) and isinstance(effect.message, Compare):
                compared.append(effect.message)
                bench.tell("s2", Compared(bench.epoch, effect.message.parts, []))
    else:
        raise AssertionError("it never rests")
    assert [len(message.parts) for message in compared] == [1]
    assert bench.now >= CONFIG.anti_entropy_ms


# ---------------------------------------------------------------- two types under one new key


def test_two_types_that_two_stores_took_at_once_are_both_kept() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", Max(3)))
    theirs = Entry(0, SetLattice({b"a": None}), {"s2": 1})
    effects = bench.tell("s2", Gossip(bench.told(1, 1), ["k"], [theirs]))
    [(peer, heard)] = sent(effects, Heard)
    assert (peer, heard.number) == ("s2", 1)
    effects = bench.tell("s2", Heard(1, bench.told(1, 1)))
    assert [(peer, reply.req) for peer, reply in sent(effects, PutReply)] == [("c1", 1)]
    both = Mixed({"max": Max(3), "set": SetLattice({b"a": None})})
    [(_, reply)] = sent(bench.tell("c1", Get(2, ["k"])), GetReply)
    assert reply.entries == [Entry(0, both, {"node": 1, "s2": 1})]
    [(_, failed)] = sent(bench.tell("c1", Put(3, "k", Max(9))), Failed)
    assert failed.failure.kind == "LatticeMismatch"
    assert "'max' and 'set'" in failed.failure.message
    [(_, again)] = sent(bench.tell("c1", Put(1, "k", Max(3))), PutReply)
    assert again.req == 1


def test_who_wrote_what_is_known_wherever_it_is_kept() -> None:
    ours, theirs = Bench("s2"), Bench("s2")
    [(_, gossip)] = sent(ours.tell("c1", Put(1, "k", Max(3), stamp=77)), Gossip)
    assert gossip.origins == {"k": (77, "c1")}
    gossip.entries[0].version = {"s2": 1}
    theirs.tell("s2", gossip)
    [(_, reply)] = sent(theirs.tell("s2", History(2, "k")), HistoryReply)
    assert [(version.stamp, version.writer) for version in reply.versions] == [(77, "c1")]
