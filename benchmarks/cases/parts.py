"""Where the time goes of calls that are more than one round trip: an increment of the shared counter, ten
functions at once and their sum, and a chain from one executor to the other.

Law: the parts are read off what a future says of its call, of any runtime; together they are the whole call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.case import Case, Effort, cases_of
from benchmarks.cases.chains import APART, WIDTH
from benchmarks.cases.stages import GROUP

LENGTH = 10


class Whole(NamedTuple):
    """What is taken apart: its name, the probe that makes its calls, and the options of its runtime."""

    name: str
    probe: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] | None = None


WHOLES = (
    Whole("shared counter", "parts_of_counter"),
    Whole("10 at once and their sum", "parts_of_fan", (WIDTH,)),
    Whole(f"chain of {LENGTH}, on two executors in turn", "parts_of_chain", (LENGTH,), APART),
)

PARTS = {
    "there": "no task is ready: the client makes the call, executors read messages and send on what runs "
    "gave, and messages are on their way",
    "queued": "a task is ready and none runs: what an executor does before a run, and between runs of a row",
    "run": "user code; what it waits for the store is in it",
    "back": "the last run is over: its result is worded, travels, and reaches the thread that waits",
}
"""The parts of a call, and what they are."""


def title(whole: Whole, part: str) -> str:
    """What such a case is called."""
    return f"{whole.name}: {part}"


@cases_of
def parts(effort: Effort) -> list[Case]:
    """A case for each part of each of these calls."""
    return [
        Case(
            GROUP,
            title(whole, part),
            whole.probe,
            (part, *whole.args),
            peers=False,
            options=whole.options or {},
        )
        for whole in WHOLES
        for part in PARTS
    ]
