"""The records of a replica, and what of them lies on disk: as a model, and by what it asks of the disk."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudburst_runtime.anna.durable import (
    FORMAT,
    Damaged,
    Here,
    Recovered,
    dag_place,
    function_place,
    key_of,
    pack,
    recover,
    unpack,
    version_place,
)
from cloudburst_runtime.anna.journal import TIMER, Journal
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.anna.stored import Cold, Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send, SetTimer, Timer
from cloudburst_runtime.errors import StorageError, StorageFull
from cloudburst_runtime.lattices import LWW, Max, SetLattice
from cloudburst_runtime.messages import (
    DagNode,
    DagSpec,
    Delete,
    Entry,
    Failed,
    FunctionSpec,
    Get,
    GetReply,
    GetVersion,
    Gossip,
    Heard,
    History,
    HistoryReply,
    Members,
    Message,
    Put,
    PutReply,
    Ring,
    Told,
    VersionReply,
)
from cloudburst_runtime.values import Value, decode, encode

KEPT = Config(state_dir="somewhere", history_max=3, history_bytes_max=2_000, tombstones_max=2)


class Disk:
    """A disk in memory, which may be full from some size on, and counts how often it is written."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.bytes_max = 10**9
        self.writes = 0

    def write(self, changes: dict[bytes, bytes | None], beyond: bool = False) -> None:
        new = {**self.data, **{place: data for place, data in changes.items() if data is not None}}
        new = {place: data for place, data in new.items() if changes.get(place, b"") is not None}
        if not beyond and sum(map(len, new.values())) > self.bytes_max:
            raise StorageFull("there is no room")
        self.data = new
        self.writes += 1

    def read(self, place: bytes) -> bytes | None:
        return self.data.get(place)

    def close(self) -> None:
        self.data = {}


class Store:
    """A replica behind its journal."""

    def __init__(self, disk: Disk, config: Config = KEPT, name: str = "node") -> None:
        self.disk = disk
        self.found = recover(disk.data.items(), 100)
        self.replica = ReplicaCore(config, name, self.found)
        self.journal = Journal(self.replica, disk)
        self.req = 0
        self.journal.start(0.0)

    def ask(self, make: Any, *arguments: Any, **more: Any) -> Any:
        """What one request is answered."""
        self.req += 1
        effects = self.journal.handle(Received("c1", make(self.req, *arguments, **more)), 0.0)
        [sent] = [effect.message for effect in effects if type(effect) is Send]
        return sent

    def get(self, key: str) -> Any:
        reply = self.ask(Get, [key])
        return reply.entries[0].lattice if isinstance(reply, GetReply) and reply.entries[0] else reply

    def put(self, key: str, stamp: int, text: str, **more: Any) -> Message:
        sent: Message = self.ask(Put, key, LWW(stamp, "c1", encode(text)), **more)
        return sent

    def text(self, key: str) -> Any:
        return decode(self.get(key).value)

    def numbers(self, key: str) -> list[int]:
        reply: HistoryReply = self.ask(History, key)
        return [version.number for version in reply.versions]


# ---------------------------------------------------------------- the form on disk


@given(key=st.text(min_size=1), seq=st.integers(0, 2**56))
def test_a_place_names_its_key(key: str, seq: int) -> None:
    try:
        place = version_place(key, seq)
    except UnicodeEncodeError:
        return
    assert (place[:1], key_of(place), int.from_bytes(place[-8:], "big")) == (b"k", key, seq)


RECORDS = {
    version_place("k", 7): Stored(Max(3), 5, 7, {"s2": 4}, 11, "c1", 8),
    version_place("gone", 8): Stored(None, 9, 8, None, 9, "c1"),
    version_place("set", 9): Stored(SetLattice({b"a": None}), 0, 9, None, 1, "e1", 1),
    version_place("large", 10): Stored(
        LWW(1, "c1", Value(b"x", [memoryview(b"y" * 5000)])), 0, 10, nbytes=5001
    ),
    function_place("f"): FunctionSpec("f", 3, b"payload"),
    dag_place("d"): DagSpec("d", [DagNode("f")]),
    b"m": Here(FORMAT, "node", 4),
}


