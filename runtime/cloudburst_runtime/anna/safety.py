"""What one crash could lose, and that nobody sees it before a second store has it.

Law: a change that only this store has is neither acknowledged nor shown, to readers or to caches; whatever
shows it is kept back (`withheld`), and given out once another owner has acknowledged it. A key with one owner
is safe at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cloudburst_runtime.anna.deltas import Deltas
from cloudburst_runtime.anna.exchange import Exchange
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.stored import Cold, Stored
from cloudburst_runtime.anna.withheld import Kept, Withheld
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.lattices.wrap import shared_bytes
from cloudburst_runtime.messages import Delete, GetReply, Put, PutReply, Update

Effects = list[Any]


class Safety:
    """What one store keeps back.

    Parameters
    ----------
    replica, exchange, deltas
        Of the store.
    partners
        The other owners of a key.
    """

    def __init__(
        self,
        replica: ReplicaCore,
        exchange: Exchange,
        deltas: Deltas,
        partners: Callable[[str], list[PeerName]],
    ) -> None:
        self._replica = replica
        self._exchange = exchange
        self._deltas = deltas
        self._partners = partners
        self._withheld = Withheld()

    @property
    def withheld(self) -> list[str]:
        """The keys for which something is kept back."""
        return self._withheld.keys

    def tell(self, key: str) -> None:
        """The other owners are to be told of the key's last change."""
        record = self._replica.records.find(key)
        if record is not None:
            partners = self._partners(key)
            part = self._deltas.nbytes(key, record.seq)
            if part is None:
                part = _travelling(record, any(name in self._exchange.afar for name in partners))
            self._exchange.change(key, part, record.seq, partners)

    def _is_safe(self, key: str, seq: int) -> bool:
        """Whether another owner has the key's changes up to this one, or there is no other."""
        partners = self._partners(key)
        return not partners or any(self._exchange.has(name, key, seq) for name in partners)

    def _unsafe(self, keys: Iterable[str]) -> list[tuple[str, int]]:
        """The keys whose last change only this store may have."""
        find = self._replica.records.find
        last = [(key, record.seq) for key in keys if (record := find(key)) is not None]
        return [(key, seq) for key, seq in last if not self._is_safe(key, seq)]

    def guard(self, keys: Iterable[str], effects: Effects, write: Put | Delete | None = None) -> Effects:
        """Keep back whatever shows the last change of one of the keys, until that is safe."""
        shows = self._unsafe(keys)
        if not shows:
            return effects
        out: Effects = []
        for effect in effects:
            message = effect.message if type(effect) is Send else None
            if isinstance(message, GetReply) and write is not None:  # it waited for this key, and others
                self._withheld.add(Kept(effect, shows + self._unsafe(self._withheld.keys)))
            elif isinstance(message, (GetReply, Update)) or _is_merged(write, message):
                self._withheld.add(Kept(effect, shows))
            else:
                out.append(effect)
        return out

    def release(self, key: str) -> Effects:
        """Give out what shows nothing any more that is not safe."""
        effects: Effects = []
        for kept in self._withheld.take(key):
            shows = [(key, seq) for key, seq in kept.shows if not self._is_safe(key, seq)]
            if shows:
                self._withheld.add(kept._replace(shows=shows))
                continue
            reply = kept.send.message
            if isinstance(reply, PutReply):  # put into a generation that has ended: it will be put again
                reply.generation = max(reply.generation, self._replica.records.generation(key))
            effects.append(kept.send)
        return effects


def _travelling(record: Stored, afar: bool) -> int:
    """How many bytes a record takes in a message, which goes to other hosts as well if ``afar``."""
    if record.lattice is None or isinstance(record.lattice, Cold):
        return 0
    return record.nbytes if afar else record.nbytes - shared_bytes(record.lattice)


def _is_merged(write: Put | Delete | None, reply: Any) -> bool:
    """Whether this acknowledges a write that was merged, and not one that has to be put again."""
    if write is None or not isinstance(reply, PutReply):
        return False
    return isinstance(write, Delete) or reply.generation == write.generation
