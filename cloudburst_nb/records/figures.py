"""What a matplotlib figure shows, as data: two figures with equal data count as equal, whatever their pixels.

Law: a figure in, plain lists, numbers and arrays out. Fonts, colours and sizes are no data; titles, labels,
limits, lines, points, areas, images and texts are.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.imported import imported


def is_figure(value: object) -> bool:
    """Whether a value is a matplotlib figure; matplotlib is not loaded for this."""
    module = imported("matplotlib.figure", "Figure")
    return module is not None and isinstance(value, module.Figure)


def data_of(figure: Any) -> dict[str, Any]:
    """The data of a figure, for each of its axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> lines = figure.subplots().plot([1, 2], [3, 4])
    >>> data_of(figure)["axes"][0]["lines"][0]["y"].tolist()
    [3.0, 4.0]
    """
    return {"title": figure.get_suptitle(), "axes": [_axes(axes) for axes in figure.get_axes()]}


def _axes(axes: Any) -> dict[str, Any]:
    legend = axes.get_legend()
    return {
        "title": [axes.get_title(loc) for loc in ("left", "center", "right")],
        "labels": [axes.get_xlabel(), axes.get_ylabel()],
        "limits": [[float(limit) for limit in limits] for limits in (axes.get_xlim(), axes.get_ylim())],
        "scales": [axes.get_xscale(), axes.get_yscale()],
        "lines": [_line(line) for line in axes.get_lines()],
        "points": [_collection(each) for each in axes.collections],
        "areas": [_patch(patch) for patch in axes.patches],
        "images": [_array(image.get_array()) for image in axes.images],
        "texts": [[text.get_text(), *map(_number, text.get_position())] for text in axes.texts],
        "legend": [] if legend is None else [text.get_text() for text in legend.get_texts()],
    }


def _line(line: Any) -> dict[str, Any]:
    return {"label": str(line.get_label()), "x": _array(line.get_xdata()), "y": _array(line.get_ydata())}


def _collection(each: Any) -> dict[str, Any]:
    paths = [_array(path.vertices) for path in each.get_paths()]
    values = each.get_array()
    return {
        "at": _array(each.get_offsets()),
        "paths": paths,
        "values": None if values is None else _array(values),
    }


def _patch(patch: Any) -> dict[str, Any]:
    path = patch.get_patch_transform().transform_path(patch.get_path())
    return {"label": str(patch.get_label()), "outline": _array(path.vertices)}


def _array(values: Any) -> Any:
    """As an array of numbers where it is one (also of a masked one: what is masked is nan)."""
    import numpy as np

    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind == "f":
        values = values.filled(np.nan)
    found = np.asarray(values)
    return found.astype(float) if found.dtype.kind in "iuf" else found


def _number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):  # a date, or a category
        return str(value)
