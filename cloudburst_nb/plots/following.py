"""A figure that follows the calls while they are made.

Law: it is drawn again only if a call has ended since, and shown at most ten times a second (`showing`); the
page exchanges the picture and nothing around it, so it does not flicker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudburst_nb import runtimes
from cloudburst_nb.display.html import code, faint, image
from cloudburst_nb.plots.picking import draw, pick
from cloudburst_nb.widgets.cards import Simple
from cloudburst_nb.widgets.showing import show

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

__all__ = ["live"]


def live(name: str, kind: str | None = None) -> Any:
    """Show a figure of the calls of a function or DAG, and keep it current while they go on.

    Parameters
    ----------
    name, kind
        As for `of`.

    Returns
    -------
    matplotlib.figure.Figure or None
        Where nobody would see it change (in a terminal, headless) the figure as of now; else None, for it
        is shown already.

    Raises
    ------
    ValueError
        If there is no figure of that kind; where nothing can follow, also if no call has ended yet.

    Examples
    --------
    >>> values = cb.gather(square.map(range(20)))
    >>> live("square").axes[0].get_xlabel()
    'latency, milliseconds'
    """
    card = PlotCard(runtimes.ensure(), name, kind)
    try:
        show(card)
    except NotImplementedError:
        from cloudburst_nb.plots.picking import of

        return of(name, kind)
    return None


class PlotCard(Simple):
    """A figure of what is remembered of a function's or DAG's calls."""

    period_s = 0.5

    def __init__(self, client: Client, name: str, kind: str | None = None) -> None:
        self.client = client
        self.name = name
        self.kind = kind
        self._drawn = -1
        self._html = ""

    def text(self) -> str:
        return f"latency of {self.name}, {self._count():,} calls"

    def html(self) -> str:
        count = self._count()
        if count != self._drawn:
            self._html, self._drawn = self._picture(count), count
        return self._html

    def _count(self) -> int:
        return self.client._journal.of(self.name).calls

    def _picture(self, count: int) -> str:
        calls = self.client._journal.recent(self.name)
        if not calls:
            return f"<div>no call of {code(self.name)} has ended yet</div>"
        figure: Any = draw(self.kind or pick(calls), calls)
        png, size = figure._repr_png_()
        shown = image(png, "image/png", self.text(), f"width:{size['width']}px")
        return f"<div>{shown}</div><div>{faint(f'{self.name}: {count:,} calls')}</div>"

    def over(self) -> bool:
        return self.client.closed or self.client.lost
