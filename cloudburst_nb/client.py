"""A client of one runtime: calls, state, DAGs, and what there is.

Law: this module turns what users write into messages and answers back into Python; what a call goes
through is the client core's business. Every public method is also a function of the package, which uses
the runtime of this process.
"""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cloudburst_nb import runtimes
from cloudburst_nb.addresses import listening
from cloudburst_nb.arguments import are_plain, check_arguments, pack_arguments, plain_arguments
from cloudburst_nb.dag import spec_of
from cloudburst_nb.enums import Consistency
from cloudburst_nb.errors import (
    CallTimeout,
    CloudburstError,
    KeyNotFound,
    SerializationError,
)
from cloudburst_nb.function import CloudFunction
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.history import Version, versions_of
from cloudburst_nb.journal import Journal
from cloudburst_nb.making import function
from cloudburst_nb.packaging import RETRIES_MAX, Packed
from cloudburst_nb.pipeline import Dag
from cloudburst_nb.reference import CloudburstReference
from cloudburst_nb.sessions import ENTERED, Session, current
from cloudburst_nb.status import Status, StoreStatus
from cloudburst_runtime import messages
from cloudburst_runtime.anna.results import RESULTS_PREFIX, result_key
from cloudburst_runtime.client.calls import OwnedCall
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import STORES_MAX, waits_for_disk
from cloudburst_runtime.errors import check_name
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.lattices.custom import kind_of
from cloudburst_runtime.lattices.puts import added, element, grown
from cloudburst_runtime.lattices.wrap import one_of, reveal
from cloudburst_runtime.lattices.wrap import siblings as all_values
from cloudburst_runtime.launch import local
from cloudburst_runtime.messages import Args, DagSpec
from cloudburst_runtime.seconds import limit, to_wait
from cloudburst_runtime.shell.client import ClientShell
from cloudburst_runtime.shell.clock import now_ms
from cloudburst_runtime.shell.ticket import Ticket
from cloudburst_runtime.values import Value, decode, explain

if TYPE_CHECKING:
    from cloudburst_nb.browsing import Store

_REQUIRED: Any = object()
LOOK_S = 2.0
"""A display waits no longer for the runtime than this."""


class DoneAndNotDone(NamedTuple):
    """What `Client.wait` returns: two sets of futures."""

    done: set[CloudburstFuture]
    not_done: set[CloudburstFuture]


