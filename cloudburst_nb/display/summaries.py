"""A summary of latencies as a table with bars: each stage's median, against the slowest calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudburst_nb.display.futures import STAGES
from cloudburst_nb.display.html import STATES, bold, card, faint, line, spans, table

if TYPE_CHECKING:
    from cloudburst_nb.latency import Summary


def html(summary: Summary) -> str:
    """The percentiles of each stage, and a bar."""
    found = summary.rows()
    longest = max(summary.total.p99, 1e-9)
    rows = []
    for stage, values in found.items():
        colour = STAGES.get(stage, STATES["running"])
        bar = spans([(0.0, values.p50, colour)], longest, f"median {values.p50:.2f} ms", width=200)
        rows.append([f'<span style="color:{colour}">■</span> {stage}', *(f"{v:.2f}" for v in values), bar])
    return card(
        STATES["done"],
        line(bold(summary.title), faint("in milliseconds; the bars are medians, to the p99 of the total")),
        table(rows, ["", "p50", "p95", "p99", ""]),
    )
