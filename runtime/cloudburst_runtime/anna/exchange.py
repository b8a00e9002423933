"""Gossip with the other stores: a stream of changed entries to each, and one from each.

Law: what is in the entries is read when they are sent; which store keeps which key is said by whoever
reports a change. The numbers are `gossip`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cloudburst_runtime.anna.deltas import Deltas
from cloudburst_runtime.anna.gossip import Batch, Incoming, Outgoing
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Entry, Gossip, Heard, Told


class Exchange:
    """The streams of one store.

    Parameters
    ----------
    resend_ms
        When gossip that was not acknowledged is sent again.
    entry
        What the store has under a key; with True, its values plain.
    seq
        How many changes the store has made.
    deltas
        What these have brought.
    """

    def __init__(
        self,
        resend_ms: Millis,
        entry: Callable[[str, bool], Entry | None],
        seq: Callable[[], int],
        deltas: Deltas,
    ) -> None:
        self.epoch = 0
        """Of the ring by which changes are told."""
        self.afar: dict[PeerName, None] = {}
        """The stores on other hosts."""
        self._resend_ms = resend_ms
        self._entry = entry
        self._seq = seq
        self._deltas = deltas
        self._out: dict[PeerName, Outgoing] = {}
        self._into: dict[PeerName, Incoming] = {}

    # ------------------------------------------------------------ the stores

    def meet(self, stores: Iterable[PeerName], afar: Iterable[PeerName] = ()) -> None:
        """These other stores run; whatever was to be told to others is dropped.

        To those that are ``afar``, shared memory means nothing.
        """
        known = dict.fromkeys(stores)
        self.afar = dict.fromkeys(afar)
        self._deltas.clear()
        self._out = {name: self._out.get(name) or Outgoing(self._resend_ms) for name in known}
        self._into = {name: self._into.get(name) or Incoming() for name in known}

    def knows(self, store: PeerName) -> bool:
        """Whether this is a store that runs."""
        return store in self._out

    def informed(self, store: PeerName) -> int:
        """Up to which of its changes a store has told us everything."""
        incoming = self._into.get(store)
        return 0 if incoming is None else incoming.informed

    def known(self) -> dict[PeerName, int]:
        """`informed`, for all of them."""
        return {store: incoming.informed for store, incoming in self._into.items() if incoming.informed}

    # ------------------------------------------------------------ telling

    def change(self, key: str, nbytes: int, seq: int, to: Iterable[PeerName]) -> None:
        """The change ``seq`` was of this key, and these stores keep it, too."""
        for store in to:
            self._out[store].change(key, nbytes, seq)

    def has(self, store: PeerName, key: str, seq: int) -> bool:
        """Whether a store has the key with all changes up to ``seq``, as far as it was to be told of them."""
        since = self._out[store].since(key)
        return since is None or since > seq

    def is_wanted(self, key: str) -> bool:
        """Whether some store has yet to be told of the key."""
        return any(out.since(key) is not None for out in self._out.values())

    def next_keys(self) -> list[str]:
        """The keys that may be told, or told again, now: their entries will be read."""
        return [key for out in self._out.values() for key in out.next_keys()]

    def flush(self, now: Millis) -> list[Send]:
        """Tell what may be told now."""
        sends: list[Send] = []
        for store, out in self._out.items():
            while (batch := out.next_batch(self._seq(), now)) is not None:
                sends.append(self._send(store, batch, False))
        return sends

    def overdue(self, now: Millis) -> list[Send]:
        """Tell again what was not acknowledged."""
        return [
            self._send(store, batch, False) for store, out in self._out.items() for batch in out.overdue(now)
        ]

    @property
    def due(self) -> Millis | None:
        """When to look for what is overdue."""
        return min((out.due for out in self._out.values() if out.due is not None), default=None)

    def _send(self, store: PeerName, batch: Batch, plain: bool) -> Send:
        """A batch: of each key what the other store may lack, or all if that is ``plain`` or as good."""
        as_plain = plain or store in self.afar
        had: dict[str, Entry] = {}
        bases: dict[str, int] = {}
        for key, first in batch.keys.items():
            news = None if plain else self._deltas.since(key, first)
            if news is not None:
                bases[key], had[key] = news
            elif (entry := self._entry(key, as_plain)) is not None:
                had[key] = entry
        told, full = Told(self.epoch, batch.number, batch.seq), {key: self._deltas.full(key) for key in bases}
        return Send(
            store, Gossip(told, list(had), list(had.values()), bases, self._deltas.origins(had), full)
        )

    def told(self, store: PeerName) -> Told:
        """How far this store has been told."""
        return Told(self.epoch, *self._out[store].mark(self._seq()))

    def acknowledge(self, store: PeerName, heard: Heard, now: Millis) -> tuple[list[str], list[Send]]:
        """A store has heard: the keys that it now has, and what to send it once more."""
        out = self._out.get(store)
        if out is None:
            return [], []
        had = out.acknowledge(heard.number, now)
        for key in had:
            if not self.is_wanted(key):
                self._deltas.drop(key)
        self.promise(store, heard.told)
        again = out.again(now) if heard.plain else []
        return had, [self._send(store, batch, True) for batch in again]

    # ------------------------------------------------------------ hearing

    def takes(self, store: PeerName, gossip: Gossip) -> bool:
        """Whether this is the next message of a store's stream."""
        incoming = self._into.get(store)
        return incoming is not None and incoming.takes(gossip.told.number)

    def take(self, store: PeerName, gossip: Gossip) -> None:
        """The message was merged."""
        self._into[store].taken = gossip.told.number
        self.promise(store, gossip.told)

    def untake(self, store: PeerName, gossip: Gossip) -> None:
        """What was merged has been taken back: nothing is sure but that it will be sent again."""
        incoming = self._into.get(store)
        if incoming is not None:
            incoming.taken = min(incoming.taken, gossip.told.number - 1)
            incoming.informed = 0

    def taken(self, store: PeerName) -> int:
        """How many messages of a store's stream were merged."""
        return self._into[store].taken

    def promise(self, store: PeerName, told: Told) -> None:
        """A store says how far it has told us; by a ring that we do not know yet, that says nothing."""
        incoming = self._into.get(store)
        if incoming is not None and told.epoch <= self.epoch:
            incoming.promise(told.number, told.seq)
