"""Figures of latency: what is on them, and that nothing but the figure is made."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from cloudburst_nb import plots
from cloudburst_nb.display.chart import Chart
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.plots import common
from tests.showing import done, future, step


def timings(total: float, **nodes: Any) -> dict[str, Any]:
    half = total / 2
    return {"total": total, "queued": 0.0, "transfer": half, "run": half, **nodes}


def words(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def pipe(number: int = 0) -> CloudburstFuture:
    steps = [step(0, "e2", 1001.0 + number), step(1, "e10", 1002.0 + number, 0.5)]
    return done(1, "pipe", steps, nodes=["load", "merge"])


@pytest.mark.parametrize("plot", [plots.latency, plots.breakdown, plots.timeline])
def test_a_plot_is_a_figure_that_shows_itself(plot: Callable[[Any], Figure]) -> None:
    figure = plot([pipe(), pipe(1)])
    assert isinstance(figure, Chart)
    picture, size = figure._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert size["width"] < 800
    assert figure.patch.get_alpha() == 0
    assert "milliseconds" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("plot", [plots.latency, plots.breakdown, plots.timeline])
def test_calls_that_are_not_done_are_left_out(plot: Callable[[Any], Figure]) -> None:
    plot([pipe(), future()]).savefig(io.BytesIO())
    with pytest.raises(ValueError, match=r"of 2 calls none has timings"):
        plot([future(), future()])


def test_one_function_s_percentiles_are_named_at_the_curve() -> None:
    axes = plots.latency([timings(value / 1000) for value in range(1, 102)]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["p50 51 ms", "p95 96 ms", "p99 100 ms"]
    assert axes.get_xscale() == "log"
    marks = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
    assert marks == [pytest.approx([51, 0.5]), pytest.approx([96, 0.95]), pytest.approx([100, 0.99])]


def test_several_functions_are_told_apart_in_the_legend() -> None:
    figure = plots.latency([done(1, f"f{index}") for index in range(8)])
    assert words(figure)[0] == "f0 (1): p50 5, p95 5, p99 5 ms"
    curves = [line for line in figure.axes[0].lines if line.get_marker() != "o"]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == 8


def test_a_latency_of_nothing_stands_on_a_logarithmic_axis() -> None:
    plots.latency([timings(0.0), timings(0.001)]).savefig(io.BytesIO())


def test_a_breakdown_of_seconds_is_written_in_digits() -> None:
    call = {"total": 2.36, "queued": 2.06, "transfer": 0.0, "run": 0.3}
    assert [text.get_text() for text in plots.breakdown([call]).axes[0].texts] == ["2,360"]


@pytest.mark.parametrize("shape", [[0.1] * 30 + [0.148] * 32 + [0.6], [0.1] * 40 + [0.6] * 60])
def test_the_names_of_percentiles_are_beside_the_curve(shape: list[float]) -> None:
    figure = plots.latency([timings(value) for value in shape])
    figure.canvas.draw()
    axes = figure.axes[0]
    [curve] = [line for line in axes.lines if line.get_marker() != "o"]
    corners = axes.transData.transform(curve.get_xydata()).tolist()
    path = [(x, y) for pair in itertools.pairwise(corners) for x, y in _along(*pair)]
    for text in axes.texts:
        box = text.get_window_extent()
        assert not any(box.contains(x, y) for x, y in path), text.get_text()


def _along(start: list[float], end: list[float]) -> list[tuple[float, float]]:
    """Points on the steps from one corner to the next."""
    (x, y), (to_x, to_y) = start, end
    parts = [index / 100 for index in range(101)]
    return [(x + part * (to_x - x), y) for part in parts] + [(to_x, y + part * (to_y - y)) for part in parts]


def test_a_breakdown_stacks_the_mean_stages_of_each_function() -> None:
    figure = plots.breakdown([done(), done(), pipe()])
    axes = figure.axes[0]
    assert words(figure) == ["queued", "transfer", "run"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("square", "pipe", "pipe · load", "pipe · merge"),
    ]
    queued, transfer, run = ([bar.get_width() for bar in bars] for bars in axes.containers)
    assert (queued[0], transfer[0], run[0]) == pytest.approx((1, 2, 2))
    assert transfer[2:] == [0, 0]
    assert axes.texts[0].get_text() == "5"


def test_a_timeline_has_a_row_for_each_executor_in_natural_order() -> None:
    figure = plots.timeline(pipe())
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["client", "e2", "e10"]
    assert words(figure) == ["load", "merge", "queued"]
    bars = {(to_hex(bar.get_facecolor()), bar.get_alpha()): bar for group in axes.containers for bar in group}
    load = bars[common.COLOURS[0].lower(), None]
    assert (load.get_x(), load.get_width()) == pytest.approx((2, 2))
    assert bars[common.COLOURS[0].lower(), 0.35].get_width() == pytest.approx(1)


def test_a_timeline_needs_futures_and_not_too_many_executors() -> None:
    with pytest.raises(TypeError, match="dict does not say when"):
        plots.timeline([timings(1.0)])
    crowd = [done(1, "f", [step(0, f"e{index}")]) for index in range(41)]
    with pytest.raises(ValueError, match="41 executors; a timeline shows up to 40"):
        plots.timeline(crowd)


def test_matplotlib_and_the_like_are_loaded_when_they_are_needed_and_pyplot_never() -> None:
    program = """
