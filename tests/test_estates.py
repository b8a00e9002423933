"""Stores on other hosts with a disk: what was acknowledged is with those that are there, or is waited for."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudburst_runtime.anna.durable import Recovered, known_place, pack, recover, version_place
from cloudburst_runtime.anna.enlisting import ANOTHERS, GIVEN_UP, NEEDS_A_DISK, NEEDS_NO_DISK, Enlisting
from cloudburst_runtime.anna.estates import ESTATES_MAX, Estates, Held, awaited, come_back
from cloudburst_runtime.anna.membership import Membership
from cloudburst_runtime.anna.owners import Owners
from cloudburst_runtime.anna.past import BESIDE
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import Circle, Part, partition_of
from cloudburst_runtime.anna.store import TIMER, StoreCore
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Persist, Received, Send, SetTimer, Timer
from cloudburst_runtime.lattices import Max
from cloudburst_runtime.messages import (
    Delete,
    Enlisted,
    Estate,
    Forget,
    Get,
    GetVersion,
    Hello,
    History,
    Members,
    Papers,
    Put,
    PutReply,
    Ring,
    Settled,
)

HERE, THERE = ["node", "s2", "s3"], ["s4", "s5", "s6"]
CONFIG = Config(replication=2, stores_max=4, state_dir="somewhere")
APART = "apart"


def members() -> st.SearchStrategy[Members]:
    names = st.lists(st.sampled_from([*HERE[1:], *THERE]), unique=True, max_size=5)
    return st.builds(
        lambda others, copies: Members(["node", *others], {APART: copies} if copies else {}),
        names,
        st.integers(0, 3),
    )


def found(estates: dict[str, Estate], away: set[str], part: Part) -> list[str]:
    return awaited({name: Held(estate) for name, estate in estates.items() if name in away}, part)


@settings(deadline=None)
@given(st.lists(members(), min_size=1, max_size=3), st.integers(1, 3), st.data())
def test_what_was_acknowledged_is_with_those_that_are_there_or_its_part_is_waited_for(
    circles: list[Members], replication: int, data: st.DataObject
) -> None:
    """After all were killed: the disks of this host are there, and some of those of other hosts."""
    ring = Ring(9, circles[-1], replication, circles[:-1], live=circles[-1].names)
    estates = Estates()
    for name in THERE:
        estates.admit(name, name, "bee")
    records = estates.records(ring)
    key = data.draw(st.sampled_from([APART, "k", "a", "other"]))
    members = data.draw(st.sampled_from(circles))
    owners = Circle(members.names, replication, members.factors).owners(key)
    copies = data.draw(st.sets(st.sampled_from(owners), min_size=min(2, len(owners))))
    away = data.draw(st.sets(st.sampled_from(THERE)))
    there = {*HERE, *THERE} - away
    for part in (key, partition_of(key)):
        assert copies & there or found(records, away, part)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(THERE), unique=True, min_size=1), st.integers(1, 3))
def test_a_runtime_waits_for_nobody_where_its_own_host_has_all(others: list[str], replication: int) -> None:
    names = ["node", *others]
    ring = Ring(9, Members(names), replication, live=names)
    estates = Estates()
    for name in others:
        estates.admit(name, name, "bee")
    records = estates.records(ring)
    for arc in range(0, 1024, 31):
        owners = Circle(names, replication).owners_of(arc)
        far = [name for name in owners if name != "node"]
        waits = len(far) >= min(2, len(owners))
        assert sorted(found(records, set(others), arc)) == sorted(far if waits else [])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "back", "back", "lose", "leave", "settle", "settle", "give up", "restart"]),
        st.integers(0, 9),
    ),
    max_size=40,
)
COME = [("new", 0), ("settle", 0), ("settle", 0)]


class Model:
    """The node's decisions, and on whose disks the latest change of each key surely is, by identity."""

    def __init__(self, replication: int) -> None:
        self.config = msgspec.structs.replace(CONFIG, replication=replication)
        self.members = Membership(self.config)
        self.identities: dict[str, str] = {}
        self.born = 0
        self.copies: dict[str, set[str]] = {f"k{number}": {"node"} for number in range(12)}

    def identity(self, name: str) -> str:
        return self.identities.get(name, name)

    def do(self, what: str, pick: int) -> None:
        members = self.members
        here = [name for name in members.names if name != "node"]
        if what == "new" and len(self.identities) < 5:
            self.born += 1
            self.enlist(f"id{self.born}", pick)
        elif what == "back" and members.abroad.away:
            self.enlist(sorted(members.abroad.away.values())[pick % len(members.abroad.away)], pick)
        elif what == "lose" and here:
            members.lose(here[pick % len(here)], 0.0)
        elif what == "leave" and here:
            members.leave(here[pick % len(here)], 0.0)
        elif what == "settle":
            self.settle()
        elif what == "give up" and members.abroad.away and not pick:
            self.give_up(sorted(members.abroad.away)[0])
        elif what == "restart" and pick < 3:
            records = members.abroad.records(members.ring)
            self.members, self.identities = Membership(self.config, {}, records), {}
            self.members.begin(0.0)
        for name in self.members.gone(0.0):  # its file is removed
            self.forget(self.identity(name))

    def enlist(self, identity: str, pick: int = 0) -> None:
        """A store begins with what it is to keep of what it has; now and then it does not get far."""
        name = self.members.enlist("bee", identity)
        self.identities[name] = identity
        held = Held(self.members.abroad.estate(name))
        for key, at in self.copies.items():
            if not held.has(key):
                at.discard(identity)
        if pick < 8:
            self.members.join(name, 0.0)

    def give_up(self, name: str) -> None:
        identity = self.members.abroad.away[name]
        self.members.give_up(name, 0.0)
        self.copies = {key: at for key, at in self.copies.items() if at != {identity}}
        self.forget(identity)

    def forget(self, identity: str) -> None:
        for at in self.copies.values():
            at.discard(identity)

    def settle(self) -> None:
        """Each live store compares its parts with all of their sources; what is not its own is dropped."""
        ring, owners = self.members.ring, Owners(self.members.ring)
        disputed = owners.disputed()
        for key, at in self.copies.items():
            arc = partition_of(key)
            if arc in disputed and at & {self.identity(name) for name in owners.sources(arc)}:
                at |= {self.identity(name) for name in owners.of(key)}
        for name in ring.live:
            self.members.settle(name, Settled(ring.epoch), 0.0)
        self.serve()

    def serve(self) -> None:
        """Each key that is served was there to be read, and is written to as few of its owners as may be."""
        owners = Owners(self.members.ring)
        for key, at in self.copies.items():
            of = [self.identity(name) for name in owners.of(key)]
            if owners.is_settled:
                at -= {self.identity(name) for name in self.members.ring.live} - set(of)
                if not owners.awaited(key):
                    assert at & set(of), f"what was acknowledged of {key} is with {at}, and {of} serve it"
                    self.copies[key] = set(sorted(of)[:2])


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 3))
@example([*COME, ("lose", 0), ("settle", 0), ("back", 0), ("settle", 0), ("settle", 0)], 1)
@example([*COME, ("lose", 0), ("settle", 0), ("new", 0), ("back", 0), ("leave", 1), *COME], 1)
@example([*COME, *COME, ("restart", 0), ("back", 0), ("settle", 0), ("settle", 0), ("back", 0), *COME], 2)
@example([*COME, ("lose", 0), ("settle", 0), ("back", 9), ("lose", 0), ("restart", 0), ("back", 0), *COME], 1)
def test_however_they_come_and_go_nothing_is_served_without_what_was_acknowledged(
    steps: list[tuple[str, int]], replication: int
) -> None:
    model = Model(replication)
    for what, pick in steps:
        model.do(what, pick)
    for _ in range(6):
        for identity in sorted(model.members.abroad.away.values()):
            model.enlist(identity)
        for name in sorted(model.members.spawned):
            model.members.lose(name, 0.0)
        model.do("settle", 0)
        model.do("settle", 0)
    owners = Owners(model.members.ring)
    assert owners.is_settled
    assert not model.members.ring.estates
    assert not model.members.abroad.away
    for key, at in model.copies.items():
        assert at & {model.identity(name) for name in owners.of(key)}, key