@pytest.mark.parametrize("place", RECORDS, ids=key_of)
def test_what_is_written_is_read_again(place: bytes) -> None:
    record = RECORDS[place]
    assert unpack(place, pack(place, record)) == record


@pytest.mark.parametrize("place", RECORDS, ids=key_of)
def test_each_damaged_byte_is_noticed(place: bytes) -> None:
    data = pack(place, RECORDS[place])
    for index in range(0, len(data), max(1, len(data) // 200)):
        wrong = bytearray(data)
        wrong[index] ^= 0x10
        with pytest.raises(Damaged):
            unpack(place, bytes(wrong))
    for cut in range(0, len(data), max(1, len(data) // 50)):
        with pytest.raises(Damaged):
            unpack(place, data[:cut])
    with pytest.raises(Damaged):
        unpack(place + b"x", data)


def test_a_large_value_is_left_on_disk_until_it_is_asked_for() -> None:
    place = version_place("large", 10)
    cold = unpack(place, pack(place, RECORDS[place]), 100)
    assert isinstance(cold, Stored)
    assert (cold.lattice, cold.nbytes, cold.seq) == (Cold("lww"), 5001, 10)


# ---------------------------------------------------------------- what survives


def test_nothing_leaves_before_it_is_on_disk_and_a_batch_is_written_at_once() -> None:
    store = Store(Disk())
    before = store.disk.writes
    puts = [Received("c1", Put(req, f"k{req}", Max(req))) for req in range(1, 6)]
    effects = store.journal.handle_all(puts, 0.0)
    assert [type(effect.message) for effect in effects] == [PutReply] * 5
    assert store.disk.writes == before + 1
    assert Store(store.disk).get("k5") == Max(5)


def test_a_put_that_is_not_waited_for_is_written_soon() -> None:
    store = Store(Disk())
    before = store.disk.writes
    effects = store.journal.handle(Received("c1", Put(1, "k", Max(1), sync=False)), 50.0)
    assert [type(effect) for effect in effects] == [Send, SetTimer]
    assert store.disk.writes == before
    assert store.get("k") == Max(1)
    assert store.journal.handle(Timer(TIMER), 150.0) == []
    assert Store(store.disk).get("k") == Max(1)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "again"]), st.sampled_from("abcde"), st.integers(0, 900)),
    max_size=40,
)


@given(operations=OPERATIONS)
def test_after_a_restart_all_is_as_it_was(operations: list[tuple[str, str, int]]) -> None:
    store = Store(Disk())
    for stamp, (what, key, size) in enumerate(operations, 1):
        if what == "put":
            store.put(key, stamp, f"{stamp}" * size, generation=store.replica.records.generation(key))
        elif what == "delete":
            store.ask(Delete, key, stamp)
        else:
            again = Store(store.disk)
            assert describe(again) == describe(store)
            store = again
    assert describe(Store(store.disk)) == describe(store)


def describe(store: Store) -> Any:
    """All that a store shows: values, versions, deletions and counts."""
    records = store.replica.records
    keys = sorted(records.live)
    history = {key: [decode_at(store, key, number) for number in store.numbers(key)] for key in keys}
    return {
        "values": [store.text(key) for key in keys],
        "history": history,
        "numbers": [store.numbers(key) for key in keys],
        "deleted": {key: record.generation for key, record in records.deleted.items()},
        "forgotten": records.forgotten,
        "bytes": records.nbytes,
    }


def decode_at(store: Store, key: str, number: int) -> Any:
    reply: VersionReply = store.ask(GetVersion, key, number)
    assert reply.entry is not None
    lattice = reply.entry.lattice
    assert isinstance(lattice, LWW)
    return decode(lattice.value)


# ---------------------------------------------------------------- history


