"""Stores on other hosts with a disk of their own: they enlist, join, are killed with the others or alone, and
are started again on their disk some time later.

Law: as in `serving`; compare `shell.far_store` and `shell.far_disk`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cloudburst_runtime.anna.durable import recover
from cloudburst_runtime.effects import Received, Send, SetTimer, Timer
from cloudburst_runtime.ids import NODE, STORE_ROLE, Millis, PeerName
from cloudburst_runtime.messages import Enlisted, Hello, Papers, Retire, Ring
from cloudburst_runtime.sim.disk import Disk
from cloudburst_runtime.sim.processes import Process
from cloudburst_runtime.sim.serving import ServingProcess, StoreProcess

if TYPE_CHECKING:
    from cloudburst_runtime.sim.world import World

AGAIN_MS: Millis = 1_000.0
BACK_MS = (50.0, 3_000.0)
"""How long it takes until a store that was killed is started again."""


class Host:
    """Another host: a disk, and who was on it last."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self._luck = world.random(f"host/{name}")
        self._starts = 0
        self.empty()

    def empty(self) -> None:
        """Who was here has nothing any more: the next one is somebody else."""
        self._starts += 1
        identity = f"{self.name}.{self._starts}"
        self.disk = Disk(self.world.random(f"disk/{identity}"))
        self.papers = Papers(identity)

    def start_soon(self) -> None:
        """Start the store in a while, unless all begins again before that."""
        self.world.after(self._luck.uniform(*BACK_MS), self._start, self.world.lives)

    def _start(self, life: int) -> None:
        if life == self.world.lives:
            self._starts += 1
            self.world.add_afar(Applicant(self, f"x{self.name}.{self._starts}"))


class _Asks:
    """Asks for a name until it has one."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello

    def start(self, now: Millis) -> list[Any]:
        return [Send(NODE, self._hello), SetTimer("again", now + AGAIN_MS)]

    def handle(self, event: Any, now: Millis) -> list[Any]:
        return self.start(now) if type(event) is Timer else []

    def validate(self) -> None:
        """Nothing may be wrong."""


class Applicant(Process):
    """What a store is before it has a name."""

    def __init__(self, host: Host, name: PeerName) -> None:
        super().__init__(host.world, name)
        self.host = host
        self.store: FarProcess | None = None
        self.core = _Asks(Hello(name, STORE_ROLE, host=host.name, papers=host.papers))

    def take(self, event: Any) -> None:
        """Become a store once there is a name."""
        message = event.message if isinstance(event, Received) else None
        if self.alive and isinstance(message, Enlisted) and message.refusal:
            self.host.empty()  # it had handed over all that it had, and was not told
            self.world.kill(self.name, "it was refused")
            self.host.start_soon()
        elif self.alive and isinstance(message, Enlisted) and self.store is None:
            self.store = FarProcess(self, message)
            self.timers.clear()
            self.world.add_afar(self.store, sure=True)
        elif self.store is None:
            super().take(event)


class FarProcess(StoreProcess):
    """A store on another host."""

    def __init__(self, applicant: Applicant, enlisted: Enlisted) -> None:
        world, host = applicant.world, applicant.host
        ServingProcess.__init__(self, world, enlisted.name, f"disk/pace/{applicant.name}", host.disk)
        self.host = host
        self.applicant: PeerName | None = applicant.name
        found = recover(host.disk.records())
        anew = (host.papers.runtime, host.papers.start) != (enlisted.runtime, enlisted.start)
        world.met["came back"] += bool(found.versions)
        host.disk.write(dict.fromkeys(world.mutant.come_back(found, enlisted.name, enlisted.estate, anew)))
        host.disk.sync(host.disk.written)
        world.met["brought back"] += bool(found.versions)
        host.papers = msgspec.structs.replace(host.papers, runtime=enlisted.runtime, start=enlisted.start)
        self.replica = world.mutant.replica(world.config, enlisted.name, found)
        self.core = world.mutant.store(world.config, self.replica)
        self.serve()

    def take(self, event: Any) -> None:
        """Let the core take an event, unless it is the end."""
        message = event.message if isinstance(event, Received) else None
        if isinstance(message, Retire):
            self.host.empty()
            self.world.kill(self.name, "it left")
            return
        if isinstance(message, Ring):
            self.part()
        ServingProcess.take(self, event)

    def part(self) -> None:
        """The connection by which it asked for its name is not needed any more."""
        if self.applicant is not None:
            name, self.applicant = self.applicant, None
            self.world.kill(name, "it is a store now")
