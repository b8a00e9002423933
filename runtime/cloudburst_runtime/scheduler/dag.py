"""The topology of DAGs: is it one, where does it start and end, who feeds whom.

Law: pure functions of nodes and edges; nothing here knows of executors, versions or time, and nothing
recurses, so that a DAG of thousands of nodes is only slow in proportion.

A DAG has any number of sources and exactly one sink, whose result is the DAG's. (Two parts that are not
connected would have two sinks.) A node's arguments come after its fixed ones in the order in which the
edges into it were defined. The order of nodes is Kahn's: those without predecessors first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from cloudburst_runtime.errors import FunctionNotFound, InvalidDag
from cloudburst_runtime.messages import DagNode, DagSpec
from cloudburst_runtime.scheduler.names import suggest

NODES_MAX = 10_000
SINKS_SHOWN_MAX = 5
PATH_SHOWN_MAX = 20

Edges = Sequence[tuple[int, int]]


class Graph(Protocol):
    """What a `DagSpec` and a `Plan` have in common."""

    nodes: list[DagNode]
    edges: list[tuple[int, int]]


class Topology(NamedTuple):
    """Who feeds whom in a plan, computed once: executors and clients keep it by the plan's number.

    Attributes
    ----------
    sources, sink
        The nodes that nothing feeds; the node whose result is the DAG's.
    preds, succs
        For each node, what feeds it (in the order of its arguments) and what it feeds.
    order
        All nodes, each after its predecessors.
    depth
        For each node the length of the longest path to it: nodes of one depth may run at once.

    Examples
    --------
    >>> diamond = DagSpec("d", [DagNode(name) for name in "abcd"], [(0, 1), (0, 2), (1, 3), (2, 3)])
    >>> topology = Topology.of(diamond)
    >>> topology.sources, topology.sink, topology.preds[3], topology.depth
    ((0,), 3, (1, 2), (0, 1, 1, 2))
    """

    sources: tuple[int, ...]
    sink: int
    preds: tuple[tuple[int, ...], ...]
    succs: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    depth: tuple[int, ...]

    @classmethod
    def of(cls, graph: Graph) -> Topology:
        """The topology of a plan, or of a DAG that passed `validate`."""
        preds, succs = _neighbours(len(graph.nodes), graph.edges)
        order, depth = _walk(preds, succs)
        return cls(
            sources=tuple(node for node, before in enumerate(preds) if not before),
            sink=next(node for node, after in enumerate(succs) if not after),
            preds=tuple(map(tuple, preds)),
            succs=tuple(map(tuple, succs)),
            order=tuple(order),
            depth=tuple(depth),
        )


def alone(graph: Graph, topology: Topology) -> tuple[bool, ...]:
    """For each node, whether every other node is over before it begins, or begins after it.

    What feeds a MULTIEXEC node that has other inputs may run beside it, for that begins with the first one.

    Examples
    --------
    >>> diamond = DagSpec("d", [DagNode(name) for name in "abcd"], [(0, 1), (0, 2), (1, 3), (2, 3)])
    >>> alone(diamond, Topology.of(diamond))
    (True, False, False, True)
    """
    nodes = graph.nodes
    begins_early = [node.invalid is not None and len(topology.preds[i]) > 1 for i, node in enumerate(nodes)]
    preds = [() if early else topology.preds[node] for node, early in enumerate(begins_early)]
    succs = [[target for target in after if not begins_early[target]] for after in topology.succs]
    before = _reached(topology.order, preds)
    after = _reached(topology.order[::-1], succs)
    everything = (1 << len(nodes)) - 1
    return tuple(before[node] | after[node] | 1 << node == everything for node in range(len(nodes)))


def _reached(order: Sequence[int], onward: Sequence[Sequence[int]]) -> list[int]:
    """For each node, the set of those on all ways from it, as bits; ``order``: each after those."""
    reached = [0] * len(order)
    for node in order:
        for other in onward[node]:
            reached[node] |= reached[other] | 1 << other
    return reached


def validate(spec: DagSpec, known: Callable[[str], bool], names: Iterable[str] = ()) -> None:
    """Accept a DAG with one sink over registered functions.

    Parameters
    ----------
    known
        Whether a function of that name is registered.
    names
        The registered names, for the message if one is not.

    Raises
    ------
    InvalidDag
        Without a node, with an unknown node, a function named twice, a cycle or more than one sink.
    FunctionNotFound
        If a node's function is not registered.

    Examples
    --------
    >>> loop = DagSpec("p", [DagNode("a"), DagNode("b")], [(0, 1), (1, 0)])
    >>> validate(loop, known=lambda name: True)
    Traceback (most recent call last):
        ...
    cloudburst_runtime.errors.InvalidDag: DAG 'p' has a cycle: a → b → a
    """
    _check_nodes(spec)
    for node in spec.nodes:
        if not known(node.function):
            raise FunctionNotFound(
                f"DAG {spec.name!r} uses the function {node.function!r}, which is not registered; "
                f"{suggest(node.function, names)}"
            )
    _check_edges(spec)
    _check_shape(spec)


def sources(graph: Graph) -> tuple[int, ...]:
    """The nodes that nothing feeds."""
    return Topology.of(graph).sources


def sink(graph: Graph) -> int:
    """The node whose result is the DAG's."""
    return Topology.of(graph).sink


