"""Comparing what a store has with what others have: after a change of the ring, and after changes of keys.

Law: this file finds out what is lacking here, and what is not ours to keep; it says whom to ask, and merges
nothing itself. What is compared with whom is kept by `repair`, what there is to compare by `arcs`.

A part that has changed hands, or lost an owner, is compared with all that may have something in it before
it is *ready*. Besides, what has changed is compared between its owners some time later: gossip has brought
it then, and if for some reason it has not, this does. When nothing changes, nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from cloudburst_runtime.anna.arcs import Arcs, Lacking
from cloudburst_runtime.anna.exchange import Exchange
from cloudburst_runtime.anna.owners import Owners
from cloudburst_runtime.anna.past import Origin
from cloudburst_runtime.anna.repair import Question, Repair
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import Part, partition_of
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices.wrap import is_lost
from cloudburst_runtime.messages import Compare, Compared, Earlier, Entry, Want, Wanted

Effects = list[Any]
Absorb = Callable[[int, Iterable[str], Iterable[Entry | None], Millis, Mapping[str, Origin]], Effects]


class Reconciler:
    """What one store compares.

    Parameters
    ----------
    config
        For ``resend_ms`` and ``anti_entropy_ms``.
    replica, exchange
        Of the store.
    absorb
        Merges what a store has sent whose ring is of some epoch: keys, an entry for each, and origins.
    """

    def __init__(self, config: Config, replica: ReplicaCore, exchange: Exchange, absorb: Absorb) -> None:
        self._replica = replica
        self._name = replica.name
        self._exchange = exchange
        self._absorb = absorb
        self._after_ms = config.anti_entropy_ms
        self._repair = Repair(config.resend_ms)
        self._arcs = Arcs(replica.records)
        self._owners: Owners | None = None
        self._touched: dict[Part, Millis] = {}
        self._stray: dict[str, None] = {}  # not ours to keep, but not told to all yet

    # ------------------------------------------------------------ the ring

    def index(self) -> None:
        """Look through all keys that are here."""
        self._arcs = Arcs(self._replica.records)

    def begin(self, owners: Owners) -> None:
        """There is a ring: compare the parts of ours that are disputed."""
        self._owners = owners
        self._arcs.part(owners.apart)
        todo = {
            part: [name for name in owners.sources(part) if name != self._name]
            for part in owners.disputed()
            if self._name in owners.keep(part)
        }
        self._repair.begin(todo)

    @property
    def handover(self) -> bool:
        """Whether something that is ours to keep may not have reached us."""
        return self._repair.handover

    def unready(self, key: str) -> list[PeerName]:
        """Whom to ask about a key of ours before it is served."""
        stores: list[PeerName] = []
        for part in self._parts(key):
            if not self._ring().has_all(self._name, part):
                stores += self._repair.lacks(part)
        return stores

    def _parts(self, key: str) -> list[Part]:
        """The parts that a key of ours is compared in."""
        owners, arc = self._ring(), partition_of(key)
        part: Part = key if key in owners.apart else arc
        return [part] if self._name in owners.keep(part) else []

    def _ring(self) -> Owners:
        assert self._owners is not None
        return self._owners

    # ------------------------------------------------------------ asking

    def ask(self, now: Millis) -> Effects:
        """What to ask now."""
        return self._questions(self._repair.next(now))

    def _questions(self, questions: Iterable[Question], plain: bool = False) -> Effects:
        epoch, arcs = self._ring().epoch, self._arcs
        effects: Effects = []
        for source, parts, same in questions:
            if same:
                effects.append(Send(source, Compare(epoch, parts, [arcs.digest(part) for part in parts])))
            else:
                effects += [
                    Send(source, Want(epoch, part, arcs.have(part), plain, arcs.earlier(part)))
                    for part in parts
                ]
        return effects

    def compared(self, peer: PeerName, message: Compared, now: Millis) -> Effects:
        """A store says which parts differ."""
        if message.epoch != self._ring().epoch:
            return []
        self._repair.answered(peer, message.same, message.differing)
        return self.ask(now)

    def wanted(self, peer: PeerName, message: Wanted, now: Millis) -> Effects:
        """A store sends what we lack in a part."""
        effects = self._absorb(message.epoch, message.keys, message.entries, now, message.origins)
        effects += self._lay(message.earlier)
        if message.epoch != self._ring().epoch or not self._repair.is_asked(peer, message.part):
            return effects
        versions: Iterable[Entry | Earlier] = chain(message.entries, *message.earlier.values())
        lost = any(is_lost(version.lattice) for version in versions)
        if message.more or lost:
            return effects + self._questions([self._repair.go_on(message.part, now)], lost)
        self._repair.answered(peer, [message.part])
        return effects + self.ask(now)

    def _lay(self, earlier: Mapping[str, list[Earlier]]) -> Effects:
        """Merge earlier versions of keys that are ours to keep."""
        effects: Effects = []
        for key, versions in earlier.items():
            if self._parts(key):
                effects += self._replica.lay(key, [each for each in versions if not is_lost(each.lattice)])
                self._arcs.add(key)
        return effects

    # ------------------------------------------------------------ answering

    def compare(self, peer: PeerName, message: Compare) -> Send:
        """Say in which parts we have something else than a store that asks."""
        same: dict[Part, bool] = {}
        for part, digest in zip(message.parts, message.digests, strict=True):
            same[part] = self._arcs.digest(part) == digest
        answer = Compared(
            message.epoch,
            [part for part, equal in same.items() if equal],
            [part for part, equal in same.items() if not equal],
        )
        return Send(peer, answer)

    def taken_back(self) -> None:
        """Some key is again as it was before, or as it was when it was last written whole."""
        self._arcs.forget_digests()

    def lacking(self, message: Want) -> Lacking:
        """What a store lacks, or the first of it."""
        return self._arcs.lacking(message.part, message.have, message.earlier)

    # ------------------------------------------------------------ changes of keys

    def note(self, key: str, now: Millis) -> None:
        """The key has changed here."""
        self._arcs.add(key)
        for part in self._parts(key):
            self._touched.setdefault(part, now)

    @property
    def due(self) -> Millis | None:
        """When something is to be compared, or asked again."""
        dues = [] if self._repair.due is None else [self._repair.due]
        if self._touched and self._owners is not None and self._owners.is_settled:
            dues.append(next(iter(self._touched.values())) + self._after_ms)
        return min(dues, default=None)

    def overdue(self, now: Millis) -> Effects:
        """What to ask again, and what has changed long enough ago."""
        effects = self._questions(self._repair.overdue(now))
        if not self._ring().is_settled:
            return effects
        for part in [part for part, since in self._touched.items() if since + self._after_ms <= now]:
            del self._touched[part]
            owners = self._ring().keep(part)
            if self._name in owners:
                self._repair.add(part, [name for name in owners if self._exchange.knows(name)])
        return effects + self.ask(now)

    # ------------------------------------------------------------ what is not ours to keep

    def find_strays(self) -> Effects:
        """The ring is settled: drop what others keep."""
        owners = self._ring()
        for arc, keys in self._arcs.all():
            if self._name not in owners.keep(arc):
                self._stray.update(dict.fromkeys(key for key in keys if self._name not in owners.of(key)))
        self._stray.update(dict.fromkeys(key for key in owners.apart if self._name not in owners.of(key)))
        return self.drop_strays()

    def drop_strays(self) -> Effects:
        """Drop what others keep, once nobody waits to hear of it from here."""
        effects: Effects = []
        for key in list(self._stray):
            if self._exchange.is_wanted(key):
                continue
            del self._stray[key]
            if self._name not in self._ring().of(key):
                effects += self._replica.discard(key)
                self._arcs.drop(key)
        return effects
