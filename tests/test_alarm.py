"""The alarm: it goes off once, when the last time that was set has come, and ends when it is closed."""

import os
import queue
import threading

import pytest

from cloudburst_runtime.shell import alarm
from cloudburst_runtime.shell.alarm import Alarm
from cloudburst_runtime.shell.clock import now_ms

PATIENCE = 30.0


def threads():
    return [each for each in threading.enumerate() if each.name == "cloudburst-alarm"]


@pytest.fixture(params=["timer", "sleep"])
def rung(request, monkeypatch):
    """An alarm, and when it rang; with the system's timers, and without."""
    if request.param == "sleep":
        monkeypatch.setattr(alarm.sys, "platform", "elsewhere")
    elif alarm.sys.platform != "linux":
        pytest.skip("there are no such timers here")
    rung = queue.SimpleQueue()
    made = Alarm(lambda: rung.put(now_ms()))
    yield made, rung
    made.close()
    for thread in threads():
        thread.join(PATIENCE)
    assert not threads()


def test_it_goes_off_not_before_it_is_due(rung):
    made, when = rung
    for span in (5.0, -5.0, 20.0):
        due = now_ms() + span
        made.set(due)
        assert when.get(timeout=PATIENCE) >= due


def test_it_goes_off_though_the_main_thread_computes(rung):
    made, when = rung
    made.set(now_ms() + 5.0)
    until = now_ms() + PATIENCE * 1000
    while when.empty():
        assert now_ms() < until


@pytest.mark.skipif(alarm.sys.platform != "linux", reason="elsewhere it may go off more often")
def test_one_that_is_put_off_goes_off_at_the_later_time_only():
    when = queue.SimpleQueue()
    made = Alarm(lambda: when.put(now_ms()))
    due = now_ms()
    for _ in range(20):
        due += 5.0
        made.set(due)
    assert when.get(timeout=PATIENCE) >= due
    made.close()
    for thread in threads():
        thread.join(PATIENCE)
    assert when.empty()


def test_one_that_never_rang_has_no_thread_and_closes():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    Alarm(lambda: None).close()
    assert not threads()
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before
