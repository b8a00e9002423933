"""What one store has told another, and up to where: the two ends of a stream of changed keys.

Law: numbers, keys and sizes only; what an entry holds is read when a batch is sent, by whoever sends it.

A store numbers the batches that it sends to another, and sends each until it is acknowledged. The other
takes them in order and no other way: so once it has taken batch ``n``, marked with the sender's change
number ``seq``, it is *informed* of all that the sender changed up to there in the keys that both own. A key
that changes again before its batch has left is in it once, and while `WINDOW` batches are under way, changes
gather: under load, batches grow by themselves. When nothing changes, nothing is sent and nothing is due.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

from cloudburst_runtime.ids import Millis
from cloudburst_runtime.unanswered import BACKOFF_MAX

WINDOW = 4
"""Batches under way to one store."""

BATCH_KEYS_MAX = 512
BATCH_BYTES_MAX = 1_048_576
"""A batch has no more keys, nor more bytes once it has one key."""


class Batch(NamedTuple):
    """Keys whose entries are sent together, with the first change of each that was not sent before.

    The sender's changes up to ``seq`` are in batches so far.
    """

    number: int
    keys: dict[str, int]
    seq: int


class _Waiting(NamedTuple):
    nbytes: int
    first: int


class Outgoing:
    """The sender's end of a stream.

    Parameters
    ----------
    resend_ms
        The first interval after which an unacknowledged batch is sent again.

    Examples
    --------
    >>> out = Outgoing(resend_ms=1000.0)
    >>> out.change("k", nbytes=10, seq=7)
    >>> out.next_batch(seq=7, now=0.0)
    Batch(number=1, keys={'k': 7}, seq=7)
    >>> out.since("k"), len(out.overdue(now=1000.0))
    (7, 1)
    >>> out.acknowledge(1, now=1000.0)
    ['k']
    >>> out.since("k"), out.due, out.mark(seq=9)
    (None, None, (1, 9))
    """

    def __init__(self, resend_ms: Millis) -> None:
        self.due: Millis | None = None
        """When batches are to be sent again; None: none is under way."""
        self._resend_ms = resend_ms
        self._interval = resend_ms
        self._waiting: dict[str, _Waiting] = {}
        self._first = 0  # no change that waits is older
        self._under_way: deque[Batch] = deque()
        self._number = 0

    def change(self, key: str, nbytes: int, seq: int) -> None:
        """The key's entry is another since the change ``seq``."""
        self._first = min(self._first, seq) if self._waiting else seq
        before = self._waiting.get(key)
        self._waiting[key] = _Waiting(nbytes, seq if before is None else min(seq, before.first))

    def next_keys(self) -> list[str]:
        """The keys that are under way, and those that the next batches may have."""
        under_way = [key for batch in self._under_way for key in batch.keys]
        return under_way + list(islice(self._waiting, WINDOW * BATCH_KEYS_MAX))

    def next_batch(self, seq: int, now: Millis) -> Batch | None:
        """The next batch, if there is one to send and the window lets it; ``seq`` is the latest change."""
        if not self._waiting or len(self._under_way) >= WINDOW:
            return None
        keys: dict[str, int] = {}
        room = BATCH_BYTES_MAX
        for key, waiting in self._waiting.items():
            room -= waiting.nbytes
            if keys and (room < 0 or len(keys) >= BATCH_KEYS_MAX):
                break
            keys[key] = waiting.first
        for key in keys:
            del self._waiting[key]
        self._number += 1
        batch = Batch(self._number, keys, self._marked(seq))
        self._under_way.append(batch)
        if self.due is None:
            self._interval = self._resend_ms
            self.due = now + self._interval
        return batch

    def _marked(self, seq: int) -> int:
        return self._first - 1 if self._waiting else seq

    def acknowledge(self, number: int, now: Millis) -> list[str]:
        """The other store has taken all batches up to this one; return the keys in them."""
        had: list[str] = []
        while self._under_way and self._under_way[0].number <= number:
            had += self._under_way.popleft().keys
            self._interval = self._resend_ms
            self.due = now + self._interval if self._under_way else None
        return had

    def overdue(self, now: Millis) -> list[Batch]:
        """What to send again."""
        return [] if self.due is None or self.due > now else self.again(now)

    def again(self, now: Millis) -> list[Batch]:
        """Send all that is under way again, now."""
        self._interval = min(2 * self._interval, BACKOFF_MAX * self._resend_ms)
        self.due = now + self._interval if self._under_way else None
        return list(self._under_way)

    def since(self, key: str) -> int | None:
        """The first change of the key that the other store may not have; None: it has them all."""
        for batch in self._under_way:
            first = batch.keys.get(key)
            if first is not None:
                return first
        waiting = self._waiting.get(key)
        return None if waiting is None else waiting.first

    def mark(self, seq: int) -> tuple[int, int]:
        """The last batch, and the change up to which all is in batches up to it; ``seq`` is the latest."""
        return self._number, self._marked(seq)


class Incoming:
    """The receiver's end of a stream.

    Attributes
    ----------
    taken
        The last batch that was taken.
    informed
        The sender's change up to which it has told us everything.

    Examples
    --------
    >>> incoming = Incoming()
    >>> incoming.takes(2), incoming.takes(1)
    (False, True)
    >>> incoming.take(1, seq=7)
    >>> incoming.promise(number=2, seq=12)
    >>> incoming.promise(number=1, seq=9)
    >>> incoming.informed
    9
    """

    __slots__ = ("informed", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.informed = 0

    def takes(self, number: int) -> bool:
        """Whether this batch is the next one."""
        return number == self.taken + 1

    def take(self, number: int, seq: int) -> None:
        """The batch's entries were merged."""
        self.taken = number
        self.promise(number, seq)

    def promise(self, number: int, seq: int) -> None:
        """The sender said that its changes up to ``seq`` are in batches up to ``number``."""
        if number <= self.taken:
            self.informed = max(self.informed, seq)
