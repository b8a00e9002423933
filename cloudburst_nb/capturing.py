"""What a callable carries along: its captured variables, and the names it lacks.

Law: this module looks and never changes anything. It knows Python's functions and classes, and not what
becomes of them.

A function that travels by value takes with it the cells of its closure, its defaults, and each global
that its code loads or that the code of its nested functions loads: the rule by which cloudpickle takes
them. Whatever of that travels by value in turn (a helper of the notebook, a class) takes its own
variables along, so the walk goes on until it reaches what is imported on the other side.
"""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from cloudburst_runtime import values

GLOBAL_READS = ("LOAD_GLOBAL",)
GLOBAL_WRITES = ("STORE_GLOBAL", "DELETE_GLOBAL")
MISSING = object()


class Variable(NamedTuple):
    """A captured variable: its name, the function or class that was walked through to it, its value."""

    name: str
    through: str
    value: object


class Survey(NamedTuple):
    """All that a callable carries along, in the order in which it was found."""

    variables: list[Variable]
    missing: list[str]


def is_marked(value: object) -> bool:
    """True for a cloud function: it has an attribute ``__cloudburst_raw__``.

    It is looked up statically: an object that invents attributes (a mock, a lazy module) is none.
    """
    return inspect.getattr_static(value, "__cloudburst_raw__", MISSING) is not MISSING


def raw_of(value: object) -> Any:
    """The function behind a cloud function; any other value as it is."""
    if not is_marked(value):
        return value
    raw = value.__cloudburst_raw__  # type: ignore[attr-defined]
    return value if raw is None else raw


def by_reference(part: object) -> bool:
    """True if the other side imports this function or class under its name."""
    name = getattr(part, "__module__", None)
    if not isinstance(name, str) or name == "__main__" or beside(name):
        return False
    found: object = sys.modules.get(name)
    for step in getattr(part, "__qualname__", "").split("."):
        found = getattr(found, step, None)
    return found is part


def beside(module_name: str) -> bool:
    """True if a module of that name, or a package that it is in, travels by value."""
    names = values.BY_VALUE.names
    return module_name in names or any(
        module_name[:at] in names for at, letter in enumerate(module_name) if letter == "."
    )


def survey(target: object) -> Survey:
    """Walk through all that ``target`` carries along.

    Examples
    --------
    >>> def outer():
    ...     factor = 3
    ...     def inner(x):
    ...         return factor * x + undefined
    ...     return inner
    >>> found = survey(outer())
    >>> [(name, value) for name, through, value in found.variables], found.missing
    ([('factor', 3)], ['undefined'])
    """
    variables: list[Variable] = []
    missing: dict[str, None] = {}
    pending: list[tuple[object, str]] = [(target, "")]
    walked: dict[int, object] = {}
    while pending:
        part, through = pending.pop(0)
        if id(part) in walked or by_reference(part):
            continue
        walked[id(part)] = part
        pending.extend((inner, through) for inner in _inside(part))
        for name, value in carried(part):
            value = raw_of(value)
            if value is not target:
                variables.append(Variable(name, through, value))
            if walks(value):
                pending.append((value, name))
        missing.update(dict.fromkeys(_absent(part)))
    return Survey(_distinct(variables), list(missing))


def walks(value: object) -> bool:
    """True if ``value`` is code that travels by value, whose own variables travel with it."""
    return isinstance(value, types.FunctionType | type | functools._lru_cache_wrapper) and not by_reference(
        value
    )


def carried(part: object) -> Iterator[tuple[str, object]]:
    """The variables that one function, class or other callable carries itself: (name, value)."""
    if isinstance(part, types.FunctionType):
        yield from _of_function(part)
    elif isinstance(part, type):
        for name, value in vars(part).items():
            if not name.startswith("__") and not _functions_in(value):
                yield f"{part.__name__}.{name}", value
    elif isinstance(part, functools.partial):
        yield from ((f"args[{index}]", value) for index, value in enumerate(part.args))
        yield from part.keywords.items()
    elif isinstance(part, types.MethodType):
        yield "self", part.__self__
    elif not isinstance(part, types.ModuleType) and hasattr(part, "__dict__"):
        yield from ((f"self.{name}", value) for name, value in vars(part).items() if name != "__wrapped__")


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            value = cell.cell_contents
        except ValueError:  # filled only when the enclosing function goes on
            continue
        if name != "__class__":  # what a method's super() refers to
            yield name, value
    for name in global_names(function.__code__, GLOBAL_READS):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    named = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    yield from zip(named[len(named) - len(defaults) :], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def global_names(code: types.CodeType, operations: tuple[str, ...]) -> list[str]:
    """The names of globals that ``code``, or code nested in it, touches by one of ``operations``."""
    found: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in operations:
            found[str(instruction.argval)] = None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found.update(dict.fromkeys(global_names(constant, operations)))
    return list(found)


def _absent(part: object) -> list[str]:
    if not isinstance(part, types.FunctionType):
        return []
    cells = zip(part.__code__.co_freevars, part.__closure__ or (), strict=False)
    empty = [name for name, cell in cells if name != "__class__" and not _filled(cell)]
    # A global that the function makes itself is no forward reference.
    own = global_names(part.__code__, GLOBAL_WRITES)
    return empty + [
        name
        for name in global_names(part.__code__, GLOBAL_READS)
        if name not in part.__globals__ and not hasattr(builtins, name) and name not in own
    ]


def _filled(cell: types.CellType) -> bool:
    return cell != types.CellType()  # two cells are equal if both are empty


def _inside(part: object) -> Iterator[object]:
    """The code that is a piece of ``part`` rather than a variable of it."""
    if isinstance(part, type):
        for value in vars(part).values():
            yield from _functions_in(value)
        yield from part.__bases__
    elif isinstance(part, functools.partial):
        yield raw_of(part.func)
    elif isinstance(part, types.MethodType):
        yield part.__func__
    elif isinstance(part, types.FunctionType | functools._lru_cache_wrapper):
        wrapped = part.__dict__.get("__wrapped__")
        if isinstance(wrapped, types.FunctionType):
            yield wrapped
    else:
        yield type(part)


def _functions_in(member: object) -> list[types.FunctionType]:
    """The functions behind an entry of a class's dictionary; none if it is plain data."""
    if isinstance(member, property):
        members: tuple[object, ...] = (member.fget, member.fset, member.fdel)
    elif isinstance(member, staticmethod | classmethod):
        members = (member.__func__,)
    elif isinstance(member, functools.cached_property):
        members = (member.func,)
    else:
        members = (member,)
    return [found for found in members if isinstance(found, types.FunctionType)]


def _distinct(variables: list[Variable]) -> list[Variable]:
    seen = {(variable.name, id(variable.value)): variable for variable in reversed(variables)}
    return list(reversed(seen.values()))
