"""The parts of the cache, one by one."""

from __future__ import annotations

import pytest

from cloudburst_runtime.anna.freshness import Freshness
from cloudburst_runtime.anna.outbox import Change, Outbox, Reading, Request
from cloudburst_runtime.anna.shelf import GENERATIONS_MAX, Shelf
from cloudburst_runtime.anna.totals import Totals
from cloudburst_runtime.lattices import AnyLattice, Bool, Counter, Grow, MapLattice, Max, Mixed
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.messages import Delete, Entry


def test_totals_continue_under_another_name_when_tallies_were_dropped() -> None:
    totals = Totals("w", tallies_max=2)
    put: dict[str, AnyLattice] = {}
    for key in ("a", "b", "c", "a", "c"):
        draft = totals.draft(key, 0, Counter({"w": (1, 0)}))
        totals.commit(key, draft)
        put[key] = put.get(key, Counter()).merge(draft.lattice)  # type: ignore[arg-type]
    assert {key: reveal(lattice) for key, lattice in put.items()} == {"a": 2, "b": 1, "c": 2}
    assert put["a"] == Counter({"w": (1, 0), "w~1": (1, 0)})


def test_totals_of_a_counter_that_only_grows() -> None:
    totals = Totals("w")
    for expected in (1, 3):
        draft = totals.draft("k", 0, MapLattice({b"a": Grow({"w": expected - expected // 2})}))
        totals.commit("k", draft)
        assert draft.lattice == MapLattice({b"a": Grow({"w": expected})})
    with pytest.raises(OverflowError, match="64 bits"):
        totals.draft("k", 0, MapLattice({b"a": Grow({"w": 2**63 - 1})}))


def test_infinite_totals_are_refused() -> None:
    with pytest.raises(OverflowError, match="inf"):
        Totals("w").draft("k", 0, Counter({"w": (float("inf"), 0)}))


def test_shelf_remembers_so_many_generations() -> None:
    shelf = Shelf(10**6)
    for index in range(GENERATIONS_MAX + 1):
        shelf.note_generation(f"k{index}", 5)
    assert (shelf.generation("k0"), shelf.generation("k1")) == (0, 5)


def test_freshness_takes_repetitions_for_nothing() -> None:
    fresh = Freshness()
    for number, seq in ((1, 4), (1, 4), (3, 9), (3, 9), (2, 7), (2, 7)):
        fresh.receive(number, seq, 0.0)
    assert (fresh.received, fresh.synced, fresh.gap_since) == (3, 9, None)


def test_freshness_never_goes_back_with_a_new_epoch() -> None:
    fresh = Freshness()
    fresh.promise(0, 9, 0.0)
    fresh.promise(5, 12, 0.0)
    fresh.restart()
    assert (fresh.epoch, fresh.synced, fresh.seen, fresh.gap_since) == (2, 9, 12, None)


@pytest.mark.parametrize(
    ("held", "learnt", "later"),
    [
        (Entry(0, Max(1)), Entry(0, Max(2)), Entry(0, Max(2))),
        (Entry(0, Max(2)), Entry(0, Max(1)), Entry(0, Max(2))),
        (Entry(5, None), Entry(0, Max(2)), Entry(5, None)),
        (Entry(0, Max(2)), Entry(5, None), Entry(5, None)),
        (Entry(5, None), Entry(5, Max(1)), Entry(5, Max(1))),
        (Entry(5, Max(1)), Entry(5, None), Entry(5, Max(1))),
        (Entry(5, Max(1)), Entry(5, Bool(True)), Entry(5, Mixed({"bool": Bool(True), "max": Max(1)}))),
        (Entry(5, Max(9)), Entry(6, Counter()), Entry(6, Counter())),
    ],
)
def test_entries_only_move_forward(held: Entry, learnt: Entry, later: Entry) -> None:
    shelf = Shelf(10**6)
    shelf.put("k", held)
    assert shelf.absorb("k", learnt) == later
    assert shelf.entries["k"] == later
    assert shelf.absorb("x", learnt) == learnt
    assert list(shelf.entries) == ["k"]


def test_the_version_of_what_is_held_includes_all_that_was_learnt() -> None:
    shelf = Shelf(10**6)
    shelf.put("k", Entry(0, Max(2), {"a": 3}))
    assert shelf.absorb("k", Entry(0, Max(1), {"b": 1})) == Entry(0, Max(2), {"a": 3, "b": 1})
    assert shelf.absorb("k", Entry(0, Max(4), {"a": 5})) == Entry(0, Max(4), {"a": 5, "b": 1})
    assert shelf.absorb("k", Entry(9, None, {"b": 2})) == Entry(9, None, {"a": 5, "b": 2})


def test_shelf_keeps_account_of_its_size() -> None:
    shelf = Shelf(10**6)
    shelf.put("k", Entry(0, Counter({"a": (1, 0)})))
    one = shelf.nbytes
    shelf.absorb("k", Entry(0, Counter({"b": (1, 0)})))
    assert shelf.nbytes == one + 17
    shelf.absorb("k", Entry(7, None))
    assert shelf.nbytes == one - 17
    shelf.clear()
    assert (shelf.nbytes, shelf.evict(), shelf.generation("k")) == (0, [], 0)


def test_outbox_takes_only_the_kind_asked_for() -> None:
    outbox = Outbox(10.0)
    outbox.ask(Change(1, Delete(5, "k", 7)), 0.0)
    assert outbox.take_as(Reading, 5) is None
    assert outbox.take_as(Request, 6) is None
    assert outbox.take_as(Change, 5) is not None
    assert (outbox.take_as(Change, 5), outbox.due) == (None, None)
