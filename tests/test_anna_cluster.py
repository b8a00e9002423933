"""Stores and caches together, in the world of cluster_world: no seed fails, and every mutant is caught."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.anna.reconcile import Reconciler
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.safety import Safety
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send
from cloudburst_runtime.lattices import Mixed
from cloudburst_runtime.lattices.compound import lub
from cloudburst_runtime.messages import (
    Compared,
    Entry,
    Gossip,
    Heard,
    Ring,
    Settled,
    Update,
    Wanted,
)
from cloudburst_runtime.vectors import Vector
from tests.cluster_world import ClusterWorld

SEEDS = 128


class Watched(ClusterWorld):
    """Counts what happens in it."""

    def __init__(self, seed: int) -> None:
        self.seen: Counter[str] = Counter()
        super().__init__(seed)

    def send(self, send: Send, source: str) -> None:
        message, seen = send.message, self.seen
        seen[type(message).__name__] += 1
        seen["parts"] += isinstance(message, Gossip) and bool(message.bases)
        seen["parts to caches"] += isinstance(message, Update) and bool(message.base)
        seen["the whole after all"] += isinstance(message, Heard) and message.plain
        seen["a newer generation"] += isinstance(message, Heard) and bool(message.keys)
        seen["differing"] += isinstance(message, Compared) and bool(message.differing)
        seen["repaired"] += isinstance(message, Wanted) and bool(message.keys)
        seen["raised"] += isinstance(message, Ring) and bool(message.current.factors)
        super().send(send, source)

    def end_store(self, name: str, killed: bool) -> None:
        self.seen["killed" if killed else "left"] += 1
        super().end_store(name, killed)

    def check_stores(self) -> None:
        super().check_stores()
        kept = [self.stores["node"].replica.records.find(key) for key in self.mixed]
        self.seen["mixed"] += sum(record is not None and isinstance(record.lattice, Mixed) for record in kept)


@cache
def seen_in(seed: int) -> Counter[str]:
    world = Watched(seed)
    try:
        world.run()
    except AssertionError as error:
        raise AssertionError(f"ClusterWorld({seed}).run(): {error}") from error
    return world.seen


@pytest.mark.parametrize("block", range(4))
def test_seeds(block: int) -> None:
    for seed in range(block, SEEDS, 4):
        seen_in(seed)


def test_the_seeds_reach_what_they_are_for() -> None:
    """Changes of the ring, deaths among them; pulls, acknowledgements kept back, parts that differ."""
    seen = sum(map(seen_in, range(48)), Counter[str]())
    wanted = [
        "Gossip",
        "Pull",
        "Elsewhere",
        "Ring",
        "differing",
        "repaired",
        "raised",
        "killed",
        "left",
        "mixed",
        "parts",
        "parts to caches",
        "the whole after all",
    ]
    assert all(seen[what] >= 5 for what in wanted), seen
    assert seen["a newer generation"], seen


# ---------------------------------------------------------------- mutants


class DropsGossip(StoreCore):
    """Acknowledges gossip without merging it, now and then."""

    def _on_gossip(self, peer: str, message: Gossip, now: float) -> list[Any]:
        if message.told.number % 3 == 0:
            message.keys, message.entries = [], []
        return super()._on_gossip(peer, message, now)


class AcknowledgesAlone(StoreCore):
    """Acknowledges a write before a second store has it."""

    class Rash(Safety):
        def _is_safe(self, key: str, seq: int) -> bool:
            return True

    def __init__(self, config: Config, replica: ReplicaCore) -> None:
        super().__init__(config, replica)
        self.safety = self.Rash(replica, self.exchange, self.deltas, self._partners)


class HandsOverIncompletely(StoreCore):
    """Loses the first key of each part that is handed over."""

    def _on_answer(self, peer: str, message: Compared | Wanted, now: float) -> list[Any]:
        if isinstance(message, Wanted):
            message.keys, message.entries = message.keys[1:], message.entries[1:]
        return super()._on_answer(peer, message, now)


class ServesUnready(StoreCore):
    """Serves a part that it has not compared yet."""

    class Hasty(Reconciler):
        def unready(self, key: str) -> list[str]:
            return []

    def __init__(self, config: Config, replica: ReplicaCore) -> None:
        super().__init__(config, replica)
        self.reconciler = self.Hasty(config, replica, self.exchange, self._absorb)


class SettlesAtOnce(StoreCore):
    """Says that it has all that is its own to keep before it has compared it."""

    def _report(self) -> list[Any]:
        return [Send("node", Settled(self._ring().epoch))]


class IgnoresFloors(StoreCore):
    """Answers from what it has, whatever the reader has seen."""

    def _is_behind(self, store: str, number: int) -> bool:
        return False


class DropsTooEarly(StoreCore):
    """Drops what others are to keep as soon as the ring says so."""

    def _on_ring(self, peer: str, ring: Ring, now: float) -> list[Any]:
        effects = super()._on_ring(peer, ring, now)
        return effects + self.reconciler.find_strays()


class LetsOneTypeWin(StoreCore):
    """Of two types that meet under a key, keeps the one that it has."""

    def _on_gossip(self, peer: str, message: Gossip, now: float) -> list[Any]:
        for key, entry in zip(message.keys, message.entries, strict=True):
            record = self.replica.records.live.get(key)
            mine: Any = None if record is None else record.lattice
            if mine is not None and entry.lattice is not None and isinstance(lub(mine, entry.lattice), Mixed):
                entry.lattice = mine
        return super()._on_gossip(peer, message, now)


class ForgetsWhatItAsked(CacheCore):
    """Takes what it holds for as fresh as any floor."""

    def peek(self, key: str, floor: Vector) -> Entry | None:
        return super().peek(key, {})


class StaysWithTheOldStore(CacheCore):
    """Goes on holding what an old owner watches for it."""

    def _told_ring(self, ring: Ring, store: str, now: float) -> list[Any]:
        held = dict(self._held)
        effects = super()._told_ring(ring, store, now)
        for key, entry in held.items():
            if key not in self._held:
                self._shelf.put(key, entry)
        return effects


STORES = [
    (DropsGossip, 3),
    (AcknowledgesAlone, 13),
    (HandsOverIncompletely, 1),
    (ServesUnready, 21),
    (SettlesAtOnce, 1),
    (IgnoresFloors, 19),
    (DropsTooEarly, 9),
    (LetsOneTypeWin, 0),
]
CACHES = [(ForgetsWhatItAsked, 2), (StaysWithTheOldStore, 99)]
"""Mutants, each with a seed that is known to show it; if it does not any more, the next ones are tried."""


def caught(first: int, **kinds: Any) -> int | None:
    for seed in range(first, first + 128):
        try:
            ClusterWorld(seed, **kinds).run()
        except AssertionError:
            return seed
    return None


@pytest.mark.parametrize(("mutant", "seed"), STORES)
def test_mutant_stores_are_caught(mutant: type[StoreCore], seed: int) -> None:
    assert caught(seed, store=mutant) is not None


@pytest.mark.parametrize(("mutant", "seed"), CACHES)
def test_mutant_caches_are_caught(mutant: type[CacheCore], seed: int) -> None:
    assert caught(seed, cache=mutant) is not None
