"""What the load asks for: monotone, bounded, and without swinging."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.policy import RAISED_MAX, eased, factors, stores_wanted
from cloudburst_runtime.config import Config
from cloudburst_runtime.messages import StoreStats

CONFIG = Config(
    stores_min=1,
    stores_max=5,
    replication=2,
    store_operations_high_per_s=100.0,
    store_bytes_high=1000,
    hot_key_operations_per_s=10.0,
)


def store(rate: float, nbytes: int = 0, hot: dict[str, int] | None = None) -> StoreStats:
    return StoreStats("s", 1, nbytes, round(2 * rate), 2000.0, hot or {})


STORES = st.lists(st.builds(store, st.integers(0, 300), st.integers(0, 3000)), min_size=1, max_size=5)


@given(STORES)
def test_it_moves_by_one_and_stays_within_bounds(stats: list[StoreStats]) -> None:
    wanted = stores_wanted(stats, CONFIG)
    assert 1 <= wanted <= 5
    assert abs(wanted - len(stats)) <= 1


@given(STORES, st.integers(0, 4))
def test_stores_of_other_hosts_are_neither_counted_nor_dismissed(stats: list[StoreStats], afar: int) -> None:
    afar = min(afar, len(stats) - 1)
    assert 1 + afar <= stores_wanted(stats, CONFIG, afar) <= 5 + afar


@given(st.integers(1, 5), st.integers(0, 900), st.integers(0, 6000))
def test_the_same_load_never_swings(count: int, rate: int, nbytes: int) -> None:
    """The load spread over as many stores as were wanted: after some steps, they stay as many."""
    for _ in range(6):
        count = stores_wanted([store(rate / count, nbytes // count)] * count, CONFIG)
    assert stores_wanted([store(rate / count, nbytes // count)] * count, CONFIG) == count


def test_size_alone_asks_for_stores_and_they_stay_while_it_does() -> None:
    assert stores_wanted([store(0, 1001)], CONFIG) == 2
    assert stores_wanted([store(0, 600)] * 2, CONFIG) == 2
    assert stores_wanted([store(0, 100)] * 2, CONFIG) == 1
    assert stores_wanted([store(0, 100)] * 2, Config(stores_min=2, stores_max=5)) == 2


RATES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 200), max_size=3)


@given(st.lists(RATES, min_size=1, max_size=5), st.dictionaries(st.sampled_from("abc"), st.integers(3, 5)))
def test_factors_are_within_bounds_and_grow_with_the_rate(
    hot: list[dict[str, int]], raised: dict[str, int]
) -> None:
    stats = [store(0, hot=each) for each in hot]
    wanted = factors(stats, raised, CONFIG)
    assert all(CONFIG.replication < factor <= len(stats) for factor in wanted.values())
    doubled = factors([store(0, hot={k: 2 * n for k, n in each.items()}) for each in hot], raised, CONFIG)
    assert all(doubled.get(key, 0) >= factor for key, factor in wanted.items())


@given(st.integers(0, 400))
def test_what_is_raised_stays_raised_at_the_same_rate(rate: int) -> None:
    stats = [store(0, hot={"k": rate}) for _ in range(5)]
    once = factors(stats, {}, CONFIG)
    assert factors(stats, once, CONFIG) == once


def test_a_key_that_cools_down_is_lowered() -> None:
    at = {rate: factors([store(0, hot={"k": 2 * rate})] * 5, {"k": 5}, CONFIG) for rate in (8, 5, 1)}
    assert at == {8: {"k": 5}, 5: {"k": 5}, 1: {}} or at[1] == {}
    assert at == {8: {"k": 5}, 5: {"k": 5}, 1: {}}


def test_the_hottest_are_raised_if_there_are_too_many() -> None:
    hot = {f"k{number:04}": 100 + number for number in range(RAISED_MAX + 10)}
    wanted = factors([store(0, hot=hot)] * 3, {}, CONFIG)
    assert len(wanted) == RAISED_MAX
    assert "k0009" not in wanted
    assert f"k{RAISED_MAX + 9:04}" in wanted


NUMBERS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), max_size=3)


@given(NUMBERS, st.lists(st.tuples(NUMBERS, st.integers(0, 15_000)), max_size=6))
def test_more_is_given_at_once_and_nothing_taken_that_was_needed_lately(
    current: dict[str, int], reports: list[tuple[dict[str, int], int]]
) -> None:
    needed = dict.fromkeys(current, 0.0)
    since: dict[str, float] = {}
    now = 0.0
    for wanted, later in reports:
        now += later
        numbers, since = eased(current, wanted, since, now, Config(calm_ms=10_000.0))
        for key in {*current, *numbers}:
            have, want, is_there = current.get(key, 0), wanted.get(key, 0), numbers.get(key, 0)
            if want >= have:
                assert is_there == want
                needed[key] = now
            else:
                assert is_there in (want, have)
                assert is_there == have or now >= needed[key] + 10_000.0
        assert not set(since) - set(current), "what is not there need not be watched"
        current = numbers


def test_what_is_needed_less_for_long_enough_is_taken_back() -> None:
    numbers, since = eased({"k": 4}, {}, {}, 500.0, CONFIG)
    assert (numbers, since) == ({"k": 4}, {"k": 500.0})
    assert eased(numbers, {"k": 4}, since, 9_000.0, CONFIG).since == {}
    assert eased(numbers, {"k": 2}, since, 10_500.0, CONFIG).numbers == {"k": 2}
    assert eased(numbers, {}, since, 10_500.0, CONFIG).numbers == {}
