"""An alarm that goes off though the main thread is in user code, and costs nothing while it is put off.

Law: whoever is called is called once per time that the alarm goes off, in a thread of its own, which sleeps
until then: to put the alarm off wakes nobody. (A thread that sleeps for a while by itself would have to ask
for the interpreter each time, which slows down a main thread that is busy.)

A main thread that computes in Python makes way within `SWITCH_SECONDS`; one that computes in C and keeps the
interpreter meanwhile, when that is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable

from cloudburst_runtime.ids import Millis

CLOCK_MONOTONIC = 1
ABSOLUTE = 1

SWITCH_SECONDS = 0.001
"""After how long a thread that computes lets another one run; Python's own default is five times that."""


class Alarm:
    """Goes off when the last time that was set has come.

    Parameters
    ----------
    ring
        What to call.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._fd = -1
        self._when = (ctypes.c_long * 4)()
        self._set = _system("timerfd_settime")

    @property
    def available(self) -> bool:
        """Whether the system has such a thing."""
        return self._set is not None

    def set(self, due: Millis) -> None:
        """Go off at this time of the monotonic clock, in milliseconds, instead of any earlier one."""
        if self._fd < 0:
            self._begin()
        seconds, rest = divmod(due, 1000.0)
        self._when[2], self._when[3] = int(seconds), int(rest * 1e6)
        assert self._set is not None
        self._set(self._fd, ABSOLUTE, self._when, None)

    def _begin(self) -> None:
        create = _system("timerfd_create")
        assert create is not None
        self._fd = create(CLOCK_MONOTONIC, os.O_CLOEXEC)
        sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        threading.Thread(target=self._run, name="cloudburst-alarm", daemon=True).start()

    def _run(self) -> None:
        while True:
            os.read(self._fd, 8)
            self._ring()


def _system(name: str) -> Callable[..., int] | None:
    """A function of the C library, called without letting go of the interpreter: it takes no time."""
    function: Callable[..., int] | None = getattr(ctypes.PyDLL(None), name, None)
    return function
