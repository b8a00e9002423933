"""Definitions of DAGs: from expressions, lists and graphs to the wire's `DagSpec`, and back to a graph.

Law: this module turns what the user wrote into a `DagSpec`; it talks to no runtime. Here something is
refused for its shape; cycles, second sinks and unregistered functions are found by the scheduler.

The order of the edges is kept, since it is the order of a function's arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cloudburst_runtime import values
from cloudburst_runtime.errors import InvalidDag, check_name
from cloudburst_runtime.imported import imported
from cloudburst_runtime.messages import DagNode, DagSpec

from .expression import Composable, Edge, Expression, function_name

if TYPE_CHECKING:
    import networkx

__all__ = ["Composable", "Expression", "graph_of", "spec_of"]

LINE_CHARACTERS_MAX = 80


def spec_of(
    name: str,
    what: object = None,
    functions: Sequence[Any] | None = None,
    edges: Iterable[Edge] | None = None,
    *,
    colocated: Iterable[str] = (),
    gpu: Iterable[str] = (),
    batching: Iterable[str] = (),
) -> DagSpec:
    """The definition of a DAG, from any of the ways to write one.

    Parameters
    ----------
    name
        What the DAG is called by.
    what
        An `Expression`, one cloud function or name, a list, or a ``networkx.DiGraph`` whose nodes are
        function names (node attributes: ``invalid``, ``gpu``, ``batching``).
    functions
        Instead: names or cloud functions; ``(name, [invalid results])`` for a function that runs once
        per trigger, until it has a result that is not among the invalid ones.
    edges
        Pairs of names. The order of the edges into a function is the order of its arguments.
    colocated, gpu, batching
        Names of functions to be placed on one host if possible, on a GPU, and to be called with batches.

    Raises
    ------
    InvalidDag
        If there is no function, one is named twice, or an edge or option names an unknown one.
    InvalidName
        If a name is empty, not a string, or too long.
    TypeError
        If something stands where a function or an edge should; the message says what to write.

    Examples
    --------
    >>> spec = spec_of("pipe", functions=["load", "merge"], edges=[("load", "merge")])
    >>> [node.function for node in spec.nodes], spec.edges
    (['load', 'merge'], [(0, 1)])
    """
    check_name(name, "DAG")
    if what is not None and (functions is not None or edges is not None):
        raise TypeError("give a DAG either as one expression or graph, or as functions= and edges=, not both")
    if what is None:
        nodes, pairs = _from_lists(functions, edges)
    elif _is_graph(what):
        nodes, pairs = _from_graph(what)
        colocated = list(colocated) or what.graph.get("colocated", ())  # type: ignore[attr-defined]
    else:
        expression = Expression.of(what)
        nodes, pairs = [DagNode(function) for function in expression.functions], list(expression.edges)
    index = _index(name, nodes)
    for option, names in (("gpu", gpu), ("batching", batching)):
        for function in _known(name, index, names, option):
            setattr(nodes[index[function]], option, True)
    ends = [(_end(name, index, edge, 0), _end(name, index, edge, 1)) for edge in pairs]
    return DagSpec(name, nodes, list(dict.fromkeys(ends)), _known(name, index, colocated, "colocated"))


def _from_lists(
    functions: Sequence[Any] | None, edges: Iterable[Edge] | None
) -> tuple[list[DagNode], list[Edge]]:
    pairs = [_pair(edge) for edge in _items(edges if edges is not None else [], "edges")]
    if functions is None:
        if edges is None:
            raise TypeError("a DAG needs an expression, as in load >> [left, right] >> merge, or functions=")
        functions = list(dict.fromkeys(end for pair in pairs for end in pair))
    return [_node(part) for part in _items(functions, "functions")], pairs


def _items(parts: Any, what: str) -> list[Any]:
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise TypeError(f"{what} must be a list, not {type(parts).__name__}: {parts!r:.80}")
    return list(parts)


def _node(part: Any) -> DagNode:
    if not isinstance(part, tuple):
        return DagNode(function_name(part))
    if len(part) != 2 or not isinstance(part[1], list | tuple | set | frozenset):
        raise TypeError(
            f"a tuple among the functions of a DAG is (name, [invalid results]), for a function that runs "
            f"once per trigger; not {part!r:.80}"
        )
    return DagNode(function_name(part[0]), _encoded(part[1]))


def _encoded(results: Iterable[object]) -> list[values.Value]:
    return [values.encode(result) for result in results]


def _pair(edge: Any) -> Edge:
    if isinstance(edge, str) or not isinstance(edge, list | tuple) or len(edge) != 2:
        raise TypeError(f"an edge of a DAG is a pair of function names, ('load', 'left'); not {edge!r:.80}")
    return function_name(edge[0]), function_name(edge[1])


def _is_graph(what: Any) -> bool:
    """True for a ``networkx.DiGraph``, without importing networkx for it."""
    module = imported("networkx", "Graph")
    if module is None or not isinstance(what, module.Graph):
        return False
    if not what.is_directed() or what.is_multigraph():
        raise TypeError(f"a DAG is made from a networkx.DiGraph, not from a {type(what).__name__}")
    return True


def _from_graph(graph: Any) -> tuple[list[DagNode], list[Edge]]:
    nodes = []
    for part, attributes in graph.nodes(data=True):
        invalid = attributes.get("invalid")
        node = DagNode(function_name(part), None if invalid is None else _encoded(invalid))
        node.gpu, node.batching = bool(attributes.get("gpu")), bool(attributes.get("batching"))
        nodes.append(node)
    # By target: a graph lists its edges by source, which is not the order of the arguments.
    pairs = [
        (function_name(source), function_name(target)) for target in graph for source in graph.pred[target]
    ]
    return nodes, pairs


def _index(name: str, nodes: list[DagNode]) -> dict[str, int]:
    if not nodes:
        raise InvalidDag(f"DAG {name!r} has no function")
    index: dict[str, int] = {}
    for number, node in enumerate(nodes):
        if index.setdefault(node.function, number) != number:
            raise InvalidDag(f"DAG {name!r} names function {node.function!r} twice: each is one node of it")
    return index


def _end(name: str, index: dict[str, int], edge: Edge, end: int) -> int:
    if edge[end] not in index:
        raise InvalidDag(
            f"the edge {edge} of DAG {name!r} needs a function {edge[end]!r}, which is not among its "
            f"functions: {_listed(index)}"
        )
    return index[edge[end]]


def _known(name: str, index: dict[str, int], parts: Iterable[Any], option: str) -> list[str]:
    names = [function_name(part) for part in _items(parts, option)]
    for function in names:
        if function not in index:
            raise InvalidDag(
                f"{option}= of DAG {name!r} names {function!r}, which is not among its functions: "
                f"{_listed(index)}"
            )
    return names


def _listed(index: dict[str, int]) -> str:
    text = ", ".join(index)
    return text if len(text) <= LINE_CHARACTERS_MAX else f"{text[:LINE_CHARACTERS_MAX]}…"


# ---------------------------------------------------------------- and back


def graph_of(spec: DagSpec) -> networkx.DiGraph[str]:
    """A DAG as a ``networkx.DiGraph``: nodes are function names, in order.

    Node attributes are ``gpu``, ``batching``, and ``invalid`` (a list) on a node that runs once per
    trigger; graph attributes are ``name`` and ``colocated``.

    Examples
    --------
    >>> graph = graph_of(spec_of("pipe", Expression.of("load") >> ["left", "right"] >> "merge"))
    >>> list(graph.predecessors("merge"))
    ['left', 'right']
    """
    import networkx

    graph: networkx.DiGraph[str] = networkx.DiGraph(name=spec.name, colocated=list(spec.colocated))
    for node in spec.nodes:
        graph.add_node(node.function, gpu=node.gpu, batching=node.batching)
        if node.invalid is not None:
            graph.nodes[node.function]["invalid"] = [values.decode(result) for result in node.invalid]
    for source, target in spec.edges:
        graph.add_edge(spec.nodes[source].function, spec.nodes[target].function)
    return graph
