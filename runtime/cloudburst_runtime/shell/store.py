"""A store process: one of several stores, behind a hub of its own. It ends with the node."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from cloudburst_runtime.anna.journal import Journal
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import NODE, STORE_ROLE, Millis, PeerName
from cloudburst_runtime.messages import Hello, Reported, Retire
from cloudburst_runtime.shell.arena import Heir
from cloudburst_runtime.shell.disks import (
    Disk,
    open_scratch,
    open_state,
    remove_state,
    take_over,
    within_memory,
)
from cloudburst_runtime.shell.holding import HOLDING, install
from cloudburst_runtime.shell.loop import Loop
from cloudburst_runtime.shell.transport import Hub


class _Served:
    """A store's core in a process that ends when the node says so, or is gone."""

    def __init__(self, core: StoreCore, heir: Heir, config: Config) -> None:
        self.core = core
        self.config = config
        self.heir = heir
        self.at_end: Callable[[], None] = lambda: None

    def start(self, now: Millis) -> list[Any]:
        return self.core.start(now)

    def handle(self, event: Any, now: Millis) -> list[Any]:
        if type(event) is PeerLost:
            if event.peer == NODE:
                self.at_end()
                os._exit(0)
            self.heir.inherit(event.peer)
        elif type(event) is Received and type(event.message) is Retire:
            remove_state(self.config, self.core.name)
            os._exit(0)
        return self.core.handle(event, now)


def run_store(directory: str, name: PeerName, config: Config, estates: Iterable[PeerName] = ()) -> NoReturn:
    """Serve until the node is gone or says to leave.

    Parameters
    ----------
    directory
        The runtime's directory.
    name
        This store's peer name.
    config
        The runtime's configuration.
    estates
        Stores that have died: what they have left on disk is this one's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hub = Hub(directory, Hello(name, STORE_ROLE, os.getpid(), 0, os.uname().nodename))
    hub.spin_for(config.spin_us)
    install()
    heir = Heir(directory, HOLDING.segments)
    HOLDING.on_release = heir.free
    disk = open_state(config, name)
    replica = ReplicaCore(within_memory(config), name)
    if disk is not None:
        _inherit(config, disk, replica, estates)
    served = _Served(StoreCore(config, replica), heir, config)
    core = Journal(
        served,
        None if disk is None else disk.storage,
        lambda: open_scratch(directory, config, name),
        config.flush_ms,
    )
    served.at_end = core.flush
    loop = Loop(core, hub, {}, together=None if disk is None else core.handle_all)
    hub.listen()
    loop.start()
    if hub.connect(NODE) is None:
        os._exit(1)
    if disk is not None and disk.found.said:
        hub.send(NODE, Reported(disk.found.said))
    gc.collect()
    gc.freeze()
    loop.wait(lambda: False)
    os._exit(0)


def _inherit(config: Config, disk: Disk, replica: ReplicaCore, estates: Iterable[PeerName]) -> None:
    """Take over what can be; the rest stays where it is, for the next start to find."""
    for name in estates:
        try:
            take_over(config, disk, replica, [name])
        except StorageError as error:
            disk.found.said.append(f"what the store {name} has left cannot be taken over now: {error}")
    for line in disk.found.said:
        os.write(2, f"{line}\n".encode())
