"""The original's client: code written for it runs with its import lines changed.

Law: this module only translates; every call goes to the native client, and whatever is wrong raises (the
original returned ``('ERROR: …', bytes)`` as if it were a result).

The original passes its user library to every function as first argument, names the function where the
native client passes the object, stores every result under a key, and returns error codes for DAGs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.errors import (
    DagExists,
    DagNotFound,
    FunctionNotFound,
    InvalidDag,
    NoResources,
    check_name,
)

from .dag import spec_of
from .enums import Consistency, ErrorCode
from .expression import Composable
from .packaging import pack, raw_reduce
from .reference import CloudburstReference

if TYPE_CHECKING:
    from cloudburst_runtime.messages import DagSpec

    from .native import Future, Native

__all__ = [
    "CloudburstConnection",
    "CloudburstFunction",
    "CloudburstFuture",  # noqa: F822
    "CloudburstReference",
    "Consistency",
    "ErrorCode",
]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def __getattr__(name: str) -> Any:
    # The native future is the original's too; the client that makes it is loaded when first used.
    if name == "CloudburstFuture":
        return importlib.import_module("cloudburst_nb.future").CloudburstFuture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class CloudburstFunction(Composable):
    """A registered function: calling it submits a request, whose result is stored under a key.

    Attributes
    ----------
    name
        What it was registered under.
    """

    def __init__(self, name: str, client: Native, native: Any) -> None:
        self.name = name
        self._client = client
        self._native = native

    def __call__(self, *args: Any, **kwargs: Any) -> Future:
        """Submit a request.

        Parameters
        ----------
        args, kwargs
            What follows the user library. A `CloudburstReference` or a future becomes its key's value.

        Returns
        -------
        CloudburstFuture
            ``get()`` waits for the result; ``obj_id`` is the key that it is stored under.
        """
        return self._client.call(self.name, args, kwargs, output_key=self._client.new_key())

    @property
    def __cloudburst_raw__(self) -> Any:
        return self._native.__cloudburst_raw__

    @property
    def __cloudburst_init__(self) -> Any:
        return getattr(self._native, "__cloudburst_init__", ((), {}))

    def __reduce__(self) -> Any:
        return raw_reduce(self)

    def __repr__(self) -> str:
        return f"<CloudburstFunction {self.name!r}>"


class CloudburstConnection:
    """A connection to Cloudburst, with the original's methods.

    Parameters
    ----------
    func_addr
        The address of the runtime. A loopback address means the runtime of this process, which is
        started if none is running.
    ip, tid
        Part of the original's signature: the client's own address and port offset, which are not needed.
    local
        Use the runtime of this process, whatever ``func_addr`` says.

    Raises
    ------
    RuntimeUnavailable
        If no runtime answers at the address.

    Examples
    --------
    >>> cloudburst = CloudburstConnection("127.0.0.1", "127.0.0.1", local=True)
    >>> square = cloudburst.register(lambda library, x: x * x, "square")
    >>> square(3).get()
    9
    """

    def __init__(
        self, func_addr: str = "127.0.0.1", ip: str = "127.0.0.1", tid: int = 0, local: bool = False
    ) -> None:
        native = importlib.import_module("cloudburst_nb.starting")
        if local or func_addr in LOOPBACK:
            self._client: Native = native.embedded()
        elif isinstance(func_addr, str) and func_addr:
            self._client = native.connect(func_addr)
        else:
            raise TypeError(f"func_addr must be the address of a runtime, not {func_addr!r:.80}")
        self._dags: dict[str, DagSpec] = {}

    # ---- functions

    def register(self, function: Any, name: str) -> CloudburstFunction:
        """Register a function, or a class with its arguments, under a name.

        Parameters
        ----------
        function
            A function that takes the user library first; or ``(Class, init_args)``: the class is built
            with ``(library, *init_args)`` where it runs, and its ``run`` called with each request.
        name
            What it is called by; an equal name makes a new version.

        Raises
        ------
        InvalidName, SerializationError, TypeError
            If it cannot be registered so.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> add = cloudburst.register(lambda library, a, b: a + b, "add")
        >>> add(2, 3).get()
        5
        """
        init = None
        if isinstance(function, tuple):
            function, init = _class_and_arguments(function)
        packed = pack(function, check_name(name, "function"), library=True, init=init)
        return CloudburstFunction(name, self._client, self._client.register(packed))

    def get_function(self, name: str) -> CloudburstFunction | None:
        """The handle of a registered function; None, and a printed hint, if there is none of that name.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> cloudburst.get_function("squire")
        No function named 'squire' is registered; list() shows those that are.
        """
        try:
            native = self._client.get_function(name)
        except FunctionNotFound:
            print(f"No function named {name!r} is registered; list() shows those that are.")  # noqa: T201
            return None
        return CloudburstFunction(name, self._client, native)

    def list(self, prefix: str | None = None) -> Sequence[str]:
        """Print, and return, the names of the registered functions that begin with ``prefix``.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> cube = cloudburst.register(lambda library, x: x**3, "cube")
        >>> names = cloudburst.list("cu")
        cube
        """
        names = self._client.functions(prefix or "")
        print("\n".join(names))  # noqa: T201
        return names

    def exec_func(self, name: str, args: Any) -> str:
        """Call a function by name with a list or tuple of arguments; return the key of its result.

        Raises
        ------
        InvalidName, SerializationError
            If the call cannot be sent.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> add = cloudburst.register(lambda library, a, b: a + b, "add")
        >>> key = cloudburst.exec_func("add", [2, 3])
        """
        key = self._client.new_key()
        given = args if isinstance(args, tuple) else tuple(_arguments(args))
        self._client.call(name, given, {}, output_key=key)
        return key

    # ---- DAGs

    def register_dag(
        self,
        name: str,
        functions: Sequence[Any],
        connections: Iterable[tuple[str, str]],
        gpu_functions: Iterable[str] = (),
        batching_functions: Iterable[str] = (),
        colocated: Iterable[str] = (),
    ) -> tuple[bool, ErrorCode]:
        """Define a DAG.

        Parameters
        ----------
        name
            What it is called by.
        functions
            Names of registered functions; ``(name, [invalid results])`` for one that runs once per
            trigger until it has a result that is not among these.
        connections
            Pairs of names: the first one's result is an argument of the second.
        gpu_functions, batching_functions, colocated
            Those that need a GPU; that take up to 20 requests in one call; that should share a host.

        Returns
        -------
        tuple
            ``(True, NO_ERROR)``, ``(False, DAG_ALREADY_EXISTS)`` or ``(False, NO_RESOURCES)``.

        Raises
        ------
        RuntimeError
            If one of the functions is not registered.
        InvalidDag
            If it is no DAG with one sink.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> for name, function in {"increment": lambda _, x: x + 1, "double": lambda _, x: 2 * x}.items():
        ...     made = cloudburst.register(function, name)
        >>> cloudburst.register_dag("composed", ["increment", "double"], [("increment", "double")])
        (True, <ErrorCode.NO_ERROR: 0>)
        >>> cloudburst.call_dag("composed", {"increment": 2}, direct_response=True)
        6
        """
        spec = spec_of(
            name,
            functions=functions,
            edges=connections,
            gpu=gpu_functions,
            batching=batching_functions,
            colocated=colocated,
        )
        for node in spec.nodes:
            self._require(node.function, name)
        try:
            self._client.define_dag(spec, replace=False)
        except DagExists:
            return False, ErrorCode.DAG_ALREADY_EXISTS
        except NoResources:
            return False, ErrorCode.NO_RESOURCES
        self._dags[name] = spec
        return True, ErrorCode.NO_ERROR

    def call_dag(
        self,
        dname: str,
        arg_map: Mapping[str, Any] | None = None,
        direct_response: bool = False,
        consistency: Consistency | str = Consistency.NORMAL,
        output_key: str | None = None,
        client_id: str | None = None,
        dry_run: bool = False,
        continuation: str | None = None,
    ) -> Any:
        """Call a DAG.

        Parameters
        ----------
        dname
            The DAG's name.
        arg_map
            For each function by name a list of arguments, or one bare argument; the results of its
            predecessors follow them.
        direct_response
            Wait, and return the value. If false, return a future whose result is stored in the store.
        consistency
            A `Consistency`, or its name.
        output_key
            The key that the result is stored under; a new one if not given.
        client_id
            Part of the original's signature; this process has an identity of its own.
        dry_run
            Check everything and run nothing; returns None.
        continuation
            The name of a second DAG that the result is fed into.

        Raises
        ------
        DagNotFound
            If no DAG of that name is defined.
        InvalidDag
            If ``arg_map`` names a function that the DAG does not have.
        ConsistencyError
            If there is no such level.
        Exception
            With ``direct_response``, whatever the DAG raised.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> half = cloudburst.register(lambda library, x: x / 2, "half")
        >>> cloudburst.register_dag("halved", ["half"], [])
        (True, <ErrorCode.NO_ERROR: 0>)
        >>> cloudburst.call_dag("halved", {"half": [5]}).get()
        2.5
        """
        level = Consistency.parse(consistency)
        node_args = _node_arguments(arg_map)
        self._check_names(dname, node_args, continuation)
        if output_key is not None:
            check_name(output_key, "key")
        if dry_run:
            self._check_defined(dname, continuation)
            return None
        if output_key is None and not direct_response:
            output_key = self._client.new_key()
        future = self._client.call(
            dname,
            (),
            {},
            kind="dag",
            node_args=node_args,
            consistency=level,
            output_key=output_key,
            continuation=continuation,
        )
        return future.get() if direct_response else future

    def delete_dag(self, dname: str) -> tuple[bool, ErrorCode]:
        """Delete a DAG: ``(True, NO_ERROR)``, or ``(False, NO_SUCH_DAG)``. Its functions stay.

        Examples
        --------
        >>> CloudburstConnection().delete_dag("never defined")
        (False, <ErrorCode.NO_SUCH_DAG: 4>)
        """
        try:
            self._client.delete_dag(dname)
        except DagNotFound:
            return False, ErrorCode.NO_SUCH_DAG
        self._dags.pop(dname, None)
        return True, ErrorCode.NO_ERROR

    # ---- the store

    def get_object(self, key: str) -> Any:
        """The value of a key.

        Raises
        ------
        KeyNotFound
            If the store has no such key.

        Examples
        --------
        >>> cloudburst = CloudburstConnection()
        >>> cloudburst.put_object("k", [1, 2])
        True
        >>> cloudburst.get_object("k")
        [1, 2]
        """
        return self._client.get(key)

    def put_object(self, key: str, value: object) -> bool:
        """Store a value under a key; True once the store has it.

        Raises
        ------
        SerializationError
            If the value cannot travel.
        LatticeMismatch
            If the key holds another type of lattice.

        Examples
        --------
        >>> CloudburstConnection().put_object("weights", {"bias": 0.5})
        True
        """
        self._client.put(key, value)
        return True

    # ---- checks

    def _require(self, function: str, dag: str) -> None:
        try:
            self._client.get_function(function)
        except FunctionNotFound:
            raise RuntimeError(
                f"DAG {dag!r} needs a function {function!r}, which is not registered: register it first"
            ) from None

    def _check_defined(self, *names: str | None) -> None:
        defined = self._client.dags()
        for name in names:
            if name is not None and name not in defined:
                raise DagNotFound(f"no DAG named {name!r} is defined")

    def _check_names(self, dag: str, node_args: Mapping[str, Any], continuation: str | None) -> None:
        # DAGs that someone else defined are checked by the native client, when it has their plan.
        called = [dag] if continuation is None else [dag, continuation]
        if all(name in self._dags for name in called):
            known = [node.function for name in called for node in self._dags[name].nodes]
            for function in node_args:
                if function not in known:
                    raise InvalidDag(f"DAG {dag!r} has no function {function!r}; it has {', '.join(known)}")


def _class_and_arguments(pair: tuple[Any, ...]) -> tuple[type, tuple[tuple[Any, ...], dict[str, Any]]]:
    if len(pair) != 2 or not isinstance(pair[0], type):
        raise TypeError(f"register takes a function, or a pair (Class, init_args); not {pair!r:.80}")
    cls, given = pair
    return cls, (given if isinstance(given, tuple) else tuple(_arguments(given)), {})


def _arguments(given: Any) -> Sequence[Any]:
    """The arguments that the original means: a list of them, or one bare argument."""
    return given if isinstance(given, list) else [given]


def _node_arguments(arg_map: Any) -> dict[str, list[Any]]:
    if arg_map is None:
        return {}
    if not isinstance(arg_map, Mapping):
        raise TypeError(f"arg_map must be a dict, from function name to arguments; not {arg_map!r:.80}")
    return {check_name(name, "function"): list(_arguments(args)) for name, args in arg_map.items()}
