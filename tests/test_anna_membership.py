"""The node's decisions about stores: one change of hands at a time, deaths at once, no name twice."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from cloudburst_runtime.anna.census import TIMER as COUNT_TIMER
from cloudburst_runtime.anna.durable import Factor, factor_place, pack, recover
from cloudburst_runtime.anna.membership import Membership
from cloudburst_runtime.anna.owners import Owners
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import PARTITIONS
from cloudburst_runtime.anna.steward import (
    FACTORS_MAX,
    LOAD_TIMER,
    REMIND_TIMER,
    SPAWN_TIMER,
    Steward,
)
from cloudburst_runtime.anna.store import TIMER as STORE_TIMER
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Persist, Received, Send, SetTimer, Timer, Unwritten
from cloudburst_runtime.ids import GATEWAY
from cloudburst_runtime.lattices import Max
from cloudburst_runtime.messages import (
    AddStore,
    Compare,
    Depart,
    Done,
    Enlisted,
    Failed,
    Failure,
    Hello,
    Inquire,
    Members,
    Put,
    RemoveStore,
    Replicate,
    Reported,
    Retire,
    Ring,
    Settled,
    Status,
    StatusReply,
    StoreAdded,
    Stores,
    StoresReply,
    StoreStats,
)
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.scheduler.events import Exited, Spawn

CONFIG = Config(
    replication=2,
    stores_max=4,
    stats_ms=1000.0,
    calm_ms=0.0,
    store_operations_high_per_s=100.0,
    hot_key_operations_per_s=50.0,
)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["spawn", "enlist", "join", "leave", "lose", "settle", "raise", "choose"]),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(STEPS, st.sampled_from(["", "somewhere"]))
@example([("spawn", 0), ("join", 0), ("lose", 0), ("settle", 0), ("lose", 0)], "somewhere")
def test_whatever_happens_it_ends_settled_with_the_stores_that_there_are(
    steps: list[tuple[str, int]], state_dir: str
) -> None:
    config = msgspec.structs.replace(CONFIG, state_dir=state_dir)
    members, names, epoch, dead = Membership(config), ["node"], 0, set()
    files: dict[str, None] = {}
    for what, pick in steps:
        others = [name for name in members.names if name != "node"]
        chosen = others[pick % len(others)] if others else "node"
        if what in ("spawn", "enlist"):
            members.spawn() if what == "spawn" else members.enlist("bee")
        elif what == "join" and members.spawned:
            name = next(iter(members.spawned))
            for estate in members.estates(name):
                files.pop(estate, None)
            members.join(name, 0.0)
        elif what == "leave":
            members.leave(chosen, 0.0)
        elif what == "lose" and chosen != "node":
            files.update(dict.fromkeys([chosen] if chosen in members.ring.live else []))
            members.lose(chosen, 0.0)
            dead.add(chosen)
        elif what == "raise":
            members.raise_keys({"k": 2 + pick % 3}, 0.0)
        elif what == "choose":
            members.choose("kl"[pick % 2], pick % 5, 0.0)
        elif what == "settle":
            settle_once(members)
        new = [name for name in members.spawned if name not in names]
        assert len(new) == (what in ("spawn", "enlist")) or (what == "lose" and state_dir and len(new) <= 1)
        names += new
        ring = members.ring
        if state_dir:  # no file is left behind, and nobody is waited for who is not to come
            assert all(members.heirs.get(name) in members.spawned for name in files)
            assert all(heir in members.spawned or heir in ring.live for heir in ring.heirs.values())
        assert ring.epoch >= epoch
        assert set(ring.current.names) <= set(ring.live)
        assert set(ring.afar) == set(ring.live) & set(members.afar)
        assert not dead & set(ring.live)
        epoch = ring.epoch
    for _ in range(10):
        settle_once(members)
    assert not members.ring.former
    assert members.ring.live == members.ring.current.names
    assert sorted(members.ring.live) == sorted(set(members.names) - set(members.spawned))
    assert members.due is None


def settle_once(members: Membership) -> None:
    epoch = members.ring.epoch
    for name in members.ring.live:
        if members.ring.epoch == epoch:
            members.settle(name, Settled(epoch), 0.0)


@given(st.integers(0, PARTITIONS - 1), st.booleans())
def test_every_part_that_changes_hands_has_a_source_that_had_it(part: int, dies: bool) -> None:
    before, after = ["node", "s2", "s3"], ["node", "s3", "s4"]
    live = [*after, *([] if dies else ["s2"])]
    owners = Owners(Ring(5, Members(after), 2, [Members(before)], live, born=4))
    was = Owners(Ring(4, Members(before), 2, live=before, born=3)).keep(part)
    assert set(was) & set(live) <= set(owners.sources(part))
    assert set(owners.keep(part)) <= set(owners.sources(part))
    assert owners.is_disputed(part) == (sorted(was) != sorted(owners.keep(part)))
    for name in owners.keep(part):
        assert owners.has_all(name, part) == (name in was and set(was) <= set(live))
    assert owners.is_past("s2") == dies


@given(st.integers(0, PARTITIONS - 1))
def test_where_all_owners_have_died_their_heirs_are_asked(part: int) -> None:
    before, heirs = ["node", "s2", "s3"], {"s2": "s4", "s3": "s5"}
    ring = Ring(5, Members(["node"]), 2, [Members(before)], ["node"], born=5, coming=["s4", "s5"])
    was = Owners(Ring(4, Members(before), 2, live=before, born=3)).keep(part)
    alone = "node" not in was
    owners = Owners(msgspec.structs.replace(ring, heirs=heirs))
    assert owners.sources(part) == ["node", *(heirs[name] for name in was if alone)]
    assert owners.orphans("s2") == []
    assert (part in Owners(ring).orphans("s2")) == (alone and "s2" in was)


# ---------------------------------------------------------------- the steward


class Bench:
    def __init__(self, config: Config = CONFIG) -> None:
        self.said: list[str] = []
        self.steward = Steward(config, StoreCore(config, ReplicaCore(config)), Spawn, said=self.said)
        self.steward.start(0.0)
        self.now = 0.0

    def tell(self, peer: str, message: Any) -> list[Any]:
        self.now += 1.0
        return self.steward.handle(Received(peer, message), self.now)

    def settle(self) -> list[Any]:
        """The other stores have all that is theirs; the node's has nothing to compare with silent ones."""
        effects: list[Any] = []
        for _ in range(6):
            epoch = self.steward.membership.ring.epoch
            for name in self.steward.membership.ring.live:
                effects += self.tell(name, Settled(epoch))
        return effects

    def add(self) -> list[Any]:
        [spawn] = self.tell("c1", AddStore(int(self.now) + 10))
        return [*self.steward.join(spawn.name, self.now), *self.settle()]

    def enlist(self, peer: str = "c9") -> str:
        """A store on the host bee has a name."""
        [(to, enlisted)] = sent(
            self.steward.enlist(peer, Hello(peer, "store", host="bee"), self.now), Enlisted
        )
        assert (to, enlisted.refusal) == (peer, "")
        return str(enlisted.name)

    def rest(self, effects: list[Any], looks: int) -> list[SetTimer]:
        """Let time pass until the load is not to be looked at any more; what is set the ``looks``-th time."""
        for look in range(1, looks + 1):
            timers = [each for each in effects if type(each) is SetTimer and each.key == LOAD_TIMER]
            if not timers or look == looks:
                break
            self.now = timers[-1].due
            effects = self.steward.handle(Timer(LOAD_TIMER), self.now)
            for name, _ in sent(self.settle(), Retire):
                self.steward.lose(name, self.now)
        return timers

    def join(self, name: str) -> None:
        self.steward.join(name, self.now)
        self.settle()


