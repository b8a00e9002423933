"""What is being drawn: functions, arrows in the order of arguments, and how the whole is to be run.

Law: a sketch never changes; an edit makes another one, which shares all that stayed. So undoing is going
back to the sketch before, exactly. `Sketch.graph` is the same as a ``networkx.DiGraph``, which is what is
reasoned about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.messages import DagNode, DagSpec
from cloudburst_runtime.values import Value

if TYPE_CHECKING:
    import networkx

Edge = tuple[str, str]
Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Node:
    """One function of a sketch.

    Attributes
    ----------
    x, y
        The middle of its box.
    arguments
        Its fixed arguments, as they are written between the brackets of a call.
    gpu, batching, colocated
        How it is to be run.
    invalid
        As in `DagNode`: results that a node which runs once per input drops.
    copy_of
        The function that it is a copy of, under a name of its own.
    """

    x: float = 0.0
    y: float = 0.0
    arguments: str = ""
    gpu: bool = False
    batching: bool = False
    colocated: bool = False
    invalid: tuple[Value, ...] | None = None
    copy_of: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
    """How calls of the DAG are made: None is what its functions and the runtime say."""

    consistency: str | None = None
    retries: int | None = None
    timeout: float | None = None


@dataclasses.dataclass(frozen=True)
class Sketch:
    """A DAG in the making. It may have several sinks for a while, and functions that are not registered.

    Attributes
    ----------
    nodes
        By function name, in the order of definition.
    inputs
        For each node what feeds it, in the order of its arguments.
    bends
        The points that a long arrow runs through, between its ends, since the boxes were last laid out.

    Examples
    --------
    >>> made = Sketch("pipe", {"a": Node(), "b": Node()}, {"a": (), "b": ("a",)})
    >>> list(made.edges), made.sinks
    ([('a', 'b')], ['b'])
    """

    name: str
    nodes: Mapping[str, Node] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    options: Options = Options()
    bends: Mapping[Edge, tuple[Point, ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, spec: DagSpec, before: Sketch | None = None) -> Sketch:
        """The sketch of a definition; what a definition does not say is as it was ``before``."""
        known = {} if before is None else before.nodes
        nodes: dict[str, Node] = {}
        inputs: dict[str, list[str]] = {}
        for node in spec.nodes:
            nodes[node.function] = dataclasses.replace(
                known.get(node.function, Node()),
                gpu=node.gpu,
                batching=node.batching,
                colocated=node.function in spec.colocated,
                invalid=None if node.invalid is None else tuple(node.invalid),
            )
            inputs[node.function] = []
        names = list(nodes)
        for source, target in spec.edges:
            inputs[names[target]].append(names[source])
        ordered = {name: tuple(sources) for name, sources in inputs.items()}
        if before is None:
            return cls(spec.name, nodes, ordered)
        return cls(spec.name, nodes, ordered, before.options, before.bends)

    @property
    def edges(self) -> Iterator[Edge]:
        """Pairs of names, by target, in the order of its arguments."""
        return ((source, target) for target, sources in self.inputs.items() for source in sources)

    @cached_property
    def graph(self) -> networkx.DiGraph[str]:
        """A ``networkx.DiGraph`` of the names; do not change it."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph(name=self.name)
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.edges)
        return networkx.freeze(graph)

    @property
    def sources(self) -> list[str]:
        """The nodes that nothing feeds."""
        return [name for name in self.nodes if not self.inputs[name]]

    @property
    def sinks(self) -> list[str]:
        """The nodes that feed nothing: a DAG has one."""
        feeding = {source for source, _ in self.edges}
        return [name for name in self.nodes if name not in feeding]

    @property
    def spec(self) -> DagSpec:
        """The definition."""
        index = {name: number for number, name in enumerate(self.nodes)}
        return DagSpec(
            self.name,
            [_dag_node(name, node) for name, node in self.nodes.items()],
            [(index[source], index[target]) for source, target in self.edges],
            [name for name, node in self.nodes.items() if node.colocated],
        )

    # ------------------------------------------------------------ other sketches

    def having(self, **changed: Any) -> Sketch:
        """Another one, which differs in these."""
        return dataclasses.replace(self, **changed)

    def changing(self, names: Iterable[str], **changed: Any) -> Sketch:
        """Another one, in which these nodes differ in this."""
        nodes = dict(self.nodes)
        for name in names:
            nodes[name] = dataclasses.replace(nodes[name], **changed)
        return self.having(nodes=nodes)

    def feeding(self, target: str, sources: Iterable[str]) -> Sketch:
        """Another one, in which ``target`` has these inputs."""
        return self.having(inputs={**self.inputs, target: tuple(sources)})


def _dag_node(name: str, node: Node) -> DagNode:
    invalid = None if node.invalid is None else list(node.invalid)
    return DagNode(name, invalid, node.gpu, node.batching)
