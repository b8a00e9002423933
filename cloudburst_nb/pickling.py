"""How code and what it captures become bytes, and what is to blame when they cannot.

Law: this module pickles and explains; it neither registers nor decides what may be a cloud function.

Three things cloudpickle leaves open are settled here: modules that travel by value and import each other,
functions under ``functools.lru_cache``, and cloud functions inside other functions.
"""

from __future__ import annotations

import functools
import io
import pickle
import types
from collections.abc import Callable
from typing import Any

from cloudburst_runtime import inplace, values
from cloudburst_runtime.errors import SerializationError

from .capturing import Variable, by_reference, walks

MODULE_FACTS = ("__builtins__", "__cached__", "__doc__", "__loader__", "__name__", "__spec__")


class _Pickler(values.Pickler):
    """Code by value, with two kinds of objects that it leaves to pickle, or takes apart for ever."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType) and values.BY_VALUE.names.get(obj.__name__) is obj:
            return _reduce_module(obj)
        if isinstance(obj, functools._lru_cache_wrapper) and not by_reference(obj):
            return _reduce_cached(obj)
        return super().reducer_override(obj)


def _reduce_module(module: types.ModuleType) -> Any:
    # Made first and filled later: modules that import each other would be walked round for ever.
    state = {name: value for name, value in vars(module).items() if name not in MODULE_FACTS}
    return inplace.new_module, (module.__name__, module.__doc__), state


def _reduce_cached(function: Any) -> Any:
    # pickle writes its name alone, which means nothing to an executor if it is the notebook's.
    parameters = function.cache_parameters()
    return inplace.cached, (function.__wrapped__, parameters["maxsize"], parameters["typed"])


def raw_reduce(cloud_function: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """``__reduce__`` of a cloud function: it travels as the function behind it.

    Inside another cloud function it then runs in place. A stateful one travels as its class and the
    arguments of its ``__init__`` (its attribute ``__cloudburst_init__``), and is built at the first call.

    Raises
    ------
    SerializationError
        If its code is not in this process (it was looked up by name).
    """
    raw = cloud_function.__cloudburst_raw__
    if raw is None:
        raise SerializationError(
            f"cloud function {cloud_function.name!r} was looked up by name, and its code is not here: "
            f"define it in this notebook to use it inside another function, or join the two in a DAG"
        )
    if isinstance(raw, type):
        args, kwargs = getattr(cloud_function, "__cloudburst_init__", ((), {}))
        return inplace.InPlace, (raw, tuple(args), dict(kwargs))
    return inplace.identity, (raw,)


def dump(value: object, buffers: list[pickle.PickleBuffer] | None = None) -> bytes:
    """The pickle of ``value``, by value where need be; large data goes to ``buffers``, if given."""
    file = io.BytesIO()
    collect = None if buffers is None else buffers.append
    with values.BY_VALUE.registered():
        _Pickler(file, 5, buffer_callback=collect).dump(value)
    return file.getvalue()


def size_of(value: object) -> int:
    """Encoded size in bytes; 0 for what travels only as a part of something else."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        return len(dump(value, buffers)) + sum(memoryview(buffer).nbytes for buffer in buffers)
    except Exception:
        return 0


def blame(label: str, captured: list[Variable], given: list[Variable], error: Exception) -> str:
    """The sentence that names the variable that cannot travel, and its type.

    Parameters
    ----------
    label
        What was to be sent: ``"function 'f'"``.
    captured, given
        The variables that it carries along, and the arguments it is bound with.
    error
        Why it could not be pickled: told if no variable is to blame.
    """
    for verb, variables in (("captures", captured), ("is bound with", given)):
        for variable in variables:
            # Of code, it is the variables that may be to blame.
            obstacle = None if walks(variable.value) else _obstacle(variable.value)
            if obstacle is not None:
                return f"{label} {verb} {_sentence(variable, obstacle)}"
    if _too_deep(error):
        return f"{label} is nested too deeply to be sent to another process"
    return f"{label} cannot be sent to another process: {error}"


def _sentence(variable: Variable, error: Exception) -> str:
    through = f" (by way of `{variable.through}`)" if variable.through else ""
    if isinstance(error, SerializationError):
        return f"`{variable.name}`{through}: {error}"
    if _too_deep(error):
        return (
            f"`{variable.name}`{through}, of type {values.type_name(variable.value)}, which is nested too "
            f"deeply to be sent to another process: flatten it, or build it inside the function"
        )
    path, kind = _culprit(variable.name, variable.value)
    return (
        f"`{path}`{through}, of type {kind}, which cannot be sent to another process: "
        f"create it inside the function"
    )


def _culprit(name: str, value: object) -> tuple[str, str]:
    if isinstance(value, types.ModuleType):
        for inner, part in vars(value).items():
            if inner not in MODULE_FACTS and not walks(part) and _obstacle(part) is not None:
                name, value = f"{name}.{inner}", part
                break
    path, _, kind = values.explain(value, name).rpartition(", of type ")
    return path, kind


def _obstacle(value: object) -> Exception | None:
    """Why a value cannot travel; None if it can."""
    try:
        dump(value, [])
    except Exception as error:
        return error
    return None


def _too_deep(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, RecursionError):
            return True
        error = error.__cause__
    return False
