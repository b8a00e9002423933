"""Causal writes on their way through a cache into a store: dots, what they replace and depend on."""

from __future__ import annotations

from itertools import count

from cloudburst_runtime.anna.cache import Answer, CacheCore
from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import Counter
from cloudburst_runtime.lattices.wrap import delta, seen_of, siblings
from cloudburst_runtime.messages import Entry, Failed, Failure, Message
from cloudburst_runtime.shared import LOST
from cloudburst_runtime.vectors import Vector


class Pair:
    """A store, and the cache of each writer; what they say to each other arrives at once."""

    def __init__(self, **limits: int) -> None:
        self.replica = ReplicaCore(Config(**limits))
        self.caches: dict[str, CacheCore] = {}
        self.ops = count(1)
        self.sent: list[Message] = []

    def cache(self, name: str) -> CacheCore:
        if name not in self.caches:
            self.caches[name] = CacheCore(Config(), name, HybridClock(0), False, count(1).__next__)
        return self.caches[name]

    def write(
        self, name: str, key: str, value: object, seen: Entry | None = None, deps: Vector | None = None
    ):
        context = None if seen is None else seen_of(seen.lattice)
        generation = 0 if seen is None else seen.generation
        terms = Terms(deps or {}) if context is None else Terms(deps or {}, generation, context)
        element = delta(value, "causal", name, next(self.ops))
        return self.settle(name, self.cache(name).write(next(self.ops), key, element, 0.0, terms=terms))

    def settle(self, name: str, effects):
        answers = []
        for effect in effects:
            if isinstance(effect, Answer):
                answers.append(effect.result)
            elif isinstance(effect, Send):
                self.sent.append(effect.message)
                for reply in self.replica.handle(Received(name, effect.message), 0.0):
                    answers += self.settle(
                        name, self.cache(name).handle(Received("node", reply.message), 0.0)
                    )
        return answers

    def entry(self, key: str) -> Entry:
        entry = self.replica.entry(key)
        assert entry is not None
        return entry


def test_writes_that_had_not_seen_each_other_stay_and_one_that_had_replaces_both():
    pair = Pair()
    pair.write("e1", "k", "a")
    pair.write("e2", "k", "b")
    both = pair.entry("k")
    assert siblings(both.lattice) == ["b", "a"]
    [written] = pair.write("e1", "k", "c", seen=both)
    assert siblings(pair.entry("k").lattice) == ["c"]
    assert siblings(written.lattice) == ["c"]
    assert pair.entry("k").lattice.context.upto == {"e1": 2, "e2": 1}


def test_a_repeated_put_leaves_one_sibling():
    pair = Pair()
    pair.write("e1", "k", "a")
    put = pair.sent[-1]
    seq = pair.replica.seq
    pair.replica.handle(Received("e1", put), 0.0)
    assert pair.replica.seq == seq
    assert siblings(pair.entry("k").lattice) == ["a"]


def test_what_was_seen_in_an_earlier_generation_replaces_nothing_in_the_next():
    pair = Pair()
    pair.write("e1", "k", "a")
    old = pair.entry("k")
    pair.settle("e1", pair.cache("e1").delete(next(pair.ops), "k", 9.0))
    pair.write("e2", "k", "b")
    pair.write("e1", "k", "c", seen=old)
    assert siblings(pair.entry("k").lattice) == ["c", "b"]
    assert pair.entry("k").lattice.context.beyond == {}


def test_a_refused_write_leaves_no_gap():
    pair = Pair()
    pair.settle("e1", pair.cache("e1").write(next(pair.ops), "k", Counter({"e1": (1, 0)}), 0.0))
    [failure] = pair.write("e1", "k", "a")
    assert failure.kind == "LatticeMismatch"
    pair.settle("e1", pair.cache("e1").delete(next(pair.ops), "k", 9.0))
    pair.write("e1", "k", "b")
    assert pair.entry("k").lattice.context.beyond == {}


def test_a_write_whose_memory_the_store_cannot_reach_is_put_again_under_a_new_name():
    pair = Pair()
    cache = pair.cache("e1")
    effects = cache.write(7, "k", delta("a", "causal", "e1", 1), 0.0)
    [put] = [effect.message for effect in effects if isinstance(effect, Send)]
    assert cache.handle(Received("node", Failed(put.req, Failure(LOST, "gone"))), 0.0) == [
        Answer(7, Failure(LOST, "gone"))
    ]
    effects = cache.write(8, "k", delta("b", "causal", "e1", 2), 0.0)
    assert effects[0].message.lattice.context.upto == {"e1~1": 1}


def test_the_oldest_of_too_many_siblings_are_dropped():
    pair = Pair(siblings_max=3)
    for number in range(6):
        pair.write(f"e{number}", "k", number)
    assert siblings(pair.entry("k").lattice) == [5, 4, 3]


def test_an_entry_depends_on_what_its_writers_had_seen_of_other_stores():
    pair = Pair()
    pair.write("e1", "k", "a", deps={"s2": 7, "node": 3})
    pair.write("e2", "k", "b", deps={"s2": 4, "s3": 1})
    assert pair.entry("k").deps == {"s2": 7, "s3": 1}
    assert pair.entry("k").version == {"node": 2}


def test_a_counter_s_write_carries_them_too():
    pair = Pair()
    cache = pair.cache("e1")
    pair.settle("e1", cache.write(1, "n", Counter({"e1": (1, 0)}), 0.0, terms=Terms({"s2": 7})))
    assert pair.entry("n").deps == {"s2": 7}


def test_a_read_gives_entries():
    pair = Pair()
    pair.write("e1", "k", "a")
    [found] = pair.settle("e1", pair.cache("e1").read(5, ["k", "none"], {}, 0.0))
    assert found == [pair.entry("k"), Entry(0, None)]
