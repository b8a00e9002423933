"""Counting runs: percentiles from classes, and sums of what several have counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.messages import Runs
from cloudburst_runtime.runs import PAUSE_MS, PERIOD_MS, Counter, add, klass, middle_ms, quantile_ms

durations = st.lists(st.floats(0.0, 1e7), min_size=1, max_size=60)


def counted(run_ms: list[float]) -> Runs:
    counter = Counter()
    for each in run_ms:
        counter.note("f", each, False, 0.0)
    [runs] = counter.take(0.0)
    return runs


@given(durations, st.floats(0.01, 1.0))
def test_a_percentile_is_known_to_a_sixteenth(run_ms: list[float], share: float) -> None:
    ordered = sorted(run_ms)
    rank = next(n for n in range(1, len(ordered) + 1) if n >= share * len(ordered) - 1e-9)
    assert quantile_ms(counted(run_ms), share) == pytest.approx(ordered[rank - 1], rel=0.065, abs=0.0011)


@given(st.floats(0.0, 1e9), st.floats(0.0, 1e9))
def test_longer_runs_are_in_no_lower_class(first: float, second: float) -> None:
    first, second = sorted((first, second))
    assert klass(first) <= klass(second)
    assert middle_ms(klass(first)) <= middle_ms(klass(second))


@given(durations, durations)
def test_what_two_have_counted_adds_up_to_what_one_would_have(
    first: list[float], second: list[float]
) -> None:
    both = counted(first)
    add(both, counted(second))
    assert both == counted([*first, *second])


def test_it_is_told_after_a_pause_or_while_calls_go_on_once_a_period() -> None:
    counter = Counter()
    assert counter.due is None
    counter.take(10_000.0)
    counter.note("f", 1.0, False, 10_010.0)
    assert counter.due == 10_010.0 + PAUSE_MS
    counter.note("f", 1.0, True, 10_990.0)
    assert counter.due == 10_000.0 + PERIOD_MS
    counter.note("g", 1.0, False, 11_500.0)
    assert counter.due == 11_500.0
    told = counter.take(11_500.0)
    assert [(runs.name, runs.count, runs.failed) for runs in told] == [("f", 2, 1), ("g", 1, 0)]
    assert (counter.due, counter.take(11_500.0)) == (None, [])
