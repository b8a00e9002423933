"""A scheduler between imaginary peers: what the scheduler's tests say to it and hear from it."""

from __future__ import annotations

from typing import Any, TypeVar

from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.messages import (
    DagNode,
    DagSpec,
    DefineDag,
    FunctionSpec,
    Hello,
    Lease,
    Message,
    Place,
    Placed,
    Register,
    Revoke,
    Revoked,
    pack,
    unpack,
)
from cloudburst_runtime.scheduler.core import Exited, Kill, SchedulerCore, Spawn

M = TypeVar("M")


def fn(name: str, **options: Any) -> FunctionSpec:
    """A function as a client registers it."""
    return FunctionSpec(name, 0, b"payload of " + name.encode(), **options)


def dag(name: str, functions: str, *edges: str, colocated: tuple[str, ...] = ()) -> DagSpec:
    """A DAG of one-letter functions: ``dag("d", "abc", "ab", "bc")``."""
    pairs = [(functions.index(start), functions.index(end)) for start, end in edges]
    return DagSpec(name, [DagNode(function) for function in functions], pairs, list(colocated))


class World:
    """Drives one `SchedulerCore`: keeps the time, its timers and everything it did."""

    def __init__(
        self, held: dict[str, list[str]] | None = None, found: Recovered | None = None, **config: Any
    ) -> None:
        self.now = 0.0
        self.held = held or {}
        self.draws: list[float] = []
        self.timers: dict[str, float] = {}
        self.effects: list[Any] = []
        self.req = 0
        self.core = SchedulerCore(
            Config(**config),
            holders=lambda key: self.held.get(key, []),
            uniform=lambda: self.draws.pop(0) if self.draws else 0.99,
            store_stats=lambda: (3, 99, {}),
            found=found,
        )
        self._note(self.core.start(self.now))

    # ------------------------------------------------------------ telling it

    def event(self, event: Any) -> list[Any]:
        return self._note(self.core.handle(event, self.now))

    def say(self, peer: str, message: Message) -> list[Any]:
        return self.event(Received(peer, unpack(pack(message))))

    def lose(self, peer: str, reason: str = "") -> list[Any]:
        return self.event(PeerLost(peer, reason))

    def exit(self, name: str, reason: str = "killed by signal 9") -> list[Any]:
        return self.event(Exited(name, reason))

    def wait(self, ms: float) -> list[Any]:
        """Let time pass, with the timers that fall due, in order."""
        end, effects = self.now + ms, []
        while True:
            due = sorted((time, key) for key, time in self.timers.items() if time <= end)
            if not due:
                break
            self.now = max(self.now, due[0][0])
            del self.timers[due[0][1]]
            effects += self.event(Timer(due[0][1]))
        self.now = end
        return effects

    def hello(self, *names: str, gpus: int = 0, host: str = "here") -> list[Any]:
        return [
            effect
            for name in names
            for effect in self.say(name, Hello(name, "executor", pid=7, gpus=gpus, host=host))
        ]

    def join(self, *clients: str) -> None:
        for client in clients:
            self.say(client, Hello(client, "client"))

    def next_req(self) -> int:
        self.req += 1
        return self.req

    def register(self, client: str, *functions: FunctionSpec) -> list[Any]:
        return [
            effect
            for function in functions
            for effect in self.say(client, Register(self.next_req(), function))
        ]

    def define(self, client: str, spec: DagSpec, replace: bool = True) -> list[Any]:
        return self.say(client, DefineDag(self.next_req(), spec, replace))

    def place(self, client: str, target: str, kind: str = "function", **options: Any) -> list[Any]:
        return self.say(client, Place(self.next_req(), target, kind, **options))

    def lease(self, client: str, target: str, kind: str = "function", **options: Any) -> Lease:
        (placed,) = sent(self.place(client, target, kind, **options), Placed, to=client)
        return placed.lease

    def acknowledge(self, effects: list[Any]) -> list[Any]:
        """Every client that is sent a `Revoke` in these effects confirms it."""
        return [
            answer
            for effect in effects
            if isinstance(effect, Send) and isinstance(effect.message, Revoke)
            for answer in self.say(effect.peer, Revoked(effect.message.req))
        ]

    def _note(self, effects: list[Any]) -> list[Any]:
        for effect in effects:
            if isinstance(effect, SetTimer):
                assert effect.due >= self.now, f"a timer in the past: {effect}"
                self.timers[effect.key] = effect.due
        self.effects += effects
        return effects


def sent(effects: list[Any], kind: type[M], to: str | None = None) -> list[M]:
    """The messages of that kind in these effects, in order."""
    return [
        effect.message
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.message, kind) and to in (None, effect.peer)
    ]


def receivers(effects: list[Any], kind: type) -> list[str]:
    """Who is sent a message of that kind."""
    return [e.peer for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def spawned(effects: list[Any]) -> list[str]:
    return [effect.name for effect in effects if isinstance(effect, Spawn)]


def killed(effects: list[Any]) -> list[str]:
    return [effect.name for effect in effects if isinstance(effect, Kill)]
