"""The versions of a key that several stores keep, by events and effects."""

from __future__ import annotations

from typing import Any

import pytest

from cloudburst_runtime.anna.durable import recover, version_place
from cloudburst_runtime.anna.journal import Journal
from cloudburst_runtime.anna.past import BESIDE, origin
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import partition_of
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.errors import StorageFull
from cloudburst_runtime.lattices import LWW, Counter, Max, SetLattice
from cloudburst_runtime.messages import (
    Compare,
    Compared,
    Earlier,
    Entry,
    Failed,
    Failure,
    GetVersion,
    Gossip,
    Heard,
    History,
    HistoryReply,
    Members,
    Put,
    Ring,
    VersionReply,
    Want,
    Wanted,
    pack,
    unpack,
)
from cloudburst_runtime.values import decode, encode

CONFIG = Config(history_max=4)
KEPT = Config(state_dir="somewhere", history_max=4)
RING = Ring(1, Members(["node", "s2"]), 2, live=["node", "s2"], born=2)
PART = partition_of("k")


class Disk(dict[bytes, bytes]):
    """A disk in memory, which may be full."""

    is_full = False

    def write(self, changes: dict[bytes, bytes | None], beyond: bool = False) -> None:
        if self.is_full:
            raise StorageFull("there is no room")
        for place, data in changes.items():
            if data is None:
                self.pop(place, None)
            else:
                self[place] = data

    def read(self, place: bytes) -> bytes | None:
        return self.get(place)

    def close(self) -> None:
        self.clear()


class Store:
    """One of the stores ``node`` and ``s2``, behind its journal."""

    def __init__(self, name: str, config: Config = CONFIG, disk: Disk | None = None) -> None:
        self.disk = Disk() if disk is None else disk
        found = recover(self.disk.items(), 100) if config.state_dir else None
        self.core = StoreCore(config, ReplicaCore(config, name, found))
        self.records = self.core.replica.records
        self.journal = Journal(self.core, self.disk)
        self.journal.start(0.0)
        self.now = 0.0
        self.tell("node", RING)

    def tell(self, peer: str, message: Any) -> list[Any]:
        """Messages that it sends."""
        self.now += 1.0
        effects = self.journal.handle(Received(peer, unpack(pack(message))), self.now)
        self.core.validate()
        return [effect.message for effect in effects if type(effect) is Send]

    def put(self, *stamps: int, writer: str = "c1") -> None:
        for stamp in stamps:
            self.tell(writer, Put(stamp, "k", LWW(stamp, writer, encode(f"at {stamp}")), stamp=stamp))

    def want(self) -> Want:
        """What it asks the other for."""
        arcs = self.core.reconciler._arcs
        return Want(1, PART, arcs.have(PART), False, arcs.earlier(PART))

    def fill(self, other: Store) -> Wanted:
        """It is sent what it lacks; return what that was."""
        name, peer = self.core.name, other.core.name
        [wanted] = other.tell(name, self.want())
        assert isinstance(wanted, Wanted)
        self.tell(peer, wanted)
        return wanted

    def has_now(self, other: Store) -> None:
        """It was told what the other has now, and nothing of what that had before."""
        entry = other.records.entry(other.records.live["k"])
        assert entry is not None
        self.core.replica.absorb("k", entry)
        self.core.reconciler.note("k", 0.0)

    @property
    def stamps(self) -> list[int]:
        return [version.stamp for version in self.records.versions("k")]


def pair(config: Config = CONFIG) -> tuple[Store, Store]:
    return Store("node", config), Store("s2", config)


# ---------------------------------------------------------------- what a store is sent that compares


def test_who_has_nothing_is_sent_the_key_with_its_versions() -> None:
    node, other = pair()
    node.put(10, 20, 30)
    wanted = other.fill(node)
    assert ([*wanted.earlier], [each.stamp for each in wanted.earlier["k"]]) == (["k"], [10, 20])
    told = [other.records.describe(version) for version in other.records.versions("k")]
    assert told == [node.records.describe(version) for version in node.records.versions("k")]
    assert [each.clock for each in told] == [{"node": 3}, {"node": 2}, {"node": 1}]
    [reply] = other.tell("node", GetVersion(7, "k", 10))
    assert decode(reply.entry.lattice.value) == "at 10"


def test_who_has_all_is_sent_nothing_once_more() -> None:
    node, other = pair()
    node.put(10, 20, 30)
    other.fill(node)
    wanted = other.fill(node)
    assert (wanted.keys, wanted.earlier, wanted.more) == ([], {}, False)
    [compared] = node.tell("s2", Compare(1, [PART], [other.core.reconciler._arcs.digest(PART)]))
    assert compared == Compared(1, [PART], [])


