"""Times that users give: any real number will do, and nothing else."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.seconds import SECONDS_MAX, limit, to_wait

numbers = st.integers() | st.floats(allow_nan=False) | st.fractions()


@given(numbers)
def test_whoever_waits_has_a_number_that_can_be_waited_for(timeout: float) -> None:
    seconds = to_wait(timeout)
    if timeout > SECONDS_MAX:
        assert seconds is None
    else:
        assert seconds == float(max(timeout, 0))


@given(numbers)
def test_a_limit_is_above_nothing_and_finite(timeout: float) -> None:
    if 0 < timeout < math.inf and float(timeout):
        assert limit(timeout) == (float(timeout) if timeout <= SECONDS_MAX else None)
    else:
        with pytest.raises(ValueError, match="above 0"):
            limit(timeout)


@pytest.mark.parametrize("given", ["5", b"5", True, 1j, [1], np.array([1.0]), object()])
def test_what_is_no_number_is_told_as_it_was_given(given: object) -> None:
    for check in (to_wait, limit):
        with pytest.raises(TypeError, match="timeout is a number of seconds") as caught:
            check(given)
        assert f"{given!r:.80}" in str(caught.value)


@pytest.mark.parametrize("given", [math.nan, np.float32("nan")])
def test_no_number_is_none(given: float) -> None:
    for check in (to_wait, limit):
        with pytest.raises(ValueError, match="nan"):
            check(given)


@pytest.mark.parametrize("given", [2, 2.0, np.float32(2), np.float64(2), np.int64(2), Fraction(2)])
def test_numbers_of_all_kinds_are_the_same_time(given: float) -> None:
    assert to_wait(given) == limit(given) == 2
    assert type(to_wait(given)) in (int, float)