class Client:
    """Connected to one runtime. Made by `up` and `connect`.

    A client may be used from several threads. As a context manager it is taken down at the end.

    Attributes
    ----------
    name : str
        This client among those of its runtime.

    Raises
    ------
    RuntimeUnavailable
        From every method, once the client was taken down or its runtime has died.

    Examples
    --------
    >>> with cb.up(executors=2) as client:
    ...     client.put("greeting", "hello")
    ...     client.get("greeting")
    'hello'
    """

    def __init__(self, shell: ClientShell, owned: local.LocalRuntime | None, settings: object = None) -> None:
        self._shell = shell
        self._owned = owned
        self._settings = settings
        self._nodes: dict[str, list[str]] = {}
        self._journal = Journal()
        self._followers: list[Callable[[DagSpec | None], None]] = []
        self._displays: dict[str, Any] = {}  # of DAGs, by name
        self.name = shell.name
        self._listening = listening(shell)

    # ------------------------------------------------------------ life

    @property
    def address(self) -> str:
        """What another process gives to `connect`."""
        return self._shell.address

    @property
    def key_file(self) -> str:
        """The connection file that lets clients on other hosts in; empty if the runtime does not listen.

        Examples
        --------
        >>> with cb.up(executors=2, listen="tcp://127.0.0.1:0") as client:
        ...     client.key_file.endswith("connection.json")
        True
        """
        return self._listening.path if self._listening is not None else ""

    @property
    def addresses(self) -> list[str]:
        """All that `connect` takes for this runtime; a TCP address goes with `key_file`.

        Examples
        --------
        >>> with cb.up(executors=2, listen="tcp://127.0.0.1:0") as client:
        ...     [address.partition(":")[0] for address in client.addresses]
        ['unix', 'tcp']
        """
        other = self._listening.address if self._listening is not None else self.address
        return list(dict.fromkeys([self.address, other]))

    @property
    def closed(self) -> bool:
        """Whether it was taken down."""
        return bool(self._shell.closed_because)

    @property
    def lost(self) -> bool:
        """Whether its runtime died."""
        return self._shell.core.unavailable is not None

    def down(self) -> None:
        """Disconnect; a runtime that this process started ends, with all its processes and its state.

        Doing it twice is no error.

        Examples
        --------
        >>> client = cb.up(executors=2)
        >>> client.down()
        >>> client.closed
        True
        """
        if self.closed:
            return
        why = f"the runtime at {self.address} was taken down: call cb.up() to start a new one"
        runtimes.end(self, why)
        self._shell.close(why)
        if self._owned is not None:
            self._owned.stop()

    def shutdown(self) -> None:
        """Stop the runtime, whoever started it, and disconnect.

        Examples
        --------
        >>> address = cb.up(executors=2, detach=True).address
        >>> cb.connect(address).shutdown()
        """
        self._shell.ask(messages.Shutdown)
        self.down()
        if isinstance(self._shell.where, str):
            runtimes.wait_for_end(self._shell.where)

    def _disown(self) -> None:
        """In a forked child: the runtime is the parent's, and not to be stopped from here."""
        if self._owned is not None:
            self._owned.let_go()
        self._owned = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.down()

    # ------------------------------------------------------------ functions

    def function(self, obj: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """As `cloudburst_nb.function`, registered with this client's runtime.

        Examples
        --------
        >>> client = cb.up(executors=2)
        >>> double = client.function(lambda x: 2 * x, name="double")
        >>> double(4).get()
        8
        """
        made: Any = function(obj, **options) if obj is not None else function(**options)
        if not isinstance(made, CloudFunction):
            return lambda given: self._adopted(made(given))
        return self._adopted(made)

    def _adopted(self, made: CloudFunction) -> CloudFunction:
        self._adopt(made)
        return made

    def _adopt(self, made: CloudFunction) -> None:
        """Register a function here, unless it is."""
        if made._home is self or made._packed.spec.payload == b"":
            return
        spec = made._current_packed().spec
        if isinstance(self._shell.where, Ticket):  # another host, with other directories
            spec = msgspec.structs.replace(spec, context=messages.Context())
        if self._shell.core.config.state_dir:
            from cloudburst_nb.sameness import fingerprint  # what has no past need not be compared

            spec = msgspec.structs.replace(spec, made=fingerprint(made._packed))
        registered = self._shell.ask(lambda req: messages.Register(req, spec))
        made._version = registered.version
        made._home = self
        self._changed(None)

    def register(self, packed: Packed) -> CloudFunction:
        """Register what `packaging.pack` made."""
        made = CloudFunction(packed)
        self._adopt(made)
        return made

    def get_function(self, name: str) -> CloudFunction:
        """The function registered under ``name``.

        Raises
        ------
        FunctionNotFound
            If there is none; the message has the names that come close.
        InvalidName
            If that is no name.

        Examples
        --------
        >>> cb.functions()
        ['square']
        >>> cb.get_function("square")(5).get()
        25
        """
        check_name(name, "function")
        runtimes.settle(self)
        known = runtimes.state.known.get(name)
        if known is not None and known._home is self:
            return known
        spec = self._shell.ask(lambda req: messages.Describe(req, "function", name)).function
        made = CloudFunction(Packed(spec, None, [], []))
        made._home, made._version = self, spec.version
        return made

    def _versions(self, name: str, timeout: float | None = 60.0) -> dict[int, str]:
        """The kept versions of a function, each with its text."""
        reply = self._shell.ask(lambda req: messages.Describe(req, "versions", name), timeout=timeout)
        return {spec.version: spec.source for spec in reply.versions}

    def _runs(self, name: str, timeout: float | None = 60.0) -> messages.Runs:
        """How often a function ran for anybody, alone and in DAGs, since the runtime began."""
        reply = self._shell.ask(lambda req: messages.Describe(req, "runs", name), timeout=timeout)
        runs: messages.Runs = reply.runs
        return runs

    def _earlier(self, name: str, version: int | None) -> messages.FunctionSpec:
        """An earlier version of a function, with its code; the one before the latest if none is named."""
        kept = list(self._versions(name))
        if version is None and len(kept) < 2:
            raise ValueError(f"there is only one version of {name!r}, v{kept[-1]}: nothing to go back to")
        wanted = kept[-2] if version is None else version
        if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted < 2**63:
            raise ValueError(
                f"{wanted!r:.80} is no version of {name!r}: {', '.join(map(str, kept))} are kept"
            )
        if wanted == kept[-1]:
            raise ValueError(f"v{wanted} of {name!r} is the latest version: there is nothing to roll back")
        reply = self._shell.ask(lambda req: messages.Describe(req, "version", name, wanted))
        spec: messages.FunctionSpec = reply.function
        return spec

    def functions(self, prefix: str = "") -> list[str]:
        """Names of the registered functions that begin with ``prefix``, sorted.

        Examples
        --------
        >>> cb.functions("sq")
        ['square']
        """
        runtimes.settle(self)
        _check_prefix(prefix)
        names = self._shell.ask(lambda req: messages.Describe(req, "functions")).names
        return [name for name in names if name.startswith(prefix)]

    # ------------------------------------------------------------ calls

    def call(
        self,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        kind: str = "function",
        node_args: dict[str, Any] | None = None,
        consistency: object = None,
        output_key: str | None = None,
        timeout: float | None = None,
        continuation: str | None = None,
        retries: int | None = None,
    ) -> CloudburstFuture:
        """Call a function or a DAG by name.

        Parameters
        ----------
        name
            What is called.
        args, kwargs
            Its arguments; for a DAG those of its source.
        kind
            ``"function"`` or ``"dag"``.
        node_args
            By function name, a list of arguments (or one bare argument).
        consistency, output_key, continuation, retries
            As for `Dag`.
        timeout
            Seconds that the call may take; None: no limit but the function's own.

        Raises
        ------
        InvalidName, ConsistencyError, SerializationError
            If it cannot be sent. Whatever goes wrong after that is raised by the future.

        Examples
        --------
        >>> client = cb.up(executors=2)
        >>> client.call("square", (6,)).get()
        36
        """
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r:.80}")
        check_name(name, "DAG" if kind == "dag" else kind)
        check_arguments(args, kwargs, node_args)
        runtimes.settle(self)
        by_node: dict[str | None, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        if args or kwargs or not node_args:
            by_node[None] = (args, kwargs or {})
        for node, given in (node_args or {}).items():
            by_node[node] = (tuple(given) if isinstance(given, list) else (given,), {})
        return self._submit(kind, name, by_node, consistency, output_key, timeout, continuation, retries)

    def _call_plain(
        self, kind: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], nodes: list[str]
    ) -> CloudburstFuture:
        """The common call: arguments for the only source, and no options; without detours."""
        if ENTERED.get() is not None or not are_plain(args, kwargs):
            return self._submit(kind, name, {None: (args, kwargs)})
        shell = self._shell
        call = OwnedCall(shell.new_number(), kind, name, {None: plain_arguments(name, args, kwargs)})
        future = CloudburstFuture(self, call.number, name, nodes, now_ms())
        shell.submit(call, future)
        return future

    def _map_function(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[CloudburstFuture]:
        futures: list[CloudburstFuture] = []
        start, count = 0, TOGETHER_MIN
        while start < len(rows):
            futures += self._call_together(name, rows[start : start + count])
            start, count = start + count, min(2 * count, TOGETHER_MAX)
        return futures

    def _call_together(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[CloudburstFuture]:
        """Some calls that are sent in one piece; those that refer to keys are sent by themselves."""
        calls: list[OwnedCall] = []
        plain: list[CloudburstFuture] = []
        futures: list[CloudburstFuture] = []
        now, new_number, level = now_ms(), self._shell.new_number, ENTERED.get()
        for row in rows:
            if level is not None or not are_plain(row, {}):
                futures.append(self._submit("function", name, {None: (row, {})}))
                continue
            args: dict[str | None, Args] = {None: plain_arguments(name, row, {})}
            number = new_number()
            future = CloudburstFuture(self, number, name, _NO_NODES, now)
            calls.append(OwnedCall(number, "function", name, args))
            plain.append(future)
            futures.append(future)
        if calls:
            self._shell.submit_all(calls, plain)
        return futures

    def _call_dag(
        self,
        dag: Dag,
        args: tuple[Any, ...],
        node_args: dict[str, Any],
        consistency: object,
        output_key: str | None,
        timeout: float | None,
        continuation: str | None,
        retries: int | None,
    ) -> CloudburstFuture:
        nodes = self._nodes[dag.name] = dag.functions
        plain = consistency is None and output_key is None and timeout is None and continuation is None
        if plain and not node_args and retries is None:
            return self._call_plain("dag", dag.name, args, {}, nodes)
        return self.call(
            dag.name,
            args,
            kind="dag",
            node_args=node_args,
            consistency=consistency,
            output_key=output_key,
            timeout=timeout,
            continuation=continuation,
            retries=retries,
        )

    def _submit(
        self,
        kind: str,
        name: str,
        by_node: dict[str | None, tuple[tuple[Any, ...], dict[str, Any]]],
        consistency: object = None,
        output_key: str | None = None,
        timeout: float | None = None,
        continuation: str | None = None,
        retries: int | None = None,
        pinned: dict[str, Value] | None = None,
        make: type[CloudburstFuture] = CloudburstFuture,
    ) -> CloudburstFuture:
        """Submit a call. With a ``make`` of another kind, that future hears of each task that is done."""
        session = current(self)
        level = _level(consistency, session)
        if output_key is not None:
            check_name(output_key, "key")
        if continuation is not None:
            check_name(continuation, "DAG")
        call = OwnedCall(
            self._shell.new_number(),
            kind,
            name,
            {},
            continuation=continuation,
            output_key=output_key,
            timeout=limit(timeout),
            retries=_retries(retries),
            watched=make is not CloudburstFuture,
            pinned=pinned or {},
        )
        refs: dict[str, None] = {}
        for node, (args, kwargs) in by_node.items():
            call.args[node] = pack_arguments(self, node or name, args, kwargs, call, refs)
        call.level, call.session = level, session
        call.refs = tuple(refs)
        future = make(self, call.number, name, self._nodes.get(name, []), now_ms())
        if output_key is not None:
            future._key, future._published = output_key, True
        self._shell.submit(call, future)
        return future

    # ------------------------------------------------------------ DAGs

    def dag(
        self,
        name: str,
        what: object = None,
        *,
        functions: Sequence[Any] | None = None,
        edges: Iterable[tuple[str, str]] | None = None,
        colocated: Iterable[str] = (),
        gpu: Iterable[str] = (),
        batching: Iterable[str] = (),
        replace: bool = True,
    ) -> Dag:
        """Define a DAG: any number of sources, exactly one sink, whose result is the DAG's.

        Parameters
        ----------
        name
            1 to 255 bytes of UTF-8.
        what
            ``load >> [left, right] >> merge``, one function, or a ``networkx.DiGraph`` of function names.
        functions, edges
            The same as lists: names (or cloud functions, or ``(name, [invalid results])`` for a function
            that runs once per input until a result is valid), and pairs of names. The order of the edges
            into a function is the order of its arguments.
        colocated, gpu, batching
            Names of functions to keep on one host, to run on GPUs, and to call with batches.
        replace
            Whether an existing DAG of that name is replaced (cells are run again); False: `DagExists`.

        Raises
        ------
        InvalidDag, InvalidName, FunctionNotFound, DagExists
            The message shows the cycle, the second sink, the unknown function.

        Examples
        --------
        >>> increment = cb.function(lambda x: x + 1, name="increment")
        >>> negate = cb.function(lambda x: -x, name="negate")
        >>> total = cb.function(lambda left, right: left + right, name="total")
        >>> pipe = cb.dag("pipe", increment >> [square, negate] >> total)
        >>> pipe(2).get()
        6
        """
        spec = spec_of(
            check_name(name, "DAG"), what, functions, edges, colocated=colocated, gpu=gpu, batching=batching
        )
        self._define(spec, replace)
        return self._handle(spec)

    def _define(self, spec: DagSpec, replace: bool) -> None:
        runtimes.settle(self)
        self._shell.ask(lambda req: messages.DefineDag(req, spec, replace))
        self._nodes[spec.name] = [node.function for node in spec.nodes]
        runtimes.state.dags[spec.name] = spec
        self._changed(spec)

    def _on_change(self, follower: Callable[[DagSpec | None], None]) -> None:
        """Have ``follower`` told of each DAG defined here, and (None) when a function is registered."""
        self._followers.append(follower)

    def _changed(self, spec: DagSpec | None) -> None:
        for follower in self._followers:
            follower(spec)

    def define_dag(self, spec: DagSpec, replace: bool = True) -> Dag:
        """Define a DAG from its specification."""
        self._define(spec, replace)
        return self._handle(spec)

    def builder(self, name: str | None = None) -> Dag:
        """An empty DAG, to be drawn in a notebook: displayed, it is a drawing board.

        Parameters
        ----------
        name
            What it is registered as once it has functions; if not given, a free ``"drawn_1"``, ``"drawn_2"``…
            A DAG of that name is replaced by what is drawn.

        Returns
        -------
        Dag
            What is drawn in it can be called at once.

        Examples
        --------
        >>> draft = cb.builder("draft")
        >>> draft
        <cloud DAG draft: nothing is drawn yet>
        """
        if name is None:
            taken = set(self.dags())
            name = next(free for count in itertools.count(1) if (free := f"drawn_{count}") not in taken)
        return self._handle(DagSpec(check_name(name, "DAG"), []))

    def _handle(self, spec: DagSpec) -> Dag:
        """A handle of a DAG; if it is on display, the handle follows what is drawn there."""
        dag = Dag(self, spec)
        display = self._displays.get(spec.name)
        if display is not None:
            display.hold(dag)
        return dag

    def get_dag(self, name: str) -> Dag:
        """The DAG registered under ``name``.

        Raises
        ------
        DagNotFound
            If there is none.

        Examples
        --------
        >>> made = cb.dag("only", square)
        >>> cb.get_dag("only")(7).get()
        49
        """
        spec = self._shell.ask(lambda req: messages.Describe(req, "dag", check_name(name, "DAG"))).dag
        self._nodes[name] = [node.function for node in spec.nodes]
        return self._handle(spec)

    def delete_dag(self, name: str) -> None:
        """Forget a DAG; its calls in flight finish, and its functions stay.

        Raises
        ------
        DagNotFound
            If there is none of that name.

        Examples
        --------
        >>> made = cb.dag("short-lived", square)
        >>> cb.delete_dag("short-lived")
        >>> "short-lived" in cb.dags()
        False
        """
        self._shell.ask(lambda req: messages.DeleteDag(req, check_name(name, "DAG")))
        runtimes.state.dags.pop(name, None)

    def dags(self) -> list[str]:
        """Names of the registered DAGs, sorted.

        Examples
        --------
        >>> made = cb.dag("only", square)
        >>> cb.dags()
        ['only']
        """
        return list(self._shell.ask(lambda req: messages.Describe(req, "dags")).names)

    # ------------------------------------------------------------ state

    def put(
        self,
        key: str,
        value: object,
        lattice: str | None = None,
        *,
        durability: str | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        """Merge a value into a key; it is in the store when this returns.

        Parameters
        ----------
        key
            1 to 255 bytes of UTF-8.
        value
            A set becomes a set lattice, an instance of a class that was made a lattice (`lattice`)
            stays one, anything else is last-writer-wins, or in a session at a causal level ``"causal"``.
        lattice
            How writes merge: ``"lww" "causal" "set" "ordered-set" "max" "min" "bool" "grow" "counter"
            "priority" "clock" "map"``, or nested, as ``"map[counter]"``. A causal value replaces what its
            writer had read or written of the key, and stays beside all else; a counter adds the number to
            what is there (``grow`` only upwards), a priority takes a pair ``(priority, value)`` and keeps
            the one with the smallest number, a clock takes a dict of counts, a map merges key by key.
        durability
            ``"disk"``: return when it is on disk and survives whatever happens, which needs a runtime with a
            ``state_dir``; ``"memory"``: when the store has it, which writes it to disk soon. None: as this
            client was told, or its runtime: by default ``"disk"`` where there is a ``state_dir``.
        timeout
            Seconds to wait for the acknowledgement.

        Raises
        ------
        SerializationError
            If the value cannot travel.
        LatticeMismatch
            If the key holds another type of lattice.
        StorageFull
            If there is no room for it on disk.
        CallTimeout
            If there is no acknowledgement in time; the value may be in the store.

        Examples
        --------
        >>> cb.put("visits", 1, lattice="counter")
        >>> cb.put("visits", 2, lattice="counter")
        >>> cb.get("visits")
        3
        """
        check_name(key, "key")
        sync = self._sync(durability)
        session = current(self)
        adds = False
        if lattice is None and kind_of(value) is not None:
            found = self._shell.store("read", [key], timeout=timeout, session=session)
            value, adds = grown(key, value, found[0])
        try:
            with self._shell.loop.lock:
                stamp = self._shell.core.clock.tick(now_ms())
            made = element(key, value, lattice, self.name, stamp, _level(None, session))
        except SerializationError:
            if lattice in (None, "lww") and not isinstance(value, set):
                raise SerializationError(
                    f"the value for key {key!r} cannot be stored: {explain(value, 'value')}"
                ) from None
            raise
        waits = [] if sync is None else [sync]
        made = added(made) if adds else made
        self._shell.store("write", key, made, *waits, timeout=timeout, session=session)

    def _sync(self, durability: str | None) -> bool | None:
        """Whether a put waits for the disk; None: as by default."""
        if durability is None:
            return None
        return waits_for_disk(durability, self._shell.core.config.state_dir)

    def _set_durability(self, durability: str) -> None:
        sync = self._sync(durability)
        assert sync is not None
        with self._shell.loop.lock:
            self._shell.core.requests.store.sync = sync

    def get(
        self,
        key: str,
        default: Any = _REQUIRED,
        *,
        siblings: bool = False,
        version: int | Version | None = None,
        lattice: str | None = None,
        timeout: float | None = 60.0,
    ) -> Any:
        """The value under a key. An array is a read-only view.

        Parameters
        ----------
        key
            1 to 255 bytes of UTF-8.
        default
            What to return if there is no such key.
        siblings
            All values that were written side by side at a causal level, as a list, the latest first. Without
            it, the latest of them. Of more than 64 the oldest are dropped: who has read a key, in the same
            session or call, replaces what he writes after.
        version
            An earlier version that `history` shows, or its number; None: the current one. Should two writers
            have written in the same microsecond, the number is of the later version.
        lattice
            The type that is expected. Needed only if two types were put under one new key at two stores at
            the same time: both are kept then, and this says which of them to read.
        timeout
            Seconds to wait for the store; None: as long as it takes.

        Raises
        ------
        KeyNotFound
            If there is no such key, or no such version, and no default is given.
        LatticeMismatch
            If two types of lattices lie under the key, or another one than ``lattice``.
        ConsistencyError
            In a session at ``"atomic"``, if no version is kept that goes with what its block has read: leave
            the block and begin it again.
        CallTimeout
            If the store does not answer in time.

        Examples
        --------
        >>> cb.put("threshold", 0.5)
        >>> cb.get("threshold"), cb.get("no such key", 0)
        (0.5, 0)
        """
        check_name(key, "key")
        if version is None:
            (found,) = self._shell.store("read", [key], timeout=timeout, session=current(self))
        else:
            found = self._version(key, version, timeout)
        if found is None:
            if default is _REQUIRED:
                what = "" if version is None else f"version {getattr(version, 'version', version)!r} of "
                raise KeyNotFound(f"there is no {what}key {key!r} in the store")
            return default
        if lattice is not None:
            found = one_of(found, lattice, key)
        return all_values(found, decode, key) if siblings else reveal(found, decode, key)

    def _version(self, key: str, version: int | Version, timeout: float | None) -> Any:
        number, writer = (version.version, version.writer) if isinstance(version, Version) else (version, "")
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"version= takes a number that history shows, not {number!r:.80}")
        if not 0 <= number < 2**63:
            return None
        asked: Any = self._shell.ask(lambda req: messages.GetVersion(req, key, number, writer), timeout)
        return None if asked.entry is None else asked.entry.lattice

    def history(self, key: str, *, timeout: float | None = 60.0) -> list[Version]:
        """The versions of a key that are kept, the current one first; `get` takes them, or their numbers.

        As many are kept as ``up(history=…)`` says, and of large values fewer. A deletion ends with them. They
        go along when a key is handed over to another store. Each of several stores that keep a key notes the
        versions that it comes to know, and gets the others, which it was not told of one by one, some seconds
        later; shown are those that any of them has. Until then, if a store is killed without leaving a file,
        the versions before the current one that it alone had noted are lost.

        Parameters
        ----------
        key
            1 to 255 bytes of UTF-8.
        timeout
            Seconds to wait for the store; None: as long as it takes.

        Returns
        -------
        list of Version
            Each with ``version``, ``time``, ``writer``, ``lattice``, ``nbytes``, ``clock``, and ``met``: the
            writes that met in it, because one writer had not seen what another had written.

        Raises
        ------
        KeyNotFound
            If there is no such key.
        CallTimeout
            If the store does not answer in time.

        Examples
        --------
        >>> for rate in (0.1, 0.2, 0.3):
        ...     cb.put("rate", rate)
        >>> [cb.get("rate", version=each.version) for each in cb.history("rate")]
        [0.3, 0.2, 0.1]
        """
        check_name(key, "key")
        versions = versions_of(self._shell.ask(lambda req: messages.History(req, key), timeout))
        if not versions:
            raise KeyNotFound(f"there is no key {key!r} in the store")
        return versions

    def session(self, level: object) -> Session:
        """Reads, writes and calls at a consistency level, for a ``with`` block.

        At ``"dsc"`` they are one causal session: what is read or written, here or in a function, is found by
        all that follows, and so is whatever it depended on. A session within another one goes on from what
        that has seen, at its own level; what is done in it has been seen by both. But at ``"dsrr"`` and
        ``"atomic"`` a block reads on what it has read, also where a call at another level wrote it since.

        Parameters
        ----------
        level
            One of ``"lww" "dsrr" "sk" "mk" "dsc" "atomic"``, or a `Consistency`. At ``"atomic"`` what the
            block gets is never a part of what one call has published: each key is read as it was when the
            block first read it, and with it goes all that it was published with. The block's own calls
            publish their writes all or none, and its puts are published at once, each by itself; from then
            on the block reads those.

        Returns
        -------
        Session
            For ``with``; the calls in it have its level, unless they say another one.

        Raises
        ------
        ConsistencyError
            If there is no such level.

        Examples
        --------
        >>> with cb.session("dsc"):
        ...     cb.put("draft", "to be or not to be")
        ...     cb.get("draft")
        'to be or not to be'
        """
        return Session(self, Consistency.parse(level).value)

    def delete(self, key: str, *, timeout: float | None = 60.0) -> None:
        """Delete a key; nothing happens if there is none.

        Parameters
        ----------
        key
            1 to 255 bytes of UTF-8.
        timeout
            Seconds to wait for the acknowledgement.

        Examples
        --------
        >>> cb.put("scratch", [1, 2])
        >>> cb.delete("scratch")
        >>> cb.keys("scratch")
        []
        """
        self._shell.store("delete", check_name(key, "key"), timeout=timeout, session=current(self))

    def ref(self, key: str) -> CloudburstReference:
        """A reference: as an argument it becomes the value of its key, once that exists.

        Raises
        ------
        InvalidName
            If that is no name of a key.

        Examples
        --------
        >>> cb.put("side", 9)
        >>> square(cb.ref("side")).get()
        81
        """
        return CloudburstReference(key)

    def keys(self, prefix: str = "") -> list[str]:
        """Keys in the store that begin with ``prefix``, sorted.

        Results that were put because somebody asked for a future's key are left out, unless the prefix
        says ``"result/"``.

        Examples
        --------
        >>> cb.put("user/ada", 1)
        >>> cb.put("user/bob", 2)
        >>> cb.keys("user/")
        ['user/ada', 'user/bob']
        """
        return list(self._keys(prefix).keys)

    def browse(self, prefix: str = "") -> Store:
        """The keys that begin with ``prefix`` as a table; in a notebook, one to look into.

        Examples
        --------
        >>> cb.put("user/ada", 1)
        >>> cb.browse("user/")
        key       lattice  size  versions  replicas  cached by
        user/ada  lww      ...
        """
        from cloudburst_nb.browsing import Store  # displays are loaded when something is shown

        return Store(self, prefix)

    def _keys(self, prefix: str, timeout: float | None = 60.0) -> messages.KeysReply:
        _check_prefix(prefix)
        reply: messages.KeysReply = self._shell.ask(lambda req: messages.Keys(req, prefix), timeout=timeout)
        kept = [
            index
            for index, key in enumerate(reply.keys)
            if not key.startswith(RESULTS_PREFIX) or prefix.startswith(RESULTS_PREFIX)
        ]
        return messages.KeysReply(
            reply.req,
            [reply.keys[index] for index in kept],
            [reply.lattices[index] for index in kept],
            [reply.sizes[index] for index in kept],
            [reply.readers[index] for index in kept],
            [reply.versions[index] for index in kept],
            [reply.replicas[index] for index in kept],
        )

    def new_key(self) -> str:
        """A key that nobody else uses."""
        return result_key(self.name, self._shell.new_number())

    def _publish(self, future: CloudburstFuture) -> None:
        """Put a future's value under its key, once there is one."""

        def put(done: CloudburstFuture) -> None:
            result = done._result
            if result is None or result.value is None or self.closed:
                return
            with self._shell.loop.lock:
                stamp = self._shell.core.clock.tick(now_ms())
            self._shell.store("write", done._key, LWW(stamp, self.name, result.value))

        future.add_done_callback(put)

    # ------------------------------------------------------------ many futures

    def gather(self, *futures: Any, timeout: float | None = None, progress: bool = False) -> list[Any]:
        """The values of futures (or iterables of futures), in order; the first failure is raised.

        Parameters
        ----------
        timeout
            Seconds for all of them together; None: as long as it takes. An interrupt cancels them all.
        progress
            Show meanwhile how far they are, as `progress` does.

        Raises
        ------
        CallTimeout
            If they are not done in time; the calls go on.
        Exception
            What the first call that failed raised.

        Examples
        --------
        >>> cb.gather(square.map(range(3)))
        [0, 1, 4]
        """
        wanted = _flat(futures)
        deadline = _deadline(timeout)
        if progress:
            self.progress(wanted, timeout=timeout)
        try:
            self._wait_for_all(wanted, _left(deadline))
            return [future.get(_left(deadline)) for future in wanted]
        except KeyboardInterrupt:
            _give_up(wanted)
            raise

    def _wait_for_all(self, wanted: list[CloudburstFuture], timeout: float | None) -> None:
        """Wait in one piece, until all are done or one has failed that is not behind one under way."""
        position, count = 0, len(wanted)

        def done() -> bool:
            nonlocal position
            while position < count:
                result = wanted[position]._result
                if result is None:
                    return False
                if result.failure is not None:
                    return True
                position += 1
            return True

        if all(future._client is self for future in wanted):
            self._shell.wait(done, timeout)

    def progress(self, *futures: Any, timeout: float | None = None) -> list[CloudburstFuture]:
        """Wait for futures (or iterables of futures) and show, per function, how far they are.

        In a notebook that is a live display, in a terminal a line; elsewhere one line at the end. An
        interrupt cancels the calls.

        Parameters
        ----------
        timeout
            Seconds to wait for all of them.

        Returns
        -------
        list of CloudburstFuture
            All of them, done; what a call raised is for its own ``get()`` to raise.

        Raises
        ------
        CallTimeout
            If not all are done in time; they go on.

        Examples
        --------
        >>> futures = cb.progress(square.map(range(100)))
        >>> futures[99].get()
        9801
        """
        from cloudburst_nb.display.progress import watch

        return watch(_flat(futures), timeout)

    def as_completed(self, futures: Any, timeout: float | None = None) -> Iterator[CloudburstFuture]:
        """Futures as they are done, as in ``concurrent.futures``. An interrupt of the wait cancels the rest.

        Parameters
        ----------
        timeout
            Seconds for all of them together; None: as long as it takes.

        Raises
        ------
        CallTimeout
            If not all are done in time; the calls go on.

        Examples
        --------
        >>> sorted(future.get() for future in cb.as_completed(square.map([1, 2, 3])))
        [1, 4, 9]
        """
        wanted = list(dict.fromkeys(_flat((futures,))))
        deadline = _deadline(timeout)
        arrived = self._arrivals(wanted)
        for count in range(len(wanted)):
            try:
                in_time = self._shell.wait(lambda: bool(arrived), _left(deadline))
            except KeyboardInterrupt:
                _give_up(wanted)
                raise
            if not in_time:
                self._shell.check()
                raise CallTimeout(
                    f"{len(wanted) - count} of {len(wanted)} calls are not done in {timeout:g} s"
                )
            yield arrived.pop(0)

    def wait(
        self, futures: Any, timeout: float | None = None, return_when: str = "ALL_COMPLETED"
    ) -> DoneAndNotDone:
        """Wait for futures; (done, not done), as in ``concurrent.futures``. An interrupt cancels them.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None: as long as it takes.
        return_when
            ``"ALL_COMPLETED"``, ``"FIRST_COMPLETED"`` or ``"FIRST_EXCEPTION"``.

        Raises
        ------
        ValueError
            For another word. A time-out raises nothing: what is not done is in the second set.

        Examples
        --------
        >>> done, not_done = cb.wait(square.map([1, 2, 3]))
        >>> len(done), len(not_done)
        (3, 0)
        """
        enough: dict[str, Callable[[], bool]] = {
            "ALL_COMPLETED": lambda: len(arrived) >= len(wanted),
            "FIRST_COMPLETED": lambda: bool(arrived),
            "FIRST_EXCEPTION": lambda: (
                len(arrived) >= len(wanted) or any(f._result.failure for f in arrived if f._result)
            ),
        }
        if return_when not in enough:
            raise ValueError(f"return_when must be one of {', '.join(enough)}, not {return_when!r}")
        timeout = to_wait(timeout)
        wanted = list(dict.fromkeys(_flat((futures,))))
        arrived = self._arrivals(wanted)
        try:
            if wanted:
                self._shell.wait(enough[return_when], timeout)
        except KeyboardInterrupt:
            _give_up(wanted)
            raise
        done = {future for future in wanted if future.done()}
        return DoneAndNotDone(done, set(wanted) - done)

    @staticmethod
    def _arrivals(futures: list[CloudburstFuture]) -> list[CloudburstFuture]:
        arrived: list[CloudburstFuture] = []
        for future in futures:
            future._subscribe(arrived.append)
        return arrived

    # ------------------------------------------------------------ what there is

    def status(self) -> Status:
        """Executors, functions, DAGs and the store, as of now; shows itself as a table.

        Examples
        --------
        >>> status = cb.status()
        >>> status.functions, status.keys
        ({'square': 1}, 0)
        """
        runtimes.settle(self)
        return self._status()

    def stores(self) -> list[StoreStatus]:
        """The processes that keep keys, as of now; the first is the node's. Those on other hosts, which were
        started there with ``cloudburst-nb store``, have a ``host``; those that are ``away`` do not run.

        Examples
        --------
        >>> cb.put("k", 1)
        >>> [(store.name, store.keys) for store in cb.stores()]
        [('node', 1)]
        """
        return [StoreStatus.of(stats) for stats in self._stores().stores]

    def _stores(self) -> messages.StoresReply:
        reply: messages.StoresReply = self._shell.ask(messages.Stores)
        return reply

    def add_store(self, timeout: float | None = 60.0) -> str:
        """Start one more process that keeps keys, and wait until it has its share.

        Parameters
        ----------
        timeout
            Seconds to wait; None for ever.

        Returns
        -------
        str
            Its name.

        Raises
        ------
        CallTimeout
            If it takes longer; it goes on.
        RuntimeUnavailable
            If the process ends before it has joined.

        Examples
        --------
        >>> cb.add_store()
        's2'
        >>> cb.remove_store("s2")
        """
        reply = self._shell.ask(messages.AddStore, timeout=timeout)
        return str(reply.name)

    def remove_store(self, name: str, timeout: float | None = 60.0) -> None:
        """Let a store hand over what it has, and end; or give up one that is away.

        Parameters
        ----------
        name
            As `add_store` or `stores` gives it; the node's own cannot be removed. One on another host that
            is away is not waited for any longer: what only it had is lost, and is not taken back.
        timeout
            Seconds to wait; None for ever.

        Raises
        ------
        InvalidName
            If there is no such store.
        CallTimeout
            If it takes longer; it goes on.

        Examples
        --------
        >>> cb.remove_store(cb.add_store())
        """
        check_name(name, "store")
        self._shell.ask(lambda req: messages.RemoveStore(req, name), timeout=timeout)

    def replicate(self, key: str, copies: int | None, timeout: float | None = 60.0) -> None:
        """Say how many stores keep a key, and wait until they do.

        That number stays with the key, whether it exists or not, until it is given another; stores that come
        and go change nothing about it, and with a ``state_dir`` it outlives the runtime. While there are
        fewer stores, all of them keep it. A key that is used very much is kept by more by itself.

        Parameters
        ----------
        key
            1 to 255 bytes of UTF-8.
        copies
            How many, from 1 on; with 1, the key is lost if that store dies. None: as many as keep any other
            key, which is what ``up(replication=…)`` says.
        timeout
            Seconds to wait; None for ever.

        Raises
        ------
        TypeError, ValueError
            If that is no such number.
        InvalidName
            If that is no name of a key, or too many keys have a number of their own.
        CallTimeout
            If it takes longer; it goes on.
        StorageFull
            If there is a ``state_dir`` and no room to keep the number.

        Examples
        --------
        >>> cb.put("model", [0.5, 0.25])
        >>> cb.replicate("model", 3)
        >>> cb.replicate("model", None)
        """
        check_name(key, "key")
        if copies is not None and (isinstance(copies, bool) or not isinstance(copies, int)):
            raise TypeError(f"copies is a whole number, or None; not {copies!r:.80}")
        if copies is not None and not 1 <= copies <= STORES_MAX:
            raise ValueError(f"copies is a number from 1 to {STORES_MAX}; not {copies!r:.80}")
        self._shell.ask(lambda req: messages.Replicate(req, key, copies or 0), timeout=timeout)

    def _status(self, timeout: float | None = 60.0) -> Status:
        reply = self._shell.ask(messages.Status, timeout=timeout)
        return Status(reply, self.addresses, self.key_file, self)

    def __repr__(self) -> str:
        return f"<cloudburst client of {self.address}{': down' if self.closed else ''}>"

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.statuses import html, past

        try:
            return html(self._status(timeout=LOOK_S))
        except CloudburstError as error:
            return past(self.address, str(error))

    def _ipython_display_(self) -> None:
        from cloudburst_nb.widgets.cards import RuntimeCard
        from cloudburst_nb.widgets.showing import show

        show(RuntimeCard(self))


_NO_NODES: list[str] = []
KINDS = ("function", "dag")
TOGETHER_MIN, TOGETHER_MAX = 32, 128
"""So many calls of a ``map`` are sent in one piece: few at first, or the executors would wait for them."""


def _check_prefix(prefix: object) -> None:
    if not isinstance(prefix, str):
        raise TypeError(f"prefix is a string, not {type(prefix).__name__}: {prefix!r:.80}")


def _level(consistency: object, session: ClientSession | None) -> str:
    """The level of a call: the one that is asked for, or its session's."""
    if consistency is not None:
        return Consistency.parse(consistency).value
    return "lww" if session is None else session.level


def _retries(retries: int | None) -> int | None:
    if retries is None or (type(retries) is int and 0 <= retries <= RETRIES_MAX):
        return retries
    raise ValueError(f"retries is a number of attempts, from 0 to {RETRIES_MAX}; not {retries!r:.80}")


def _give_up(futures: Iterable[CloudburstFuture]) -> None:
    """Whoever wanted them was interrupted."""
    for future in futures:
        future._give_up()


def _flat(futures: Iterable[Any]) -> list[CloudburstFuture]:
    flat: list[CloudburstFuture] = []
    for item in futures:
        if isinstance(item, CloudburstFuture):
            flat.append(item)
        elif isinstance(item, Iterable) and not isinstance(item, str | bytes):
            flat += _flat(item)
        else:
            raise TypeError(f"expected futures, or iterables of futures, not {type(item).__name__}")
    return flat


def _deadline(timeout: float | None) -> float | None:
    seconds = to_wait(timeout)
    return None if seconds is None else time.monotonic() + seconds


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def __getattr__(name: str) -> Any:
    if name in ("connect", "down", "embedded", "up"):  # they make clients, and so stand above this module
        return getattr(importlib.import_module("cloudburst_nb.starting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