# ---------------------------------------------------------------- who may join

RUNTIME = Papers("r", "r", "start1")


def enlisting(config: Config = CONFIG, estates: dict[str, Estate] | None = None) -> Enlisting:
    return Enlisting(config, Membership(config, {}, estates), RUNTIME)


def answer(enlisting: Enlisting, papers: Papers | None, peer: str = "c1") -> Enlisted:
    [send] = enlisting.ask(peer, Hello(peer, "store", host="bee", papers=papers))
    assert send.peer == peer
    assert isinstance(send.message, Enlisted)
    return send.message


@pytest.mark.parametrize(
    ("state_dir", "papers", "why"),
    [
        ("", None, ""),
        ("", Papers("id"), NEEDS_NO_DISK),
        ("somewhere", None, NEEDS_A_DISK),
        ("somewhere", Papers("id"), ""),
        ("somewhere", Papers("id", "r", "start0"), GIVEN_UP),
        ("somewhere", Papers("id", "another", "start0"), ANOTHERS),
        ("somewhere", Papers("known", "r", "start0"), ""),
        ("somewhere", Papers("known", "another", "start0"), ""),  # the node's own papers were damaged
    ],
)
def test_who_may_not_join_is_told_why(state_dir: str, papers: Papers | None, why: str) -> None:
    config = msgspec.structs.replace(CONFIG, state_dir=state_dir)
    estate = Estate("bee", [1], [2])
    said = answer(enlisting(config, {"known": estate}), papers)
    assert (said.refusal, bool(said.name)) == (why, not why)
    if state_dir and not why:
        assert (said.runtime, said.start) == ("r", "start1")
        assert said.estate == (
            estate if papers == Papers("known", papers.runtime, "start0") else Estate("bee")
        )


