"""A remote traceback with the notebook's own lines named as IPython does, and marked.

Law: text in, text or HTML out. Which files are cells is asked of IPython, if it is there; every other frame
stays as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from html import escape

from cloudburst_nb.display.html import pre

FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<name>.+))?$')
_MARKED = "display:block;border-left:3px solid #E69F00;background:rgba(230,159,0,0.16);padding-left:4px"


def cell_of(filename: str) -> str:
    """How IPython calls the cell that a file name stands for, such as ``In[3]``; empty if it is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    named = shell.compile.format_code_name(filename) if shell is not None else None
    return str(named[1]) if named and named[0] == "Cell" else ""


def named(text: str, cell: Callable[[str], str] = cell_of) -> str:
    """The traceback with its frames in cells named as IPython does; other text as it is.

    Parameters
    ----------
    text, cell
        As of `marked`.

    Examples
    --------
    >>> named('  File "c1", line 3, in f\\n    1 / 0', {"c1": "In[2]"}.get)
    '  Cell In[2], line 3, in f\\n    1 / 0'
    """
    return "\n".join(_renamed(line, cell) for line in text.split("\n"))


def _renamed(line: str, cell: Callable[[str], str]) -> str:
    frame = FRAME.match(line)
    name = cell(frame["file"]) if frame else ""
    if not frame or not name:
        return line
    inside = f", in {frame['name']}" if frame["name"] else ""
    return f"  Cell {name}, line {frame['line']}{inside}"


def marked(text: str, cell: Callable[[str], str] = cell_of) -> str:
    """The traceback in a ``<pre>``; frames in cells are marked, and named as IPython does.

    Parameters
    ----------
    text
        As Python formats it.
    cell
        The name of the cell that a file is; empty if it is none.

    Examples
    --------
    >>> text = 'Traceback (most recent call last):\\n  File "c1", line 3, in f\\n    1 / 0\\nError: no'
    >>> "<b>Cell In[2], line 3</b>, in f" in marked(text, {"c1": "In[2]"}.get)
    True
    """
    return pre("".join(_part(lines, cell) for lines in _parts(text.splitlines())))


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """Frames, each with its source lines; and what stands between them."""
    part: list[str] = []
    for line in lines:
        goes_on = part and FRAME.match(part[0]) and line.startswith("    ")
        if part and not goes_on and (FRAME.match(line) or FRAME.match(part[0])):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _part(lines: list[str], cell: Callable[[str], str]) -> str:
    frame = FRAME.match(lines[0])
    name = cell(frame["file"]) if frame else ""
    if not frame or not name:
        return "".join(f"{escape(line)}\n" for line in lines)
    inside = f", in {escape(frame['name'])}" if frame["name"] else ""
    heading = f"  <b>Cell {escape(name)}, line {frame['line']}</b>{inside}"
    source = "".join(f"\n{escape(line)}" for line in lines[1:])
    return f'<span style="{_MARKED}">{heading}{source}</span>'
