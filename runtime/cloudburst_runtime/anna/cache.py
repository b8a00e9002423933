"""The cache: the one component through which a process reads and writes the store.

Law: an entry in the cache only ever moves forward, in (generation, lattice). The file decides what may
be shown and what must be asked for; `shelf` keeps the entries, `freshness` knows how far they are
informed, `sources` which store is asked, `outbox` what has not been answered, `totals` what this writer
has added to each counter, and `dots` how often it has written each causal value.

An entry is *held* while the replica surely watches it for us: it came with an answer of the current
epoch, later than all that was heard of before, and no `Unwatch` of it was sent meanwhile. So a key that
is held misses no update, or the account of updates shows it; and a read at ``floor`` may be answered
from the cache once that is synced up to there. Held entries include the known absence of a key.

A value in shared memory may be *lost* on its way here, because a later one has replaced it: then it is
asked for again, plain, which succeeds whatever happens. An update that is lost ends the holding, and so does
one that goes on from what is not here.

A read or write is an *operation*, numbered by the embedding core and answered by one `Answer`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from cloudburst_runtime.anna.dots import Dots
from cloudburst_runtime.anna.freshness import Freshness
from cloudburst_runtime.anna.outbox import Change, Outbox, Reading, Request, Terms, Writing
from cloudburst_runtime.anna.shelf import Shelf
from cloudburst_runtime.anna.sources import Sources
from cloudburst_runtime.anna.totals import Totals
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.ids import NODE, HybridClock, Micros, Millis, PeerName, is_store
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.causal import EMPTY
from cloudburst_runtime.lattices.wrap import (
    counts,
    dotted,
    is_causal_draft,
    is_lost,
    is_shared,
    newest,
    plain,
)
from cloudburst_runtime.messages import (
    Delete,
    Elsewhere,
    Entry,
    Failed,
    Failure,
    Forget,
    Get,
    GetReply,
    Put,
    PutReply,
    Resync,
    Ring,
    Unwatch,
    Update,
)
from cloudburst_runtime.shared import LOST
from cloudburst_runtime.vectors import Vector, covers

TIMER = "cache:resend"


class Answer(NamedTuple):
    """An operation is done: for a read an entry per key, for a write what was merged in, or a `Failure`."""

    op: int
    result: list[Entry] | Entry | Failure | None


Effect: TypeAlias = Send | SetTimer | Answer

NO_TERMS = Terms({})


class _Wish(NamedTuple):
    """A write that was asked for: of what, whether it is to be on disk, and on which terms."""

    op: int | None
    delta: AnyLattice
    sync: bool
    terms: Terms


class CacheCore:
    """A sub-core of executors, and with ``caching=False`` of clients.

    Parameters
    ----------
    config
        For ``cache_bytes_max`` and ``resend_ms``.
    name
        The writer's name; no other process may ever write to the same store under it.
    clock
        The process's hybrid clock; it observes the stamps of everything seen here.
    caching
        Whether to hold entries. Without, each read is a round trip.
    next_req
        The source of request numbers, increasing; shared with the embedding core's other requests.

    Examples
    --------
    >>> from itertools import count
    >>> from cloudburst_runtime.lattices import Max
    >>> cache = CacheCore(Config(), "e1", HybridClock(0), True, count(1).__next__)
    >>> [put, timer] = cache.write(10, "k", Max(7), 0.0)
    >>> cache.handle(Received("node", PutReply(put.message.req, 0, seq=1)), 1.0)
    [Answer(op=10, result=Entry(generation=0, lattice=Max(value=7), version={}, deps={}))]
    """

    def __init__(
        self, config: Config, name: PeerName, clock: HybridClock, caching: bool, next_req: Callable[[], int]
    ) -> None:
        self.plain = False  # whether to read all values plain: where no shared memory can be reached
        self.sync = config.durability == "disk"  # whether writes that do not say wait for the disk
        self._config = config
        self._clock = clock
        self._caching = caching
        self._next_req = next_req
        self._sources = Sources(name)
        self._outbox = Outbox(config.resend_ms)
        self._totals = Totals(name)
        self._dots = Dots(name)
        self._shelf = Shelf(config.cache_bytes_max)
        self._held = self._shelf.entries
        self._queues: dict[str, deque[_Wish]] = {}  # counter writes, one under way
        self._armed: Millis | None = None
        self._handlers: dict[type, Callable[[Any, PeerName, Millis], list[Effect]]] = {
            GetReply: self._got,
            PutReply: self._changed,
            Update: self._updated,
            Failed: self._refused,
            Elsewhere: self._sent_elsewhere,
            Ring: self._told_ring,
        }

    # ------------------------------------------------------------ what the embedding core calls

    @property
    def floor(self) -> Vector:
        """The highest changes that were heard of: the floor for whoever continues from here."""
        return self._sources.floor

    def store_of(self, key: str) -> PeerName:
        """Which store is asked about a key."""
        return self._sources.store_of(key)

    @property
    def nbytes(self) -> int:
        """About how many bytes are held."""
        return self._shelf.nbytes

    @property
    def outstanding(self) -> int:
        """Requests that were not answered yet."""
        return len(self._outbox.open)

    def peek(self, key: str, floor: Vector) -> Entry | None:
        """The entry if it is held and includes all changes up to ``floor``, else None: then `read`.

        The same object comes back until the entry changes. Its lattice is None if the key is known not
        to exist.
        """
        entry = self._held.get(key)
        if entry is None or (floor and not self._sources.covers(key, floor)):
            return None
        self._held.move_to_end(key)
        return entry

    def read(self, op: int, keys: list[str], floor: Vector, now: Millis, wait: bool = False) -> list[Effect]:
        """Read keys, with all changes up to ``floor``; with ``wait``, once all of them exist."""
        found: dict[str, Entry] = {}
        for key in keys:
            entry = self.peek(key, floor)
            if entry is not None and not (wait and entry.lattice is None):
                found[key] = entry
        return self._conclude(op, keys, found, floor, wait, now)

    def write(
        self,
        op: int,
        key: str,
        lattice: AnyLattice,
        now: Millis,
        sync: bool | None = None,
        terms: Terms = NO_TERMS,
    ) -> list[Effect]:
        """Merge a delta (of ``lattices.wrap.delta``) into a key; answered when the store has it.

        ``sync``: when it has it on disk, if it has one; None: as `sync` says for all.
        """
        wish = _Wish(op, lattice, self.sync if sync is None else sync, terms)
        if not counts(lattice):
            return self._put(key, wish, self._clock.last, now)
        queue = self._queues.setdefault(key, deque())
        queue.append(wish)
        return self._count(key, now) if len(queue) == 1 else []

    def delete(self, op: int, key: str, now: Millis) -> list[Effect]:
        """Delete a key; answered when the store has done so."""
        return self._change(Change(op, Delete(self._next_req(), key, self._clock.tick(now))), now)

    def cancel(self, op: int) -> list[Effect]:
        """Nobody waits for this operation any more. A write that was sent may still take effect."""
        for key, queue in self._queues.items():
            first = queue[0]._replace(op=None) if queue[0].op == op else queue[0]
            self._queues[key] = deque([first, *(item for item in list(queue)[1:] if item.op != op)])
        effects: list[Effect] = []
        for req, request in list(self._outbox.open.items()):
            if request.op == op:
                effects += self._abandon(req, request)
        return effects

    def observe(self, key: str, entry: Entry) -> None:
        """An entry was seen, here or on another way: what is written from now on is later."""
        self._clock.observe(max(entry.generation, newest(entry.lattice)))
        self._shelf.note_generation(key, entry.generation)
        self._sources.see(entry.version)

    def fail(self, failure: Failure) -> list[Effect]:
        """Answer every operation with a failure: the store is gone. A write may have taken effect."""
        ops = list(dict.fromkeys(request.op for request in self._outbox.open.values()))
        ops += [item.op for queue in self._queues.values() for item in list(queue)[1:]]
        for request in self._outbox.open.values():
            if isinstance(request, Writing) and request.draft is not None:
                self._totals.commit(request.message.key, request.draft)
        self._outbox.open.clear()
        self._queues.clear()
        return [Answer(op, failure) for op in ops if op is not None]

    def handle(self, event: Received | PeerLost | Timer, now: Millis) -> list[Effect]:
        """Take an answer, an update, the timer, or the loss of a store; anything else is ignored."""
        if isinstance(event, Received):
            handler = self._handlers.get(type(event.message))
            return [] if handler is None else handler(event.message, event.peer, now)
        if isinstance(event, Timer):
            return self._wake(now) if event.key == TIMER else []
        return self._lose(event.peer, now)

    # ------------------------------------------------------------ reads

    def _conclude(
        self,
        op: int,
        keys: list[str],
        found: dict[str, Entry],
        floor: Vector,
        wait: bool,
        now: Millis,
        lost: bool = False,
    ) -> list[Effect]:
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if not missing:
            return [Answer(op, [found[key] for key in keys])]
        groups = self._sources.group(missing)
        parts: list[Reading] = []
        effects: list[Effect] = []
        for store, some in groups.items():
            fresh = self._sources.freshness(store)
            if self._caching and not fresh.announced:
                effects.append(self._announce(fresh))
            asked = self._sources.asked(floor)
            get = Get(self._next_req(), some, wait, self._caching, lost or self.plain, asked)
            reading = Reading(op, get, keys, found, fresh.epoch, fresh.confirmed)
            reading.floor = floor
            if len(groups) > 1:
                reading.parts = parts
                parts.append(reading)
            effects += self._post(reading, now, store)
        return effects

    def _got(self, reply: GetReply, store: PeerName, now: Millis) -> list[Effect]:
        request = self._outbox.take_as(Reading, reply.req)
        if request is None:
            return []
        fresh = self._sources.freshness(store)
        latest = reply.seq >= fresh.seen
        effects = self._account(
            fresh, reply, now, reply.known, request.confirmed and request.epoch == fresh.epoch
        )
        hold = latest and self._caching and reply.epoch == fresh.epoch
        for key, entry in zip(request.message.keys, reply.entries, strict=False):
            known = entry or Entry(0, None)
            self.observe(key, known)
            if is_lost(known.lattice):
                request.lost = True
                continue
            if hold and key not in self._held and key not in request.unheld:
                self._shelf.put(key, known)
                self._sources.hold(key, store)
            request.found[key] = self._shelf.absorb(key, known)
            if key in self._held:
                self._sources.include(key, request.message.floor)
        return effects + self._shrink() + self._answer_read(request, now)

    def _answer_read(self, request: Reading, now: Millis) -> list[Effect]:
        if request.op is None:
            return []
        if request.parts:
            request.parts.remove(request)
            for other in request.parts:
                other.lost |= request.lost
            if request.parts:
                return []
        found = {key: self._held.get(key, entry) for key, entry in request.found.items()}
        if request.message.wait:  # what was deleted again is waited for again
            found = {key: entry for key, entry in found.items() if entry.lattice is not None}
        wait, lost = request.message.wait, request.lost
        return self._conclude(request.op, request.keys, found, request.floor, wait, now, lost)

    # ------------------------------------------------------------ writes

    def _put(self, key: str, wish: _Wish, stamp: Micros, now: Millis) -> list[Effect]:
        """Put what merges as it is, once a causal write has its dot."""
        op, delta, sync, terms = wish
        generation = max(self._generation(key), terms.generation)
        lattice = delta
        if is_causal_draft(delta):
            seen = terms.seen if terms.generation == generation else EMPTY
            lattice = dotted(delta, *self._dots.next(key, generation), seen)
        put = Put(
            self._next_req(), key, lattice, generation, sync, stamp, terms.deps, terms.once, terms.known
        )
        return self._change(Writing(op, put, delta, None, terms), now)

    def _count(self, key: str, now: Millis) -> list[Effect]:
        """Put the first of the key's queue of counter writes: one at a time, so that a refusal is exact."""
        queue = self._queues[key]
        refused: list[Effect] = []
        while queue:
            op, delta, sync, terms = queue[0]
            generation = self._generation(key)
            try:
                draft = self._totals.draft(key, generation, delta)
            except OverflowError as error:
                refused += self._to(op, Failure("SerializationError", f"key {key!r}: {error}"))
                queue.popleft()
            else:
                put = Put(
                    self._next_req(),
                    key,
                    draft.lattice,
                    generation,
                    sync,
                    self._clock.last,
                    terms.deps,
                    seen=terms.known,
                )
                return refused + self._change(Writing(op, put, delta, draft, terms), now)
        del self._queues[key]
        return refused

    def _changed(self, reply: PutReply, store: PeerName, now: Millis) -> list[Effect]:
        request = self._outbox.take_as(Change, reply.req)
        if request is None:
            return []
        effects = self._account(self._sources.freshness(store), reply, now)
        key = request.message.key
        self.observe(key, Entry(reply.generation, None))
        self._sources.see({store: reply.seq})
        if isinstance(request, Writing) and reply.generation > request.message.generation:
            return effects + self._again(request, now)
        return effects + self._done(request, None, now)

    def _again(self, request: Writing, now: Millis) -> list[Effect]:
        """The key was deleted meanwhile: write into its new generation."""
        key = request.message.key
        if request.draft is not None:
            return self._count(key, now)
        sent = request.message
        wish = _Wish(request.op, request.delta, sent.sync, request.terms)
        return self._put(key, wish, sent.stamp, now)

    def _done(self, request: Request, failure: Failure | None, now: Millis) -> list[Effect]:
        effects = self._to(request.op, _written(request) if failure is None else failure)
        if failure is not None and isinstance(request, Writing) and is_causal_draft(request.delta):
            self._dots.abandon(request.message.key)
        if isinstance(request, Writing) and request.draft is not None:
            if failure is None:
                self._totals.commit(request.message.key, request.draft)
            self._queues[request.message.key].popleft()
            effects += self._count(request.message.key, now)
        return effects

    @staticmethod
    def _to(op: int | None, result: Entry | Failure | None) -> list[Effect]:
        return [] if op is None else [Answer(op, result)]

    def _refused(self, failed: Failed, store: PeerName, now: Millis) -> list[Effect]:
        request = self._outbox.take_as(Request, failed.req)
        if request is None:
            return []
        if isinstance(request, Reading):
            return self._abandon_parts(request) + self._to(request.op, failed.failure)
        if isinstance(request, Writing) and failed.failure.kind == LOST and is_shared(request.delta):
            request.delta = plain(request.delta)  # the store cannot reach our memory
            self._dots.abandon(request.message.key)
            return self._again(request, now)
        return self._done(request, failed.failure, now)

    def _abandon(self, req: int, request: Request) -> list[Effect]:
        request.op = None
        if not isinstance(request, Reading):
            return []
        del self._outbox.open[req]
        return [Send(request.peer, Forget(req))] if request.message.wait else []

    def _abandon_parts(self, request: Reading) -> list[Effect]:
        """One of an operation's readings failed, and so the operation has."""
        effects: list[Effect] = []
        for other in request.parts:
            if other is not request:
                effects += self._abandon(other.message.req, other)
        request.parts.clear()
        return effects

    # ------------------------------------------------------------ entries

    def _updated(self, update: Update, store: PeerName, now: Millis) -> list[Effect]:
        fresh = self._sources.freshness(store)
        if update.epoch != fresh.epoch:
            return []
        fresh.receive(update.number, update.seq, now, update.known)
        self.observe(update.key, update.entry)
        if update.key in self._held:
            effects = self._absorb_update(update)
        else:
            asked = self._outbox.reads(update.key)
            effects = [] if asked else [self._unwatch(store, [update.key])]
        if fresh.broken(now, self._config.resend_ms):
            effects.append(self._resync(fresh))
        return effects + self._watch_gap(fresh)

    def _absorb_update(self, update: Update) -> list[Effect]:
        if not is_lost(update.entry.lattice) and self._goes_on(update):
            self._shelf.absorb(update.key, update.entry)
            return self._shrink()
        self._shelf.drop(update.key)
        return self._let_go([update.key])

    def _goes_on(self, update: Update) -> bool:
        """Whether what is held has what an update goes on from."""
        held = self._held[update.key]
        if not update.base or held.generation > update.entry.generation:
            return True
        return held.generation == update.entry.generation and covers(held.version, update.base)

    def _shrink(self) -> list[Effect]:
        gone = self._shelf.evict()
        return self._let_go(gone) if gone else []

    def _let_go(self, gone: list[str]) -> list[Effect]:
        for key in gone:
            for request in self._outbox.reads(key):
                request.unheld[key] = None
        return [self._unwatch(home, keys) for home, keys in self._sources.release(gone).items()]

    def _unwatch(self, store: PeerName, keys: list[str]) -> Send:
        return Send(store, Unwatch(keys, self._next_req()))

    def _generation(self, key: str) -> Micros:
        written = max(self._totals.generation(key), self._dots.generation(key))
        return max(self._shelf.generation(key), written)

    # ------------------------------------------------------------ stores that come and go

    def _told_ring(self, ring: Ring, store: PeerName, now: Millis) -> list[Effect]:
        """Some keys have other owners: let go of what is held from the old ones, and ask the new."""
        if not self._sources.adopt(ring):
            return []
        stray = [key for key in self._held if not self._sources.serves(self._sources.home(key), [key])]
        for key in stray:
            self._shelf.drop(key)
        effects = self._let_go(stray) if stray else []
        return effects + self._reroute(list(self._outbox.open.values()), now)

    def _sent_elsewhere(self, message: Elsewhere, store: PeerName, now: Millis) -> list[Effect]:
        effects = self._told_ring(message.ring, store, now)
        request = self._outbox.open.get(message.req)
        ring = self._sources.ring
        if request is None or ring is None or request.peer != store:
            return effects
        if message.ring.epoch < ring.epoch:  # the store has not heard: let it hear, and ask again
            return [*effects, Send(store, ring), Send(store, request.message)]
        return effects

    def _lose(self, store: PeerName, now: Millis) -> list[Effect]:
        """A store is gone, or the runtime is."""
        if store == NODE:
            if self._caching:
                self._drop_all(self._sources.freshness(NODE))
            return []
        if not is_store(store):
            return []
        self._sources.lose(store)
        self._drop_all(self._sources.freshness(store))
        return self._reroute(self._outbox.sent_to(store), now)

    def _reroute(self, requests: list[Request], now: Millis) -> list[Effect]:
        """Send these requests to the owners of their keys, if they were sent to others."""
        effects: list[Effect] = []
        for request in requests:
            message = request.message
            keys = message.keys if isinstance(message, Get) else [message.key]
            if message.req not in self._outbox.open or self._sources.serves(request.peer, keys):
                continue
            if isinstance(request, Reading):
                effects += self._read_again(request, now)
            elif isinstance(request, Change):
                effects += self._change(request, now)
        return effects

    def _read_again(self, request: Reading, now: Millis) -> list[Effect]:
        """Ask anew for the keys of a reading, now that others have them."""
        op = request.op
        effects = self._abandon(request.message.req, request) + self._abandon_parts(request)
        if op is None:
            return effects
        found, wait = request.found, request.message.wait
        return effects + self._conclude(op, request.keys, found, request.floor, wait, now, request.lost)

    # ------------------------------------------------------------ epochs and time

    def _account(
        self,
        fresh: Freshness,
        reply: GetReply | PutReply,
        now: Millis,
        known: Vector | None = None,
        confirmed: bool = False,
    ) -> list[Effect]:
        """Note how far an answer says we should be; ``confirmed``: it was asked for in a settled epoch."""
        if reply.epoch == fresh.epoch:
            fresh.confirmed = True
            fresh.promise(reply.pushed, reply.seq, now, known or {})
            return self._watch_gap(fresh)
        fresh.hear(reply.seq)
        if confirmed:  # the replica has forgotten us
            return [self._resync(fresh)]
        return [self._announce(fresh)] if fresh.announced and not fresh.confirmed else []

    def _announce(self, fresh: Freshness) -> Send:
        fresh.announced = True
        return Send(fresh.store, Resync(fresh.epoch))

    def _resync(self, fresh: Freshness) -> Send:
        self._drop_all(fresh)
        return self._announce(fresh)

    def _drop_all(self, fresh: Freshness) -> None:
        """Hold nothing any more that this store watches for us."""
        fresh.restart()
        for key in [key for key in self._held if self._sources.home(key) == fresh.store]:
            self._shelf.drop(key)
            self._sources.release([key])

    def _change(self, request: Change, now: Millis) -> list[Effect]:
        return self._post(request, now, self._sources.store_of(request.message.key))

    def _post(self, request: Request, now: Millis, store: PeerName) -> list[Effect]:
        request.peer = store
        return [self._outbox.ask(request, now), *self._arm([request.due])]

    def _wake(self, now: Millis) -> list[Effect]:
        self._armed = None
        lost = self._sources.broken(now, self._config.resend_ms)
        effects: list[Effect] = [self._resync(fresh) for fresh in lost]
        effects += self._outbox.overdue(now)
        earliest = self._outbox.due
        for fresh in self._sources.fresh.values():
            effects += self._watch_gap(fresh)
        return effects + self._arm([] if earliest is None else [earliest])

    def _watch_gap(self, fresh: Freshness) -> list[Effect]:
        since = fresh.gap_since
        return [] if since is None else self._arm([since + self._config.resend_ms])

    def _arm(self, dues: Iterable[Millis]) -> list[Effect]:
        """Set the timer, unless it goes off early enough anyway."""
        for due in dues:
            if self._armed is None or due < self._armed:
                self._armed = due
                return [SetTimer(TIMER, due)]
        return []


def _written(request: Request) -> Entry | None:
    put = request.message
    return Entry(put.generation, put.lattice, deps=put.deps) if isinstance(put, Put) else None
