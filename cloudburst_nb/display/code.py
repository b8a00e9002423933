"""Source text with a little colour.

Law: text in, HTML out. The colours have about the same contrast to white as to black; what says more than
colour (keywords, definitions) is bold, comments are slanted.
"""

from __future__ import annotations

import difflib
from html import escape
from typing import Any

from cloudburst_nb.display.html import counted, pre

HIGHLIGHTED_CHARACTERS_MAX = 20_000
CONTEXT_LINES = 2
CHANGED_LINES_MAX = 400
_CHANGED = {
    "+": "background:rgba(0,158,115,0.18)",
    "-": "background:rgba(213,94,0,0.18)",
    "@": "opacity:0.6",
}
"""The marks say it too."""
_STYLES = {
    "Keyword": "color:#8a63d2;font-weight:bold",
    "Operator.Word": "color:#8a63d2;font-weight:bold",
    "Name.Function": "color:#2a7fd4;font-weight:bold",
    "Name.Class": "color:#2a7fd4;font-weight:bold",
    "Name.Decorator": "color:#b0662a",
    "Name.Builtin": "color:#23847a",
    "Name.Exception": "color:#23847a",
    "Literal.String": "color:#b5533c",
    "Literal.Number": "color:#3f8547",
    "Comment": "color:#7a7a7a;font-style:italic",
}


def source(text: str) -> str:
    """Python source in a ``<pre>``; a very long one without colours.

    Examples
    --------
    >>> "font-weight:bold" in source("def f(x): return x")
    True
    """
    shown = text.rstrip("\n")
    if len(shown) > HIGHLIGHTED_CHARACTERS_MAX:
        return pre(escape(shown))
    from pygments.lexers.python import PythonLexer

    lexer = PythonLexer(stripnl=False, ensurenl=False)
    return pre("".join(_token(kind, part) for kind, part in lexer.get_tokens(shown)))


def _token(kind: Any, part: str) -> str:
    while kind and (name := ".".join(kind)) not in _STYLES:
        kind = kind.parent
    text = escape(part)
    return f'<span style="{_STYLES[name]}">{text}</span>' if kind else text


def changes(old: str, new: str) -> tuple[str, str]:
    """The lines that differ, with a few around them, and a few words; no HTML if none do.

    Examples
    --------
    >>> changes("a = 1\\nb = 2", "a = 1\\nb = 3")[1]
    '1 line added, 1 removed'
    """
    if old == new:
        return "", "nothing in its text"
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=CONTEXT_LINES, lineterm=""))[2:]
    added, removed = (sum(each.startswith(mark) for each in lines) for mark in "+-")
    shown = "".join(_changed(each) for each in lines[:CHANGED_LINES_MAX])
    rest = f"… and {len(lines) - CHANGED_LINES_MAX:,} more lines" if len(lines) > CHANGED_LINES_MAX else ""
    return pre(shown + rest), f"{counted(added, 'line')} added, {removed:,} removed"


def _changed(text: str) -> str:
    style = _CHANGED.get(text[:1], "")
    return f'<span style="display:block;{style}">{escape(text) or " "}</span>'
