"""Executors and a store by events and effects, whose messages arrive when told to.

Used by test_levels, test_atomic_writes and test_agreement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send, SetTimer, Timer
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.releases import TIMER as RELEASES_TIMER
from cloudburst_runtime.executor.tasks import Op, Outcome, Ran, Reply, Task
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import (
    Args,
    Call,
    DagNode,
    Entry,
    Failure,
    FunctionSpec,
    Header,
    Message,
    Pin,
    Plan,
    Put,
    pack,
    unpack,
)
from cloudburst_runtime.values import encode

CHAIN, DIAMOND, FIRST = 1, 2, 3
"""FIRST: the last step of a diamond begins with the first of its inputs."""
EDGES = {
    CHAIN: [(0, 1), (1, 2)],
    DIAMOND: [(0, 1), (0, 2), (1, 3), (2, 3)],
    FIRST: [(0, 1), (0, 2), (1, 3), (2, 3)],
}
NAMES = ["f0", "f1", "f2", "f3"]
PLANS = [
    Plan(number, "p", [DagNode(name) for name in NAMES[: 3 if number == CHAIN else 4]], [1] * 4, edges)
    for number, edges in EDGES.items()
]
PLANS[-1].nodes[-1].invalid = []


class Cluster:
    """Executors e1 … e4 and a store; ``held`` says which messages are kept back on their way."""

    def __init__(self) -> None:
        self.replica = ReplicaCore(Config())
        self.executors = {
            name: ExecutorCore(Config(), name, HybridClock(0)) for name in ("e1", "e2", "e3", "e4")
        }
        self.wires: deque[tuple[str, str, Message]] = deque()
        self.told: list[Message] = []
        self.replies: dict[int, Any] = {}
        self.timers: dict[str, dict[str, float]] = {name: {} for name in self.executors}
        self.held: Any = lambda sender, receiver, message: False
        self.back: list[tuple[str, str, Message]] = []
        self.now = 0.0
        self.ops = 0
        for name in self.executors:
            self.tell("node", name, Pin([FunctionSpec(each, 1, b"") for each in NAMES], PLANS))

    def tell(self, sender: str, receiver: str, message: Message) -> None:
        self.wires.append((sender, receiver, message))
        self.settle()

    def settle(self) -> None:
        while self.wires:
            sender, receiver, message = self.wires.popleft()
            if self.held(sender, receiver, message):
                self.back.append((sender, receiver, message))
                continue
            received = Received(sender, unpack(pack(message)))
            if receiver == "node":
                effects: list[Any] = list(self.replica.handle(received, self.now))
            elif receiver in self.executors:
                effects = self.executors[receiver].handle(received, self.now)
            else:
                self.told.append(message)
                continue
            self.perform(receiver, effects)

    def perform(self, name: str, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.wires.append((name, effect.peer, effect.message))
            elif isinstance(effect, Reply):
                self.replies[effect.number] = effect.result
            elif isinstance(effect, SetTimer) and name in self.timers:
                self.timers[name][effect.key] = effect.due

    def release(self) -> None:
        """Let through what was kept back."""
        self.held = lambda sender, receiver, message: False
        self.wires.extend(self.back)
        self.back.clear()
        self.settle()

    def fire(self, name: str, timer: str) -> None:
        self.now = max(self.now, self.timers[name].pop(timer))
        self.perform(name, self.executors[name].handle(Timer(timer), self.now))
        self.settle()

    # ------------------------------------------------------------ a call

    def start(
        self,
        level: str,
        plan: int = CHAIN,
        number: int = 1,
        args: Args | None = None,
        attempt: int = 0,
        agreeing: bool = False,
        schedule: Sequence[str] = ("e1", "e2", "e3", "e4"),
    ) -> None:
        """``agreeing``: the parallel steps of the diamond know what the store had, and e2 is their home."""
        schedule = list(schedule[: 3 if plan == CHAIN else 4])
        session = ClientSession(level).onward(level, "e2" if agreeing else "e1")
        floor = {"node": self.replica.seq} if agreeing else {}
        if agreeing:
            session.start, session.beside = floor, ["e2", "e3"]
        header = Header("c1", number, attempt, plan, schedule, floor=floor, session=session)
        self.tell("c1", schedule[0], Call(header, 0, args or Args(encode(((), {})))))

    def running(self, name: str) -> Task:
        [task] = self.executors[name].running
        return task

    def ask(self, name: str, kind: str, *arguments: Any) -> int:
        self.ops += 1
        op = Op(self.running(name), self.ops, kind, arguments)
        self.perform(name, self.executors[name].handle(op, self.now))
        self.settle()
        return self.ops

    def get(self, name: str, key: str) -> Any:
        entry = self.executors[name].operations.levels.peek(self.running(name), key)
        if entry is not None:
            return None if entry.lattice is None else reveal(entry.lattice)
        [found] = self.replies[self.ask(name, "read", [key])]
        return None if found is None else reveal(found)

    def put(self, name: str, key: str, value: object, *waits: bool) -> None:
        core = self.executors[name]
        level = core.operations.levels.level(self.running(name))
        element = delta(value, None, name, core.clock.tick(self.now), level)
        assert self.replies[self.ask(name, "write", key, element, *waits)] is None

    def end(self, name: str, failure: Failure | None = None, settles: bool = True) -> None:
        """What runs has ended; ``settles``: and what then waits for company leaves."""
        outcome = Outcome(None if failure else encode(0), failure, self.now, self.now)
        tasks = list(self.executors[name].running)
        self.perform(name, self.executors[name].handle(Ran(tasks, [outcome]), self.now))
        self.settle()
        if settles and RELEASES_TIMER in self.timers[name]:
            self.fire(name, RELEASES_TIMER)

    def outside(self, key: str, value: object, stamp: int = 10**9) -> None:
        """Somebody else writes."""
        self.tell("c9", "node", Put(stamp, key, LWW(stamp, "c9", encode(value))))

    def stored(self, key: str) -> Entry:
        entry = self.replica.entry(key)
        assert entry is not None
        return entry

    def kept(self) -> list[str]:
        return [name for name, core in self.executors.items() if core.operations.snapshots.kept]
