"""The one place that runs user code.

Law: whatever user code does, an `Outcome` comes out: an exception, ``sys.exit``, exhausted recursion, a
result that cannot be pickled. Only the end of the process itself (a signal, ``os._exit``) is beyond it,
and that is the supervisor's business.

A function is unpickled once per version; a class is built once per version and kept, and its ``run`` is
called per request. Arguments are decoded for each call, so that no call sees what another did to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from cloudburst_runtime.errors import SerializationError
from cloudburst_runtime.executor import failures
from cloudburst_runtime.executor.library import UserLibrary
from cloudburst_runtime.executor.printed import Streams
from cloudburst_runtime.executor.seeding import Seeds
from cloudburst_runtime.executor.tasks import Outcome, Task
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.messages import Context, Failure, FunctionSpec
from cloudburst_runtime.values import Value, decode, decode_own, encode, explain

OWN_FILES = (__file__,)

CONTEXTS_MAX = 8
CANCEL_SECONDS_MAX = 1.0
"""How long a coroutine that is left over may take to end."""


class Interrupted(BaseException):
    """Raised in user code whose call was cancelled; no ``except Exception`` catches it."""


class Loaded(NamedTuple):
    """A function ready to be called."""

    call: Callable[..., Any]
    library: bool
    context: Context
    """Equal contexts are one object, so that a change of function is seldom a change of place."""


class Sandbox:
    """Runs tasks, one call at a time, in the thread that calls `run`.

    Attributes
    ----------
    witnessing
        The library that notes what it is asked; None: as the other one.
    in_user_code
        True exactly while user code runs: only then may a signal handler raise `Interrupted`.
    tasks
        What runs: one task, or a batch.
    """

    def __init__(
        self,
        library: UserLibrary,
        streams: Streams,
        seeds: Seeds | None = None,
        witnessing: UserLibrary | None = None,
    ) -> None:
        self.library = library
        self.witnessing = library if witnessing is None else witnessing
        self.streams = streams
        self.seeds = seeds
        self.in_user_code = False
        self.tasks: list[Task] = []
        self.forked = False
        self._loaded: dict[tuple[str, int], Loaded] = {}
        self._context: Context | None = None
        self._contexts: list[Context] = []
        self._directory = ""
        self._asyncio: asyncio.AbstractEventLoop | None = None
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self.forked = True

    # ------------------------------------------------------------ running

    def run(self, tasks: list[Task]) -> list[Outcome]:
        """Run one task, or a batch of one function's, and say what came of it."""
        task = tasks[0]
        assert task.function is not None
        self.tasks = tasks
        if task.batching:
            return self._run_batch(tasks, task.function)
        failure, result, started, ended, decode_ms = self._attempt(task, lambda: self._arguments(task))
        value, invalid = None, False
        if failure is None:
            value, failure = self._encode(result, task.function)
            if task.node is not None and task.node.invalid and failure is None:
                invalid = _is_invalid(result, task.node.invalid)
        stdout, stderr = self.streams.take()
        return [Outcome(value, failure, started, ended, stdout, stderr, invalid, decode_ms)]

    def _attempt(
        self, task: Task, arguments: Callable[[], tuple[list[Any], dict[str, Any]]]
    ) -> tuple[Failure | None, Any, float, float, float]:
        """Call the task's function; (failure, result, started, ended, milliseconds of decoding)."""
        function = task.function
        assert function is not None
        failure, result = None, None
        began = started = time.monotonic() * 1000
        decode_ms = 0.0
        try:
            loaded = self._loaded.get((function.name, function.version))
            if loaded is None:
                loaded = self._load(function)
                began = time.monotonic() * 1000
            args, kwargs = arguments()
            if loaded.context is not self._context:
                self._enter_context(loaded.context)
            library = (self._library_for(task),) if loaded.library else ()
            if self.seeds is not None:
                self.seeds.for_task(task)
            started = time.monotonic() * 1000
            decode_ms = started - began
            self.in_user_code = True
            result = loaded.call(*library, *args, **kwargs)
            if inspect.iscoroutine(result):
                result = self._complete(result)
            self.in_user_code = False
        except Interrupted:
            self.in_user_code = False
            failure = Failure("CallCancelled", f"the call of {function.name!r} was cancelled")
        except BaseException as error:
            self.in_user_code = False
            failure = failures.failure_of(error, function.name, OWN_FILES)
        ended = time.monotonic() * 1000
        if self.forked:  # user code forked, and the child came back here: it is no executor
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            os._exit(0 if failure is None else 1)
        self.library._task = self.witnessing._task = None
        try:
            if (
                os.getcwd() != self._directory
            ):  # user code went elsewhere: the next call is not to begin there
                self._context = None
        except OSError:  # and removed it
            self._context = None
        return failure, result, started, ended, decode_ms

    def _library_for(self, task: Task) -> UserLibrary:
        return (self.witnessing if task.header.record else self.library)._for(task)

    def _complete(self, coroutine: Any) -> Any:
        """Run a coroutine to its end, on an event loop that is kept."""
        if self._asyncio is None or self._asyncio.is_closed():
            self._asyncio = asyncio.new_event_loop()
        try:
            return self._asyncio.run_until_complete(coroutine)
        finally:
            self._end_coroutines(self._asyncio)

    def _end_coroutines(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is left of a call, so that it does not go on in the next one."""
        left = asyncio.all_tasks(loop)
        if not left or self.forked:
            return
        for unfinished in left:
            unfinished.cancel()
        _, pending = loop.run_until_complete(asyncio.wait(left, timeout=CANCEL_SECONDS_MAX))
        if pending:  # it will not be cancelled: its event loop is left behind with it
            self._asyncio = None

    def _encode(self, result: Any, function: FunctionSpec) -> tuple[Value | None, Failure | None]:
        try:
            return encode(result), None
        except SerializationError:
            culprit = explain(result, "the result")
            message = f"{function.name!r} returned what cannot be sent back: {culprit}"
            return None, Failure("SerializationError", message)
        except BaseException as error:  # a __reduce__ of the user's that raises something else
            return None, failures.failure_of(error, function.name, OWN_FILES)

    # ------------------------------------------------------------ arguments

    def _arguments(self, task: Task) -> tuple[list[Any], dict[str, Any]]:
        """Fixed arguments with references filled in, then the predecessors' results in order.

        A predecessor that returned a tuple supplies several arguments.
        """
        if task.args is None:
            args, kwargs = [], {}
        else:
            given, kwargs = decode_own(task.args.value)
            args = list(given)
            if task.resolved:
                for slot, lattice in task.resolved.items():
                    _fill(args, kwargs, slot, reveal(lattice, decode))
            for inline in task.args.inline:
                _fill(args, kwargs, inline.slot, decode_own(inline.value))
        for trigger in task.inputs:
            assert trigger.value is not None
            value = decode_own(trigger.value)
            if type(value) is tuple:
                args.extend(value)
            else:
                args.append(value)
        return args, kwargs

    # ------------------------------------------------------------ batches

    def _run_batch(self, tasks: list[Task], function: FunctionSpec) -> list[Outcome]:
        """Call a batching function once, with a list per argument, and deal the results out."""
        failure, results, started, ended, decode_ms = self._attempt(
            tasks[0], lambda: self._columns(tasks, function)
        )
        stdout, stderr = self.streams.take()
        if failure is None:
            failure = self._check_batch(results, tasks, function)
        outcomes = []
        for index, _task in enumerate(tasks):
            value, own = None, failure
            if failure is None:
                value, own = self._encode(results[index], function)
            outcomes.append(Outcome(value, own, started, ended, stdout, stderr, False, decode_ms))
        return outcomes

    def _columns(self, tasks: list[Task], function: FunctionSpec) -> tuple[list[Any], dict[str, Any]]:
        rows = [self._arguments(task) for task in tasks]
        counts = {(len(args), tuple(sorted(kwargs))) for args, kwargs in rows}
        if len(counts) > 1:
            raise TypeError(f"requests of the batching function {function.name!r} differ in their arguments")
        args = [list(column) for column in zip(*(args for args, _ in rows), strict=True)]
        kwargs = {name: [row[1][name] for row in rows] for name in rows[0][1]}
        return args, kwargs

    @staticmethod
    def _check_batch(results: Any, tasks: list[Task], function: FunctionSpec) -> Failure | None:
        try:
            count = len(results)
        except TypeError:
            count = -1
        if count == len(tasks) and hasattr(results, "__getitem__") and not isinstance(results, str | dict):
            return None
        said = f"a {type(results).__name__}" + (f" of {count}" if count >= 0 else "")
        message = (
            f"the batching function {function.name!r} got lists of {len(tasks)} and returned {said}: "
            f"it must return a list with one result per request"
        )
        return Failure("user", message, "", encode(ValueError(message)))

    # ------------------------------------------------------------ loading

    def _load(self, function: FunctionSpec) -> Loaded:
        context = next((known for known in self._contexts if known == function.context), None)
        if context is None:
            context = function.context
            self._contexts = [*self._contexts[-CONTEXTS_MAX:], context]
        if context is not self._context:
            self._enter_context(context)
        failures.remember_cells(function.cells)
        call = self._load_class(function) if function.kind == "class" else pickle.loads(function.payload)
        loaded = Loaded(call, function.library, context)
        self._loaded[(function.name, function.version)] = loaded
        return loaded

    def _load_class(self, function: FunctionSpec) -> Any:
        """Build the instance: once per executor and version."""
        made, args, kwargs = pickle.loads(function.payload)
        library = (self._library_for(self.tasks[0]),) if function.library_init else ()
        if self.seeds is not None:
            self.seeds.for_class(function.name, function.version)
        instance = made(*library, *args, **kwargs)
        if self.tasks[0].header.record:
            with contextlib.suppress(SerializationError):  # then a replay can only build it anew
                self.tasks[0].built = encode(instance).copied()
        return instance.run

    def unload(self, name: str, version: int) -> None:
        """Forget a version that no call uses any more."""
        self._loaded.pop((name, version), None)

    def _enter_context(self, context: Context) -> None:
        """Be where the function was registered: working directory, environment, import path."""
        self._context = context
        if context.cwd:
            try:
                os.chdir(context.cwd)
            except OSError as error:
                raise FileNotFoundError(
                    f"the notebook's directory {context.cwd!r} is gone: {error}"
                ) from None
        if context.sys_path:
            sys.path[:] = context.sys_path
        if context.environ:
            os.environ.update(context.environ)
        self._directory = _directory()


def _directory() -> str:
    """Where this process is; empty if that directory was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _fill(args: list[Any], kwargs: dict[str, Any], slot: int | str, value: Any) -> None:
    if isinstance(slot, int):
        args[slot] = value
    else:
        kwargs[slot] = value


def _is_invalid(result: Any, invalid: list[Value]) -> bool:
    """Whether a result is one of those that a MULTIEXEC node drops."""
    for encoded in invalid:
        value = decode(encoded)
        if type(value) is not type(result):
            continue
        try:
            if bool(value == result):
                return True
        except Exception:  # arrays and frames compare element by element
            continue
    return False
