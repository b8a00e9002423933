"""The node process: scheduler and Anna replica behind one hub; it places calls and relays none."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from cloudburst_runtime import messages
from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.anna.journal import Journal
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import NODE, SUPERVISOR, Millis
from cloudburst_runtime.messages import Hello, Papers
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.scheduler.events import Exited, Kill, Spawn, Stop
from cloudburst_runtime.shell import arena_file
from cloudburst_runtime.shell.arena import Heir
from cloudburst_runtime.shell.disks import open_scratch, open_state, publish_rest, take_over, within_memory
from cloudburst_runtime.shell.holding import HOLDING, install
from cloudburst_runtime.shell.loop import Loop
from cloudburst_runtime.shell.transport import Hub


class _Supervised:
    """The node's core, with what the supervisor says turned into the scheduler's events."""

    def __init__(self, core: NodeCore, directory: str, heir: Heir) -> None:
        self.core = core
        self.directory = directory
        self.heir = heir
        self.at_end: Callable[[], None] = lambda: None

    def start(self, now: Millis) -> list[Any]:
        return self.core.start(now)

    def handle(self, event: Any, now: Millis) -> list[Any]:
        if type(event) is Received and event.peer == SUPERVISOR:
            message = event.message
            assert isinstance(message, messages.Exited)
            return self.core.handle(Exited(message.name, message.reason), now)
        if type(event) is PeerLost:
            if event.peer == SUPERVISOR:
                self._clear_up()
            self.heir.inherit(event.peer)
        return self.core.handle(event, now)

    def _clear_up(self) -> NoReturn:
        """The supervisor is gone, and the executors with it: end what they started, leave no file."""
        self.at_end()
        for executor in self.core.scheduler.pool.executors.values():
            if executor.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(executor.pid, signal.SIGKILL)
        arena_file.remove_directory(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        os._exit(1)


def run_node(
    directory: str,
    config: Config,
    listener: socket.socket,
    supervisor: socket.socket,
    report: Callable[[str], None] = lambda trouble: None,
) -> NoReturn:
    """Serve until the supervisor is gone or a client says to stop.

    Parameters
    ----------
    directory
        The runtime's directory.
    config
        The runtime's configuration.
    listener
        The node's socket, bound already so that clients may connect while this process starts.
    supervisor
        One end of a socket pair; the supervisor has the other.
    report
        Told once the store is there: nothing, or why it cannot be opened; then this process ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hub = Hub(directory, Hello(NODE, NODE, os.getpid(), 0, os.uname().nodename))
    hub.spin_for(config.spin_us)
    hub.adopt(supervisor, SUPERVISOR)
    hub.listen(listener)
    install()
    heir = Heir(directory, HOLDING.segments)
    HOLDING.on_release = heir.free
    try:
        disk = open_state(config, NODE)
        found = None if disk is None else disk.found
        replica = ReplicaCore(within_memory(config), NODE, found)
        if disk is not None:
            take_over(config, disk, replica)
            publish_rest(disk, replica)
    except StorageError as error:
        report(str(error))
        os._exit(1)
    report("")
    for line in [] if found is None else found.said:
        os.write(2, f"{line}\n".encode())
    if disk is not None:
        replica.keeper.papers = _papers(disk.found)
    node = NodeCore(config, replica, random.Random().random, found)
    supervised = _Supervised(node, directory, heir)
    core = Journal(
        supervised,
        None if disk is None else disk.storage,
        lambda: open_scratch(directory, config, NODE),
        config.flush_ms,
    )
    supervised.at_end = core.flush
    loop = Loop(
        core,
        hub,
        {
            Spawn: lambda effect: hub.send(SUPERVISOR, messages.Spawn(effect.name, list(effect.estates))),
            Kill: lambda effect: hub.send(SUPERVISOR, messages.Kill(effect.name, effect.reason)),
            Stop: lambda effect: hub.send(SUPERVISOR, messages.Stop()),
        },
        together=None if disk is None else core.handle_all,
    )
    loop.start()
    gc.collect()
    gc.freeze()
    loop.wait(lambda: False)
    os._exit(0)


def _papers(found: Recovered) -> Papers:
    """Who this runtime is, since it first used its ``state_dir``, and that it begins now."""
    known = None if found.here is None else found.here.papers
    identity = os.urandom(16).hex() if known is None else known.identity
    return Papers(identity, identity, os.urandom(16).hex())
