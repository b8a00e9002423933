"""Consistent hashing: laws of the orders, and how evenly keys are spread."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.ring import PARTITIONS, Circle, partition_of

NAMES = st.lists(st.sampled_from(["node", *(f"s{n}" for n in range(2, 9))]), min_size=1, unique=True)
ARCS = st.integers(0, PARTITIONS - 1)


@given(NAMES, ARCS)
def test_an_order_has_every_member_once_and_does_not_depend_on_theirs(names: list[str], arc: int) -> None:
    order = Circle(names, 1).order(arc)
    assert sorted(order) == sorted(names)
    assert Circle(names[::-1], 3).order(arc) == order


@given(NAMES, ARCS)
def test_who_joins_or_leaves_moves_nobody_else(names: list[str], arc: int) -> None:
    order = Circle([*names, "new"], 1).order(arc)
    assert tuple(name for name in order if name != "new") == Circle(names, 1).order(arc)


@given(NAMES, st.text(max_size=8), st.integers(1, 4), st.integers(1, 6))
def test_owners_are_the_first_and_a_key_may_have_a_factor_of_its_own(
    names: list[str], key: str, replication: int, factor: int
) -> None:
    plain, other = Circle(names, replication), Circle(names, replication, {key: factor})
    order = plain.order(partition_of(key))
    assert plain.owners(key) == order[:replication] == plain.owners_of(partition_of(key))
    assert other.owners(key) == order[:factor]


def test_keys_and_arcs_are_spread_evenly() -> None:
    keys = [f"user/{number:05}" for number in range(20_000)]
    assert max(Counter(map(partition_of, keys)).values()) < 3 * len(keys) / PARTITIONS
    for count in (2, 3, 5, 8):
        circle = Circle([f"s{number}" for number in range(count)], 2)
        load = Counter(name for key in keys for name in circle.owners(key))
        mean = 2 * len(keys) / count
        assert 0.7 * mean < min(load.values()), load
        assert max(load.values()) < 1.3 * mean, load


def test_a_new_member_takes_its_share_and_no_more() -> None:
    before, after = Circle(["node", "s2", "s3"], 1), Circle(["node", "s2", "s3", "s4"], 1)
    moved = sum(before.owners_of(arc) != after.owners_of(arc) for arc in range(PARTITIONS))
    assert PARTITIONS / 4 * 0.7 < moved < PARTITIONS / 4 * 1.3


def test_every_process_agrees() -> None:
    """Known answers: neither the hash seed nor the version of Python may change who owns what."""
    circle = Circle(["node", "s2", "s3", "s4", "s5"], 2)
    assert [circle.owners(key) for key in ("a", "b", "c", "k0")] == KNOWN


KNOWN = [("s3", "s2"), ("s2", "s5"), ("s4", "node"), ("s4", "node")]
