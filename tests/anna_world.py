"""One replica and three caches over a network that loses, repeats, reorders and delays.

Used by test_anna_together. Seeded: a failing seed is replayed by ``World(seed).run()``. Only what callers
see is checked, and at the end, with the network healed, that all agree and nothing is pending. Amounts
added to a counter are powers of three, so a digit of the value says how often each increment counts.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any

from cloudburst_runtime.anna.cache import Answer, CacheCore, Effect
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.ids import NODE, HybridClock
from cloudburst_runtime.lattices import LWW, AnyLattice, below, join
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import (
    Entry,
    Failure,
    pack,
    unpack,
)
from cloudburst_runtime.vectors import Vector, joined

LASTING = ["w0", "w1", "s", "n", "m"]
DELETED = ["d", "e", "f"]
KEYS = [*LASTING, *DELETED]
OPS = 50
DIGITS = 38


@dataclass
class Knowledge:
    """What a session has seen or done: its later reads must not fall behind it."""

    floor: Vector = field(default_factory=dict)
    lattices: dict[str, AnyLattice] = field(default_factory=dict)
    counted: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    dead: set[tuple[int, str]] = field(default_factory=set)

    def copy(self) -> Knowledge:
        counted = {where: set(digits) for where, digits in self.counted.items()}
        return Knowledge(self.floor, dict(self.lattices), counted, set(self.dead))

    def learn(self, key: str, lattice: AnyLattice) -> None:
        mine = self.lattices.get(key)
        self.lattices[key] = lattice if mine is None else join(mine, lattice, key)

    def join(self, other: Knowledge) -> Knowledge:
        both = self.copy()
        both.floor = joined(self.floor, other.floor)
        for key, lattice in other.lattices.items():
            both.learn(key, lattice)
        for where, digits in other.counted.items():
            both.counted.setdefault(where, set()).update(digits)
        both.dead |= other.dead
        return both


@dataclass
class Op:
    number: int
    cache: str
    kind: str
    key: str
    needs: Knowledge
    keys: list[str] = field(default_factory=list)
    lattice: AnyLattice | None = None
    digit: tuple[str, str, int] | None = None
    dies: set[tuple[int, str]] = field(default_factory=set)
    invoked: float = 0.0
    cancelled: bool = False
    answered: bool = False


class World:
    def __init__(
        self, seed: int, cache: type[CacheCore] = CacheCore, replica: type[ReplicaCore] = ReplicaCore
    ) -> None:
        self.seed, self.cache_kind = seed, cache
        self.net, self.work = Random(f"{seed}/net"), Random(f"{seed}/work")
        self.loss, self.twice = self.net.choice([(0.0, 0.0), (0.1, 0.1), (0.25, 0.25)])
        self.spread = self.net.choice([1.0, 20.0, 80.0])
        self.config = self.configured(self.work.choice([600, 1500, 10**6]))
        self.now, self.ties, self.numbers = 0.0, count(), count(1)
        self.heap: list[tuple[float, int, str, Any]] = []
        self.timers: dict[tuple[str, str], float] = {}
        self.replica = replica(self.config)
        self.caches: dict[str, CacheCore] = {}
        self.clocks: dict[str, HybridClock] = {}
        self.known: dict[str, Knowledge] = {}
        self.ops: dict[int, Op] = {}
        self.digits: dict[tuple[str, str], int] = {}
        self.deleted_until = 0.0
        self.acknowledged: dict[tuple[int, str], LWW] = {}  # puts of "d"
        self.lasting: list[LWW] = []  # those of them that no deletion can have touched
        for index in range(3):
            self.join(f"e{index}")

    # -------------------------------------------------------- machinery

    def configured(self, cache_bytes_max: int) -> Config:
        return Config(resend_ms=60.0, cache_bytes_max=cache_bytes_max, tombstones_max=2)

    def join(self, name: str) -> None:
        self.clocks[name] = HybridClock(self.work.choice([0, 1000, 500_000]))
        self.caches[name] = self.cache_kind(self.config, name, self.clocks[name], True, count(1).__next__)
        self.caches[name]._totals._tallies_max = self.work.choice([2, 100])
        self.known[name] = Knowledge()

    def at(self, delay: float, who: str, what: Any) -> None:
        heapq.heappush(self.heap, (self.now + delay, next(self.ties), who, what))

    def carry(self, effects: list[Effect], source: str) -> None:
        for effect in effects:
            if isinstance(effect, Answer):
                self.answered(effect)
            elif isinstance(effect, SetTimer):
                self.timers[source, effect.key] = effect.due
                heapq.heappush(self.heap, (effect.due, next(self.ties), source, Timer(effect.key)))
            else:
                self.send(effect, source)

    def send(self, send: Send, source: str) -> None:
        data = pack(send.message)
        for _ in range(1 + (self.net.random() < self.twice)):
            if self.net.random() >= self.loss:
                late = 200.0 if self.net.random() < 0.03 and self.loss else 0.0
                self.at(1 + self.net.random() * (self.spread + late), send.peer, (source, data))

    def step(self) -> None:
        self.now, _, who, what = heapq.heappop(self.heap)
        if what == "invoke":
            self.invoke(who)
        elif who == NODE:
            source, data = what
            if source in self.caches:
                self.carry(list(self.replica.handle(Received(source, unpack(data)), self.now)), NODE)
        elif who in self.caches:
            if not isinstance(what, Timer):
                self.carry(self.caches[who].handle(Received(NODE, unpack(what[1])), self.now), who)
            elif self.timers.get((who, what.key)) == self.now:
                self.carry(self.caches[who].handle(what, self.now), who)

    def quiet(self) -> None:
        for _ in range(60_000):
            if not self.heap:
                return
            self.step()
        raise AssertionError("never quiet")

    # -------------------------------------------------------- workload

    def run(self) -> None:
        for name in list(self.caches):
            for _ in range(OPS):
                self.at(self.work.random() * 1500, name, "invoke")
        if self.work.random() < 0.5:
            self.at(self.work.random() * 1500, "e2", "invoke")
            self.crash_after = self.work.randrange(3 * OPS)
        else:
            self.crash_after = -1
        while any(what == "invoke" for _, _, _, what in self.heap):
            self.step()
        self.loss = self.twice = 0.0
        self.settle()

    def invoke(self, name: str) -> None:
        if len(self.ops) == self.crash_after and "e2" in self.caches:
            self.crash("e2", "e3")
        name = "e3" if name == "e2" and "e3" in self.caches else name
        kind = self.work.choices(["read", "put", "delete", "wait", "cancel"], [10, 10, 2, 1, 1])[0]
        if kind == "cancel":
            self.cancel(name)
        elif kind == "put":
            self.put(name, self.work.choice([*KEYS, "d", "d"]))
        elif kind == "delete":
            self.delete(name, self.work.choice(DELETED))
        else:
            some = self.work.sample([*KEYS, "d", "d"], self.work.choice([1, 1, 3]))
            keys = ["late"] if kind == "wait" else some
            self.read(name, keys, self.work.random() < 0.3, kind == "wait")

    def crash(self, name: str, successor: str) -> None:
        del self.caches[name]
        for op in self.ops.values():
            op.cancelled |= op.cache == name
        self.replica.handle(PeerLost(name), self.now)
        self.join(successor)

    def cancel(self, name: str) -> None:
        mine = [op for op in self.ops.values() if op.cache == name and not (op.answered or op.cancelled)]
        if mine:
            op = self.work.choice(mine)
            op.cancelled = True
            self.carry(self.caches[name].cancel(op.number), name)

    def begin(self, name: str, kind: str, key: str, **more: Any) -> Op:
        op = Op(next(self.numbers), name, kind, key, self.known[name].copy(), invoked=self.now, **more)
        self.ops[op.number] = op
        return op

    def read(self, name: str, keys: list[str], other: bool, wait: bool = False) -> Op:
        op = self.begin(name, "read", keys[0], keys=keys)
        if other:
            op.needs = op.needs.join(self.known[self.work.choice(sorted(self.caches))])
            floor = op.needs.floor
        else:
            floor = self.work.choice([op.needs.floor, self.caches[name].floor])
        self.carry(self.caches[name].read(op.number, keys, floor, self.now, wait), name)
        return op

    def put(self, name: str, key: str) -> None:
        stamp = self.clocks[name].tick(self.now)
        op = self.begin(name, "put", key)
        if key in ("n", "m", "e"):
            op.lattice = self.increment(op, key, name, stamp)
        elif key == "s":
            op.lattice = delta({(name, stamp)}, None, name, stamp)
        else:
            op.lattice = delta(f"{name}:{stamp}", None, name, stamp)
        if op.lattice is None:
            op.answered = True
            return
        self.carry(self.caches[name].write(op.number, key, op.lattice, self.now), name)

    def increment(self, op: Op, key: str, name: str, stamp: int) -> AnyLattice | None:
        part = self.work.choice(["x", "y"]) if key == "m" else ""
        digit = self.digits.get((key, part), 0)
        if digit >= DIGITS:
            return None
        self.digits[key, part] = digit + 1
        op.digit = (key, part, digit)
        amount = 3**digit
        return delta({part: amount} if part else amount, "map[counter]" if part else "counter", name, stamp)

    def delete(self, name: str, key: str) -> None:
        op = self.begin(name, "delete", key, dies=set(self.acknowledged))
        if key == "d":
            self.deleted_until = float("inf")
            self.lasting.clear()
            for known in self.known.values():
                known.lattices.pop("d", None)
        self.carry(self.caches[name].delete(op.number, key, self.now), name)

    # -------------------------------------------------------- checks

    def answered(self, answer: Answer) -> None:
        op = self.ops[answer.op]
        assert not op.answered, "answered twice"
        assert not op.cancelled, "answered after it was cancelled"
        assert not isinstance(answer.result, Failure), answer.result
        op.answered = True
        known = self.known[op.cache]
        if op.kind == "read":
            assert isinstance(answer.result, list)
            for key, entry in zip(op.keys, answer.result, strict=True):
                self.check(op, key, entry.lattice, known)
        elif op.kind == "delete":
            known.dead |= op.dies if op.key == "d" else set()
            if not [
                it for it in self.ops.values() if it.kind == "delete" and not it.answered and it.key == "d"
            ]:
                self.deleted_until = self.now
        else:
            self.note_write(op, known)
        known.floor = joined(known.floor, self.caches[op.cache].floor)

    def note_write(self, op: Op, known: Knowledge) -> None:
        if op.digit is not None and op.key != "e":
            known.counted.setdefault(op.digit[:2], set()).add(op.digit[2])
        if op.key in LASTING and op.digit is None:
            assert op.lattice is not None
            known.learn(op.key, op.lattice)
        if op.key == "d" and isinstance(op.lattice, LWW):
            self.acknowledged[op.lattice.stamp, op.lattice.writer] = op.lattice
            if op.invoked > self.deleted_until:
                self.lasting.append(op.lattice)
                known.learn("d", op.lattice)

    def check(self, op: Op, key: str, lattice: AnyLattice | None, known: Knowledge) -> None:
        if key == "d" and isinstance(lattice, LWW):
            assert (lattice.stamp, lattice.writer) not in op.needs.dead, "a deleted value came back"
        if key == "late":
            assert lattice is not None
        if key not in LASTING and not (key == "d" and self.deleted_until < op.invoked):
            return
        least = op.needs.lattices.get(key)
        assert least is None or below(least, lattice), f"{key} fell behind: {lattice} is not over {least}"
        self.check_digits(key, lattice, op.needs)
        if lattice is not None and key in LASTING:
            known.learn(key, lattice)

    def check_digits(self, key: str, lattice: AnyLattice | None, needs: Knowledge) -> None:
        for (counter, part), digits in self.digits.items():
            if counter == key:
                total = self.total(lattice, part)
                for digit in range(digits):
                    times = total // 3**digit % 3
                    assert times < 2, f"increment {digit} of {key} counts {times} times"
                    assert times or digit not in needs.counted.get((key, part), ()), f"{key} lost {digit}"

    @staticmethod
    def total(lattice: AnyLattice | None, part: str) -> int:
        shown = {} if lattice is None else reveal(lattice)
        return int(shown.get(part, 0) if isinstance(shown, dict) else shown)

    def settle(self) -> None:
        """Heal, and check that everything ends, and that all agree."""
        self.put(min(self.caches), "late")
        self.quiet()
        for name in self.caches:  # an answer to tell each cache what it may have missed
            self.read(name, [f"only {name}"], other=False)
        self.quiet()
        for name, cache in self.caches.items():
            self.agree(name, cache)
        self.quiet()
        pending = [op for op in self.ops.values() if not (op.answered or op.cancelled)]
        assert not pending, f"never answered: {pending}"
        assert not any(cache.outstanding for cache in self.caches.values())
        assert not any(peer.parked for peer in self.replica.watches.peers.values())
        entry = self.replica.entry("d")
        last = None if entry is None else entry.lattice
        for written in self.lasting:
            assert below(written, last), f"lost {written}"

    def agree(self, name: str, cache: CacheCore) -> None:
        for key in [*KEYS, "late"]:
            op = self.read(name, [key], other=False)
            op.needs = op.needs.join(Knowledge())
            for everyone in self.known.values():
                op.needs = op.needs.join(replace(everyone, floor={}))
        held = {key: cache.peek(key, {}) for key in KEYS}
        for key, entry in held.items():
            there = self.replica.entry(key) or Entry(0, None)
            same = entry is None or entry == there or entry.lattice is there.lattice is None
            assert same, f"{name} holds {entry} for {key}: {there}"
