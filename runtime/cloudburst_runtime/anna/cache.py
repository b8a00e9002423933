"""The cache: the one component through which a process reads and writes the store.

Law: an entry in the cache only ever moves forward, in (generation, lattice). The file decides what may
be shown and what must be asked for; `shelf` keeps the entries, `freshness` knows how far they are
informed, `outbox` what has not been answered, `totals` what this writer has added to each counter, and
`dots` how often it has written each causal value.

An entry is *held* while the replica surely watches it for us: it came with an answer of the current
epoch, later than all that was heard of before, and no `Unwatch` of it was sent meanwhile. So a key that
is held misses no update, or the account of updates shows it; and a read at ``floor`` may be answered
from the cache once that is synced up to there. Held entries include the known absence of a key.

A value in shared memory may be *lost* on its way here, because a later one has replaced it: then it is
asked for again, plain, which succeeds whatever happens. An update that is lost ends the holding.

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
from cloudburst_runtime.anna.totals import Totals
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.ids import NODE, HybridClock, Micros, Millis, PeerName
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
    Entry,
    Failed,
    Failure,
    Forget,
    Get,
    GetReply,
    Put,
    PutReply,
    Resync,
    Unwatch,
    Update,
)
from cloudburst_runtime.shared import LOST
from cloudburst_runtime.vectors import Vector

TIMER = "cache:resend"


class Answer(NamedTuple):
    """An operation is done: for a read a lattice (or None) per key, for a write None, or a `Failure`.

    For a ``whole`` read it is an entry per key, for a write on terms what was written, as an entry.
    """

    op: int
    result: list[AnyLattice | None] | list[Entry] | Entry | Failure | None


Effect: TypeAlias = Send | SetTimer | Answer


class _Count(NamedTuple):
    """A counter's write that waits for its turn."""

    op: int | None
    delta: AnyLattice
    terms: Terms | None


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
    [Answer(op=10, result=None)]
    """

    def __init__(
        self, config: Config, name: PeerName, clock: HybridClock, caching: bool, next_req: Callable[[], int]
    ) -> None:
        self.plain = False  # whether to read all values plain: where no shared memory can be reached
        self._config = config
        self._clock = clock
        self._caching = caching
        self._next_req = next_req
        self._fresh = Freshness()
        self._outbox = Outbox(config.resend_ms)
        self._totals = Totals(name)
        self._dots = Dots(name)
        self._shelf = Shelf(config.cache_bytes_max)
        self._held = self._shelf.entries
        self._queues: dict[str, deque[_Count]] = {}  # counter writes, one under way
        self._armed: Millis | None = None
        self._handlers: dict[type, Callable[[Any, Millis], list[Effect]]] = {
            GetReply: self._got,
            PutReply: self._changed,
            Update: self._updated,
            Failed: self._refused,
        }

    # ------------------------------------------------------------ what the embedding core calls

    @property
    def floor(self) -> Vector:
        """The highest changes that were heard of: the floor for whoever continues from here."""
        return self._fresh.heard

    @property
    def nbytes(self) -> int:
        """About how many bytes are held."""
        return self._shelf.nbytes

    @property
    def outstanding(self) -> int:
        """Requests that were not answered yet."""
        return len(self._outbox.requests)

    def peek(self, key: str, floor: Vector) -> Entry | None:
        """The entry if it is held and includes all changes up to ``floor``, else None: then `read`.

        The same object comes back until the entry changes. Its lattice is None if the key is known not
        to exist.
        """
        if floor and floor.get(NODE, 0) > self._fresh.synced:
            return None
        entry = self._held.get(key)
        if entry is not None:
            self._held.move_to_end(key)
        return entry

    def read(
        self, op: int, keys: list[str], floor: Vector, now: Millis, wait: bool = False, whole: bool = False
    ) -> list[Effect]:
        """Read keys, with all changes up to ``floor``; with ``wait``, once all of them exist."""
        found: dict[str, Entry] = {}
        for key in keys:
            entry = self.peek(key, floor)
            if entry is not None and not (wait and entry.lattice is None):
                found[key] = entry
        return self._conclude(op, keys, found, wait, whole, now)

    def write(
        self, op: int, key: str, lattice: AnyLattice, now: Millis, terms: Terms | None = None
    ) -> list[Effect]:
        """Merge a delta (of ``lattices.wrap.delta``) into a key; answered when the store has it."""
        if not counts(lattice):
            return self._put(op, key, lattice, terms, now)
        queue = self._queues.setdefault(key, deque())
        queue.append(_Count(op, lattice, terms))
        return self._count(key, now) if len(queue) == 1 else []

    def delete(self, op: int, key: str, now: Millis) -> list[Effect]:
        """Delete a key; answered when the store has done so."""
        return self._post(Change(op, Delete(self._next_req(), key, self._clock.tick(now))), now)

    def cancel(self, op: int) -> list[Effect]:
        """Nobody waits for this operation any more. A write that was sent may still take effect."""
        for key, queue in self._queues.items():
            first = queue[0]._replace(op=None) if queue[0].op == op else queue[0]
            self._queues[key] = deque([first, *(item for item in list(queue)[1:] if item.op != op)])
        for req, request in self._outbox.requests.items():
            if request.op == op:
                return self._abandon(req, request)
        return []

    def fail(self, failure: Failure) -> list[Effect]:
        """Answer every operation with a failure: the store is gone. A write may have taken effect."""
        ops = [request.op for request in self._outbox.requests.values()]
        ops += [item.op for queue in self._queues.values() for item in list(queue)[1:]]
        for request in self._outbox.requests.values():
            if isinstance(request, Writing) and request.draft is not None:
                self._totals.commit(request.message.key, request.draft)
        self._outbox.requests.clear()
        self._queues.clear()
        return [Answer(op, failure) for op in ops if op is not None]

    def handle(self, event: Received | PeerLost | Timer, now: Millis) -> list[Effect]:
        """Take an answer, an update, the timer, or the loss of the node; anything else is ignored."""
        if isinstance(event, Received):
            handler = self._handlers.get(type(event.message))
            return [] if handler is None else handler(event.message, now)
        if isinstance(event, Timer):
            return self._wake(now) if event.key == TIMER else []
        if event.peer == NODE and self._caching:
            self._drop_all()
        return []

    # ------------------------------------------------------------ reads

    def _conclude(
        self,
        op: int,
        keys: list[str],
        found: dict[str, Entry],
        wait: bool,
        whole: bool,
        now: Millis,
        lost: bool = False,
    ) -> list[Effect]:
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if not missing:
            entries = [found[key] for key in keys]
            return [Answer(op, entries if whole else [entry.lattice for entry in entries])]
        effects: list[Effect] = []
        if self._caching and not self._fresh.announced:
            effects.append(self._announce())
        get = Get(self._next_req(), missing, wait, self._caching, lost or self.plain)
        fresh = self._fresh
        return effects + self._post(Reading(op, get, keys, found, whole, fresh.epoch, fresh.confirmed), now)

    def _got(self, reply: GetReply, now: Millis) -> list[Effect]:
        request = self._outbox.take(reply.req, Reading)
        if request is None:
            return []
        latest = reply.seq >= self._fresh.seen
        effects = self._account(reply, now, request.confirmed and request.epoch == self._fresh.epoch)
        hold = latest and self._caching and reply.epoch == self._fresh.epoch
        for key, entry in zip(request.message.keys, reply.entries, strict=False):
            known = entry or Entry(0, None)
            self._observe(key, known)
            if is_lost(known.lattice):
                request.lost = True
                continue
            if hold and key not in self._held and key not in request.unheld:
                self._shelf.put(key, known)
            request.found[key] = self._shelf.absorb(key, known)
        return effects + self._shrink() + self._answer_read(request, now)

    def _answer_read(self, request: Reading, now: Millis) -> list[Effect]:
        if request.op is None:
            return []
        found = {key: self._held.get(key, entry) for key, entry in request.found.items()}
        if request.message.wait:  # what was deleted again is waited for again
            found = {key: entry for key, entry in found.items() if entry.lattice is not None}
        wait, whole, lost = request.message.wait, request.whole, request.lost
        return self._conclude(request.op, request.keys, found, wait, whole, now, lost)

    # ------------------------------------------------------------ writes

    def _put(
        self, op: int | None, key: str, delta: AnyLattice, terms: Terms | None, now: Millis
    ) -> list[Effect]:
        """Put what merges as it is, once a causal write has its dot."""
        known = self._generation(key)
        generation = known if terms is None else max(known, terms.generation)
        lattice = delta
        if is_causal_draft(delta):
            seen = terms.seen if terms is not None and terms.generation == generation else EMPTY
            lattice = dotted(delta, *self._dots.next(key, generation), seen)
        deps = {} if terms is None else terms.deps
        put = Put(self._next_req(), key, lattice, generation, deps)
        return self._post(Writing(op, put, delta, None, terms), now)

    def _count(self, key: str, now: Millis) -> list[Effect]:
        """Put the first of the key's queue of counter writes: one at a time, so that a refusal is exact."""
        queue = self._queues[key]
        refused: list[Effect] = []
        while queue:
            op, delta, terms = queue[0]
            generation = self._generation(key)
            try:
                draft = self._totals.draft(key, generation, delta)
            except OverflowError as error:
                refused += self._to(op, Failure("SerializationError", f"key {key!r}: {error}"))
                queue.popleft()
            else:
                put = Put(self._next_req(), key, draft.lattice, generation, terms.deps if terms else {})
                return refused + self._post(Writing(op, put, delta, draft, terms), now)
        del self._queues[key]
        return refused

    def _changed(self, reply: PutReply, now: Millis) -> list[Effect]:
        request = self._outbox.take(reply.req, Change)
        if request is None:
            return []
        effects = self._account(reply, now)
        key = request.message.key
        self._observe(key, Entry(reply.generation, None))
        if isinstance(request, Writing) and reply.generation > request.message.generation:
            return effects + self._again(request, now)
        return effects + self._done(request, None, now)

    def _again(self, request: Writing, now: Millis) -> list[Effect]:
        """The key was deleted meanwhile: write into its new generation."""
        key = request.message.key
        if request.draft is not None:
            return self._count(key, now)
        return self._put(request.op, key, request.delta, request.terms, now)

    def _done(self, request: Request, failure: Failure | None, now: Millis) -> list[Effect]:
        effects = self._to(request.op, self._written(request) if failure is None else failure)
        if failure is not None and isinstance(request, Writing) and is_causal_draft(request.delta):
            self._dots.abandon(request.message.key)
        if isinstance(request, Writing) and request.draft is not None:
            if failure is None:
                self._totals.commit(request.message.key, request.draft)
            self._queues[request.message.key].popleft()
            effects += self._count(request.message.key, now)
        return effects

    @staticmethod
    def _written(request: Request) -> Entry | None:
        """What a session is told of its write."""
        if not isinstance(request, Writing) or request.terms is None:
            return None
        put = request.message
        return Entry(put.generation, put.lattice, deps=put.deps)

    @staticmethod
    def _to(op: int | None, result: Entry | Failure | None) -> list[Effect]:
        return [] if op is None else [Answer(op, result)]

    def _refused(self, failed: Failed, now: Millis) -> list[Effect]:
        request = self._outbox.take(failed.req, Request)
        if request is None:
            return []
        if isinstance(request, Writing) and failed.failure.kind == LOST and is_shared(request.delta):
            request.delta = plain(request.delta)  # the store cannot reach our memory
            self._dots.abandon(request.message.key)
            return self._again(request, now)
        return self._done(request, failed.failure, now)

    def _abandon(self, req: int, request: Request) -> list[Effect]:
        request.op = None
        if not isinstance(request, Reading):
            return []
        del self._outbox.requests[req]
        return [Send(NODE, Forget(req))] if request.message.wait else []

    # ------------------------------------------------------------ entries

    def _updated(self, update: Update, now: Millis) -> list[Effect]:
        if update.epoch != self._fresh.epoch:
            return []
        self._fresh.receive(update.number, update.seq, now)
        self._observe(update.key, update.entry)
        if update.key in self._held:
            effects = self._absorb_update(update)
        else:
            effects = [] if self._outbox.reads(update.key) else [self._unwatch([update.key])]
        if self._fresh.broken(now, self._config.resend_ms):
            effects.append(self._resync())
        return effects + self._watch_gap()

    def _absorb_update(self, update: Update) -> list[Effect]:
        if not is_lost(update.entry.lattice):
            self._shelf.absorb(update.key, update.entry)
            return self._shrink()
        self._shelf.drop(update.key)
        return self._let_go([update.key])

    def _shrink(self) -> list[Effect]:
        gone = self._shelf.evict()
        return self._let_go(gone) if gone else []

    def _let_go(self, gone: list[str]) -> list[Effect]:
        for key in gone:
            for request in self._outbox.reads(key):
                request.unheld[key] = None
        return [self._unwatch(gone)]

    def _unwatch(self, keys: list[str]) -> Send:
        return Send(NODE, Unwatch(keys, self._next_req()))

    def _observe(self, key: str, entry: Entry) -> None:
        self._clock.observe(max(entry.generation, newest(entry.lattice)))
        self._shelf.note_generation(key, entry.generation)

    def _generation(self, key: str) -> Micros:
        written = max(self._totals.generation(key), self._dots.generation(key))
        return max(self._shelf.generation(key), written)

    # ------------------------------------------------------------ epochs and time

    def _account(self, reply: GetReply | PutReply, now: Millis, confirmed: bool = False) -> list[Effect]:
        """Note how far an answer says we should be; ``confirmed``: it was asked for in a settled epoch."""
        fresh = self._fresh
        if reply.epoch == fresh.epoch:
            fresh.confirmed = True
            fresh.promise(reply.pushed, reply.seq, now)
            return self._watch_gap()
        fresh.hear(reply.seq)
        if confirmed:  # the replica has forgotten us
            return [self._resync()]
        return [self._announce()] if fresh.announced and not fresh.confirmed else []

    def _announce(self) -> Send:
        self._fresh.announced = True
        return Send(NODE, Resync(self._fresh.epoch))

    def _resync(self) -> Send:
        self._drop_all()
        return self._announce()

    def _drop_all(self) -> None:
        self._fresh.restart()
        self._shelf.clear()

    def _post(self, request: Request, now: Millis) -> list[Effect]:
        return [self._outbox.post(request, now), *self._arm([request.due])]

    def _wake(self, now: Millis) -> list[Effect]:
        self._armed = None
        effects: list[Effect] = []
        if self._fresh.broken(now, self._config.resend_ms):
            effects.append(self._resync())
        effects += self._outbox.overdue(now)
        earliest = self._outbox.earliest()
        return effects + self._watch_gap() + self._arm([] if earliest is None else [earliest])

    def _watch_gap(self) -> list[Effect]:
        since = self._fresh.gap_since
        return [] if since is None else self._arm([since + self._config.resend_ms])

    def _arm(self, dues: Iterable[Millis]) -> list[Effect]:
        """Set the timer, unless it goes off early enough anyway."""
        for due in dues:
            if self._armed is None or due < self._armed:
                self._armed = due
                return [SetTimer(TIMER, due)]
        return []
