"""DAGs in a notebook: the picture has every function and every edge, with their marks."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import networkx as nx
from matplotlib.patches import FancyArrowPatch

from cloudburst_nb.dag import spec_of
from cloudburst_nb.display.picture import drawing, figure, short
from cloudburst_nb.errors import RuntimeUnavailable
from cloudburst_nb.pipeline import Dag
from tests.showing import named, pictures, read

VERSIONS = {"load": 3, "left": 1}


class Runtime:
    """A shell that knows versions, or is not there."""

    def __init__(self, versions: dict[str, int] | None) -> None:
        self.versions = versions

    def ask(self, make: Any, timeout: float) -> Any:
        if self.versions is None:
            raise RuntimeUnavailable("it was taken down")
        return SimpleNamespace(functions=self.versions)


def race(versions: dict[str, int] | None = VERSIONS) -> Dag:
    client: Any = SimpleNamespace(_shell=Runtime(versions))
    spec = spec_of(
        "race",
        functions=["load", "left", "right", ("merge", [None])],
        edges=[("load", "left"), ("load", "right"), ("left", "merge"), ("right", "merge")],
        batching=["left"],
        gpu=["right"],
        colocated=["load", "left"],
    )
    return Dag(client, spec)


def texts(html: str) -> list[str]:
    (picture,) = pictures(html)
    return [each.text or "" for each in named(picture, "text")]


def test_the_picture_has_names_versions_marks_and_edges() -> None:
    html = race()._repr_html_()
    assert read(html) == "cloud DAG race 4 functions · on one host: load, left"
    assert texts(html) == [
        *("load", "v3", "left", "v1 · batching"),
        *("right", "GPU", "merge", "once per input"),
    ]
    (picture,) = pictures(html)
    assert len(named(picture, "rect")) == 4
    assert len([each for each in named(picture, "path") if "marker-end" in each.attrib]) == 4


def test_where_the_picture_cannot_be_shown_the_edges_are_told() -> None:
    assert "load→left, load→right, left→merge, right→merge" in race()._repr_html_()


def test_without_its_runtime_a_dag_is_shown_without_versions() -> None:
    assert texts(race(None)._repr_html_())[:2] == ["load", "left"]


def test_names_are_escaped_and_long_ones_cut() -> None:
    graph = nx.DiGraph([("<b>&'", "n" * 255)])
    picture = ElementTree.fromstring(drawing(graph, {}))
    assert [each.text for each in named(picture, "text")] == ["<b>&'", short("n" * 255)]
    assert len(short("n" * 255)) <= 31


def test_text_fits_into_its_node() -> None:
    graph = nx.DiGraph([("W" * 12, "宽" * 12), ("W" * 12, "i")])
    picture = ElementTree.fromstring(drawing(graph, {"i": "v1 · batching"}))
    wide, full, small = (float(each.attrib["width"]) for each in named(picture, "rect"))
    assert wide < full < 12 * 2 * 10
    assert small > 13 * 6


def test_plot_is_a_figure_with_the_same_names() -> None:
    made = race().plot()
    axes = made.axes[0]
    assert {"load", "v3", "merge", "once per input"} <= {each.get_text() for each in axes.texts}
    assert len([each for each in axes.patches if isinstance(each, FancyArrowPatch)]) == 4
    picture = io.BytesIO()
    made.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_a_name_with_dollars_is_no_formula() -> None:
    made = figure(nx.DiGraph([("cost_$x", "$")]), {})
    made.savefig(io.BytesIO(), format="png")
    assert [each.get_text() for each in made.axes[0].texts] == ["cost_$x", "$"]


def test_the_figure_of_a_long_chain_has_a_size_that_can_be_drawn() -> None:
    made = figure(nx.path_graph([f"f{index}" for index in range(400)], create_using=nx.DiGraph), {})
    assert max(made.get_size_inches()) <= 40
