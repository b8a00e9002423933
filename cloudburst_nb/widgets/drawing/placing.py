"""Where the boxes of a sketch stand.

Law: pure geometry over `display.layout`, so that editor, static picture and figure agree. A box is as wide
as its words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from cloudburst_nb.display.layout import LAYER_GAP, NODE_GAP, NODE_HEIGHT, layered
from cloudburst_nb.display.picture import width_of
from cloudburst_nb.widgets.drawing.sketch import Point, Sketch

BADGES_PIXELS = 34.0
"""Room for the mark of a node's state."""
MORE_GAP = 34.0
STRETCH = 1.25
"""Between layers and between boxes there is more room than in a picture: for times."""
APART = (NODE_HEIGHT + NODE_GAP) * STRETCH
"""From the middle of a box to that of the one below it."""


def width(name: str, words: str) -> float:
    """Of a box with a name and smaller words below it."""
    return width_of(name, words) + BADGES_PIXELS


def widths(sketch: Sketch, words: Mapping[str, str]) -> dict[str, float]:
    """Of each box, with ``words`` on its second line."""
    return {name: width(name, words.get(name, "")) for name in sketch.nodes}


def arranged(sketch: Sketch, words: Mapping[str, str]) -> Sketch:
    """The sketch with all its boxes in layers, wide enough apart for what is written at arrows and boxes."""
    layout = layered(sketch.graph, widths(sketch, words))
    columns = sorted({box.x for box in layout.boxes.values()})

    def place(x: float, y: float) -> Point:
        column = min(range(len(columns)), key=lambda at: abs(columns[at] - x))
        return round(x + MORE_GAP * column, 1), round(y * STRETCH, 1)

    nodes = {}
    for name, node in sketch.nodes.items():
        x, y = place(layout.boxes[name].x, layout.boxes[name].y)
        nodes[name] = dataclasses.replace(node, x=x, y=y)
    # A way has two points at each end, and two in each layer that it passes through.
    bends = {
        edge: tuple(place(*point) for point in way[1:-1]) for edge, way in layout.ways.items() if len(way) > 4
    }
    return sketch.having(nodes=nodes, bends=bends)


def apart(sketch: Sketch, fresh: Collection[str], words: Mapping[str, str]) -> Sketch:
    """The sketch with its ``fresh`` boxes together so far down that they cover no others."""
    wide, nodes = widths(sketch, words), sketch.nodes
    taken = sorted(
        (nodes[other].y - nodes[name].y - APART, nodes[other].y - nodes[name].y + APART)
        for name in fresh
        for other in nodes
        if other not in fresh
        and abs(nodes[other].x - nodes[name].x) < (wide[other] + wide[name]) / 2 + NODE_GAP
    )
    down = 0.0
    for begin, end in taken:
        down = max(down, end) if begin < down else down
    moved = {
        name: dataclasses.replace(node, y=round(node.y + down, 1)) if name in fresh else node
        for name, node in nodes.items()
    }
    return sketch.having(nodes=moved)


def free_place(sketch: Sketch, width: float) -> tuple[float, float]:
    """Where a box can go that is not dragged anywhere: right of all others, or below them in a long row.

    Examples
    --------
    >>> free_place(Sketch("pipe"), 100.0)
    (58.0, 29.0)
    """
    if not sketch.nodes:
        return 8.0 + width / 2, 8.0 + NODE_HEIGHT / 2
    lowest = max(node.y for node in sketch.nodes.values())
    row = [node.x for node in sketch.nodes.values() if lowest - node.y < NODE_HEIGHT]
    left = min(node.x for node in sketch.nodes.values())
    if len(row) >= 4:
        return left, lowest + APART
    return max(row) + width + LAYER_GAP + MORE_GAP, lowest
