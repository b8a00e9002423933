"""^C and the loop: an interrupt (SIGINT) must not cut a core's transition in two.

Law: while the main thread is in a section an interrupt is noted, and raised when the section is over.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import signal
import threading
from collections.abc import Callable
from typing import Any

_getsignal = _signal.getsignal
"""What ``signal.getsignal`` calls before it spends microseconds on making an enum of the answer."""
_SIGINT = int(signal.SIGINT)


class Interrupts:
    """Defers SIGINT while the main thread is in a section between `guard` or `begin` and `end`.

    Within a section, what lies between `open` and the setting of ``opened`` to False may be interrupted.

    Parameters
    ----------
    mark
        Is given what an interrupt raises in a section, before anybody else sees it.
    """

    def __init__(self, mark: Callable[[BaseException], None] = lambda error: None) -> None:
        self._mark = mark
        self.opened = False
        self._depth = 0
        self._pending = False
        self._main = threading.main_thread().ident
        self._previous: Any = None
        self._handler = self._on_signal  # one object, to be known again

    def guard(self) -> bool:
        """Begin a section, with a handler of ours in front of the one in force.

        Jupyter installs its own handler for each cell, so this is looked at each time; it costs a look-up.
        """
        if threading.get_ident() != self._main:
            return False
        handler = _getsignal(_SIGINT)
        if handler is not self._handler and callable(handler):
            self._previous = handler
            signal.signal(signal.SIGINT, self._handler)
        self._depth += 1
        return True

    def begin(self) -> bool:
        """Begin a section; False if this is not the main thread, which alone is interrupted."""
        if threading.get_ident() != self._main:
            return False
        self._depth += 1
        return True

    def end(self) -> None:
        """End a section; an interrupt that came meanwhile is raised now."""
        self._depth -= 1
        if self._pending and not self._depth:
            self._raise()

    def open(self) -> None:
        """Let interrupts through; one that is pending is raised now."""
        self.opened = True
        if self._pending:
            self._raise()

    def release(self) -> None:
        """Put the handler back that was in force before ours."""
        if threading.get_ident() == self._main and _getsignal(_SIGINT) is self._handler:
            signal.signal(signal.SIGINT, self._previous)

    def _raise(self) -> None:
        self._pending = False
        if callable(self._previous):
            self._interrupt(_SIGINT, None)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._depth > 0 and not self.opened:
            self._pending = True
        elif callable(self._previous):
            if self._depth > 0:
                self._interrupt(number, frame)
            else:
                self._previous(number, frame)

    def _interrupt(self, number: int, frame: Any) -> None:
        try:
            self._previous(number, frame)
        except BaseException as error:
            self._mark(error)
            raise
