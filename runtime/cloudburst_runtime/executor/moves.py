"""Whether user code may have left its directory, without asking the system after each call.

Law: what goes elsewhere by ``os.chdir`` is noted there, and after a call that was not as short as `BRIEF_MS`
anything is possible. (``os.getcwd`` takes 2 µs, a tenth of what else is done for a short call. What is not
noticed is a move that neither Python made nor anything before it took time, as by a loaded C library.)
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from cloudburst_runtime.ids import Millis

BRIEF_MS: Millis = 0.05
"""Of a call that took longer it is not known whether it moved."""


class Moves:
    """Notes moves of this process, once it is installed; until then any call may have moved.

    Examples
    --------
    >>> moves = Moves()
    >>> moves.possible(0.01)
    True
    """

    def __init__(self) -> None:
        self._installed = False
        self._noted = True

    def install(self) -> None:
        """From now on, note each ``os.chdir`` and ``os.fchdir`` of this process."""
        for name in ("chdir", "fchdir"):
            wrapped = self._noting(getattr(os, name))
            for module in (os, sys.modules[os.name]):  # the second is where a pickle looks for it
                setattr(module, name, wrapped)
        self._installed = True

    def _noting(self, move: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(move)
        def noting(*args: Any, **kwargs: Any) -> None:
            self._noted = True
            move(*args, **kwargs)

        return noting

    def possible(self, run_ms: Millis) -> bool:
        """Whether the process may have moved since this was asked last; user code has run for so long."""
        if self._installed and not self._noted and run_ms < BRIEF_MS:
            return False
        self._noted = False
        return True
