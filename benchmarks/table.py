"""Figures for people: units, columns, and the table that ``make bench`` prints.

Law: text from the plain data of a result; nothing is measured or computed here.
"""

from __future__ import annotations

from typing import Any

HEADINGS = ("", "p50", "p95", "p99", "rounds", "× limit", "one core", "× best peer", "n")
NOTHING = ""


def seconds_text(seconds: float) -> str:
    """A time with the unit that fits.

    Examples
    --------
    >>> seconds_text(0.0000423), seconds_text(0.00042), seconds_text(1.5), seconds_text(3.1e-7)
    ('42.3 µs', '420 µs', '1.50 s', '310 ns')
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor * 0.9995:
            return f"{_three(seconds / factor)} {unit}"
    return f"{_three(seconds * 1e9)} ns"


def _three(number: float) -> str:
    """Three digits that count."""
    if number >= 99.95:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def figure_text(value: float, unit: str) -> str:
    """A figure with its unit.

    Examples
    --------
    >>> figure_text(0.00123, "s"), figure_text(61_000_000, "B"), figure_text(0.0015, "core")
    ('1.23 ms', '61.0 MB', '0.150 %')
    >>> figure_text(12.34, "/s")
    '12.3 /s'
    """
    if unit == "s":
        return seconds_text(value)
    if unit == "B":
        return f"{_three(value / 1e6)} MB" if abs(value) >= 1e5 else f"{value:.0f} B"
    if unit == "core":
        return f"{value * 100:.3f} %"
    return f"{_three(value)} {unit}"


def ratio_text(ratio: dict[str, float] | None, spread: bool = False) -> str:
    """A ratio, and if asked for the range that it had over the rounds.

    Examples
    --------
    >>> ratio_text({"p50": 1.734, "low": 1.7, "high": 2.04}, spread=True)
    '1.73 (1.70-2.04)'
    >>> ratio_text(None)
    ''
    """
    if ratio is None:
        return NOTHING
    shown = _three(ratio["p50"]) if ratio["p50"] >= 0.01 else f"{ratio['p50']:.4f}"
    if not spread or ratio["low"] == ratio["high"]:
        return shown
    return f"{shown} ({_three(ratio['low'])}-{_three(ratio['high'])})"


def cells(row: dict[str, Any], unit: str) -> list[str]:
    """The columns of one row, as in `HEADINGS`."""
    p50, p95, p99 = (figure_text(row[name], unit) for name in ("p50", "p95", "p99"))
    low, high = figure_text(row["low"], unit), figure_text(row["high"], unit)
    limit = row["role"] in ("limit", "beside")
    return [
        row["label"],
        p50,
        p95 if row["samples"] > 1 else NOTHING,
        p99 if row["samples"] > 1 else NOTHING,
        NOTHING if low == high else f"{low} … {high}",
        NOTHING if row["role"] == "limit" else ratio_text(row["to_limit"], spread=not limit),
        NOTHING if limit else ratio_text(row["to_beside"]),
        NOTHING if limit else ratio_text(row["to_best_peer"]),
        str(row["samples"]),
    ]


def title(case: dict[str, Any]) -> str:
    """A case's line above its rows: what one sample is of, and the rate where there are many."""
    text = str(case["name"])
    if not case["each"]:
        return text
    ours = next((row for row in case["rows"] if row["role"] == "ours"), None)
    rate = f"; {1 / ours['p50']:,.0f} a second by {ours['label']}" if ours and case["unit"] == "s" else ""
    return f"{text} (per {case['each']}{rate})"


def table(result: dict[str, Any]) -> str:
    """The whole result as lines of text."""
    lines: list[str] = []
    group = ""
    for case in result["cases"]:
        if case["group"] != group:
            group = case["group"]
            lines += ["", group, "=" * len(group)]
        lines += ["", *_aligned(title(case), [cells(row, case["unit"]) for row in case["rows"]])]
        lines += [f"  ({label}: {note})" for label, note in case["notes"].items()]
    skipped = [peer for peer in result["peers"].values() if peer["skipped"]]
    lines += ["", *[f"{peer['label']} did not take part: {peer['skipped']}" for peer in skipped]]
    return "\n".join([*lines, f"{result['seconds']:.0f} s in all"])


def _aligned(heading: str, rows: list[list[str]]) -> list[str]:
    table = [[heading, *HEADINGS[1:]], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
