"""A value at a glance: as itself if it is a picture or a table, else its first part as text.

Law: a preview is bounded in size, and never fails: a value's own ``repr`` is anyone's code.
"""

from __future__ import annotations

import io
import reprlib
from html import escape
from typing import Any

from cloudburst_nb.display.html import code, faint, image, pre, size
from cloudburst_runtime.imported import imported

TEXT_CHARACTERS_MAX = 2_000
HTML_CHARACTERS_MAX = 200_000
IMAGE_BYTES_MAX = 4_000_000
_IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
_METHODS = {
    "text/html": "_repr_html_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/svg+xml": "_repr_svg_",
}


class _Bounded(reprlib.Repr):
    """A ``repr`` that stops early in long containers and long texts."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = 20
        self.maxlevel = 4
        self.maxstring = 400
        self.maxlong = 400
        self.maxother = TEXT_CHARACTERS_MAX


_bounded = _Bounded()


def preview(value: object) -> str:
    """HTML for a value.

    Examples
    --------
    >>> preview(42)
    '<code style="background:none;padding:0">42</code>'
    """
    try:
        return _figure(value) or _array(value) or _rich(value) or _text(value)
    except Exception as error:
        return faint(f"{type(value).__name__}, which cannot be shown: {type(error).__name__}")


def text_of(value: object) -> str:
    """The ``repr`` of a value, or its beginning and its end.

    Examples
    --------
    >>> text_of(list(range(1000)))
    '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, ...]'
    """
    text = _bounded.repr(value)
    if len(text) > TEXT_CHARACTERS_MAX:
        half = TEXT_CHARACTERS_MAX // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text


def _text(value: object) -> str:
    text = text_of(value)
    shown = pre(escape(text)) if "\n" in text or len(text) > 120 else code(text)
    if isinstance(value, str | bytes) and len(value) > _bounded.maxstring:
        what = "characters" if isinstance(value, str) else "bytes"
        return faint(f"{type(value).__name__} of {len(value):,} {what}") + shown
    if isinstance(value, list | tuple | dict | set | frozenset) and len(value) > _bounded.maxlist:
        return faint(f"{type(value).__name__} of {len(value):,} elements") + " " + shown
    return shown


def _array(value: Any) -> str:
    numpy = imported("numpy", "ndarray")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return ""
    caption = faint(f"{type(value).__name__} of shape {value.shape}, {value.dtype}, {size(value.nbytes)}")
    edge = 3 if value.ndim < 3 else 2 if value.ndim == 3 else 1
    text = numpy.array2string(value, threshold=30, edgeitems=edge, max_line_width=100, separator=", ")
    if len(text) > TEXT_CHARACTERS_MAX:
        text = f"{text[:TEXT_CHARACTERS_MAX].rstrip()} …"
    return caption + (pre(escape(text)) if "\n" in text else f" {code(text)}")


def _figure(value: Any) -> str:
    module = imported("matplotlib.figure", "Figure")
    if module is None or not isinstance(value, module.Figure):
        return ""
    picture = io.BytesIO()
    value.savefig(picture, format="png", dpi=96, bbox_inches="tight")
    return image(picture.getvalue(), "image/png", "figure", "max-width:100%")


def _rich(value: Any) -> str:
    """What an object says of itself, as notebooks ask it; empty if it does not, or too much."""
    if isinstance(value, type):
        return ""
    bundle = _bundle(value)
    for kind, method in _METHODS.items():
        data = bundle.get(kind) or _asked(value, method)
        if kind in _IMAGES:
            data = data.encode() if isinstance(data, str) and kind.endswith("xml") else data
            if isinstance(data, bytes) and len(data) <= IMAGE_BYTES_MAX:
                return image(data, kind, type(value).__name__, "max-width:100%")
        elif isinstance(data, str) and len(data) <= HTML_CHARACTERS_MAX:
            return f'<div style="overflow:auto;max-height:40em">{data}</div>'
    return ""


def _bundle(value: Any) -> dict[str, Any]:
    found = _asked(value, "_repr_mimebundle_")
    return found if isinstance(found, dict) else {}


def _asked(value: Any, method: str) -> Any:
    """What a display method returns; the data only, where there is metadata too."""
    if not callable(getattr(type(value), method, None)):
        return None
    try:
        found = getattr(value, method)()
    except Exception:
        return None
    return found[0] if isinstance(found, tuple) and found else found
