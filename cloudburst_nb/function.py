"""Cloud functions: what `cb.function` and ``%%cloudburst`` make of a function or a class.

Law: a cloud function is a name, the callable behind it, and how it is to be called. It is packed where it
is defined, so that captured globals travel as of then, and registered with a runtime when there is one; a
function that refers to names which do not exist yet is packed at its first use instead.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, overload

from cloudburst_nb import runtimes
from cloudburst_nb.dag import Composable
from cloudburst_nb.local import LocalLibrary
from cloudburst_nb.packaging import Packed, pack, raw_reduce

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture


class _Inline:
    """While a thread is in this block, cloud functions that it calls run on the spot."""

    def __init__(self) -> None:
        self._threads: dict[int, int] = {}

    def here(self) -> bool:
        """Whether this thread is in the block."""
        return bool(self._threads) and threading.get_ident() in self._threads

    def __enter__(self) -> None:
        thread = threading.get_ident()
        self._threads[thread] = self._threads.get(thread, 0) + 1

    def __exit__(self, *exc: object) -> None:
        thread = threading.get_ident()
        self._threads[thread] -= 1
        if not self._threads[thread]:
            del self._threads[thread]


_inline = _Inline()
_NO_NODES: list[str] = []


class CloudFunction(Composable):
    """A function that runs in executors; calling it returns a future.

    Attributes
    ----------
    name : str
        What it is registered as.
    version : int
        1, 2, … : each registration under the same name makes a new one.
    source : str
        The text.
    raw
        The function itself.

    Examples
    --------
    >>> import cloudburst_nb as cb
    >>> @cb.function
    ... def square(x):
    ...     return x * x
    >>> square(3).get(timeout=5)
    9
    >>> square.version
    1
    """

    def __init__(self, packed: Packed, pack_again: Callable[[], Packed] | None = None) -> None:
        self._packed = packed
        self._pack_again = pack_again
        self._home: Client | None = None
        self._version = 0
        self._instance: Any = None
        spec = packed.spec
        self.name = spec.name
        self.source = spec.source
        self.signature = spec.signature
        self.raw = packed.raw
        if packed.raw is not None:
            functools.update_wrapper(self, packed.raw, updated=())

    @property
    def __cloudburst_raw__(self) -> Any:
        return self.raw

    @property
    def __cloudburst_init__(self) -> Any:
        return self._packed.init

    # ------------------------------------------------------------ calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it in an executor.

        A reference or a future among the arguments becomes the value of its key. A call whose executor
        is lost is run again ``retries`` times: at least once, so what it writes may be written twice.

        Returns
        -------
        CloudburstFuture
            At once; `CloudburstFuture.get` waits for the value. (Inside an executor, or under `local`, the
            function runs on the spot, and its value is returned.)

        Raises
        ------
        SerializationError
            If an argument cannot travel; it is named, with its type.
        RuntimeUnavailable
            After `cloudburst_nb.down`.

        Examples
        --------
        >>> future = square(3)
        >>> square(future).get(timeout=5)
        81
        """
        if _inline.here():
            return self.local(*args, **kwargs)
        client = self._home
        if client is None or client is not runtimes.state.current or runtimes.state.pending:
            client = runtimes.ensure()
            client._adopt(self)
        return client._call_plain("function", self.name, args, kwargs, _NO_NODES)

    def map(self, *iterables: Iterable[Any]) -> list[CloudburstFuture]:
        """Call it once per element (of several iterables: per tuple of elements); futures in order.

        Raises
        ------
        TypeError
            If there is no iterable.

        Examples
        --------
        >>> [future.get() for future in square.map([1, 2, 3])]
        [1, 4, 9]
        """
        if not iterables:
            raise TypeError(f"{self.name}.map() needs at least one iterable")
        client = runtimes.ensure()
        client._adopt(self)
        return client._map_function(self.name, list(zip(*iterables, strict=False)))

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now, without an executor; returns the value itself.

        Cloud functions that it calls run here and now, too, as they do inside an executor.

        Examples
        --------
        >>> square.local(12)
        144
        """
        with _inline:
            return self._run_here(args, kwargs)

    def _run_here(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        spec = self._packed.spec
        library = (LocalLibrary(),) if spec.library else ()
        if spec.kind != "class":
            return self.raw(*library, *args, **kwargs)
        if self._instance is None:
            made_with = (LocalLibrary(),) if spec.library_init else ()
            init_args, init_kwargs = self._packed.init
            self._instance = self.raw(*made_with, *init_args, **init_kwargs)
        return self._instance.run(*library, *args, **kwargs)

    # ------------------------------------------------------------ registration

    @property
    def version(self) -> int:
        """1, 2, … : each registration under the same name makes a new one."""
        client = runtimes.ensure()
        client._adopt(self)
        return self._version

    def _current_packed(self) -> Packed:
        """What to register now: packed again if something was missing when it was defined."""
        if self._packed.missing and self._pack_again is not None:
            self._packed = self._pack_again()
            self._packed = Packed(self._packed.spec, self.raw, self._packed.captured, [], self._packed.init)
        return self._packed

    def __reduce__(self) -> Any:
        return raw_reduce(self)

    def __repr__(self) -> str:
        version = f" v{self._version}" if self._version else ""
        kind = "class" if self._packed.spec.kind == "class" else "function"
        return f"<cloud {kind} {self.name}{self.signature}{version}>"

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.functions import html

        return html(self)


class CloudClass(CloudFunction):
    """A stateful function: a class that is built once per executor; ``run`` is called per request.

    If its ``__init__`` needs arguments, give them with `bind`. What an instance keeps is its executor's
    alone; what all are to share belongs into the store.

    Examples
    --------
    >>> @cb.function
    ... class Greeter:
    ...     def __init__(self, greeting="hello"):
    ...         self.greeting = greeting
    ...     def run(self, name):
    ...         return f"{self.greeting}, {name}"
    >>> Greeter("Ada").get()
    'hello, Ada'
    """

    def __init__(
        self, packed: Packed, rebind: Callable[[tuple[Any, ...], dict[str, Any]], CloudFunction]
    ) -> None:
        super().__init__(packed)
        self._rebind = rebind

    def bind(self, *args: Any, **kwargs: Any) -> CloudFunction:
        """Register it with the arguments of its ``__init__``; returns what is called.

        Raises
        ------
        SerializationError
            If an argument cannot travel.

        Examples
        --------
        >>> @cb.function
        ... class Scale:
        ...     def __init__(self, factor):
        ...         self.factor = factor
        ...     def run(self, x):
        ...         return self.factor * x
        >>> tenfold = Scale.bind(10)
        >>> tenfold(4).get()
        40
        """
        return self._rebind(args, kwargs)


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
        return _Unbound(packed, rebind)
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


class _Unbound(CloudClass):
    """A class whose ``__init__`` needs arguments that are not given yet: it is not registered."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"{self.name} is built with arguments of its own: bind them first, as in "
            f"model = {self.name}.bind(…), and call what that returns"
        )

    @property
    def version(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<cloud class {self.name}: call {self.name}.bind(…) with the arguments of its __init__>"

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.functions import html

        return html(self, bound=False)
