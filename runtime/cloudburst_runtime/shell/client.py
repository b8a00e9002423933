"""A client's end of a runtime: its core, its connections, and who waits for what.

Law: this file lets threads wait and hands outcomes on; what a call goes through is the core's business,
what a user sees of it the future's.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from cloudburst_runtime.client import dispatch
from cloudburst_runtime.client.calls import (
    Answered,
    Ask,
    CancelCall,
    Dispatched,
    Forget,
    Observed,
    OwnedCall,
    Resolve,
    SendNow,
    Store,
    Submit,
    SubmitAll,
)
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import SetTimer
from cloudburst_runtime.errors import CallTimeout, ErrorKinds, RuntimeUnavailable
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.messages import Failure, Hello, Result, pack, unpack
from cloudburst_runtime.seconds import to_wait
from cloudburst_runtime.shell import arena_file, holding
from cloudburst_runtime.shell.arena import Arena
from cloudburst_runtime.shell.clock import hybrid_clock, now_ms
from cloudburst_runtime.shell.interrupts import Interrupts
from cloudburst_runtime.shell.loop import Loop
from cloudburst_runtime.shell.names import CONFIG_NAME
from cloudburst_runtime.shell.spinning import CLIENT_TURNS_MAX
from cloudburst_runtime.shell.ticket import Ticket
from cloudburst_runtime.shell.transport import Hub

if TYPE_CHECKING:
    from cloudburst_runtime.shell.alarm import Alarm
    from cloudburst_runtime.shell.tracing import ClientTrace

SCHEME = "unix:"
LOOK_MS = 5.0
"""How often a thread that submits call after call looks for results."""
TURN_MS = 1.0
"""How often an event loop turns at least, while what is awaited there comes at once."""


class Sink(Protocol):
    """What a call reports to: a future. Both methods are called with the loop's lock held."""

    def resolve(self, result: Result, at: float) -> Callable[[], None] | None:
        """The outcome; what is returned is called once the lock is free."""
        ...

    def observe(self, running: Any) -> None:
        """News of a call that runs: `Running`; of a watched one also `Produced`, even after its outcome."""
        ...