def test_stores_that_have_the_same_value_after_other_versions_differ_until_they_have_compared() -> None:
    node, other = pair()
    node.put(10, 20, 30)
    other.has_now(node)
    question = Compare(1, [PART], [other.core.reconciler._arcs.digest(PART)])
    assert node.tell("s2", question) == [Compared(1, [], [PART])]
    wanted = other.fill(node)
    assert (wanted.keys, [each.stamp for each in wanted.earlier["k"]]) == ([], [10, 20])
    assert other.stamps == node.stamps == [30, 20, 10]
    question = Compare(1, [PART], [other.core.reconciler._arcs.digest(PART)])
    assert node.tell("s2", question) == [Compared(1, [PART], [])]


def test_keys_of_one_version_cost_nothing_more() -> None:
    node, other = pair()
    node.put(10)
    assert node.want().earlier == {}
    wanted = other.fill(node)
    assert (wanted.keys, wanted.earlier, wanted.origins) == (["k"], {}, {})


def test_what_is_current_here_and_not_there_any_more_is_an_earlier_version_there() -> None:
    node, other = pair()
    node.put(10)
    other.fill(node)
    other.put(20)
    other.records.past.clear()
    wanted = other.fill(node)
    assert (wanted.keys, [each.stamp for each in wanted.earlier["k"]]) == ([], [10])
    assert other.stamps == [20, 10]


def test_no_more_versions_are_sent_than_are_kept() -> None:
    node, other = pair()
    other.put(35)
    node.put(10, 20, 30)
    other.put(45, 55, 65)
    wanted = other.fill(node)
    assert other.stamps == [65, 55, 45, 35]
    wanted = other.fill(node)
    assert (wanted.keys, wanted.earlier) == ([], {})


def test_an_answer_has_only_so_many_bytes() -> None:
    large = Config(history_max=30, history_bytes_max=10**9)
    node, other = pair(large)
    same = [key for key in (f"k{n}" for n in range(10_000)) if partition_of(key) == PART][:2]
    for key in ("k", *same):
        for stamp in range(8):
            node.tell("c1", Put(1, key, LWW(stamp, "c1", encode(bytes(100_000)))))
    answers = [other.fill(node)]
    while answers[-1].more:
        answers.append(other.fill(node))
    assert len(answers) > 1
    assert all(len(other.records.versions(key)) == 8 for key in ("k", *same))


def test_who_wrote_a_count_and_when_is_handed_over_too() -> None:
    node, other = pair()
    for total, stamp in ((1, 10), (2, 20)):
        node.tell("c1", Put(stamp, "k", Counter({"c1": (total, 0)}), stamp=stamp))
    wanted = other.fill(node)
    assert wanted.origins == {"k": (20, "c1")}
    assert [origin(version) for version in other.records.versions("k")] == [(20, "c1"), (10, "c1")]


# ---------------------------------------------------------------- gossip


def test_of_a_set_that_is_told_in_parts_both_stores_have_the_same_versions() -> None:
    node, other = pair()
    elements = {b"%03d" % number: None for number in range(100)}
    sent = node.tell("c1", Put(1, "k", SetLattice(elements), stamp=10))
    for stamp in (20, 30):
        [gossip] = [message for message in sent if isinstance(message, Gossip)]
        [heard] = [each for each in other.tell("node", gossip) if isinstance(each, Heard)]
        node.tell("s2", heard)
        sent = node.tell("c1", Put(stamp, "k", SetLattice({b"%d" % stamp: None}), stamp=stamp))
    [gossip] = [message for message in sent if isinstance(message, Gossip)]
    assert [*gossip.bases] == [*gossip.full] == ["k"]
    other.tell("node", gossip)
    assert node.stamps == other.stamps == [30, 20, 10]


# ---------------------------------------------------------------- asking


def test_the_history_of_a_key_is_what_all_its_owners_know() -> None:
    node, other = pair()
    node.put(10, 30)
    other.put(20, writer="c2")
    [asked] = node.tell("c9", History(7, "k"))
    assert isinstance(asked, History)
    assert node.tell("c9", History(7, "k")) == [], "it is asked already"
    [theirs] = other.tell("node", asked)
    [reply] = node.tell("s2", theirs)
    assert (reply.req, [each.number for each in reply.versions]) == (7, [30, 20, 10])
    [asked] = node.tell("c9", GetVersion(8, "k", 20))
    [theirs] = other.tell("node", asked)
    [reply] = node.tell("s2", theirs)
    assert (reply.req, decode(reply.entry.lattice.value)) == (8, "at 20")
    [reply] = node.tell("c9", GetVersion(9, "k", 10))
    assert decode(reply.entry.lattice.value) == "at 10"


