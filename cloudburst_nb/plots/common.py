"""What the figures have in common: colours, calls by target, legends, the numbers beside axes.

Colours are Okabe and Ito's, which the colour-blind tell apart, those of them that are seen on white and on
black; whatever differs by colour differs by a dash, a hatch or a name as well.
"""

from __future__ import annotations

from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullLocator

from cloudburst_nb.display.chart import GREY
from cloudburst_nb.display.html import QUEUED, RUN, TRANSFER
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.latency import STAGES, Measured, flat, measured
from cloudburst_nb.past import PastCall

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx")
STAGE_COLOURS = dict(zip(STAGES, (QUEUED, TRANSFER, RUN), strict=True))
ROWS_MAX = 40
FLOOR_MS = 1e-4
"""What a logarithmic axis shows a time of 0 as."""
NARROW = 5
"""A logarithmic axis whose ends differ by no more than so many times is numbered like a linear one."""


def past_calls(calls: Any, what: str) -> list[PastCall]:
    """The calls that have run; timings are refused, since they do not say when."""
    given = flat(calls)
    for each in given:
        if not isinstance(each, CloudburstFuture | PastCall):
            raise TypeError(f"{what} is made of futures: {type(each).__name__} does not say when")
    measured(given)
    found = [each if isinstance(each, PastCall) else each._past() for each in given]
    return [call for call in found if call is not None]


def by_target(calls: list[Measured]) -> dict[str, list[Measured]]:
    """The calls of each function or DAG."""
    groups: dict[str, list[Measured]] = {}
    for call in calls:
        groups.setdefault(call.target, []).append(call)
    return groups


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame."""
    axes.legend(frameon=False, labelcolor=GREY, fontsize=9, **options)


def plain(value: float, _: object = None) -> str:
    """A number of milliseconds in three digits.

    Examples
    --------
    >>> plain(0.1234), plain(12345)
    ('0.123', '12,345')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def number_logarithmic(axes: Axes, side: Literal["x", "y"]) -> None:
    """Number a logarithmic axis, on which everything is drawn: there are some numbers on the shortest too."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    low, high = axes.get_xlim() if side == "x" else axes.get_ylim()
    axis.set_major_formatter(FuncFormatter(plain))
    if high / low <= NARROW:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
        return
    named = "23457" if high / low < 10 else "25" if high / low < 1000 else ""
    axis.set_minor_formatter(FuncFormatter(lambda value, _: plain(value) if f"{value:e}"[0] in named else ""))


def number_time(axes: Axes) -> None:
    """Number and name a horizontal axis of seconds since the first call.

    The numbers have the unit that suits them; the name has none, or it would depend on how fast a run was.
    """
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.set_xlabel("time since the first call")