class ClientShell:
    """Connects to a runtime and drives a `ClientCore`.

    Parameters
    ----------
    where
        The runtime's directory, or the connection file of one on another host.
    mark
        Is given what an interrupt raises while this client waits.

    Attributes
    ----------
    where
        As given.
    address
        What another process gives to `connect`.
    trace
        The stamps of the calls' stages, if the runtime is traced and on this host.

    Raises
    ------
    RuntimeUnavailable
        If no runtime listens there, or it does not let this client in.
    """

    def __init__(
        self, where: str | Ticket, mark: Callable[[BaseException], None] = lambda error: None
    ) -> None:
        self.where = where
        self.address = SCHEME + where if isinstance(where, str) else where.address
        self.name = "c" + uuid.uuid4().hex[:12]
        self.closed_because = ""
        self._turned_at = 0.0
        self._numbers = itertools.count(1)
        self._sinks: dict[int, Sink] = {}
        self._watching: weakref.WeakValueDictionary[int, Sink] = weakref.WeakValueDictionary()
        self._answers: dict[int, Any] = {}
        hello = Hello(self.name, "client", os.getpid())
        self.hub, config = _near(where, hello) if isinstance(where, str) else _far(where, hello)
        holding.install()
        self.core = ClientCore(config, self.name, hybrid_clock(), random.Random().random)
        carry: dict[type, Callable[[Any], None]] = {
            Resolve: self._resolve,
            Answered: self._answer,
            Observed: self._observe,
            Dispatched: self._stay_connected,
            SetTimer: self._set_timer,
        }
        self._interrupts = Interrupts(mark)
        self.loop = Loop(self.core, self.hub, carry, interrupts=self._interrupts)
        self.loop.before_waiting = self._send_now
        self._alarm: Alarm | None = None
        near = where if isinstance(where, str) else ""
        shares = bool(near) and arena_file.is_reachable(near)
        self.arena = Arena(near, self.name, config.arena_bytes_max if shares else 0, self._section)
        self.core.requests.store.plain = not shares
        self.trace = _traced(self) if config.trace and near else None
        self.loop.start()
        self.loop.start_background("cloudburst-client")
        _forget_after_fork(weakref.WeakMethod(self._disown))

    # ------------------------------------------------------------ calls

    def new_number(self) -> int:
        """A number for the next call."""
        return next(self._numbers)

    def submit(self, call: OwnedCall, sink: Sink) -> None:
        """Start a call; ``sink`` gets its outcome."""
        if self.closed_because:
            self.check()
        self._sinks[call.number] = sink
        if call.watched:
            self._watching[call.number] = sink
        self.loop.post(Submit(call))
        self._look()

    def submit_all(self, calls: list[OwnedCall], sinks: Sequence[Sink]) -> None:
        """Start calls of one function that differ in their arguments alone (`SubmitAll`)."""
        self.check()
        for call, sink in zip(calls, sinks, strict=True):
            self._sinks[call.number] = sink
        self.loop.post(SubmitAll(calls))
        self._look()

    def _look(self) -> None:
        """Read what has come, now and then: a thread that submits call after call would leave that to the
        background thread, and the two would take turns with the interpreter."""
        if now_ms() > self.loop.read_at + LOOK_MS:
            self.loop.glance()

    def _send_now(self) -> None:
        """Whoever waits, or looks for results, does not let calls wait for company."""
        if self.core.dispatcher.waiting.count:
            self.loop.post(SendNow())

    def cancel(self, number: int) -> None:
        """Give a call up; its sink gets `CallCancelled` unless it has an outcome already."""
        if number in self._sinks and not self.closed_because:
            self.loop.post(CancelCall(number))

    def unfinished(self) -> dict[int, Sink]:
        """The calls without an outcome, by number."""
        with self.loop.lock:
            return dict(self._sinks)

    def wait(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait for a condition that an outcome makes true; False after ``timeout`` seconds."""
        timeout = to_wait(timeout)
        if self.closed_because:
            return done()
        return self.loop.wait(done, None if timeout is None else now_ms() + timeout * 1000)

    def turn_is_due(self) -> bool:
        """Whether an event loop should turn for the sake of others, after what was awaited had come at once.

        True about once in a millisecond.
        """
        now = now_ms()
        due = now > self._turned_at + TURN_MS
        if due:
            self._turned_at = now
        return due

    # ------------------------------------------------------------ requests

    def ask(self, make: Callable[[int], Any], timeout: float | None = 60.0) -> Any:
        """Send the request that ``make(req)`` builds, wait for its answer.

        Raises
        ------
        CloudburstError
            What the runtime answered, as its own class.
        CallTimeout
            If there is no answer within ``timeout`` seconds.
        TypeError
            If the runtime could not read it: it would take this process for another's, and hang up.
        """
        timeout = to_wait(timeout)
        self.check()
        with self.loop.lock:
            req = self.core.next_req()
        message = make(req)
        check_readable(message)
        return self._await(req, Ask(message), timeout)

    def store(
        self,
        kind: str,
        *arguments: Any,
        timeout: float | None = 60.0,
        session: ClientSession | None = None,
    ) -> Any:
        """A store operation: ``read`` keys, ``write`` key and lattice, ``delete`` key."""
        timeout = to_wait(timeout)
        self.check()
        if kind == "write":
            arguments = (arguments[0], self.arena.moved(arguments[1]), *arguments[2:])
        with self.loop.lock:
            op = self.core.next_req()
        return self._await(op, Store(op, kind, arguments, session), timeout)

    @contextlib.contextmanager
    def _section(self) -> Iterator[None]:
        """A block that has the loop's lock, and that no interrupt cuts short."""
        guarded = self._interrupts.begin()
        try:
            with self.loop.lock:
                yield
        finally:
            if guarded:
                self._interrupts.end()

    def _await(self, req: int, event: Any, timeout: float | None) -> Any:
        answers = self._answers
        try:
            self.loop.post(event)
            if not self.wait(lambda: req in answers, timeout):
                self.check()
                raise CallTimeout(f"the runtime at {self.address} gave no answer within {timeout:g} s")
        except BaseException:
            answers.pop(req, None)
            if not self.closed_because:
                self.loop.post(Forget(req))
            raise
        answer = answers.pop(req)
        if isinstance(answer, Failure):
            raise ErrorKinds.revive(answer.kind, answer.message)
        return answer

    # ------------------------------------------------------------ effects

    def _resolve(self, effect: Resolve) -> None:
        sink = self._sinks.pop(effect.number, None)
        if sink is not None:
            then = sink.resolve(effect.result, now_ms())
            if then is not None:
                self.loop.afterwards.append(then)

    def _answer(self, effect: Answered) -> None:
        self._answers[effect.req] = effect.answer

    def _observe(self, effect: Observed) -> None:
        sink = self._sinks.get(effect.number) or self._watching.get(effect.number)
        if sink is not None:
            sink.observe(effect.running)

    def _set_timer(self, effect: SetTimer) -> None:
        self.loop.set_timer(effect)
        if effect.key == dispatch.TIMER:  # it is for what a notebook that computes is not to hold up
            if self._alarm is None:
                from cloudburst_runtime.shell.alarm import Alarm  # ctypes: not everybody sends that much

                self._alarm = Alarm(self.loop.fire_due)
            self._alarm.set(effect.due)

    def _stay_connected(self, effect: Dispatched) -> None:
        for peer in effect.schedule:
            self.hub.connect(peer)

    # ------------------------------------------------------------ the end

    def check(self) -> None:
        """Raise if this client can do nothing any more."""
        if self.closed_because:
            raise RuntimeUnavailable(self.closed_because)

    def _disown(self) -> None:
        """In a forked child: the connections are the parent's."""
        self.arena.disown()
        self.closed_because = self.closed_because or (
            f"this process was forked from the one that is connected to {self.address}: "
            "start a runtime with cb.up(), or connect with cb.connect(address)"
        )

    def close(self, because: str) -> None:
        """Disconnect. Calls without an outcome fail with `RuntimeUnavailable`; later ones say why."""
        if self.closed_because:
            return
        self.closed_because = because
        self._interrupts.release()
        self.loop.close()
        if self._alarm is not None:
            self._alarm.close()
        self.arena.close()
        if isinstance(self.where, str):
            holding.HOLDING.leave(self.where)
        failure = Failure("RuntimeUnavailable", because)
        for number, sink in list(self._sinks.items()):
            then = sink.resolve(Result(number, 0, None, [], failure), now_ms())
            if then is not None and threading.current_thread().is_alive():
                then()
        self._sinks.clear()


def check_readable(message: Any) -> None:
    """Whether the runtime can read a request.

    Long bytes need no look, and are left out: a function may come with very many.

    Raises
    ------
    TypeError
        If it cannot.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Keys
    >>> check_readable(Keys(1, "prefix"))
    >>> check_readable(Keys(1, 5))
    Traceback (most recent call last):
        ...
    TypeError: Keys cannot be asked for with this: Expected `str`, got `int` - at `$[2]`
    """
    try:
        unpack(pack(_without_bytes(message)))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{type(message).__name__} cannot be asked for with this: {error}") from None


def _without_bytes(part: Any) -> Any:
    """A copy of a message, or of what is in one, with empty bytes for all bytes."""
    if type(part) is bytes:
        return b""
    if isinstance(part, msgspec.Struct):
        changed = {
            name: light
            for name in part.__struct_fields__
            if (light := _without_bytes(each := getattr(part, name))) is not each
        }
        return msgspec.structs.replace(part, **changed) if changed else part
    if type(part) is list:
        return [_without_bytes(each) for each in part]
    if type(part) is dict:
        return {key: _without_bytes(each) for key, each in part.items()}
    return part


def _forget_after_fork(disown: weakref.WeakMethod[Callable[[], None]]) -> None:
    def in_child() -> None:
        method = disown()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=in_child)