def test_the_last_versions_are_kept_and_no_more_on_disk() -> None:
    store = Store(Disk())
    for stamp in range(1, 6):
        store.put("k", stamp, f"text {stamp}")
    assert store.numbers("k") == [5, 4, 3]
    assert decode_at(store, "k", 4) == "text 4"
    assert store.ask(GetVersion, "k", 2).entry is None
    assert sorted(place for place in store.disk.data if place[:1] == b"k") == [
        version_place("k", seq) for seq in (3, 4, 5)
    ]
    [latest, *_] = store.ask(History, "k").versions
    assert (latest.stamp, latest.writer, latest.lattice, latest.clock) == (5, "c1", "lww", {"node": 5})
    store.ask(Delete, "k", 9)
    assert store.numbers("k") == []
    assert [place for place in store.disk.data if place[:1] == b"k"] == [version_place("k", 6)]


def test_earlier_versions_are_bounded_by_their_bytes() -> None:
    store = Store(Disk())
    for stamp in range(1, 4):
        store.put("k", stamp, f"{stamp}" * 1_500)
    assert store.numbers("k") == [3, 2]


def test_without_history_the_value_before_is_dropped() -> None:
    store = Store(Disk(), Config(state_dir="somewhere", history_max=1))
    store.put("k", 1, "first")
    store.put("k", 2, "second")
    assert store.numbers("k") == [2]
    assert Store(store.disk).text("k") == "second"


# ---------------------------------------------------------------- damage


def spoil(disk: Disk, place: bytes) -> None:
    data = bytearray(disk.data[place])
    data[-1] ^= 1
    disk.data[place] = bytes(data)


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_damaged_version_is_said_and_the_one_before_serves(size: int) -> None:
    disk = Disk()
    store = Store(disk)
    store.put("k", 1, "a" * size)
    store.put("k", 2, "b" * size)
    spoil(disk, version_place("k", 2))
    store = Store(disk)
    assert bool(store.found.said) is (size == 1)  # a large value is looked at when it is asked for
    assert store.text("k") == "a" * size
    store.put("k", 3, "c" * size)
    assert version_place("k", 2) not in disk.data
    assert Store(disk).text("k") == "c" * size


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_key_of_which_nothing_is_intact_is_an_error_until_it_is_put(size: int) -> None:
    disk = Disk()
    Store(disk).put("k", 1, "a" * size)
    spoil(disk, version_place("k", 1))
    store = Store(disk)
    for wait in (False, True):
        failed = store.ask(Get, ["k"], wait)
        assert isinstance(failed, Failed)
        assert failed.failure.kind == "StorageError"
    assert isinstance(store.put("k", 2, "new"), PutReply)
    assert store.text("k") == "new"


def test_a_store_goes_on_where_one_of_another_name_ended() -> None:
    disk = Disk()
    Store(disk, name="s2").put("k", 1, "old")
    store = Store(disk, name="s3")
    assert store.ask(Get, ["k"]).entries[0].version == {"s2": 1}
    store.put("k", 2, "new")
    assert store.ask(Get, ["k"]).entries[0].version == {"s3": 2, "s2": 1}


# ---------------------------------------------------------------- a full disk


def test_a_put_for_which_there_is_no_room_has_not_happened() -> None:
    store = Store(Disk())
    store.put("k", 1, "first")
    store.disk.bytes_max = sum(map(len, store.disk.data.values())) + 200
    batch = [
        Received("c1", Put(101, "k", LWW(2, "c1", encode("x" * 500)))),
        Received("c1", Put(102, "new", LWW(2, "c1", encode("x" * 500)))),
        Received("c2", Put(103, "small", Max(1))),
    ]
    sent = [effect.message for effect in store.journal.handle_all(batch, 0.0)]
    assert [(type(message), message.req) for message in sent] == [
        (Failed, 101),
        (Failed, 102),
        (PutReply, 103),
    ]
    assert sent[0].failure.kind == "StorageFull"
    for each in (store, Store(store.disk)):
        assert each.text("k") == "first"
        assert each.numbers("k") == [1]
        assert each.ask(Get, ["new"]).entries == [None]
        assert each.get("small") == Max(1)


