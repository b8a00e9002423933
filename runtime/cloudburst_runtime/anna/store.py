"""One store among several: a replica, and what it owes to the others.

Law: nothing is acknowledged that one crash could lose, and nothing is read that is older than what the
reader has seen. With one store this file hands on, and does nothing else.

*Who serves.* The current owners of a key serve it (`owners`); others answer `Elsewhere`, with the ring.

*Writes* go to any owner. It merges, tells the other owners (`exchange`), and acknowledges once one of them
has the change (`safety`): so two have it, whichever one dies. If a deletion overtook it there, the writer is
told to put again.

*Reads* go to any owner, and carry the floor of their session. An owner that is not informed up to it *pulls*
the key from the stores concerned before it answers.

*Changes of the ring.* An owner compares each part that has changed hands, or lost an owner, with all of its
sources, former owners among them (`reconcile`); until then it pulls what it is asked for, unless it was
an owner all along. When every store has compared everything, the node settles the ring, and who keeps a
part no longer drops it. What changes while the ring is settled is compared once more some time later.

*Stores that are away*, on other hosts, and may come back: what only they may have is not served (`absent`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import Any

from cloudburst_runtime.anna.absent import Absent, reason
from cloudburst_runtime.anna.deltas import Deltas
from cloudburst_runtime.anna.exchange import Exchange
from cloudburst_runtime.anna.owners import Owners
from cloudburst_runtime.anna.past import Origin
from cloudburst_runtime.anna.pulls import Pulls, merged_history, merged_keys, merged_version
from cloudburst_runtime.anna.reconcile import Reconciler
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.safety import Safety
from cloudburst_runtime.anna.stored import Cold, Stored
from cloudburst_runtime.anna.usage import Usage
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Load, Loaded, PeerLost, Received, Send, SetTimer, Timer, Unwritten
from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.lattices.wrap import is_lost
from cloudburst_runtime.messages import (
    Compare,
    Compared,
    Delete,
    Earlier,
    Elsewhere,
    Entry,
    Failed,
    Forget,
    Get,
    GetReply,
    GetVersion,
    Gossip,
    Heard,
    History,
    HistoryReply,
    Inquire,
    Keys,
    KeysReply,
    Pull,
    Pulled,
    Put,
    Ring,
    Settled,
    StoreStats,
    Update,
    VersionReply,
    Want,
    Wanted,
)
from cloudburst_runtime.vectors import Vector

TIMER = "store"

Effects = list[Any]
Request = Put | Delete | Get

NO_ORIGINS: Mapping[str, Origin] = {}
NO_VECTORS: Mapping[str, Vector] = {}

EARLY_MAX = 100_000
"""Messages that may wait until the ring is known."""


class StoreCore:
    """A store as a core.

    Parameters
    ----------
    config
        For ``resend_ms``, ``anti_entropy_ms`` and ``stats_ms``.
    replica
        What it keeps.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> from cloudburst_runtime.messages import Members
    >>> store = StoreCore(Config(), ReplicaCore(Config()))
    >>> members = Members(["node", "s2"])
    >>> ring = Ring(1, members, 2, live=members.names, born=2)
    >>> _ = store.handle(Received("node", ring), 0.0)
    >>> [gossip, timer] = store.handle(Received("c1", Put(1, "k", Max(7))), 1.0)
    >>> gossip.peer, gossip.message.keys
    ('s2', ['k'])
    """

    def __init__(self, config: Config, replica: ReplicaCore) -> None:
        self.replica = replica
        self.name = replica.name
        self.owners: Owners | None = None
        self.deltas = Deltas(replica.records)
        self.exchange = Exchange(config.resend_ms, self._entry, lambda: replica.seq, self.deltas)
        self.reconciler = Reconciler(config, replica, self.exchange, self._absorb)
        self.pulls = Pulls(config.resend_ms)
        self.absent = Absent(config.away_ms)
        self.usage = Usage(config.stats_ms)
        self.safety = Safety(replica, self.exchange, self.deltas, self._partners)
        self._elastic = config.stores_max > 1
        self._history_max = config.history_max
        self._early: list[Received] = []
        self._counted = ((0, 0, 0), 0)
        """Ring, changes and keys when the first owner's keys were counted last, and how many those were."""
        self._armed: Millis | None = None
        self._handlers: dict[type, Callable[[PeerName, Any, Millis], Effects]] = {
            Ring: self._on_ring,
            Gossip: self._on_gossip,
            Heard: self._on_heard,
            Pull: self._on_pull,
            Pulled: self._on_pulled,
            Compare: self._on_question,
            Want: self._on_question,
            Compared: self._on_answer,
            Wanted: self._on_answer,
            Keys: self._on_keys,
            KeysReply: self._on_keys_reply,
            Put: self._on_request,
            Delete: self._on_request,
            Get: self._on_request,
            Forget: self._on_forget,
            Inquire: self._on_inquire,
            History: self._on_past,
            GetVersion: self._on_past,
            HistoryReply: self._on_asked,
            VersionReply: self._on_asked,
            Failed: self._on_asked,
        }

    # ------------------------------------------------------------ the core's face

    @property
    def key_count(self) -> int:
        """How many keys there are here."""
        return self.replica.key_count

    @property
    def nbytes(self) -> int:
        """About how many bytes they take."""
        return self.replica.nbytes

    def first_count(self) -> int:
        """Of how many keys this store is the first owner: over all stores, each key counts once."""
        if self.owners is None:
            return self.key_count
        state = (self.owners.epoch, self.replica.seq, self.key_count)
        if state != self._counted[0]:
            of = self.owners.of
            self._counted = state, sum(of(key)[0] == self.name for key in self.replica.records.live)
        return self._counted[1]

    def holders(self, key: str) -> list[PeerName]:
        """The peers that have cached the key from here."""
        return self.replica.holders(key)

    def start(self, now: Millis) -> Effects:
        """Nothing: a store waits to be asked."""
        return list(self.replica.start(now))

    def handle(self, event: Any, now: Millis) -> Effects:
        """Take one event; return what is to be done, in order."""
        if self.owners is None:
            return self._alone(event, now)
        if type(event) is Received:
            handler = self._handlers.get(type(event.message))
            if handler is None:
                return self._informed(self.replica.handle(event, now))
            loads = self._loads(event)
            if loads:
                return loads
            effects = handler(event.peer, event.message, now)
            if self.replica.records.results.too_many:
                effects += self._expire(now)
            return self._armed_with(effects, now)
        if type(event) is Timer:
            return self._on_timer(now) if event.key == TIMER else []
        if type(event) is PeerLost:
            self.pulls.lose(event.peer)
            self.absent.lose(event.peer)
        elif type(event) is Unwritten:
            return self._unwritten(event, now)
        elif type(event) is Loaded:
            self.reconciler.taken_back()
        return list(self.replica.handle(event, now))

    def _loads(self, event: Received) -> Effects:
        """What must be in memory before other stores' messages are taken."""
        if not self.replica.records.cold:
            return []
        message: Any = event.message
        keys: list[str] = []
        if isinstance(message, (Gossip, Heard, Wanted, Pull)):
            keys = message.keys
        elif isinstance(message, Pulled):
            keys = self.pulls.keys(message.req)
        elif isinstance(message, Want):
            return self._loads_of_past(event)
        places = self.replica.keeper.cold(keys)
        return [Load(places, event)] if places else []

    def _loads_of_past(self, event: Received) -> Effects:
        """What must be in memory before another store is sent what it lacks, earlier versions too."""
        keeper, found = self.replica.keeper, self.reconciler.lacking(event.message)  # type: ignore[arg-type]
        places = keeper.cold(found.keys)
        for key, versions in found.earlier.items():
            places += keeper.cold_versions(key, versions)
        return [Load(places, event)] if places else []

    def _unwritten(self, event: Unwritten, now: Millis) -> Effects:
        """A change was taken back: what other stores sent must come again."""
        effects = list(self.replica.handle(event, now))
        self.reconciler.taken_back()
        asked = event.event
        if isinstance(asked, Received) and self._is_store(asked.peer):
            if isinstance(asked.message, Gossip):
                self.exchange.untake(asked.peer, asked.message)
            self.reconciler.begin(self._ring())
            return self._armed_with(self.reconciler.ask(now), now)
        return effects

    def _alone(self, event: Any, now: Millis) -> Effects:
        """Without a ring: the node's store is the only one, any other waits to be told."""
        if type(event) is Received:
            if type(event.message) is Ring:
                return self._armed_with(self._on_ring(event.peer, event.message, now), now)
            if self.name != NODE or type(event.message) in _BETWEEN_STORES:
                return self._wait_for_ring(event)
            if self._elastic and type(event.message) in (Put, Get, Delete):
                self.usage.note(_keys(event.message), now)
                return self._armed_with(list(self.replica.handle(event, now)), now)
        if type(event) is Timer:
            self._armed = None
            return self._armed_with(self._reported(now), now)
        return list(self.replica.handle(event, now))

    def _wait_for_ring(self, event: Received) -> Effects:
        if len(self._early) < EARLY_MAX:
            self._early.append(event)
        return []

    # ------------------------------------------------------------ the ring

    def _on_ring(self, peer: PeerName, ring: Ring, now: Millis) -> Effects:
        if self.owners is None:
            self.replica.records.alone = False
            self.replica.deltas = self.deltas
            self.reconciler.index()
        elif ring.epoch <= self.owners.epoch:
            return self._report()
        self.owners = owners = Owners(ring)
        others = [name for name in ring.live if name != self.name]
        self.exchange.epoch = ring.epoch
        self.exchange.meet(others, ring.afar)
        self.reconciler.begin(owners)
        effects: Effects = []
        for key in self.safety.withheld:
            self.safety.tell(key)
            effects += self.safety.release(key)
        if owners.is_settled:
            effects += self.reconciler.find_strays()
        effects += [Send(name, ring) for name in self.replica.watches.peers if not self._is_store(name)]
        effects += self._send_away()
        effects += self._again(now)
        return effects + self._flush(now) + self.reconciler.ask(now) + self._report()

    def _send_away(self) -> Effects:
        """Reads that wait here for keys that others keep now."""
        owners, watches = self._ring(), self.replica.watches
        gone = [key for key in watches.parked if self.name not in owners.of(key)]
        reads = [read for key in gone for read in watches.awaken(key)]
        return [Send(peer, Elsewhere(get.req, owners.ring)) for peer, get in reads]

    def _again(self, now: Millis) -> Effects:
        """What waits for other stores, or came too early, is taken anew: the ring may say otherwise now."""
        early, self._early = self._early, []
        effects: Effects = []
        for event in [*self.pulls.clear(), *self.absent.clear(), *early]:
            handler = self._handlers.get(type(event.message))
            if handler is None:
                effects += self._informed(self.replica.handle(event, now))
            else:
                effects += handler(event.peer, event.message, now)
        return effects

    def _report(self) -> Effects:
        """Tell the node that nothing is left to compare."""
        return [] if self.reconciler.handover else [Send(NODE, Settled(self._ring().epoch))]

    def _ring(self) -> Owners:
        assert self.owners is not None
        return self.owners

    def _is_store(self, name: PeerName) -> bool:
        return self.exchange.knows(name)

    # ------------------------------------------------------------ requests

    def _on_request(self, peer: PeerName, message: Request, now: Millis) -> Effects:
        owners = self._ring()
        keys = _keys(message)
        if not all(self.name in owners.of(key) for key in keys):
            return [Send(peer, Elsewhere(message.req, owners.ring))]
        if owners.has_absent and self._is_absent(Received(peer, message), keys, now):
            return []
        floor = message.floor if type(message) is Get else {}
        lacking = self._lacking(keys, floor)
        if lacking:
            return self.pulls.begin(Received(peer, message), lacking, now)
        return self._serve(peer, message, now)

    def _is_absent(self, event: Received, keys: Iterable[str], now: Millis) -> bool:
        """Whether a request has to wait for a store that is away."""
        owners = self._ring()
        for key in keys:
            names = owners.awaited(key)
            if names:
                self.absent.wait(event, reason(key, names, owners.ring.estates), now)
                return True
        return False

    def _lacking(self, keys: Iterable[str], floor: Vector) -> dict[PeerName, list[str]]:
        """Whom to ask about which of the keys before they may be served."""
        lacking: dict[PeerName, list[str]] = {}
        unseen = [store for store, number in floor.items() if self._is_behind(store, number)]
        for key in keys:
            stores = dict.fromkeys(unseen)
            if self.reconciler.handover:
                stores.update(dict.fromkeys(self.reconciler.unready(key)))
            for store in stores:
                lacking.setdefault(store, []).append(key)
        return lacking

    def _is_behind(self, store: PeerName, number: int) -> bool:
        if store == self.name or self.exchange.informed(store) >= number:
            return False
        return not self._ring().is_past(store)

    def _serve(self, peer: PeerName, message: Request, now: Millis) -> Effects:
        before = self.replica.seq
        effects = self._informed(self.replica.handle(Received(peer, message), now))
        if isinstance(message, Get):
            self.usage.note(message.keys, now)
            return self.safety.guard(message.keys, effects)
        self.usage.note([message.key], now)
        if self.replica.seq != before:
            self._changed(message.key, now)
        if self.replica.seq != before or not self._ring().is_settled:
            self.safety.tell(message.key)
        return self.safety.guard([message.key], effects, message) + self._flush(now)

    def _expire(self, now: Millis) -> Effects:
        """Delete the oldest results while there are too many, and tell the other owners."""
        ended: list[str] = []
        effects = self._informed(self.replica.expire(ended.append))
        for key in ended:
            self._changed(key, now)
            self.safety.tell(key)
        return self.safety.guard(ended, effects) + self._flush(now)

    def _informed(self, effects: Iterable[Any]) -> Effects:
        """Say with each answer and update what is included of the other stores' changes."""
        known = {} if self.reconciler.handover else self.exchange.known()
        out = list(effects)
        for effect in out:
            if type(effect) is Send and isinstance(effect.message, (GetReply, Update)):
                effect.message.known = known
        return out

    def _on_forget(self, peer: PeerName, message: Forget, now: Millis) -> Effects:
        self.pulls.forget(peer, message.req)
        self.absent.forget(peer, message.req)
        return list(self.replica.handle(Received(peer, message), now))

    def _partners(self, key: str) -> list[PeerName]:
        """The other owners of a key."""
        return [name for name in self._ring().of(key) if self._is_store(name)]

    def _flush(self, now: Millis) -> Effects:
        """Tell the other stores what may be told now."""
        if self.replica.records.cold:
            places = self.replica.keeper.cold(self.exchange.next_keys())
            if places:
                return [Load(places, Timer(TIMER))]
        return list(self.exchange.flush(now))

    # ------------------------------------------------------------ gossip

    def _absorb(
        self,
        epoch: int,
        keys: Iterable[str],
        entries: Iterable[Entry | None],
        now: Millis,
        origins: Mapping[str, Origin] = NO_ORIGINS,
        full: Mapping[str, Vector] = NO_VECTORS,
    ) -> Effects:
        """Merge what a store whose ring is of this epoch says, unless it comes too late to be ours."""
        owners = self._ring()
        late = owners.is_settled and epoch <= owners.epoch
        effects: Effects = []
        for key, entry in zip(keys, entries, strict=False):
            if entry is None or is_lost(entry.lattice) or (late and self.name not in owners.of(key)):
                continue
            before = self.replica.seq
            effects += self.safety.guard(
                [key], self._informed(self.replica.absorb(key, entry, origins.get(key), full.get(key)))
            )
            if self.replica.seq != before:
                self._changed(key, now)
        return effects

    def _changed(self, key: str, now: Millis) -> None:
        self.usage.touch(now)
        self.reconciler.note(key, now)

    def _on_gossip(self, peer: PeerName, message: Gossip, now: Millis) -> Effects:
        if not self._is_store(peer):
            return self._wait_for_ring(Received(peer, message)) if not self._ring().is_past(peer) else []
        effects: Effects = []
        heard = Heard(0, self.exchange.told(peer))
        if self.exchange.takes(peer, message):
            if not all(map(self._is_whole, repeat(peer), repeat(message), message.keys, message.entries)):
                heard.plain = True
            else:
                keys, entries = message.keys, message.entries
                epoch, origins = message.told.epoch, message.origins
                effects += self._absorb(epoch, keys, entries, now, origins, message.full)
                self.exchange.take(peer, message)
        for key, entry in zip(message.keys, message.entries, strict=True):
            mine = self.replica.records.find(key)
            if mine is not None and mine.generation > entry.generation:
                newer = self._entry(key, True)
                assert newer is not None
                heard.keys.append(key)
                heard.entries.append(newer)
        heard.origins = self.deltas.origins(dict(zip(heard.keys, heard.entries, strict=True)))
        heard.number = self.exchange.taken(peer)
        return [*effects, Send(peer, heard)]

    def _is_whole(self, peer: PeerName, message: Gossip, key: str, entry: Entry) -> bool:
        """Whether a gossiped entry is there, and so is what it goes on from."""
        base = message.bases.get(key)
        return not is_lost(entry.lattice) and (base is None or self.deltas.builds_on(key, entry, base, peer))

    def _on_heard(self, peer: PeerName, message: Heard, now: Millis) -> Effects:
        effects = self._absorb(message.told.epoch, message.keys, message.entries, now, message.origins)
        had, again = self.exchange.acknowledge(peer, message, now)
        for key in had:
            effects += self.safety.release(key)
        effects += self.reconciler.drop_strays()
        return [*effects, *again, *self._flush(now)]

    # ------------------------------------------------------------ pulling

    def _on_pull(self, peer: PeerName, message: Pull, now: Millis) -> Effects:
        if not self._is_store(peer):
            return self._wait_for_ring(Received(peer, message)) if not self._ring().is_past(peer) else []
        as_plain = message.plain or peer in self.exchange.afar
        entries = [self._entry(key, as_plain) for key in message.keys]
        found = {key: each for key, each in zip(message.keys, entries, strict=True) if each is not None}
        told, origins = self.exchange.told(peer), self.deltas.origins(found)
        return [Send(peer, Pulled(message.req, entries, told, origins))]

    def _on_pulled(self, peer: PeerName, message: Pulled, now: Millis) -> Effects:
        keys = self.pulls.keys(message.req)
        if any(entry is not None and is_lost(entry.lattice) for entry in message.entries):
            return self.pulls.again(message.req, now)
        effects = self._absorb(message.told.epoch, keys, message.entries, now, message.origins)
        self.exchange.promise(peer, message.told)
        event = self.pulls.take(message.req)
        if event is not None:
            effects += self._serve(event.peer, event.message, now)  # type: ignore[arg-type]
        return effects

    def _entry(self, key: str, as_plain: bool) -> Entry | None:
        record = self.replica.records.find(key)
        if record is None or isinstance(record.lattice, Cold):  # there is nothing, or it cannot be read
            return None
        return self.replica.records.entry(record, as_plain)

    # ------------------------------------------------------------ comparing

    def _on_question(self, peer: PeerName, message: Compare | Want, now: Millis) -> Effects:
        if message.epoch > self._ring().epoch:
            return self._wait_for_ring(Received(peer, message))
        if isinstance(message, Compare):
            return [self.reconciler.compare(peer, message)]
        lacking = self.reconciler.lacking(message)
        as_plain = message.plain or peer in self.exchange.afar
        found = {key: entry for key in lacking.keys if (entry := self._entry(key, as_plain)) is not None}
        answer = Wanted(message.epoch, message.part, list(found), list(found.values()), lacking.more)
        answer.origins = self.deltas.origins(found)
        answer.earlier = {key: self._earlier(each, as_plain) for key, each in lacking.earlier.items()}
        return [Send(peer, answer)]

    def _earlier(self, versions: list[Stored], as_plain: bool) -> list[Earlier]:
        """Versions of a key as they are sent: those that can be read."""
        told = self.replica.records.told
        return [told(each, as_plain) for each in versions if not isinstance(each.lattice, Cold | None)]

    def _on_answer(self, peer: PeerName, message: Compared | Wanted, now: Millis) -> Effects:
        was_handover = self.reconciler.handover
        if isinstance(message, Compared):
            effects = self.reconciler.compared(peer, message, now)
        else:
            effects = self.reconciler.wanted(peer, message, now)
        return effects + self._report() if was_handover else effects

    # ------------------------------------------------------------ all keys

    def _on_keys(self, peer: PeerName, message: Keys, now: Millis) -> Effects:
        """A list of all keys: those of all stores, unless a store asks."""
        others = [name for name in self._ring().ring.live if self._is_store(name)]
        if self._is_store(peer) or not others:
            return list(self.replica.handle(Received(peer, message), now))
        return self.pulls.ask_all(Received(peer, message), others, now)

    def _on_keys_reply(self, peer: PeerName, message: KeysReply, now: Millis) -> Effects:
        event, replies = self.pulls.take_reply(message)
        if event is None:
            return []
        [mine] = self.replica.handle(event, now)
        return [Send(event.peer, merged_keys(event.message.req, [mine.message, *replies]))]  # type: ignore

    def _on_past(self, peer: PeerName, message: History | GetVersion, now: Millis) -> Effects:
        """Each owner may know versions that another does not know yet: what all have is shown."""
        event = Received(peer, message)
        absent = self._ring().has_absent and not self._is_store(peer)
        if absent and self._is_absent(event, [message.key], now):
            return []
        here = isinstance(message, GetVersion) and self.replica.records.asked(message)
        others = [name for name in self._ring().holders(message.key) if self._is_store(name)]
        if here or not others or self._is_store(peer):
            return list(self.replica.handle(event, now))
        return self.pulls.ask_all(event, others, now)

    def _on_asked(
        self, peer: PeerName, message: HistoryReply | VersionReply | Failed, now: Millis
    ) -> Effects:
        event, replies = self.pulls.take_reply(message)
        if event is None:
            return []
        asked: Any = event.message
        [mine] = self.replica.handle(event, now)
        replies = [mine.message, *replies]  # type: ignore[union-attr]
        if isinstance(asked, GetVersion):
            return [Send(event.peer, merged_version(asked.req, replies))]
        return [Send(event.peer, merged_history(asked.req, replies, self._history_max))]

    def _on_inquire(self, peer: PeerName, message: Inquire, now: Millis) -> Effects:
        stats = StoreStats(self.name, self.key_count, self.nbytes, 0, 0.0, {}, message.req)
        stats.first = self.first_count()
        return [Send(peer, stats)]

    # ------------------------------------------------------------ time

    def _on_timer(self, now: Millis) -> Effects:
        self._armed = None
        effects = self._flush(now)
        if not any(type(effect) is Load for effect in effects):
            effects += self.exchange.overdue(now)
        effects += self.pulls.overdue(now)
        effects += self.reconciler.overdue(now)
        effects += self.absent.overdue(now)
        return self._armed_with(effects + self._reported(now), now)

    def _reported(self, now: Millis) -> Effects:
        return list(self.usage.report(self.name, self.key_count, self.nbytes, now))

    def _armed_with(self, effects: Effects, now: Millis) -> Effects:
        """Set the timer for what is due first."""
        dues = [self.exchange.due, self.reconciler.due, self.pulls.due, self.absent.due, self.usage.due(now)]
        due = min((each for each in dues if each is not None), default=None)
        if due is None or (self._armed is not None and self._armed <= due):
            return effects
        self._armed = due
        return [*effects, SetTimer(TIMER, due)]

    def validate(self) -> None:
        """Assert what must hold between events."""
        assert not self.reconciler.handover or not self._ring().is_settled


_BETWEEN_STORES = (Gossip, Heard, Pull, Pulled, Compare, Compared, Want, Wanted)


def _keys(message: Any) -> list[str]:
    return list(message.keys) if isinstance(message, Get) else [message.key]
