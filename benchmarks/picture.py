"""The picture of the benchmarks' page: six panels, each with its own axes and units.

Law: drawn from the plain data of a result; a panel whose cases were not measured says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases.growth import GROUP as GROWTH

OURS_COLOUR, LIMIT_COLOUR = "#c1440e", "#555555"
PEER_COLOURS = ("#1f77b4", "#2ca02c", "#9467bd", "#17becf", "#8c564b", "#bcbd22", "#e377c2")
LEAST_SHOWN = 1e-9
ROLES_SHOWN = ("limit", "ours", "peer")


def draw(result: dict[str, Any], target: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours = colours_of(result)
    figure, axes = pyplot.subplots(3, 2, figsize=(13, 14.5))
    panels: list[Callable[[Any, dict[str, Any], dict[str, str]], None]] = [
        _calls,
        _throughput,
        _chains,
        _arrays,
        _store,
        _growth,
    ]
    for axis, panel in zip(axes.flat, panels, strict=True):
        panel(axis, result, colours)
        if not axis.has_data():
            axis.text(0.5, 0.5, "not measured in this run", ha="center", transform=axis.transAxes)
    _legend(figure, axes.flat[2:5])
    figure.tight_layout(h_pad=3, w_pad=3, rect=(0, 0, 1, 0.95))
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def _legend(figure: Any, axes: Any) -> None:
    """One legend of the contenders, above the panels whose lines it names."""
    named: dict[str, Any] = {}
    for axis in axes:
        for line, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, line)
    if named:
        figure.legend(named.values(), named.keys(), loc="upper center", ncols=4, fontsize=9)


def colours_of(result: dict[str, Any]) -> dict[str, str]:
    """A colour for each label: the same in every panel."""
    colours: dict[str, str] = {}
    peers = 0
    for case in result["cases"]:
        for row in case["rows"]:
            if row["label"] in colours:
                continue
            if row["role"] == "peer":
                colours[row["label"]] = PEER_COLOURS[peers % len(PEER_COLOURS)]
                peers += 1
            else:
                colours[row["label"]] = OURS_COLOUR if row["role"] == "ours" else LIMIT_COLOUR
    return colours


def curves(
    result: dict[str, Any], series: str, roles: tuple[str, ...] = ROLES_SHOWN
) -> dict[str, list[tuple[float, float]]]:
    """For each label, the points ``(size, p50)`` of a series."""
    found: dict[str, list[tuple[float, float]]] = {}
    for case in result["cases"]:
        for row in case["rows"] if case["series"] == series else ():
            if row["role"] in roles:
                found.setdefault(row["label"], []).append((case["size"], row["p50"]))
    return found


def bars(result: dict[str, Any], name: str) -> tuple[str, list[tuple[str, float]]]:
    """The first case whose name has a text: its name, and ``(label, p50)`` for each row."""
    for case in result["cases"]:
        if name in case["name"]:
            shown = [row for row in case["rows"] if row["role"] in ROLES_SHOWN]
            return case["name"], [(row["label"], row["p50"]) for row in shown]
    return name, []


def _calls(axis: Any, result: dict[str, Any], colours: dict[str, str]) -> None:
    name, rows = bars(result, "no-op call")
    _bars(axis, [(label, value * 1e6) for label, value in rows], colours, "{:,.0f} µs")
    axis.set(title=f"One {name}: median latency", xlabel="microseconds (logarithmic)")


def _throughput(axis: Any, result: dict[str, Any], colours: dict[str, str]) -> None:
    name, rows = bars(result, "calls at once")
    without_limit = [(label, 1 / value) for label, value in rows if "limit" not in label]
    _bars(axis, without_limit, colours, "{:,.0f} /s")
    axis.set(title=name, xlabel="calls per second (logarithmic)")


def _bars(axis: Any, rows: list[tuple[str, float]], colours: dict[str, str], text: str) -> None:
    if not rows:
        return
    labels = [label for label, _ in rows]
    values = [max(LEAST_SHOWN, value) for _, value in rows]
    drawn = axis.barh(labels, values, color=[colours[label] for label in labels])
    axis.bar_label(drawn, [text.format(value) for value in values], padding=3, fontsize=9)
    axis.set_xscale("log")
    axis.set_xlim(min(values) / 2, max(values) * 6)
    axis.invert_yaxis()


def _chains(axis: Any, result: dict[str, Any], colours: dict[str, str]) -> None:
    _lines(axis, curves(result, "chain length"), colours)
    axis.set(title="Chains of functions: median latency", xlabel="functions in the chain", ylabel="seconds")


def _arrays(axis: Any, result: dict[str, Any], colours: dict[str, str]) -> None:
    _lines(axis, curves(result, "arrays, hot"), colours)
    axis.set(title="Ten arrays summed by a function, hot", xlabel="bytes of each array", ylabel="seconds")


def _store(axis: Any, result: dict[str, Any], colours: dict[str, str]) -> None:
    _lines(axis, curves(result, "put from the client", ("ours", "peer")), colours)
    _lines(axis, curves(result, "get from the client", ("ours", "peer")), colours, "--")
    axis.set(
        title="Store, from the client: put (solid) and get (dashed)",
        xlabel="bytes of the value",
        ylabel="seconds",
    )


def _lines(
    axis: Any, found: dict[str, list[tuple[float, float]]], colours: dict[str, str], style: str = "-"
) -> None:
    for label, points in found.items():
        again = colours.get(label) == OURS_COLOUR and "," in label
        axis.plot(
            [size for size, _ in points],
            [max(LEAST_SHOWN, value) for _, value in points],
            linestyle=":" if again else style,
            marker="o",
            markersize=4,
            color=colours.get(label),
            label=label,
            linewidth=2.5 if colours.get(label) == OURS_COLOUR else 1.5,
        )
    if found:
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.grid(alpha=0.3)


def _growth(axis: Any, result: dict[str, Any], colours: dict[str, str]) -> None:
    series = dict.fromkeys(case["series"] for case in result["cases"] if case["group"] == GROWTH)
    for number, name in enumerate(series):
        for points in curves(result, name, ("ours",)).values():
            first = points[0][1] or LEAST_SHOWN
            colour = PEER_COLOURS[number % len(PEER_COLOURS)]
            style = "-" if number < len(PEER_COLOURS) else "--"
            multiples = [value / first for _, value in points]
            axis.plot([size for size, _ in points], multiples, style, color=colour, marker="o", label=name)
    if series:
        axis.set_xscale("log")
        axis.axhline(1, color=LIMIT_COLOUR, linewidth=0.8)
        axis.set_ylim(0, 1.4 * axis.get_ylim()[1])  # the legend stands above the curves
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper left", ncols=2)
    axis.set(title="Growth of this project's costs", xlabel="how many", ylabel="multiple of the first point")
