"""Which figure says most about the last calls of a function or DAG.

Law: `pick` and `draw` are given calls that are over; `of` takes those that this process remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from cloudburst_nb import runtimes
from cloudburst_nb.past import PastCall
from cloudburst_nb.plots.comparison import compare
from cloudburst_nb.plots.course import timeline
from cloudburst_nb.plots.distribution import latency
from cloudburst_nb.plots.over_time import over_time, throughput
from cloudburst_nb.plots.stages import breakdown

__all__ = ["of"]

FEW = 5
"""Below so many calls a distribution says little."""


def of(name: str, kind: str | None = None) -> Figure:
    """A figure of the last calls of a function or DAG by this process, up to 512 of them.

    Parameters
    ----------
    name
        Of the function or DAG.
    kind
        ``"latency"``, ``"breakdown"``, ``"timeline"``, ``"over-time"``, ``"throughput"``, or ``"compare"``,
        which is of the last two versions of a function. None picks: the timeline of a DAG that was called
        a few times, the two versions of a function that has changed, the stages of a few calls, else the
        distribution.

    Raises
    ------
    ValueError
        If no call of it has ended yet, or there is no figure of that kind.

    Examples
    --------
    >>> values = cb.gather(square.map(range(20)))
    >>> of("square").axes[0].get_xlabel()
    'latency, milliseconds'
    """
    calls = runtimes.ensure()._journal.recent(name)
    if not calls:
        raise ValueError(f"no call of {name!r} from here has ended yet: there is nothing to draw")
    return draw(kind or pick(calls), calls)


def pick(calls: list[PastCall]) -> str:
    """The kind of figure that says most about these calls."""
    if len(calls[-1].names) > 1:
        return "timeline" if len(calls) < FEW else "latency"
    if len(by_version(calls)) > 1:
        return "compare"
    return "breakdown" if len(calls) < FEW else "latency"


def by_version(calls: list[PastCall]) -> dict[int, list[PastCall]]:
    """The calls of each version of a function, of those that were called a few times."""
    groups: dict[int, list[PastCall]] = {}
    for call in calls:
        groups.setdefault(call.versions[0], []).append(call)
    return {version: groups[version] for version in sorted(groups) if len(groups[version]) >= FEW}


def draw(kind: str, calls: list[PastCall]) -> Figure:
    """The figure of that kind."""
    if kind not in KINDS:
        raise ValueError(f"there is no figure {kind!r}: choose {', '.join(KINDS)}")
    return KINDS[kind](calls)


def _last(calls: list[PastCall]) -> Figure:
    return timeline(calls[-1])


def _versions(calls: list[PastCall]) -> Figure:
    groups = by_version(calls)
    if len(groups) < 2:
        raise ValueError(f"there are not two versions that were called {FEW} times or more")
    (old, before), (new, after) = list(groups.items())[-2:]
    return compare(before, after, names=(f"v{old}", f"v{new}"))


KINDS: dict[str, Callable[[Any], Figure]] = {
    "latency": latency,
    "breakdown": breakdown,
    "timeline": _last,
    "over-time": over_time,
    "throughput": throughput,
    "compare": _versions,
}