def test_of_versions_of_the_same_microsecond_the_writer_tells_which() -> None:
    node, _ = pair()
    for writer in ("c1", "c2"):
        node.put(10, writer=writer)
    found = [node.tell("s2", GetVersion(1, "k", 10, writer))[0].entry.lattice for writer in ("c1", "c2", "")]
    assert [each.writer for each in found] == ["c1", "c2", "c2"]
    assert node.tell("s2", GetVersion(1, "k", 10, "c3")) == [VersionReply(1, None)]


def test_who_knows_of_a_deletion_is_believed() -> None:
    node, other = pair()
    other.put(10, 20)
    node.core.replica.absorb("k", Entry(40, None, {"s2": 9}))
    for message in (History(7, "k"), GetVersion(7, "k", 10)):
        [asked] = node.tell("c9", message)
        [theirs] = other.tell("node", asked)
        [reply] = node.tell("s2", theirs)
        assert reply in (HistoryReply(7, [], 40), VersionReply(7, None, 40))


def test_a_version_that_cannot_be_read_is_an_error_unless_another_store_has_it() -> None:
    node, _ = pair()
    for found in (VersionReply(0, Entry(0, Max(1))), VersionReply(0, None)):
        [asked] = node.tell("c9", GetVersion(7, "k", 10))
        found.req = asked.req
        assert node.tell("s2", found) == [VersionReply(7, found.entry)]
    [asked] = node.tell("c9", GetVersion(7, "k", 10))
    failure = Failure("StorageError", "it is damaged")
    assert node.tell("s2", Failed(asked.req, failure)) == [Failed(7, failure)]


# ---------------------------------------------------------------- the disk


def test_what_was_handed_over_is_there_after_a_restart() -> None:
    node, other = pair(KEPT)
    other.put(25, 35, writer="c2")
    node.put(10, 20, 30)
    other.fill(node)
    assert other.stamps == [35, 30, 25, 20]
    again = Store("s2", KEPT, other.disk)
    assert again.stamps == [35, 30, 25, 20]
    assert again.records.seq >= 4
    again.put(45, writer="c2")
    assert again.stamps == [45, 35, 30, 25]
    places = sorted(place for place in other.disk if place[:1] == b"k")
    kept = [version_place("k", version.seq) for version in again.records.versions("k")]
    assert places == sorted(kept)


def test_if_the_latest_is_damaged_the_one_before_is_shown_wherever_it_came_from() -> None:
    node, other = pair(KEPT)
    node.put(10, 20, 30)
    other.fill(node)
    place = version_place("k", other.records.live["k"].seq)
    other.disk[place] = other.disk[place][:-1]
    again = Store("s2", KEPT, other.disk)
    assert again.stamps == [20, 10]
    again.put(40)
    assert again.stamps == [40, 20, 10]
    assert again.records.live["k"].seq < BESIDE


def test_a_version_that_is_on_disk_alone_is_handed_over() -> None:
    node, other = pair(KEPT)
    node.put(10)
    node.tell("c1", Put(2, "k", LWW(20, "c1", encode("x" * 1000)), stamp=20))
    node.put(30)
    node = Store("node", KEPT, node.disk)
    assert "Cold" in f"{node.records.past['k']}"
    wanted = other.fill(node)
    assert [each.stamp for each in wanted.earlier["k"]] == [10, 20]
    [reply] = other.tell("node", GetVersion(1, "k", 20))
    assert decode(reply.entry.lattice.value) == "x" * 1000


def test_what_there_is_no_room_for_is_not_kept_and_asked_for_again() -> None:
    node, other = pair(KEPT)
    node.put(10, 20, 30)
    other.has_now(node)
    other.disk.is_full = True
    other.fill(node)
    assert other.stamps == [30]
    other.disk.is_full = False
    other.fill(node)
    assert other.stamps == [30, 20, 10]


@pytest.mark.parametrize("history_max", [1, 2])
def test_no_more_are_taken_than_are_kept(history_max: int) -> None:
    node, other = Store("node"), Store("s2", Config(history_max=history_max))
    node.put(10, 20, 30)
    other.fill(node)
    assert other.stamps == [30, 20][:history_max]
    earlier = [Earlier(0, LWW(5, "c1", encode("old")), 5, "c1")]
    other.tell("node", Wanted(1, PART, [], [], earlier={"k": earlier}))
    assert other.stamps == [30, 20][:history_max]
