"""What latency consists of: the mean time of each stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.figure import Figure

from cloudburst_nb.display.chart import GREY, Chart, quiet
from cloudburst_nb.latency import STAGES, Measured, measured
from cloudburst_nb.plots.common import ROWS_MAX, STAGE_COLOURS, by_target, legend, plain

__all__ = ["breakdown"]


def breakdown(calls: Iterable[Any]) -> Figure:
    """Where the mean call's time went: its stages, per function, and inside a DAG per function of it.

    Parameters
    ----------
    calls
        Futures, or their ``timings``; those that are not done are left out.

    Returns
    -------
    matplotlib.figure.Figure
        ``transfer`` is known of whole calls only: the rows of a DAG's functions are without it.

    Raises
    ------
    ValueError
        If no call was measured.

    Examples
    --------
    >>> figure = breakdown([{"total": 0.004, "queued": 0.001, "transfer": 0.001, "run": 0.002}])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['queued', 'transfer', 'run']
    """
    rows = _mean_rows(measured(calls))
    names = list(rows)[:ROWS_MAX]
    chart = Chart(figsize=(7, 0.9 + 0.34 * len(names)))
    axes = chart.add_subplot()
    left = [0.0] * len(names)
    for stage, colour in STAGE_COLOURS.items():
        lengths = [rows[name].get(stage, 0.0) for name in names]
        axes.barh(names, lengths, left=left, color=colour, height=0.62, label=stage)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    for row, total in enumerate(left):
        axes.annotate(
            plain(total), (total, row), (4, 0), textcoords="offset points", va="center", color=GREY, size=9
        )
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("mean per call, milliseconds")
    quiet(axes)
    legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(STAGES))
    return chart


def _mean_rows(calls: list[Measured]) -> dict[str, dict[str, float]]:
    """Mean milliseconds of each stage, by row: each target, and below a DAG its functions."""
    rows: dict[str, dict[str, float]] = {}
    for target, group in by_target(calls).items():
        rows[target] = _means([call.timings for call in group])
        nodes: dict[str, list[Mapping[str, Any]]] = {}
        for call in group:
            for name, timings in call.timings.get("nodes", {}).items():
                nodes.setdefault(name, []).append(timings)
        for name, found in nodes.items():
            rows[f"{target} · {name}"] = _means(found)
    return rows


def _means(timings: list[Mapping[str, Any]]) -> dict[str, float]:
    return {
        stage: sum(float(each.get(stage, 0.0)) for each in timings) * 1000 / len(timings) for stage in STAGES
    }
