"""Parameters of a run, by papermill's convention: values from the command line into a cell. Pure.

The cell tagged ``parameters`` holds the defaults; a cell tagged ``injected-parameters`` is put behind it (or
at the top), and replaces the one of an earlier run. Values are Python literals, JSON, or else the string
itself; a name that the defaults do not have is an error, since a misspelt parameter would do nothing.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import keyword
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import UsageError

DEFAULTS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
WORDS = {"true": True, "false": False, "null": None, "none": None}


def parse_value(text: str) -> Any:
    """What ``text`` on a command line means: a Python literal, JSON, or the string itself.

    Examples
    --------
    >>> [parse_value(text) for text in ("3", "0.5", "true", "[1, 'a']", "adam")]
    [3, 0.5, True, [1, 'a'], 'adam']
    """
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if text.lstrip().startswith(("[", "{")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a text such as '\d' or 1is is a string here, not a mistake
            value = ast.literal_eval(_Words().visit(ast.parse(text.lstrip(), mode="eval")))
        return text if value is Ellipsis else value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


class _Words(ast.NodeTransformer):
    """JSON's words inside Python containers: ``[true, 'a']``."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(WORDS[node.id]) if node.id in WORDS else node


def parse_pairs(pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The values of ``-p NAME VALUE`` pairs; of a name given twice, the last one.

    Raises
    ------
    UsageError
        If a name is not a Python identifier.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"parameter {name!r}: a name must be a Python identifier")
        values[name] = parse_value(text)
    return values


def source_of(value: Any) -> str:
    """Python source that evaluates to ``value`` (``repr`` does not do for infinities and NaN)."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, list):
        return "[" + ", ".join(map(source_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{source_of(k)}: {source_of(v)}" for k, v in value.items()) + "}"
    return repr(value)


def inject(notebook: Any, values: Mapping[str, Any]) -> list[str]:
    """Put ``values`` into ``notebook``.

    Parameters
    ----------
    notebook
        Changed in place.
    values
        By name; nothing happens if there are none.

    Returns
    -------
    list
        Notes for the user.

    Raises
    ------
    UsageError
        If a name is unknown to the cell tagged ``parameters``, or the notebook is not in Python.
    """
    if not values:
        return []
    _check_language(notebook)
    defaults = _tagged(notebook, DEFAULTS_TAG)
    if defaults is not None:
        _check_names(values, known_names(notebook.cells[defaults].source))
    source = "\n".join(["# Parameters", *(f"{name} = {source_of(value)}" for name, value in values.items())])
    earlier = _tagged(notebook, INJECTED_TAG)
    if earlier is not None:
        notebook.cells[earlier].source = source
    else:
        notebook.cells.insert(0 if defaults is None else defaults + 1, _new_cell(source))
    if defaults is None and earlier is None:
        return [f"no cell is tagged {DEFAULTS_TAG!r}: the parameters are set at the top of the notebook"]
    return []


def known_names(source: str) -> list[str] | None:
    """The names that a cell assigns at its top level, in order; None if it is not plain Python.

    Examples
    --------
    >>> known_names("epochs = 3\\nrate: float = 0.1\\na, b = 1, 2")
    ['epochs', 'rate', 'a', 'b']
    """
    plain = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        statements = ast.parse("\n".join(plain)).body
    except (SyntaxError, ValueError):
        return None
    return list(dict.fromkeys(name for statement in statements for name in _assigned(statement)))


def _assigned(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            nodes: list[ast.expr] = list(targets)
        case ast.AnnAssign(target=target):
            nodes = [target]
        case _:
            return []
    names = [node for target in nodes for node in ast.walk(target) if isinstance(node, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _check_language(notebook: Any) -> None:
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise UsageError(f"parameters are set in Python, and this notebook is in {language}")


def _check_names(values: Mapping[str, Any], known: list[str] | None) -> None:
    if known is None:
        return
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(
                f"unknown parameter {name!r}{hint}; the notebook has: {', '.join(known) or 'none'}"
            )


def _tagged(notebook: Any, tag: str) -> int | None:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", []):
            return index
    return None


def _new_cell(source: str) -> Any:
    from nbformat.v4 import new_code_cell

    return new_code_cell(source, id=INJECTED_TAG, metadata={"tags": [INJECTED_TAG]})
