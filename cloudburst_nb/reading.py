"""What a person reads of a function: its source text and its signature.

Law: nothing here fails; what cannot be found is an empty string.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

SIGNATURE_CHARACTERS_MAX = 500


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
