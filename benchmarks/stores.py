"""What the cases of several stores need besides the client: a fast way to fill them, gossip that is weighed.

Law: the protocol's own messages and cores; nothing here is what a user would do.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections import deque
from typing import Any

from benchmarks.writers import Writers
from cloudburst_runtime import messages
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import Circle
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.lattices import LWW, AnyLattice, SetLattice
from cloudburst_runtime.messages import Members, Put, Ring, pack, unpack
from cloudburst_runtime.values import canonical, encode

WRITERS = 200


def described(client: Any) -> messages.StoresReply:
    """The stores, as the node says them."""
    reply: messages.StoresReply = client._shell.ask(messages.Stores)
    return reply


def wait_for(client: Any, count: int, without: str = "") -> None:
    """Until there are so many stores, each with its share, and none of that name."""
    while True:
        reply = described(client)
        names = [stats.name for stats in reply.stores]
        if len(names) == count and reply.settled and without not in names:
            return
        time.sleep(0.02)  # each look asks every store, which has enough to do


def fill(client: Any, keys: int) -> None:
    """Put so many keys of eight bytes."""
    reply = described(client)
    circle = Circle([stats.name for stats in reply.stores], reply.replication)
    writers = Writers(client.address.removeprefix("unix:"), WRITERS, lambda key: circle.owners(key)[0], keys)
    writers.put(keys)


def kill(client: Any, store: str) -> None:
    """End the process that listens under this name."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(os.path.join(client.address.removeprefix("unix:"), store))
        pid, _, _ = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    os.kill(pid, signal.SIGKILL)


class _Pair:
    """Two stores that keep every key, and what they have sent each other: bytes of messages."""

    def __init__(self) -> None:
        names = ["node", "s2"]
        self.stores = {name: StoreCore(Config(), ReplicaCore(Config(), name)) for name in names}
        self.sent = self._puts = 0
        ring = Ring(1, Members(names), 2, live=names, born=2)
        for store in self.stores.values():
            store.handle(Received("node", ring), 0.0)

    def put(self, key: str, lattice: AnyLattice) -> None:
        """Put to one of them, and let both say what they have to."""
        self._puts += 1
        queue: deque[Any] = deque([("c1", "node", Put(self._puts, key, lattice))])
        while queue:
            sender, to, message = queue.popleft()
            for effect in self.stores[to].handle(Received(sender, message), float(self._puts)):
                if type(effect) is Send and effect.peer in self.stores and effect.peer != to:
                    data = pack(effect.message)
                    self.sent += len(data)
                    queue.append((to, effect.peer, unpack(data)))


def gossip_bytes(puts: int) -> float:
    """What two stores send each other for a put of eight bytes, one after the other."""
    pair = _Pair()
    for number in range(puts):
        value = LWW(1_700_000_000_000_000 + number, "c1", encode(b"12345678"))
        pair.put(f"key/{number % 1000}", value)
    return pair.sent / puts


def growth(elements: int, puts: int) -> tuple[float, float]:
    """Of one element more in a set of so many: the bytes that two stores send each other, and seconds."""
    pair = _Pair()
    pair.put("set", SetLattice({canonical(number): None for number in range(elements)}))
    pair.sent = 0
    began = time.perf_counter()
    for number in range(puts):
        pair.put("set", SetLattice({canonical(elements + number): None}))
    return pair.sent / puts, (time.perf_counter() - began) / puts
