"""What is remembered of calls that are over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_nb.journal import RECENT_MAX, TARGETS_MAX, Calls, Journal
from cloudburst_runtime.messages import Failure, Result

GOOD = Result(1, 0, None, [])


def test_failures_are_counted_and_cancelled_calls_are_none() -> None:
    journal = Journal()
    journal.note("f", [], 0.0, 2.0, GOOD)
    journal.note("f", [], 0.0, 9.0, Result(2, 0, None, [], Failure("user", "no")))
    journal.note("f", [], 0.0, 9.0, Result(3, 0, None, [], Failure("CallCancelled", "no")))
    assert journal.of("f") == Calls(3, 1, 2.0, 2.0)
    assert journal.of("g") == Calls(0, 0, None, None)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_measured_values_that_so_many_do_not_exceed(spent: list[float]) -> None:
    journal = Journal()
    for each in spent:
        journal.note("f", [], 0.0, each, GOOD)
    found = journal.of("f")
    for share, value in ((0.5, found.p50_ms), (0.99, found.p99_ms)):
        assert value in spent
        assert sum(each <= value for each in spent) >= share * len(spent)
        assert sum(each < value for each in spent) < share * len(spent)


def test_it_is_bounded() -> None:
    journal = Journal()
    for index in range(RECENT_MAX + 10):
        journal.note("f", [], 0.0, float(index), GOOD)
    assert journal.of("f").calls == RECENT_MAX + 10
    assert len(journal._records["f"].recent) == RECENT_MAX
    for index in range(TARGETS_MAX):
        journal.note(f"g{index}", [], 0.0, 1.0, GOOD)
    assert len(journal._records) == TARGETS_MAX
    assert journal.of("f").calls == 0
