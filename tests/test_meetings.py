"""Writes that met: a store says which value was written over unseen, and nothing that is not so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.durable import pack, unpack, version_place
from cloudburst_runtime.anna.meetings import KEYS_MAX, MET_BYTES_MAX, MET_MAX, Sights
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received
from cloudburst_runtime.lattices import LWW, AnyLattice, Counter, SetLattice
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import Entry, Get, History, Met, Put
from cloudburst_runtime.values import encode
from cloudburst_runtime.vectors import Vector, covers


@pytest.fixture
def replica() -> ReplicaCore:
    return ReplicaCore(Config())


def put(replica: ReplicaCore, peer: str, lattice: AnyLattice, seen: Vector | None = None) -> int:
    """Let a peer that may know of these changes write ``k``; the number of the latest change then."""
    replica.handle(Received(peer, Put(1, "k", lattice, seen=seen or {})), 0.0)
    return replica.seq


def plain(stamp: int, writer: str, value: object = 0) -> LWW:
    return LWW(stamp, writer, encode(value))


def history(replica: ReplicaCore) -> list[list[Met]]:
    """What met in each version, the latest first."""
    [effect] = replica.handle(Received("probe", History(9, "k")), 0.0)
    return [version.met for version in effect.message.versions]


def told(replica: ReplicaCore) -> list[list[tuple[str, str]]]:
    return [[(met.how, met.writer) for met in each] for each in history(replica)]


def test_a_write_over_a_value_that_its_writer_had_not_seen_is_told_with_the_version(
    replica: ReplicaCore,
) -> None:
    put(replica, "e1", plain(1, "e1"))
    put(replica, "e2", plain(2, "e2"))
    assert told(replica) == [[("over", "e2")], []]


def test_a_write_by_one_who_had_seen_it_or_by_the_same_writer_is_not(replica: ReplicaCore) -> None:
    first = put(replica, "e1", plain(1, "e1"))
    second = put(replica, "e2", plain(2, "e2"), {"node": first})
    put(replica, "e2", plain(3, "e2"))
    put(replica, "e1", plain(4, "e1"), {"node": second + 1})
    assert told(replica) == [[], [], [], []]


def test_a_write_of_before_a_deletion_meets_nothing(replica: ReplicaCore) -> None:
    put(replica, "e1", plain(1, "e1"))
    replica.handle(Received("e2", Put(1, "k", plain(3, "e2"), generation=2)), 0.0)
    assert told(replica) == [[]]


def test_a_value_that_comes_too_late_is_told_with_the_one_that_stays(replica: ReplicaCore) -> None:
    put(replica, "e1", plain(1, "e1"))
    put(replica, "e2", plain(9, "e2"), {"node": 1})
    put(replica, "c1", plain(5, "c1", "lost"))
    assert told(replica) == [[("late", "c1")], []]
    [met] = history(replica)[0]
    assert met.lattice is not None
    assert (met.stamp, reveal(met.lattice)) == (5, "lost")
    assert replica.seq == 2, "nothing has changed"


def test_a_repeated_write_is_no_second_one(replica: ReplicaCore) -> None:
    put(replica, "e1", plain(1, "e1"))
    put(replica, "e2", plain(9, "e2"), {"node": 1})
    for _ in range(3):
        put(replica, "e1", plain(1, "e1"))
        put(replica, "e2", plain(9, "e2"))
        put(replica, "c1", plain(5, "c1"))
    assert told(replica) == [[("late", "c1")], []]


def test_of_what_may_have_been_here_before_nothing_is_said() -> None:
    replica = ReplicaCore(Config(history_max=3))
    for stamp in range(1, 6):
        put(replica, f"e{stamp}", plain(stamp, f"e{stamp}"), {"node": stamp})
    put(replica, "e1", plain(1, "e1"))
    assert told(replica) == [[], [], []]


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        (delta({"a"}, "set", "e1", 1), delta({"b"}, "set", "e2", 2), {"a", "b"}),
        (Counter({"e1": (2, 0)}), Counter({"e2": (3, 0)}), 5),
        (delta({"x": 2}, "map[max]", "e1", 1), delta({"y": 3}, "map[max]", "e2", 2), {"x": 2, "y": 3}),
    ],
)
def test_of_types_that_merge_both_writes_and_what_came_of_them_are_there(
    replica: ReplicaCore, first: AnyLattice, second: AnyLattice, merged: object
) -> None:
    put(replica, "e1", first)
    put(replica, "e2", second)
    [met] = history(replica)[0]
    assert met == Met("over", 0, "e2", second.nbytes, second) or met.stamp > 0
    assert met.lattice == second
    entry = replica.entry("k")
    assert entry is not None
    assert entry.lattice is not None
    assert reveal(entry.lattice) == merged


def test_siblings_are_not_told_twice(replica: ReplicaCore) -> None:
    put(replica, "e1", plain(1, "e1"))
    put(replica, "e2", delta("b", "causal", "e2", 2))
    put(replica, "e3", plain(3, "e3"))
    assert told(replica) == [[], [], []]


def test_what_is_kept_is_bounded(replica: ReplicaCore) -> None:
    put(replica, "e1", SetLattice({b"a": None}))
    put(replica, "e2", SetLattice({bytes(MET_BYTES_MAX + 1): None}))
    [met] = history(replica)[0]
    assert (met.lattice, met.nbytes) == (None, MET_BYTES_MAX + 1)
    other = ReplicaCore(Config())
    put(other, "e1", plain(99, "e1"))
    for stamp in range(1, 2 * MET_MAX):
        put(other, f"c{stamp}", plain(stamp, f"c{stamp}"))
    assert [met.stamp for met in history(other)[0]] == list(range(2 * MET_MAX))[-MET_MAX:]


def test_writes_at_two_stores_that_had_not_heard_of_each_other_are_told() -> None:
    replica = ReplicaCore(Config(), "s2")
    put(replica, "e1", plain(1, "e1"))
    replica.absorb("k", Entry(0, plain(5, "c1"), {"node": 3}))
    assert told(replica) == [[("stores", "c1")], []]
    replica.absorb("k", Entry(0, plain(7, "c1"), {"node": 4, "s2": 1}))
    assert told(replica)[0] == [], "it came after both"
    put(replica, "e1", plain(9, "e1"), {"node": 4})
    assert told(replica)[0] == [], "who has seen one of the changes may have seen the value"


def test_what_met_lies_on_disk_with_its_version() -> None:
    replica = ReplicaCore(Config(state_dir="anywhere"))
    put(replica, "e1", plain(9, "e1"))
    [persist, _] = replica.handle(Received("c1", Put(1, "k", plain(5, "c1"))), 0.0)
    place = version_place("k", 1)
    assert persist.place == place
    again = unpack(place, pack(place, persist.record))
    assert [(met.how, met.writer) for met in again.met] == [("late", "c1")]
    [change] = persist.undo
    replica.records.undo(change)
    assert told(replica) == [[]], "what could not be written was not said"


class Writer:
    """Reads or writes ``k`` as a process with a cache would, and remembers what it knew."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sights = Sights()

    def read(self, replica: ReplicaCore) -> None:
        [effect] = replica.handle(Received(self.name, Get(1, ["k"])), 0.0)
        entry = effect.message.entries[0]
        self.sights.note("k", {} if entry is None else entry.version)

    def write(self, replica: ReplicaCore, stamp: int) -> None:
        put(replica, self.name, plain(stamp, self.name), self.sights.of("k"))
        self.sights.note("k", {"node": replica.seq})


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans()), max_size=24))
def test_exactly_what_was_not_read_before_is_told(steps: list[tuple[str, bool]]) -> None:
    replica = ReplicaCore(Config(history_max=30))
    writers = {name: Writer(name) for name in "abc"}
    seen: dict[str, int] = {}
    latest, last, expected = 0, "", []
    for stamp, (name, writes) in enumerate(steps, 1):
        if writes:
            blind = latest > 0 and last != name and seen.get(name, 0) < latest
            expected.insert(0, [("over", name)] if blind else [])
            writers[name].write(replica, stamp)
            latest, last = stamp, name
        else:
            writers[name].read(replica)
        seen[name] = latest
    assert told(replica) == expected


def test_what_a_writer_has_seen_is_bounded_and_never_less_than_it_was() -> None:
    sights = Sights()
    for number in range(1, KEYS_MAX + 10):
        sights.note(f"k{number}", {"node": number})
    assert sights.of("unheard") == {"node": 9}
    assert all(covers(sights.of(f"k{number}"), {"node": number}) for number in range(1, KEYS_MAX + 10))
