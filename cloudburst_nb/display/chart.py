"""A matplotlib figure that shows itself in a notebook and can be read on white and on black.

Law: pyplot is never imported: it keeps figures, chooses back ends, and its figures appear by side effect.
"""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

GREY = "#7A7A7A"
"""About equally far from white and from black."""
PIXELS_PER_INCH = 144
SHOWN_PIXELS_PER_INCH = 72


class Chart(Figure):
    """A figure with a clear background; a notebook shows it also where ``%matplotlib inline`` is not on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"layout": "constrained", **kwargs})
        self.patch.set_alpha(0)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Twice as many pixels as are shown, for sharp letters."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=PIXELS_PER_INCH)
        width, height = self.get_size_inches() * SHOWN_PIXELS_PER_INCH
        return picture.getvalue(), {"width": int(width), "height": int(height)}


def quiet(axes: Axes) -> None:
    """Grey axes, without the upper and the right line."""
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", colors=GREY, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(GREY)
        label.set_fontsize(10)
