"""Many writers at once, at the level of messages: what a store can take when its clients are no limit.

Each writer puts a value, waits for the acknowledgement, and puts the next. They share one connection, as the
threads of one client do, and cost less than those would.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable

from cloudburst_runtime.effects import Received
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.messages import Hello, Put, PutReply
from cloudburst_runtime.shell.transport import Hub
from cloudburst_runtime.values import encode


class Writers:
    """So many writers of small values.

    Parameters
    ----------
    directory
        The runtime's directory.
    count
        How many puts are in flight.
    store_of
        Which store takes the puts of a key.
    keys
        How many keys are written, in turn.
    """

    def __init__(
        self,
        directory: str,
        count: int,
        store_of: Callable[[str], str] = lambda key: NODE,
        keys: int = 10_000,
    ) -> None:
        self.name = "c" + uuid.uuid4().hex[:12]
        self.hub = Hub(directory, Hello(self.name, "client", os.getpid()))
        self.hub.connect(NODE)
        self.count = count
        self._store_of = store_of
        self._keys = keys
        self._req = 0
        self._value = encode("12345678")

    def put(self, puts: int) -> float:
        """Make so many puts; the time for one, in seconds."""
        began = time.perf_counter()
        self._send(min(self.count, puts))
        left, sent = puts, min(self.count, puts)
        while left:
            answered = sum(
                type(event) is Received and type(event.message) is PutReply
                for event in self.hub.collect(self.hub.wait(10_000.0))
            )
            left -= answered
            more = min(answered, puts - sent)
            self._send(more)
            sent += more
        return (time.perf_counter() - began) / puts

    def _send(self, puts: int) -> None:
        self.hub.begin_batch()
        for _ in range(puts):
            self._req += 1
            lattice = LWW(self._req, self.name, self._value)
            key = f"written/{self._req % self._keys}"
            self.hub.send(self._store_of(key), Put(self._req, key, lattice))
        self.hub.end_batch()
