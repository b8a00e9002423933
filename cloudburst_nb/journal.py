"""What a client remembers of its calls once they are over: how many, and how long the last of each took.

Law: bounded, and cheap, for every call passes here with the loop's lock held. Values and printed text are not
kept.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cloudburst_nb.past import PastCall
from cloudburst_runtime.messages import Result, Step

TARGETS_MAX = 1_000
RECENT_MAX = 512
"""Of one function or DAG: percentiles are of these."""
CANCELLED = "CallCancelled"


class Calls(NamedTuple):
    """Calls of one function or DAG by this process.

    Attributes
    ----------
    calls, errors
        How many are over, and how many of them failed; cancelled ones are no errors.
    p50_ms, p99_ms
        Milliseconds, from the call to its result, that half and 99 % of the last ones did not exceed; None
        if there were none.
    """

    calls: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None


class _Record:
    __slots__ = ("calls", "errors", "recent")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.recent: deque[PastCall] = deque(maxlen=RECENT_MAX)


class Journal:
    """The calls of one client.

    Examples
    --------
    >>> journal = Journal()
    >>> journal.note("square", [], 0.0, 2.5, Result(1, 0, None, []))
    >>> journal.of("square")
    Calls(calls=1, errors=0, p50_ms=2.5, p99_ms=2.5)
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def note(self, target: str, nodes: Sequence[str], submitted: float, ended: float, result: Result) -> None:
        """A call is over."""
        record = self._records.get(target)
        if record is None:
            record = self._begin(target)
        record.calls += 1
        if result.failure is None:
            names = nodes or (target,)
            record.recent.append(PastCall(target, names, submitted, ended, _bare(result.steps)))
        elif result.failure.kind != CANCELLED:
            record.errors += 1

    def _begin(self, target: str) -> _Record:
        while len(self._records) >= TARGETS_MAX:
            self._records.popitem(last=False)
        record = self._records[target] = _Record()
        return record

    def of(self, target: str) -> Calls:
        """What is known of a function or DAG."""
        record = self._records.get(target)
        if record is None:
            return Calls(0, 0, None, None)
        recent = sorted(call.ended - call.submitted for call in record.recent.copy())
        return Calls(record.calls, record.errors, _share(recent, 0.5), _share(recent, 0.99))

    def recent(self, target: str) -> list[PastCall]:
        """The last calls of a function or DAG that have run, in the order in which they ended."""
        record = self._records.get(target)
        return [] if record is None else [call for call in record.recent.copy() if call.steps]

    def counts(self) -> dict[str, int]:
        """How many calls of each function and DAG are over."""
        return {target: record.calls for target, record in list(self._records.items())}


def _bare(steps: list[Step]) -> list[Step]:
    """Steps without what was printed in them, and without what a record keeps."""
    if len(steps) == 1 and not (steps[0].stdout or steps[0].stderr or steps[0].witness):
        return steps
    if any(step.stdout or step.stderr or step.witness is not None for step in steps):
        return [msgspec.structs.replace(step, stdout="", stderr="", witness=None) for step in steps]
    return steps


def _share(ordered: list[float], share: float) -> float | None:
    """The smallest value that at least this share of them does not exceed."""
    if not ordered:
        return None
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]
