"""The summary of latencies, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudburst_nb as cb
from cloudburst_nb.latency import flat, percentiles
from cloudburst_runtime.messages import Failure
from tests.showing import done, failed, future, read, step

SLOW = {"total": 0.02, "queued": 0.004, "transfer": 0.001, "run": 0.015}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_are_numpy_s(values: list[float]) -> None:
    assert list(percentiles(values)) == pytest.approx(list(np.percentile(values, [50, 95, 99])), abs=1e-6)


def test_a_summary_has_milliseconds_of_each_stage() -> None:
    summary = cb.summary([done(), done(), SLOW])
    assert (summary.count, summary.unmeasured, summary.targets) == (3, 0, ("square", "calls"))
    assert summary.total.p50 == pytest.approx(5.0)
    assert summary.run.p99 == pytest.approx(2 + 0.98 * 13)
    assert repr(summary).splitlines()[2].split() == ["total", "5.00", "18.50", "19.70"]
    said = read(summary._repr_html_())
    assert said.startswith("3 calls of square, calls in milliseconds")
    assert "■ queued 1.00 3.70 3.94" in said


def test_a_summary_of_traced_calls_has_their_stages_in_microseconds() -> None:
    traced = {**SLOW, "stages": {"encode": 0.000004, "request": 0.00002, "resume": 0.000001}}
    unfinished = {**SLOW, "stages": {"encode": 0.000008, "request": 0.00003}}
    summary = cb.summary([traced, unfinished, SLOW])
    assert list(summary.stages) == ["encode", "request", "resume"]
    assert summary.stages["encode"].p50 == pytest.approx(0.006)
    assert summary.stages["resume"].p99 == pytest.approx(0.001)
    assert "\nmicroseconds       p50       p95       p99\nencode            6.00      7.80" in repr(summary)
    said = read(summary._repr_html_())
    assert "in microseconds; the bars are medians p50 p95 p99 ■ encode 6.00 7.80 7.96" in said
    assert "microseconds" not in repr(cb.summary([SLOW]))


def test_calls_without_timings_are_counted_apart_and_not_waited_for() -> None:
    pending, refused = future(), failed(Failure("FunctionNotFound", "no"))
    summary = cb.summary([done(), [pending, refused], pending.timings])
    assert (summary.count, summary.unmeasured) == (1, 3)
    assert repr(summary).startswith("1 call of square, 3 more not measured\n")


def test_a_call_that_failed_while_it_ran_was_measured() -> None:
    assert cb.summary([failed(Failure("user", "no"), steps=[step()])]).count == 1


def test_one_future_and_one_timing_need_no_list() -> None:
    assert flat([SLOW, [done()]])[0] is SLOW
    assert cb.summary(done()).count == cb.summary(SLOW).count == 1


@pytest.mark.parametrize(
    ("calls", "error", "message"),
    [
        ([], ValueError, "no calls were given"),
        ([future(), future()], ValueError, r"of 2 calls none has timings: .*cb\.progress"),
        ([3], TypeError, "expected futures, or their timings, not int: 3"),
        ("abc", TypeError, "not str"),
        (
            [{"total": 1}],
            TypeError,
            "timings have total, queued, transfer and run, in .*has total",
        ),
    ],
)
def test_what_cannot_be_summarised_says_why(calls: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cb.summary(calls)
