"""What a person reads of a function: its source text and its signature.

Law: nothing here fails; what cannot be found is an empty string.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import os
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

SIGNATURE_CHARACTERS_MAX = 500
CELL_CHARACTERS_MAX = 200_000
"""Of cells longer than this in all, tracebacks in executors show no lines."""


def source_of(target: object) -> str:
    """The text of a function or class, dedented; empty where there is none.

    Examples
    --------
    >>> source_of(len)
    ''
    """
    while isinstance(target, functools.partial):
        target = target.func
    try:
        return textwrap.dedent(inspect.getsource(target))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError, IndexError):
        return _class_source(target) if isinstance(target, type) else ""


def _class_source(cls: type) -> str:
    """The text of a class of the notebook, which has no file: found by way of its methods."""
    for method in vars(cls).values():
        if not isinstance(method, types.FunctionType):
            continue
        lines = linecache.getlines(method.__code__.co_filename)
        for node in _classes(lines):
            last = node.end_lineno or node.lineno
            if node.name == cls.__name__ and node.lineno <= method.__code__.co_firstlineno <= last:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return textwrap.dedent("".join(lines[first - 1 : last]))
    return ""


def _classes(lines: list[str]) -> Iterator[ast.ClassDef]:
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:  # a cell with magics in it
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node


def cells_of(parts: Iterable[object]) -> dict[str, str]:
    """The texts of the cells that functions and classes were defined in, by the file name of their code.

    No other process can read them: they are in no file, only in `linecache`.
    """
    cells: dict[str, str] = {}
    room = CELL_CHARACTERS_MAX
    for code in (code for part in parts for code in _codes(part)):
        if code.co_filename in cells or os.path.exists(code.co_filename):
            continue
        text = "".join(linecache.getlines(code.co_filename))
        if text and len(text) <= room:
            cells[code.co_filename] = text
            room -= len(text)
    return cells


def _codes(part: object) -> Iterator[types.CodeType]:
    part = inspect.unwrap(part) if callable(part) else part
    members = vars(part).values() if isinstance(part, type) else [part]
    for member in members:
        if isinstance(member, types.FunctionType):
            yield member.__code__


def parameters_of(entry: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """A callable's parameters; None where Python does not know them (some builtins)."""
    try:
        return list(inspect.signature(entry).parameters.values())
    except (ValueError, TypeError):
        return None


def signature_of(entry: Callable[..., Any], *, drop: int = 0) -> str:
    """The signature as text, without its first ``drop`` parameters; empty where there is none.

    Examples
    --------
    >>> def follow(cloudburst, key, depth=2): ...
    >>> signature_of(follow, drop=1)
    '(key, depth=2)'
    """
    try:
        signature = inspect.signature(entry)
        kept = list(signature.parameters.values())[drop:]
        text = str(signature.replace(parameters=kept))
    except Exception:  # the repr of a default value is anyone's code
        return ""
    if len(text) <= SIGNATURE_CHARACTERS_MAX:
        return text
    return f"{text[: SIGNATURE_CHARACTERS_MAX - 1]}…"
