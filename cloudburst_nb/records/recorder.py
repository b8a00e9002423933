"""Watches a client while it is used, and writes down what determines the run.

Law: user code does not notice. What happens is noted where it happens, in microseconds, and written by a
thread of its own; what cannot be written ends the recording, not the run, and is said when it is closed.

A client that is watched has a `WatchedShell` in the place of its shell: the one place where calls and
operations on the store leave a client, so nothing else needs to know of recordings.
"""

from __future__ import annotations

import itertools
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from cloudburst_nb import runtimes
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.folder import Log
from cloudburst_nb.records.format import Called, Dag, Kept, LogEntry, Runtime, Stored
from cloudburst_nb.records.keeping import Keeper
from cloudburst_runtime import messages
from cloudburst_runtime.client.calls import OwnedCall
from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import CloudburstError
from cloudburst_runtime.messages import Args, DagSpec, Failure, Result
from cloudburst_runtime.shell.client import ClientShell
from cloudburst_runtime.shell.clock import now_ms
from cloudburst_runtime.shell.ticket import Ticket

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.future import CloudburstFuture

BLOCK_ENTRIES_MAX = 200
BLOCK_AFTER_S = 0.5
UNFINISHED = Failure("unfinished", "it had no outcome yet when the recording ended")

Note: TypeAlias = Callable[[], LogEntry]
"""Makes an entry of what was noted, in the thread that writes."""


class Opened(NamedTuple):
    """A call under way: with copies of its arguments, whose client it is, and in which cell it was made."""

    call: OwnedCall
    args: dict[str | None, Args]
    client: int
    cell: int


