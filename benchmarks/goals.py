"""The goals that this project has set itself, and what a run says of each.

Law: a goal is a figure that can be read off a result, and what it should not be above (rates: not below). A
goal whose case was not measured is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.cases.levels import LATENCY, label
from benchmarks.chosen import by_name, ours, row
from benchmarks.table import figure_text

Result = dict[str, Any]
RATIO = "×"
AWAITED = "cloudburst-nb, await"
IN_TURN = "cloudburst-nb, on two executors in turn"


class Goal(NamedTuple):
    """One figure, its unit (`RATIO` or one of `table`'s), and the most or least that it should be."""

    text: str
    figure: Callable[[Result], float | None]
    wanted: float
    unit: str = RATIO
    least: bool = False

    def met(self, value: float) -> bool:
        """Whether a figure is what was wanted."""
        return value >= self.wanted if self.least else value <= self.wanted


def to_limit(name: str, label: str = "") -> Callable[[Result], float | None]:
    """A row's ratio to the machine's limit."""
    return lambda result: _ratio(row(result, name, label), "to_limit")


def ahead(name: str, label: str = "") -> Callable[[Result], float | None]:
    """How many times faster than a peer this project is; than the best one, if none is named."""

    def figure(result: Result) -> float | None:
        mine = ours(by_name(result, name))
        if not label:
            ratio = _ratio(mine, "to_best_peer")
            return 1 / ratio if ratio else None
        theirs = row(result, name, label)
        return theirs["p50"] / mine["p50"] if mine and theirs else None

    return figure


def median(name: str, label: str = "") -> Callable[[Result], float | None]:
    """A row's median."""
    return lambda result: (found := row(result, name, label)) and float(found["p50"])


def rate(name: str) -> Callable[[Result], float | None]:
    """Operations a second."""
    return lambda result: (found := row(result, name)) and 1 / float(found["p50"])


def tail(name: str) -> Callable[[Result], float | None]:
    """The p99 as a multiple of the limit's own."""

    def figure(result: Result) -> float | None:
        case = by_name(result, name)
        limit = next((each for each in case["rows"] if each["role"] == "limit"), None) if case else None
        mine = ours(case)
        return mine["p99"] / limit["p99"] if mine and limit else None

    return figure


def hop(result: Result) -> float | None:
    """What one more function costs, on the other executor each time."""
    ends = [row(result, f"chain of {length}", IN_TURN) for length in (10, 20)]
    return (ends[1]["p50"] - ends[0]["p50"]) / 10 if ends[0] and ends[1] else None


def beyond(name: str) -> Callable[[Result], float | None]:
    """The time above the limit's."""

    def figure(result: Result) -> float | None:
        mine = row(result, name)
        limit = row(result, name, role="limit")
        return mine["p50"] - limit["p50"] if mine and limit else None

    return figure


def growth(series: str) -> Callable[[Result], float | None]:
    """The dearest point of a curve as a multiple of the first, without the machine's drift."""

    def figure(result: Result) -> float | None:
        cases = [case for case in result["cases"] if case["series"] == series]
        ratios = [_ratio(ours(case), "to_limit") for case in cases]
        known = [ratio for ratio in ratios if ratio]
        return max(known) / known[0] if known else None

    return figure


def per_key(result: Result) -> float | None:
    """Memory for each small key, where there are most."""
    sizes = [case for case in result["cases"] if case["series"] == "keys: memory for each"]
    mine = ours(sizes[-1]) if sizes else None
    return float(mine["p50"]) if mine else None


def at_level(level: str, figure: str) -> Callable[[Result], float | None]:
    """A percentile of random DAGs at a level, as a multiple of the same at ``lww``."""

    def ratio(result: Result) -> float | None:
        plain, other = row(result, LATENCY), row(result, LATENCY, label(level))
        return other[figure] / plain[figure] if plain and other else None

    return ratio


def _ratio(found: dict[str, Any] | None, name: str) -> float | None:
    return float(found[name]["p50"]) if found and found[name] else None


NOOP, COUNTER = "no-op call", "shared counter, one increment"
BURST = ("2,000 calls at once", "500 calls at once")
GOALS = (
    Goal("no-op call, to a ping-pong", to_limit(NOOP), 2.0),
    Goal("its p99, to the ping-pong's", tail(NOOP), 5.0),
    Goal("with `await`", to_limit(NOOP, AWAITED), 3.5),
    Goal("ahead of ProcessPoolExecutor", ahead(NOOP, "ProcessPoolExecutor"), 5.0, least=True),
    Goal("ahead of Ray's actors", ahead(NOOP, "Ray"), 15.0, least=True),
    Goal("ahead of Dask", ahead(NOOP, "Dask distributed"), 100.0, least=True),
    Goal(
        "square(increment(x)) on two executors, to a ring of three",
        to_limit("square(increment(x))", IN_TURN),
        2.0,
    ),
    Goal("each further hop", hop, 45e-6, "s"),
    Goal(
        "10-way fan-out and fan-in, to ten messages in two pieces", to_limit("10 at once and their sum"), 2.5
    ),
    *(Goal(f"{name}", rate(name), 30_000.0, "/s", least=True) for name in BURST),
    Goal("durable puts, 100 writers", rate("put, 100 writers at once, on disk"), 20_000.0, "/s", least=True),
    *(Goal(f"{name}, ahead of the best peer", ahead(name), 5.0, least=True) for name in BURST),
    Goal("10 × 8 MB, hot, beyond the time in one process", beyond("10 × 8 MB, hot"), 0.25e-3, "s"),
    Goal("10 × 8 MB, cold, to one process on newly mapped memory", to_limit("10 × 8 MB, cold"), 1.5),
    Goal("get inside a function, 8 B", median("get inside a function, 8 B"), 3e-6, "s"),
    Goal("get inside a function, 8 MB", median("get inside a function, 8 MB"), 8e-6, "s"),
    Goal("put from the client, 8 B, to a ping-pong", to_limit("put from the client, 8 B"), 2.0),
    Goal("get from the client, 8 B, to a ping-pong", to_limit("get from the client, 8 B"), 1.5),
    Goal("put from the client, 8 MB, to a copy", to_limit("put from the client, 8 MB"), 1.6),
    Goal("get from the client, 8 MB", median("get from the client, 8 MB"), 0.1e-3, "s"),
    Goal("shared counter, to a ping-pong", to_limit(COUNTER), 2.5),
    Goal("random DAGs at dsc, to lww", at_level("dsc", "p50"), 1.3),
    Goal("their p99, to that of lww", at_level("dsc", "p99"), 2.0),
    Goal("random DAGs at dsrr, to lww", at_level("dsrr", "p50"), 1.15),
    Goal("import", median("import"), 0.15, "s"),
    Goal("up, to the first result", median("up, to the first result"), 0.25, "s"),
    Goal("down", median("down"), 0.15, "s"),
    Goal("memory at rest, two executors", median("memory, besides the client"), 60e6, "B"),
    Goal("processor at rest", median("processor at rest"), 0.002, "core"),
    Goal("a call among more functions, to the first", growth("registered functions"), 1.3),
    Goal("a call among more keys, to the first", growth("keys: a call"), 1.3),
    Goal("a call among more in flight, per call, to the first", growth("calls in flight, per call"), 1.3),
    Goal("memory for each small key", per_key, 500.0, "B"),
)
"""In the order of the cases."""


def verdicts(result: Result) -> Iterator[tuple[str, str, str, bool]]:
    """For each goal that was measured: its text, the figure, what was wanted, and whether that is met."""
    for goal in GOALS:
        value = goal.figure(result)
        if value is not None:
            bound = "≥" if goal.least else "≤"
            wanted = f"{bound} {_shown(goal.wanted, goal.unit)}"
            yield goal.text, _shown(value, goal.unit), wanted, goal.met(value)


def _shown(value: float, unit: str) -> str:
    return (
        f"{value:.3g} ×"
        if unit == RATIO
        else f"{value:,.0f} /s"
        if unit == "/s"
        else figure_text(value, unit)
    )
