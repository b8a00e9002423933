"""The cores with values in shared memory: holds live as objects do, and a lost value is asked for again."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from cloudburst_runtime.anna.cache import Answer, CacheCore
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import partition_of
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.errors import RuntimeUnavailable
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.lattices.wrap import is_lost, is_shared, plain, private_bytes, reveal
from cloudburst_runtime.messages import (
    Claimed,
    Compared,
    Entry,
    Failed,
    Get,
    GetReply,
    Gossip,
    Heard,
    Members,
    Message,
    Pull,
    Put,
    PutReply,
    Recalled,
    Resync,
    Ring,
    Told,
    Unwatch,
    Update,
    Want,
    Wanted,
    pack,
    unpack,
)
from cloudburst_runtime.shared import LOST, Installed, Shared, spans
from cloudburst_runtime.values import Value, decode, decode_own, encode
from tests.levels_world import CHAIN, DIAMOND, Cluster


class Held:
    """A hold that can be counted."""

    def __init__(self, memory: Memory, segment: int) -> None:
        self.memory, self.segment, self.data = memory, segment, memory.segments[segment]
        memory.holds.append(segment)

    def views(self, offset: int, lengths: list[int]) -> list[memoryview]:
        starts, _ = spans(lengths)
        data = memoryview(self.data)
        return [data[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def __del__(self) -> None:
        self.memory.holds.remove(self.segment)


class Memory:
    """Shared memory, without any."""

    def __init__(self) -> None:
        self.segments: dict[int, bytes] = {}
        self.holds: list[int] = []

    def hold(self, shared: Shared) -> Held | None:
        return Held(self, shared.segment) if shared.segment in self.segments else None

    def moved(self, value: object, segment: int, stamp: int) -> LWW:
        encoded = encode(value)
        lengths = [buffer.nbytes for buffer in encoded.buffers]
        data = bytearray(spans(lengths)[1])
        for start, buffer in zip(spans(lengths)[0], encoded.buffers, strict=True):
            data[start : start + buffer.nbytes] = buffer
        self.segments[segment] = bytes(data)
        return LWW(stamp, "w", Value(encoded.data, [], Shared("a/w", segment, 1, 0, lengths)))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    made = Memory()
    monkeypatch.setattr(Installed, "memory", made)
    yield made
    gc.collect()  # a core's table of handlers refers to the core
    assert made.holds == []


ARRAY = np.arange(10_000.0)


def over_the_wire(message: Message) -> Message:
    return unpack(pack(message))


def sent(effects: list[object]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


# ---------------------------------------------------------------- values


def test_a_shared_value_is_decoded_from_where_it_lies(memory: Memory) -> None:
    value = memory.moved({"a": ARRAY, "b": ARRAY[:5000], "c": 1}, 1, 7).value
    back = decode(value)
    np.testing.assert_array_equal(back["a"], ARRAY)
    np.testing.assert_array_equal(back["b"], ARRAY[:5000])
    assert not back["a"].flags.writeable
    assert decode_own(value)["a"].flags.writeable
    assert value.nbytes == len(value.data) + 120_000
    assert private_bytes(LWW(7, "w", value)) == len(value.data)


def test_plain_copies_out(memory: Memory) -> None:
    lattice = memory.moved(ARRAY, 1, 7)
    copy = plain(lattice)
    assert is_shared(lattice)
    assert not is_shared(copy)
    memory.segments.clear()
    np.testing.assert_array_equal(reveal(copy), ARRAY)


def test_a_lost_value_says_so(memory: Memory) -> None:
    data = pack(Put(1, "k", memory.moved(ARRAY, 1, 7)))
    memory.segments.clear()
    lattice = unpack(data).lattice
    assert is_lost(lattice)
    with pytest.raises(RuntimeUnavailable, match="no longer has this value: read its key again"):
        reveal(lattice)


# ---------------------------------------------------------------- the store


def test_the_store_holds_what_it_has_and_lets_go_of_what_it_has_no_longer(memory: Memory) -> None:
    replica = ReplicaCore(Config(history_max=1))
    for segment in (1, 2):
        put = over_the_wire(Put(segment, "k", memory.moved(ARRAY, segment, segment)))
        replica.handle(Received("c1", put), 0.0)
        del put
        assert memory.holds == [segment]


def test_a_put_whose_memory_cannot_be_reached_is_refused(memory: Memory) -> None:
    data = pack(Put(1, "k", memory.moved(ARRAY, 1, 7)))
    memory.segments.clear()
    replica = ReplicaCore(Config())
    [failed] = sent(replica.handle(Received("c1", unpack(data)), 0.0))
    assert isinstance(failed, Failed)
    assert failed.failure.kind == LOST
    assert replica.key_count == 0


def test_a_plain_get_is_answered_with_the_value_itself(memory: Memory) -> None:
    replica = ReplicaCore(Config())
    replica.handle(Received("c1", Put(1, "k", memory.moved(ARRAY, 1, 7))), 0.0)
    for wanted in (False, True):
        [reply] = sent(replica.handle(Received("c2", Get(1, ["k"], plain=wanted)), 0.0))
        assert isinstance(reply, GetReply)
        assert reply.entries[0] is not None
        assert is_shared(reply.entries[0].lattice) is not wanted
        assert reveal(reply.entries[0].lattice)[7] == 7.0


# ---------------------------------------------------------------- the cache


def cache(caching: bool = True) -> CacheCore:
    return CacheCore(Config(), "e1", HybridClock(0), caching, count(1).__next__)


def get_of(effects: list[object]) -> Get:
    [get] = [message for message in sent(effects) if isinstance(message, Get)]
    return get


def lost(memory: Memory, segment: int, stamp: int) -> LWW:
    data = pack(Put(1, "k", memory.moved(ARRAY, segment, stamp)))
    del memory.segments[segment]
    return unpack(data).lattice


def test_a_value_that_was_lost_on_its_way_is_asked_for_plain(memory: Memory) -> None:
    core = cache()
    get = get_of(core.read(5, ["k"], 0, 0.0))
    assert not get.plain
    effects = core.handle(Received("node", GetReply(get.req, [Entry(0, lost(memory, 1, 7))], 1)), 0.0)
    again = get_of(effects)
    assert again.plain
    assert not [effect for effect in effects if isinstance(effect, Answer)]
    assert core.peek("k", {}) is None
    reply = GetReply(
        again.req, [Entry(0, LWW(7, "w", encode(ARRAY)))], 1, epoch=core._sources.fresh["node"].epoch
    )
    [answer] = [e for e in core.handle(Received("node", reply), 0.0) if isinstance(e, Answer)]
    np.testing.assert_array_equal(reveal(answer.result[0].lattice), ARRAY)


def test_a_lost_update_ends_the_holding(memory: Memory) -> None:
    core = cache()
    sends = sent(core.read(5, ["k"], 0, 0.0))
    assert isinstance(sends[0], Resync)
    get = sends[1]
    assert isinstance(get, Get)
    entry = Entry(0, memory.moved(ARRAY, 1, 7))
    core.handle(Received("node", GetReply(get.req, [entry], 1, 0, sends[0].epoch)), 0.0)
    assert core.peek("k", {"node": 1}) is entry
    update = Update(sends[0].epoch, 1, 2, "k", Entry(0, lost(memory, 2, 8)))
    [unwatch] = sent(core.handle(Received("node", update), 0.0))
    assert isinstance(unwatch, Unwatch)
    assert core.peek("k", {}) is None
    assert core.nbytes == 0


def test_the_cache_counts_only_what_is_its_own(memory: Memory) -> None:
    core = cache()
    sends = sent(core.read(5, ["k"], 0, 0.0))
    lattice = memory.moved(ARRAY, 1, 7)
    core.handle(Received("node", GetReply(sends[1].req, [Entry(0, lattice)], 1, 0, sends[0].epoch)), 0.0)
    assert 0 < core.nbytes < 2000
    assert memory.holds == [1]
    del lattice
    core.handle(Received("node", Update(sends[0].epoch, 1, 2, "k", Entry(9, None))), 0.0)
    assert memory.holds == []


def test_a_write_whose_memory_the_store_cannot_reach_is_sent_again_plain(memory: Memory) -> None:
    core = cache()
    [put] = sent(core.write(5, "k", memory.moved(ARRAY, 1, 7), 0.0))
    assert isinstance(put, Put)
    failed = ReplicaCore(Config())._put("e1", Put(put.req, "k", lost(memory, 2, 7)))[0].message
    [again] = sent(core.handle(Received("node", failed), 0.0))
    assert isinstance(again, Put)
    assert not is_shared(again.lattice)
    answers = core.handle(Received("node", PutReply(again.req, 0, 1)), 0.0)
    assert [answer.op for answer in answers if isinstance(answer, Answer)] == [5]


def test_the_memory_of_a_write_is_held_until_it_is_acknowledged(memory: Memory) -> None:
    core = cache()
    lattice = memory.moved(ARRAY, 1, 7)
    [put] = sent(core.write(5, "k", lattice, 0.0))
    req = put.req
    del lattice, put
    assert memory.holds == [1]
    core.handle(Received("node", PutReply(req, 0, 1)), 0.0)
    assert memory.holds == []


# ---------------------------------------------------------------- stores on other hosts


def test_a_store_elsewhere_is_sent_bytes_whatever_way_it_gets_a_value(memory: Memory) -> None:
    store = StoreCore(Config(), ReplicaCore(Config()))
    members = Members(["node", "s2", "s3"])
    ring = Ring(1, members, 3, live=members.names, born=3, afar=["s3"])
    store.handle(Received("node", ring), 0.0)
    effects = store.handle(Received("c1", Put(1, "k", memory.moved(ARRAY, 1, 7))), 1.0)
    told = {effect.peer: effect.message.entries for effect in effects if isinstance(effect, Send)}
    assert is_shared(told["s2"][0].lattice)
    assert not is_shared(told["s3"][0].lattice)
    np.testing.assert_array_equal(reveal(told["s3"][0].lattice), ARRAY)
    [pulled] = sent(store.handle(Received("s3", Pull(1, ["k"])), 2.0))
    assert not is_shared(pulled.entries[0].lattice)
    [wanted] = sent(store.handle(Received("s3", Want(1, partition_of("k"), [])), 3.0))
    assert not is_shared(wanted.entries[0].lattice)
    [wanted] = sent(store.handle(Received("s2", Want(1, partition_of("k"), [])), 4.0))
    assert is_shared(wanted.entries[0].lattice)


def test_a_store_that_cannot_reach_what_it_lacks_asks_for_the_bytes(memory: Memory) -> None:
    """As of a client that is gone, whose arena a store has removed that had nothing in it."""
    store, part = StoreCore(Config(), ReplicaCore(Config())), partition_of("k")
    members = Members(["node", "s2"])
    ring = Ring(1, members, 2, [Members(["s2"])], live=members.names, born=2)
    store.handle(Received("node", ring), 0.0)
    [want] = sent(store.handle(Received("s2", Compared(1, [], [part])), 1.0))
    assert (type(want), want.plain) == (Want, False)
    version = {"s2": 1}
    answer = Wanted(1, part, ["k"], [Entry(0, lost(memory, 1, 7), version)])
    [want] = sent(store.handle(Received("s2", answer), 2.0))
    assert (type(want), want.plain) == (Want, True)
    answer = Wanted(1, part, ["k"], [Entry(0, LWW(7, "w", encode(ARRAY)), version)])
    assert Want not in [type(message) for message in sent(store.handle(Received("s2", answer), 3.0))]
    assert store.key_count == 1


def test_earlier_versions_go_from_store_to_store_as_current_ones_do(memory: Memory) -> None:
    config, part = Config(history_bytes_max=10**9), partition_of("k")
    members = Members(["node", "s2", "s3"])
    stores = [StoreCore(config, ReplicaCore(config, name)) for name in ("node", "s2")]
    for store, former in zip(stores, ([], [Members(["s3"])]), strict=True):
        ring = Ring(1, members, 3, former, live=members.names, born=3, afar=["s3"])
        store.handle(Received("node", ring), 0.0)
    for stamp in (7, 8):
        stores[0].handle(Received("c1", Put(stamp, "k", memory.moved(ARRAY, stamp, stamp))), 1.0)
    for peer, wants, is_sent_shared in (("s3", False, False), ("s2", False, True), ("s2", True, False)):
        [wanted] = sent(stores[0].handle(Received(peer, Want(1, part, [], wants)), 2.0))
        [earlier] = wanted.earlier["k"]
        assert is_shared(earlier.lattice) is is_sent_shared
        np.testing.assert_array_equal(reveal(earlier.lattice), ARRAY)
    stores[1].handle(Received("s3", Compared(1, [], [part])), 3.0)
    wanted.earlier["k"][0].lattice = lost(memory, 1, 7)
    [want] = sent(stores[1].handle(Received("s3", wanted), 4.0))
    assert (type(want), want.plain) == (Want, True)
    assert [version.stamp for version in stores[1].replica.records.versions("k")] == [8]


def test_a_store_is_sent_the_bytes_that_it_asks_for(memory: Memory) -> None:
    store = StoreCore(Config(), ReplicaCore(Config()))
    members = Members(["node", "s2"])
    store.handle(Received("node", Ring(1, members, 2, live=members.names, born=2)), 0.0)
    store.handle(Received("c1", Put(1, "k", memory.moved(ARRAY, 1, 7))), 1.0)
    for wanted in (False, True):
        want = Want(1, partition_of("k"), [], wanted)
        [answer] = sent(store.handle(Received("s2", want), 2.0))
        assert is_shared(answer.entries[0].lattice) is not wanted


def test_large_values_for_a_store_elsewhere_go_one_by_one(memory: Memory) -> None:
    large = np.zeros(100_000)
    store = StoreCore(Config(), ReplicaCore(Config()))
    members = Members(["node", "s2"])
    for epoch, afar in ((1, []), (2, ["s2"])):
        store.handle(Received("node", Ring(epoch, members, 2, live=members.names, born=2, afar=afar)), 0.0)
        gossip = []
        for number in range(7):  # the window is four, so some of them gather
            key = f"{epoch}-{number}"
            put = Put(10 * epoch + number, key, memory.moved(large, 10 * epoch + number, 7))
            gossip += sent(store.handle(Received("c1", put), 1.0))
        heard = Heard(gossip[-1].told.number, Told(epoch, 0, 0))
        later = [each for each in sent(store.handle(Received("s2", heard), 2.0)) if isinstance(each, Gossip)]
        assert [len(each.keys) for each in later] == ([3] if not afar else [1, 1, 1])
        heard = Heard(later[-1].told.number, Told(epoch, 0, 0))
        store.handle(Received("s2", heard), 3.0)


# ---------------------------------------------------------------- versions that a call reads again


def unreachable(memory: Memory, kind: type) -> Callable[[str, str, Message], bool]:
    """Whoever was gone when a message of this kind is under way has left memory that nobody new can reach."""

    def held(sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, kind):
            memory.segments.clear()
        return False

    return held


def test_a_version_whose_memory_cannot_be_reached_is_recalled_plain(memory: Memory) -> None:
    cluster = Cluster()
    cluster.tell("c9", "node", Put(1, "k", memory.moved(ARRAY, 1, 1)))
    cluster.start("dsrr", CHAIN)
    np.testing.assert_array_equal(cluster.get("e1", "k"), ARRAY)
    cluster.outside("k", "new", 2)
    cluster.end("e1")
    cluster.held = unreachable(memory, Recalled)
    np.testing.assert_array_equal(cluster.get("e2", "k"), ARRAY)
    assert cluster.running("e2").session.fixed["k"].holder == "e1"
    assert cluster.executors["e2"].operations.snapshots.pending == 0


def test_what_another_step_has_read_is_claimed_plain_if_its_memory_cannot_be_reached(memory: Memory) -> None:
    cluster = Cluster()
    cluster.tell("c9", "node", Put(1, "k", memory.moved(ARRAY, 1, 1)))
    cluster.start("dsrr", DIAMOND, agreeing=True)
    cluster.end("e1")
    np.testing.assert_array_equal(cluster.get("e3", "k"), ARRAY)
    cluster.outside("k", "new", 2)
    cluster.held = unreachable(memory, Claimed)
    np.testing.assert_array_equal(cluster.get("e2", "k"), ARRAY)
    assert cluster.executors["e2"].operations.snapshots.pending == 0
