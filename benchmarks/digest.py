"""The few figures that the README shows, between its two markers.

Law: a line whose case was not measured is left out; the text around the markers is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.chosen import ours, row
from benchmarks.table import figure_text

BEGIN, END = "<!-- figures of `make bench`: begin -->", "<!-- figures of `make bench`: end -->"

LIMIT = "limit"
PROCESSES, RAY, REDIS = "ProcessPoolExecutor", "Ray", "Redis"
LINES: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    (
        "one call, `.get()`",
        ("no-op call",),
        {"bare ping-pong of two processes": LIMIT, PROCESSES: "", RAY: ""},
    ),
    (
        "`square(increment(x))`",
        ("square(increment(x))",),
        {"bare ring of three": LIMIT, PROCESSES: "", RAY: ""},
    ),
    ("ten at once and their sum", ("10 at once and their sum",), {PROCESSES: "", RAY: ""}),
    ("many calls at once", ("2,000 calls at once", "500 calls at once"), {PROCESSES: "", RAY: ""}),
    ("`put` of 8 bytes", ("put from the client, 8 B",), {REDIS: "", RAY: ""}),
    ("`get` of 8 bytes", ("get from the client, 8 B",), {REDIS: "", RAY: ""}),
    (
        "`put` of an array of 8 MB",
        ("put from the client, 8 MB",),
        {"one copy into two places in turn": LIMIT, REDIS: "", RAY: ""},
    ),
    ("ten such arrays summed by a function", ("10 × 8 MB, hot",), {"in one process": LIMIT, RAY: ""}),
    ("import", ("import",), {PROCESSES: "", RAY: ""}),
    ("from `up()` to the first result", ("up, to the first result",), {PROCESSES: "", RAY: ""}),
    ("two executors at rest: memory", ("memory, besides the client",), {PROCESSES: "", RAY: ""}),
    ("two executors at rest: processor", ("processor at rest",), {PROCESSES: "", RAY: ""}),
)
"""What is said, the cases it may come from, and whom it is beside: the limit under a name, or a peer."""


def update(result: dict[str, Any], readme: Path) -> None:
    """Put the figures of a run between the markers of a README.

    Raises
    ------
    ValueError
        If it has no such markers.
    """
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} has no place for the figures: {BEGIN} … {END}")
    readme.write_text(before + BEGIN + "\n" + "\n".join(digest(result)) + "\n" + END + after)


def digest(result: dict[str, Any]) -> Iterator[str]:
    """The lines of the table."""
    kind = "a quick run" if result["quick"] else "one run"
    yield f"| p50, {kind} on {result['machine']['cores']} cores | this project | in the same run |"
    yield "|---|---|---|"
    for text, names, others in LINES:
        case = next((each for each in result["cases"] if each["name"] in names), None)
        mine = ours(case)
        if case is None or mine is None:
            continue
        beside = [(name, _other(result, case["name"], name, what)) for name, what in others.items()]
        shown = "; ".join(f"{name} {_figure(found, case)}" for name, found in beside if found)
        yield f"| {_text(text, case)} | {_figure(mine, case)} | {shown} |"


def _other(result: dict[str, Any], case: str, name: str, what: str) -> dict[str, Any] | None:
    return row(result, case, role=LIMIT) if what == LIMIT else row(result, case, name)


def _text(text: str, case: dict[str, Any]) -> str:
    return str(case["name"]) if case["each"] else text


def _figure(found: dict[str, Any], case: dict[str, Any]) -> str:
    """A rate where a sample is one of many, else the median."""
    if case["each"]:
        return f"{1 / found['p50']:,.0f} a second"
    return figure_text(found["p50"], case["unit"])