def test_who_does_not_wait_for_a_full_disk_is_told_from_the_next_put_on() -> None:
    store = Store(Disk())
    store.put("before", 1, "x" * 500)
    store.disk.bytes_max = 1_000
    assert isinstance(store.put("large", 2, "x" * 5_000, sync=False), PutReply)
    assert isinstance(store.put("small", 3, "s", sync=False), PutReply)
    assert store.journal.handle(Timer(TIMER), 100.0) == [SetTimer(TIMER, 1_100.0)]
    assert Store(store.disk).text("small") == "s", "there was room for it"
    refused = store.put("larger", 4, "x" * 50_000, sync=False)
    assert isinstance(refused, Failed)
    assert refused.failure.kind == "StorageFull"
    assert store.ask(Get, ["larger"]).entries == [None]
    assert isinstance(store.put("more", 5, "m", sync=False), PutReply)
    assert Store(store.disk).text("more") == "m", "as long as the disk refuses something, all wait for it"
    store.disk.bytes_max = 0
    assert isinstance(store.ask(Delete, "large", 2**62), Failed)
    store.disk.bytes_max = 10**9
    assert store.journal.handle(Timer(TIMER), 1_100.0) == []
    assert Store(store.disk).text("large") == "x" * 5_000
    assert store.ask(Put, "later", Max(1), sync=False)
    assert "later" not in Store(store.disk).replica.records.live


def test_a_refused_deletion_may_be_asked_for_again() -> None:
    store = Store(Disk())
    store.put("k", 1, "first")
    store.disk.bytes_max = 0
    assert isinstance(store.ask(Delete, "k", 5), Failed)
    assert store.text("k") == "first"
    store.disk.bytes_max = 10**9
    assert isinstance(store.ask(Delete, "k", 6), PutReply)
    assert store.ask(Get, ["k"]).entries[0].lattice is None


def test_a_full_disk_does_not_lose_what_nobody_waits_for() -> None:
    store = Store(Disk())
    store.put("lazy", 1, "text", sync=False)
    store.disk.bytes_max = 0
    assert isinstance(store.put("k", 1, "x"), Failed)
    assert store.text("lazy") == "text"
    store.disk.bytes_max = 10**9
    store.journal.handle(Timer(TIMER), 200.0)
    assert Store(store.disk).text("lazy") == "text"


# ---------------------------------------------------------------- two tiers


@pytest.mark.parametrize("config", [KEPT, Config(memory_bytes_max=1_000)], ids=["state_dir", "scratch"])
def test_what_another_store_has_is_kept_beyond_the_limit_and_what_is_new_is_refused(config: Config) -> None:
    disk, members = Disk(), Members(["node", "s2"])
    disk.bytes_max = 2_000
    store = StoreCore(config, ReplicaCore(config))
    journal = Journal(store, disk)
    journal.handle(Received("node", Ring(1, members, 2, live=members.names, born=2)), 0.0)
    names = [f"k{number}" for number in range(8)]
    entries = [Entry(0, LWW(1, "c9", encode("x" * 900)), {"s2": number + 1}) for number in range(8)]
    gossip = Received("s2", Gossip(Told(1, 1, 8), names, entries))
    put = Received("c1", Put(1, "new", LWW(2, "c1", encode("y" * 1_500))))
    sent = [each for each in journal.handle_all([gossip, put], 1.0) if type(each) is Send]
    answers = [(each.peer, type(each.message)) for each in sent if not isinstance(each.message, Gossip)]
    assert answers == [("s2", Heard), ("c1", Failed)]
    assert list(store.replica.records.live) == names
    assert sum(map(len, disk.data.values())) > disk.bytes_max


TIGHT = Config(memory_bytes_max=3_000, history_max=2)


@given(
    operations=st.lists(
        st.tuples(st.booleans(), st.sampled_from("abcdefgh"), st.integers(0, 2_000)), max_size=40
    )
)
@pytest.mark.parametrize("state_dir", ["", "somewhere"])
def test_values_come_and_go_between_the_tiers(
    state_dir: str, operations: list[tuple[bool, str, int]]
) -> None:
    model: dict[str, str] = {}
    store = Store(Disk(), Config(memory_bytes_max=3_000, history_max=2, state_dir=state_dir))
    for stamp, (writes, key, size) in enumerate(operations, 1):
        if writes:
            model[key] = f"{stamp} " + "x" * size
            store.put(key, stamp, model[key])
        elif key in model:
            assert store.text(key) == model[key]
        assert store.replica.records.warm_bytes <= 3_000 + 2_300
    assert {key: store.text(key) for key in model} == model
    if not state_dir:
        on_disk = {place for place in store.disk.data if place[:1] == b"k"}
        versions = store.replica.records.versions
        assert on_disk <= {version_place(key, each.seq) for key in model for each in versions(key)}