def sent(effects: list[Any], kind: type) -> list[tuple[str, Any]]:
    return [(e.peer, e.message) for e in effects if type(e) is Send and isinstance(e.message, kind)]


def test_who_asks_for_a_store_is_told_when_it_has_its_share() -> None:
    bench = Bench()
    assert bench.tell("c1", AddStore(7)) == [Spawn("s2")]
    assert bench.tell("c1", AddStore(7)) == []
    effects = bench.steward.join("s2", 3.0)
    assert [peer for peer, _ in sent(effects, Ring)] == ["s2"]
    assert sent(effects, StoreAdded) == []
    assert sent(bench.settle(), StoreAdded) == [("c1", StoreAdded(7, "s2"))]
    assert bench.tell("c1", AddStore(7)) == [Send("c1", StoreAdded(7, "s2"))]


def test_a_store_that_ends_before_it_has_joined_is_said_to_have() -> None:
    bench = Bench()
    bench.tell("c1", AddStore(7))
    [(peer, failed)] = sent(bench.steward.lose("s2", 3.0), Failed)
    assert (peer, failed.failure.kind) == ("c1", "RuntimeUnavailable")


def test_a_store_goes_when_nothing_is_its_own_to_keep() -> None:
    bench = Bench()
    bench.add()
    effects = bench.tell("c1", RemoveStore(8, "s2"))
    assert sent(effects, Retire) == []
    effects = bench.settle()
    assert sent(effects, Retire) == [("s2", Retire())]
    assert sent(effects, Done) == [("c1", Done(8))]
    [(_, failed)] = sent(bench.tell("c1", RemoveStore(9, "s2")), Failed)
    assert "only the node's own" in failed.failure.message


