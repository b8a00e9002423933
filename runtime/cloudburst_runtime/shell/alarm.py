"""An alarm that goes off though the main thread is busy, and costs nothing while it is put off.

Law: what it calls is called in a thread of its own, which sleeps until the last time that was set has come:
to put the alarm off wakes nobody. (A thread that woke up to look would have to ask for the interpreter each
time, and that slows down a main thread which is busy. Where the system has no such timer, it does just that.)

A main thread that computes in Python makes way after `sys.getswitchinterval`; one that computes in C and
keeps the interpreter meanwhile, when that is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from cloudburst_runtime.ids import Millis
from cloudburst_runtime.shell.clock import now_ms

CLOCK_MONOTONIC = 1
ABSOLUTE = 1


class Alarm:
    """Goes off when the last time that was set has come.

    Parameters
    ----------
    ring
        What to call.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: _Timer | None = None
        self._closed = False

    def set(self, due: Millis) -> None:
        """Go off at this time of the monotonic clock, in milliseconds, not at an earlier one set before."""
        if self._timer is None:
            self._timer = _SystemTimer() if sys.platform == "linux" else _Sleeper()
            run = partial(self._run, self._timer)
            threading.Thread(target=run, name="cloudburst-alarm", daemon=True).start()
        self._timer.set(due)

    def _run(self, timer: _Timer) -> None:
        while True:
            timer.wait()
            if self._closed:
                timer.close()
                return
            self._ring()

    def close(self) -> None:
        """Never go off again."""
        self._closed = True
        if self._timer is not None:
            self._timer.set(now_ms())


class _Timer(Protocol):
    def set(self, due: Millis) -> None: ...
    def wait(self) -> None: ...
    def close(self) -> None: ...


class _SystemTimer:
    """Linux's timers that are descriptors."""

    def __init__(self) -> None:
        library = ctypes.PyDLL(None)  # it keeps the interpreter while it sets a timer, which takes no time
        self._settime = library.timerfd_settime
        self._fd = library.timerfd_create(CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError("the system has no timer left: too many files are open")
        self._when = (ctypes.c_long * 4)()  # an interval of 0 s 0 ns, and then when

    def set(self, due: Millis) -> None:
        seconds, rest = divmod(due, 1000.0)
        self._when[2], self._when[3] = int(seconds), int(rest * 1e6)
        self._settime(self._fd, ABSOLUTE, self._when, None)

    def wait(self) -> None:
        os.read(self._fd, 8)

    def close(self) -> None:
        os.close(self._fd)


class _Sleeper:
    """A thread that sleeps for as long as is known, each time that it is told."""

    def __init__(self) -> None:
        self._due: Millis = 0.0
        self._told = threading.Semaphore(0)

    def set(self, due: Millis) -> None:
        self._due = due
        self._told.release()

    def wait(self) -> None:
        self._told.acquire()
        time.sleep(max(0.0, self._due - now_ms()) / 1000)

    def close(self) -> None:
        """There is nothing to close."""
