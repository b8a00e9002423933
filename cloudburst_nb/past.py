"""A call that is over, without its value: when it began and ended, and what each step of it took.

Law: pure; it reads steps, and waits for nothing. Futures show their timings by it, the journal keeps it, and
figures are drawn of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cloudburst_runtime.messages import Step


class PastCall(NamedTuple):
    """One call that has run.

    Attributes
    ----------
    target
        The function or DAG.
    names
        The functions of its nodes, in order; one for a function.
    submitted, ended
        On this host's monotonic clock, in milliseconds.
    steps
        What each node took, and where.

    Examples
    --------
    >>> call = PastCall("square", ("square",), 10.0, 14.0, [Step(0, "e1", 11.0, 11.5, 13.0)])
    >>> call.timings
    {'queued': 0.0005, 'transfer': 0.002, 'run': 0.0015, 'total': 0.004, 'return': 0.001}
    """

    target: str
    names: Sequence[str]
    submitted: float
    ended: float
    steps: list[Step]

    @property
    def timings(self) -> dict[str, Any]:
        """Seconds: ``queued``, ``transfer`` (of it ``return``), ``run``, ``total``, and a DAG's ``nodes``."""
        timings: dict[str, Any] = split(self.steps, self.submitted, self.ended)
        if len(self.names) > 1:
            timings["nodes"] = {self.names[step.node]: split_step(step) for step in self.steps}
        return timings

    @property
    def versions(self) -> tuple[int, ...]:
        """The version of the function of each step."""
        return tuple(step.version for step in self.steps)


def split(steps: list[Step], submitted: float, ended: float) -> dict[str, Any]:
    """How a call's latency splits, in seconds; along a DAG the parts of parallel functions overlap."""
    run = _covered([(step.started, step.ended) for step in steps])
    queued = _covered([(step.ready, step.ended) for step in steps]) - run
    total = ended - submitted
    transfer = max(0.0, total - queued - run)
    timings = {
        "queued": queued / 1000,
        "transfer": transfer / 1000,
        "run": run / 1000,
        "total": total / 1000,
    }
    back = ended - max(step.ended for step in steps)
    if 0.0 <= back <= transfer:  # else the clocks are those of two hosts
        timings["return"] = back / 1000
    return timings


def split_step(step: Step) -> dict[str, Any]:
    """One function's share, in seconds."""
    return {
        "queued": (step.started - step.ready) / 1000,
        "run": (step.ended - step.started) / 1000,
        "executor": step.executor,
    }


def _covered(spans: list[tuple[float, float]]) -> float:
    """The length of the union of some spans."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        if end > reached:
            covered += end - max(start, reached)
            reached = end
    return covered
