"""The layout of DAGs: what a reader of the picture relies on."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_nb.display.layout import NODE_GAP, Box, Layout, layered


@st.composite
def dags(draw: st.DrawFn) -> nx.DiGraph:
    count = draw(st.integers(1, 12))
    pairs = [(f"f{start}", f"f{end}") for end in range(count) for start in range(end)]
    graph = nx.DiGraph()
    graph.add_nodes_from(draw(st.permutations([f"f{index}" for index in range(count)])))
    if pairs:
        graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), unique=True, max_size=24)))
    return graph


def laid_out(graph: nx.DiGraph) -> Layout:
    return layered(graph, {node: 40.0 + 7 * (index % 9) for index, node in enumerate(graph)})


def large(count: int, span: int, seed: int) -> nx.DiGraph:
    choose = random.Random(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(f"f{index}" for index in range(count))
    for end in range(1, count):
        for _ in range(choose.randint(1, 2)):
            graph.add_edge(f"f{max(0, end - choose.randint(1, span))}", f"f{end}")
    return graph


def overlap(one: Box, other: Box) -> bool:
    return (
        abs(one.x - other.x) < (one.width + other.width) / 2
        and abs(one.y - other.y) < (one.height + other.height) / 2
    )


def check(graph: nx.DiGraph, layout: Layout) -> None:
    """Nodes stand apart and inside the picture; edges go right, from box to box."""
    assert set(layout.boxes) == set(graph)
    by_column: dict[float, list[Box]] = {}
    for box in layout.boxes.values():
        assert box.width / 2 < box.x < layout.width - box.width / 2
        assert box.height / 2 < box.y < layout.height - box.height / 2
        by_column.setdefault(round(box.x, 3), []).append(box)
    for column in by_column.values():
        for upper, lower in itertools.pairwise(sorted(column, key=lambda box: box.y)):
            assert lower.y - upper.y >= upper.height + NODE_GAP - 1e-6
    for source, target in graph.edges:
        way = layout.ways[source, target]
        start, end = layout.boxes[source], layout.boxes[target]
        assert way[0] == (start.x + start.width / 2, start.y)
        assert way[-1] == (end.x - end.width / 2, end.y)
        assert all(left[0] <= right[0] for left, right in itertools.pairwise(way))
        assert start.x + start.width / 2 < end.x - end.width / 2


@given(dags())
@settings(max_examples=150)
def test_nodes_stand_apart_and_edges_go_right(graph: nx.DiGraph) -> None:
    layout = laid_out(graph)
    check(graph, layout)
    for one, other in itertools.combinations(layout.boxes.values(), 2):
        assert not overlap(one, other)


@given(dags())
@settings(max_examples=100)
def test_an_edge_passes_beside_the_nodes_that_it_does_not_join(graph: nx.DiGraph) -> None:
    layout = laid_out(graph)
    for ends, way in layout.ways.items():
        for (x, y), (to_x, to_y) in itertools.pairwise(way):
            if abs(y - to_y) > 1e-6:  # between two columns, where no node stands
                continue
            for name, box in layout.boxes.items():
                if name not in ends and x <= box.x <= to_x:
                    assert abs(box.y - y) > box.height / 2, f"{ends} runs over {name}"


def test_the_usual_pipeline_is_drawn_straight() -> None:
    graph = nx.DiGraph([("load", "left"), ("load", "mid"), ("load", "right")])
    graph.add_edges_from([(each, "merge") for each in ("left", "mid", "right")])
    boxes = laid_out(graph).boxes
    assert boxes["load"].y == boxes["mid"].y == boxes["merge"].y
    assert boxes["left"].y < boxes["mid"].y < boxes["right"].y


def test_crossings_that_need_not_be_are_not() -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from("abcd")
    graph.add_edges_from([("a", "y"), ("b", "x"), ("c", "w"), ("w", "z"), ("x", "z"), ("y", "z")])
    boxes = laid_out(graph).boxes
    assert sorted("abc", key=lambda node: boxes[node].y) == sorted(
        "abc", key=lambda node: boxes[{"a": "y", "b": "x", "c": "w"}[node]].y
    )


@pytest.mark.parametrize(
    "graph",
    [
        large(1000, 40, 1),
        large(1000, 1000, 2),
        nx.path_graph([f"f{index}" for index in range(1000)], create_using=nx.DiGraph),
        nx.DiGraph([edge for index in range(998) for edge in (("s", f"w{index}"), (f"w{index}", "t"))]),
    ],
    ids=["near", "far", "chain", "fan"],
)
def test_a_thousand_functions_are_laid_out(graph: nx.DiGraph) -> None:
    layout = laid_out(graph)
    check(graph, layout)
    assert laid_out(graph) == layout


def test_one_node_none_and_a_cycle() -> None:
    assert list(layered(nx.empty_graph(["f"], create_using=nx.DiGraph), {"f": 40.0}).boxes) == ["f"]
    assert layered(nx.DiGraph(), {}).boxes == {}
    with pytest.raises(ValueError, match="cycle"):
        layered(nx.DiGraph([("a", "b"), ("b", "a")]), {"a": 40.0, "b": 40.0})