def test_a_store_that_was_to_be_there_is_replaced() -> None:
    bench = Bench(Config(stores_min=2, stores_max=2, replication=2))
    bench.steward.join("s2", 1.0)
    bench.settle()
    assert Spawn("s3") in bench.steward.lose("s2", 5.0)


def test_what_a_store_that_died_has_left_on_disk_is_taken_over_by_the_next_that_starts() -> None:
    bench = Bench(Config(stores_min=2, stores_max=2, replication=1, state_dir="somewhere"))
    bench.steward.join("s2", 1.0)
    bench.settle()
    assert Spawn("s3", ("s2",)) in bench.steward.lose("s2", 5.0)
    assert bench.steward.membership.ring.former  # the node's store has to ask s3 first
    effects = bench.steward.lose("s3", 6.0)  # it could not start: the next one is given a moment
    assert not [e for e in effects if type(e) is Spawn]
    [timer] = [e for e in effects if type(e) is SetTimer and e.key == SPAWN_TIMER]
    assert timer.due > 6.0
    spawns = bench.steward.handle(Timer(SPAWN_TIMER), timer.due)
    assert spawns == [Spawn("s4", ("s2", "s3"))]
    effects = bench.steward.join("s4", timer.due)
    [(peer, ring)] = sent(effects, Ring)
    assert (peer, ring.current.names, ring.live) == ("s4", ["node"], ["node", "s4"])
    assert {e.peer for e in effects if type(e) is Send and isinstance(e.message, Compare)} == {"s4"}
    assert bench.said == []


def test_it_is_said_that_keys_are_lost_with_a_store_and_what_stores_find_damaged() -> None:
    bench = Bench(Config(stores_min=2, stores_max=2, replication=1))
    bench.steward.join("s2", 1.0)
    bench.settle()
    bench.steward.lose("s2", 5.0)
    [line] = bench.said
    assert "the store s2 has ended" in line
    bench.tell("s3", Reported(["key 'k' is damaged"]))
    assert bench.said[1:] == ["key 'k' is damaged"]
    safe = Bench(Config(stores_min=2, stores_max=2, replication=2))
    safe.steward.join("s2", 1.0)
    safe.settle()
    safe.steward.lose("s2", 5.0)
    assert safe.said == []


def test_a_ring_is_told_again_until_all_have_answered() -> None:
    bench = Bench()
    bench.tell("c1", AddStore(7))
    effects = bench.steward.join("s2", 3.0)
    [timer] = [e for e in effects if type(e) is SetTimer and e.key == REMIND_TIMER]
    effects = bench.steward.handle(Timer(REMIND_TIMER), timer.due)
    assert [peer for peer, _ in sent(effects, Ring)] == ["s2"]
    bench.settle()
    assert bench.steward.handle(Timer(REMIND_TIMER), 9_000.0) == []