def test_so_many_are_known_and_no_more() -> None:
    known = {f"id{number}": Estate("bee") for number in range(ESTATES_MAX)}
    assert "cb.remove_store" in answer(enlisting(estates=known), Papers("new")).refusal
    assert answer(enlisting(estates=known), Papers("id7", "r")).name == "s9"


def test_one_that_is_here_as_far_as_is_known_waits_until_it_has_ended() -> None:
    members = Membership(CONFIG)
    desk = Enlisting(CONFIG, members, RUNTIME)
    name = answer(desk, Papers("id")).name
    members.join(name, 0.0)
    again = Hello("c2", "store", host="bee", papers=Papers("id", "r", "start1"))
    assert desk.ask("c2", again) == desk.ask("c3", again) == desk.look() == []
    desk.lose("c3")
    members.lose(name, 0.0)
    [send] = desk.look()
    assert (send.peer, send.message.name, name) == ("c2", "s3", "s2")
    assert desk.ask("c2", again) == [send]
    assert desk.lose("c2") == "s3"


# ---------------------------------------------------------------- a store


def ring(epoch: int, live: list[str], estates: dict[str, Estate]) -> Received:
    return Received("node", Ring(epoch, Members(live), 1, [], live, 2, ["s2"], ["s2"], {}, estates))


def test_a_request_for_what_only_a_store_has_that_is_away_waits_and_is_refused_or_served() -> None:
    store = StoreCore(Config(away_ms=500.0), ReplicaCore(Config()))
    away = {"s2": Estate("bee", sole=[partition_of("k")])}
    store.handle(ring(1, ["node"], away), 0.0)
    asked = [
        Get(1, ["a", "k"]),
        Put(2, "k", Max(7)),
        Delete(3, "k", 9),
        History(4, "k"),
        GetVersion(5, "k", 1),
    ]
    for message in asked:
        assert [type(e) for e in store.handle(Received("c1", message), 1.0)] in ([], [SetTimer])
    assert store.handle(Received("c1", Put(6, "a", Max(7))), 1.0) == [
        Send("c1", PutReply(6, 0, 1)),
    ]
    store.handle(Received("c1", Forget(4)), 2.0)
    store.handle(Received("c2", Get(1, ["k"])), 2.0)
    store.handle(PeerLost("c2", "it ended"), 2.0)
    assert [e for e in store.handle(Timer(TIMER), 500.0) if type(e) is Send] == []
    refused = [e.message for e in store.handle(Timer(TIMER), 501.0) if type(e) is Send]
    assert [(failed.req, failed.failure.kind) for failed in refused] == [
        (req, "StorageError") for req in (1, 2, 3, 5)
    ]
    assert "s2 on bee" in refused[0].failure.message
    store.handle(Received("c1", Get(7, ["k"])), 600.0)
    [reply] = [
        e.message for e in store.handle(ring(2, ["node"], {}), 700.0) if type(e) is Send if e.peer == "c1"
    ]
    assert (reply.req, reply.entries) == (7, [None])  # it was given up


