"""Cloud functions: what `cb.function` and ``%%cloudburst`` make of a function or a class.

Law: a cloud function is a name, the callable behind it, and how it is to be called. It is packed where it
is defined, so that captured globals travel as of then, and registered with a runtime when there is one; a
function that refers to names which do not exist yet is packed at its first use instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cloudburst_nb import runtimes
from cloudburst_nb.dag import Composable
from cloudburst_nb.local import Inline, LocalLibrary
from cloudburst_nb.packaging import Packed, raw_reduce, unpack

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture
    from cloudburst_nb.journal import Calls


_inline = Inline()
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
        self._home: Client | None = None
        self._version = 0
        self._take(packed, pack_again)

    def _take(self, packed: Packed, pack_again: Callable[[], Packed] | None = None) -> None:
        self._packed = packed
        self._pack_again = pack_again
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

        Parameters
        ----------
        *args, **kwargs
            The function's own. ``consistency``, unless the function itself takes an argument of that name, is
            the level of the call: ``"lww" "dsrr" "sk" "mk" "dsc" "atomic"``, or a `Consistency`.

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
        if "consistency" in kwargs and not self._takes_level:
            own = {name: given for name, given in kwargs.items() if name != "consistency"}
            return client.call(self.name, args, own, consistency=kwargs["consistency"])
        return client._call_plain("function", self.name, args, kwargs, _NO_NODES)

    @property
    def _takes_level(self) -> bool:
        """Whether an argument named ``consistency`` is the function's own."""
        return "consistency" in self.signature or "**" in self.signature

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

    def versions(self) -> dict[int, str]:
        """The versions that the runtime keeps, by number, each with its text; at most the last 50.

        Examples
        --------
        >>> client = cb.up(executors=2)
        >>> increase = cb.function(lambda x: x + 1, name="increase", source="x + 1")
        >>> increase = cb.function(lambda x: x + 2, name="increase", source="x + 2")
        >>> increase.versions()
        {1: 'x + 1', 2: 'x + 2'}
        """
        client = runtimes.ensure()
        client._adopt(self)
        return client._versions(self.name)

    def rollback(self, version: int | None = None) -> int:
        """Register an earlier version's code and text again, as a new version; returns its number.

        It takes along what it captured then. Calls in flight finish on the version that they began with.

        Parameters
        ----------
        version
            Which one; the one before the latest if not given.

        Raises
        ------
        FunctionNotFound
            If the runtime does not keep that version.
        ValueError
            If it is the latest already, or there is only one.

        Examples
        --------
        >>> client = cb.up(executors=2)
        >>> increase = cb.function(lambda x: x + 1, name="increase")
        >>> increase = cb.function(lambda x: x + 2, name="increase")
        >>> increase.rollback(1)
        3
        >>> increase(10).get()
        11
        """
        client = runtimes.ensure()
        client._adopt(self)
        spec = client._earlier(self.name, version)
        self._take(unpack(spec))
        self._home = None
        runtimes.announce(self)
        return self.version

    def stats(self) -> Calls:
        """How often this process called it since the runtime is in use, and how long the last calls took.

        Examples
        --------
        >>> square(3).get()
        9
        >>> square.stats().calls, square.stats().errors
        (1, 0)
        """
        return runtimes.ensure()._journal.of(self.name)

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

    def _ipython_display_(self) -> None:
        if self._home is None or not runtimes.running():
            raise NotImplementedError("nothing of it changes yet")
        from cloudburst_nb.widgets.cards import FunctionCard
        from cloudburst_nb.widgets.showing import show

        show(FunctionCard(self, self._home))


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


class Unbound(CloudClass):
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
