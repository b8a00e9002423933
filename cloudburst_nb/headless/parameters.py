"""Parameters of a run, by papermill's convention: values from the command line into a cell. Pure.

The cell tagged ``parameters`` holds the defaults; a cell tagged ``injected-parameters`` is put behind it (or
at the top), and replaces the one of an earlier run. Values are Python literals, JSON, or else the string
itself; a name that the defaults do not have is an error, since a misspelt parameter would do nothing. The
default also says of which type a value must be: text for a ``str`` is taken as it is, and what is no number
is refused where one belongs.
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
from pathlib import Path
from typing import Any

from .errors import UsageError

DEFAULTS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
ANY = object
"""The type of a parameter whose default does not say."""
TYPES = (str, bool, int, float, list, dict, tuple)
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


class Text(str):
    """What stood on a command line: its type is known only once the parameter's default is."""

    __slots__ = ()


def parse_pairs(pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The values of ``-p NAME VALUE`` pairs, as `Text`; of a name given twice, the last one.

    Raises
    ------
    UsageError
        If a name is not a Python identifier.
    """
    return {_checked(name): Text(text) for name, text in pairs}


def read_yaml(path: Path) -> dict[str, Any]:
    """The values in a YAML file: one mapping of names to values.

    Raises
    ------
    UsageError
        If it cannot be read, is no YAML, or is not such a mapping.
    """
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not YAML: it is not UTF-8 text") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise UsageError(f"{path}: must be a mapping of parameter names to values")
    for name, value in loaded.items():
        _check_injectable(_checked(name), value)
    return dict(loaded)


def _checked(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"parameter {name!r}: a name must be a Python identifier")
    return name


def _check_injectable(name: str, value: Any) -> None:
    """YAML also knows dates and sets, which have no literal that a cell could assign."""
    if isinstance(value, list | dict):
        parts = value if isinstance(value, list) else [*value, *value.values()]
        for part in parts:
            _check_injectable(name, part)
    elif not isinstance(value, str | int | float | bool | None):
        raise UsageError(
            f"parameter {name!r}: a {type(value).__name__} cannot be set; quote it to pass it as text"
        )


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
        If a name is unknown to the cell tagged ``parameters``, a value is not of its default's type, or the
        notebook is not in Python.
    """
    if not values:
        return []
    _check_language(notebook)
    defaults = _tagged(notebook, DEFAULTS_TAG)
    known = None if defaults is None else known_defaults(notebook.cells[defaults].source)
    _check_names(values, known)
    values = {name: typed(name, value, (known or {}).get(name, ANY)) for name, value in values.items()}
    source = "\n".join(["# Parameters", *(f"{name} = {source_of(value)}" for name, value in values.items())])
    earlier = _tagged(notebook, INJECTED_TAG)
    if earlier is not None:
        notebook.cells[earlier].source = source
    else:
        notebook.cells.insert(0 if defaults is None else defaults + 1, _new_cell(source))
    if defaults is None and earlier is None:
        return [f"no cell is tagged {DEFAULTS_TAG!r}: the parameters are set at the top of the notebook"]
    return []


def known_defaults(source: str) -> dict[str, Any] | None:
    """The names that a cell assigns at its top level, in order, each with the type that its values have.

    Returns
    -------
    dict or None
        Of a name: ``str``, ``bool``, ``int``, ``float``, ``list``, ``dict`` or ``tuple``, after its
        annotation or its literal; `ANY` where neither says. None if the cell is not plain Python.

    Examples
    --------
    >>> known_defaults("epochs = 3\\nrate: float = 1\\na, b = 1, 2")
    {'epochs': <class 'int'>, 'rate': <class 'float'>, 'a': <class 'object'>, 'b': <class 'object'>}
    """
    plain = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        statements = ast.parse("\n".join(plain)).body
    except (SyntaxError, ValueError):
        return None
    return {name: kind for statement in statements for name, kind in _assigned(statement)}


def _assigned(statement: ast.stmt) -> list[tuple[str, Any]]:
    match statement:
        case ast.Assign(targets=targets, value=value):
            nodes: list[ast.expr] = list(targets)
            kind = _literal_type(value)
        case ast.AnnAssign(target=target, annotation=annotation):
            nodes, kind = [target], _annotated_type(annotation)
        case _:
            return []
    plain = [(node.id, kind) for node in nodes if isinstance(node, ast.Name)]
    unpacked = [part for node in nodes if not isinstance(node, ast.Name) for part in ast.walk(node)]
    stored = [(node.id, ANY) for node in unpacked if isinstance(node, ast.Name) and _is_stored(node)]
    return plain + stored


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _literal_type(value: ast.expr) -> Any:
    try:
        kind = type(ast.literal_eval(value))
    except (ValueError, TypeError, MemoryError, RecursionError):
        return ANY
    return kind if kind in TYPES else ANY


def _annotated_type(annotation: ast.expr) -> Any:
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    named = {kind.__name__: kind for kind in TYPES}
    return named.get(base.id, ANY) if isinstance(base, ast.Name) else ANY


def typed(name: str, value: Any, kind: Any) -> Any:
    """``value`` as the parameter ``name`` takes it, whose default is of type ``kind``.

    Raises
    ------
    UsageError
        If it is of another type.

    Examples
    --------
    >>> typed("label", Text("3"), str), typed("rate", Text("3"), float), typed("size", Text("3"), ANY)
    ('3', 3.0, 3)
    """
    text = isinstance(value, Text)
    if text:
        value = str(value) if kind is str else parse_value(str(value))
    if kind is ANY or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and type(value) is list:
        return tuple(value)
    raise UsageError(
        f"parameter {name!r} is of type {kind.__name__} in the notebook; {value!r} is of type "
        f"{type(value).__name__}"
    )


def _check_language(notebook: Any) -> None:
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise UsageError(f"parameters are set in Python, and this notebook is in {language}")


def _check_names(values: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
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
