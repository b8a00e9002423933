"""Looking before sleeping: how long, how often, and that it ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.shell import processors
from cloudburst_runtime.shell.processors import on_battery
from cloudburst_runtime.shell.spinning import (
    BREAK_US_MAX,
    CLIENT_TURNS_MAX,
    LOSS_US_MAX,
    MOVE_US_MIN,
    POWER_S,
    REST_MS_MAX,
    REST_MS_MIN,
    STAY_S,
    TURNS_MAX,
    Patience,
    Poll,
    Roaming,
    Spin,
)

LIMIT_US = 80.0
LOOK_US = 2.0
READY = [(7, 1)]


class Machine:
    """A clock, and descriptors that get ready at a given time; each look takes two microseconds."""

    def __init__(self, ready_at: float = float("inf")) -> None:
        self.now = 1.0
        self.ready_at = ready_at
        self.looks = 0
        self.break_us: list[float] = []
        """What others have of the processor after each of the next looks."""
        self.slept: list[float] = []
        self.stayed: list[float] = []
        self.moves = 0

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        if timeout_s:
            self.slept.append(timeout_s)
            until = float("inf") if timeout_s < 0 else self.now + timeout_s * 1e6
            self.now = max(self.now, min(until, self.ready_at))
        else:
            self.looks += 1
            self.now += LOOK_US
        return READY if self.now >= self.ready_at else []

    def clock(self) -> float:
        return self.now

    def give_way(self) -> None:
        self.now += self.break_us.pop(0) if self.break_us else 0.0

    def move(self) -> None:
        self.moves += 1

    def stay(self, poll: Poll, timeout_s: float) -> list[Any]:
        self.stayed.append(timeout_s)
        return poll(timeout_s)

    def spin(self, turns_max: int = 0, allowed: Callable[[], bool] = lambda: True) -> Spin:
        roaming = Roaming(turns_max, self.move)
        return Spin(self.poll, LIMIT_US, allowed, roaming, self.stay, self.clock, self.give_way)


def test_what_comes_within_the_look_is_found_without_sleeping() -> None:
    machine = Machine(ready_at=60.0)
    assert machine.spin().wait(-1) == READY
    assert machine.slept == []
    assert machine.now < 65.0


def test_a_process_sleeps_when_the_look_is_over() -> None:
    machine = Machine(ready_at=5000.0)
    assert machine.spin().wait(-1) == READY
    assert machine.slept == [STAY_S]


def test_without_a_time_out_it_looks_and_does_not_sleep() -> None:
    machine = Machine(ready_at=5000.0)
    assert machine.spin().wait(0) == []
    assert machine.slept == []
    assert LIMIT_US <= machine.now < LIMIT_US + 10


def test_a_wait_shorter_than_a_look_does_without() -> None:
    machine = Machine()
    assert machine.spin().wait(20e-6) == []
    assert machine.slept == [20e-6]


def test_a_machine_without_time_to_spare_sleeps_at_once_and_is_asked_again_later() -> None:
    machine = Machine(ready_at=40.0)
    asked: list[float] = []

    def allowed() -> bool:
        asked.append(machine.now)
        return len(asked) > 1

    spin = machine.spin(allowed=allowed)
    assert spin.wait(-1) == READY
    assert machine.slept == [-1]
    machine.ready_at = machine.now + 40.0
    assert spin.wait(-1) == READY
    assert machine.slept == [-1, -1]
    machine.now += POWER_S * 1e6
    machine.ready_at = machine.now + 40.0
    assert spin.wait(-1) == READY
    assert machine.slept == [-1, -1]
    assert len(asked) == 2


def test_what_came_while_another_process_had_the_processor_was_worth_the_look() -> None:
    machine = Machine()
    spin = machine.spin()
    for _ in range(1000):  # it gives way after two looks, and has an answer each second time
        machine.break_us = [0.0, 100.0] * 2
        machine.ready_at = machine.now + 150.0
        assert spin.wait(-1) == READY
    assert machine.slept == []


def test_what_others_have_of_the_processor_is_not_lost() -> None:
    machine = Machine()
    machine.break_us = [0.0, 150.0, 150.0]
    assert machine.spin().wait(0) == []
    assert machine.now > 300.0 + LIMIT_US


def test_who_meets_a_process_that_does_not_give_way_stops_looking_and_soon_looks_no_more() -> None:
    machine = Machine()
    spin = machine.spin()
    machine.break_us = [BREAK_US_MAX + LOSS_US_MAX]
    assert spin.wait(0) == []
    assert machine.looks == 2
    assert spin.wait(0) == []
    assert machine.looks == 3


def in_turn(machine: Machine, spin: Spin) -> None:
    """One wait that is over after its first break, as the other one has run here and answered."""
    machine.break_us = [60.0]
    machine.ready_at = machine.now + 50.0
    assert spin.wait(-1) == READY


def test_of_two_that_take_turns_on_a_processor_one_leaves_it_but_ever_more_rarely() -> None:
    machine = Machine()
    spin = machine.spin(turns_max=CLIENT_TURNS_MAX)
    for _ in range(CLIENT_TURNS_MAX - 1):
        in_turn(machine, spin)
    assert machine.moves == 0
    for _ in range(TURNS_MAX - CLIENT_TURNS_MAX):
        in_turn(machine, spin)
    assert machine.moves == 1
    machine.now += 10 * MOVE_US_MIN
    in_turn(machine, spin)
    machine.now += 2 * MOVE_US_MIN
    in_turn(machine, spin)
    assert machine.moves == 2


def test_two_that_take_turns_for_long_sleep_as_that_is_as_good() -> None:
    machine = Machine()
    spin = machine.spin()
    for _ in range(TURNS_MAX + int(LOSS_US_MAX / 60.0) + 2):
        in_turn(machine, spin)
    assert machine.slept


def test_a_sleep_after_a_look_is_on_the_same_processor_for_a_while() -> None:
    machine = Machine(ready_at=5000.0)
    spin = machine.spin()
    assert spin.wait(-1) == READY
    assert spin.wait(0.001) == READY
    machine.ready_at = machine.now + 1e6
    assert spin.wait(0.01) == []
    assert spin.wait(-1) == READY
    assert machine.stayed == machine.slept[:-1] == [STAY_S, 0.01, STAY_S]
    assert machine.slept[-1] == -1


def test_a_thread_that_stayed_may_go_anywhere_again() -> None:
    before = os.sched_getaffinity(0)
    during = processors.staying(lambda seconds: [os.sched_getaffinity(0), seconds], 0.5)
    assert during[1] == 0.5
    assert len(during[0]) == 1
    with pytest.raises(KeyboardInterrupt):
        processors.staying(interrupted, -1)
    assert os.sched_getaffinity(0) == before


def interrupted(_: float) -> list[Any]:
    raise KeyboardInterrupt


def test_leaving_a_processor_leaves_the_choice_of_processors_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    processors.leave()
    assert os.sched_getaffinity(0) == before


def test_looks_in_vain_become_rare_and_good_ones_do_not() -> None:
    machine = Machine()
    spin = machine.spin()
    for _ in range(10_000):
        spin.wait(0)
        machine.now += 1000.0
    looked_us = machine.now - 1.0 - 10_000 * 1000.0
    assert looked_us < 0.02 * machine.now

    machine = Machine()
    spin = machine.spin()
    for _ in range(1000):
        machine.ready_at = machine.now + 50.0
        assert spin.wait(-1) == READY
    assert machine.slept == []


@given(st.lists(st.tuples(st.booleans(), st.floats(1.0, 5000.0)), max_size=300))
def test_what_is_lost_between_two_rests_is_bounded(looks: list[tuple[bool, float]]) -> None:
    patience, now, lost, found, rests = Patience(), 0.0, 0.0, 0, 0
    for good, took in looks:
        now += took
        if not patience.may_look(now):
            continue
        if good:
            patience.found()
            found += 1
            continue
        lost += took
        patience.lost(took, now)
        if not patience.may_look(now):
            rests += 1
            assert patience.may_look(now + REST_MS_MAX * 1000)
            assert not patience.may_look(now + REST_MS_MIN * 1000 - 1)
    if not found:  # nothing was gained: all that is lost was paid for with rests
        assert lost <= (rests + 1) * LOSS_US_MAX + rests * 5000.0


def test_a_battery_is_noticed(tmp_path: Path) -> None:
    assert not on_battery(tmp_path)
    (tmp_path / "BAT0").mkdir()
    assert not on_battery(tmp_path)  # it says nothing
    status = tmp_path / "BAT0" / "status"
    status.write_text("Charging\n")
    assert not on_battery(tmp_path)
    status.write_text("Discharging\n")
    assert on_battery(tmp_path)
