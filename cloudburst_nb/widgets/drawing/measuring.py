"""Where the time of a DAG's runs went: for each function, and for each arrow.

Law: pure. Steps in, milliseconds out. An arrow's *transfer* is from the end of one function to the arrival
of its result where it is needed; *queue* is what the function it feeds then waited for (other inputs, its
turn), and *decode* is the making of Python values from all its inputs. Percentiles are over the last
`KEPT_MAX` runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from cloudburst_nb.latency import percentile
from cloudburst_runtime.messages import Intake, Step

KEPT_MAX = 200
NOTHING = Intake()
Edge = tuple[str, str]
Key = TypeVar("Key", str, Edge)


class OfNode(NamedTuple):
    """One function in one run: milliseconds, and the keys it read."""

    queue: float
    decode: float
    run: float
    hits: int
    misses: int


class OfEdge(NamedTuple):
    """One arrow in one run: milliseconds and bytes."""

    transfer: float
    queue: float
    decode: float
    nbytes: int


class Measured(NamedTuple):
    """One run."""

    nodes: dict[str, OfNode]
    edges: dict[Edge, OfEdge]


def measured(steps: Iterable[Step], names: Sequence[str]) -> Measured:
    """One run from its steps; ``names`` are the functions by number.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Arrival, Intake
    >>> first = Step(0, "e1", 0.0, 1.0, 5.0)
    >>> second = Step(1, "e2", 6.0, 8.0, 9.0, intake=Intake(0.5, [Arrival(0, 100, 6.0)]))
    >>> measured([first, second], ["a", "b"]).edges
    {('a', 'b'): OfEdge(transfer=1.0, queue=1.5, decode=0.5, nbytes=100)}
    """
    by_node = {step.node: step for step in steps if step.node < len(names)}
    nodes, edges = {}, {}
    for step in by_node.values():
        intake = step.intake or NOTHING
        waited = max(0.0, step.started - step.ready - intake.decode_ms)
        ran = step.ended - step.started
        nodes[names[step.node]] = OfNode(waited, intake.decode_ms, ran, intake.hits, intake.misses)
        for arrival in intake.arrivals:
            source = by_node.get(arrival.source)
            if source is not None:  # else it was kept from an earlier run
                edges[names[arrival.source], names[step.node]] = OfEdge(
                    max(0.0, arrival.at - source.ended),
                    max(0.0, step.started - arrival.at - intake.decode_ms),
                    intake.decode_ms,
                    arrival.nbytes,
                )
    return Measured(nodes, edges)


class Book:
    """The last runs, and what they say together.

    Examples
    --------
    >>> book = Book()
    >>> book.add(Measured({"a": OfNode(0.0, 0.1, 2.0, 0, 0)}, {}))
    >>> book.nodes()["a"]["run"]
    [2.0, 2.0, 2.0]
    """

    def __init__(self) -> None:
        self._runs: deque[Measured] = deque(maxlen=KEPT_MAX)

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Measured) -> None:
        """One more run."""
        self._runs.append(run)

    def forget(self, names: Collection[str]) -> None:
        """These functions are others now: what was measured of them, and of their arrows, counts no more."""
        kept = [
            Measured(
                {name: each for name, each in run.nodes.items() if name not in names},
                {edge: each for edge, each in run.edges.items() if not set(edge) & set(names)},
            )
            for run in self._runs
        ]
        self._runs = deque(kept, maxlen=KEPT_MAX)

    def nodes(self) -> dict[str, dict[str, list[float]]]:
        """By function, and by what was measured: the last, p50 and p99."""
        return _together([run.nodes for run in self._runs])

    def edges(self) -> dict[Edge, dict[str, list[float]]]:
        """By arrow, and by what was measured: the last, p50 and p99."""
        return _together([run.edges for run in self._runs])


def _together(runs: Sequence[Mapping[Key, OfNode | OfEdge]]) -> dict[Key, dict[str, list[float]]]:
    rows: dict[Key, list[OfNode | OfEdge]] = {}
    for run in runs:
        for key, each in run.items():
            rows.setdefault(key, []).append(each)
    return {key: _columns(found) for key, found in rows.items()}


def _columns(rows: Sequence[OfNode | OfEdge]) -> dict[str, list[float]]:
    columns = {}
    for name, column in zip(rows[0]._fields, zip(*rows, strict=True), strict=True):
        ordered = sorted(column)
        found = (column[-1], percentile(ordered, 50), percentile(ordered, 99))
        columns[name] = [round(float(value), 4) for value in found]
    return columns