def test_who_is_to_go_is_told_again_until_it_has_ended() -> None:
    """It was told once, and stayed for ever if that was lost."""
    bench = Bench()
    bench.add()
    bench.tell("c1", RemoveStore(8, "s2"))
    [timer] = [e for e in bench.settle() if type(e) is SetTimer and e.key == REMIND_TIMER][-1:]
    for _ in range(3):
        effects = bench.steward.handle(Timer(REMIND_TIMER), timer.due)
        assert sent(effects, Retire) == [("s2", Retire())]
        [timer] = [e for e in effects if type(e) is SetTimer and e.key == REMIND_TIMER]
    bench.steward.lose("s2", timer.due)
    assert bench.steward.handle(Timer(REMIND_TIMER), timer.due + 9_000.0) == []


def test_all_stores_are_asked_what_they_have_those_that_join_meanwhile_too() -> None:
    bench = Bench()
    bench.add()
    assert [peer for peer, _ in sent(bench.tell("c1", Stores(5)), Inquire)] == ["s2"]
    [spawn] = bench.tell("c2", AddStore(9))
    effects = bench.steward.join(spawn.name, bench.now)
    assert ("s3", Inquire(5)) in sent(effects, Inquire)
    assert bench.tell("s2", StoreStats("s2", 4, 40, 0, 0.0, {}, 5)) == []
    [(peer, reply)] = sent(bench.tell("s3", StoreStats("s3", 2, 20, 0, 0.0, {}, 5)), StoresReply)
    assert peer == "c1"
    assert [(stats.name, stats.keys) for stats in reply.stores] == [("node", 0), ("s2", 4), ("s3", 2)]


def test_load_adds_a_store_and_silence_removes_it() -> None:
    bench = Bench()
    effects = bench.tell("node", StoreStats("node", 5, 50, 500, 1000.0))
    assert [e for e in effects if type(e) is Spawn] == [Spawn("s2")]
    bench.steward.join("s2", bench.now)
    bench.settle()
    bench.tell("node", StoreStats("node", 5, 50, 80, 1000.0))
    bench.tell("s2", StoreStats("s2", 5, 50, 80, 1000.0))
    assert bench.steward.membership.names == ["node", "s2"]
    bench.steward.handle(Timer(LOAD_TIMER), bench.now + 60_000.0)
    bench.settle()
    assert bench.steward.membership.ring.live == ["node"]


def test_a_store_that_is_alone_says_nothing_to_its_own_process() -> None:
    """It did, and what it said took the way over a socket, to the process that had sent it."""
    bench = Bench()
    effects: list[Any] = []
    for req in range(500):
        effects += bench.tell("c1", Put(req, f"k{req % 7}", Max(req)))
    assert [e for e in effects if type(e) is SetTimer]
    effects += bench.steward.handle(Timer(STORE_TIMER), bench.now + 600.0)
    assert [e for e in effects if type(e) is Send and e.peer == "node"] == []
    assert [e for e in effects if type(e) is Spawn] == [Spawn("s2")]


def test_silence_removes_one_store_after_the_other() -> None:
    bench = Bench()
    bench.add()
    bench.add()
    effects: list[Any] = []
    for name in bench.steward.membership.ring.live:
        effects += bench.tell(name, StoreStats(name, 5, 50, 60, 1000.0))
    assert not bench.rest(effects, 8), "nothing is left to be looked at"
    assert bench.steward.membership.names == ["node"]


def test_a_store_that_was_never_asked_for_anything_does_not_keep_others_from_starting() -> None:
    bench = Bench()
    bench.tell("node", StoreStats("node", 1, 10, 500, 1000.0))
    bench.steward.join("s2", bench.now)
    bench.settle()
    bench.tell("node", StoreStats("node", 1, 10, 500, 1000.0))
    assert bench.steward.membership.names == ["node", "s2"]
    bench.now += 10_000.0
    effects = bench.tell("node", StoreStats("node", 1, 10, 500, 1000.0, {"k": 400}))
    assert [e for e in effects if type(e) is Spawn] == [Spawn("s3")]
    bench.settle()


