"""How it went over time: the latency of each call, and how many calls and executors at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cloudburst_nb.display.chart import GREY, Chart, quiet
from cloudburst_nb.past import PastCall
from cloudburst_nb.plots.common import (
    COLOURS,
    FLOOR_MS,
    legend,
    number_logarithmic,
    number_time,
    past_calls,
    plain,
)

WINDOWS = 40
"""The medians and rates are taken over so many equal spans of time, at most."""
WINDOW_CALLS = 5
"""Medians are taken of so many calls at least, in the mean: of fewer they would only follow the dots."""
MARKERS = "o^svDP"


def over_time(futures: Any) -> Figure:
    """The latency of each call, at the time of the call, per function; with the running median.

    Parameters
    ----------
    futures
        Of calls; those that are not done are left out.

    Returns
    -------
    matplotlib.figure.Figure
        Time since the first call to the right, milliseconds upwards on a logarithmic scale.

    Raises
    ------
    ValueError
        If none of the calls has run.
    TypeError
        If something is no future: timings do not say when.

    Examples
    --------
    >>> calls = square.map(range(50))
    >>> values = cb.gather(calls)
    >>> cb.plots.over_time(calls).axes[0].get_ylabel()
    'latency, milliseconds'
    """
    calls = past_calls(futures, "latency over time")
    zero = min(call.submitted for call in calls)
    chart = Chart(figsize=(7, 3.2))
    axes = chart.add_subplot()
    groups: dict[str, list[PastCall]] = {}
    for call in calls:
        groups.setdefault(call.target, []).append(call)
    for index, (target, group) in enumerate(groups.items()):
        seconds = np.array([(call.submitted - zero) / 1000 for call in group])
        latencies = np.array([max(call.ended - call.submitted, FLOOR_MS) for call in group])
        _course(axes, f"{target} ({len(group):,})", seconds, latencies, index)
    axes.set_yscale("log")
    axes.set_ylabel("latency, milliseconds")
    number_logarithmic(axes, "y")
    number_time(axes)
    axes.grid(which="major", axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    quiet(axes)
    legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(groups), 3))
    return chart


def _course(axes: Axes, name: str, seconds: Any, latencies: Any, index: int) -> None:
    colour = COLOURS[index % len(COLOURS)]
    marker = MARKERS[index % len(MARKERS)]
    shade = 0.6 if len(seconds) < 300 else 0.25
    dots: dict[str, Any] = {"color": colour, "markersize": 4, "markeredgewidth": 0}
    axes.plot(seconds, latencies, marker, alpha=shade, **dots)
    axes.plot([], [], marker, label=name, **dots)  # in the legend, as dark as where many lie
    middles, medians = running_median(seconds, latencies)
    if len(middles) > 2:
        axes.plot(middles, medians, color=colour, linewidth=1.8)


def running_median(seconds: Any, values: Any) -> tuple[list[float], list[float]]:
    """The median of the values in each of equal spans of time; spans without any are left out.

    Examples
    --------
    >>> running_median(np.arange(10.0), np.arange(10.0) ** 2)
    ([2.25, 6.75], [4.0, 49.0])
    """
    spans = min(max(len(values) // WINDOW_CALLS, 1), WINDOWS)
    edges = np.linspace(seconds.min(), seconds.max(), spans + 1)
    middles, medians = [], []
    for index, (low, high) in enumerate(pairwise(edges)):
        last = index == len(edges) - 2
        inside = values[(seconds >= low) & ((seconds < high) | (last & (seconds == high)))]
        if len(inside):
            middles.append(round(float(low + high) / 2, 9))
            medians.append(float(np.median(inside)))
    return middles, medians


def throughput(futures: Any) -> Figure:
    """How many calls ended per second, and how many executors were in user code, over time.

    Parameters
    ----------
    futures
        Of calls; those that are not done are left out.

    Raises
    ------
    ValueError
        If none of the calls has run.
    TypeError
        If something is no future: timings do not say when.

    Examples
    --------
    >>> calls = square.map(range(50))
    >>> values = cb.gather(calls)
    >>> [axes.get_ylabel() for axes in cb.plots.throughput(calls).axes]
    ['calls per second', 'executors\\nin user code']
    """
    calls = past_calls(futures, "throughput")
    zero = min(call.submitted for call in calls)
    ended = np.array(sorted((call.ended - zero) / 1000 for call in calls))
    chart = Chart(figsize=(7, 4))
    above, below = chart.subplots(2, sharex=True, height_ratios=(2, 1))
    edges = np.linspace(0, max(float(ended[-1]), 1e-6), WINDOWS + 1)
    counts, _ = np.histogram(ended, edges)
    rates = counts / (edges[1] - edges[0])
    above.stairs(rates, edges, color=COLOURS[0], linewidth=1.8, fill=False)
    above.stairs(rates, edges, color=COLOURS[0], alpha=0.15, fill=True)
    mean = len(calls) / edges[-1]
    above.axhline(mean, color=GREY, linewidth=1, linestyle="--")
    above.annotate(
        f"mean {plain(mean)}",
        (1, mean),  # beside the axes: inside, curves may be anywhere
        (4, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=GREY,
        size=9,
    )
    busy = busy_executors(calls, zero, edges)
    below.stairs(busy, edges, color=COLOURS[2], linewidth=1.8, fill=False)
    below.stairs(busy, edges, color=COLOURS[2], alpha=0.15, fill=True)
    above.set(ylabel="calls per second", ylim=(0, None))
    below.set(ylabel="executors\nin user code", ylim=(0, None))
    number_time(below)
    above.yaxis.set_major_formatter(FuncFormatter(plain))
    for axes in (above, below):
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
        quiet(axes)
    return chart


def busy_executors(calls: list[PastCall], zero: float, edges: Any) -> Any:
    """How many executors ran user code in each span of time, in the mean; ``edges`` in seconds."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for call in calls:
        for step in call.steps:
            spans.setdefault(step.executor, []).append((step.started - zero, step.ended - zero))
    busy = np.zeros(len(edges) - 1)
    for found in spans.values():
        for start, end in merged(found):
            busy += np.clip(np.minimum(edges[1:], end / 1000) - np.maximum(edges[:-1], start / 1000), 0, None)
    return busy / np.diff(edges)


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that touch or overlap, as one each, in order.

    Examples
    --------
    >>> merged([(3.0, 4.0), (0.0, 2.0), (1.0, 3.0), (6.0, 7.0)])
    [(0.0, 4.0), (6.0, 7.0)]
    """
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
