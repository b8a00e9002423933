"""DAG expressions and definitions: which nodes and edges, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_nb.dag import Composable, Expression, graph_of, spec_of
from cloudburst_nb.expression import is_cloud_function
from cloudburst_runtime import messages, values
from cloudburst_runtime.errors import InvalidDag, InvalidName


class Cloud(Composable):
    def __init__(self, name: str) -> None:
        self.name = name
        self.__cloudburst_raw__ = len


a, b, c, d, e = (Cloud(letter) for letter in "abcde")


def edges_of(expression: Expression) -> str:
    return " ".join(f"{source}{target}" for source, target in expression.edges)


@pytest.mark.parametrize(
    ("expression", "functions", "edges", "heads", "tails"),
    [
        (a >> b, "ab", "ab", "a", "b"),
        (a >> b >> c, "abc", "ab bc", "a", "c"),
        (a >> (b >> c), "abc", "bc ab", "a", "c"),
        (a >> [b, c] >> d, "abcd", "ab ac bd cd", "a", "d"),
        ([a, b] >> c, "abc", "ac bc", "ab", "c"),
        ([b, a] >> c, "bac", "bc ac", "ba", "c"),
        (a >> [b >> c, d] >> e, "abcde", "bc ab ad ce de", "a", "e"),
        ((a >> b) >> (c >> d), "abcd", "ab cd bc", "a", "d"),
        ((a >> [b, c]) >> [d, e], "abcde", "ab ac bd cd be ce", "a", "de"),
        ([a >> b, a] >> c, "abc", "ab bc ac", "a", "c"),
        ([a >> b, a >> c] >> d, "abcd", "ab ac bd cd", "a", "d"),
        (a >> ["b", [c, d]] >> e, "abcde", "ab ac ad be ce de", "a", "e"),
        ("a" >> b, "ab", "ab", "a", "b"),
        (a >> "b", "ab", "ab", "a", "b"),
        (a >> b >> a, "ab", "ab ba", "a", "a"),
    ],
)
def test_expressions(expression: Expression, functions: str, edges: str, heads: str, tails: str) -> None:
    assert "".join(expression.functions) == functions
    assert edges_of(expression) == edges
    assert ("".join(expression.heads), "".join(expression.tails)) == (heads, tails)


def test_an_expression_can_be_used_twice() -> None:
    first = a >> b
    assert (edges_of(first >> c), edges_of(first >> d), edges_of(first)) == ("ab bc", "ab bd", "ab")


def test_an_expression_reads_as_it_is_written() -> None:
    assert repr(a >> [b >> c, d] >> e) == "a >> [b >> c, d] >> e"


def test_an_expression_keeps_its_cloud_functions() -> None:
    assert (a >> ["left", b] >> c).members == {"a": a, "b": b, "c": c}


names = st.sampled_from([a, b, c, d, e, "f", "g"])
parts = st.recursive(names.map(Expression.of), lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map(Expression.of),
    st.tuples(inner, inner).map(lambda pair: pair[0] >> pair[1]),
), max_leaves=8)  # fmt: skip


@given(parts, parts)
def test_an_arrow_joins_tails_to_heads_and_loses_nothing(left: Expression, right: Expression) -> None:
    joined = left >> right
    assert set(joined.functions) == {*left.functions, *right.functions}
    expected = {(tail, head) for tail in left.tails for head in right.heads}
    assert set(joined.edges) == {*left.edges, *right.edges, *expected}
    assert len(joined.edges) == len(set(joined.edges))
    assert (joined.heads, joined.tails) == (left.heads, right.tails)


@given(parts, parts, parts)
def test_arrows_are_associative_but_for_order(x: Expression, y: Expression, z: Expression) -> None:
    one, other = (x >> y) >> z, x >> (y >> z)
    assert (one.functions, one.heads, one.tails) == (other.functions, other.heads, other.tails)
    assert set(one.edges) == set(other.edges)


@pytest.mark.parametrize(
    ("part", "message"),
    [((b, c), r"written as a list, \[a, b\], not as a tuple"),
     (len, "len is a plain Python function, not a registered one: register it first, with @cb.function"),
     (dict, "dict is a plain Python class, not a registered one"),
     ([b, 3], "int is none of them: 3"), (None, "NoneType is none of them"),
     ([b, (c, d)], "not as a tuple")],
)  # fmt: skip
def test_what_is_no_part_of_a_dag_is_refused(part: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        a >> part
    with pytest.raises(TypeError, match=message):
        part >> a


def test_an_empty_list_and_an_empty_name_are_refused() -> None:
    with pytest.raises(InvalidDag, match="an empty list in a DAG expression"):
        a >> []
    with pytest.raises(InvalidName):
        a >> ""


def test_a_function_that_was_looked_up_is_a_cloud_function() -> None:
    known = Cloud("known")
    known.__cloudburst_raw__ = None  # type: ignore[assignment]
    assert is_cloud_function(known)
    assert not is_cloud_function(Cloud)
    assert not is_cloud_function("known")


# ---------------------------------------------------------------- definitions


def spelled(spec: messages.DagSpec) -> tuple[str, str]:
    functions = [node.function for node in spec.nodes]
    return "".join(functions), " ".join(
        functions[source] + functions[target] for source, target in spec.edges
    )


@pytest.mark.parametrize("what", [a, "a", [a], Expression.of("a")])
def test_one_function_makes_a_dag(what: Any) -> None:
    assert spec_of("p", what) == messages.DagSpec("p", [messages.DagNode("a")])


def test_the_ways_to_write_a_dag_agree() -> None:
    expected = messages.DagSpec("p", [messages.DagNode(n) for n in "abcd"], [(0, 1), (0, 2), (2, 3), (1, 3)])
    edges = [("a", "b"), ("a", "c"), ("c", "d"), ("b", "d")]
    assert spec_of("p", functions=["a", b, "c", d], edges=edges) == expected
    assert spec_of("p", edges=edges) == expected
    graph = networkx.DiGraph()
    graph.add_nodes_from("abcd")
    graph.add_edges_from(edges)
    assert spec_of("p", graph) == expected
    assert spelled(spec_of("p", a >> [c, b] >> d)) == ("acbd", "ac ab cd bd")
    assert messages.unpack(messages.pack(messages.DefineDag(1, expected))).dag == expected


def test_edges_into_a_graphs_node_keep_their_order() -> None:
    graph = networkx.DiGraph([("a", "b"), ("c", "d"), ("b", "d"), ("a", "d")])
    spec = spec_of("p", graph)
    into = [
        spec.nodes[source].function for source, target in spec.edges if spec.nodes[target].function == "d"
    ]
    assert into == ["c", "b", "a"]
    assert list(graph_of(spec).predecessors("d")) == into


def test_a_graph_may_hold_cloud_functions_and_attributes() -> None:
    graph = networkx.DiGraph(colocated=["a", "b"])
    graph.add_node(a, gpu=True)
    graph.add_node(b, invalid=[None, 0], batching=True)
    graph.add_edge(a, b)
    spec = spec_of("p", graph)
    assert spec.nodes[0] == messages.DagNode("a", gpu=True)
    assert spec.nodes[1].batching
    assert [values.decode(result) for result in spec.nodes[1].invalid or []] == [None, 0]
    assert spec.colocated == ["a", "b"]


def test_a_spec_survives_the_way_to_a_graph_and_back() -> None:
    spec = spec_of(
        "p", functions=["a", ("b", [None]), "c"], edges=[("a", "c"), ("b", "c")],
        gpu=["a"], batching=["c"], colocated=["a", "c"],
    )  # fmt: skip
    graph = graph_of(spec)
    assert graph.nodes["b"] == {"gpu": False, "batching": False, "invalid": [None]}
    assert "invalid" not in graph.nodes["a"]
    assert graph.graph == {"name": "p", "colocated": ["a", "c"]}
    assert spec_of("p", graph) == spec


def test_a_multiexec_function_with_no_invalid_result_is_one_all_the_same() -> None:
    assert spec_of("p", functions=[("a", [])]).nodes[0].invalid == []
    assert spec_of("p", functions=["a"]).nodes[0].invalid is None


def test_an_edge_given_twice_counts_once() -> None:
    assert spec_of("p", functions=["a", "b"], edges=[("a", "b"), ["a", "b"]]).edges == [(0, 1)]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({}, TypeError, "a DAG needs an expression"),
        ({"what": a, "functions": ["a"]}, TypeError, "not both"),
        ({"what": 3}, TypeError, "int is none of them: 3"),
        ({"what": networkx.Graph()}, TypeError, "not from a Graph"),
        ({"what": networkx.MultiDiGraph()}, TypeError, "not from a MultiDiGraph"),
        ({"what": networkx.DiGraph()}, InvalidDag, "DAG 'p' has no function"),
        ({"what": networkx.DiGraph([(1, 2)])}, TypeError, "int is none of them: 1"),
        ({"functions": []}, InvalidDag, "DAG 'p' has no function"),
        ({"functions": "ab"}, TypeError, "functions must be a list, not str"),
        ({"functions": ["a", "a"]}, InvalidDag, "names function 'a' twice"),
        ({"functions": [len]}, TypeError, "register it first"),
        ({"functions": [("a", None)]}, TypeError, r"\(name, \[invalid results\]\)"),
        ({"functions": [("a", "b")]}, TypeError, r"\(name, \[invalid results\]\)"),
        ({"functions": ["a"], "edges": [("a", "x")]}, InvalidDag, r"\('a', 'x'\).*function 'x'.*: a$"),
        ({"functions": ["a"], "edges": ["ab"]}, TypeError, "an edge of a DAG is a pair"),
        ({"functions": ["a"], "edges": [("a",)]}, TypeError, "an edge of a DAG is a pair"),
        ({"functions": ["a"], "edges": 3}, TypeError, "edges must be a list, not int"),
        ({"functions": ["a"], "gpu": ["x"]}, InvalidDag, "gpu= of DAG 'p' names 'x'"),
        ({"functions": ["a"], "colocated": ["x"]}, InvalidDag, "colocated= of DAG 'p' names 'x'"),
        ({"functions": ["a"], "batching": "a"}, TypeError, "batching must be a list, not str"),
    ],
)
def test_definitions_that_are_refused(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        spec_of("p", **given)


def test_a_dags_name_is_checked() -> None:
    with pytest.raises(InvalidName, match="a DAG's name must not be empty"):
        spec_of("", a)
