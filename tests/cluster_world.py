"""Several stores and three caches over the network of anna_world, with partitions; stores die, join, leave.

Used by test_anna_cluster. At most one store is dead that the others have not made up for: more than that a
replication factor of 2 does not promise. Besides what anna_world checks, the stores agree in the end, each
key is where the ring says and nowhere else, and nothing is due any more. Each cache puts another lattice type
under keys that it makes at the same time as others: what was acknowledged must be there, if beside others.
"""

from __future__ import annotations

import heapq
from typing import Any

from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.anna.membership import Membership
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, Timer
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import AnyLattice, below
from cloudburst_runtime.lattices.laws import exact
from cloudburst_runtime.lattices.wrap import delta
from cloudburst_runtime.messages import Failure, Settled, StoreStats, pack, unpack
from tests.anna_world import KEYS, World

LATEST = 1500.0
TYPES = {"e0": "max", "e1": "set", "e2": "lww", "e3": "map[max]"}
"""What each cache puts under the keys that all of them make."""
MADE_EVERY = 100.0


class ClusterWorld(World):
    """One run.

    Parameters
    ----------
    seed
        Of everything.
    cache, store
        The cores to run.
    """

    def __init__(
        self, seed: int, cache: type[CacheCore] = CacheCore, store: type[StoreCore] = StoreCore
    ) -> None:
        self.store_kind = store
        self.stores: dict[str, StoreCore] = {}
        super().__init__(seed, cache)
        self.fate = self.rng("fate")
        self.dead: set[str] = set()
        self.cuts: list[tuple[float, float, str, str]] = []
        self.mixing = self.rng("mixing")
        self.mixed: dict[str, list[AnyLattice]] = {}
        self.unsettled_death = False
        self.membership = Membership(self.config)
        self.add_store(NODE)
        for _ in range(self.fate.randrange(0, 4)):
            self.begin_store()

    def rng(self, name: str) -> Any:
        return type(self.net)(f"{self.seed}/{name}")

    def configured(self, cache_bytes_max: int) -> Config:
        return Config(
            resend_ms=60.0,
            cache_bytes_max=cache_bytes_max,
            tombstones_max=1000,
            replication=self.net.choice([1, 2, 2, 3, 3]),
            anti_entropy_ms=400.0,
            stats_ms=100.0,
        )

    # -------------------------------------------------------- stores

    def add_store(self, name: str) -> None:
        self.stores[name] = self.store_kind(self.config, ReplicaCore(self.config, name))

    def begin_store(self) -> None:
        """What node and supervisor do to have one more."""
        name = self.membership.spawn()
        self.add_store(name)
        self.lead(self.membership.join(name, self.now))

    def lead(self, sends: list[Send]) -> None:
        """Carry out what the node decided; its own store hears at once."""
        self.carry(list(sends), NODE)
        ring = self.membership.ring
        store = self.stores[NODE]
        if ring.epoch and (store.owners is None or store.owners.epoch < ring.epoch):
            self.carry(store.handle(Received(NODE, unpack(pack(ring))), self.now), NODE)
        if not self.membership.ring.former:
            self.unsettled_death = False
        if self.membership.due is not None:
            self.at(max(0.0, self.membership.due - self.now), "remind", None)
        for name in self.membership.gone(self.now):
            self.at(self.net.random() * 20, "go", name)

    def end_store(self, name: str, killed: bool) -> None:
        """A store's process ends, and whoever talks to it finds out."""
        if self.stores.pop(name, None) is None:
            return
        self.dead.add(name)
        for peer in [*self.stores, *self.caches]:
            self.at(self.net.random() * 30, peer, PeerLost(name))
        if killed:
            self.unsettled_death = True
        self.at(self.net.random() * 40, "exited", name)

    def carry(self, effects: list[Any], source: str) -> None:
        for effect in effects:
            if isinstance(effect, Send) and effect.peer == NODE and source == NODE:
                self.from_store(NODE, effect.message)
            else:
                super().carry([effect], source)

    def from_store(self, source: str, message: Any) -> None:
        if isinstance(message, Settled):
            self.lead(self.membership.settle(source, message, self.now))
        else:
            assert isinstance(message, StoreStats), message
            self.membership.note(message, self.now)

    # -------------------------------------------------------- machinery

    def send(self, send: Send, source: str) -> None:
        if send.peer in self.dead:
            self.at(self.net.random() * 5, source, PeerLost(send.peer))
        elif not any(a <= self.now < b and {source, send.peer} == {x, y} for a, b, x, y in self.cuts):
            super().send(send, source)

    def step(self) -> None:
        self.now, _, who, what = heapq.heappop(self.heap)
        if what == "invoke":
            self.invoke(who)
        elif who == "remind":
            self.lead(self.membership.remind(self.now))
        elif who == "exited":
            self.lead(self.membership.lose(what, self.now))
        elif who == "go":
            self.end_store(what, killed=False)
        elif who == "fate":
            what()
        elif who in self.stores:
            self.step_store(who, what)
        elif who in self.caches:
            self.step_cache(who, what)

    def step_store(self, who: str, what: Any) -> None:
        store = self.stores[who]
        if isinstance(what, Timer):
            if self.timers.get((who, what.key)) != self.now:
                return
            event: Any = what
        elif isinstance(what, PeerLost):
            event = what
        else:
            source, data = what
            message = unpack(data)
            if source in self.dead and source not in self.caches:
                return
            if who == NODE and isinstance(message, Settled | StoreStats):
                self.from_store(source, message)
                return
            event = Received(source, message)
        effects = store.handle(event, self.now)
        store.validate()
        self.carry(list(effects), who)

    def step_cache(self, who: str, what: Any) -> None:
        if isinstance(what, Timer):
            if self.timers.get((who, what.key)) == self.now:
                self.carry(self.caches[who].handle(what, self.now), who)
        elif isinstance(what, PeerLost):
            self.carry(self.caches[who].handle(what, self.now), who)
        else:
            self.carry(self.caches[who].handle(Received(what[0], unpack(what[1])), self.now), who)

    # -------------------------------------------------------- workload

    def run(self) -> None:
        for _ in range(self.fate.randrange(0, 5)):
            self.at(self.fate.random() * LATEST, "fate", self.fate.choice(self.fates()))
        for _ in range(self.fate.randrange(0, 5)):
            self.partition()
        super().run()

    def invoke(self, name: str) -> None:
        super().invoke(name)
        if name in self.caches and self.mixing.random() < 0.2:
            self.mix(name)

    def mix(self, name: str) -> None:
        kind = TYPES[name]
        value = {"max": len(self.ops), "set": {len(self.ops)}, "map[max]": {"n": len(self.ops)}}
        op = self.begin(name, "put", f"x{self.now // MADE_EVERY}")
        op.lattice = delta(value.get(kind, name), kind, name, self.clocks[name].tick(self.now))
        self.carry(self.caches[name].write(op.number, op.key, op.lattice, self.now), name)

    def answered(self, answer: Any) -> None:
        op = self.ops[answer.op]
        if op.key[0] != "x":
            super().answered(answer)
        elif isinstance(answer.result, Failure):
            assert answer.result.kind == "LatticeMismatch", answer.result
            op.answered = True
        else:
            assert op.lattice is not None
            op.answered = True
            self.mixed.setdefault(op.key, []).append(op.lattice)

    def fates(self) -> list[Any]:
        return [self.kill_one, self.kill_one, self.begin_store, self.dismiss_one, self.heat, self.choose]

    def partition(self) -> None:
        some = [NODE, "s2", "s3", "s4"]
        one, other = self.fate.sample([*some, "e0", "e1", "e2"] if self.loss else some, 2)
        start = self.fate.random() * LATEST
        self.cuts.append((start, start + self.fate.random() * 600, one, other))

    def kill_one(self) -> None:
        ring = self.membership.ring
        others = [name for name in self.stores if name != NODE]
        circles = [ring.current, *ring.former]
        factors = [self.config.replication, *(n for each in circles for n in each.factors.values())]
        if min(factors) < 2 or self.unsettled_death or not others or len(ring.live) < 2:
            return
        self.end_store(self.fate.choice(others), killed=True)

    def dismiss_one(self) -> None:
        others = [name for name in self.membership.ring.current.names if name != NODE]
        if others:
            self.lead(self.membership.leave(self.fate.choice(others), self.now))

    def heat(self) -> None:
        raised = {self.fate.choice(KEYS): 3 for _ in range(self.fate.randrange(0, 3))}
        self.lead(self.membership.raise_keys(raised, self.now))

    def choose(self) -> None:
        self.lead(self.membership.choose(self.fate.choice(KEYS), self.fate.randrange(0, 5), self.now))

    def crash(self, name: str, successor: str) -> None:
        del self.caches[name]
        for op in self.ops.values():
            op.cancelled |= op.cache == name
        for store in list(self.stores.values()):
            store.handle(PeerLost(name), self.now)
        self.join(successor)

    # -------------------------------------------------------- checks

    def quiet(self) -> None:
        self.cuts.clear()
        super().quiet()

    def settle(self) -> None:
        self.put(min(self.caches), "late")
        self.quiet()
        for name in self.caches:
            self.read(name, [f"only {name}"], other=False)
        self.quiet()
        for name, cache in self.caches.items():
            self.agree(name, cache)
        self.quiet()
        pending = [op for op in self.ops.values() if not (op.answered or op.cancelled)]
        assert not pending, f"never answered: {pending}"
        assert not any(cache.outstanding for cache in self.caches.values())
        assert not self.membership.ring.former, "never settled"
        self.check_stores()

    def check_stores(self) -> None:
        assert sorted(self.stores) == sorted(self.membership.ring.live)
        for key in [*KEYS, "late", *self.mixed]:
            entries = {}
            for name, store in self.stores.items():
                assert not store.replica.watches.parked
                record = store.replica.records.find(key)
                if record is not None and record.lattice is not None:
                    entries[name] = store.replica.records.entry(record)
            owners = self.stores[NODE].owners
            if owners is None:
                continue
            if entries:
                assert sorted(entries) == sorted(owners.of(key)), f"{key} is kept by {sorted(entries)}"
            assert len({repr(_plainly(entry)) for entry in entries.values()}) <= 1, f"{key}: {entries}"
            for written in {"d": self.lasting, **self.mixed}.get(key, []):
                for name in owners.of(key):
                    last = self.stores[name].replica.records.find(key)
                    assert last is not None, f"lost {written}"
                    assert below(written, last.lattice), f"{name} lost {written}"

    def agree(self, name: str, cache: CacheCore) -> None:
        for key in [*KEYS, "late"]:
            op = self.read(name, [key], other=False)
            for everyone in self.known.values():
                op.needs = op.needs.join(everyone)


def _plainly(entry: Any) -> Any:
    return entry.generation, exact(entry.lattice), sorted(entry.version.items())
