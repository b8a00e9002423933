"""From a Python callable or class to a `FunctionSpec`: what a registration sends.

Law: packing runs nothing of the user's code but the pickling hooks of captured values (and an edited
module of theirs, see `beside`); it talks to no runtime.

A function of the notebook, or of a module that lies beside it, travels by value: its code with all that
the code refers to, as of now. A function of an installed module travels by name. A class travels with
the arguments of its ``__init__``, and is built where it runs. `capturing` finds what comes along, so that
a large variable can be reported, and one that cannot travel be named.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from cloudburst_runtime.errors import SerializationError, check_name
from cloudburst_runtime.messages import Context, FunctionSpec
from cloudburst_runtime.seconds import limit
from cloudburst_runtime.values import type_name

from . import beside
from .capturing import Survey, Variable, is_marked, raw_of, survey, walks
from .pickling import blame, dump, raw_reduce, size_of
from .reading import cells_of, parameters_of, signature_of, source_of

CAPTURED_LARGE_BYTES = 1_000_000
"""A captured variable of more bytes than this is reported."""

RETRIES_MAX = 1_000_000

LIBRARY = "cloudburst"
"""A first parameter of this name receives the user library."""

__all__ = ["Captured", "CapturedLargeValue", "Packed", "current_context", "pack", "raw_reduce"]

Init = tuple[tuple[Any, ...], Mapping[str, Any]]


class CapturedLargeValue(UserWarning):
    """A function carries a large variable along, in every registration of it."""


class Captured(NamedTuple):
    """A variable that a function carries along: its name, the name of its type, its encoded size."""

    name: str
    type: str
    nbytes: int


class Packed(msgspec.Struct, frozen=True):
    """A callable, ready to be registered.

    Attributes
    ----------
    spec
        What the scheduler gets; its version is 0 until the scheduler has numbered it.
    raw
        The function or class itself, for calls in this process.
    captured
        The globals, closure variables and defaults that travel along, with those of captured functions.
    missing
        Names that the code uses and that do not exist yet, or not in this version yet: register at the
        first use, when the rest of the cell has run.
    init
        For a class: what its ``__init__`` takes.
    """

    spec: FunctionSpec
    raw: Any
    captured: list[Captured]
    missing: list[str]
    init: Init = ((), {})


def pack(
    obj: Callable[..., Any],
    name: str | None = None,
    *,
    retries: int = 1,
    timeout: float | None = None,
    batching: bool = False,
    gpu: bool = False,
    source: str | None = None,
    library: bool | None = None,
    init: Init | None = None,
    values: Iterable[types.ModuleType] = (),
) -> Packed:
    """Pack a callable, or a class with a ``run`` method, for registration.

    Parameters
    ----------
    obj
        A function (also ``async def``, builtin, bound method, ``functools.partial``), a callable object,
        a class that has ``run``, or a cloud function to be registered again.
    name
        What it is called by; its own name if not given.
    retries
        How often a call is run again when its executor was lost.
    timeout
        Seconds that one call may take; None: no limit.
    batching, gpu
        Whether one call takes up to 20 waiting requests as lists; whether it needs an executor with a GPU.
    source
        The source text, where the caller knows it better than `inspect`.
    library
        Whether the user library is passed as first argument. None: if the first parameter is called
        ``cloudburst``. True: always, to a class's ``__init__`` too.
    init
        For a class, the ``(args, kwargs)`` of its ``__init__``.
    values
        Modules that shall travel by value, besides those beside the notebook.

    Raises
    ------
    InvalidName
        If the name is empty, not a string, or too long.
    SerializationError
        If it, or a variable that it captures, cannot travel; the message names the variable and its type.
    TypeError, ValueError
        If it cannot be a cloud function, or an option is out of range.

    Warns
    -----
    CapturedLargeValue
        For each captured variable of more than 1 MB.

    Examples
    --------
    >>> factor = 3
    >>> def scale(x, by=1): return factor * by * x
    >>> packed = pack(scale, retries=0)
    >>> packed.spec.name, packed.spec.signature, packed.missing
    ('scale', '(x, by=1)', [])
    """
    if name is None:
        name = _name_of(obj)
    check_name(name, "function")
    _check_options(retries, batching, gpu)
    timeout = limit(timeout)
    if source is not None and not isinstance(source, str):
        raise TypeError(f"source is the text of the function, not {source!r:.80}")
    if is_marked(obj):
        raw_reduce(obj)  # raises if its code is not in this process
    raw = beside.refresh(raw_of(obj), values)
    label = f"{'class' if isinstance(raw, type) else 'function'} {name!r}"
    entry, dropped = _entry_of(raw, label)
    arguments = _init_of(raw, init, label)
    takes, init_takes = _takes_library(raw, entry, library, label)
    if init is not None:
        _check_init(raw, arguments, init_takes, label)
    found = survey(raw)
    payload = _payload(raw, arguments, found, label)
    captured = [_measured(variable) for variable in found.variables]
    _report_large(label, captured)
    spec = FunctionSpec(
        name=name,
        version=0,
        payload=payload,
        source=source_of(raw) if source is None else source,
        kind="class" if isinstance(raw, type) else "function",
        library=takes,
        retries=retries,
        timeout=timeout,
        batching=batching,
        gpu=gpu,
        context=current_context(),
        signature=signature_of(entry, drop=dropped + takes),
        library_init=init_takes,
        cells=cells_of([raw, *(variable.value for variable in found.variables if walks(variable.value))]),
    )
    return Packed(spec, raw, captured, [*found.missing, *_older_self(raw, found)], arguments)


def unpack(spec: FunctionSpec) -> Packed:
    """What a registration was made of, from what it sent: to be registered again.

    The code comes to life as it would in an executor, with what it captured then. What cannot be read here
    (a module is gone) can still be registered and called, but not run in this process.
    """
    spec = msgspec.structs.replace(spec, version=0)
    try:
        loaded = pickle.loads(spec.payload)
    except Exception:
        return Packed(spec, None, [], [])
    raw, *init = loaded if spec.kind == "class" else (loaded,)
    captured = [_measured(variable) for variable in survey(raw).variables]
    return Packed(spec, raw, captured, [], (init[0], init[1]) if init else ((), {}))


# ---------------------------------------------------------------- what can be a cloud function


def _name_of(obj: object) -> str:
    for owner in (obj, getattr(obj, "func", None)):  # a partial is called like its function
        for attribute in ("name", "__name__") if is_marked(owner) else ("__name__",):
            found = getattr(owner, attribute, None)
            if isinstance(found, str) and found != "<lambda>":
                return found
    if not callable(obj):
        raise TypeError(f"a cloud function must be callable; {type_name(obj)} is not: {obj!r:.80}")
    what = "a lambda" if getattr(obj, "__name__", "") == "<lambda>" else f"an object of type {type_name(obj)}"
    raise TypeError(f"{what} has no name of its own: pass one, as in register(…, name='scale')")


def _check_options(retries: object, batching: object, gpu: object) -> None:
    if not isinstance(retries, int) or isinstance(retries, bool):
        raise TypeError(f"retries must be a whole number of 0 or more, not {retries!r:.80}")
    if not 0 <= retries <= RETRIES_MAX:
        raise ValueError(f"retries must be from 0 to {RETRIES_MAX}, not {retries}")
    for option, flag in (("batching", batching), ("gpu", gpu)):
        if not isinstance(flag, bool):
            raise TypeError(f"{option} must be True or False, not {flag!r:.80}")


def _entry_of(raw: Any, label: str) -> tuple[Callable[..., Any], int]:
    """What a request calls, and how many of its first parameters Python fills in."""
    if not callable(raw):
        raise TypeError(f"a cloud function must be callable; {type_name(raw)} is not: {raw!r:.80}")
    if not isinstance(raw, type):
        _refuse_generators(raw, type(raw).__call__, label)
        return raw, 0
    run = getattr(raw, "run", None)
    if not callable(run):
        raise TypeError(
            f"{label} has no method run: a stateful function is built once, and run(self, …) called"
        )
    _refuse_generators(run, None, label)
    return run, isinstance(inspect.getattr_static(raw, "run"), types.FunctionType)


def _refuse_generators(function: Any, called: Any, label: str) -> None:
    for candidate in (function, called):
        if inspect.isgeneratorfunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise TypeError(
                f"{label} is a generator: its items cannot travel one by one; return a list of them instead"
            )


def _init_of(raw: object, init: Init | None, label: str) -> Init:
    if init is None:
        return (), {}
    if not isinstance(raw, type):
        raise TypeError(f"{label} is not a class: only a class takes arguments of an __init__")
    args, kwargs = init
    return tuple(args), dict(kwargs)


def _takes_library(raw: Any, entry: Any, library: bool | None, label: str) -> tuple[bool, bool]:
    """Whether requests, and whether ``__init__``, get the user library first."""
    maker = getattr(raw, "__init__") if isinstance(raw, type) else None  # noqa: B009
    maker = None if maker is object.__init__ else maker
    bound = isinstance(raw, type) and isinstance(inspect.getattr_static(raw, "run"), types.FunctionType)
    first = _positional(entry, bound)
    if library is None:
        return first[:1] == [LIBRARY], maker is not None and _positional(maker, True)[:1] == [LIBRARY]
    if library and first == [] and parameters_of(entry) is not None:
        raise TypeError(f"{label} takes no argument, and the first is the user library: def f({LIBRARY}, …)")
    return library, library and maker is not None


def _positional(function: Any, bound: bool) -> list[str]:
    """The names of the parameters that can be given by position, without ``self`` if bound."""
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    names = [parameter.name for parameter in parameters_of(function) or [] if parameter.kind in kinds]
    return names[int(bound) :]


def _check_init(raw: Any, init: Init, takes_library: bool, label: str) -> None:
    try:
        signature = inspect.signature(raw)
    except (ValueError, TypeError):  # a class of an extension module
        return
    try:
        signature.bind(*([None] if takes_library else []), *init[0], **init[1])
    except TypeError as error:
        raise TypeError(f"{label}: __init__{signature} cannot be called so: {error}") from None


def _older_self(raw: Any, found: Survey) -> list[str]:
    """The function's own name, while that still means the version before (its cell is being re-run)."""
    if not isinstance(raw, types.FunctionType) or raw.__qualname__ != raw.__name__:
        return []
    bound = raw_of(raw.__globals__.get(raw.__name__))
    if bound is raw or not isinstance(bound, types.FunctionType):
        return []
    named = any(name == raw.__name__ for name, _, value in found.variables if value is bound)
    same = (bound.__module__, bound.__qualname__) == (raw.__module__, raw.__qualname__)
    return [raw.__name__] if named and same else []


