"""Which runtime this process uses, and what it has defined.

Law: this module owns the process-wide state and nothing else does. The first use starts a runtime with the
defaults; after ``down()`` nothing starts by itself any more, because the user has said so. In an executor it
connects to the runtime that this is an executor of: ``cb.get`` in a cloud function means that store.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudburst_nb.errors import RuntimeUnavailable
from cloudburst_runtime import inplace

if TYPE_CHECKING:
    from cloudburst_nb.client import Client
    from cloudburst_nb.function import CloudFunction
    from cloudburst_runtime.launch.local import LocalRuntime
    from cloudburst_runtime.messages import DagSpec


class State:
    """The runtime in use and the functions defined here.

    Attributes
    ----------
    current
        The client in use, or None.
    pending
        Functions that are defined and not registered yet, in the order of definition.
    known
        The newest function of each name: a runtime that starts later gets them all.
    dags
        The DAGs that were defined here, as an export writes them.
    ended
        Why there is no runtime, once there was one.
    detached
        Runtimes that this process has started to outlive it; it is their parent all the same.
    watchers
        Called with each client that comes into use.
    """

    def __init__(self) -> None:
        self.current: Client | None = None
        self.pending: list[CloudFunction] = []
        self.known: dict[str, CloudFunction] = {}
        self.dags: dict[str, DagSpec] = {}
        self.ended = ""
        self.detached: list[LocalRuntime] = []
        self.watchers: list[Callable[[Client], None]] = []
        self.lock = threading.RLock()


state = State()


def running() -> bool:
    """Whether a runtime is in use; never starts one.

    Examples
    --------
    >>> client = cb.up(executors=2)
    >>> cb.running()
    True
    """
    return state.current is not None and not state.current.closed and not state.current.lost


def ensure() -> Client:
    """The client in use; starts a runtime with the defaults at the first use.

    Raises
    ------
    RuntimeUnavailable
        After `down`, or when the runtime has died: the message says what to do.
    """
    client = state.current
    if client is None or client.closed:
        client = _begin()
    settle(client)
    return client


def settle(client: Client) -> None:
    """Register what was defined in this process and is not, if ``client`` is the one in use."""
    if state.pending and state.current is client:
        _register_pending(client)


def _begin() -> Client:
    with state.lock:
        if state.current is not None and not state.current.closed:
            return state.current
        if state.ended:
            raise RuntimeUnavailable(state.ended)
        from cloudburst_nb.starting import connect, up

        return connect(f"unix:{inplace.home}") if inplace.home else up()


def use(client: Client) -> None:
    """Make ``client`` the one in use, and give it every function that was defined here."""
    with state.lock:
        state.current = client
        state.ended = ""
        state.pending = list(state.known.values())
    for watcher in list(state.watchers):
        watcher(client)
    if "IPython" in sys.modules:
        from cloudburst_nb import cells, restarts

        cells.follow()
        restarts.tell()
        if client._owned is not None:
            restarts.begin(list(state.known), getattr(client._settings, "state_dir", ""))


def announce(made: CloudFunction) -> None:
    """A function was defined: register it now if there is a runtime and nothing is missing."""
    with state.lock:
        state.known[made.name] = made
        state.pending = [other for other in state.pending if other.name != made.name]
        state.pending.append(made)
    if "ipykernel" in sys.modules:
        from cloudburst_nb import restarts

        restarts.note(list(state.known))
    if running() and not made._packed.missing:
        client = state.current
        assert client is not None
        _register(client, made)


def _register_pending(client: Client) -> None:
    with state.lock:
        for made in list(state.pending):
            _register(client, made)


def _register(client: Client, made: CloudFunction) -> None:
    with state.lock:
        if made in state.pending:
            state.pending.remove(made)
        client._adopt(made)


def end(client: Client, why: str) -> None:
    """``client`` serves no more."""
    with state.lock:
        if state.current is client:
            state.current = None
            state.ended = why
            if client._owned is not None and "ipykernel" in sys.modules:
                from cloudburst_nb import restarts

                restarts.end()


def wait_for_end(directory: str) -> None:
    """A runtime was told to stop: if it is a child of this process, see it out."""
    for runtime in list(state.detached):
        if runtime.directory == directory:
            runtime.stop()
            state.detached.remove(runtime)


def forget_after_fork() -> None:
    """A forked child has no runtime: its parent's connections are not its own."""
    state.lock = threading.RLock()
    if state.current is not None:
        state.current._disown()
        state.current = None
        state.ended = "this process was forked from one with a runtime: call cb.up() or cb.connect(address)"


def _down_at_exit() -> None:
    if state.current is not None:
        state.current.down()


atexit.register(_down_at_exit)
os.register_at_fork(after_in_child=forget_after_fork)
