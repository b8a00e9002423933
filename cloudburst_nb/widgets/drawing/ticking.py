"""A thread that publishes what has changed, at most ten times a second, and sleeps while nothing goes on."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

PERIOD_S = 0.1


class Ticker:
    """Calls a method again and again, as long as it says so, once it was woken.

    Parameters
    ----------
    beat
        A bound method; True: again after a rest. The thread ends with the object it belongs to.
    rest
        A bound method that takes up to `PERIOD_S`.
    """

    def __init__(self, beat: Callable[[], bool], rest: Callable[[], None]) -> None:
        self._beat: Any = weakref.WeakMethod(beat)
        self._rest: Any = weakref.WeakMethod(rest)
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        weakref.finalize(beat.__self__, self._awake.set)  # type: ignore[attr-defined]

    def wake(self) -> None:
        """There is something to do; may be called with any lock held."""
        self._awake.set()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cloudburst-dag-editor", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            again = True
            while again:
                beat = self._beat()
                if beat is None:
                    return
                again = beat()
                rest = self._rest()
                if rest is not None:
                    rest()
                del beat, rest