def _traced(shell: ClientShell) -> ClientTrace:
    from cloudburst_runtime.shell.tracing import ClientTrace

    return ClientTrace(shell)


def _near(directory: str, hello: Hello) -> tuple[Hub, Config]:
    """The connections to a runtime of this host, and its configuration."""
    hub = Hub(directory, hello)
    if hub.connect(NODE) is None:
        hub.close()
        raise RuntimeUnavailable(f"no runtime answers at {SCHEME}{directory}: start one with cb.up()")
    try:
        config = read_config(directory)
        hub.spin_for(config.spin_us, CLIENT_TURNS_MAX)
        return hub, config
    except BaseException:
        hub.close()
        raise


def _far(ticket: Ticket, hello: Hello) -> tuple[Hub, Config]:
    """The connections to a runtime of another host, and its configuration."""
    from cloudburst_runtime.shell.remote import RemoteHub  # ZeroMQ: nobody else pays for it

    hello.host = os.uname().nodename  # whose files and memory the runtime does not share
    hub = RemoteHub(ticket, hello)
    hub.connect(NODE)
    return hub, hub.config


def read_config(directory: str) -> Config:
    """The configuration that the runtime in ``directory`` was started with."""
    try:
        with open(os.path.join(directory, CONFIG_NAME), "rb") as file:
            return msgspec.json.decode(file.read(), type=Config)
    except (OSError, msgspec.MsgspecError) as error:
        raise RuntimeUnavailable(f"there is no runtime in {directory}: {error}") from None
