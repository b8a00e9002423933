"""Gossip and updates tell what was new: who has what was before ends with all, who has not is sent all."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_runtime.anna import deltas
from cloudburst_runtime.anna.deltas import PARTS_MAX, Deltas
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.config import Config
from cloudburst_runtime.lattices import AnyLattice, Causal, Max, SetLattice, lub
from cloudburst_runtime.lattices.laws import exact
from cloudburst_runtime.messages import (
    Delete,
    Entry,
    Get,
    GetReply,
    Gossip,
    Heard,
    Put,
    PutReply,
    Resync,
    Update,
)
from tests.test_anna_store import Bench, sent
from tests.test_causal import write
from tests.test_lattices import STRATEGIES


def whole(count: int) -> SetLattice:
    return SetLattice({b"%06d" % number: None for number in range(count)})


def one(name: bytes) -> SetLattice:
    return SetLattice({name: None})


# ---------------------------------------------------------------- the law


@pytest.mark.parametrize("kind", STRATEGIES)
def test_the_join_of_parts_is_the_join_of_states(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a state and merges all that was brought since has what is there, for every lattice."""
    monkeypatch.setattr(deltas, "is_worth", lambda part, record: True)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(STRATEGIES[kind], min_size=2, max_size=6))
    def holds(puts: list[AnyLattice]) -> None:
        records = Records(Config(), "s2")
        kept = Deltas(records)
        states = [puts[0]]
        kept.note(records.keep("k", 0, puts[0]), None)
        for part in puts[1:]:
            states.append(lub(states[-1], part))
            kept.note(records.keep("k", 0, states[-1]), part)
        for index, state in enumerate(states[:-1]):
            news = kept.since("k", index + 2)
            assert news is not None
            base, entry = news
            assert base == index + 1
            assert entry.version == {"s2": len(puts)}
            assert exact(lub(state, entry.lattice)) == exact(states[-1])

    holds()


@given(
    st.lists(st.tuples(st.sampled_from(["put", "absorb", "whole", "delete"]), st.integers(0, 9)), max_size=20)
)
def test_what_goes_on_from_a_change_brings_all_of_the_sender_s_later_ones(
    steps: list[tuple[str, int]],
) -> None:
    """Among changes of others, of deletions, and of those that are not parts."""
    records = Records(Config(), "s2")
    kept = Deltas(records)
    mine: list[tuple[int, int, AnyLattice | None]] = []  # number, generation, what the sender itself did
    generation = foreign = 0
    for what, pick in steps:
        found = records.live.get("k")
        part = one(b"%d" % pick)
        if what == "absorb":
            foreign += 1
            records.absorb("k", Entry(generation, part, {"s3": foreign}))
        elif what == "delete":
            generation += 1
            change = records.keep("k", generation, None)
            kept.note(change, None)
            mine.append((change.record.seq, generation, None))
        else:
            state: Any = part if found is None else lub(found.lattice, part)
            change = records.keep("k", generation, state)
            is_part = what == "put" and deltas.goes_on(change)
            kept.note(change, part if is_part else None)
            mine.append((change.record.seq, generation, part))
    for (base, base_generation, _), (first, _, _) in pairwise(mine):
        news = kept.since("k", first)
        if news is not None:
            assert (news[0], base_generation) == (base, generation)
            brought = [part for number, _, part in mine if number >= first]
            assert exact(news[1].lattice) == exact(reduce(lub, brought))


# ---------------------------------------------------------------- between stores


def test_an_element_that_is_added_to_a_large_set_travels_alone() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", whole(1000)))
    bench.tell("s2", Heard(1, bench.told(0, 0)))
    [(peer, gossip)] = sent(bench.tell("c1", Put(2, "k", one(b"new"))), Gossip)
    assert (peer, gossip.bases) == ("s2", {"k": 1})
    assert gossip.entries == [Entry(0, one(b"new"), {"node": 2})]
    [(_, reply)] = sent(bench.tell("s2", Heard(2, bench.told(0, 0))), PutReply)
    assert reply.seq == 2


def test_what_was_put_while_batches_are_under_way_travels_together() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", whole(1000)))
    for number in range(2, 9):
        bench.tell("c1", Put(number, "k", one(b"%d" % number)))
    [(_, gossip)] = sent(bench.tell("s2", Heard(1, bench.told(0, 0))), Gossip)
    assert gossip.bases == {"k": 4}
    assert gossip.entries[0].lattice == SetLattice({b"%d" % number: None for number in range(5, 9)})
    assert gossip.entries[0].version == {"node": 8}


