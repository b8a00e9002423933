"""The earlier versions of a key: merging them is a semilattice, and stores that hear of each other agree."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna import past
from cloudburst_runtime.anna.past import NEVER, Origin, Past, bounded, merged, origin
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.lattices import LWW, Counter, Max
from cloudburst_runtime.messages import Earlier, Entry
from cloudburst_runtime.values import decode, encode

BOUNDS = Config(history_max=4, history_bytes_max=20)
WRITERS = ("c1", "c2")


def size(name: Origin) -> int:
    """How large the version of an origin is: the same wherever it is."""
    return Random(f"{name}").choice((1, 2, 6, 12, 30))


def version(name: Origin) -> Stored:
    return Stored(Max(1), 0, 1, stamp=name[0], writer=name[1], nbytes=size(name))


def pasts() -> st.SearchStrategy[Past]:
    """What a store has after it has kept these versions one after the other."""
    names = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(WRITERS)), max_size=6)
    return names.map(lambda some: merged(Past(tuple(map(version, some))), Past(), BOUNDS))


@given(pasts(), pasts(), pasts())
def test_pasts_are_merged_in_any_order_any_number_of_times(one: Past, other: Past, third: Past) -> None:
    def both(left: Past, right: Past) -> Past:
        return merged(left, right, BOUNDS)

    assert both(one, other) == both(other, one)
    assert both(both(one, other), third) == both(one, both(other, third))
    assert both(one, one) == one
    assert both(both(one, other), one) == both(one, other)


@given(pasts(), pasts())
def test_a_merged_past_is_bounded_in_order_without_twins_and_has_the_latest(one: Past, other: Past) -> None:
    both = merged(one, other, BOUNDS)
    names = [*map(origin, both.versions)]
    assert names == sorted(set(names))
    assert len(names) < BOUNDS.history_max
    assert sum(each.nbytes for each in both.versions) <= BOUNDS.history_bytes_max
    given_to = {*map(origin, (*one.versions, *other.versions))}
    assert given_to.issuperset(names)
    gone = {name for name in given_to if not names or name < names[0]}
    assert given_to == gone | set(names), "there is no gap"
    if gone and len(names) < BOUNDS.history_max - 1:
        assert both.cut >= max(gone)
        room = BOUNDS.history_bytes_max - sum(map(size, names))
        assert max(one.cut, other.cut) >= max(gone) or size(max(gone)) > room, (
            "no more were dropped than must be"
        )


@given(st.lists(st.integers(0, 40), max_size=12))
def test_putting_one_version_after_the_other_leaves_what_the_bounds_say(sizes: list[int]) -> None:
    records = Records(BOUNDS, "s2")
    for stamp, nbytes in enumerate(sizes, 1):
        records.keep("k", 0, LWW(stamp, "c1", encode("x" * nbytes)))
    assert records.warm_bytes == sum(each.nbytes for each in records.versions("k"))
    whole = [
        Stored(None, 0, stamp, stamp=stamp, writer="", nbytes=LWW(stamp, "c1", encode("x" * nbytes)).nbytes)
        for stamp, nbytes in enumerate(sizes[:-1], 1)
    ]
    expected = bounded(whole, NEVER, BOUNDS)
    kept = records.pasts.whole("k")
    assert [each.stamp for each in kept.versions] == [each.stamp for each in expected.versions]
    assert kept.cut[0] == expected.cut[0]


def test_who_keeps_nothing_up_to_some_version_lacks_none_of_those() -> None:
    versions = [version((stamp, "c1")) for stamp in range(5)]
    lacks = past.lacking(versions, has=[(3, "c1")], floor=(1, "c1"))
    assert [each.stamp for each in lacks] == [2, 4]


# ---------------------------------------------------------------- two stores


def put(records: Records, stamp: int, text: str, writer: str = "c1") -> None:
    records.keep("k", 0, LWW(stamp, writer, encode(text)), stamp, writer)


def hear(records: Records, of: Records) -> None:
    """A store hears what another has now, by gossip."""
    entry, record = of.entry(of.find("k")), of.live["k"]
    assert entry is not None
    records.absorb("k", entry, origin(record))
    records.absorb("k", entry, origin(record))


def exchange(records: Records, of: Records) -> None:
    """A store compares the key with another, and is sent what it lacks."""
    hear(records, of)
    has = [*map(origin, records.past.get("k", []))]
    lacks = past.lacking(of.past.get("k", []), has, records.pasts.floor("k"))
    records.lay("k", [of.told(each) for each in lacks])
    assert records.lay("k", [of.told(each) for each in lacks]) is None


def shown(records: Records) -> list[tuple[int, str]]:
    def text(each: Stored) -> str:
        return str(decode(each.lattice.value)) if isinstance(each.lattice, LWW) else f"{each.lattice}"

    return [(each.stamp, text(each)) for each in records.versions("k")]


ROOMY = Config(history_max=4)


def both(config: Config = ROOMY) -> tuple[Records, Records]:
    one, other = Records(config, "node"), Records(config, "s2")
    one.alone = other.alone = False
    return one, other


def test_a_write_that_loses_to_one_at_another_store_is_an_earlier_version_in_both() -> None:
    one, other = both()
    put(one, 10, "first")
    hear(other, one)
    put(one, 20, "one")
    put(other, 30, "other", "c2")
    under_way = one.entry(one.live["k"])
    hear(one, other)
    assert under_way is not None
    other.absorb("k", under_way)
    assert shown(one) == shown(other) == [(30, "other"), (20, "one"), (10, "first")]


def test_a_write_that_wins_again_and_again_is_one_version() -> None:
    one, other = both()
    put(one, 30, "latest")
    for stamp in (10, 20):
        other = Records(ROOMY, f"s{stamp}")
        put(other, stamp, f"{stamp}")
        hear(one, other)
    assert shown(one) == [(30, "latest"), (20, "20"), (10, "10")]


def test_what_comes_of_two_counts_is_one_version_in_both_stores() -> None:
    one, other = both()
    one.keep("k", 0, Counter({"c1": (1, 0)}), 10, "c1")
    other.keep("k", 0, Counter({"c2": (2, 0)}), 20, "c2")
    entry, said = other.entry(other.live["k"]), origin(other.live["k"])
    hear(other, one)
    assert entry is not None
    one.absorb("k", entry, said)
    hear(one, other)
    assert one.live["k"].lattice == other.live["k"].lattice
    assert [each.stamp for each in other.versions("k")] == [21, 20, 10]
    assert [each.stamp for each in one.versions("k")] == [21, 20, 10]
    assert [one.version(each) for each in one.versions("k")] == [{"node": 1, "s2": 1}, {"s2": 1}, {"node": 1}]


def test_a_count_is_later_than_the_one_before_whatever_its_writers_clock_says() -> None:
    records, _ = both()
    for total, stamp in ((1, 50), (2, 10), (3, 70)):
        records.keep("k", 0, Counter({"c1": (total, 0)}), stamp, "c1")
    assert [each.stamp for each in records.versions("k")] == [70, 51, 50]


operations = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(("put", "hear", "exchange")), st.integers(0, 2)), max_size=25
)


@pytest.mark.parametrize("versions_max", [3, 100])
@given(operations=operations)
def test_stores_that_compare_have_the_same_versions_and_have_lost_none(
    versions_max: int, operations: list[tuple[int, str, int]]
) -> None:
    config = Config(history_max=versions_max)
    stores = [Records(config, name) for name in ("node", "s2", "s3")]
    luck = Random(f"{operations}")
    kept: dict[int, str] = {}
    for records in stores:
        records.alone = False
    for number, (at, kind, whom) in enumerate(operations):
        records, other = stores[at], stores[whom]
        if kind == "put":
            stamp = luck.randrange(100) * 100 + number
            if "k" not in records.live or records.live["k"].stamp < stamp:
                put(records, stamp, f"{number}", f"c{at}")
                kept[stamp] = f"{number}"
        elif at != whom and "k" in other.live:
            hear(records, other) if kind == "hear" else exchange(records, other)
    if not kept:
        return
    for _ in range(2):
        for one in stores:
            for another in stores:
                if one is not another and "k" in another.live:
                    exchange(one, another)
    assert shown(stores[0]) == shown(stores[1]) == shown(stores[2])
    assert shown(stores[0]) == sorted(kept.items(), reverse=True)[:versions_max]


def test_earlier_versions_of_another_generation_are_not_taken() -> None:
    records, _ = both()
    records.keep("k", 7, Max(3), 20, "c1")
    earlier = Earlier(0, Max(1), 10, "c1", {"s2": 1})
    assert records.lay("k", [earlier]) is None
    assert records.lay("none", [earlier]) is None


def test_what_was_laid_beside_goes_with_the_key() -> None:
    records, other = both()
    for stamp in (10, 20, 30):
        put(other, stamp, f"{stamp}")
    exchange(records, other)
    assert len(records.versions("k")) == 3
    assert records.warm_bytes == other.warm_bytes > 0
    records.absorb("k", Entry(40, None, {"s2": 9}))
    assert (records.versions("k"), records.warm_bytes, records.past, records.pasts.cuts) == ([], 0, {}, {})


def test_what_could_not_be_written_is_not_kept() -> None:
    records, other = both()
    for stamp in (10, 20):
        put(other, stamp, f"{stamp}")
    hear(records, other)
    change = records.lay("k", [other.told(each) for each in other.past["k"]])
    assert change is not None
    for _ in range(2):
        records.undo(change)
    assert shown(records) == [(20, "20")]
    assert records.warm_bytes == records.live["k"].nbytes