def test_a_hot_key_is_raised_and_lowered() -> None:
    bench = Bench()
    bench.add()
    bench.add()
    names = bench.steward.membership.ring.live
    assert len(names) == 3
    for name in names:
        bench.tell(name, StoreStats(name, 5, 50, 60, 1000.0, {"k": 50}))
    bench.settle()
    assert bench.steward.membership.ring.current.factors == {"k": 3}
    for name in names:
        bench.tell(name, StoreStats(name, 5, 50, 60, 1000.0))
    bench.settle()
    assert bench.steward.membership.ring.current.factors == {}


def test_what_is_not_needed_for_a_moment_stays_and_goes_when_it_was_not_for_long() -> None:
    bench = Bench(msgspec.structs.replace(CONFIG, calm_ms=10_000.0))
    bench.add()
    bench.add()
    names = bench.steward.membership.ring.live
    for rate in (60, 1, 60, 1):
        bench.now += 4_000.0
        for name in names:
            bench.tell(name, StoreStats(name, 5, 50, rate, 1000.0, {"k": rate}))
        bench.settle()
        assert bench.steward.membership.ring.live == names
        assert bench.steward.membership.ring.current.factors == {"k": 3}
    began, effects = bench.now, [SetTimer(LOAD_TIMER, bench.now)]
    assert not bench.rest(effects, 20), "nothing is left to be looked at"
    assert bench.steward.membership.ring.live == ["node"]
    assert bench.steward.membership.ring.current.factors == {}
    assert bench.now >= began + 10_000.0


def test_a_key_is_kept_by_as_many_as_a_user_says() -> None:
    bench = Bench()
    bench.add()
    bench.add()
    assert len(bench.steward.membership.ring.live) == 3
    effects = bench.tell("c1", Replicate(50, "k", 3))
    assert sent(effects, Ring)[0][1].current.factors == {"k": 3}
    assert sent(effects, Done) == []
    assert bench.tell("c1", Replicate(50, "k", 3)) == []
    assert sent(bench.settle(), Done) == [("c1", Done(50))]
    for copies, factors in ((1, {"k": 1}), (2, {}), (0, {})):
        bench.tell("c1", Replicate(60 + copies, "k", copies))
        bench.settle()
        assert bench.steward.membership.ring.current.factors == factors


def test_what_a_user_says_of_a_key_waits_for_stores_and_outlasts_them() -> None:
    bench = Bench()
    assert bench.tell("c1", Replicate(5, "k", 3)) == [Send("c1", Done(5))]
    bench.add()
    assert bench.steward.membership.ring.current.factors == {"k": 3}
    bench.steward.lose("s2", bench.now)
    bench.settle()
    bench.add()
    assert bench.steward.membership.ring.current.factors == {"k": 3}


def test_a_hot_key_is_never_kept_by_fewer_than_a_user_says() -> None:
    members = Membership(CONFIG, {"k": 4, "l": 1})
    for _ in range(3):
        members.join(members.spawn(), 0.0)
        settle_once(members)
    members.raise_keys({"k": 3, "l": 3}, 0.0)
    assert members.ring.current.factors == {"k": 4, "l": 3}


def test_a_factor_is_written_before_it_is_told_and_taken_back_if_it_cannot_be() -> None:
    bench = Bench(Config(state_dir="somewhere", stores_max=1))
    asked = Received("c1", Replicate(5, "k", 3))
    persist, done = bench.steward.handle(asked, 1.0)
    assert persist == Persist(factor_place("k"), Factor("k", 3), undo=0)
    assert done == Send("c1", Done(5))
    found = recover([(persist.place, pack(persist.place, persist.record))])
    assert found.factors == {"k": 3}
    full = Failure("StorageFull", "no room")
    [refused] = bench.steward.handle(Unwritten(asked, [persist], full), 2.0)
    assert refused == Send("c1", Failed(5, full))
    assert bench.steward.membership.chosen == {}


