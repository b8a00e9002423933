"""Cell source → functions: which definitions of a cell become cloud functions, and the text to run.

Law: text in, text and plain records out; nothing is executed here, and IPython is not known.

A definition counts if it is a statement of the cell itself: ``def``, ``async def``, or a class with a
``run`` method (its own, or inherited from a class captured above it). What stands inside ``if``, ``with``
or another function belongs to that, and a lambda that is assigned is a value.

Line 1 of the text to run stands for the magic's line, so that every number in a traceback is the one that
the notebook shows beside the cell. In body form that line is the ``def``, and the cell is indented under
it, all but the inside of strings that span lines, where blanks would change the value.
"""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cloudburst_kernel.line import LineError, Options, Signature, parse_line

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
NameOf = Callable[[str], str]
INDENT = "    "


class CaptureError(SyntaxError):
    """The cell is Python, but not a cell that can become cloud functions; the message says why."""


@dataclass(frozen=True)
class Captured:
    """One definition that is to be registered.

    Attributes
    ----------
    name
        As defined.
    kind
        ``"function"``, ``"async function"`` or ``"class"``.
    source
        The definition's text, decorators included.
    first_line, last_line
        Where it stands in the cell; line 1 is the magic's.
    signature
        The parameters of the function, or of the class's ``run`` without its first.
    needs_arguments
        True for a class whose ``__init__`` has parameters without a default.
    """

    name: str
    kind: str
    source: str
    first_line: int
    last_line: int
    signature: str
    needs_arguments: bool = False


@dataclass(frozen=True)
class Cell:
    """A captured cell: ``text`` is to be run under ``filename``, then ``functions`` registered."""

    text: str
    filename: str
    options: Options = field(default_factory=Options)
    functions: tuple[Captured, ...] = ()


def capture(
    cell: str,
    line: str = "",
    *,
    transform: Callable[[str], str] | None = None,
    filename: str | NameOf = "<cell>",
) -> Cell:
    """Find what a ``%%cloudburst`` cell defines.

    Parameters
    ----------
    cell
        The cell below the magic's line.
    line
        The rest of the magic's line.
    transform
        IPython's input transformer, which makes Python of line magics and shell escapes.
    filename
        The name for tracebacks, or a function that gives it for a text (and lets tracebacks find that).

    Raises
    ------
    LineError
        If the line cannot be read.
    SyntaxError
        Python's own, with the line in the cell; `CaptureError` if only this magic refuses the cell.

    Examples
    --------
    >>> capture("import math\\ndef area(r):\\n    return math.pi * r**2\\n").functions[0].signature
    '(r)'
    >>> print(capture("y = x * x", "square(x) -> y").functions[0].source)
    def square(x):
        y = x * x
        return y
    """
    name_of: NameOf = filename if callable(filename) else lambda _: str(filename)
    parsed = parse_line(line)
    text = _numbered(cell, line, transform)
    if parsed.signature is not None:
        text, tree = _body_form(text, parsed.signature, name_of)
    else:
        tree = _parse(text, name_of(text))
        _refuse_await(tree, text, name_of(text))
    functions = tuple(_definitions(tree, text.split("\n")))
    if parsed.options.name is not None:
        _check_name(parsed.options.name, functions)
    return Cell(text, name_of(text), parsed.options, functions)


def _numbered(cell: str, line: str, transform: Callable[[str], str] | None) -> str:
    """The cell as Python, under a first line that stands for the magic's."""
    cell = cell.replace("\r\n", "\n")
    python = transform(cell) if transform else cell
    lost = _blank_lines(cell) - _blank_lines(python)  # the transformer drops leading blank lines
    head = f"# %%cloudburst {line}".rstrip()
    return head + "\n" * (1 + max(lost, 0)) + python.rstrip("\n") + "\n"


def _parse(text: str, filename: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run compiles the text again, and warns then
        return ast.parse(text, filename)


def _blank_lines(text: str) -> int:
    lines = text.split("\n")
    return next((number for number, each in enumerate(lines) if each.strip()), len(lines) - 1)


def _check_name(name: str, functions: tuple[Captured, ...]) -> None:
    if len(functions) == 1:
        return
    if not functions:
        raise LineError(f"--name {name!r}: the cell defines no function or class with a run method to name")
    names = ", ".join(function.name for function in functions)
    raise LineError(f"--name {name!r} can name one function, and the cell defines {len(functions)}: {names}")


# ---------------------------------------------------------------- definitions


def _definitions(tree: ast.Module, lines: list[str]) -> Iterator[Captured]:
    """The captured definitions in order; of two with one name the last, as Python has it."""
    found: dict[str, Captured] = {}
    models: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if not _is_model(node, models):
                found.pop(node.name, None)
                continue
            models.append(node.name)
        if isinstance(node, Definition):
            found.pop(node.name, None)
            found[node.name] = _captured(node, lines)
    yield from found.values()


def _is_model(node: ast.ClassDef, models: list[str]) -> bool:
    inherits = any(isinstance(base, ast.Name) and base.id in models for base in node.bases)
    return inherits or _method(node, "run") is not None


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
            return statement
    return None


def _captured(node: Definition, lines: list[str]) -> Captured:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    last = node.end_lineno or node.lineno
    source = "\n".join(lines[first - 1 : last])
    if not isinstance(node, ast.ClassDef):
        kind = "async function" if isinstance(node, ast.AsyncFunctionDef) else "function"
        return Captured(node.name, kind, source, first, last, _signature(node))
    run, init = _method(node, "run"), _method(node, "__init__")
    signature = _signature(run, method=True) if run else ""
    needs = init is not None and _required(init) > 0
    return Captured(node.name, "class", source, first, last, signature, needs)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, method: bool = False) -> str:
    arguments = node.args
    if method and not _is_static(node):
        arguments = _without_first(arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}"


