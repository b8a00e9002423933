"""The stores as the node sees them: its own store, and what it decides about all of them.

Law: this file carries decisions out and answers whoever asked for them; `membership` and `policy` make them.
A store is started by the supervisor, joins when it says `Hello`, and leaves when nothing is its own to keep.
One on another host is started by whoever likes: it enlists, to get a name, and then is a store as any other.
With one store, requests go through here to it, and nothing is ever due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cloudburst_runtime.anna import census
from cloudburst_runtime.anna.census import Asker, Census
from cloudburst_runtime.anna.durable import Factor, factor_place
from cloudburst_runtime.anna.enlisting import Enlisting
from cloudburst_runtime.anna.membership import SILENT_PERIODS, Membership
from cloudburst_runtime.anna.news import News
from cloudburst_runtime.anna.store import TIMER as STORE_TIMER
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Persist, Received, Send, SetTimer, Timer, Unwritten
from cloudburst_runtime.errors import InvalidName, check_name
from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.messages import (
    AddStore,
    Depart,
    Done,
    Estate,
    Failed,
    Failure,
    Hello,
    Papers,
    RemoveStore,
    Replicate,
    Reported,
    Retire,
    Settled,
    StoreAdded,
    Stores,
    StoreStats,
)

REMIND_TIMER, LOAD_TIMER, SPAWN_TIMER = "stores:remind", "stores:load", "stores:spawn"

FACTORS_MAX = 10_000
"""Keys that may have a replication factor of their own: every store and cache knows them all."""

ANSWERS_KEPT_MAX = 256
"""Answers that are kept for a request that comes again."""

Effects = list[Any]


class Steward:
    """The node's store, and the decisions about all stores.

    Parameters
    ----------
    config
        For ``stores_min``, ``stores_max`` and ``stats_ms``.
    store
        The node's own.
    spawn
        The effect that starts a store's process.
    chosen, known
        Replication factors of keys, and stores on other hosts by their identities, as found on disk.
    said
        Where a line is added on whatever is lost or damaged.
    counts_for
        As the `Census` wants it.

    Examples
    --------
    >>> from cloudburst_runtime.anna.replica import ReplicaCore
    >>> config = Config(stores_min=2, stores_max=2)
    >>> store = StoreCore(config, ReplicaCore(config))
    >>> steward = Steward(config, store, spawn=lambda name, estates: ("spawn", name))
    >>> steward.start(0.0)
    [('spawn', 's2')]
    >>> [ring, *_] = steward.join("s2", 5.0)
    >>> ring.peer, ring.message.current.names
    ('s2', ['node', 's2'])
    """

    def __init__(
        self,
        config: Config,
        store: StoreCore,
        spawn: Callable[[PeerName, tuple[PeerName, ...]], Any],
        chosen: Mapping[str, int] | None = None,
        known: Mapping[str, Estate] | None = None,
        said: list[str] | None = None,
        counts_for: Callable[[Received, Millis], Effects] = lambda event, now: [],
    ) -> None:
        self.store = store
        self.membership = Membership(config, chosen, known)
        self.enlisting = Enlisting(config, self.membership, store.replica.keeper.papers or Papers(""))
        self._config = config
        self._spawn = spawn
        self._news = News([] if said is None else said)
        self.census = Census(self.membership, store, counts_for)
        self._late: list[PeerName] = []
        """Stores to start in a moment, because the one before could not."""
        self._adding: dict[Asker, PeerName] = {}
        self._removing: dict[Asker, PeerName] = {}
        self._replicating: dict[Asker, None] = {}
        self._answers: dict[Asker, Any] = {}
        self._handlers: dict[type, Callable[[PeerName, Any, Millis], Effects]] = {
            Settled: self._on_settled,
            StoreStats: self._on_stats,
            AddStore: self._on_add,
            RemoveStore: self._on_remove,
            Depart: self._on_depart,
            Replicate: self._on_replicate,
            Stores: self._on_stores,
            Reported: self._on_reported,
        }

    # ------------------------------------------------------------ the core's face

    def start(self, now: Millis) -> Effects:
        """Start the other stores that there are at least."""
        self._replenish()
        effects = [*self.store.start(now), *self._start(self.membership.spawned)]
        return effects + (self._lead(self.membership.begin(now), now) if self.membership.abroad else [])

    def handle(self, event: Any, now: Millis) -> Effects:
        """Take one event; return what is to be done, in order."""
        if type(event) is Received:
            handler = self._handlers.get(type(event.message))
            if handler is not None:
                return handler(event.peer, event.message, now)
        elif type(event) is Timer and event.key != STORE_TIMER:
            return self._on_timer(event.key, now)
        elif type(event) is PeerLost and (name := self.enlisting.lose(event.peer)) is not None:
            return self.lose(name, now) if name in self.membership.spawned else []
        elif type(event) is Unwritten:
            self.enlisting.unwritten(event.persists)
            if type(getattr(event.event, "message", None)) is Replicate:
                return self._on_unwritten(event, now)
        return self._taken(self.store.handle(event, now), now)

    def _taken(self, effects: Iterable[Any], now: Millis) -> Effects:
        """What our own store says to the node is said to us."""
        out: Effects = []
        for effect in effects:
            if type(effect) is Send and effect.peer == NODE:
                out += self._handlers[type(effect.message)](NODE, effect.message, now)
            else:
                out.append(effect)
        return out

    @property
    def key_count(self) -> int:
        """How many keys there are, as the stores said when they were asked last (`Census.count`)."""
        return self.store.key_count if self.store.owners is None else self.census.keys

    @property
    def nbytes(self) -> int:
        """About how many bytes they take, each counted once; as of then, too."""
        return self.store.nbytes if self.store.owners is None else self.census.nbytes

    # ------------------------------------------------------------ processes

    def elsewhere(self) -> dict[PeerName, str]:
        """The stores on other hosts, and where; those that are away, too."""
        away = {name: f"{self.membership.abroad.host(name)} (away)" for name in self.membership.abroad.away}
        return {**self.membership.afar, **away}

    def knows(self, name: PeerName) -> bool:
        """Whether this is the name of a store."""
        return self.membership.knows(name)

    def join(self, name: PeerName, now: Millis) -> Effects:
        """A store that was started is there."""
        self._news.back(name)
        return self._lead(self.membership.join(name, now), now)

    def enlist(self, peer: PeerName, hello: Hello, now: Millis) -> Effects:
        """A store on another host wants to join."""
        return self.enlisting.ask(peer, hello)

    def lose_afar(self, now: Millis) -> Effects:
        """The gateway has ended, and with it all that came from the stores on other hosts."""
        return [effect for name in list(self.membership.afar) for effect in self.lose(name, now)]

    def lose(self, name: PeerName, now: Millis) -> Effects:
        """A store's process has ended. If it was not to, another is started."""
        why = Failure("RuntimeUnavailable", f"the store {name} ended before it had its share")
        refused: Effects = []
        for asker in [asker for asker, each in self._adding.items() if each == name]:
            del self._adding[asker]
            self.membership.ask(-1)
            refused.append(self._answer(asker, Failed(asker[1], why)))
        membership = self.membership
        before, failed = list(membership.spawned), name in membership.spawned
        awaited = membership.abroad.is_known(name) and name in membership.ring.live
        sends = membership.lose(name, now)
        if awaited:
            self._news.missed(name, membership)
        else:
            self._news.lost(name, membership.ring)
        effects = self._lead(sends, now)
        self._replenish()
        new = [other for other in membership.spawned if other not in before]
        if failed:  # so will the next one, for a while
            self._late += new
            effects += [SetTimer(SPAWN_TIMER, now + self._config.resend_ms)] if new else []
        else:
            effects += self._start(new)
        return [*refused, *effects, *self.enlisting.look(), *self.census.report(now)]

    def _replenish(self) -> None:
        """Name as many stores as there are to be at least."""
        for _ in range(self.membership.missing):
            self.membership.spawn()

    def _start(self, names: Iterable[PeerName]) -> Effects:
        return [self._spawn(name, self.membership.estates(name)) for name in names]

    def _on_reported(self, peer: PeerName, message: Reported, now: Millis) -> Effects:
        self._news.say(message.lines)
        return []

    # ------------------------------------------------------------ the ring

    def _lead(self, sends: list[Send], now: Millis) -> Effects:
        """Tell the stores of a new ring, our own at once; see who has what it asked for."""
        membership = self.membership
        effects: Effects = list(sends)
        ring = membership.ring
        if ring.epoch and (self.store.owners is None or self.store.owners.epoch < ring.epoch):
            effects += self._taken(self.store.handle(Received(NODE, ring), now), now)
        gone = membership.gone(now)
        if membership.due is not None and (sends or gone):
            effects.append(SetTimer(REMIND_TIMER, membership.due))
        effects += [Send(name, Retire()) for name in gone]
        again = self.census.ask_again() if sends else []
        return [*self.enlisting.record(), *effects, *again, *self._settle_askers()]

    def _settle_askers(self) -> Effects:
        ring = self.membership.ring
        if ring.former:
            return []
        effects: Effects = []
        for asker, name in list(self._adding.items()):
            if name in ring.current.names:
                del self._adding[asker]
                effects.append(self._answer(asker, StoreAdded(asker[1], name)))
        for asker, name in list(self._removing.items()):
            if name not in ring.live:
                del self._removing[asker]
                effects.append(self._answer(asker, Done(asker[1])))
        for asker in list(self._replicating):
            del self._replicating[asker]
            effects.append(self._answer(asker, Done(asker[1])))
        return effects

    def _answer(self, asker: Asker, reply: Any) -> Send:
        self._answers[asker] = reply
        if len(self._answers) > ANSWERS_KEPT_MAX:
            del self._answers[next(iter(self._answers))]
        return Send(asker[0], reply)

    def _on_settled(self, peer: PeerName, message: Settled, now: Millis) -> Effects:
        return self._lead(self.membership.settle(peer, message, now), now)

    def _on_timer(self, key: str, now: Millis) -> Effects:
        if key == LOAD_TIMER:
            return self._adapt(now)
        if key == census.TIMER:
            return self.census.on_timer(now)
        if key == SPAWN_TIMER:
            late, self._late = self._late, []
            return self._start(name for name in late if name in self.membership.spawned)
        sends: Effects = [*self.enlisting.record(), *self.membership.remind(now)]
        due = self.membership.due
        return [*sends, SetTimer(REMIND_TIMER, due)] if due is not None else sends

    # ------------------------------------------------------------ what clients ask for

    def _on_add(self, peer: PeerName, message: AddStore, now: Millis) -> Effects:
        asker = (peer, message.req)
        if asker in self._answers:
            return [Send(peer, self._answers[asker])]
        if asker in self._adding:
            return []
        self.membership.ask(1)
        name = self._adding[asker] = self.membership.spawn()
        return self._start([name])

    def _on_remove(self, peer: PeerName, message: RemoveStore, now: Millis) -> Effects:
        asker = (peer, message.req)
        if asker in self._answers:
            return [Send(peer, self._answers[asker])]
        if asker in self._removing:
            return []
        if message.name in self.membership.abroad.away:
            self._news.back(message.name)
            effects = self._lead(self.membership.give_up(message.name, now), now)
            return [*effects, self._answer(asker, Done(message.req))]
        if message.name not in self.membership.ring.current.names or message.name == NODE:
            others = [name for name in self.membership.ring.current.names if name != NODE]
            text = (
                f"there is no store {message.name!r} that could be removed: there is {', '.join(others)}"
                if others
                else f"there is no store {message.name!r} that could be removed, only the node's own"
            )
            return [self._answer(asker, Failed(message.req, Failure("InvalidName", text)))]
        if message.name in self.membership.ours:
            self.membership.ask(-1)
        self._removing[asker] = message.name
        return self._lead(self.membership.leave(message.name, now), now)

    def _on_depart(self, peer: PeerName, message: Depart, now: Millis) -> Effects:
        membership = self.membership
        if peer not in membership.ring.live and peer not in membership.names:
            return [Send(peer, Retire())]
        return self._lead(membership.leave(peer, now), now)

    def _on_replicate(self, peer: PeerName, message: Replicate, now: Millis) -> Effects:
        asker, chosen = (peer, message.req), self.membership.chosen
        if asker in self._answers:
            return [Send(peer, self._answers[asker])]
        if asker in self._replicating:
            return []
        why = _unfit(message, chosen)
        if why:
            return [self._answer(asker, Failed(message.req, Failure("InvalidName", why)))]
        before = chosen.get(message.key, 0)
        self._replicating[asker] = None
        effects: Effects = []
        if self._config.state_dir and before != message.copies:
            record = Factor(message.key, message.copies) if message.copies else None
            effects.append(Persist(factor_place(message.key), record, undo=before))
        return effects + self._lead(self.membership.choose(message.key, message.copies, now), now)

    def _on_unwritten(self, event: Unwritten, now: Millis) -> Effects:
        """A factor could not be written: it is as it was, and who asked for it learns why."""
        asked: Any = event.event
        message, asker = asked.message, (asked.peer, asked.message.req)
        self._replicating.pop(asker, None)
        refused = self._answer(asker, Failed(message.req, event.failure))
        before: Any = event.persists[0].undo
        return [refused, *self._lead(self.membership.choose(message.key, before, now), now)]

    def _on_stores(self, peer: PeerName, message: Stores, now: Millis) -> Effects:
        return self.census.ask((peer, message.req), now)

    # ------------------------------------------------------------ policies

    def _on_stats(self, peer: PeerName, message: StoreStats, now: Millis) -> Effects:
        if message.req:
            return self.census.note(message, now)
        self.membership.note(message, now)
        return self._adapt(now)

    def _adapt(self, now: Millis) -> Effects:
        """Do what the load asks for."""
        membership = self.membership
        effects: Effects = []
        wanted, names, ours = membership.wanted(now), membership.names, membership.ours
        if wanted > len(names):
            effects += self._start([membership.spawn()])
        elif wanted < len(names) and not membership.spawned:
            effects += self._lead(membership.leave(ours[-1], now), now)
        effects += self._lead(membership.raise_keys(membership.hot(now), now), now)
        busy = any(stats.operations for stats in membership.stats(now))  # it may be less by then
        if busy or membership.eases or membership.ring.former:  # or there is one more to dismiss
            effects.append(SetTimer(LOAD_TIMER, now + (SILENT_PERIODS + 0.5) * self._config.stats_ms))
        return effects


def _unfit(message: Replicate, chosen: Mapping[str, int]) -> str:
    """Why a key cannot have a factor; empty if it can."""
    try:
        check_name(message.key, "key")
    except InvalidName as error:
        return str(error)
    if message.copies < 0:
        return f"{message.copies} stores cannot keep key {message.key!r}"
    if message.copies and message.key not in chosen and len(chosen) >= FACTORS_MAX:
        return f"{FACTORS_MAX:,} keys have a replication factor of their own; no more may"
    return ""
