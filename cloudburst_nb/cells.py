"""The calls that the running cell has made: when it is interrupted, they are given up.

Law: IPython says when a cell begins and ends; this file asks nobody, and a program that is no notebook
never loads it. Calls that are detached go on.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import Any

from cloudburst_nb import overrides, runtimes
from cloudburst_nb.future import CloudburstFuture

_followed: weakref.WeakSet[Any] = weakref.WeakSet()


def follow() -> None:
    """Be told about the cells of this process's IPython, if it has one; from the running cell on."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or shell in _followed:
        return
    _followed.add(shell)
    cells = Cells()
    shell.events.register("pre_run_cell", cells.begin)
    shell.events.register("post_run_cell", cells.end)
    tally = overrides.tally()
    if tally is not None:
        from cloudburst_nb.telling import Teller

        Teller(tally).begin(shell)


class Cells:
    """Knows which calls there were before the running cell began."""

    def __init__(self) -> None:
        self._before: frozenset[tuple[str, int]] = frozenset()

    def begin(self, info: object = None) -> None:
        """A cell begins."""
        self._before = frozenset(_unfinished())

    def end(self, result: Any = None) -> None:
        """The cell has ended; there is no result if it was interrupted while it awaited something."""
        error = getattr(result, "error_in_exec", None)
        if result is None or isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            for key, future in _unfinished().items():
                if key not in self._before:
                    future._give_up()


def _unfinished() -> dict[tuple[str, int], CloudburstFuture]:
    """The calls of the runtime in use that have no outcome, by client and number."""
    client = runtimes.state.current
    if client is None or client.closed:
        return {}
    sinks = client._shell.unfinished()
    return {
        (client.name, number): sink for number, sink in sinks.items() if isinstance(sink, CloudburstFuture)
    }
