"""A client in an atomic session and a store, which get each other's messages.

Used by test_blocks and test_block_writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.transactions import record_key
from cloudburst_runtime.client.calls import Answered, Store
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import LWW, Atomic, MapLattice
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.messages import (
    Delete,
    Failure,
    Put,
    pack,
    unpack,
)
from cloudburst_runtime.values import canonical, decode, encode


class Desk:
    """A client ``c1`` in an atomic session, and a store; ``lost`` says which messages do not arrive."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.replica = ReplicaCore(self.config)
        self.core = ClientCore(self.config, "c1", HybridClock(0), lambda: 0.5)
        self.session = ClientSession("atomic")
        self.answers: dict[int, Any] = {}
        self.sent: list[Any] = []
        self.lost: Callable[[Any], object] = lambda message: False
        self.req = 10**6

    def take(self, event: Any) -> None:
        for effect in self.core.handle(event, 0.0):
            if isinstance(effect, Answered):
                assert effect.req not in self.answers
                self.answers[effect.req] = effect.answer
            elif isinstance(effect, Send):
                self._arrive(effect.message)
        self.core.validate()

    def _arrive(self, message: Any) -> None:
        self.sent.append(message)
        if not self.lost(message):
            for send in self.replica.handle(Received("c1", unpack(pack(message))), 0.0):
                if isinstance(send, Send) and send.peer == "c1":
                    self.take(Received("node", unpack(pack(send.message))))

    def store(self, kind: str, *arguments: Any) -> int:
        op = self.core.next_req()
        self.take(Store(op, kind, arguments, self.session))
        return op

    def get(self, *keys: str) -> Any:
        answer = self.answers[self.store("read", list(keys))]
        if isinstance(answer, Failure):
            return answer
        found = [None if lattice is None else reveal(lattice, decode) for lattice in answer]
        return found if len(found) > 1 else found[0]

    def put(self, key: str, value: object) -> None:
        self.core.clock.observe(10**6)
        stamp = self.core.clock.tick(0.0)
        assert self.answers[self.store("write", key, LWW(stamp, "c1", encode(value)))] is None

    def again(self) -> None:
        """The session is left and entered again."""
        assert self.session.block is not None
        self.session.block.begin()

    # ------------------------------------------------------------ what others do

    def others(self, message: Any) -> None:
        self.replica.handle(Received("e9", message), 0.0)

    def next_req(self) -> int:
        self.req += 1
        return self.req

    def plain(self, stamp: int, key: str, value: object) -> None:
        self.others(Put(self.next_req(), key, LWW(stamp, "e9", encode(value))))

    def record(self, stamp: int, *keys: str) -> None:
        parts: dict[bytes, Any] = {canonical(key): part(stamp, *keys) for key in keys}
        self.others(Put(self.next_req(), record_key(f"t{stamp}"), MapLattice(parts)))

    def publish(self, stamp: int, *keys: str, only: str | None = None) -> None:
        """The transaction of this stamp writes its stamp under the keys."""
        for key in keys if only is None else (only,):
            self.others(Put(self.next_req(), key, part(stamp, *keys)))

    def delete(self, key: str, stamp: int = 10**9) -> None:
        self.others(Delete(self.next_req(), key, stamp))

    def stored(self, key: str) -> Any:
        entry = self.replica.entry(key)
        return None if entry is None or entry.lattice is None else reveal(entry.lattice, decode)


def part(stamp: int, *keys: str) -> Atomic:
    return Atomic(stamp, "e9", encode(stamp), f"t{stamp}", keys)


def published() -> Desk:
    """Two keys were published together."""
    desk = Desk()
    desk.publish(10, "x", "y")
    return desk
