"""What is in the store as a table, and one key of it with its versions.

Law: rows and a state in, HTML out; nothing here asks anybody. In the live form headings, keys, the filter and
the slider say with ``data-op`` what they ask for; the plain form has the same words without them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from cloudburst_nb.display.html import (
    LINE,
    SHADE,
    STATES,
    bold,
    card,
    code,
    counted,
    faint,
    line,
    size,
    table,
)

ROWS_MAX = 15
"""On a page of the live table."""
PLAIN_ROWS_MAX = 200
READERS_MAX = 4
COLUMNS = {
    "key": "key",
    "lattice": "lattice",
    "size": "size",
    "versions": "versions",
    "replicas": "replicas",
    "cached by": "readers",
}
"""Headings, and the fields that they sort by."""
DROPPING = ("lww", "priority")
"""Types that keep one of two writes."""
_KEY = "overflow-wrap:anywhere;background:none;padding:0"
"""Keys may be long: they are broken, so that what stands beside them is seen."""
_LINK = "cursor:pointer;text-decoration:underline dotted"


class Row(NamedTuple):
    """One key."""

    key: str
    lattice: str
    size: int
    readers: Sequence[str]
    versions: int = 1
    replicas: int = 1


class Meeting(NamedTuple):
    """A write that met one which its writer had not seen; its value as HTML, empty if it is not known.

    ``how`` is that of `cloudburst_nb.history.Meeting`.
    """

    how: str
    writer: str
    at: float
    size: int
    value: str


class Version(NamedTuple):
    """One version of a key: its number, who wrote it when (in seconds), its size, and its value as HTML.

    ``met`` are the writes that met in it.
    """

    number: int
    writer: str
    at: float
    size: int
    value: str
    met: Sequence[Meeting] = ()


@dataclass
class State:
    """What somebody looks at.

    Attributes
    ----------
    words
        Only keys that contain this.
    sort, down
        The column, and whether from its end.
    page
        Counted from 0.
    chosen
        The key that is shown whole; empty: none.
    at
        Which of its versions, counted from the oldest; -1: the latest.
    """

    words: str = ""
    sort: str = "key"
    down: bool = False
    page: int = 0
    chosen: str = ""
    at: int = -1


def found(rows: Sequence[Row], state: State) -> list[Row]:
    """The rows that contain the words, in the order asked for.

    Examples
    --------
    >>> rows = [Row("a", "lww", 9, []), Row("ab", "set", 3, []), Row("c", "lww", 1, [])]
    >>> [row.key for row in found(rows, State("a", "size"))]
    ['ab', 'a']
    """
    kept = [row for row in rows if state.words.casefold() in row.key.casefold()]
    return sorted(kept, key=lambda row: (_value(row, state.sort), row.key), reverse=state.down)


def _value(row: Row, column: str) -> object:
    return len(row.readers) if column == "readers" else getattr(row, column)


def pages(count: int) -> int:
    """How many pages so many rows need."""
    return max(1, -(-count // ROWS_MAX))


# ---------------------------------------------------------------- the table


def plain(rows: Sequence[Row], prefix: str) -> str:
    """All of it at once, for a notebook that nobody runs."""
    shown = [_cells(row) for row in rows[:PLAIN_ROWS_MAX]]
    hidden = len(rows) - len(shown)
    rest = line(faint(f"… and {hidden:,} more")) if hidden > 0 else ""
    return card(STATES["done"], _heading(rows, prefix), table(shown, list(COLUMNS)) + rest)


def browser(rows: Sequence[Row], prefix: str, state: State, detail: str = "") -> str:
    """The live form: a page of the table, and below it the chosen key."""
    chosen = found(rows, state)
    first = state.page * ROWS_MAX
    shown = [_cells(row, state) for row in chosen[first : first + ROWS_MAX]]
    return card(
        STATES["done"],
        _heading(rows, prefix),
        _filter() if rows else line(faint("a key appears here once something is put there")),
        _table(shown, state) if chosen else line(faint("no key matches")) if rows else "",
        _turning(len(chosen), state),
        detail,
    )


def _heading(rows: Sequence[Row], prefix: str) -> str:
    where = f"that begin with {prefix!r}" if prefix else ""
    total = size(sum(row.size for row in rows))
    return line(faint("Cloudburst store"), bold(counted(len(rows), "key")), faint(where), faint(f"· {total}"))


def _filter() -> str:
    style = f"font:inherit;color:inherit;background:{SHADE};border:1px solid {LINE};padding:1px 6px"
    return (
        f'<div style="margin:4px 0"><input type="search" data-op="words" placeholder="filter keys" '
        f'aria-label="filter keys" style="{style}"></div>'
    )


def _table(rows: Sequence[Sequence[str]], state: State) -> str:
    made = table(rows, list(COLUMNS))
    for heading, column in COLUMNS.items():
        arrow = (" ▾" if state.down else " ▴") if column == state.sort else ""
        words = f"sort by {heading}"
        button = (
            f'<span role="button" tabindex="0" data-op="sort" data-value="{column}" title="{words}" '
            f'style="{_LINK}">{heading}</span>{arrow}'
        )
        made = made.replace(f">{heading}</th>", f">{button}</th>", 1)
    return made


def _cells(row: Row, state: State | None = None) -> list[str]:
    readers = ", ".join(row.readers[:READERS_MAX])
    more = f" and {len(row.readers) - READERS_MAX} more" if len(row.readers) > READERS_MAX else ""
    key = f'<code style="{_KEY}">{escape(row.key)}</code>'
    if state is not None:
        words = escape(row.key, quote=True)
        weight = "font-weight:bold" if row.key == state.chosen else ""
        key = (
            f'<span role="button" tabindex="0" data-op="choose" data-value="{words}" '
            f'style="{_LINK};{weight}">{key}</span>'
        )
    counts = [f"{row.versions:,}", f"{row.replicas:,}"]
    cached = escape(readers) + faint(more) if readers else faint("nobody")
    weighs = f'<span style="white-space:nowrap">{size(row.size)}</span>'
    return [f'<div style="min-width:8em">{key}</div>', escape(row.lattice), weighs, *counts, cached]


def _turning(count: int, state: State) -> str:
    last = pages(count) - 1
    if not last:
        return ""
    words = faint(f"page {state.page + 1} of {last + 1}")
    back = _step("back", state.page - 1) if state.page else ""
    on = _step("on", state.page + 1) if state.page < last else ""
    return line(back, words, on)


def _step(words: str, page: int) -> str:
    return (
        f'<span role="button" tabindex="0" data-op="page" data-value="{page}" style="{_LINK}">{words}</span>'
    )


# ---------------------------------------------------------------- one key


def whole(row: Row, versions: Sequence[Version], at: int, siblings: Sequence[str] = ()) -> str:
    """A key with the version that is chosen beside the one before it, and values that lie side by side."""
    at = at if 0 <= at < len(versions) else len(versions) - 1
    parts = [
        line(
            f'<span style="overflow-wrap:anywhere">{bold(row.key)}</span>',
            faint(f"{row.lattice}, {size(row.size)}"),
        ),
        _slider(versions, at),
        *_told(row, versions, at),
    ]
    if len(siblings) > 1:
        words = f"{len(siblings)} values were written without knowledge of each other; both are kept"
        parts += [
            line(f'<span style="color:{STATES["failed"]}">⚠</span> {escape(words)}'),
            _beside([_panel(f"sibling {index}", value) for index, value in enumerate(siblings, 1)]),
        ]
    return f'<div style="border-top:1px solid {LINE};margin-top:6px;padding-top:4px">{"".join(parts)}</div>'


def _slider(versions: Sequence[Version], at: int) -> str:
    if len(versions) < 2:
        return ""
    last = len(versions) - 1
    return line(
        faint("history"),
        f'<input type="range" data-op="version" min="0" max="{last}" value="{at}" '
        f'aria-label="version" style="vertical-align:middle;width:240px">',
        faint(f"version {at + 1} of {len(versions)}"),
    )


def _told(row: Row, versions: Sequence[Version], at: int) -> list[str]:
    """A version, beside the one before it, or beside the writes that met in it."""
    after = versions[at]
    before = versions[at - 1] if at else None
    parts = []
    for met in after.met:
        left = after if met.how == "late" else before
        parts += [_meeting(row, left, met), _beside(_met(row, left, met, after))]
    if not parts:
        old = [] if before is None else [_version("the one before", before)]
        parts = [_beside([*old, _version("this version", after)])]
    return parts


def _meeting(row: Row, left: Version | None, met: Meeting) -> str:
    """What is said of a write that met another one, a warning if one of them was dropped."""
    other = code(left.writer or "another writer") if left is not None else "another writer"
    writer = code(met.writer or "another writer")
    seen = f"{writer} had not seen what {other} had written"
    if met.how == "stores":
        seen = f"{writer} and {other} wrote at two stores, of which neither had heard of the other"
    if row.lattice not in DROPPING:
        return line(bold("merged:"), seen)
    kept = code('lattice="causal"')
    apart = "" if left is None else f", {_apart(abs(met.at - left.at))} apart"
    dropped = writer if met.how == "late" or (left is not None and met.at < left.at) else other
    return line(
        f'<span style="color:{STATES["failed"]}">⚠ last writer wins:</span> {seen}{apart}; '
        f"the value of {dropped} was dropped, {kept} keeps both"
    )


def _apart(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1.0 else f"{seconds:,.0f} s"


def _met(row: Row, left: Version | None, met: Meeting, after: Version) -> list[str]:
    """Both writes, and what came of them."""
    lost = faint("too large to be kept")
    won = met.how == "over" or (left is not None and met.at > left.at)
    same = won and row.lattice in DROPPING  # the version is what was written
    right = Version(0, met.writer, met.at, met.size, met.value or (after.value if same else lost))
    result = "merged" if row.lattice not in DROPPING else "kept"
    first = [] if left is None else [_version("written", left)]
    return [*first, _version("written", right), _panel(f"{result} · {size(after.size)}", after.value)]


def _version(words: str, version: Version) -> str:
    at = (
        time.strftime("%H:%M:%S", time.localtime(version.at)) + f"{int(version.at % 1 * 1000) / 1000:.3f}"[1:]
    )
    heading = f"{words} · by {version.writer or 'unknown'} at {at}"
    return _panel(f"{heading} · {size(version.size)}", version.value)


def _panel(heading: str, inner: str) -> str:
    style = f"flex:1 1 260px;min-width:0;border:1px solid {LINE};padding:4px 8px;overflow:auto"
    return f'<div style="{style}">{line(faint(heading))}{inner}</div>'


def _beside(panels: Sequence[str]) -> str:
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin:4px 0">{"".join(panels)}</div>'