def _is_static(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)


def _without_first(arguments: ast.arguments) -> ast.arguments:
    positional = [*arguments.posonlyargs, *arguments.args][1:]
    before_slash = max(len(arguments.posonlyargs) - 1, 0)
    return ast.arguments(
        posonlyargs=positional[:before_slash],
        args=positional[before_slash:],
        vararg=arguments.vararg,
        kwonlyargs=arguments.kwonlyargs,
        kw_defaults=arguments.kw_defaults,
        kwarg=arguments.kwarg,
        defaults=arguments.defaults[-len(positional) :] if positional else [],
    )


def _required(init: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many arguments a class cannot be built without, the user library not counted."""
    positional = [*init.args.posonlyargs, *init.args.args][1:]
    if positional and positional[0].arg == "cloudburst":
        positional = positional[1:]
    optional = len(init.args.defaults)
    keywords = sum(default is None for default in init.args.kw_defaults)
    return max(len(positional) - optional, 0) + keywords


# ---------------------------------------------------------------- body form


def _body_form(text: str, signature: Signature, name_of: NameOf) -> tuple[str, ast.Module]:
    """The text of the function whose body is the cell, and its tree."""
    name = name_of(text)
    body = _parse(text, name)
    _refuse_returns(body, text, name)
    function = _function_text(text, body, signature)
    _check_results(function, signature, text, name)
    return function, _parse(function, name_of(function))


def _function_text(text: str, body: ast.Module, signature: Signature) -> str:
    head = "async def" if any(map(_is_async, _own_nodes(body))) else "def"
    inside = _inside_strings(body)
    lines = text.rstrip("\n").split("\n")
    indented = [
        line if not line.strip() or number in inside else INDENT + line
        for number, line in enumerate(lines[1:], start=2)
    ]
    result = ", ".join(signature.results)
    return "\n".join([f"{head} {signature.text}:", *indented, f"{INDENT}return {result}"]) + "\n"


def _inside_strings(tree: ast.Module) -> dict[int, None]:
    """The lines that begin inside a string: blanks put before them would become part of its value."""
    inside: dict[int, None] = {}
    for node in ast.walk(tree):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        if literal or type(node).__name__ in ("JoinedStr", "TemplateStr"):
            first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
            inside.update(dict.fromkeys(range(first + 1, last + 1)))
    return inside


def _own_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run as part of ``tree`` itself, not of a function or class inside it."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, Definition | ast.Lambda):
            yield from _own_nodes(node)


def _is_async(node: ast.AST) -> bool:
    if isinstance(node, ast.comprehension):
        return bool(node.is_async)
    return isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)


def _refuse_await(tree: ast.Module, text: str, filename: str) -> None:
    for node in _own_nodes(tree):
        if _is_async(node):
            where = node.target if isinstance(node, ast.comprehension) else node
            raise _error(
                "a %%cloudburst cell cannot await outside a function: await in a cell of its own, "
                "or write the cell in body form, %%cloudburst NAME(PARAMETERS) -> RESULT",
                where,
                text,
                filename,
            )


def _refuse_returns(tree: ast.Module, text: str, filename: str) -> None:
    for node in _own_nodes(tree):
        if isinstance(node, ast.Return):
            raise _error(
                "in body form the result is the variable after ->, so the cell must not return: "
                "assign it, or write a def",
                node,
                text,
                filename,
            )
        if isinstance(node, ast.Yield | ast.YieldFrom):
            raise _error("a cell in body form gives one result: it cannot yield", node, text, filename)


def _check_results(function: str, signature: Signature, text: str, filename: str) -> None:
    names = _assigned(function, signature.name, filename)
    for result in signature.results:
        if result not in names:
            raise CaptureError(
                f"the cell never assigns {result!r}, which the line names as the result "
                f"of {signature.name!r} (after -> stands a variable of the cell, not a type)",
                (filename, 1, None, text.split("\n", 1)[0]),
            )


def _assigned(function: str, name: str, filename: str) -> dict[str, None]:
    """The names that the function's body or parameters bind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = symtable.symtable(function, filename, "exec")
    tables = [table for table in module.get_children() if table.get_name() == name]
    bound = [
        each
        for each in tables[-1].get_symbols()
        if each.is_assigned() or each.is_imported() or each.is_parameter()
    ]
    return {each.get_name(): None for each in bound}


def _error(message: str, node: ast.AST, text: str, filename: str) -> CaptureError:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    lines = text.split("\n")
    return CaptureError(message, (filename, line, column + 1, lines[line - 1]))
