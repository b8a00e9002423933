"""`cb.function`: from a function or a class to what a notebook calls.

Law: what is made is packed here and now, and announced to the runtime if there is one; a class whose
``__init__`` needs arguments is packed when they are bound.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, overload

from cloudburst_nb import runtimes
from cloudburst_nb.function import CloudClass, CloudFunction, Unbound
from cloudburst_nb.packaging import Packed, pack


@overload
def function(obj: Callable[..., Any], /) -> CloudFunction: ...
@overload
def function(
    obj: None = None,
    /,
    *,
    name: str | None = None,
    retries: int = 1,
    timeout: float | None = None,
    batching: bool = False,
    gpu: bool = False,
    source: str | None = None,
) -> Callable[[Callable[..., Any]], CloudFunction]: ...
@overload
def function(
    obj: Callable[..., Any],
    /,
    *,
    name: str | None = None,
    retries: int = 1,
    timeout: float | None = None,
    batching: bool = False,
    gpu: bool = False,
    source: str | None = None,
) -> CloudFunction: ...
def function(
    obj: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retries: int = 1,
    timeout: float | None = None,
    batching: bool = False,
    gpu: bool = False,
    source: str | None = None,
) -> Any:
    """Make a cloud function of a function, or a stateful one of a class with a ``run`` method.

    Parameters
    ----------
    obj
        What to register; without it, a decorator is returned.
    name
        The name to register under; the function's own if not given. A name that is registered gets a new
        version, which is used from the next call on; calls in flight finish on the old one.
    retries
        How often a call is run again when its executor was lost; exceptions of user code are not retried.
    timeout
        Seconds that a call may take, from its submission; None: no limit.
    batching
        Up to 20 waiting requests become one call, with a list per argument; it returns a list.
    gpu
        Only run on an executor that has a GPU.

    Raises
    ------
    InvalidName, SerializationError, TypeError, ValueError
        If it cannot be a cloud function; the message says why.

    Examples
    --------
    >>> import cloudburst_nb as cb
    >>> @cb.function(retries=3)
    ... def square(x):
    ...     return x * x
    >>> square
    <cloud function square(x)...>
    """
    options: dict[str, Any] = {
        "name": name,
        "retries": retries,
        "timeout": timeout,
        "batching": batching,
        "gpu": gpu,
        "source": source,
    }
    if obj is None:
        return lambda given: _make(given, options)
    return _make(obj, options)


def _make(obj: Any, options: dict[str, Any]) -> CloudFunction:
    packed = pack(obj, **options)
    if packed.spec.kind == "class":
        return _make_class(obj, packed, options)
    made = CloudFunction(packed, lambda: pack(packed.raw, **{**options, "name": packed.spec.name}))
    runtimes.announce(made)
    return made


def _make_class(obj: Any, packed: Packed, options: dict[str, Any]) -> CloudFunction:
    named = {**options, "name": packed.spec.name}

    def rebind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CloudFunction:
        bound = pack(packed.raw, **named, init=(args, kwargs))
        made = CloudFunction(bound, lambda: pack(packed.raw, **named, init=(args, kwargs)))
        runtimes.announce(made)
        return made

    if _needs_arguments(packed):
        return Unbound(packed, rebind)
    made = CloudClass(packed, rebind)
    runtimes.announce(made)
    return made


def _needs_arguments(packed: Packed) -> bool:
    """Whether the class's ``__init__`` cannot be called without arguments."""
    library = [None] if packed.spec.library_init else []
    try:
        inspect.signature(packed.raw).bind(*library)
    except TypeError:
        return True
    except ValueError:  # a class of an extension module, that does not say
        return False
    return False
