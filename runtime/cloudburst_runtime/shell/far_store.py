"""A store on another host than its runtime: it joins, serves, and hands over what it has before it leaves.

Law: the core is that of any store, and so is what other peers see: the gateway opens a socket under its name
and relays (`gateway`). Only what starts and ends it is its own, and that it reaches no shared memory of the
runtime's host: values travel to it as bytes, and it installs no `Memory`.

It is given up when its link to the gateway is lost, and not before: since every byte to and from it passes
there, nobody hears of it from then on, and others take its keys over. So a store that finds its link broken
has nothing to save and nobody to tell. It ends; whoever starts it again gets a store of another name: an
empty one, or, with a ``state_dir``, one that has what nobody else has (`far_disk`).

::

    Hello as nobody ──► Enlisted(name) ──► SERVE, Hello(name) ──► Ring … ──signal: Depart──► Retire ──► ends
         └── refused ──► ends                      └── the link is lost, at any time ──► ends
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from cloudburst_runtime.anna.journal import Journal, Storage
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.errors import RuntimeUnavailable
from cloudburst_runtime.ids import NODE, STORE_ROLE, Millis, PeerName
from cloudburst_runtime.messages import Depart, Enlisted, Hello, Reported, Retire, Ring
from cloudburst_runtime.shell.disks import open_scratch, within_memory
from cloudburst_runtime.shell.loop import Loop
from cloudburst_runtime.shell.relay import RUNTIME_ENDED
from cloudburst_runtime.shell.remote import RemoteHub
from cloudburst_runtime.shell.ticket import Ticket

if TYPE_CHECKING:
    from cloudburst_runtime.shell.far_disk import FarDisk

ENLIST_SECONDS_MAX = 30.0
"""How long the node may take to give a name."""

AGAIN_EMPTY = "keys that other stores keep too are not lost. Started again, this joins as a new store"
AGAIN_FROM_DISK = (
    "nothing is lost. Started again on its --state-dir, this brings back what others do not have"
)

Say = Callable[[str], None]


class _Served:
    """The store's core, which the node may let go, and whose end is not this process's."""

    def __init__(self, core: StoreCore, say: Say) -> None:
        self.core = core
        self.has_ring = False
        self.retired = False
        self.lost = ""
        """Why there is no runtime any more."""
        self._say = say
        self._has_share = False

    def start(self, now: Millis) -> list[Any]:
        return self.core.start(now)

    def handle(self, event: Any, now: Millis) -> list[Any]:
        if self.retired or self.lost:
            return []
        if type(event) is PeerLost and event.peer == NODE:
            self.lost = event.reason
            return []
        if type(event) is Received and type(event.message) is Retire:
            self.retired = True
            return []
        effects = self.core.handle(event, now)
        if type(event) is Received and type(event.message) is Ring:
            self._note(event.message)
        return effects

    def _note(self, ring: Ring) -> None:
        self.has_ring = True
        if not ring.former and not self._has_share and self.core.name in ring.current.names:
            self._has_share = True
            stores, keys = len(ring.live), self.core.key_count
            self._say(f"{self.core.name} has its share, as one of {stores} stores: {keys:,} keys")


class FarStore:
    """A store in this process, of the runtime that a connection file is of.

    Parameters
    ----------
    ticket
        The connection file.
    memory_bytes_max
        How many bytes of values to keep in memory, the others on this host's disk; None: as the runtime
        says, or half of this machine's.
    state_dir
        Where all that it is given is on disk before that is acknowledged; a runtime that has a ``state_dir``
        asks for it.
    say
        Told what happens, a line at a time.

    Raises
    ------
    RuntimeUnavailable
        If the runtime does not let this process in, or does not take this store.
    StorageError
        If the ``state_dir`` cannot be used.
    """

    def __init__(
        self,
        ticket: Ticket,
        memory_bytes_max: int | None = None,
        say: Say = print,
        state_dir: str = "",
    ) -> None:
        self.ticket = ticket
        self._say = say
        self._host = os.uname().nodename
        self._signals = 0
        self._scratch = ""
        self.hub = RemoteHub(ticket, self._hello(f"c{uuid.uuid4().hex[:12]}"))
        self.config = _its_own(self.hub.config, memory_bytes_max, state_dir)
        self._disk: FarDisk | None = None
        try:
            if state_dir:
                self._disk = self._open_disk()
            enlisted = self._enlist()
            self.name = enlisted.name
            replica = self._replica(enlisted)
        except BaseException:
            self._let_go()
            raise
        self.served = _Served(StoreCore(self.config, replica), say)
        storage = None if self._disk is None else self._disk.storage
        self._journal = Journal(self.served, storage, self._open_scratch, self.config.flush_ms)
        together = None if self._disk is None else self._journal.handle_all
        self.loop = Loop(self._journal, self.hub, {}, together=together)

    def _hello(self, name: PeerName) -> Hello:
        return Hello(name, STORE_ROLE, os.getpid(), 0, self._host)

    def _open_disk(self) -> FarDisk:
        from cloudburst_runtime.shell.far_disk import FarDisk  # LMDB: nobody else pays for it

        disk = FarDisk(self.config.state_dir, self.config)
        for line in disk.said:
            self._say(line)
        self.hub.hello.papers = disk.papers
        return disk

    def _replica(self, enlisted: Enlisted) -> ReplicaCore:
        if self._disk is not None:
            return self._disk.replica(enlisted)
        return ReplicaCore(within_memory(self.config), enlisted.name)

    def _let_go(self, remove: bool = False) -> None:
        self.hub.close()
        if self._disk is not None:
            self._disk.close(remove)

    def _enlist(self) -> Enlisted:
        """What the node says, a name above all."""
        self.hub.connect(NODE)
        deadline = time.monotonic() + ENLIST_SECONDS_MAX
        while (left := deadline - time.monotonic()) > 0:
            for event in self.hub.collect(self.hub.wait(left * 1000)):
                if type(event) is PeerLost and event.peer == NODE:
                    raise RuntimeUnavailable(f"the runtime was lost, which had not answered: {event.reason}")
                if type(event) is Received and type(event.message) is Enlisted:
                    return self._accepted(event.message)
        raise RuntimeUnavailable(
            f"the runtime at {self.ticket.address} gave this store no name within {ENLIST_SECONDS_MAX:g} s"
        )

    def _accepted(self, enlisted: Enlisted) -> Enlisted:
        if enlisted.refusal:
            raise RuntimeUnavailable(f"the runtime at {self.ticket.address} refuses: {enlisted.refusal}")
        return enlisted

    def _open_scratch(self) -> Storage:
        self._scratch = tempfile.mkdtemp(prefix="cloudburst-store-")
        return open_scratch(self._scratch, self.config, self.name)

    # ------------------------------------------------------------ life

    def run(self) -> bool:
        """Serve until the runtime is gone or lets this store go, which SIGINT and SIGTERM ask it to.

        Returns
        -------
        bool
            True if it has handed over all that it had; else its keys are where they are kept besides, if
            they are.
        """
        with self._signalled():
            try:
                self._join()
                return self._serve()
            finally:
                self._journal.flush()
                self.loop.close()
                if self._disk is not None:
                    self._disk.close(remove=self.served.retired)
                if self._scratch:
                    shutil.rmtree(self._scratch, ignore_errors=True)

    def _join(self) -> None:
        enlisted = self.hub.serve(self._hello(self.name))
        self.loop.start()
        self.hub.connect(NODE)
        if self._disk is not None and self._disk.said:
            self.hub.send(NODE, Reported(self._disk.said))
        self._say(f"{self.name} on {self._host} serves the runtime at {self.ticket.address}")
        self.loop.wait(lambda: self.served.has_ring or self._is_over() or self._signals > 0)
        if enlisted is not None and self.served.has_ring:
            with self.loop.lock:
                self.hub.drop(enlisted, "it is not needed any more")

    def _serve(self) -> bool:
        self.loop.wait(lambda: self._is_over() or self._signals > 0)
        if not self._is_over():
            self._say(f"{self.name} hands over what it has (again: end at once, without)")
            with self.loop.lock:
                self.hub.send(NODE, Depart())
            self.loop.wait(lambda: self._is_over() or self._signals > 1)
        return self._ended()

    def _is_over(self) -> bool:
        return self.served.retired or bool(self.served.lost)

    def _ended(self) -> bool:
        if self.served.retired:
            self._say(f"{self.name} has handed over all that it had, and ends")
        elif self.served.lost:
            self._say(f"{self.name} ends: {self._why_lost()}")
        else:
            self._say(f"{self.name} ends without handing over what it had")
        return self.served.retired

    def _why_lost(self) -> str:
        if self.served.lost.endswith(RUNTIME_ENDED):
            return RUNTIME_ENDED
        return (
            f"the runtime cannot be reached any more ({self.served.lost}). It has ended, or has given this "
            f"store up, as one of which it hears nothing for {self.config.silence_ms / 1000:g} s: "
            + (AGAIN_EMPTY if self._disk is None else AGAIN_FROM_DISK)
        )

    @contextmanager
    def _signalled(self) -> Iterator[None]:
        """Within the block, SIGINT and SIGTERM are counted."""
        former = {number: signal.signal(number, self._count) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _count(self, number: int, frame: Any) -> None:
        self._signals += 1
        self.hub.wake()


def _its_own(config: Config, memory_bytes_max: int | None, state_dir: str) -> Config:
    """The runtime's configuration, as far as it holds on this host."""
    changes: dict[str, Any] = {"state_dir": state_dir}
    if memory_bytes_max is not None:
        changes["memory_bytes_max"] = memory_bytes_max
    return msgspec.structs.replace(config, **changes)
