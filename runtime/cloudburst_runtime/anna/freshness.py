"""Up to which change of the replica a cache is surely informed.

Law: numbers only; this file knows no key and no value.

The replica counts its changes (``seq``) and numbers the updates that it pushes to this cache within an
*epoch*. Each update and each answer says: when the replica was at ``seq``, it had pushed so many. Once the
cache has received that many without a gap, nothing that it holds is older than ``seq``: it is *synced*
up to there. A gap that does not close means that an update was lost; a new epoch begins, with nothing
held. An epoch is *announced* when the replica was told of it, and *confirmed* by the first answer in it.
"""

from __future__ import annotations

from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.vectors import Vector, joined

EARLY_MAX = 10_000
"""Updates after a gap that are counted before the epoch is given up."""

NOTHING: Vector = {}


class Freshness:
    """The account that one cache keeps of the updates of one replica.

    Parameters
    ----------
    store
        The replica's name.

    Attributes
    ----------
    synced
        What is held includes all changes up to this one.
    known
        What is held includes these changes of other stores, in the keys that the replica keeps.
    seen, heard
        The highest change that was heard of, as a number and as a vector; set by `hear`.

    Examples
    --------
    >>> fresh = Freshness()
    >>> fresh.promise(pushed=1, seq=9, now=0.0)
    >>> fresh.synced, fresh.gap_since
    (0, 0.0)
    >>> fresh.receive(number=1, seq=8, now=1.0)
    >>> fresh.synced, fresh.gap_since
    (9, None)
    """

    __slots__ = (
        "_early",
        "_mark",
        "announced",
        "confirmed",
        "epoch",
        "gap_since",
        "heard",
        "known",
        "received",
        "seen",
        "store",
        "synced",
    )

    def __init__(self, store: PeerName = NODE) -> None:
        self.store = store
        self.known: Vector = {}
        self.epoch = 0
        self.synced = 0
        self.seen = 0
        self.heard: Vector = {}
        self.restart()

    def restart(self) -> None:
        """Begin a new epoch, in which nothing is held yet."""
        self.epoch += 1
        self.announced = False
        self.confirmed = False
        self.received = 0
        self.gap_since: Millis | None = None
        self._early: dict[int, int] = {}  # updates after a gap: number, seq
        self._mark = (0, 0)  # the most updates that were promised, and the seq that they bring

    def receive(self, number: int, seq: int, now: Millis, known: Vector = NOTHING) -> None:
        """An update of this epoch arrived."""
        before = self.received
        if number == before + 1:
            self.received = number
            self.synced = max(self.synced, seq)
            while self._early and self.received + 1 in self._early:
                self.received += 1
                self.synced = max(self.synced, self._early.pop(self.received))
        elif number > before:
            self._early[number] = seq
        if self.received > before:
            self.gap_since = None
        self.promise(number, seq, now, known)

    def promise(self, pushed: int, seq: int, now: Millis, known: Vector = NOTHING) -> None:
        """The replica said that at ``seq``, with ``known``, it had pushed so many updates in this epoch."""
        self.hear(seq)
        if known and pushed <= self.received:
            self.known = joined(self.known, known)
        self._mark = max(self._mark, (pushed, seq))
        if pushed <= self.received:
            self.synced = max(self.synced, seq)
        if self._mark[0] <= self.received:
            self.synced = max(self.synced, self._mark[1])
            self.gap_since = None
        elif self.gap_since is None:
            self.gap_since = now

    def hear(self, seq: int) -> None:
        """The replica has made so many changes."""
        if seq > self.seen:
            self.seen = seq
            self.heard = {self.store: seq}

    def broken(self, now: Millis, patience_ms: Millis) -> bool:
        """Whether an update is missing for too long, or too many came after it."""
        if self.gap_since is None:
            return False
        return now >= self.gap_since + patience_ms or len(self._early) > EARLY_MAX