def test_a_factor_that_cannot_be_is_refused() -> None:
    bench = Bench()
    for key, copies, why in (("", 2, "key"), ("k", -1, "-1 stores cannot keep")):
        [(_, failed)] = sent(bench.tell("c1", Replicate(100 + copies, key, copies)), Failed)
        assert failed.failure.kind == "InvalidName"
        assert why in failed.failure.message
    bench.steward.membership.chosen.update({f"k{n}": 3 for n in range(FACTORS_MAX)})
    [(_, failed)] = sent(bench.tell("c1", Replicate(9, "one more", 3)), Failed)
    assert "10,000 keys have" in failed.failure.message
    assert sent(bench.tell("c1", Replicate(10, "k7", 4)), Failed) == []


# ---------------------------------------------------------------- stores on other hosts


def test_a_store_elsewhere_gets_a_name_joins_and_departs_by_itself() -> None:
    bench = Bench(Config(replication=2))
    assert bench.enlist() == "s2"
    [(peer, ring)] = sent(bench.steward.join("s2", 1.0), Ring)
    assert (peer, ring.afar, ring.current.names) == ("s2", ["s2"], ["node", "s2"])
    bench.settle()
    bench.tell("c1", Stores(5))
    [(_, reply)] = sent(bench.tell("s2", StoreStats("s2", 4, 40, 0, 0.0, {}, 5)), StoresReply)
    assert [(stats.name, stats.host) for stats in reply.stores] == [("node", ""), ("s2", "bee")]
    assert sent(bench.tell("s2", Depart()), Retire) == []
    assert sent(bench.settle(), Retire) == [("s2", Retire())]
    assert bench.tell("s2", Depart()) == [Send("s2", Retire())]
    assert bench.steward.lose("s2", 9.0) == []
    assert bench.steward.membership.afar == {}


def test_who_asked_for_a_name_and_is_lost_before_it_joined_is_not_waited_for() -> None:
    bench = Bench()
    assert bench.enlist("c8") == "s2"
    bench.steward.handle(PeerLost("c8", "gone"), 1.0)
    assert bench.steward.join("s2", 2.0) == []
    assert bench.enlist("c9") == "s3"
    bench.join("s3")
    bench.steward.handle(PeerLost("c9", "it has another connection now"), 3.0)
    ring = bench.steward.membership.ring
    assert (ring.live, ring.coming, ring.born) == (["node", "s3"], [], 3)
    assert Owners(ring).is_past("s2")


def test_with_the_gateway_all_stores_elsewhere_are_lost_and_no_other() -> None:
    bench = Bench()
    bench.add()
    for peer in ("c8", "c9"):
        bench.join(bench.enlist(peer))
    assert len(bench.steward.membership.ring.live) == 4
    effects = bench.steward.lose_afar(9.0)
    assert bench.steward.membership.ring.live == ["node", "s2"]
    assert [peer for peer, _ in sent(effects, Ring)][-1] == "s2"
    bench.settle()
    assert not bench.steward.membership.ring.former


def test_the_policies_leave_stores_elsewhere_alone() -> None:
    bench = Bench(Config(stores_min=2, stores_max=2, replication=2, store_operations_high_per_s=100.0))
    bench.join("s2")
    bench.join(bench.enlist())
    for name in ("node", "s2", "s3"):  # the load of one store, and of many
        bench.tell(name, StoreStats(name, 5, 50, 1, 1000.0))
    for name in ("node", "s2", "s3"):
        bench.tell(name, StoreStats(name, 5, 50, 900, 1000.0))
    assert bench.steward.membership.names == ["node", "s2", "s3"]
    assert Spawn("s4") in bench.steward.lose("s2", bench.now)
    assert [e for e in bench.steward.lose("s3", bench.now) if type(e) is Spawn] == []


