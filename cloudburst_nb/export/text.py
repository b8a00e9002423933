"""The text of a module that defines one function as it was registered.

Law: what is written is executed once here and compared with the function, so that a module which would
behave otherwise is never written; whatever cannot be said in text is said with a pickle. Nothing here
knows files.

The function is looked at as it travels, unpickled from its registration: its globals are then just what
it captured, as of that moment. Modules become imports, functions and classes of the notebook their own
text, small plain values literals; everything else is *kept*: written as a pickle that the module loads.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import io
import keyword
import textwrap
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from cloudburst_nb.capturing import GLOBAL_READS, beside, by_reference, global_names, raw_of
from cloudburst_nb.pickling import dump
from cloudburst_nb.reading import source_of

LITERAL_CHARACTERS_MAX = 400
FUTURE = "from __future__ import annotations\n\n"
LOADER = "_value"


class Module(NamedTuple):
    """The body of a module, the values that it keeps, by name, and how the function is called in it.

    ``future``: annotations are not to be evaluated. ``reason`` says why the function is kept whole, if it is.
    """

    text: str
    kept: dict[str, object]
    attribute: str
    future: bool = False
    reason: str = ""


class _Unwritable(Exception):
    """This cannot be said in text; the message says why."""


def module_of(raw: Any, source: str = "") -> Module:
    """A module that defines ``raw``.

    Parameters
    ----------
    raw
        A function or class, as unpickled from its registration.
    source
        Its text, where `inspect` does not find it.

    Examples
    --------
    >>> factor = 3
    >>> def scale(x):
    ...     return factor * x
    >>> print(module_of(scale, "def scale(x):\\n    return factor * x\\n").text)
    factor = 3
    <BLANKLINE>
    <BLANKLINE>
    def scale(x):
        return factor * x
    <BLANKLINE>
    """
    if by_reference(raw) and "." not in raw.__qualname__:
        return Module(f"from {raw.__module__} import {raw.__qualname__}\n", {}, raw.__qualname__)
    try:
        return _written(raw, source)
    except _Unwritable as error:
        name = getattr(raw, "__name__", "")
        attribute = name if name.isidentifier() and not keyword.iskeyword(name) else "function"
        return Module(
            f"{attribute} = {LOADER}({attribute!r})\n", {attribute: raw}, attribute, reason=str(error)
        )


def _written(raw: Any, source: str) -> Module:
    writer = _Writer()
    writer.define(raw.__name__ if hasattr(raw, "__name__") else "", raw, source)
    body = writer.text()
    for future in (False, True):  # annotations may name what was never captured
        failed = _differs(FUTURE + body if future else body, writer)
        if failed is None:
            return Module(body, writer.kept, raw.__name__, future)
    raise _Unwritable(failed or "")


class _Writer:
    """Collects imports, values and definitions, each name once."""

    def __init__(self) -> None:
        self.bound: dict[str, object] = {}
        self.imports: list[str] = []
        self.values: list[str] = []
        self.definitions: list[str] = []
        self.kept: dict[str, object] = {}

    def text(self) -> str:
        """The module's body."""
        head = "".join(f"{line}\n" for line in [*sorted(self.imports), *self.values])
        return "\n\n".join([head, *self.definitions])

    def bind(self, name: str, value: object) -> None:
        """Make ``name`` mean ``value``."""
        value = raw_of(value)
        if name in self.bound:
            if self.bound[name] is not value:
                raise _Unwritable(f"two values are called {name}")
            return
        if isinstance(value, types.FunctionType | type) and not by_reference(value):
            self.define(name, value)
            return
        self.bound[name] = value
        line = _import_of(name, value)
        if line:
            self.imports.append(line)
        elif _is_literal(value):
            self.values.append(f"{name} = {value!r}")
        else:
            self.kept[name] = value
            self.values.append(f"{name} = {LOADER}({name!r})")

    def define(self, name: str, value: Any, source: str = "") -> None:
        """Write the text of a function or class, after all that it names."""
        self.bound[name] = value
        text = _definition(value, source)
        for function in _functions_of(value).values():
            for used in global_names(function.__code__, GLOBAL_READS):
                if used in function.__globals__:
                    self.bind(used, function.__globals__[used])
        for base in getattr(value, "__bases__", ()):
            if base is not object and base.__name__ in _loaded(text):
                self.bind(base.__name__, base)
        self.definitions.append(text if value.__name__ == name else f"{text}\n\n{name} = {value.__name__}\n")


