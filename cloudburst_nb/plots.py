"""Figures of latency: how it is spread, what it consists of, how one run went through the executors.

Law: each function takes futures that are done (the first two also their ``timings``) and returns a
matplotlib figure that belongs to nobody: no pyplot, no state, nothing shown by itself.

Colours are Okabe and Ito's, which the colour-blind tell apart, those of them that are seen on white and on
black. The background is clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from cloudburst_nb.display.chart import GREY, Chart, quiet
from cloudburst_nb.display.html import QUEUED, RUN, TRANSFER
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.latency import PERCENTS, STAGES, Measured, flat, measured, percentile

__all__ = ["breakdown", "latency", "timeline"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx")
STAGE_COLOURS = dict(zip(STAGES, (QUEUED, TRANSFER, RUN), strict=True))
ROWS_MAX = 40
FLOOR_MS = 1e-4


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
    groups = _by_target(measured(calls))
    chart = Chart(figsize=(7, 3.4))
    axes = chart.add_subplot()
    axes.set_xscale("log")
    for index, (target, found) in enumerate(groups.items()):
        values = sorted(max(float(call.timings["total"]) * 1000, FLOOR_MS) for call in found)
        _distribution(axes, target, values, index, alone=len(groups) == 1)
    axes.set(xlabel="latency, milliseconds", ylabel="share of the calls", ylim=(0, 1.03))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_formatter(FuncFormatter(_between(axes)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    axes.grid(which="major", color=GREY, alpha=0.25, linewidth=0.6)
    quiet(axes)
    _legend(axes, loc="lower right" if len(groups) == 1 else "best")
    return chart


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
    words = ", ".join(f"p{percent} {_plain(value)}" for value, percent in marks)
    steps.set_label(f"{target} ({len(values):,})" if alone else f"{target} ({len(values):,}): {words} ms")


def _name_mark(axes: Axes, value: float, percent: int) -> None:
    offset = {50: 0, 95: -10, 99: 2}[percent]
    axes.annotate(
        f"p{percent} {_plain(value)} ms",
        (value, percent / 100),
        (-8, offset),
        textcoords="offset points",
        ha="right",
        va="center",
        color=GREY,
        size=9,
    )


def _plain(value: float, _: object = None) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _between(axes: Axes) -> Any:
    """Labels between the powers of ten, the more the fewer of these are in sight."""

    def label(value: float, _: object) -> str:
        low, high = axes.get_xlim()
        shown = "23457" if high / low < 10 else "25" if high / low < 1000 else ""
        return _plain(value) if f"{value:e}"[0] in shown else ""

    return label


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
            f"{total:.3g}", (total, row), (4, 0), textcoords="offset points", va="center", color=GREY, size=9
        )
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("mean per call, milliseconds")
    quiet(axes)
    _legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(STAGES))
    return chart


def _mean_rows(calls: list[Measured]) -> dict[str, dict[str, float]]:
    """Mean milliseconds of each stage, by row: each target, and below a DAG its functions."""
    rows: dict[str, dict[str, float]] = {}
    for target, group in _by_target(calls).items():
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
    """
    calls = _futures(futures)
    zero = min(future._submitted for future in calls)
    rows = _rows(calls)
    chart = Chart(figsize=(8, 1.0 + 0.36 * (len(rows) + 1)))
    axes = chart.add_subplot()
    for future in calls:
        axes.barh(0, future._ended - future._submitted, left=future._submitted - zero, height=0.1, color=GREY)
    looks = _draw_steps(axes, calls, rows, zero)
    axes.set_yticks(range(len(rows) + 1), ["client", *rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"since the {'first ' if len(calls) > 1 else ''}call, milliseconds")
    axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    quiet(axes)
    handles = [Patch(facecolor=colour, hatch=hatch, label=name) for name, (colour, hatch) in looks.items()]
    handles.append(Patch(facecolor=GREY, alpha=0.35, label="queued"))
    _legend(axes, handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(handles), 6))
    return chart


def _futures(futures: Any) -> list[CloudburstFuture]:
    given = flat(futures)
    for each in given:
        if not isinstance(each, CloudburstFuture):
            raise TypeError(f"a timeline is made of futures: {type(each).__name__} does not say when")
    measured(given)
    return [future for future in given if future._result is not None and future._result.steps]


def _rows(calls: list[CloudburstFuture]) -> list[str]:
    executors = sorted({step.executor for future in calls for step in _steps(future)}, key=_natural)
    if len(executors) > ROWS_MAX:
        raise ValueError(f"these calls ran on {len(executors)} executors; a timeline shows up to {ROWS_MAX}")
    return executors


def _natural(name: str) -> tuple[str, int]:
    digits = name[len(name.rstrip("0123456789")) :]
    return name.rstrip("0123456789"), int(digits or 0)


def _steps(future: CloudburstFuture) -> list[Any]:
    return future._result.steps if future._result is not None else []


def _draw_steps(
    axes: Axes, calls: list[CloudburstFuture], rows: list[str], zero: float
) -> dict[str, tuple[str, str]]:
    """The bars; returns the colour and hatch of each function."""
    row_of = {name: index + 1 for index, name in enumerate(rows)}
    looks: dict[str, tuple[str, str]] = {}
    for future in calls:
        names = future._node_names()
        for step in _steps(future):
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


def _by_target(calls: list[Measured]) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = {}
    for call in calls:
        groups.setdefault(call.target, []).append(call)
    return groups


def _legend(axes: Axes, **options: Any) -> None:
    axes.legend(frameon=False, labelcolor=GREY, fontsize=9, **options)
