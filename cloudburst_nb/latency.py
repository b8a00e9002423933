"""How long calls took, in a few numbers.

Law: reads futures that are done, or their ``timings``; waits for nothing and draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.past import PastCall

STAGES = ("queued", "transfer", "run")
PERCENTS = (50, 95, 99)
ANONYMOUS = "calls"


class Measured(NamedTuple):
    """One call: what was called, and its timings in seconds."""

    target: str
    timings: Mapping[str, Any]


class Percentiles(NamedTuple):
    """Milliseconds that half, 95 % and 99 % of the calls did not exceed."""

    p50: float
    p95: float
    p99: float


class Summary:
    """Percentiles of some calls' latency and of its stages, in milliseconds; made by `summary`.

    Attributes
    ----------
    count : int
        Calls that were measured.
    unmeasured : int
        Calls that are not done, or ended before they ran.
    targets : tuple of str
        The functions and DAGs that were called.
    total, queued, transfer, run : Percentiles
        ``summary.total.p99``.
    stages : dict of str to Percentiles
        The stages that calls of one function went through, if the runtime is up with ``trace=True``.

    Examples
    --------
    >>> import cloudburst_nb as cb
    >>> cb.summary([{"total": 0.004, "queued": 0.001, "transfer": 0.001, "run": 0.002}])
    1 call
    milliseconds       p50       p95       p99
    total             4.00      4.00      4.00
    queued            1.00      1.00      1.00
    transfer          1.00      1.00      1.00
    run               2.00      2.00      2.00
    """

    def __init__(self, calls: Sequence[Measured], unmeasured: int = 0) -> None:
        self.count = len(calls)
        self.unmeasured = unmeasured
        self.targets = tuple(dict.fromkeys(call.target for call in calls))
        self.total, self.queued, self.transfer, self.run = (
            percentiles([float(call.timings[stage]) * 1000 for call in calls]) for stage in ("total", *STAGES)
        )
        traced = [call.timings["stages"] for call in calls if call.timings.get("stages")]
        self.stages = {
            stage: percentiles([took[stage] * 1000 for took in traced if stage in took])
            for stage in max(traced, key=len, default={})
        }

    def rows(self) -> dict[str, Percentiles]:
        """Percentiles by stage, ``total`` first."""
        return {stage: getattr(self, stage) for stage in ("total", *STAGES)}

    @property
    def title(self) -> str:
        """What was measured, in words."""
        targets = ", ".join(self.targets[:3]) + (", …" if len(self.targets) > 3 else "")
        named = "" if self.targets == (ANONYMOUS,) else f" of {targets}"
        more = f", {self.unmeasured:,} more not measured" if self.unmeasured else ""
        return f"{self.count:,} {'call' if self.count == 1 else 'calls'}{named}{more}"

    def __repr__(self) -> str:
        lines = [self.title, *_table("milliseconds", self.rows())]
        if self.stages:
            lines += ["", *_table("microseconds", microseconds(self.stages))]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.summaries import html

        return html(self)


def _table(unit: str, rows: Mapping[str, Percentiles]) -> Iterator[str]:
    yield f"{unit:<12}" + "".join(f"{f'p{percent}':>10}" for percent in PERCENTS)
    for stage, found in rows.items():
        yield f"{stage:<12}" + "".join(f"{value:>10.2f}" for value in found)


def microseconds(rows: Mapping[str, Percentiles]) -> dict[str, Percentiles]:
    """The same percentiles in microseconds.

    Examples
    --------
    >>> microseconds({"read": Percentiles(0.001, 0.002, 0.5)})["read"].p99
    500.0
    """
    return {stage: Percentiles(*(value * 1000 for value in found)) for stage, found in rows.items()}


def summary(calls: Iterable[Any]) -> Summary:
    """Summarise the latency of calls that are done.

    Parameters
    ----------
    calls
        Futures, or the ``timings`` of futures. It does not wait: calls that are not done are counted apart.

    Returns
    -------
    Summary
        p50, p95 and p99 of ``total``, ``queued``, ``transfer`` and ``run``, in milliseconds; it shows itself.
        In a runtime that is up with ``trace=True``, of each stage of a call besides.

    Raises
    ------
    ValueError
        If no call among them was measured.
    TypeError
        If something is neither a future nor its timings.

    Examples
    --------
    >>> import cloudburst_nb as cb
    >>> cb.summary([{"total": 0.002, "queued": 0.0, "transfer": 0.0005, "run": 0.0015}]).total.p99
    2.0
    """
    given = flat(calls)
    found = measured(given)
    return Summary(found, len(given) - len(found))


def measured(calls: Iterable[Any]) -> list[Measured]:
    """The calls that have timings; raises if there are none.

    Examples
    --------
    >>> measured([{"total": 0.5, "queued": 0.0, "transfer": 0.1, "run": 0.4}])[0].target
    'calls'
    """
    given = flat(calls)
    found = [call for call in map(_measured, given) if call is not None]
    if not given:
        raise ValueError("no calls were given")
    if not found:
        raise ValueError(
            f"of {len(given)} calls none has timings: they are not done (cb.progress(futures) waits for "
            "them), or ended before they ran"
        )
    return found


def flat(calls: Any) -> list[Any]:
    """A future or timings, or iterables of these, as one list."""
    if isinstance(calls, CloudburstFuture | PastCall | Mapping):
        return [calls]
    if isinstance(calls, str | bytes) or not isinstance(calls, Iterable):
        raise TypeError(f"expected futures, or their timings, not {type(calls).__name__}: {calls!r:.80}")
    return [each for call in calls for each in flat(call)]


def _measured(call: Any) -> Measured | None:
    if isinstance(call, CloudburstFuture):
        timings = call.timings
        return Measured(call._target, timings) if timings else None
    if isinstance(call, PastCall):
        return Measured(call.target, call.timings)
    if not call:  # the timings of a call that is not done
        return None
    if not all(stage in call for stage in ("total", *STAGES)):
        raise TypeError(
            f"timings have total, queued, transfer and run, in seconds; this has {', '.join(map(str, call))}"
        )
    return Measured(ANONYMOUS, call)


def percentiles(values: Sequence[float]) -> Percentiles:
    """The three percentiles, interpolated linearly.

    Examples
    --------
    >>> percentiles([1.0, 2.0, 3.0])
    Percentiles(p50=2.0, p95=2.9, p99=2.98)
    """
    ordered = sorted(values)
    return Percentiles(*(round(percentile(ordered, percent), 9) for percent in PERCENTS))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that ``percent`` of the sorted values do not exceed."""
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
