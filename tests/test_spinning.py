"""Looking before sleeping: how long, how often, and that it ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.shell.spinning import (
    BREAK_US_MIN,
    LOSS_US_MAX,
    MOVE_US,
    POWER_S,
    REST_MS_MAX,
    REST_MS_MIN,
    Patience,
    Spin,
    leave_processor,
    on_battery,
)

LIMIT_US = 80.0
READY = [(7, 1)]


class Machine:
    """A clock, and descriptors that get ready at a given time; each look takes two microseconds."""

    def __init__(self, ready_at: float = float("inf"), look_us: float = 2.0) -> None:
        self.now = 1.0
        self.ready_at = ready_at
        self.look_us = look_us
        self.slept: list[float] = []

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        if timeout_s:
            self.slept.append(timeout_s)
            self.now = max(self.now, self.ready_at) if timeout_s < 0 else self.now + timeout_s * 1e6
        else:
            self.now += self.look_us
        return READY if self.now >= self.ready_at else []

    def spin(self, move: Callable[[], None] | None = None) -> Spin:
        return Spin(self.poll, LIMIT_US, lambda: True, lambda: self.now, move)


def test_what_comes_within_the_look_is_found_without_sleeping() -> None:
    machine = Machine(ready_at=60.0)
    assert machine.spin().wait(-1) == READY
    assert machine.slept == []
    assert machine.now < 65.0


def test_a_process_sleeps_when_the_look_is_over() -> None:
    machine = Machine(ready_at=5000.0)
    assert machine.spin().wait(-1) == READY
    assert machine.slept == [-1]


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

    spin = Spin(machine.poll, LIMIT_US, allowed, lambda: machine.now)
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


def test_who_finds_that_another_process_had_the_processor_stops_looking() -> None:
    machine = Machine(ready_at=5000.0, look_us=BREAK_US_MIN + 1)
    assert machine.spin().wait(0) == []
    assert machine.now < LIMIT_US


def test_who_may_roam_leaves_a_processor_that_others_want_but_not_at_every_turn() -> None:
    machine = Machine(look_us=BREAK_US_MIN + 1)
    moves: list[float] = []
    spin = machine.spin(move=lambda: moves.append(machine.now))
    for _ in range(10):
        spin.wait(0)
    assert len(moves) == 1
    machine.now += MOVE_US
    spin.wait(0)
    assert len(moves) == 2


def test_leaving_a_processor_leaves_the_choice_of_processors_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    leave_processor()
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