def _payload(raw: Any, init: Init, found: Survey, label: str) -> bytes:
    try:
        return dump((raw, *init) if isinstance(raw, type) else raw)
    except Exception as error:
        given = [Variable(f"args[{index}]", "", value) for index, value in enumerate(init[0])]
        given += [Variable(name, "", value) for name, value in init[1].items()]
        raise SerializationError(blame(label, found.variables, given, error)) from error


# ---------------------------------------------------------------- what is reported


def _measured(variable: Variable) -> Captured:
    value = variable.value
    return Captured(variable.name, type_name(value), _code_bytes(value) if walks(value) else size_of(value))


def _code_bytes(value: Any) -> int:
    """The size of a function's own code: what it captures is counted by itself."""
    functions = vars(value).values() if isinstance(value, type) else [inspect.unwrap(value)]
    return sum(len(function.__code__.co_code) for function in functions if hasattr(function, "__code__"))


def _report_large(label: str, captured: list[Captured]) -> None:
    for name, kind, nbytes in captured:
        if nbytes > CAPTURED_LARGE_BYTES:
            text = (
                f"{label} captures `{name}`, of type {kind}, {nbytes / 1e6:.1f} MB, which travels with every "
                f"registration: put it in the store, cb.put({name!r}, {name}), and pass cb.ref({name!r})"
            )
            warnings.warn(text, CapturedLargeValue, stacklevel=_frames_of_ours())


def _frames_of_ours() -> int:
    """The stack level of the user's line: the first frame outside this project."""
    level = 1
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in beside.OURS:
        frame = frame.f_back
        level += 1
    return level


# ---------------------------------------------------------------- where it was registered

_context = Context()


def current_context() -> Context:
    """This process's working directory, ``sys.path`` and environment; one object while they stay equal.

    Examples
    --------
    >>> current_context() is current_context()
    True
    """
    global _context
    cwd = ""
    with contextlib.suppress(FileNotFoundError):  # it was removed
        cwd = os.getcwd()
    path = [entry or cwd for entry in sys.path if isinstance(entry, str) and _is_text(entry)]
    environ = {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)}
    if (cwd, path, environ) != (_context.cwd, _context.sys_path, _context.environ):
        _context = Context(cwd, path, environ)
    return _context


def _is_text(text: str) -> bool:
    """False for what the system holds as bytes that are no UTF-8, and that no message can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
