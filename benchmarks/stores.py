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
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.messages import Members, Put, Ring, pack, unpack
from cloudburst_runtime.values import encode

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
        time.sleep(0.002)


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


def gossip_bytes(puts: int) -> float:
    """What two stores send each other for a put of eight bytes, one after the other: bytes of messages."""
    config = Config()
    names = ["node", "s2"]
    stores = {name: StoreCore(config, ReplicaCore(config, name)) for name in names}
    ring = Ring(1, Members(names), 2, live=names, born=2)
    for store in stores.values():
        store.handle(Received("node", ring), 0.0)
    sent = 0
    for number in range(puts):
        put = Put(
            number + 1, f"key/{number % 1000}", LWW(1_700_000_000_000_000 + number, "c1", encode(b"12345678"))
        )
        queue = deque([("c1", "node", put)])
        while queue:
            sender, to, message = queue.popleft()
            for effect in stores[to].handle(Received(sender, message), float(number)):
                if type(effect) is Send and effect.peer in stores and effect.peer != to:
                    data = pack(effect.message)
                    sent += len(data)
                    queue.append((to, effect.peer, unpack(data)))
    return sent / puts
