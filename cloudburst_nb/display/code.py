"""Source text with a little colour.

Law: text in, HTML out. The colours have about the same contrast to white as to black; what says more than
colour (keywords, definitions) is bold, comments are slanted.
"""

from __future__ import annotations

from html import escape
from typing import Any

from cloudburst_nb.display.html import pre

HIGHLIGHTED_CHARACTERS_MAX = 20_000
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
