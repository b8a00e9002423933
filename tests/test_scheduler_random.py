"""The scheduler under random events: clients that lose and reorder messages, executors that come and go.

What is promised: when a registration is confirmed, no client uses an older version; a lease never names an
executor that was told to leave; the invariants hold after every event; and when all is quiet, nothing is
pending and the minimum of executors is ready.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from cloudburst_runtime.effects import Send
from cloudburst_runtime.messages import (
    ExecutorLost,
    Hello,
    Idle,
    Lease,
    Load,
    Place,
    Placed,
    Register,
    Registered,
    Retire,
    Revoke,
    Revoked,
)
from cloudburst_runtime.scheduler.core import Kill, Spawn
from tests.scheduling import World, fn

FUNCTIONS = ["f", "g"]


def named(lease: Lease) -> list[str]:
    """The executors of a lease."""
    return [name for names in lease.placement for name in names]


class Client:
    """A client that keeps to the protocol: it knows void leases by their serials."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.leases: dict[int, Lease] = {}
        self.void: dict[int, int] = {}

    def take(self, message: Any) -> list[Any]:
        """The answers to a message."""
        if isinstance(message, Placed):
            plan = message.lease.plan.number
            held = self.leases.get(plan)
            if message.lease.serial > max(self.void.get(plan, 0), held.serial if held else 0):
                self.leases[plan] = message.lease
        if isinstance(message, ExecutorLost):
            self.leases = {n: m for n, m in self.leases.items() if message.name not in named(m)}
        if isinstance(message, Revoke):
            for plan in message.plans:
                self.void[plan] = max(self.void.get(plan, 0), message.through)
                if plan in self.leases and self.leases[plan].serial <= message.through:
                    del self.leases[plan]
            return [Revoked(message.req)]
        return []

    def versions(self, function: str) -> list[int]:
        """Of that function, in the leases it would use."""
        plans = [lease.plan for lease in self.leases.values()]
        return [plan.versions[0] for plan in plans if plan.target == function]


class Chaos(World):
    """Random events; messages are delivered in any order, and some never or twice."""

    def __init__(self, seed: int) -> None:
        super().__init__(executors_min=2, executors_max=5, revoke_wait_ms=60_000)
        self.random = Random(seed)
        self.members = {name: Client(name) for name in ("c1", "c2", "c3")}
        self.flying: list[tuple[str, str, Any]] = []
        self.registering: dict[int, str] = {}
        self.processes: dict[str, bool] = {}
        self.perform(self.effects)

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Spawn):
                self.processes[effect.name] = False
            elif isinstance(effect, Kill):
                self.processes.pop(effect.name, None)
            elif isinstance(effect, Send) and isinstance(effect.message, Retire):
                assert not any(effect.peer in named(m) for m in self.all_leases())
                self.flying.append(("node", effect.peer, effect.message))
            elif isinstance(effect, Send):
                self.flying.append(("node", effect.peer, effect.message))
        self.core.validate()

    def all_leases(self) -> list[Lease]:
        return [lease for client in self.members.values() for lease in client.leases.values()]

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.55 and self.flying:
            self.deliver(lossy=True)
        elif choice < 0.65:
            client = self.random.choice(list(self.members))
            req = self.next_req()
            self.registering[req] = self.random.choice(FUNCTIONS)
            self.flying.append((client, "node", Register(req, fn(self.registering[req]))))
        elif choice < 0.8:
            client = self.random.choice(list(self.members))
            self.flying.append((client, "node", Place(self.next_req(), self.random.choice(FUNCTIONS))))
        elif choice < 0.95:
            self.trouble()
        else:
            self.perform(self.wait(self.random.choice([1, 50, 300])))

    def trouble(self) -> None:
        """Something happens to an executor."""
        if not self.processes:
            return
        name = self.random.choice(list(self.processes))
        choice = self.random.random()
        if not self.processes[name] or choice < 0.3:
            self.processes[name] = True
            self.perform(self.say(name, Hello(name, "executor")))
        elif choice < 0.5:
            self.perform(self.say(name, Load(3, "f", ["f"], self.random.randrange(4))))
        elif choice < 0.8:
            self.perform(self.say(name, Idle()))
        else:
            del self.processes[name]
            self.perform(self.exit(name) if choice < 0.9 else self.lose(name))

    def deliver(self, lossy: bool) -> None:
        index = self.random.randrange(len(self.flying)) if lossy else 0
        sender, receiver, message = self.flying.pop(index)
        if lossy and self.random.random() < 0.1:
            return
        if lossy and self.random.random() < 0.1:
            self.flying.append((sender, receiver, message))
        if receiver == "node":
            self.perform(self.say(sender, message))
        elif receiver in self.members:
            self.check(message)
            client = self.members[receiver]
            self.flying += [(receiver, "node", answer) for answer in client.take(message)]
        elif isinstance(message, Retire) and self.processes.pop(receiver, None):
            self.perform(self.exit(receiver, "exit status 0"))

    def check(self, message: Any) -> None:
        """A confirmed registration holds for every client."""
        if isinstance(message, Registered):
            function = self.registering[message.req]
            for client in self.members.values():
                assert all(version >= message.version for version in client.versions(function))

    def settle(self) -> None:
        """Heal everything and run until it is quiet."""
        for _ in range(400):
            while self.flying:
                self.deliver(lossy=False)
            for name in [name for name, ready in self.processes.items() if not ready]:
                self.processes[name] = True
                self.perform(self.say(name, Hello(name, "executor")))
            self.perform(self.wait(1_000))
        assert not self.flying


@pytest.mark.parametrize("seed", range(40))
def test_the_promises_hold(seed: int) -> None:
    chaos = Chaos(seed)
    for client in chaos.members:
        chaos.register(client, *map(fn, FUNCTIONS))
        chaos.join(client)
    for _ in range(400):
        chaos.step()
    chaos.settle()
    assert chaos.core.leases.notices == {}
    assert chaos.core.leases.gates == {}
    assert not chaos.core.grants.waiting
    phases = [executor.phase for executor in chaos.core.pool.executors.values()]
    assert phases.count("ready") == len(phases) >= 2
    assert {name for name, ready in chaos.processes.items() if ready} >= set(chaos.core.pool.executors)
    for lease in chaos.all_leases():
        assert all(name in chaos.core.pool.executors for names in lease.placement for name in names)
