"""A summary of latencies as a table with bars: each stage's median, against the slowest calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING

from cloudburst_nb.display.futures import STAGES
from cloudburst_nb.display.html import STATES, bold, card, faint, line, spans, table
from cloudburst_nb.latency import Percentiles, microseconds
from cloudburst_runtime.shell.tracing import STAGES as WHAT

if TYPE_CHECKING:
    from cloudburst_nb.latency import Summary

HEADINGS = ["", "p50", "p95", "p99", ""]


def html(summary: Summary) -> str:
    """The percentiles of each stage, and a bar."""
    parts = [
        line(bold(summary.title), faint("in milliseconds; the bars are medians, to the p99 of the total")),
        table(list(_rows(summary.rows(), summary.total.p99, "ms")), HEADINGS),
    ]
    if summary.stages:
        stages = microseconds(summary.stages)
        longest = max(values.p50 for values in stages.values())
        parts += [
            line(faint("stages of the calls of one function, in microseconds; the bars are medians")),
            table(list(_rows(stages, longest, "µs")), HEADINGS),
        ]
    return card(STATES["done"], *parts)


def _rows(found: Mapping[str, Percentiles], longest: float, unit: str) -> Iterator[list[str]]:
    for stage, values in found.items():
        colour = STAGES.get(stage, STATES["running"])
        what, median = WHAT.get(stage, stage), f"median {values.p50:.2f} {unit}"
        bar = spans([(0.0, values.p50, colour)], max(longest, 1e-9), median, width=200)
        name = f'<span title="{escape(what)}"><span style="color:{colour}">■</span> {stage}</span>'
        yield [name, *(f"{value:.2f}" for value in values), bar]
