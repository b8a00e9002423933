"""Pieces of HTML: text with its meaning escaped, tables, folded text, pictures, and numbers with units.

Law: strings in, strings out; nothing here knows what is shown. Styles are inline and plain, so that a front
end that strips what it does not know leaves something readable.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

TEXT_CHARACTERS_MAX = 20_000
"""Of printed text, the end is shown: that is where the news is."""
LEFT_OUT = re.compile(r"\n… (\d+) characters left out …\n")
"""What an executor puts where it dropped the middle of what a call printed."""

QUEUED, TRANSFER, RUN, RETURN = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
"""The stages of a call, in colours that the colour-blind tell apart (Okabe and Ito)."""

STATES = {
    "waiting": "#888888",
    "running": "#0072B2",
    "done": RUN,
    "failed": "#D55E00",
    "cancelled": "#CC79A7",
}
LINE = "rgba(128,128,128,0.4)"
SHADE = "rgba(128,128,128,0.12)"
_CELL = "text-align:left;vertical-align:middle;padding:1px 12px 1px 0;border:none"
_PRE = (
    f"margin:4px 0;padding:6px 8px;background:{SHADE};overflow:auto;max-height:32em;line-height:1.35;"
    "word-break:normal;overflow-wrap:anywhere"
)
"""Long lines are broken between words, not within a number, as JupyterLab would."""


def card(colour: str, *parts: str) -> str:
    """What a display consists of, behind a line in its colour."""
    inner = "".join(part for part in parts if part)
    return f'<div style="border-left:3px solid {colour};padding:2px 0 2px 10px;margin:4px 0">{inner}</div>'


def line(*parts: str) -> str:
    """Pieces of HTML on one line."""
    return f"<div>{' '.join(part for part in parts if part)}</div>"


def bold(text: object) -> str:
    return f"<b>{escape(str(text))}</b>"


def code(text: object) -> str:
    return f'<code style="background:none;padding:0">{escape(str(text))}</code>'


def faint(text: str) -> str:
    """Text that explains."""
    return f'<span style="opacity:0.75">{escape(text)}</span>'


def badge(state: str) -> str:
    """A state as a coloured mark and its word: colour never speaks alone."""
    return f'<span style="color:{STATES.get(state, STATES["waiting"])}">●</span> {escape(state)}'


def pre(inner: str) -> str:
    """Preformatted HTML; whoever calls escapes."""
    return f'<pre style="{_PRE}">{inner}</pre>'


def folded(summary: str, inner: str, opened: bool = False) -> str:
    """A heading to click on, and what it hides."""
    return f"<details{' open' if opened else ''}><summary>{summary}</summary>{inner}</details>"


def printed(title: str, text: str) -> str:
    """What was printed, folded; nothing if nothing was.

    Examples
    --------
    >>> printed("stdout", "")
    ''
    """
    if not text:
        return ""
    dropped = LEFT_OUT.search(text)
    kept = text.replace(dropped[0], "", 1) if dropped else text
    lines = counted(len(kept.splitlines()), "line")
    if dropped:
        lines += f", and {int(dropped[1]):,} characters left out"
    shown = text[-TEXT_CHARACTERS_MAX:]
    if len(shown) < len(text):
        shown = f"… {len(text) - len(shown):,} characters before this\n{shown}"
    return folded(f"{escape(title)} ({lines})", pre(escape(shown)))


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A table of pieces of HTML."""
    body = "".join(_row(row, "td") for row in rows)
    heading = f"<thead>{_row([escape(text) for text in head], 'th')}</thead>" if head else ""
    if not body:
        return ""
    style = "border-collapse:collapse;margin:4px 0;font-size:inherit"
    return f'<table style="{style}">{heading}<tbody>{body}</tbody></table>'


def _row(cells: Sequence[str], tag: str) -> str:
    inner = "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells)
    return f'<tr style="background:none">{inner}</tr>'


# ---------------------------------------------------------------- pictures


def image(data: bytes, kind: str, words: str, style: str = "") -> str:
    """A picture with its data inside; ``words`` stand in where it cannot be shown."""
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(words)}" src="{uri}" style="vertical-align:middle;{style}">'


def svg(width: float, height: float, inner: str) -> str:
    """An SVG document around ``inner``."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}">{inner}</svg>'
    )


def spans(
    parts: Iterable[tuple[float, float, str]], length: float, words: str, width: int = 260, height: int = 10
) -> str:
    """Coloured spans ``(from, to, colour)`` on a line of ``length``, in any unit."""
    scale = width / length if length > 0 else 0.0
    rail = f'<rect y="{height / 2 - 0.5:g}" width="{width}" height="1" fill="#888888" opacity="0.6"/>'
    drawn = "".join(
        f'<rect x="{start * scale:.2f}" width="{max((end - start) * scale, 0.5):.2f}" height="{height}" '
        f'fill="{colour}"/>'
        for start, end, colour in parts
        if end > start
    )
    return image(svg(width, height, rail + drawn).encode(), "image/svg+xml", words)


# ---------------------------------------------------------------- numbers


def counted(count: int, what: str) -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "call"), counted(1200, "call")
    ('1 call', '1,200 calls')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds with a fitting unit.

    Examples
    --------
    >>> duration(0.0000009), duration(0.000213), duration(0.0421), duration(3.2), duration(75)
    ('0.9 µs', '0.213 ms', '42.1 ms', '3.2 s', '1 min 15 s')
    """
    if 0 < seconds < 1e-5:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes with a fitting unit.

    Examples
    --------
    >>> size(12), size(1_234_000), size(999_950)
    ('12 B', '1.23 MB', '1 MB')
    """
    for unit in ("B", "KB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
