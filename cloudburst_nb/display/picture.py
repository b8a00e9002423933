"""A DAG as an SVG picture, and as a matplotlib figure of the same coordinates.

Law: a drawing is a pure function of what is drawn: names, a second line of words, edges. It knows neither
runtimes nor futures.

Nodes are light cards with dark text and edges are grey: both can be read on any background.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from cloudburst_nb.display.html import svg
from cloudburst_nb.display.layout import Box, Layout, Point, layered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILL, STROKE, INK, SOFT, EDGE = "#EAF2FA", "#0072B2", "#14202B", "#4A5A68", "#8A8A8A"
NAME_CHARACTERS_MAX = 30
NAME_PIXELS, WORD_PIXELS = 8.0, 6.4
"""Room for one character of a name and of the smaller words, generously: fonts differ."""
INCHES_PER_PIXEL = 1 / 72
INCHES_MAX = 40.0
PLAIN_FONT = "font-family=\"'DejaVu Sans',Verdana,'Segoe UI',Helvetica,Arial,sans-serif\""


def placed(graph: Any, words: Mapping[str, str]) -> Layout:
    """The layout of a graph whose nodes are names, with ``words`` below them."""
    return layered(graph, {node: width_of(node, words.get(node, "")) for node in graph})


def drawing(graph: Any, words: Mapping[str, str]) -> str:
    """The SVG text.

    Parameters
    ----------
    graph
        A ``networkx.DiGraph`` of names, without cycles.
    words
        A second, smaller line for each name.

    Examples
    --------
    >>> import networkx
    >>> drawing(networkx.DiGraph([("a", "b")]), {"a": "v1"}).count("<rect")
    2
    """
    layout = placed(graph, words)
    edges = "".join(_edge(way) for way in layout.ways.values())
    nodes = "".join(_node(name, words.get(name, ""), box) for name, box in layout.boxes.items())
    head = (
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="{EDGE}"/></marker></defs>'
    )
    ways = f'<g fill="none" stroke="{EDGE}" stroke-width="1.5">{edges}</g>'
    return svg(round(layout.width, 1), round(layout.height, 1), f"{head}{ways}<g {PLAIN_FONT}>{nodes}</g>")


def short(name: str) -> str:
    """A long name without its middle.

    Examples
    --------
    >>> short("a_function_with_quite_a_long_name_indeed")
    'a_function_with…ng_name_indeed'
    """
    if len(name) <= NAME_CHARACTERS_MAX:
        return name
    half = NAME_CHARACTERS_MAX // 2
    return f"{name[:half]}…{name[-half + 1 :]}"


@functools.lru_cache(maxsize=4096)
def width_of(name: str, words: str) -> float:
    """Of a card with a name and smaller words below it, in pixels."""
    return max(_columns(short(name)) * NAME_PIXELS, _columns(words) * WORD_PIXELS, 40.0) + 20.0


def _columns(text: str) -> int:
    """Characters, of which some scripts' are twice as wide."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _node(name: str, words: str, box: Box) -> str:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    lines = [(short(name), box.y + (-2 if words else 5), f'font-size="13" font-weight="600" fill="{INK}"')]
    if words:
        lines.append((words, box.y + 14, f'font-size="10.5" fill="{SOFT}"'))
    text = "".join(
        f'<text x="{box.x:.1f}" y="{height:.1f}" text-anchor="middle" {style}>{escape(line)}</text>'
        for line, height, style in lines
    )
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="7" '
        f'fill="{FILL}" stroke="{STROKE}" stroke-width="1.3"/>{text}'
    )


def _edge(way: list[Point]) -> str:
    path = [f"M{way[0][0]:.1f},{way[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in _pieces(way):
        middle = (x + to_x) / 2
        path.append(f"C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}")
    return f'<path d="{"".join(path)}" marker-end="url(#tip)"/>'


def _pieces(way: list[Point]) -> list[tuple[Point, Point]]:
    """The pieces that have a length: an arrow's direction is that of the last."""
    return [(start, end) for start, end in itertools.pairwise(way) if end[0] - start[0] > 0.05]


# ---------------------------------------------------------------- the same with matplotlib


def figure(graph: Any, words: Mapping[str, str]) -> Figure:
    """The same picture as a matplotlib figure; very large ones are scaled down."""
    from cloudburst_nb.display.chart import Chart

    layout = placed(graph, words)
    wide, high = layout.width * INCHES_PER_PIXEL, layout.height * INCHES_PER_PIXEL
    scale = min(1.0, INCHES_MAX / max(wide, high, 1e-9))
    chart = Chart(figsize=(wide * scale, high * scale), layout="none")
    axes = chart.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    axes.axis("off")
    for way in layout.ways.values():
        axes.add_patch(_arrow(way, scale))
    for name, box in layout.boxes.items():
        _add_node(axes, name, words.get(name, ""), box, scale)
    return chart


def _arrow(way: list[Point], scale: float) -> Any:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points, codes = [way[0]], [Path.MOVETO]
    for (x, y), (to_x, to_y) in _pieces(way):
        middle = (x + to_x) / 2
        points += [(middle, y), (middle, to_y), (to_x, to_y)]
        codes += [Path.CURVE4] * 3
    return FancyArrowPatch(
        path=Path(points, codes),
        arrowstyle="-|>",
        mutation_scale=9 * scale,
        shrinkA=0,
        shrinkB=0,
        color=EDGE,
        linewidth=1.2 * scale,
    )


def _add_node(axes: Any, name: str, words: str, box: Box, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (box.x - box.width / 2 + 6, box.y - box.height / 2 + 6)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            box.width - 12,
            box.height - 12,
            boxstyle="round,pad=6,rounding_size=7",
            facecolor=FILL,
            edgecolor=STROKE,
            linewidth=1.1 * scale,
        )
    )
    middle = {"ha": "center", "va": "center", "parse_math": False}
    axes.text(
        box.x,
        box.y - (7 if words else 0),
        short(name),
        fontsize=10.5 * scale,
        weight="bold",
        color=INK,
        **middle,
    )
    if words:
        axes.text(box.x, box.y + 9, words, fontsize=8.5 * scale, color=SOFT, **middle)
