"""The future of one call.

Law: a future is resolved once, by the client's loop, with the raw result; the value is decoded when it is
first asked for, in the thread that asks. What a future shows of its call it was told by messages; it never
asks anybody.
"""

from __future__ import annotations

import contextvars
import pickle
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from cloudburst_nb.errors import CallCancelled, CallTimeout, ErrorKinds, RemoteTraceback, SerializationError
from cloudburst_nb.past import PastCall
from cloudburst_runtime.anna.results import result_key
from cloudburst_runtime.messages import Failure, Result, Running
from cloudburst_runtime.seconds import to_wait
from cloudburst_runtime.values import decode_own

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

_UNSET: Any = object()


class CloudburstFuture:
    """What a call will return.

    Futures are made by calling a cloud function or a DAG; do not construct them.

    Attributes
    ----------
    timings : dict
        Seconds: ``queued`` (waiting in executors), ``transfer`` (on the way there and back), ``run`` (in
        user code), ``total``, and ``return``, what of the transfer was the way back (unknown to a client on
        another host); for a DAG also ``nodes``, the same per function. Empty until it is done. In a runtime
        that is up with ``trace=True`` a call of one function has ``stages`` besides, in their order.
    stdout, stderr : str
        What the call has printed; live while a long call runs, complete when it is done.
    node_states : dict
        Function name → ``"waiting"``, ``"running"``, ``"done"`` or ``"failed"``; ``"cancelled"`` is what had
        not ended when the call failed or was given up.

    Examples
    --------
    >>> future = square(3)
    >>> future.get(timeout=5)
    9
    >>> future.done(), future.node_states
    (True, {'square': 'done'})
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_client",
        "_detached",
        "_ended",
        "_exception",
        "_key",
        "_news",
        "_nodes",
        "_number",
        "_published",
        "_result",
        "_submitted",
        "_subscribers",
        "_target",
        "_value",
    )

    def __init__(self, client: Client, number: int, target: str, nodes: list[str], submitted: float) -> None:
        self._client = client
        self._number = number
        self._target = target
        self._nodes = nodes
        self._submitted = submitted
        self._ended = 0.0
        self._key: str | None = None
        self._published = False
        self._result: Result | None = None
        self._value: Any = _UNSET
        self._exception: BaseException | None = None
        self._callbacks: list[tuple[contextvars.Context, Callable[[CloudburstFuture], object]]] | None = None
        self._subscribers: list[Callable[[CloudburstFuture], None]] | None = None
        self._news: dict[int, Running] | None = None

    # ------------------------------------------------------------ told by the client's loop

    def resolve(self, result: Result, at: float) -> Callable[[], None] | None:
        """Take the outcome (called once, by the loop)."""
        self._ended = at
        self._result = result
        self._client._journal.note(self._target, self._nodes, self._submitted, at, result)
        for subscriber in self._subscribers or ():
            subscriber(self)
        return self._call_back if self._callbacks else None

    def observe(self, running: Running) -> None:
        """Take news of a call that runs (called by the loop)."""
        if self._news is None:
            self._news = {}
        self._news[running.node] = running

    def _call_back(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for context, callback in callbacks or ():
            try:
                context.run(callback, self)
            except Exception:
                sys.excepthook(*sys.exc_info())

    def _is_done(self) -> bool:
        return self._result is not None

    # ------------------------------------------------------------ outcome

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the call and return its value.

        Parameters
        ----------
        timeout
            Seconds to wait; None waits as long as it takes.

        An interrupt of the wait cancels the call, unless it is detached (`detach`).

        Raises
        ------
        CallTimeout
            If there is no result in time. The call goes on; ``get`` again, or ``cancel``.
        Exception
            What user code raised, as its own type, with the remote traceback as its cause.
        CallCancelled, ExecutorLost, SerializationError, RuntimeUnavailable
            If there will be no result.

        Examples
        --------
        >>> square(4).get(timeout=5)
        16
        >>> square("four").get()
        Traceback (most recent call last):
            ...
        TypeError: can't multiply sequence by non-int of type 'str'
        """
        if self._result is None:
            self._wait(timeout)
        elif timeout is not None:
            to_wait(timeout)
        if self._value is _UNSET:
            self._open()
        if self._exception is not None:
            # It may be raised many times: each has its own traceback, not one that grows.
            raise self._exception.with_traceback(None)
        return self._value

    result = get

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return what it raised, or None.

        Parameters
        ----------
        timeout
            Seconds to wait; None waits as long as it takes.

        Raises
        ------
        CallTimeout
            If there is no result in time.

        Examples
        --------
        >>> square("four").exception()
        TypeError("can't multiply sequence by non-int of type 'str'")
        """
        if self._result is None:
            self._wait(timeout)
        elif timeout is not None:
            to_wait(timeout)
        if self._value is _UNSET:
            self._open()
        return self._exception

    def _wait(self, timeout: float | None) -> None:
        try:
            in_time = self._client._shell.wait(self._is_done, timeout)
        except KeyboardInterrupt as error:
            self._give_up()
            raise error.with_traceback(None) from None  # the frames of what waited say nothing
        if not in_time:
            self._client._shell.check()
            raise CallTimeout(f"{self._target!r} gave no result within {timeout:g} s; it goes on")

    def _open(self) -> None:
        """Decode the result."""
        result = self._result
        assert result is not None
        if result.failure is not None:
            self._exception = exception_of(result.failure)
            self._value = None
            return
        assert result.value is not None
        try:
            self._value = decode_own(result.value)
        except Exception as error:
            self._exception = SerializationError(
                f"{self._target!r} returned what this process cannot read: {type(error).__name__}: {error}"
            )
            self._exception.__cause__ = error
            self._value = None

    def done(self) -> bool:
        """Whether there is an outcome. A future that nobody waits for learns of it within milliseconds.

        Examples
        --------
        >>> future = square(3)
        >>> future.get()
        9
        >>> future.done()
        True
        """
        return self._result is not None

    def cancel(self) -> bool:
        """Give the call up: drop it if it waits, interrupt it if it runs.

        Returns
        -------
        bool
            True if the call is cancelled (now or before); False if it had an outcome already. What a
            running function did until then is done, and code that does not return to the interpreter
            (a long computation in C) goes on to its end unseen.

        Examples
        --------
        >>> import time
        >>> nap = cb.function(lambda: time.sleep(60), name="nap")
        >>> future = nap()
        >>> future.cancel()
        True
        """
        if self._result is None:
            self._client._shell.cancel(self._number)
        return self.cancelled()

    def detach(self) -> CloudburstFuture:
        """Let the call go on when the cell that made it, or one that waits for it, is interrupted.

        Returns
        -------
        CloudburstFuture
            This future.

        Examples
        --------
        >>> future = square(3).detach()
        >>> future.get()
        9
        """
        self._detached = True
        return self

    def _give_up(self) -> None:
        """Whoever wanted it was interrupted."""
        if not getattr(self, "_detached", False):  # most calls never hear of it
            self.cancel()

    def cancelled(self) -> bool:
        """Whether the call was cancelled.

        Examples
        --------
        >>> square(3).cancelled()
        False
        """
        failure = self._result.failure if self._result is not None else None
        return failure is not None and failure.kind == CallCancelled.__name__

    def running(self) -> bool:
        """Whether it is known to run now; short calls are done before anybody could know.

        Examples
        --------
        >>> future = square(3)
        >>> future.get()
        9
        >>> future.running()
        False
        """
        return self._result is None and bool(self._news)

    def add_done_callback(self, fn: Callable[[CloudburstFuture], object]) -> None:
        """Call ``fn(future)`` when there is an outcome; at once if there is one.

        It is called in a thread of the client, one callback after the other; what it prints is in the cell
        that asked for it. What it raises is shown and otherwise ignored.

        Examples
        --------
        >>> future = square(3)
        >>> future.get()
        9
        >>> future.add_done_callback(lambda done: print("it was", done.get()))
        it was 9
        """
        loop = self._client._shell.loop
        with loop.lock:
            if self._result is None:
                self._callbacks = [*(self._callbacks or ()), (contextvars.copy_context(), fn)]
                loop.nudge()
                return
        fn(self)

    def _subscribe(self, fn: Callable[[CloudburstFuture], None]) -> None:
        """Have ``fn`` called with the loop's lock held: it must be quick, and neither wait nor raise."""
        with self._client._shell.loop.lock:
            if self._result is None:
                self._subscribers = [*(self._subscribers or ()), fn]
                return
        fn(self)

    def __await__(self) -> Generator[Any, None, Any]:
        if self._result is None:
            shell = self._client._shell
            shell.loop.glance(eager=True)  # a short call is over before the event loop would have turned
            if self._is_done() and shell.turn_is_due():
                yield
        if self._result is None:
            from cloudburst_nb.awaiting import (
                arrival,  # only where there is an event loop: asyncio is slow to load
            )

            yield from arrival(self).__await__()
        return self.get()

    # ------------------------------------------------------------ identity and news

    @property
    def key(self) -> str:
        """The key of the call's value in the store.

        With ``output_key`` it is that one. Otherwise asking for the key puts the value there when the call
        is done, so that it can be read by anybody who is given the key. A store keeps the latest 10,000 of
        such values, up to 1 GiB together.
        """
        if self._key is None:
            self._key = result_key(self._client.name, self._number)
        if not self._published:
            self._published = True
            self._client._publish(self)
        return self._key

    @property
    def obj_id(self) -> str:
        """The original's name for `key`."""
        return self.key

    @property
    def stdout(self) -> str:
        """What the call has printed."""
        return self._printed("stdout")

    @property
    def stderr(self) -> str:
        """What the call has written to stderr."""
        return self._printed("stderr")

    def _printed(self, stream: str) -> str:
        if self._result is not None:
            return "".join(getattr(step, stream) for step in self._result.steps)
        return "".join(getattr(news, stream) for _, news in sorted((self._news or {}).items()))

    @property
    def progress(self) -> tuple[float, str]:
        """The last ``cloudburst.progress(fraction, text)`` of the call; the fraction is from 0 to 1."""
        if self._result is not None:
            return (1.0, "")
        latest = list((self._news or {}).values())[-1:]
        return (latest[0].fraction, latest[0].text) if latest else (0.0, "")

    @property
    def executor(self) -> str:
        """The executor that ran it (for a DAG: its last function), or runs it; empty while unknown."""
        if self._result is not None:
            return self._result.steps[-1].executor if self._result.steps else ""
        return next(iter((self._news or {}).values())).executor if self._news else ""

    @property
    def node_states(self) -> dict[str, str]:
        """Function name → ``"waiting"``, ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``."""
        names = self._node_names()
        states = dict.fromkeys(names, "waiting")
        for node in list(self._news or ()):
            states[names[node]] = "running"
        if self._result is not None:
            if self._result.failure is not None:
                states = dict.fromkeys(names, "cancelled")
            for step in self._result.steps:
                states[names[step.node]] = "done"
            if self._result.failure is not None and self._result.steps:
                states[names[self._result.steps[-1].node]] = "failed"
        return states

    def _node_names(self) -> list[str]:
        names = self._nodes or [self._target]
        most = max((step.node for step in self._result.steps), default=0) if self._result is not None else 0
        return names + [f"node {index}" for index in range(len(names), most + 1)]

    @property
    def timings(self) -> dict[str, Any]:
        """Where the time went, in seconds: ``queued``, ``transfer``, ``run``, ``total``, and ``nodes``."""
        past = self._past()
        if past is None:
            return {}
        timings = past.timings
        trace = self._client._shell.trace
        if trace is not None and len(past.steps) == 1:
            timings["stages"] = trace.stages(self._number, past.steps[0])
        return timings

    def _past(self) -> PastCall | None:
        """The call, once it has run."""
        result = self._result
        if result is None or not result.steps:
            return None
        return PastCall(self._target, self._node_names(), self._submitted, self._ended, result.steps)

    # ------------------------------------------------------------ in displays and pickles

    def _state(self) -> str:
        if self._result is None:
            return "running" if self._news else "waiting"
        if self._result.failure is None:
            return "done"
        return "cancelled" if self.cancelled() else "failed"

    def __repr__(self) -> str:
        state = self._state()
        if state == "done":
            total = self.timings.get("total", 0.0)
            return f"<CloudburstFuture {self._target}: done in {total * 1000:.3g} ms>"
        if state == "failed":
            assert self._result is not None
            assert self._result.failure is not None
            return f"<CloudburstFuture {self._target}: failed: {self._result.failure.message:.80}>"
        return f"<CloudburstFuture {self._target}: {state}>"

    def _repr_html_(self) -> str:
        from cloudburst_nb.display.futures import html

        return html(self)

    def _ipython_display_(self) -> None:
        if self._result is not None:
            raise NotImplementedError("it changes no more: its plain forms will do")
        from cloudburst_nb.widgets.cards import FutureCard
        from cloudburst_nb.widgets.showing import show

        show(FutureCard(self))

    def __reduce__(self) -> Any:
        raise SerializationError(
            f"the future of {self._target!r} cannot be sent inside another value: give it as an argument by "
            "itself, or give its .key"
        )


def exception_of(failure: Failure) -> BaseException:
    """The exception to raise for a failure; the remote traceback is its cause."""
    from cloudburst_nb.display.tracebacks import named  # most calls do not fail

    if failure.kind == "user" and failure.exception is not None:
        try:
            error = pickle.loads(failure.exception.data)
        except Exception as problem:
            error = SerializationError(f"{failure.message} (and its class cannot be read here: {problem})")
    else:
        error = ErrorKinds.revive(failure.kind, failure.message)
    if failure.traceback:
        error.__cause__ = RemoteTraceback(named(failure.traceback))
    assert isinstance(error, BaseException)
    return error