def _functions_of(value: Any) -> dict[str, types.FunctionType]:
    members = vars(value) if isinstance(value, type) else {"": value}
    return {name: member for name, member in members.items() if isinstance(member, types.FunctionType)}


def _definition(value: Any, source: str) -> str:
    """The text of a ``def`` or ``class`` statement, without decorators."""
    if not isinstance(value, types.FunctionType | type):
        raise _Unwritable(f"it is no function of the notebook but a {type(value).__name__}")
    if getattr(value, "__closure__", None):
        raise _Unwritable("it is a closure")
    text = textwrap.dedent(source or source_of(value))
    try:
        [node] = ast.parse(text).body
    except (SyntaxError, ValueError):
        raise _Unwritable("its text is not one definition") from None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        raise _Unwritable("it is not made by a def or class statement")
    if node.name != value.__name__:
        raise _Unwritable(f"its text defines {node.name}")
    return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]) + "\n"


def _loaded(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def _import_of(name: str, value: object) -> str:
    """The import statement that gives ``value`` that name; empty if none does."""
    if isinstance(value, types.ModuleType):
        module = value.__name__
        if module == "__main__" or beside(module):
            raise _Unwritable(f"it uses the module {module}, which lies beside the notebook")
        return f"import {module}" if module == name else f"import {module} as {name}"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type) and by_reference(value):
        module, inner = value.__module__, value.__qualname__
        if "." not in inner:
            return f"from {module} import {inner}" + ("" if inner == name else f" as {name}")
    return ""


def _is_literal(value: object) -> bool:
    try:
        text = repr(value)
        again = ast.literal_eval(text) if len(text) <= LITERAL_CHARACTERS_MAX else ...
        return type(again) is type(value) and bool(again == value)
    except Exception:  # the repr and the comparison are anyone's code
        return False


# ---------------------------------------------------------------- does the text say the same?


def _differs(text: str, writer: _Writer) -> str | None:
    """Why the text does not define what it should; None if it does."""
    namespace: dict[str, Any] = {"__name__": "exported", LOADER: writer.kept.__getitem__}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, "<exported>", "exec", dont_inherit=True), namespace)
    except Exception as error:
        return f"its text alone does not run: {type(error).__name__}: {error}"
    for name, value in writer.bound.items():
        if isinstance(value, types.FunctionType | type) and not by_reference(value):
            made = namespace.get(name)
            if not _alike(made, value):
                return f"{name} has been made otherwise than its text says"
    return None


def _alike(made: Any, value: Any) -> bool:
    ours, theirs = _functions_of(made), _functions_of(value)
    return ours.keys() == theirs.keys() and all(
        _same_function(ours[name], function) for name, function in theirs.items()
    )


def _same_function(one: types.FunctionType, other: types.FunctionType) -> bool:
    return _same_code(one.__code__, other.__code__) and _same_bytes(_defaults(one), _defaults(other))


def _defaults(function: types.FunctionType) -> object:
    return function.__defaults__, function.__kwdefaults__


def _same_bytes(one: object, other: object) -> bool:
    return one is other or dump(one) == dump(other)


def _steps(code: types.CodeType) -> list[tuple[str, object]]:
    """What code does. Methods of a name that the same file imports are called by other instructions."""
    jumps = {*dis.hasjrel, *dis.hasjabs}
    return [
        (
            step.opname.replace("LOAD_METHOD", "LOAD_ATTR"),
            None if step.opcode in jumps or isinstance(step.argval, types.CodeType) else step.argval,
        )
        for step in dis.get_instructions(code)
        if step.opname != "PUSH_NULL"
    ]


def _same_code(one: types.CodeType, other: types.CodeType) -> bool:
    facts: list[Callable[[types.CodeType], object]] = [
        _steps,
        lambda code: code.co_names,
        lambda code: code.co_varnames,
        lambda code: len(code.co_consts),
    ]
    return all(fact(one) == fact(other) for fact in facts) and all(
        _same_code(mine, theirs)
        if isinstance(mine, types.CodeType) and isinstance(theirs, types.CodeType)
        else type(mine) is type(theirs) and mine == theirs
        for mine, theirs in zip(one.co_consts, other.co_consts, strict=True)
    )
