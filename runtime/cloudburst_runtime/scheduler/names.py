"""How a message names what was not found: with the names that come close."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NAMES_SHOWN_MAX = 8


def suggest(name: str, names: Iterable[str]) -> str:
    """The second half of "there is no such name": what was probably meant, or what there is.

    Examples
    --------
    >>> suggest("squre", ["square", "cube"])
    "did you mean 'square'?"
    >>> suggest("x", ["square", "cube"])
    "there are 'square', 'cube'"
    """
    known = list(names)
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    if not known:
        return "there are none yet"
    shown = ", ".join(map(repr, known[:NAMES_SHOWN_MAX]))
    rest = len(known) - NAMES_SHOWN_MAX
    return f"there are {shown}" + (f" and {rest} more" if rest > 0 else "")