class Recorder:
    """Records the clients that it is attached to into one log.

    Parameters
    ----------
    log
        Where to.
    cell
        The number of the cell that runs now; 0 where there are no cells.

    Attributes
    ----------
    calls
        The index of each recorded call, by client and number.
    failure
        Why nothing is written any more, once something could not be.
    """

    def __init__(self, log: Log, cell: Callable[[], int] = lambda: 0) -> None:
        self.log = log
        self.cell = cell
        self.keeper = Keeper(log)
        self.calls: dict[tuple[str, int], int] = {}
        self.failure: RecordError | None = None
        self._watched: dict[Client, WatchedShell] = {}
        self._open: dict[int, Opened] = {}
        self._indices = itertools.count()
        self._queue: queue.SimpleQueue[Note | threading.Event] = queue.SimpleQueue()
        self._closed = False
        self._clients = 0
        _forget_after_fork(self)
        self._thread = threading.Thread(target=self._write, name="cloudburst-recorder", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ which clients

    def attach(self, client: Client) -> None:
        """Watch a client from now on; what it has defined is written down first.

        Raises
        ------
        RecordError
            If its runtime is on another host, whose values may lie in memory that cannot be reached here.
        """
        if client in self._watched or self._closed:
            return
        shell = client._shell
        if isinstance(shell.where, Ticket):
            raise RecordError("calls are recorded on the runtime's own host, and this one is on another")
        number, self._clients = self._clients, self._clients + 1
        config = shell.core.config
        self.note(lambda: _runtime(number, config))
        self._note_what_there_is(client, number)
        self._watched[client] = WatchedShell(shell, self, number)
        client._shell = cast(ClientShell, self._watched[client])

    def _note_what_there_is(self, client: Client, number: int) -> None:
        for made in list(runtimes.state.known.values()):
            if made._home is client:
                self._note_function(number, made._packed.spec, made._version)
        for name in client.dags():
            self._note_dag(number, client.get_dag(name)._spec)

    def _note_dag(self, client: int, spec: DagSpec) -> None:
        self.note(lambda: _dag(client, spec))

    def _note_function(self, client: int, spec: messages.FunctionSpec, version: int) -> None:
        self.note(lambda: self.keeper.function(client, spec, version))

    def detach(self) -> None:
        """Watch nobody any more."""
        for client, watched in self._watched.items():
            client._shell = watched._shell
        self._watched.clear()

    def wait(self) -> None:
        """Wait for the calls under way; an interrupt ends the waiting."""
        for watched in list(self._watched.values()):
            watched.wait(lambda: not self._open)

    # ------------------------------------------------------------ what happens

    def submitted(self, client: int, call: OwnedCall, name: str) -> int:
        """A call leaves the client; its arguments are copied before user code can change them."""
        index = self.calls[(name, call.number)] = next(self._indices)
        args = {
            node: Args(given.value.copied() if given.value.buffers else given.value, given.refs, given.inline)
            for node, given in call.args.items()
        }
        call.record = True
        self._open[index] = Opened(call, args, client, self.cell())
        return index

    def resolved(self, index: int, result: Result, at: float) -> None:
        """A call has its outcome."""
        opened = self._open.pop(index, None)
        if opened is not None:
            self.note(lambda: _called(self.keeper, index, opened, result, at))

    def asked(self, client: int, message: Any, answer: Any) -> None:
        """The client asked its node for something."""
        if isinstance(message, messages.Register):
            self._note_function(client, message.function, answer.version)
        elif isinstance(message, messages.DefineDag):
            self._note_dag(client, message.dag)

    def stored(self, client: int, kind: str, arguments: tuple[Any, ...], answer: Any) -> None:
        """The client itself used the store."""
        at, cell = now_ms(), self.cell()
        failure = answer if isinstance(answer, Failure) else None
        keys = list(arguments[0]) if kind == "read" else [arguments[0]]
        lattices = arguments[1:2] if kind == "write" else answer if kind == "read" and not failure else ()
        self.note(
            lambda: Stored(
                client, kind, at, keys, [self.keeper.lattice(each) for each in lattices],
                self.keeper.failure(failure), cell,
            )
        )  # fmt: skip

    def note(self, note: Note) -> None:
        """Have an entry written."""
        if not self._closed:
            self._queue.put(note)

    # ------------------------------------------------------------ writing

    def _write(self) -> None:
        """Write what is noted, several entries at once, until the recording is closed."""
        while True:
            notes = self._gathered()
            flags = [note for note in notes if isinstance(note, threading.Event)]
            self._write_block([note for note in notes if not isinstance(note, threading.Event)])
            for flag in flags:
                flag.set()
            if self._closed and self._queue.empty():
                return

    def _gathered(self) -> list[Note | threading.Event]:
        notes = [self._queue.get()]
        until = time.monotonic() + BLOCK_AFTER_S
        while len(notes) < BLOCK_ENTRIES_MAX and not isinstance(notes[-1], threading.Event):
            try:
                notes.append(self._queue.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return notes

    def _write_block(self, notes: list[Note]) -> None:
        if self.failure is not None or not notes:
            return
        try:
            self.log.append([note() for note in notes])
        except RecordError as error:
            self.failure = error
        except Exception as error:  # a defect of ours must not end the run
            self.failure = RecordError(f"the recording stopped: {type(error).__name__}: {error}")

    def flush(self) -> None:
        """Wait until all that was noted is written."""
        if self._closed:
            return
        written = threading.Event()
        self._queue.put(written)
        written.wait()

    def close(self) -> None:
        """End the recording; calls without an outcome are written down as such.

        Raises
        ------
        RecordError
            If something could not be written.
        """
        if not self._closed:
            self.detach()
            for index, opened in list(self._open.items()):
                result = Result(opened.call.number, opened.call.attempt, None, [], UNFINISHED)
                self.resolved(index, result, now_ms())
            self.flush()
            self._closed = True
            self._queue.put(threading.Event())
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _let_go(self) -> None:
        """In a forked child: the recording is the parent's."""
        self._closed = True


def _forget_after_fork(recorder: Recorder) -> None:
    known = weakref.ref(recorder)

    def in_child() -> None:
        left = known()
        if left is not None:
            left._let_go()

    os.register_at_fork(after_in_child=in_child)


# ---------------------------------------------------------------- in the place of the shell


class WatchedShell:
    """A client's shell, and a recorder that is told of what goes through it."""

    def __init__(self, shell: ClientShell, recorder: Recorder, client: int) -> None:
        self._shell = shell
        self._recorder = recorder
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shell, name)

    def submit(self, call: OwnedCall, future: CloudburstFuture) -> None:
        """As of the shell."""
        self._watch(call, future)
        self._shell.submit(call, future)

    def submit_all(self, calls: list[OwnedCall], futures: Sequence[CloudburstFuture]) -> None:
        """As of the shell."""
        for call, future in zip(calls, futures, strict=True):
            self._watch(call, future)
        self._shell.submit_all(calls, futures)

    def _watch(self, call: OwnedCall, future: CloudburstFuture) -> None:
        self._shell.check()
        index = self._recorder.submitted(self._client, call, self._shell.name)

        def resolved(done: CloudburstFuture) -> None:
            assert done._result is not None
            self._recorder.resolved(index, done._result, done._ended)

        future._subscribe(resolved)

    def ask(self, make: Callable[[int], Any], *more: Any, **options: Any) -> Any:
        """As of the shell."""
        made: list[Any] = []

        def kept(req: int) -> Any:
            made.append(make(req))
            return made[0]

        answer = self._shell.ask(kept, *more, **options)
        self._recorder.asked(self._client, made[0], answer)
        return answer

    def store(self, kind: str, *arguments: Any, **options: Any) -> Any:
        """As of the shell."""
        try:
            answer = self._shell.store(kind, *arguments, **options)
        except CloudburstError as error:
            failure = Failure(type(error).__name__, str(error))
            self._recorder.stored(self._client, kind, arguments, failure)
            raise
        self._recorder.stored(self._client, kind, arguments, answer)
        return answer


# ---------------------------------------------------------------- entries


def _runtime(client: int, config: Config) -> Runtime:
    return Runtime(client, config.seed, config.executors_min, config.executors_max, config.policy)


def _dag(client: int, spec: DagSpec) -> Dag:
    nodes = [(node.function, node.invalid is not None, node.gpu, node.batching) for node in spec.nodes]
    return Dag(client, spec.name, nodes, list(spec.edges), list(spec.colocated))


def _called(keeper: Keeper, index: int, opened: Opened, result: Result, at: float) -> Called:
    call = opened.call
    nodes = _nodes(keeper, call)
    functions = [(name, version) for name, version, *_ in nodes]
    return Called(
        index,
        opened.client,
        call.number,
        call.kind,
        call.target,
        call.submitted,
        at,
        [(node, keeper.args(given)) for node, given in opened.args.items()],
        nodes,
        [] if call.held is None else list(call.held.lease.plan.edges),
        result.attempt,
        keeper.optional(result.value),
        keeper.failure(result.failure),
        [keeper.step(step, functions) for step in result.steps],
        call.output_key,
        call.timeout,
        call.continuation,
        opened.cell,
        {name: keeper.value(value) for name, value in call.pinned.items()},
        call.level,
    )


def _nodes(keeper: Keeper, call: OwnedCall) -> list[tuple[str, int, list[Kept] | None, bool]]:
    """The nodes of the plan that a call ran; none if it was never placed."""
    if call.held is None:
        return []
    plan = call.held.lease.plan
    nodes = []
    for node, version in zip(plan.nodes, plan.versions, strict=True):
        invalid = None if node.invalid is None else [keeper.value(each) for each in node.invalid]
        nodes.append((node.function, version, invalid, node.batching))
    return nodes


def cell_now() -> int:
    """The execution count of the cell that runs in this kernel; 0 outside of one."""
    return max(0, len(cell_sources()) - 1)


def cell_sources() -> list[str]:
    """The sources of the cells that ran in this kernel, the present one last; IPython counts them from 1."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return [] if shell is None else list(shell.user_ns.get("In", []))
