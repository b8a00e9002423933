"""How latency is spread: cumulative curves, one or several, and two sets of calls against each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cloudburst_nb.display.chart import GREY, Chart, quiet
from cloudburst_nb.latency import PERCENTS, measured, percentile
from cloudburst_nb.plots.common import COLOURS, DASHES, FLOOR_MS, by_target, legend, number_logarithmic, plain

__all__ = ["latency"]


def latency(calls: Iterable[Any]) -> Figure:
    """The empirical distribution of the latency, per function, with p50, p95 and p99 marked.

    Parameters
    ----------
    calls
        Futures, or their ``timings``; those that are not done are left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no call was measured.

    Examples
    --------
    >>> timings = [{"total": t / 1000, "queued": 0, "transfer": 0, "run": t / 1000} for t in (1, 2, 5)]
    >>> figure = latency(timings)
    >>> figure.axes[0].get_xlabel()
    'latency, milliseconds'
    """
    groups = {
        target: sorted(float(call.timings["total"]) * 1000 for call in found)
        for target, found in by_target(measured(calls)).items()
    }
    chart = Chart(figsize=(7, 3.4))
    axes = chart.add_subplot()
    curves(axes, groups)
    quiet(axes)
    return chart


def curves(axes: Axes, groups: dict[str, list[float]]) -> None:
    """A step curve for each group of sorted milliseconds, on a logarithmic axis."""
    axes.set_xscale("log")
    for index, (target, values) in enumerate(groups.items()):
        shown = [max(value, FLOOR_MS) for value in values]
        _distribution(axes, target, shown, index, alone=len(groups) == 1)
    axes.set(xlabel="latency, milliseconds", ylabel="share of the calls", ylim=(0, 1.03))
    number_logarithmic(axes, "x")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    axes.grid(which="major", color=GREY, alpha=0.25, linewidth=0.6)
    if len(groups) == 1:
        legend(axes, loc="lower right")
    else:  # below, for curves may be anywhere
        legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.18))


def _distribution(axes: Axes, target: str, values: list[float], index: int, alone: bool) -> None:
    """One step curve; the percentiles are named beside it if it is alone, else in the legend."""
    colour = COLOURS[index % len(COLOURS)]
    dashes = DASHES[index // len(COLOURS) % len(DASHES)]
    steps = axes.ecdf(values, color=colour, linewidth=1.8, linestyle=dashes)
    marks = [(percentile(values, percent), percent) for percent in PERCENTS]
    for value, percent in marks:
        axes.plot(value, percent / 100, "o", color=colour, markersize=5)
        if alone:
            _name_mark(axes, value, percent)
    words = ", ".join(f"p{percent} {plain(value)}" for value, percent in marks)
    steps.set_label(f"{target} ({len(values):,})" if alone else f"{target} ({len(values):,}): {words} ms")


def _name_mark(axes: Axes, value: float, percent: int) -> None:
    """Above and left of its point, or below and right: a curve that only rises is in neither place."""
    low, high = (math.log(limit) for limit in axes.get_xlim())
    left = math.log(value) > low + 0.4 * (high - low)  # where there is room
    above = {50: 3, 95: -4, 99: 9}[percent]
    axes.annotate(
        f"p{percent} {plain(value)} ms",
        (value, percent / 100),
        (-6, above) if left else (8, {50: -8, 95: -11, 99: -9}[percent]),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom" if left else "center",
        color=GREY,
        size=9,
    )
