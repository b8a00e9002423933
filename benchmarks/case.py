"""One case: a measurement that several contenders make, and what it is compared with.

Law: data only. A case names probes (methods of contenders); the runner has them measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TWO_CORES = "two cores"
ONE_CORE = "one core"


@dataclass(frozen=True)
class Row:
    """A row that is not simply a contender's own: another probe of it, under another label."""

    contender: str
    probe: str
    args: tuple[Any, ...] = ()
    label: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A measurement.

    Attributes
    ----------
    group, name
        Where it stands in the tables.
    probe, args
        The contenders' method that makes the probe, and its arguments.
    limit, beside
        Probes of the machine: what ratios are given to, and the other form that is shown beside it.
    rows
        Further rows: variants of a contender's usage.
    peers
        Whether peers take part.
    unit
        ``"s"``, ``"B"``, ``"core"`` or ``"/s"``.
    each
        What one sample is of, for the tables: ``"call"``, ``"node"``.
    series, size
        For cases that are one point of a curve.
    options
        Of this project's contender; with others than usual it runs in a station that only these cases use.
    rounds
        How often, if not as often as others.
    crowded
        Whether the other contenders are awake, if with nothing to do, while one is measured.
    """

    group: str
    name: str
    probe: str = ""
    args: tuple[Any, ...] = ()
    limit: tuple[str, tuple[Any, ...]] | None = None
    beside: tuple[str, tuple[Any, ...]] | None = None
    rows: tuple[Row, ...] = ()
    peers: bool = True
    unit: str = "s"
    each: str = ""
    series: str = ""
    size: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    rounds: int = 0
    crowded: bool = False


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes
    ----------
    quick
        Under three minutes in all.
    rounds, count, seconds
        Repetitions; the most samples in a block, and about how long one may take.
    row_seconds
        A contender that has taken so long over a case is not asked for another round of it.
    lives
        How often start-up is repeated; ``idle_seconds`` is how long each is watched at rest.
    """

    quick: bool
    rounds: int
    count: int
    seconds: float
    row_seconds: float
    lives: int
    idle_seconds: float


QUICK = Effort(quick=True, rounds=2, count=200, seconds=0.04, row_seconds=0.5, lives=1, idle_seconds=1.0)
FULL = Effort(quick=False, rounds=5, count=1000, seconds=0.08, row_seconds=3.0, lives=3, idle_seconds=3.0)

CASES: list[Callable[[Effort], list[Case]]] = []
"""What makes the cases, in the order in which they are measured and shown."""


def cases_of(make: Callable[[Effort], list[Case]]) -> Callable[[Effort], list[Case]]:
    """Register a function that makes cases."""
    CASES.append(make)
    return make


def messages_limit(probe: str, *args: Any) -> dict[str, Any]:
    """The two forms of a limit that is made of messages."""
    return {"limit": (probe, (*args, TWO_CORES)), "beside": (probe, (*args, ONE_CORE))}
