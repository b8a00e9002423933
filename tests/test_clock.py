"""Stamps: they never go back, run ahead no longer than they must, and are behind nobody for good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.shell.clock import READINGS_MAX, wall_offset_us

OFFSETS = st.integers(-(10**15), 10**15)
EVENTS = st.lists(
    st.tuples(st.just("tick"), st.integers(-1_000, 100_000)) | st.tuples(st.just("observe"), OFFSETS),
    max_size=60,
)


@given(OFFSETS, EVENTS)
def test_stamps_increase_whatever_is_observed_and_run_ahead_by_no_more_than_that(
    offset: int, events: list[tuple[str, int]]
) -> None:
    """Time may be told late or go back; a stamp is at most the latest time, or follows what was observed."""
    clock = HybridClock(offset)
    now, last = 0.0, 0
    known = most = 0
    for kind, number in events:
        if kind == "observe":
            clock.observe(number)
            known = max(known, number)
            most = max(most, number)
            continue
        now += number
        wall = offset + int(now * 1000)
        stamp = clock.tick(now)
        assert stamp > last
        assert stamp > known
        assert stamp >= wall
        assert stamp <= max(wall, most + 1)
        last = most = stamp


@given(OFFSETS, st.integers(0, 10**9), st.integers(1, 50))
def test_who_has_run_ahead_waits_for_the_time(offset: int, ahead: int, ticks: int) -> None:
    clock = HybridClock(offset)
    clock.observe(offset + ahead)
    for _ in range(ticks):
        clock.tick(0.0)
    caught_up = (ahead + ticks) // 1000 + 1.0
    assert clock.tick(caught_up) == max(clock.last, offset + int(caught_up * 1000))
    later = max(caught_up, -offset // 1000 + 2.0)
    assert clock.tick(later + 1) == offset + int((later + 1) * 1000)


class Host:
    """Two clocks, and pauses before each look at one of them."""

    def __init__(self, offset: float, pauses: list[float]) -> None:
        self.offset, self.pauses, self.now, self.looks = offset, iter(pauses), 0.0, 0

    def monotonic(self) -> float:
        self.now += next(self.pauses, 0.0)
        self.looks += 1
        return self.now

    def wall(self) -> float:
        return self.monotonic() + self.offset


@given(st.integers(0, 10**10), st.lists(st.floats(0.0, 10.0), max_size=3 * READINGS_MAX))
def test_whoever_is_held_up_between_two_clocks_reads_them_again(offset: int, pauses: list[float]) -> None:
    host = Host(offset, pauses)
    read = wall_offset_us(host.wall, host.monotonic)
    rounds = [pauses[at + 1 : at + 3] for at in range(0, 3 * READINGS_MAX, 3)]
    closest = min(sum(pair) for pair in rounds)
    assert abs(read - offset * 1_000_000) <= closest * 500_000 + 20
    assert host.looks <= 3 * READINGS_MAX


def test_who_is_not_held_up_reads_them_once() -> None:
    host = Host(5.0, [])
    assert wall_offset_us(host.wall, host.monotonic) == 5_000_000
    assert host.looks == 3
