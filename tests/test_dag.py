"""DAG validation and topology, against networkx and by its messages."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.errors import FunctionNotFound, InvalidDag
from cloudburst_runtime.messages import DagNode, DagSpec, Plan
from cloudburst_runtime.scheduler.dag import (
    Topology,
    alone,
    compose,
    sink,
    sources,
    validate,
)
from tests.scheduling import dag


def accept(spec: DagSpec) -> None:
    validate(spec, known=lambda name: True)


def refusal(spec: DagSpec) -> str:
    with pytest.raises(InvalidDag) as caught:
        accept(spec)
    return str(caught.value)


@st.composite
def graphs(draw: st.DrawFn) -> DagSpec:
    count = draw(st.integers(1, 7))
    pairs = [(start, end) for start in range(count) for end in range(count) if start != end]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=10)) if pairs else []
    return DagSpec("g", [DagNode(f"f{index}") for index in range(count)], edges)


def as_networkx(spec: DagSpec) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(spec.nodes)))
    graph.add_edges_from(spec.edges)
    return graph


@given(graphs())
def test_a_graph_is_accepted_exactly_if_it_is_acyclic_with_one_sink(spec: DagSpec) -> None:
    graph = as_networkx(spec)
    sinks = [node for node, degree in graph.out_degree() if degree == 0]
    if nx.is_directed_acyclic_graph(graph) and len(sinks) == 1:
        accept(spec)
        assert sink(spec) == sinks[0]
    else:
        refusal(spec)


@given(graphs())
def test_the_cycle_in_the_message_is_a_cycle_of_the_graph(spec: DagSpec) -> None:
    graph = as_networkx(spec)
    if nx.is_directed_acyclic_graph(graph):
        return
    path = [int(name[1:]) for name in refusal(spec).split("cycle: ")[1].split(" → ")]
    assert path[0] == path[-1] == min(path)
    assert len(path) == len(set(path)) + 1
    assert all(graph.has_edge(*edge) for edge in itertools.pairwise(path))


@given(graphs())
def test_the_topology_agrees_with_networkx(spec: DagSpec) -> None:
    graph = as_networkx(spec)
    if not nx.is_directed_acyclic_graph(graph) or sum(d == 0 for _, d in graph.out_degree()) != 1:
        return
    topology = Topology.of(spec)
    assert set(topology.sources) == {node for node, degree in graph.in_degree() if degree == 0}
    position = {node: index for index, node in enumerate(topology.order)}
    assert all(position[start] < position[end] for start, end in spec.edges)
    for node in graph:
        assert set(topology.preds[node]) == set(graph.predecessors(node))
        assert set(topology.succs[node]) == set(graph.successors(node))
    assert list(alone(spec, topology)) == [
        len(nx.ancestors(graph, node)) + len(nx.descendants(graph, node)) + 1 == len(graph)
        for node in range(len(graph))
    ]
    generations = list(nx.topological_generations(graph))
    assert [set(generations[d]) for d in range(len(generations))] == [
        {node for node in graph if topology.depth[node] == depth} for depth in range(len(generations))
    ]


def test_what_feeds_a_multiexec_node_may_run_beside_it_and_what_follows() -> None:
    spec = dag("d", "abcd", "ac", "bc", "cd")
    spec.nodes[2].invalid = []
    assert alone(spec, Topology.of(spec)) == (False, False, False, False)
    spec.edges.remove((1, 2))
    spec.edges.insert(0, (1, 0))
    assert alone(spec, Topology.of(spec)) == (True, True, True, True)


def test_arguments_come_in_the_order_in_which_edges_were_defined() -> None:
    spec = dag("d", "abc", "bc", "ac")
    assert Topology.of(spec).preds == ((), (), (1, 0))
    assert Topology.of(spec).succs == ((2,), (2,), ())
    assert sources(spec) == (0, 1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DagSpec("p", []), "DAG 'p' is empty: it needs at least one function"),
        (dag("p", "abcz", "ab", "bc", "ca", "az"), "DAG 'p' has a cycle: a → b → c → a"),
        (dag("p", "ab", "ab", "bb"), "DAG 'p' has a cycle: b → b (a function cannot feed itself)"),
        (dag("p", "ab", "ab", "ab"), "DAG 'p' has the edge a → b twice"),
        (dag("p", "ab", colocated=("c",)), "DAG 'p' is to colocate 'c', which is not one of its functions"),
        (
            DagSpec("p", [DagNode("a"), DagNode("b")], [(0, 2)]),
            "an edge of DAG 'p' names node 2, which does not exist: its 2 nodes count from 0",
        ),
        (
            DagSpec("p", [DagNode("a"), DagNode("b")], [(-1, 0)]),
            "an edge of DAG 'p' names node -1, which does not exist: its 2 nodes count from 0",
        ),
        (
            DagSpec("p", [DagNode("b"), DagNode("b")], [(0, 1)]),
            "function 'b' appears twice in DAG 'p': register it under a second name",
        ),
        (
            dag("p", "abc", "ab", "ac"),
            "DAG 'p' has 2 sinks ('b', 'c'), but its result is that of one function: "
            "let them all feed one that combines their results",
        ),
    ],
)
def test_a_refusal_shows_the_problem(spec: DagSpec, message: str) -> None:
    assert refusal(spec) == message


def test_a_node_whose_function_is_not_registered_is_named_with_what_was_meant() -> None:
    spec = DagSpec("p", [DagNode("squre")])
    with pytest.raises(FunctionNotFound, match="'squre', which is not registered; did you mean 'square'"):
        validate(spec, known=lambda name: name == "square", names=["square"])


def test_two_unconnected_parts_have_two_sinks() -> None:
    assert "2 sinks ('b', 'd')" in refusal(dag("p", "abcd", "ab", "cd"))


def test_a_long_chain_needs_no_recursion_and_a_long_cycle_is_shown_in_part() -> None:
    count = 9_000
    spec = DagSpec("long", [DagNode(f"f{i}") for i in range(count)], [(i, i + 1) for i in range(count - 1)])
    accept(spec)
    assert Topology.of(spec).depth[-1] == count - 1
    spec.edges.append((count - 1, 0))
    message = refusal(spec)
    assert message.endswith("f17 → (8982 more) → f0")
    assert message.startswith("DAG 'long' has a cycle: f0 → f1 → ")


def test_a_continuation_takes_the_sink_of_the_first_into_every_source_of_the_second() -> None:
    first, second = dag("p", "abc", "ab", "ac", "bc"), dag("q", "xyz", "xz", "yz")
    nodes, edges = compose(first, second)
    assert "".join(node.function for node in nodes) == "abcxyz"
    assert edges == [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5)]
    topology = Topology.of(Plan(1, "p >> q", nodes, [1] * 6, edges))
    assert (topology.sources, topology.sink) == ((0,), 5)
