"""The executors of one runtime: which there are, which are coming, which must go.

Law: this file decides about processes, not about calls; it does not know clients, leases or plans.

::

            Spawn                 Hello               Idle, drained
    (none) ───────► starting ───────────────► ready ───────────────► leaving
                        │                       │                       │
                        │ Exited, never ready   │ PeerLost: Kill        │ PeerLost
                        ▼                       ▼                       ▼
                      gone ◄───────────────── doubted ◄─────────────────┘
                                 Exited, or no word of it for a moment

``executors_min`` of them are *regular*: they take every function. Those above come under load for the
functions that wait, and leave when they are idle. Names are numbered and never used again. An executor
whose connection broke is *doubted* for a moment, because the supervisor's `Exited` knows the better
reason. Starts that fail are repeated five times in ten seconds, then no more until somebody asks.

Load: an executor says every ``pressure_after_ms`` how many tasks wait in it. It is then avoided for a
while, also when they were taken from it and its call goes on, and the waiting tasks go one each to
executors that are free, or else to new ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Hello, Load, Shed
from cloudburst_runtime.scheduler.events import Effect, Kill, Spawn
from cloudburst_runtime.scheduler.policy import Seat, executors_spare, executors_wanted

STARTING, READY, DOUBTED, LEAVING = "starting", "ready", "doubted", "leaving"

RETRIES_MAX = 5
RESTARTS_MAX = 20
WINDOW_MS = 10_000.0
"""At most so many retries of failed starts, and so many restarts of any kind, within this time."""
START_MS = 30_000.0
"""An executor that is not ready after this long is ended."""
DOUBT_MS = 100.0
GONE_MAX = 1_000


@dataclass(slots=True)
class Executor:
    """One executor as the scheduler sees it."""

    name: PeerName
    regular: bool
    phase: str = STARTING
    pid: int = 0
    host: str = ""
    gpus: int = 0
    queued: int = 0
    worth: int = 0
    """How many more executors its waiting tasks would keep busy."""
    computing: bool = False
    running: str = ""
    doing: str = ""
    """The function that it runs for long, as far as it said."""
    waiting: dict[str, None] = field(default_factory=dict)
    """The functions of the tasks that wait in it."""
    functions: dict[str, None] = field(default_factory=dict)
    """What was brought to it under load, if it is not regular."""
    avoided_until: Millis | None = None
    given_at: Millis | None = None
    """When it was last given a waiting task: it is not taken for free soon after."""
    doubt: str = ""
    seen: bool = False
    """It was ready once."""
    own: bool = True
    """This scheduler started it."""
    retiring: bool = False
    """It is leaving, or was when its connection broke."""
    pins: dict[str, int] = field(default_factory=dict)
    """Functions that were sent to it, with their versions."""
    plans: OrderedDict[int, None] = field(default_factory=OrderedDict)
    """Plans that were sent to it."""


class Pool:
    """The executors of one runtime, in the order of their age."""

    def __init__(self, config: Config, life: int = 1) -> None:
        self.config = config
        self._suffix = f".{life}" if life > 1 else ""  # no two writers to one store have one name
        self.minimum = max(1, config.executors_min)
        self.maximum = max(self.minimum, config.executors_max)
        self.executors: dict[PeerName, Executor] = {}
        self.gone: OrderedDict[PeerName, None] = OrderedDict()
        self.last_reason = ""
        self._count = 0
        self._failures: list[Millis] = []
        self._restarts: list[Millis] = []
        self._compute_grown_at: Millis = config.computing_growth_ms
        """When the next executor beyond the cores may be added for calls that compute."""

    # ------------------------------------------------------------ who is there

    def ready(self) -> list[Executor]:
        """Those that take calls."""
        return [executor for executor in self.executors.values() if executor.phase == READY]

    def starting(self) -> int:
        """How many are on their way."""
        return sum(executor.phase == STARTING for executor in self.executors.values())

    def listening(self) -> list[PeerName]:
        """Those that can be told something."""
        return [e.name for e in self.executors.values() if e.phase in (READY, LEAVING)]

    def seats(self) -> list[Seat]:
        """What placement sees."""
        return [
            Seat(e.name, e.host, e.gpus, e.regular, e.avoided_until is not None, e.functions)
            for e in self.ready()
        ]

    def broken(self, now: Millis) -> bool:
        """Whether starts fail so often that they are not repeated for now."""
        self._failures = [time for time in self._failures if now - time < WINDOW_MS]
        return len(self._failures) > RETRIES_MAX

    # ------------------------------------------------------------ coming

    def replenish(self, now: Millis) -> list[Effect]:
        """Start what is missing to the minimum."""
        effects: list[Effect] = []
        while not self.broken(now) and len(self.ready()) + self.starting() < self.minimum:
            self._restarts = [time for time in self._restarts if now - time < WINDOW_MS]
            if len(self._restarts) >= RESTARTS_MAX + self.minimum:
                return [*effects, SetTimer("respawn", self._restarts[0] + WINDOW_MS)]
            self._restarts.append(now)
            effects += self.spawn(now, regular=True)
        return effects

    def spawn(self, now: Millis, regular: bool) -> list[Effect]:
        """Start one executor."""
        self._count += 1
        name = f"e{self._count}{self._suffix}"
        self.executors[name] = Executor(name, regular)
        return [Spawn(name), SetTimer(f"start {name}", now + START_MS)]

    def hello(self, message: Hello) -> Executor | None:
        """An executor says that it is ready; None if that name was given up before.

        One that this scheduler did not start is taken in as well (another host's, say).
        """
        name = message.name
        if name in self.gone:
            return None
        executor = self.executors.get(name)
        if executor is None:
            short = sum(e.regular for e in self.executors.values()) < self.minimum
            executor = self.executors[name] = Executor(name, regular=short, own=False)
            number = name.removeprefix("e").removesuffix(self._suffix)
            if number.isdecimal():
                self._count = max(self._count, int(number))
        if executor.phase == STARTING:
            executor.phase, executor.seen = READY, True
            self._failures.clear()
        executor.pid, executor.host, executor.gpus = message.pid, message.host, message.gpus
        return executor

    # ------------------------------------------------------------ going

    def doubt(self, name: PeerName, reason: str, now: Millis) -> list[Effect]:
        """Its connection ended: end the process, and wait a moment to learn why."""
        executor = self.executors[name]
        if executor.phase == DOUBTED:
            return []
        executor.phase = DOUBTED
        executor.doubt = reason or "its connection ended"
        return [Kill(name, executor.doubt), SetTimer(f"doubt {name}", now + DOUBT_MS)]

    def remove(self, name: PeerName, reason: str, now: Millis) -> list[Effect]:
        """It is gone: start another if that leaves too few."""
        executor = self.executors.pop(name)
        self.gone[name] = None
        while len(self.gone) > GONE_MAX:
            self.gone.popitem(last=False)
        if not executor.seen:
            self.last_reason = reason
            self._failures.append(now)
        self._promote()
        return self.replenish(now)

    def _promote(self) -> None:
        """The oldest executors take the places of regular ones that are gone."""
        alive = [e for e in self.executors.values() if e.phase in (STARTING, READY)]
        missing = self.minimum - sum(e.regular for e in alive)
        for executor in [e for e in alive if not e.regular][: max(0, missing)]:
            executor.regular = True

    def idle(self, name: PeerName) -> bool:
        """It says that it has long had nothing to do; return whether it is now leaving."""
        executor = self.executors[name]
        self._relax(executor)
        if executor.phase != READY or executor.regular:
            return False
        if not executors_spare([name], len(self.ready()), self.minimum):
            return False
        executor.phase, executor.retiring = LEAVING, True
        return True

    # ------------------------------------------------------------ load

    def loaded(self, message: Load, name: PeerName, now: Millis) -> list[Effect]:
        """Note a report: whoever has tasks that wait, or is in a long call, is avoided for a while."""
        executor = self.executors[name]
        self._relax(executor)
        executor.running = message.running
        if not message.queued and not message.running:
            return []
        executor.queued, executor.waiting = message.queued, dict.fromkeys(message.functions)
        executor.worth, executor.computing = message.worth, message.computing
        executor.avoided_until = now + self.config.avoid_busy_ms
        return [SetTimer("avoid", self._earliest_avoided())]

    def calm(self, now: Millis) -> list[Effect]:
        """The timer: who reported no pressure for long enough is not avoided any more."""
        for executor in self.executors.values():
            if executor.avoided_until is not None and executor.avoided_until <= now:
                self._relax(executor)
        if any(e.avoided_until is not None for e in self.executors.values()):
            return [SetTimer("avoid", self._earliest_avoided())]
        return []

    def relieve(self, now: Millis, needs_gpu: Iterable[str] = ()) -> list[Effect]:
        """Send waiting tasks to free executors, and start new ones for the rest.

        Parameters
        ----------
        needs_gpu
            Functions that only run where there is a GPU.
        """
        gpu_only = dict.fromkeys(needs_gpu)
        shed: dict[PeerName, list[PeerName]] = {}
        for free in self._free(now):
            loaded = self._most_loaded(free, gpu_only)
            if loaded is not None:
                shed.setdefault(loaded.name, []).append(free.name)
                self._give(loaded, free, now)
        effects: list[Effect] = [Send(name, Shed(to)) for name, to in shed.items()]
        return effects + self._grow(now, gpu_only)

    def _free(self, now: Millis) -> list[Executor]:
        """Those with no report of load that were not given a task just now; new ones first."""
        soon = 2 * self.config.pressure_after_ms
        free = [
            e
            for e in self.ready()
            if e.avoided_until is None and (e.given_at is None or now - e.given_at >= soon)
        ]
        return sorted(free, key=lambda e: (e.regular, e.given_at is not None))

    def _most_loaded(self, free: Executor, gpu_only: dict[str, None]) -> Executor | None:
        best: Executor | None = None
        for executor in self.ready():
            if executor is free or not executor.queued:
                continue
            if not free.gpus and any(name in gpu_only for name in executor.waiting):
                continue
            if best is None or executor.queued > best.queued:
                best = executor
        return best

    def _give(self, loaded: Executor, free: Executor, now: Millis) -> None:
        loaded.queued -= 1
        free.given_at = now
        if not free.regular:
            free.functions.update(loaded.waiting)

    def _grow(self, now: Millis, gpu_only: dict[str, None]) -> list[Effect]:
        if self.broken(now):
            return []
        loaded = [e for e in self.ready() if self.config.gpus or not any(f in gpu_only for f in e.waiting)]
        blocked = sum(min(e.worth, e.queued) for e in loaded if not e.computing)
        computing = sum(min(e.worth, e.queued) for e in loaded if e.computing)
        present = len(self.executors) - self.starting()
        count = executors_wanted(blocked, self.starting(), present, self.maximum)
        count += self._grow_for_computing(computing - max(0, self.starting() - blocked), count, now)
        return [effect for _ in range(count) for effect in self.spawn(now, regular=False)]

    def _grow_for_computing(self, worth: int, others: int, now: Millis) -> int:
        """Executors that compute help up to the cores; beyond them one now and then.

        That one is for functions that wait for each other by asking again and again.
        """
        total = len(self.executors) + others
        count = max(0, min(worth, self.config.cores - total))
        if not count and worth > 0 and total < self.maximum and now >= self._compute_grown_at:
            count = 1
        if count:
            self._compute_grown_at = now + self.config.computing_growth_ms
        return count

    def _relax(self, executor: Executor) -> None:
        executor.queued, executor.worth, executor.running = 0, 0, ""
        executor.waiting = {}
        executor.avoided_until = executor.given_at = None

    def _earliest_avoided(self) -> Millis:
        times = [e.avoided_until for e in self.executors.values() if e.avoided_until is not None]
        return min(times)

    def validate(self) -> None:
        """Assert what must hold between events."""
        for name, executor in self.executors.items():
            assert name == executor.name
            assert name not in self.gone, f"{name} is both here and gone"
            assert executor.queued >= 0, f"{name} has a negative queue"
            assert executor.phase in (STARTING, READY, DOUBTED, LEAVING)
        own = [e for e in self.executors.values() if e.own and e.phase != DOUBTED]
        assert len(own) <= self.maximum, f"{len(own)} executors, {self.maximum} are allowed"
        assert len(self.gone) <= GONE_MAX