def test_load_that_is_gone_dismisses_the_last_store_that_was_started_here() -> None:
    bench = Bench()
    bench.add()
    bench.join(bench.enlist())
    for name in ("node", "s2", "s3"):
        bench.tell(name, StoreStats(name, 5, 50, 1, 1000.0))
    bench.settle()
    assert bench.steward.membership.ring.live == ["node", "s3"]


def test_where_puts_are_on_disk_no_store_of_another_host_is_taken_without_a_disk() -> None:
    bench = Bench(Config(state_dir="/somewhere"))
    [(peer, enlisted)] = sent(bench.steward.enlist("c9", Hello("c9", "store"), 1.0), Enlisted)
    assert (peer, enlisted.name) == ("c9", "")
    assert "state_dir" in enlisted.refusal
    assert bench.steward.membership.names == ["node"]


def test_the_node_tells_stores_elsewhere_from_clients_and_hears_of_their_end_as_of_any() -> None:
    config = Config(executors_min=1)
    node = NodeCore(config, ReplicaCore(config), uniform=lambda: 0.5)
    assert node.handle(Received("c1", Hello("c1", "client")), 0.0) == []
    hello = Hello("c9", "store", host="bee")
    assert node.handle(Received("c9", hello), 1.0) == [Send("c9", Enlisted("s2"))]
    assert node.scheduler.clients == {"c1": None}
    assert [peer for peer, _ in sent(node.handle(Received("s2", Hello("s2", "store")), 2.0), Ring)] == ["s2"]
    effects = node.handle(Received("c1", Status(3)), 3.0)
    assert [peer for peer, _ in sent(effects, Inquire)] == ["s2"]
    [count] = [e for e in effects if type(e) is SetTimer and e.key == COUNT_TIMER]
    assert sent(node.handle(Timer(COUNT_TIMER), count.due - 1), StatusReply) == []
    [(_, status)] = sent(node.handle(Timer(COUNT_TIMER), count.due), StatusReply)  # s2 is silent
    assert (status.afar, status.keys) == ({"s2": "bee"}, 0)
    node.handle(Received("c1", Status(5)), 3_000.0)
    stats = StoreStats("s2", 7, 70, 0, 0.0, {}, 5, first=4)
    [(_, status)] = sent(node.handle(Received("s2", stats), 3_001.0), StatusReply)
    assert (status.keys, status.store_bytes) == (4, 40)
    node.handle(Exited(GATEWAY, "killed"), 4.0)
    [(_, status)] = sent(node.handle(Received("c1", Status(4)), 5.0), StatusReply)
    assert status.afar == {}
    assert node.steward is not None
    assert node.steward.membership.ring.live == ["node"]


# ---------------------------------------------------------------- what users ask for, and load


def test_as_many_stores_as_users_asked_for_stay_under_any_load() -> None:
    bench = Bench(Config(stores_min=2, stores_max=2, store_operations_high_per_s=100.0))
    bench.join("s2")

    def load(operations: int) -> list[Any]:
        live = bench.steward.membership.ring.live
        effects = [bench.tell(name, StoreStats(name, 5, 50, operations, 1000.0)) for name in live]
        return [*(effect for each in effects for effect in each if type(effect) is Spawn), *bench.settle()]

    bench.add()
    for operations in (1, 900):
        load(operations)
        assert bench.steward.membership.names == ["node", "s2", "s3"]
    assert Spawn("s4") in bench.steward.lose("s3", bench.now)
    bench.join("s4")
    for name in ("s2", "s4"):
        bench.tell("c1", RemoveStore(int(bench.now) + 10, name))
        bench.settle()
    for operations in (1, 900):
        assert Spawn("s5") not in load(operations)
    assert bench.steward.membership.names == ["node"]


def test_a_store_that_never_came_is_not_replaced_its_asker_was_told() -> None:
    bench = Bench(Config())
    bench.tell("c1", AddStore(7))
    assert [type(effect) for effect in bench.steward.lose("s2", 3.0)] == [Send]
    assert bench.steward.membership.missing == 0