def test_a_value_that_fits_nowhere_is_refused_and_the_rest_stays() -> None:
    store = Store(Disk(), TIGHT)
    store.put("k", 1, "first")
    store.disk.bytes_max = 1_000
    failed = store.put("k", 2, "x" * 5_000)
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "StorageFull"
    assert store.text("k") == "first"


def test_what_is_there_can_be_read_though_the_disk_has_no_room_for_what_would_leave_memory() -> None:
    store = Store(Disk(), Config(memory_bytes_max=3_000, history_max=1))
    names = [f"k{number}" for number in range(12)]
    for stamp, name in enumerate(names, 1):
        store.put(name, stamp, name + "x" * 800)
    store.disk.bytes_max = sum(map(len, store.disk.data.values()))
    for name in names * 3:
        assert store.text(name) == name + "x" * 800
        assert store.replica.records.warm_bytes <= 3_000
    assert isinstance(store.put("new", 99, "y" * 2_900), Failed)
    store.disk.bytes_max = 10**9
    assert isinstance(store.put("new", 99, "y" * 2_900), PutReply)
    assert [store.text(name) for name in names] == [name + "x" * 800 for name in names]


WRITE_OR_READ = st.sampled_from(["put", "put", "get", "get", "get", "delete"])


@given(
    batches=st.lists(
        st.lists(st.tuples(WRITE_OR_READ, st.sampled_from("abcdef"), st.integers(0, 1_500)), max_size=8),
        max_size=8,
    ),
    room=st.integers(0, 6_000),
)
@example(  # what a put had to let go came back with a read, and went again as if it were on disk
    batches=[
        [("put", key, 850) for key in "abc"],
        [("put", "d", 850), *(("get", key, 0) for key in "abcdab")],
    ],
    room=0,
)
def test_events_that_are_taken_together_lose_nothing_though_the_disk_is_full(
    batches: list[list[tuple[str, str, int]]], room: int
) -> None:
    store = Store(Disk(), Config(memory_bytes_max=3_000, history_max=2))
    store.disk.bytes_max = room
    model: dict[str, str] = {}
    req = 1_000
    for batch in batches:
        events, meant = [], {}
        for kind, key, size in batch:
            req += 1
            text, generation = f"{req} " + "x" * size, store.replica.records.generation(key)
            message: Any = Get(req, [key])
            if kind == "put":
                message = Put(req, key, LWW(req, "c1", encode(text)), generation)
            elif kind == "delete":
                message = Delete(req, key, req)
            meant[req] = (kind, key, text, generation)
            events.append(Received("c1", message))
        for sent in [each.message for each in store.journal.handle_all(events, 0.0) if type(each) is Send]:
            kind, key, text, generation = meant[sent.req]
            if kind == "get":
                assert isinstance(sent, GetReply)
            elif kind == "delete" and isinstance(sent, PutReply):
                model.pop(key, None)
            elif isinstance(sent, PutReply) and sent.generation == generation:
                model[key] = text
        assert {key: store.text(key) for key in model} == model


def test_what_was_found_may_be_said_of_places_of_no_kind() -> None:
    found = recover([(b"zzz", b"from another world")])
    assert isinstance(found, Recovered)
    assert found.said == ["something 'zz': it is cut off"]


def test_a_disk_that_cannot_be_read_is_an_error_to_the_reader() -> None:
    disk = Disk()
    Store(disk).put("k", 1, "a" * 1_000)
    store = Store(disk)

    def fail(place: bytes) -> bytes | None:
        raise StorageError("the disk is on fire")

    disk.read = fail  # type: ignore[method-assign]
    failed = store.ask(Get, ["k"])
    assert isinstance(failed, Failed)
    assert "on fire" in failed.failure.message
