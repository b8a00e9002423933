"""The world of one run: virtual time, processes, and the wires between them.

Law: whatever happens is an entry in one queue, taken in order of its time and then of its making; so a
seed has one history. The digest hashes every event that a core is given, its bytes included.

A connection is made by the first message, as in the real transport; a client listens nowhere, so what an
executor says to it waits until it connects. A process that ends takes its core along, and whoever was
connected learns of it after everything that the process had sent.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.ids import NODE, Millis, PeerName, is_store
from cloudburst_runtime.messages import Hello, Message, pack, unpack
from cloudburst_runtime.scheduler.events import Exited
from cloudburst_runtime.sim.abroad import Applicant, FarProcess, Host
from cloudburst_runtime.sim.disk import Disk
from cloudburst_runtime.sim.faults import Faults, Network
from cloudburst_runtime.sim.history import History
from cloudburst_runtime.sim.mutant import HONEST, Mutant
from cloudburst_runtime.sim.processes import ClientProcess, Execution, ExecutorProcess, Process
from cloudburst_runtime.sim.serving import NodeProcess, StoreProcess, die_taking_over

EVENTS_MAX = 400_000


class Livelock(AssertionError):
    """The run did not come to rest within the events that it may have."""


def unheeded(sender: PeerName, receiver: PeerName, data: bytes) -> None:
    """Nobody cares for what the network loses."""


class World:
    """One run, up to the point to which it was driven.

    Parameters
    ----------
    seed
        Of all random numbers; each subsystem has its own.
    faults, config
        What goes wrong, and the runtime's configuration.
    mutant
        The cores to run; by default the right ones.
    trace
        Called with a line per event.
    events_max
        After how many it is a `Livelock`.
    """

    def __init__(
        self,
        seed: int,
        faults: Faults,
        config: Config,
        mutant: Mutant = HONEST,
        trace: Callable[[str], None] | None = None,
        events_max: int = EVENTS_MAX,
    ) -> None:
        self.seed = seed
        self.events_max = events_max
        self.faults = faults
        self.config = config
        self.mutant = mutant
        self.trace = trace
        self.now: Millis = 0.0
        self.history = History()
        self.executions: list[Execution] = []
        self.processes: dict[PeerName, Process] = {}
        self.met: Counter[str] = Counter()
        """What went wrong, and how often: the words of `faults`."""
        self.network = Network(faults, self.random("net"), self.met)
        self._queue: list[tuple[Millis, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entries = 0
        self.lives = 0
        """How often all has ended."""
        self.hosts: list[Host] = []
        """Those on which there are stores besides."""
        self.disks: dict[PeerName, Disk] = {}
        """Of the stores; there are none unless the configuration has a ``state_dir``."""
        self.executors_most = 0
        """How many executors there were at a time at most."""
        self.on_loss = unheeded
        """Told of each message that the network has lost."""
        self._hash = hashlib.blake2b(digest_size=16)
        self._links: dict[PeerName, dict[PeerName, None]] = {}
        self._held: dict[tuple[PeerName, PeerName], list[bytes]] = {}
        self._luck = self.random("supervisor")

    def random(self, subsystem: str) -> Random:
        """A subsystem's own random numbers."""
        return Random(f"{self.seed}/{subsystem}")

    def disk(self, name: PeerName) -> Disk | None:
        """A store's disk; None: it keeps its state in memory alone."""
        if not self.config.state_dir:
            return None
        if name not in self.disks:
            self.disks[name] = Disk(self.random("disk" if name == NODE else f"disk/{self.lives}/{name}"))
        return self.disks[name]

    @property
    def digest(self) -> str:
        """A hash of all events so far."""
        return self._hash.hexdigest()

    # ------------------------------------------------------------ time

    def at(self, due: Millis, what: Callable[..., None], *args: Any) -> None:
        """Do something at a time."""
        self._entries += 1
        heapq.heappush(self._queue, (max(due, self.now), self._entries, what, args))

    def after(self, span: Millis, what: Callable[..., None], *args: Any) -> None:
        """Do something in a while."""
        self.at(self.now + span, what, *args)

    def run(self, until: Millis, done: Callable[[], bool] = lambda: False) -> None:
        """Let happen what happens up to a time, or until ``done``."""
        while self._queue and self._queue[0][0] <= until and not done():
            self.now, entry, what, args = heapq.heappop(self._queue)
            if entry > self.events_max:
                raise Livelock(
                    f"{self.events_max} events by {self.now:.0f} ms: something goes round in circles"
                )
            what(*args)
        if not done():
            self.now = max(self.now, until)

    def record(self, who: PeerName, what: str, data: bytes = b"") -> None:
        """Add an event to the digest, and to the trace if there is one."""
        self._hash.update(f"{self.now!r} {who} {what} ".encode())
        self._hash.update(data)
        if self.trace is not None:
            shown = f" {unpack(data)}" if data else ""
            self.trace(f"{self.now:10.2f}  {who:6} {what}{shown}")

    # ------------------------------------------------------------ processes

    def start_node(self) -> NodeProcess:
        """Start the node; it starts its executors."""
        node = NodeProcess(self, NODE)
        self._add(node)
        return node

    def start_client(self, name: PeerName) -> ClientProcess:
        """Start a client that is connected to the node."""
        client = ClientProcess(self, name)
        self._add(client)
        self.connect(name, NODE)
        self._deliver_later(name, NODE, pack(Hello(name, "client")), sure=True)
        return client

    def executors(self) -> list[ExecutorProcess]:
        """The executors that are alive, in order of age."""
        return [process for process in self.processes.values() if isinstance(process, ExecutorProcess)]

    def clients(self) -> list[ClientProcess]:
        """The clients that are alive."""
        return [process for process in self.processes.values() if isinstance(process, ClientProcess)]

    def stores(self) -> list[StoreProcess]:
        """The stores that are alive, besides the node's own."""
        return [process for process in self.processes.values() if isinstance(process, StoreProcess)]

    def node(self) -> NodeProcess:
        """The node."""
        node = self.processes[NODE]
        assert isinstance(node, NodeProcess)
        return node

    def _add(self, process: Process) -> None:
        self.processes[process.name] = process
        self._links[process.name] = {}
        self.executors_most = max(self.executors_most, len(self.executors()))
        process.start()

    def spawn(self, name: PeerName, estates: tuple[PeerName, ...] = ()) -> None:
        """What the supervisor does for the node: fork an executor or a store, which takes a while."""
        self.after(self._luck.uniform(4.0, 25.0), self._spawned, name, estates, self.lives)

    def _spawned(self, name: PeerName, estates: tuple[PeerName, ...], life: int) -> None:
        if life != self.lives:
            return
        if self.now < self.faults.heal_at and self._luck.random() < self.faults.stillborn:
            self.met["stillborn"] += 1
            if estates:
                die_taking_over(self, name, estates, self._luck.random())
            self._exited(name, "it ended before it was ready")
            return
        role = "store" if is_store(name) else "executor"
        self._add(StoreProcess(self, name, estates) if is_store(name) else ExecutorProcess(self, name))
        self.connect(name, NODE)
        self._deliver_later(name, NODE, pack(Hello(name, role, 1, 0, "here")), sure=True)

    def add_afar(self, process: Applicant | FarProcess, sure: bool = False) -> None:
        """Add a process on another host; with ``sure`` it says `Hello` to the node, which arrives."""
        self._add(process)
        self.connect(process.name, NODE)
        if sure:
            self._deliver_later(process.name, NODE, pack(Hello(process.name, "store", 1)), sure=True)

    def kill(self, name: PeerName, reason: str) -> None:
        """End a process at once, with all that it knew."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.alive = False
        disk = process.host.disk if isinstance(process, FarProcess) else self.disks.get(name)
        if disk is not None:
            self.met["unsynced lost"] += disk.crash()
        self.record(name, f"ends: {reason}")
        for peer in list(self._links[name]):
            del self._links[peer][name]
            self.at(self.network.last(name, peer, self.now), self._lost, self.processes[peer], name)
        self._links[name].clear()
        if isinstance(process, ExecutorProcess | StoreProcess):
            self._exited(name, reason)
        if isinstance(process, FarProcess):
            process.part()
            process.host.start_soon()

    def end_all(self) -> None:
        """End every process at once; nobody is told."""
        for name, process in self.processes.items():
            process.alive = False
            self.record(name, "ends: all end")
        for disk in [*self.disks.values(), *(host.disk for host in self.hosts)]:
            self.met["unsynced lost"] += disk.crash()
        self.processes.clear()
        self._links.clear()
        self._held.clear()
        self.lives += 1

    def _exited(self, name: PeerName, reason: str) -> None:
        self.after(self._luck.uniform(0.2, 40.0), self.node().take, Exited(name, reason))

    # ------------------------------------------------------------ wires

    def connect(self, one: PeerName, other: PeerName) -> None:
        """Connect two living processes, if they are not; what was held back for either is sent."""
        if other in self._links[one]:
            return
        self._links[one][other] = self._links[other][one] = None
        for sender, receiver in ((one, other), (other, one)):
            for data in self._held.pop((sender, receiver), []):
                self._deliver_later(sender, receiver, data)

    def send(self, sender: Process, peer: PeerName, message: Message) -> None:
        """What the transport does with a message."""
        assert peer != sender.name, f"{peer} sends {message} to itself"
        data = pack(message)
        if peer in self._links[sender.name]:
            self._deliver_later(sender.name, peer, data)
        elif isinstance(sender, ClientProcess) or not peer.startswith("c"):
            if peer in self.processes:
                self.connect(sender.name, peer)
                self._deliver_later(sender.name, peer, data)
            else:
                self.after(0.01, self._lost, sender, peer)
        else:
            self._held.setdefault((sender.name, peer), []).append(data)

    def _deliver_later(self, sender: PeerName, receiver: PeerName, data: bytes, sure: bool = False) -> None:
        target = self.processes[receiver]
        dues = self.network.arrivals(sender, receiver, self.now, sure)
        for due in dues:
            self.at(due, self._deliver, sender, target, data)
        if not dues:
            self.on_loss(sender, receiver, data)

    def _deliver(self, sender: PeerName, receiver: Process, data: bytes) -> None:
        if receiver.alive:
            self.record(receiver.name, f"← {sender}", data)
            receiver.take(Received(sender, unpack(data)))

    def _lost(self, process: Process, peer: PeerName) -> None:
        if process.alive and peer not in self.processes:
            self.record(process.name, f"lost {peer}")
            process.take(PeerLost(peer, "the process ended"))