def test_a_store_that_has_not_what_was_before_is_sent_the_whole() -> None:
    ours, theirs = Bench("s2"), Bench("s2")
    ours.tell("c1", Put(1, "k", whole(100)))
    ours.tell("s2", Heard(1, ours.told(0, 0)))
    [(_, gossip)] = sent(ours.tell("c1", Put(2, "k", one(b"new"))), Gossip)
    gossip.told.number = 1  # the first of this stream, which never had the rest
    gossip.entries[0].version, news = {"s2": 2}, gossip
    [(_, heard)] = sent(theirs.tell("s2", news), Heard)
    assert (heard.number, heard.plain, theirs.store.key_count) == (0, True, 0)
    [(_, again)] = sent(ours.tell("s2", Heard(1, ours.told(0, 0), plain=True)), Gossip)
    assert again.bases == {}
    assert again.entries == [Entry(0, lub(whole(100), one(b"new")), {"node": 2})]


def test_a_part_is_merged_by_who_has_more_than_it_goes_on_from() -> None:
    bench = Bench("s2")
    bench.tell("c1", Put(1, "k", one(b"mine")))
    bench.tell("s2", Gossip(bench.told(1, 5), ["k"], [Entry(0, one(b"theirs"), {"s2": 5})]))
    part = Gossip(bench.told(2, 7), ["k"], [Entry(0, one(b"new"), {"s2": 7})], {"k": 4})
    [(_, heard)] = sent(bench.tell("s2", part), Heard)
    assert (heard.number, heard.plain) == (2, False)
    entry = bench.store.replica.entry("k")
    assert entry == Entry(0, SetLattice(dict.fromkeys([b"mine", b"theirs", b"new"])), {"node": 1, "s2": 7})


def test_parts_are_kept_while_somebody_may_lack_them_and_no_longer() -> None:
    bench = Bench("s2")
    kept = bench.store.deltas
    bench.tell("c1", Put(1, "k", whole(1000)))
    for number in range(2, 6):
        bench.tell("c1", Put(number, "k", one(b"%d" % number)))
    bench.tell("s2", Heard(3, bench.told(0, 0)))
    assert kept.since("k", 4) is not None
    bench.tell("s2", Heard(5, bench.told(0, 0)))
    assert kept.since("k", 5) is None
    for number in range(6, 8 + PARTS_MAX):
        bench.tell("c1", Put(number, "k", one(b"%d" % number)))
    assert kept.since("k", 6) is None
    bench.tell("c1", Delete(200, "k", 9))
    assert kept.since("k", 7 + PARTS_MAX) is None


# ---------------------------------------------------------------- to caches


def test_a_cache_that_watches_is_told_what_was_new() -> None:
    bench = Bench("s2", replication=1)
    key = bench.key("node")
    bench.tell("c1", Put(1, key, whole(1000)))
    bench.tell("e1", Resync(1))
    bench.tell("e1", Get(2, [key], watch=True))
    [(peer, update)] = sent(bench.tell("c1", Put(3, key, one(b"new"))), Update)
    assert (peer, update.base) == ("e1", {"node": 1})
    assert update.entry == Entry(0, one(b"new"), {"node": 2})
    [(_, update)] = sent(bench.tell("c1", Put(4, key, whole(2000))), Update)
    assert (update.base, update.entry.lattice) == ({}, lub(whole(2000), one(b"new")))
    [(_, update)] = sent(bench.tell("c1", Delete(5, key, 9)), Update)
    assert (update.base, update.entry.lattice) == ({}, None)
    [(_, update)] = sent(bench.tell("c1", Put(6, key, Max(3), generation=9)), Update)
    assert (update.base, update.entry.lattice) == ({}, Max(3))


def test_where_siblings_are_too_many_a_cache_is_told_of_the_new_one_and_of_that_which_it_replaced() -> None:
    bench = Bench("s2", replication=1)
    key, siblings_max = bench.key("node"), Config().siblings_max
    for number in range(1, siblings_max + 1):
        bench.tell("c1", Put(number, key, write("value", "e9", number, number)))
    bench.tell("e1", Resync(1))
    [(_, reply)] = sent(bench.tell("e1", Get(100, [key], watch=True)), GetReply)
    latest = write("latest", "e9", siblings_max + 1, siblings_max + 1)
    [(_, update)] = sent(bench.tell("c1", Put(101, key, latest)), Update)
    assert isinstance(update.entry.lattice, Causal)
    assert len(update.entry.lattice.siblings) == 1
    entry = bench.store.replica.entry(key)
    assert entry is not None
    assert exact(lub(reply.entries[0].lattice, update.entry.lattice)) == exact(entry.lattice)
    assert isinstance(entry.lattice, Causal)
    assert [one.number for one in entry.lattice.siblings] == list(range(2, siblings_max + 2))
