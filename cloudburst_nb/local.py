"""Running a cloud function here and now, as ``function.local(…)`` does.

Its user library has the same store, from this process, and nobody to talk to; cloud functions that it calls
run on the spot, too.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from cloudburst_nb import runtimes
from cloudburst_nb.sessions import ENTERED
from cloudburst_runtime.seconds import to_wait


class Inline:
    """While a thread is in this block, cloud functions that it calls run on the spot."""

    def __init__(self) -> None:
        self._threads: dict[int, int] = {}

    def here(self) -> bool:
        """Whether this thread is in the block."""
        return bool(self._threads) and threading.get_ident() in self._threads

    def __enter__(self) -> None:
        thread = threading.get_ident()
        self._threads[thread] = self._threads.get(thread, 0) + 1

    def __exit__(self, *exc: object) -> None:
        thread = threading.get_ident()
        self._threads[thread] -= 1
        if not self._threads[thread]:
            del self._threads[thread]


class LocalLibrary:
    """Reads and writes the runtime's store; direct messages go to itself.

    It starts a runtime only if the function uses the store.
    """

    def __init__(self) -> None:
        self._mailbox: list[tuple[str, Any]] = []

    @property
    def consistency(self) -> str:
        """The level of the session that is in force here."""
        entered = ENTERED.get()
        return "lww" if entered is None else entered.session.level

    def get(self, key: str | list[str], deserialize: bool = True, siblings: bool = False) -> Any:
        """The value under a key, or a dict of values for a list of keys; None for a missing key."""
        client = runtimes.ensure()
        if isinstance(key, str):
            return client.get(key, [] if siblings else None, siblings=siblings)
        return {each: self.get(each, siblings=siblings) for each in key}

    def put(
        self, key: str, value: object, lattice: str | None = None, *, durability: str | None = None
    ) -> bool:
        """Merge a value into a key."""
        runtimes.ensure().put(key, value, lattice=lattice, durability=durability)
        return True

    def delete(self, key: str) -> None:
        """Delete a key."""
        runtimes.ensure().delete(key)

    get_object = get
    put_object = put

    def getid(self) -> str:
        """The id of this local call."""
        return "local/0"

    get_id = getid

    def send(self, id: str, msg: object) -> bool:
        """Send a message; only this call itself can be reached."""
        if id == self.getid():
            self._mailbox.append((id, msg))
        return True

    def recv(self, timeout: float | None = 0) -> list[tuple[str, Any]]:
        """The messages sent so far; nobody else sends any, so there is nothing to wait for."""
        to_wait(timeout)
        arrived, self._mailbox = self._mailbox, []
        return arrived

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def progress(self, fraction: float, text: str = "") -> None:
        """Nobody waits for this call's progress."""

    def close(self) -> None:
        """Nothing to close."""
