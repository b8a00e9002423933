"""What goes wrong in the simulator: partitions and clocks."""

from itertools import pairwise
from random import Random

import pytest

from cloudburst_runtime.sim import faults
from cloudburst_runtime.sim.faults import Faults, Network, SkewedClock, Split

NAMES = ("node", "c1", "c2", "e1", "e2", "e3")


def across(split):
    """Two processes on different sides of a split."""
    return next((a, b) for a in NAMES for b in NAMES if a != b and split.parts(a, b, split.start))


def test_a_split_has_two_sides_for_its_time():
    split = Split(100.0, 200.0, 5)
    a, b = across(split)
    assert split.parts(b, a, 199.9)
    assert not split.parts(a, b, 99.9)
    assert not split.parts(a, b, 200.0)
    others = [name for name in NAMES if name not in (a, b)]
    assert all(split.parts(a, each, 150.0) != split.parts(b, each, 150.0) for each in others)


@pytest.mark.parametrize("ordered", [True, False])
def test_what_a_split_stops_comes_later_on_a_stream_and_is_lost_otherwise(ordered):
    split = Split(100.0, 200.0, 5)
    network = Network(Faults("split", splits=(split, Split(200.0, 300.0, 5)), ordered=ordered), Random(1))
    a, b = across(split)
    assert network.arrivals(a, b, 50.0)[0] < 150.0
    stopped = network.arrivals(a, b, 150.0)
    if ordered:
        assert len(stopped) == 1
        assert stopped[0] >= 300.0, "the second split stops it again"
    else:
        assert stopped == []
        assert network.arrivals(a, b, 150.0, sure=True)


def test_splits_are_over_when_all_has_healed():
    plans = [faults.plan(seed, "split") for seed in range(50)]
    assert all(split.start < split.end <= plan.heal_at for plan in plans for split in plan.splits)
    assert {plan.ordered for plan in plans} == {True, False}
    assert max(len(plan.splits) for plan in plans) > 1


def wall(clock, now):
    """What the clock says if nothing had pushed it forward."""
    clock.last = 0
    return clock.tick(now)


def test_a_wall_clock_is_off_runs_wrong_and_is_set_both_ways():
    plan = Faults("calm", skew_us=400_000, drift=0.002, clock_steps=3)
    walls = []
    for number in range(20):
        clock = SkewedClock(plan, Random(number))
        walls.append([wall(clock, float(at)) for at in range(0, 20_000, 100)])
    steps = [after - before - 100_000 for times in walls for before, after in pairwise(times)]
    jumps = [step for step in steps if abs(step) > 1_000]
    assert min(jumps) < 0 < max(jumps)
    assert len(jumps) > 20
    assert all(abs(jump) <= 3 * 400_000 + 1_000 for jump in jumps)
    assert len({times[0] for times in walls}) == 20
    assert any(0 < abs(step) < 1_000 for step in steps), "it drifts"


def test_stamps_increase_whatever_the_wall_clock_does():
    clock = SkewedClock(Faults("calm", skew_us=5_000_000), Random(2))
    stamps = [clock.tick(at / 2) for at in range(0, 50_000, 7)]
    assert stamps == sorted(set(stamps))