def test_no_name_is_given_twice_though_who_got_it_never_came() -> None:
    """What is said of the end of the first, late, would be taken for that of the second."""
    members = Membership(CONFIG, {}, {"id": Estate("bee", [1])})
    names = []
    for _ in range(3):
        names.append(members.enlist("bee", "id"))
        members.lose(names[-1], 0.0)
        assert list(members.ring.estates) == members.ring.coming == list(members.abroad.away)
        assert members.lose(names[-1], 0.0) == []
    assert names == ["s2", "s3", "s4"]
    fresh = members.enlist("bee", "other")
    members.lose(fresh, 0.0)
    assert "other" not in members.abroad


# ---------------------------------------------------------------- what is on disk


def records(persists: list[Persist]) -> dict[bytes, bytes | None]:
    return {each.place: each.record and pack(each.place, each.record) for each in persists}


def test_what_they_may_have_alone_is_on_disk_before_a_ring_is_told_and_found_again() -> None:
    members = Membership(CONFIG)
    desk = Enlisting(CONFIG, members, RUNTIME)
    assert desk.record() == []
    name = answer(desk, Papers("id")).name
    members.join(name, 0.0)
    first = desk.record()
    assert recover([(place, data) for place, data in records(first).items() if data]).known == {
        "id": Estate("bee")  # two stores keep each key, one of them here
    }
    assert desk.record() == []
    desk.unwritten(first)
    assert desk.record() == first
    members.lose(name, 0.0)
    members.give_up("s3", 0.0)
    gone = desk.record()
    assert gone == [Persist(known_place("id"), None)]
    desk.unwritten(gone)
    assert desk.record() == gone
    assert desk.record() == []


def come(found: Recovered, estate: Estate, anew: bool) -> Recovered:
    assert set(come_back(found, "s7", estate, anew)) == {version_place("b", 2), version_place("b", 3)}
    return found


@pytest.mark.parametrize("anew", [False, True])
def test_what_others_have_is_forgotten_and_what_they_have_not_is_kept(anew: bool) -> None:
    version = {"node": 5, "s2": 0}
    found = recover(
        (place, pack(place, Stored(Max(7), 0, seq, version, deps={"s9": 1})))
        for key, seq in (("a", 1), ("b", 2), ("b", 3))
        for place in [version_place(key, seq)]
    )
    for estate in (Estate(sole=["a"]), Estate(shared=[partition_of("a")])):
        kept = come(copy(found), estate, anew).versions
        assert list(kept) == ["a"]
        [record] = kept["a"].values()
        assert (record.others, record.deps) == ((None, None) if anew else (version, {"s9": 1}))


@pytest.mark.parametrize(("anew", "others"), [(False, {"node": 5, "s2": 0, "s7": 0}), (True, {"s7": 0})])
def test_versions_that_lay_beside_others_count_for_nobody_under_the_new_name(
    anew: bool, others: dict[str, int]
) -> None:
    place = version_place("a", BESIDE + 3)
    record = Stored(Max(7), 0, BESIDE + 3, {"node": 5, "s2": 0})
    found = recover([(place, pack(place, record))])
    assert come_back(found, "s7", Estate(sole=["a"]), anew) == []
    [kept] = found.versions["a"].values()
    assert kept.others == others
    assert "s7" not in Records(Config(), "s7").version(kept)


def copy(found: Recovered) -> Recovered:
    other = Recovered()
    other.versions = {key: dict(versions) for key, versions in found.versions.items()}
    return other
