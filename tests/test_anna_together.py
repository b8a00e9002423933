"""Replica and caches together, in the world of anna_world: no seed fails, and every mutant is caught."""

from __future__ import annotations

from typing import Any

import pytest

from cloudburst_runtime.anna.cache import NO_TERMS, CacheCore, Effect
from cloudburst_runtime.anna.freshness import NOTHING, Freshness
from cloudburst_runtime.anna.outbox import Writing
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.totals import Draft, Tally, Totals
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.wrap import counts
from cloudburst_runtime.messages import Delete, Entry, GetReply, Put, PutReply, Unwatch
from cloudburst_runtime.vectors import Vector
from tests.anna_world import World


@pytest.mark.parametrize("block", range(8))
def test_seeds(block: int) -> None:
    for seed in range(block * 32, block * 32 + 32):
        try:
            World(seed).run()
        except AssertionError as error:
            raise AssertionError(f"World({seed}).run(): {error}") from error


def test_the_seeds_reach_what_they_are_for() -> None:
    """Hits, evictions, new epochs, writes after a deletion, dropped tombstones: none is rare."""
    seen = {"hit": 0, "evict": 0, "resync": 0, "again": 0, "forgotten": 0}

    class Watched(CacheCore):
        def peek(self, key: str, floor: Vector) -> Entry | None:
            entry = super().peek(key, floor)
            seen["hit"] += entry is not None
            return entry

        def _shrink(self) -> list[Effect]:
            effects = super()._shrink()
            seen["evict"] += len(effects)
            return effects

        def _resync(self, fresh: Freshness) -> Send:
            seen["resync"] += 1
            return super()._resync(fresh)

        def _again(self, request: Writing, now: float) -> list[Effect]:
            seen["again"] += 1
            return super()._again(request, now)

    for seed in range(64):
        world = World(seed, cache=Watched)
        world.run()
        seen["forgotten"] += world.replica.records.forgotten > 0
    assert min(seen.values()) >= 10, seen


# ---------------------------------------------------------------- mutants


class NeverResyncs(CacheCore):
    """Waits for ever for an update that was lost."""

    class Patient(Freshness):
        def broken(self, now: float, patience_ms: float) -> bool:
            if super().broken(now, patience_ms):
                self.gap_since = None
            return False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sources.fresh[NODE] = self.Patient()


class PutsAmounts(CacheCore):
    """Puts what to add to a counter, not the writer's total."""

    class Forgetful(Totals):
        def commit(self, key: str, draft: Draft) -> None:
            super().commit(key, Draft(draft.lattice, Tally(draft.tally.generation, draft.tally.writer), {}))

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._totals = self.Forgetful(arguments[1])


class OverlapsIncrements(CacheCore):
    """Has several puts of one counter under way, made from the same total."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.drafts: dict[int, tuple[str, Draft]] = {}

    def write(self, op: int, key: str, lattice: AnyLattice, now: float) -> list[Effect]:
        if not counts(lattice):
            return super().write(op, key, lattice, now)
        generation = self._generation(key)
        draft = self._totals.draft(key, generation, lattice)
        put = Put(self._next_req(), key, draft.lattice, generation)
        self.drafts[put.req] = (key, draft)
        return self._change(Writing(op, put, draft.lattice, None, NO_TERMS), now)

    def _changed(self, reply: PutReply, store: str, now: float) -> list[Effect]:
        if reply.req in self.drafts:
            self._totals.commit(*self.drafts.pop(reply.req))
        return super()._changed(reply, store, now)


class HoldsOldAnswers(CacheCore):
    """Holds what an answer says although later things were heard of before."""

    def _got(self, reply: GetReply, store: str, now: float) -> list[Effect]:
        fresh = self._sources.freshness(store)
        seen, fresh.seen = fresh.seen, 0
        effects = super()._got(reply, store, now)
        fresh.seen = max(seen, fresh.seen)
        return effects


class HoldsAcrossEpochs(CacheCore):
    """Does not look at the epoch in which the replica answered."""

    def _got(self, reply: GetReply, store: str, now: float) -> list[Effect]:
        reply.epoch = self._sources.freshness(store).epoch
        return super()._got(reply, store, now)


class IgnoresFloors(CacheCore):
    """Shows what it holds, whatever the caller has seen elsewhere."""

    def peek(self, key: str, floor: Vector) -> Entry | None:
        return super().peek(key, {})


class SyncsByHearsay(CacheCore):
    """Takes the seq of an answer for its own, though updates before it have not arrived."""

    class Hasty(Freshness):
        def promise(self, pushed: int, seq: int, now: float, known: Vector = NOTHING) -> None:
            super().promise(pushed, seq, now, known)
            self.synced = max(self.synced, seq)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sources.fresh[NODE] = self.Hasty()


class UnwatchesWithoutNumber(CacheCore):
    """An `Unwatch` that overtakes nothing but may be overtaken."""

    def _unwatch(self, store: str, keys: list[str]) -> Send:
        return Send(store, Unwatch(keys))


class AcknowledgesOnly(ReplicaCore):
    """Acknowledges a put now and then without merging it."""

    def _put(self, peer: str, put: Put) -> list[Send]:
        if put.req % 11 == 0:
            return [self._acknowledge(peer, put.req, put.generation)]
        return super()._put(peer, put)


class RevivesDeleted(ReplicaCore):
    """Merges a put whatever generation it is of."""

    def _put(self, peer: str, put: Put) -> list[Send]:
        known = self.records.generation(put.key)
        raised = Put(put.req, put.key, put.lattice, max(known, put.generation))
        return [*super()._put(peer, raised)[:-1], self._acknowledge(peer, put.req, put.generation)]


class DeletesAgain(ReplicaCore):
    """Does not know a repeated deletion."""

    def _delete(self, peer: str, delete: Delete) -> list[Send]:
        self.watches.peer(peer).deleted.clear()
        return super()._delete(peer, delete)


class PushesNothing(ReplicaCore):
    """Tells no watcher of a change."""

    def _publish(self, key: str, entry: Entry, base: Vector) -> list[Send]:
        return []


CACHES = [
    NeverResyncs,
    PutsAmounts,
    OverlapsIncrements,
    HoldsOldAnswers,
    HoldsAcrossEpochs,
    IgnoresFloors,
    SyncsByHearsay,
    UnwatchesWithoutNumber,
]
REPLICAS = [AcknowledgesOnly, RevivesDeleted, DeletesAgain, PushesNothing]


def caught(seeds: range, **kinds: Any) -> bool:
    for seed in seeds:
        try:
            World(seed, **kinds).run()
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("mutant", CACHES)
def test_mutant_caches_are_caught(mutant: type[CacheCore]) -> None:
    assert caught(range(256), cache=mutant)


@pytest.mark.parametrize("mutant", REPLICAS)
def test_mutant_replicas_are_caught(mutant: type[ReplicaCore]) -> None:
    assert caught(range(256), replica=mutant)
