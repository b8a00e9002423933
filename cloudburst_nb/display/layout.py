"""Where the functions of a DAG stand in a picture, from left to right.

Law: pure geometry. A graph and the width of each node in; boxes and the ways of the edges out, in the same
order on every run. What is drawn of it, and how, is for others to say.

The classical three steps: *layers* (a node stands right of all that feed it), *order* within the layers
(each node is moved to the middle of its neighbours, forth and back, and the order with the fewest crossings
is kept), *places* (each node as near to its neighbours' as its own layer's order and gaps allow, which is
an isotonic regression and solved exactly). An edge over several layers runs through a *bend* in each, so
that it passes between nodes and not over them; a graph whose bends would be more than `BENDS_MAX` does
without, and its long edges may pass behind nodes.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, TypeAlias

Point: TypeAlias = tuple[float, float]

NODE_HEIGHT = 42.0
NODE_GAP = 16.0
BEND_HEIGHT = 4.0
LAYER_GAP = 56.0
MARGIN = 8.0
SWEEPS = 8
BENDS_MAX = 6_000


class Box(NamedTuple):
    """A node's rectangle: its middle, its width and height."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """Boxes by node; by edge the points that it runs through, from the box's right side to a left side."""

    boxes: dict[str, Box]
    ways: dict[tuple[str, str], list[Point]]
    width: float
    height: float


class Bend(NamedTuple):
    """Where a long edge passes through a layer."""

    source: str
    target: str
    layer: int


Slot: TypeAlias = str | Bend
"""What stands in a layer: a node, or a bend of an edge."""


def layered(graph: Any, widths: Mapping[str, float]) -> Layout:
    """Lay a directed acyclic graph out.

    Parameters
    ----------
    graph
        A ``networkx.DiGraph`` without cycles.
    widths
        Of each node, in pixels.

    Examples
    --------
    >>> import networkx
    >>> layout = layered(networkx.DiGraph([("a", "b")]), {"a": 60, "b": 60})
    >>> layout.boxes["a"].x < layout.boxes["b"].x, layout.boxes["a"].y == layout.boxes["b"].y
    (True, True)
    """
    layer_of = _layers(graph)
    rows, before, after = _with_bends(graph, layer_of)
    rows = _ordered(rows, before, after)
    heights = _places(rows, before, after)
    return _drawn(graph, rows, heights, layer_of, widths)


# ---------------------------------------------------------------- layers


def _layers(graph: Any) -> dict[str, int]:
    """As far left as the predecessors allow; what feeds more than it is fed moves to what it feeds."""
    order = _topological(graph)
    layer_of: dict[str, int] = {}
    for node in order:
        layer_of[node] = max((layer_of[source] + 1 for source in graph.pred[node]), default=0)
    for node in reversed(order):
        if len(graph.pred[node]) < len(graph.succ[node]):
            layer_of[node] = min(layer_of[target] for target in graph.succ[node]) - 1
    return layer_of


def _topological(graph: Any) -> list[str]:
    waits = {node: len(graph.pred[node]) for node in graph}
    order = [node for node in graph if not waits[node]]
    for node in order:
        for target in graph.succ[node]:
            waits[target] -= 1
            if not waits[target]:
                order.append(target)
    if len(order) < len(waits):
        raise ValueError("the graph has a cycle, so it has no layers")
    return order


Neighbours: TypeAlias = dict[Slot, list[Slot]]


def _with_bends(graph: Any, layer_of: dict[str, int]) -> tuple[list[list[Slot]], Neighbours, Neighbours]:
    """The rows of each layer, bends included, and each slot's neighbours to the left and to the right."""
    rows: list[list[Slot]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node in graph:
        rows[layer_of[node]].append(node)
    before: Neighbours = {node: [] for node in graph}
    after: Neighbours = {node: [] for node in graph}
    bent = sum(layer_of[target] - layer_of[source] - 1 for source, target in graph.edges) <= BENDS_MAX
    for source, target in graph.edges:
        bends = [Bend(source, target, at) for at in range(layer_of[source] + 1, layer_of[target])]
        bends = bends if bent else []
        way: list[Slot] = [source, *bends, target]
        for bend in bends:
            rows[bend.layer].append(bend)
        for left, right in itertools.pairwise(way):
            after.setdefault(left, []).append(right)
            before.setdefault(right, []).append(left)
    return rows, before, after


# ---------------------------------------------------------------- order


def _ordered(rows: list[list[Slot]], before: Neighbours, after: Neighbours) -> list[list[Slot]]:
    """The rows in the order with the fewest crossings that some sweeps find."""
    best, fewest = [list(row) for row in rows], _crossings(rows, after)
    current = [list(row) for row in rows]
    place = {slot: where for row in rows for slot, where in _positions(row)}
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forth = sweep % 2 == 0
        for at in range(len(current)) if forth else reversed(range(len(current))):
            current[at] = _by_middle(current[at], before if forth else after, place)
            place.update(_positions(current[at]))
        count = _crossings(current, after)
        if count < fewest:
            best, fewest = [list(row) for row in current], count
    return best


def _positions(row: list[Slot]) -> list[tuple[Slot, float]]:
    """Where each slot stands in its row, from 0 to 1: rows of different lengths compare."""
    return [(slot, (index + 0.5) / len(row)) for index, slot in enumerate(row)]


def _by_middle(row: list[Slot], neighbours: Neighbours, place: dict[Slot, float]) -> list[Slot]:
    def middle(slot: Slot) -> float:
        beside = [place[other] for other in neighbours.get(slot, ())]
        return sum(beside) / len(beside) if beside else place[slot]

    return sorted(row, key=middle)


def _crossings(rows: list[list[Slot]], after: Neighbours) -> int:
    """How many pairs of edges between neighbouring layers cross: inversions of their ends' order."""
    place = {slot: index for row in rows for index, slot in enumerate(row)}
    count = 0
    for row in rows:
        seen: list[int] = []
        for slot in row:
            ends = sorted(place[target] for target in after.get(slot, ()))
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


# ---------------------------------------------------------------- places


def _places(rows: list[list[Slot]], before: Neighbours, after: Neighbours) -> dict[Slot, float]:
    """The height of each slot's middle."""
    place: dict[Slot, float] = {}
    for row in rows:
        place.update(zip(row, _spread(row, [0.0] * len(row), [1.0] * len(row)), strict=True))
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for row in rows if forth else reversed(rows):
            wished = [_wished(slot, neighbours, place) for slot in row]
            weights = [4.0 if isinstance(slot, Bend) else 1.0 for slot in row]
            place.update(zip(row, _spread(row, wished, weights), strict=True))
    return place


def _wished(slot: Slot, neighbours: Neighbours, place: dict[Slot, float]) -> float:
    beside = neighbours.get(slot)
    return median(place[other] for other in beside) if beside else place[slot]


def _spread(row: Sequence[Slot], wished: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The heights nearest to the wished ones (least squares) that keep the order and the gaps."""
    offsets = [0.0]
    for upper, lower in itertools.pairwise(row):
        offsets.append(offsets[-1] + (_height(upper) + _height(lower)) / 2 + NODE_GAP)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for wish, offset, weight in zip(wished, offsets, weights, strict=True):
        blocks.append((wish - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (mean, heavy, many), (other, light, few) = blocks.pop(-2), blocks.pop()
            blocks.append(((mean * heavy + other * light) / (heavy + light), heavy + light, many + few))
    means = [mean for mean, _, many in blocks for _ in range(many)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _height(slot: Slot) -> float:
    return BEND_HEIGHT if isinstance(slot, Bend) else NODE_HEIGHT


# ---------------------------------------------------------------- the drawing's coordinates


class _Columns(NamedTuple):
    """Each layer's left and right side."""

    lefts: list[float]
    rights: list[float]


def _drawn(
    graph: Any,
    rows: list[list[Slot]],
    heights: dict[Slot, float],
    layer_of: dict[str, int],
    widths: Mapping[str, float],
) -> Layout:
    columns = _columns(rows, widths)
    top = min(heights.values(), default=0.0) - NODE_HEIGHT / 2 - MARGIN
    at = {slot: height - top for slot, height in heights.items()}
    boxes = {
        node: Box((columns.lefts[layer] + columns.rights[layer]) / 2, at[node], widths[node], NODE_HEIGHT)
        for node, layer in layer_of.items()
    }
    ways = {
        (source, target): _way(boxes, columns, at, (source, layer_of[source]), (target, layer_of[target]))
        for source, target in graph.edges
    }
    bottom = max(at.values(), default=0.0) + NODE_HEIGHT / 2 + MARGIN
    return Layout(boxes, ways, max(columns.rights, default=0.0) + MARGIN, bottom)


def _columns(rows: list[list[Slot]], widths: Mapping[str, float]) -> _Columns:
    columns = _Columns([], [])
    left = MARGIN
    for row in rows:
        columns.lefts.append(left)
        widest = max((widths[slot] for slot in row if isinstance(slot, str)), default=0.0)
        columns.rights.append(left + widest)
        left = columns.rights[-1] + LAYER_GAP
    return columns


def _way(
    boxes: dict[str, Box],
    columns: _Columns,
    at: dict[Slot, float],
    start: tuple[str, int],
    end: tuple[str, int],
) -> list[Point]:
    """Level through the columns, where nodes stand; up and down only between them."""
    (source, first), (target, last) = start, end
    points = [(boxes[source].x + boxes[source].width / 2, at[source]), (columns.rights[first], at[source])]
    for layer in range(first + 1, last):
        height = at.get(Bend(source, target, layer))
        if height is not None:
            points += [(columns.lefts[layer], height), (columns.rights[layer], height)]
    return [
        *points,
        (columns.lefts[last], at[target]),
        (boxes[target].x - boxes[target].width / 2, at[target]),
    ]
