"""What the figures have in common: colours, calls by target, legends.

Colours are Okabe and Ito's, which the colour-blind tell apart, those of them that are seen on white and on
black; whatever differs by colour differs by a dash, a hatch or a name as well.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

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
