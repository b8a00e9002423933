"""Random executions: DAGs of functions that visit keys, as a script for each node says.

Law: draws shapes and keys, and carries executions out; what is drawn for what is its users' business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any

from cloudburst_runtime.levels import CAUSAL
from cloudburst_runtime.messages import DagNode, DagSpec, DefineDag, Failure, FunctionSpec, Register
from cloudburst_runtime.sim.workload import RETRIES, Session

SHAPES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((0, 1),),
    ((0, 1), (1, 2)),
    ((0, 1), (1, 2), (2, 3)),
    ((0, 2), (1, 2)),
    ((0, 1), (0, 2), (1, 3), (2, 3)),
)
"""The edges of the DAGs: chains of two to four, a join of two, a diamond. Three functions on average."""

FUNCTIONS = ("visit0", "visit1", "visit2", "visit3")
Script = list[list[Any]]
"""Steps of (kind, key, value): ``get`` or ``put``."""


def size(shape: int) -> int:
    """How many functions a DAG has."""
    return 1 + max(end for _, end in SHAPES[shape])


def zipf(keys: int, exponent: float, luck: Random) -> Iterator[int]:
    """Numbers below ``keys``, the *n*-th of them in proportion to ``n ** -exponent``.

    Examples
    --------
    >>> draw = zipf(3, 1.0, Random(1))
    >>> [next(draw) for _ in range(6)]
    [0, 2, 1, 0, 0, 0]
    """
    shares = list(accumulate(1 / (rank + 1) ** exponent for rank in range(keys)))
    while True:
        yield bisect_left(shares, luck.random() * shares[-1])


class Visitor(Session):
    """A client that runs executions."""

    def set_up(self) -> None:
        """Register the functions and the DAGs."""
        for name in FUNCTIONS:
            spec = FunctionSpec(name, 0, b"visit", retries=RETRIES)
            self.to_do.append(partial(self._ask, partial(_register, spec)))
        self.to_do.append(self.wait)
        for number, edges in enumerate(SHAPES):
            nodes = [DagNode(name) for name in FUNCTIONS[: size(number)]]
            self.to_do.append(
                partial(self._ask, partial(_define, DagSpec(f"dag{number}", nodes, list(edges))))
            )
        self.to_do.append(self.wait)

    def visit(self, shape: int, scripts: list[Script]) -> None:
        """Run one execution, with a script for each node."""
        self.call(
            f"dag{shape}", dict(zip(FUNCTIONS, ([script] for script in scripts), strict=False)), dag=True
        )

    def look(self, key: str) -> None:
        """Read a key; at causal levels all siblings, which a later write is given to choose from."""
        self.siblings(key) if self.level in CAUSAL else self.get(key)

    def _ask(self, make: Callable[[int], Any]) -> None:
        self._ops += 1
        self.pending[self._ops] = None
        self.client.ask(make, partial(self._had, self._ops))

    def _had(self, op: int, answer: Any) -> None:
        assert not isinstance(answer, Failure), answer
        del self.pending[op]


def _register(spec: FunctionSpec, req: int) -> Register:
    return Register(req, spec)


def _define(spec: DagSpec, req: int) -> DefineDag:
    return DefineDag(req, spec)
