"""Two sets of calls against each other: two versions of a function, or two runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cloudburst_nb.display.chart import GREY, Chart, quiet
from cloudburst_nb.latency import STAGES, Measured, measured, percentile
from cloudburst_nb.plots.common import COLOURS, HATCHES, legend, plain
from cloudburst_nb.plots.distribution import curves

__all__ = ["compare"]


def compare(
    before: Iterable[Any], after: Iterable[Any], names: tuple[str, str] = ("before", "after")
) -> Figure:
    """Two sets of calls: their distributions, the median of each stage, and how much they differ.

    Parameters
    ----------
    before, after
        Futures, or their ``timings``; those that are not done are left out.
    names
        What the two are called.

    Raises
    ------
    ValueError
        If one of the sets has no call that was measured.

    Examples
    --------
    >>> slow = [{"total": 0.004, "queued": 0.0, "transfer": 0.001, "run": 0.003}]
    >>> fast = [{"total": 0.002, "queued": 0.0, "transfer": 0.001, "run": 0.001}]
    >>> compare(slow, fast, names=("v1", "v2")).axes[0].get_title()
    'p50 4 → 2 ms (0.5 times), p99 4 → 2 ms (0.5 times)'
    """
    both = [measured(before), measured(after)]
    totals = [sorted(float(call.timings["total"]) * 1000 for call in calls) for calls in both]
    chart = Chart(figsize=(9, 3.4))
    left, right = chart.subplots(1, 2, width_ratios=(3, 2))
    curves(left, dict(zip(_apart(names), totals, strict=True)))
    left.set_title(_difference(totals))
    _stages(right, names, both)
    for axes in (left, right):
        quiet(axes)
    return chart


def _apart(names: tuple[str, str]) -> tuple[str, str]:
    return names if names[0] != names[1] else (f"{names[0]} (1)", f"{names[1]} (2)")


def _difference(totals: list[list[float]]) -> str:
    told = []
    for percent in (50, 99):
        one, two = (percentile(values, percent) for values in totals)
        ratio = f" ({two / one:.2g} times)" if one else ""
        told.append(f"p{percent} {plain(one)} → {plain(two)} ms{ratio}")
    return ", ".join(told)


def _stages(axes: Axes, names: tuple[str, str], both: list[list[Measured]]) -> None:
    """Bars in pairs: the median milliseconds of each stage."""
    for index, (name, calls) in enumerate(zip(names, both, strict=True)):
        medians = [
            percentile(sorted(float(call.timings[stage]) * 1000 for call in calls), 50) for stage in STAGES
        ]
        rows = [row + 0.4 * index - 0.2 for row in range(len(STAGES))]
        bars = axes.barh(rows, medians, height=0.36, color=COLOURS[index], hatch=HATCHES[index], label=name)
        axes.bar_label(bars, [plain(value) for value in medians], padding=3, color=GREY, size=9)
    axes.set_yticks(range(len(STAGES)), STAGES)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlabel("median, milliseconds")
    legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