import sys
import cloudburst_nb as cb
heavy = {"matplotlib", "networkx", "ipywidgets", "pygments", "IPython", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
cb.summary([{"total": 1, "queued": 0, "transfer": 0, "run": 1}])._repr_html_()
assert not heavy & set(sys.modules), heavy & set(sys.modules)
cb.plots.breakdown([{"total": 1, "queued": 0, "transfer": 0, "run": 1}])._repr_png_()
assert "matplotlib.pyplot" not in sys.modules
"""
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


# ---------------------------------------------------------------- over time, and against each other


def test_latency_over_time_has_a_dot_for_each_call_and_a_running_median() -> None:
    calls = [done(number, "square", [step(0, "e1", 1000.0 + 40 * number, 1.0)]) for number in range(60)]
    for number, call in enumerate(calls):
        call._submitted += 40 * number
        call._ended += 40 * number
    axes = plots.over_time([*calls, future()]).axes[0]
    dots, _, *medians = axes.lines
    assert len(dots.get_xdata()) == 60
    assert len(medians[0].get_xdata()) == 12
    assert words(axes.figure) == ["square (60)"]
    assert (axes.get_yscale(), axes.get_xlabel()) == ("log", "time since the first call")


def test_times_have_the_unit_that_suits_them_and_a_narrow_axis_has_its_numbers() -> None:
    calls = [done(number, "square", [step(0, "e1", 1000.0, 1.0)]) for number in range(20)]
    for number, call in enumerate(calls):
        call._submitted += 0.02 * number
        call._ended = call._submitted + 12 + 0.4 * number
    for axes, side in ((plots.over_time(calls).axes[0], "y"), (plots.latency(calls).axes[0], "x")):
        axes.figure.canvas.draw()
        labels = axes.get_yticklabels() if side == "y" else axes.get_xticklabels()
        assert {"14", "16", "18"} <= {label.get_text() for label in labels}
    axes = plots.over_time(calls).axes[0]
    assert [axes.xaxis.get_major_formatter()(seconds) for seconds in (0.0002, 0.25, 2)] == [
        "200 µs",
        "250 ms",
        "2 s",
    ]
    assert plots.throughput(calls).axes[1].get_xlabel() == axes.get_xlabel() == "time since the first call"


def test_a_wide_logarithmic_axis_names_powers_of_ten_and_little_between() -> None:
    axes = plots.latency([timings(value) for value in (0.0021, 0.01, 0.15)]).axes[0]
    axes.figure.canvas.draw()
    assert [text for text in map(axes.xaxis.get_minor_formatter(), (2, 3, 50)) if text] == ["2", "50"]
    assert axes.xaxis.get_major_formatter()(10) == "10"


def test_throughput_counts_what_ended_and_who_was_busy() -> None:
    calls = [done(number, "square", [step(0, f"e{number % 2}", 1000.0, 5.0)]) for number in range(4)]
    rates, busy = plots.throughput(calls).axes
    [outline, _] = rates.patches
    values, edges, _ = outline.get_data()
    assert sum(values) * (edges[1] - edges[0]) == pytest.approx(4)
    values, edges, _ = busy.patches[0].get_data()
    assert max(values) == pytest.approx(2)
    assert sum(values) * (edges[1] - edges[0]) == pytest.approx(2 * 0.004)


@pytest.mark.parametrize("plot", [plots.over_time, plots.throughput])
def test_what_does_not_say_when_is_refused(plot: Callable[[Any], Figure]) -> None:
    with pytest.raises(TypeError, match="is made of futures: dict does not say when"):
        plot([timings(0.1)])


def test_a_comparison_says_by_how_much() -> None:
    before, after = [timings(value / 1000) for value in (4, 4)], [timings(value / 1000) for value in (1, 1)]
    figure = plots.compare(before, after, names=("v1", "v2"))
    curves, stages = figure.axes
    assert curves.get_title() == "p50 4 → 1 ms (0.25 times), p99 4 → 1 ms (0.25 times)"
    assert [text.get_text() for text in stages.texts] == ["0", "2", "2", "0", "0.5", "0.5"]
    with pytest.raises(ValueError, match="no calls were given"):
        plots.compare(before, [])


def test_equal_names_are_told_apart() -> None:
    figure = plots.compare([timings(0.1)], [timings(0.2)], names=("run", "run"))
    assert [word.partition(":")[0] for word in words(figure)] == ["run (1) (1)", "run (2) (1)"]
