"""The plans and functions that this executor was given, and those that it asked the node for.

Law: what is needed and not here is asked for once, and again only when a while has passed or something
else has come; which tasks wait for it, this file does not know.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.tasks import Known, Task
from cloudburst_runtime.ids import NODE, Millis
from cloudburst_runtime.messages import Failure, Fetch, FunctionSpec, Pin, Unpin

FunctionKey: TypeAlias = tuple[str, int]
"""A function's name and version."""

TIMER = "fetch"


class Catalog:
    """Plans by number, functions by name and version.

    Parameters
    ----------
    resend_ms
        How long an answer may take before it is asked for again.

    Examples
    --------
    >>> catalog = Catalog(resend_ms=1000.0)
    >>> catalog.fetch(("f", 1), now=0.0)[0].message
    Fetch(functions=[('f', 1)], plans=[])
    >>> catalog.fetch(("f", 1), now=1.0)
    []
    """

    def __init__(self, resend_ms: Millis) -> None:
        self._resend_ms = resend_ms
        self.plans: dict[int, Known] = {}
        self.functions: dict[FunctionKey, FunctionSpec] = {}
        self._asked: dict[int | FunctionKey, None] = {}
        self._armed = False

    def fetch(self, what: int | FunctionKey, now: Millis) -> list[Any]:
        """Ask for a plan (its number) or a function."""
        if what in self._asked:
            return []
        self._asked[what] = None
        ask = Fetch([], [what]) if isinstance(what, int) else Fetch([what], [])
        if self._armed:
            return [Send(NODE, ask)]
        self._armed = True
        return [Send(NODE, ask), SetTimer(TIMER, now + self._resend_ms)]

    def despair(self) -> None:
        """What was asked for has not come: from now on `fetch` asks for it again."""
        self._armed = False
        self._asked.clear()

    def learn(self, pin: Pin) -> None:
        """Keep what the node sent."""
        self._asked.clear()
        for function in pin.functions:
            self.functions[(function.name, function.version)] = function
        for plan in pin.plans:
            self.plans[plan.number] = Known.of(plan)

    def on_unpin(self, message: Unpin, now: Millis) -> list[Any]:
        """Drop functions that nothing new needs."""
        for name, version in message.functions:
            self.functions.pop((name, version), None)
        return []


def unknown(task: Task, missing: list[str]) -> Failure | None:
    """Why a task cannot run, if what it needs is among what the node does not know any more."""
    if f"#{task.header.plan}" in missing:
        return Failure("DagNotFound", "what this call runs is no longer known")
    if task.known is None:
        return None
    name, version = task.function_key
    if f"{name}@{version}" not in missing:
        return None
    return Failure("FunctionNotFound", f"version {version} of {name!r} is no longer known")
