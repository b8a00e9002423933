"""How calls went through the executors: a Gantt chart."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cloudburst_nb.display.chart import GREY, Chart, quiet
from cloudburst_nb.past import PastCall
from cloudburst_nb.plots.common import COLOURS, HATCHES, ROWS_MAX, legend, past_calls

__all__ = ["timeline"]


def timeline(futures: Any) -> Figure:
    """How one call, or several, went through the executors: a row each, time from left to right.

    Parameters
    ----------
    futures
        One future (of a DAG, to see its functions run beside each other), or several.

    Returns
    -------
    matplotlib.figure.Figure
        Per executor the time in user code, and paler before it the time that the call waited there; the
        first row is the client's, from each call to its outcome.

    Raises
    ------
    ValueError
        If none of the calls has run.
    TypeError
        If something is no future: timings do not say when.

    Examples
    --------
    >>> future = square(3)
    >>> future.get()
    9
    >>> cb.plots.timeline(future).axes[0].get_yticklabels()[0].get_text()
    'client'
    """
    calls = past_calls(futures, "a timeline")
    zero = min(future.submitted for future in calls)
    rows = _rows(calls)
    chart = Chart(figsize=(8, 1.0 + 0.36 * (len(rows) + 1)))
    axes = chart.add_subplot()
    for future in calls:
        axes.barh(0, future.ended - future.submitted, left=future.submitted - zero, height=0.1, color=GREY)
    looks = _draw_steps(axes, calls, rows, zero)
    axes.set_yticks(range(len(rows) + 1), ["client", *rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"since the {'first ' if len(calls) > 1 else ''}call, milliseconds")
    axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    quiet(axes)
    handles = [Patch(facecolor=colour, hatch=hatch, label=name) for name, (colour, hatch) in looks.items()]
    handles.append(Patch(facecolor=GREY, alpha=0.35, label="queued"))
    legend(axes, handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(handles), 6))
    return chart


def _rows(calls: list[PastCall]) -> list[str]:
    executors = sorted({step.executor for future in calls for step in future.steps}, key=_natural)
    if len(executors) > ROWS_MAX:
        raise ValueError(f"these calls ran on {len(executors)} executors; a timeline shows up to {ROWS_MAX}")
    return executors


def _natural(name: str) -> tuple[str, int]:
    digits = name[len(name.rstrip("0123456789")) :]
    return name.rstrip("0123456789"), int(digits or 0)


def _draw_steps(
    axes: Axes, calls: list[PastCall], rows: list[str], zero: float
) -> dict[str, tuple[str, str]]:
    """The bars; returns the colour and hatch of each function."""
    row_of = {name: index + 1 for index, name in enumerate(rows)}
    looks: dict[str, tuple[str, str]] = {}
    for future in calls:
        names = future.names
        for step in future.steps:
            number = len(looks)
            colour, hatch = looks.setdefault(
                names[step.node],
                (COLOURS[number % len(COLOURS)], HATCHES[number // len(COLOURS) % len(HATCHES)]),
            )
            row = row_of[step.executor]
            waited, ran = step.started - step.ready, step.ended - step.started
            axes.barh(row, waited, left=step.ready - zero, height=0.3, color=colour, alpha=0.35, zorder=2)
            axes.barh(row, ran, left=step.started - zero, height=0.62, color=colour, hatch=hatch, zorder=3)
    return looks
