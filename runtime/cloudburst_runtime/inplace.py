"""What a pickled function names on its way to an executor: how its captured parts come back to life.

Law: pickles of functions refer to the names below, so they stay where they are; this module imports
nothing, for it is loaded by every executor.

A cloud function that another function captures arrives as the plain function behind it (`identity`), so
that calling it inside a function runs it on the spot instead of asking the runtime. A captured stateful
function arrives as `InPlace`: built on the first request, kept, its ``run`` called for each.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

home = ""
"""The directory of the runtime that this process is an executor of; empty in other processes."""


def identity(value: T) -> T:
    """The value itself: the reconstructor of a captured cloud function.

    Examples
    --------
    >>> identity(len) is len
    True
    """
    return value


def cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Callable[..., Any]:
    """``functools.lru_cache`` around a function that travelled by value, with an empty cache."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(function)


def code(filename: str, *parts: Any) -> types.CodeType:
    """A code object that says which file it came from: tracebacks look its lines up there."""
    return types.CodeType(*parts).replace(co_filename=filename)


def new_module(name: str, doc: str | None) -> types.ModuleType:
    """An empty module, which the unpickler fills: modules that import each other can be rebuilt."""
    return types.ModuleType(name, doc)


class InPlace:
    """A stateful function inside another function: built when first called, then kept.

    Parameters
    ----------
    cls, args, kwargs
        The class, and what its ``__init__`` takes.

    Examples
    --------
    >>> class Scale:
    ...     def __init__(self, factor): self.factor = factor
    ...     def run(self, x): return self.factor * x
    >>> scale = InPlace(Scale, (3,), {})
    >>> scale(2), scale(5)
    (6, 15)
    """

    def __init__(self, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.cls = cls
        self.args = args
        self.kwargs = kwargs
        self.instance: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.instance is None:
            self.instance = self.cls(*self.args, **self.kwargs)
        return self.instance.run(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # Reached only for what an instance lacks. Half-unpickled instances lack `cls` too.
        if name.startswith("__") or name == "cls":
            raise AttributeError(name)
        return getattr(self.cls, name)