def compose(first: Graph, second: Graph) -> tuple[list[DagNode], list[tuple[int, int]]]:
    """Nodes and edges of ``first`` continued by ``second``: the sink feeds every source.

    Examples
    --------
    >>> one, two = DagSpec("p", [DagNode("a")]), DagSpec("q", [DagNode("b"), DagNode("c")], [(0, 1)])
    >>> nodes, edges = compose(one, two)
    >>> [node.function for node in nodes], edges
    (['a', 'b', 'c'], [(0, 1), (1, 2)])
    """
    shift = len(first.nodes)
    joint = [(sink(first), shift + source) for source in sources(second)]
    shifted = [(shift + start, shift + end) for start, end in second.edges]
    return [*first.nodes, *second.nodes], [*first.edges, *joint, *shifted]


# ---------------------------------------------------------------- the parts of validation


def _check_nodes(spec: DagSpec) -> None:
    if not spec.nodes:
        raise InvalidDag(f"DAG {spec.name!r} is empty: it needs at least one function")
    if len(spec.nodes) > NODES_MAX:
        raise InvalidDag(f"DAG {spec.name!r} has {len(spec.nodes)} nodes; at most {NODES_MAX} are possible")
    seen: dict[str, None] = {}
    for node in spec.nodes:
        if node.function in seen:
            raise InvalidDag(
                f"function {node.function!r} appears twice in DAG {spec.name!r}: "
                f"register it under a second name"
            )
        seen[node.function] = None
    for name in spec.colocated:
        if name not in seen:
            raise InvalidDag(f"DAG {spec.name!r} is to colocate {name!r}, which is not one of its functions")


def _check_edges(spec: DagSpec) -> None:
    count = len(spec.nodes)
    seen: dict[tuple[int, int], None] = {}
    for edge in spec.edges:
        for end in edge:
            if not 0 <= end < count:
                raise InvalidDag(
                    f"an edge of DAG {spec.name!r} names node {end}, which does not exist: "
                    f"its {count} nodes count from 0"
                )
        text = _path(spec, edge)
        if edge[0] == edge[1]:
            raise InvalidDag(f"DAG {spec.name!r} has a cycle: {text} (a function cannot feed itself)")
        if edge in seen:
            raise InvalidDag(f"DAG {spec.name!r} has the edge {text} twice")
        seen[edge] = None


def _check_shape(spec: DagSpec) -> None:
    preds, succs = _neighbours(len(spec.nodes), spec.edges)
    order, _ = _walk(preds, succs)
    if len(order) < len(spec.nodes):
        cycle = _find_cycle(preds, order)
        raise InvalidDag(f"DAG {spec.name!r} has a cycle: {_path(spec, cycle)}")
    sinks = [repr(spec.nodes[node].function) for node, after in enumerate(succs) if not after]
    if len(sinks) > 1:
        shown = ", ".join(sinks[:SINKS_SHOWN_MAX]) + (", …" if len(sinks) > SINKS_SHOWN_MAX else "")
        raise InvalidDag(
            f"DAG {spec.name!r} has {len(sinks)} sinks ({shown}), but its result is that of one function: "
            f"let them all feed one that combines their results"
        )


def _path(spec: DagSpec, nodes: Iterable[int]) -> str:
    names = [spec.nodes[node].function for node in nodes]
    if len(names) > PATH_SHOWN_MAX:
        names = [*names[: PATH_SHOWN_MAX - 2], f"({len(names) - PATH_SHOWN_MAX + 1} more)", names[-1]]
    return " → ".join(names)


def _neighbours(count: int, edges: Edges) -> tuple[list[list[int]], list[list[int]]]:
    preds: list[list[int]] = [[] for _ in range(count)]
    succs: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        preds[end].append(start)
        succs[start].append(end)
    return preds, succs


def _walk(preds: list[list[int]], succs: list[list[int]]) -> tuple[list[int], list[int]]:
    """The nodes that no cycle holds back, each after its predecessors; and the depth of each."""
    missing = [len(before) for before in preds]
    depth = [0] * len(preds)
    ready = deque(node for node, count in enumerate(missing) if not count)
    order: list[int] = []
    while ready:
        node = ready.popleft()
        order.append(node)
        for after in succs[node]:
            depth[after] = max(depth[after], depth[node] + 1)
            missing[after] -= 1
            if not missing[after]:
                ready.append(after)
    return order, depth


def _find_cycle(preds: list[list[int]], order: list[int]) -> list[int]:
    """A cycle as a closed path, from its first-defined node.

    Each node that the walk left over has a predecessor that it left over too, so that going back from
    any of them must meet a node again.
    """
    done = dict.fromkeys(order)
    node = next(node for node in range(len(preds)) if node not in done)
    met: dict[int, int] = {}
    path: list[int] = []
    while node not in met:
        met[node] = len(path)
        path.append(node)
        node = next(before for before in preds[node] if before not in done)
    cycle = path[met[node] :][::-1]
    start = cycle.index(min(cycle))
    return [*cycle[start:], *cycle[:start], cycle[start]]
