"""Results under keys of their own: a store keeps the latest, and nothing of a user's goes with the others."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.anna.durable import key_of
from cloudburst_runtime.anna.journal import Journal
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.results import Results, is_result, result_key
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Persist, Received, Send
from cloudburst_runtime.errors import StorageFull
from cloudburst_runtime.lattices import LWW
from cloudburst_runtime.messages import Delete, Failed, Get, Gossip, Heard, Members, Put, Ring, Told, Update
from cloudburst_runtime.values import encode

CLIENT = "c0a1b2c3d4e5f"
KEYS = [result_key(CLIENT, number) for number in range(1, 8)]


def put(core: Any, key: str, value: object = 1, req: int = 1) -> list[Any]:
    effects: list[Any] = core.handle(Received(CLIENT, Put(req, key, LWW(req, CLIENT, encode(value)))), 0.0)
    return effects


def live(core: Any) -> list[str]:
    return list(core.replica.records.live if isinstance(core, StoreCore) else core.records.live)


def test_what_users_name_alike_is_no_result() -> None:
    assert is_result(result_key(CLIENT, 1))
    names = ["result/", "result/atomic/c1-5", "result/model/3", "result/c1/accuracy", f"my/{KEYS[0]}", "k"]
    assert not any(map(is_result, names))


def test_the_oldest_go_beyond_the_number() -> None:
    replica = ReplicaCore(Config(results_max=3))
    put(replica, "result/of/mine")
    for key in KEYS[:5]:
        put(replica, key)
    assert live(replica) == ["result/of/mine", *KEYS[2:5]]


def test_the_oldest_go_beyond_the_bytes_and_the_latest_stays() -> None:
    replica = ReplicaCore(Config(results_bytes_max=10_000))
    for number, size in enumerate((4_000, 4_000, 4_000, 20_000)):
        put(replica, KEYS[number], b"x" * size)
    assert live(replica) == [KEYS[3]]


def test_what_was_deleted_counts_no_more() -> None:
    replica = ReplicaCore(Config(results_max=2))
    put(replica, KEYS[0])
    put(replica, KEYS[1])
    replica.handle(Received(CLIENT, Delete(1, KEYS[0], 5)), 0.0)
    put(replica, KEYS[2])
    assert live(replica) == [KEYS[1], KEYS[2]]


def test_who_watches_a_result_learns_that_it_is_gone() -> None:
    replica = ReplicaCore(Config(results_max=1))
    put(replica, KEYS[0])
    replica.handle(Received("e1", Get(1, [KEYS[0]], watch=True)), 0.0)
    told = [each.message for each in put(replica, KEYS[1]) if each.peer == "e1"]
    assert [(type(message), message.key, message.entry.lattice) for message in told] == [
        (Update, KEYS[0], None)
    ]


def test_the_disk_hears_of_it_and_a_restart_keeps_the_order() -> None:
    config = Config(results_max=2, state_dir="somewhere")
    replica = ReplicaCore(config)
    written: dict[bytes, Any] = {}
    for key in reversed(KEYS[:4]):  # not in the order of the keys
        for effect in put(replica, key):
            if isinstance(effect, Persist):
                written[effect.place] = effect.record
    there = [key_of(place) for place, record in written.items() if record is not None and record.lattice]
    assert there == [KEYS[1], KEYS[0]]
    again = Results(config)
    for key in sorted(there):
        again.note(key, 1)
    again.sort(there)
    assert again.oldest() == KEYS[1]


class _Full(dict[bytes, bytes]):
    """A disk that takes nothing more once it is told so."""

    full = False
    read, close = dict.get, dict.clear

    def write(self, changes: dict[bytes, bytes | None], beyond: bool = False) -> None:
        if self.full:
            raise StorageFull("it is full")
        self.update({place: data for place, data in changes.items() if data is not None})


def test_without_room_nothing_goes_either() -> None:
    replica, disk = ReplicaCore(Config(results_max=2, state_dir="somewhere")), _Full()
    journal = Journal(replica, disk)
    put(journal, KEYS[0])
    put(journal, KEYS[1])
    disk.full = True
    [refused] = put(journal, KEYS[2])
    assert isinstance(refused.message, Failed)
    assert sorted(live(replica)) == KEYS[:2]
    disk.full = False
    put(journal, KEYS[2])
    assert len(live(replica)) == 2
    assert KEYS[2] in live(replica)


def test_one_of_several_stores_tells_the_others() -> None:
    config = Config(results_max=1)
    store = StoreCore(config, ReplicaCore(config))
    members = Members(["node", "s2"])
    store.handle(Received("node", Ring(1, members, 2, live=members.names, born=2)), 0.0)
    put(store, KEYS[0])
    store.handle(Received("s2", Heard(1, Told(1, 0, 0))), 1.0)
    effects = put(store, KEYS[1], req=2)
    gossip = [each.message for each in effects if type(each) is Send and isinstance(each.message, Gossip)]
    assert [
        (key, entry.lattice is None)
        for each in gossip
        for key, entry in zip(each.keys, each.entries, strict=True)
    ] == [
        (KEYS[1], False),
        (KEYS[0], True),
    ]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.integers(0, 40))), st.integers(1, 4))
def test_what_is_left_is_within_the_bounds(notes: list[tuple[str, int | None]], most: int) -> None:
    results = Results(Config(results_max=most, results_bytes_max=60))
    left: dict[str, int] = {}
    for key, size in notes:
        results.note(key, size)
        if size is None:
            left.pop(key, None)
        else:
            left[key] = size
        while results.too_many:
            assert results.oldest() == next(iter(left))
            del left[results.oldest()]
            results.note(results.oldest(), None)
        assert len(left) <= most
        assert len(left) <= 1 or sum(left.values()) <= 60
