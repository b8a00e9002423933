"""The store, from the client and from functions: lattices, deletion, sessions, many writers."""

from __future__ import annotations

import pickle
import threading
import time

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import InvalidName, KeyNotFound, LatticeMismatch, SerializationError
from tests.processes.watching import eventually

pytestmark = pytest.mark.usefixtures("client")

LIMIT = 20.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        "",
        b"",
        [],
        (),
        {},
        {"a": [1]},
        b"\x80\x04N.",
        (1, 2),
        1.5,
        True,
        frozenset({1}),
        np.float32(2),
    ],
)
def test_a_value_is_read_as_it_was_written(value):
    cb.put("store/value", value, lattice="lww")
    back = cb.get("store/value")
    assert back == value
    assert type(back) is type(value)

    @cb.function
    def read(cloudburst):
        return [cloudburst.get("store/value")]

    assert read().get(LIMIT) == [value]


@pytest.mark.parametrize("size", [0, 10, 10_000, 1_000_000])
def test_arrays_are_read_as_they_were_written_and_read_only(size):
    array = np.arange(size)
    cb.put("store/array", array)
    back = cb.get("store/array")
    np.testing.assert_array_equal(back, array)

    @cb.function
    def total(cloudburst):
        array = cloudburst.get("store/array")
        if array.nbytes > 4096:
            assert not array.flags.writeable
        return int(array.sum())

    assert total().get(LIMIT) == array.sum()


def test_a_missing_key_is_an_error_a_default_or_none():
    with pytest.raises(KeyNotFound, match="'store/missing'"):
        cb.get("store/missing")
    with pytest.raises(KeyError):
        cb.get("store/missing")
    assert cb.get("store/missing", 5) == 5
    assert cb.get("store/missing", None) is None

    @cb.function
    def look(cloudburst):
        return cloudburst.get("store/missing"), cloudburst.get(["store/missing", "store/there"])

    cb.put("store/there", 1)
    assert look().get(LIMIT) == (None, {"store/missing": None, "store/there": 1})


def test_sets_merge_and_stay_sets():
    cb.put("store/set", {1, 2})
    cb.put("store/set", {3})
    assert cb.get("store/set") == {1, 2, 3}
    cb.put("store/empty", set())
    assert cb.get("store/empty") == set()


def test_counters_of_many_writers_add_up():
    @cb.function
    def add(cloudburst, n):
        cloudburst.put("store/counter", n, lattice="counter")
        cloudburst.put("store/counts", {"even" if n % 2 == 0 else "odd": 1}, lattice="map[counter]")
        return cloudburst.get("store/counter")

    cb.put("store/counter", 1000, lattice="counter")
    seen = cb.gather(add.map(range(100)), timeout=LIMIT)
    assert cb.get("store/counter") == 1000 + sum(range(100))
    assert cb.get("store/counts") == {"even": 50, "odd": 50}
    assert all(value >= 1000 for value in seen)


def test_max_keeps_the_largest_and_maps_merge_key_by_key():
    for number in (3, 9, 4):
        cb.put("store/max", number, lattice="max")
    assert cb.get("store/max") == 9
    cb.put("store/map", {"a": 1}, lattice="map")
    cb.put("store/map", {"b": {2}}, lattice="map")
    cb.put("store/map", {"b": {3}}, lattice="map")
    assert cb.get("store/map") == {"a": 1, "b": {2, 3}}


def test_another_lattice_than_the_keys_is_refused_wherever_it_is_written():
    cb.put("store/typed", {1})

    @cb.function
    def write(cloudburst):
        cloudburst.put("store/typed", 5)

    for attempt in (lambda: cb.put("store/typed", 5), lambda: write().get(LIMIT)):
        with pytest.raises(LatticeMismatch, match="store/typed") as caught:
            attempt()
        assert isinstance(caught.value, TypeError)
    assert cb.get("store/typed") == {1}
    cb.delete("store/typed")
    cb.put("store/typed", 5)
    assert cb.get("store/typed") == 5


def test_what_cannot_be_stored_is_named():
    with pytest.raises(SerializationError, match=r"'store/bad'.*value\['lock'\].*lock"):
        cb.put("store/bad", {"lock": threading.Lock()})
    with pytest.raises(SerializationError):
        cb.put("store/bad", {object()})
    with pytest.raises(ValueError, match="lattice"):
        cb.put("store/bad", 1, lattice="heap")
    assert cb.get("store/bad", "nothing") == "nothing"


def test_a_deleted_key_is_gone_for_everybody_and_may_be_written_again():
    @cb.function
    def read(cloudburst, key):
        return cloudburst.get(key)

    @cb.function
    def delete(cloudburst, key):
        cloudburst.delete(key)
        return cloudburst.get(key)

    cb.put("store/doomed", 1)
    assert cb.gather([read("store/doomed") for _ in range(10)]) == [1] * 10
    assert delete("store/doomed").get(LIMIT) is None
    with pytest.raises(KeyNotFound):
        cb.get("store/doomed")
    assert cb.gather([read("store/doomed") for _ in range(10)]) == [None] * 10
    cb.put("store/doomed", 2)
    assert cb.gather([read("store/doomed") for _ in range(10)]) == [2] * 10
    cb.delete("store/never was")


def test_keys_are_listed_by_prefix_without_results():
    for name in ("store/list/b", "store/list/a", "store/other"):
        cb.put(name, 1)
    assert cb.keys("store/list/") == ["store/list/a", "store/list/b"]
    assert cb.keys("nothing") == []
    future = cb.function(lambda: 1, name="one")()
    assert cb.get_function("one")(1).exception(LIMIT) is not None
    key = future.key
    future.get(LIMIT)
    eventually(lambda: cb.get(key, None) == 1)
    assert not set(cb.keys()) & {key}
    assert set(cb.keys("result/")) >= {key}


# ---------------------------------------------------------------- sessions


def test_a_caller_reads_what_its_calls_wrote():
    @cb.function
    def write(cloudburst, n):
        cloudburst.put("store/mine", n)
        return n

    for n in range(50):
        write(n).get(LIMIT)
        assert cb.get("store/mine") == n


def test_a_call_reads_what_its_caller_wrote():
    @cb.function
    def read(cloudburst):
        return cloudburst.get("store/told")

    for n in range(50):
        cb.put("store/told", n)
        assert read().get(LIMIT) == n


def test_a_dag_reads_what_its_earlier_functions_wrote():
    @cb.function
    def write(cloudburst, n):
        cloudburst.put("store/step", n)
        return n

    @cb.function
    def compare(cloudburst, n):
        return cloudburst.get("store/step") == n

    pipe = cb.dag("steps", write >> compare)
    assert all(pipe(n).get(LIMIT) for n in range(50))


def test_a_function_reads_its_own_writes_and_not_its_own_objects():
    @cb.function
    def own(cloudburst):
        value = [1]
        cloudburst.put("store/own", value)
        value.append(2)
        read = cloudburst.get("store/own")
        read.append(3)
        return cloudburst.get("store/own")

    assert own().get(LIMIT) == [1]


def test_a_cached_value_is_renewed_when_another_writes():
    @cb.function
    def wait_for(cloudburst, value):
        cloudburst.put("store/polls", 1, lattice="counter")
        deadline = time.monotonic() + 15
        while (seen := cloudburst.get("store/renewed")) != value and time.monotonic() < deadline:
            time.sleep(0.005)
        return seen

    cb.put("store/renewed", "old")
    future = wait_for("new")
    eventually(lambda: cb.get("store/polls", 0))
    cb.put("store/renewed", "new")
    assert future.get(LIMIT) == "new"


def test_threads_of_a_function_may_use_the_store():
    @cb.function
    def parallel(cloudburst):
        def use(n):
            for _ in range(20):
                cloudburst.put("store/threads", 1, lattice="counter")
            seen.append(cloudburst.get("store/threads"))

        seen = []
        threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(seen), cloudburst.get("store/threads")

    assert parallel().get(LIMIT) == (4, 80)


def test_a_library_that_was_kept_does_not_serve_after_its_call():
    @cb.function
    class Keeper:
        def __init__(self):
            self.kept = None

        def run(self, cloudburst, again):
            if not again:
                self.kept = cloudburst
                return "kept"
            threads = []
            thread = threading.Thread(target=lambda: threads.append(1))
            thread.start()
            thread.join()
            return self.kept is None or self.kept.get("store/there")

    cb.put("store/there", 1)
    assert Keeper(False).get(LIMIT) == "kept"
    assert Keeper(True).get(LIMIT)


def test_the_library_cannot_be_sent():
    @cb.function
    def give(cloudburst):
        return cloudburst

    with pytest.raises(SerializationError):
        give().get(LIMIT)


def test_a_burst_of_writes_from_threads_of_the_client_is_stored():
    def write(thread):
        for n in range(40):
            cb.put(f"store/burst/{thread}/{n}", n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cb.keys("store/burst/")) == 160
    status = cb.status()
    assert status.keys >= 160
    assert status.store_bytes > 0


def test_the_bytes_of_an_array_are_a_whole_pickle():
    cb.put("store/whole", np.arange(100_000))

    @cb.function
    def raw(cloudburst):
        return cloudburst.get("store/whole", deserialize=False)

    assert int(pickle.loads(raw().get(LIMIT))[-1]) == 99_999


@pytest.mark.parametrize(
    ("lattice", "first", "second", "seen"),
    [
        ("ordered-set", ["b"], ["a", 1], [1, "a", "b"]),
        ("min", 3, 2.5, 2.5),
        ("bool", True, False, True),
        ("grow", 2, 3, 5),
        ("priority", (2, "later"), (1, ["first"]), (1, ["first"])),
        ("clock", {"a": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 1}),
        ("map[grow]", {"x": 1}, {"x": 1, "y": 2}, {"x": 2, "y": 2}),
    ],
)
def test_client_and_function_merge_into_one_key(lattice, first, second, seen):
    key = f"store/merged/{lattice}"
    cb.put(key, first, lattice=lattice)

    @cb.function
    def merge(cloudburst, key, value, lattice):
        cloudburst.put(key, value, lattice=lattice)
        return cloudburst.get(key)

    assert merge(key, second, lattice).get(LIMIT) == seen
    assert cb.get(key) == seen


def test_two_lattices_under_one_key_are_an_error_everywhere():
    cb.put("store/mixed", 1, lattice="grow")
    text = "key 'store/mixed' holds a 'grow' lattice, and a '{}' value was put"
    with pytest.raises(LatticeMismatch, match=text.format("counter")):
        cb.put("store/mixed", 1, lattice="counter")
    with pytest.raises(LatticeMismatch, match=text.format("lww")):
        cb.CloudburstConnection().put_object("store/mixed", 1)

    @cb.function
    def mix(cloudburst):
        cloudburst.put("store/mixed", {"a"})

    with pytest.raises(LatticeMismatch, match=text.format("set")):
        mix().get(LIMIT)
    cb.put("store/mixed/map", {"n": 1}, lattice="map[grow]")
    with pytest.raises(LatticeMismatch, match="'n' of the map under key 'store/mixed/map' holds a 'grow'"):
        cb.put("store/mixed/map", {"n": 1}, lattice="map[max]")
    assert (cb.get("store/mixed"), cb.get("store/mixed/map")) == (1, {"n": 1})


@pytest.mark.parametrize("version", ["nope", 1.5, True])
def test_what_is_no_version_is_refused_here(version):
    """On the wire it would be no message, and the connection would end."""
    cb.put("versioned", 1)
    with pytest.raises(TypeError, match="version= takes a number that history shows"):
        cb.get("versioned", version=version)
    with pytest.raises(cb.errors.KeyNotFound):
        cb.get("versioned", version=2**70)
    assert cb.get("versioned", version=cb.history("versioned")[0].version) == 1


def test_the_package_means_the_same_store_inside_a_function(client):
    @cb.function
    def count(key):
        cb.put(key, 1, lattice="counter")
        return cb.get(key), cb.up().address, "count" in cb.functions()

    @cb.function
    def begin():
        return cb.up().address

    assert begin().get(timeout=20) == client.address
    cb.put("store/inside", 1, lattice="counter")
    assert count("store/inside").get(timeout=20) == (2, client.address, True)
    assert cb.get("store/inside") == 2


@pytest.mark.parametrize("wrong", [None, 5, b"a", "\ud800"])
def test_what_cannot_be_sent_is_refused_here_and_the_runtime_goes_on(client, wrong):
    """A message that the node cannot read makes it hang up, which is the end of the runtime for its owner."""
    for ask in (cb.keys, cb.get_dag, cb.remove_store):
        with pytest.raises((TypeError, InvalidName)):
            ask(wrong)
    if wrong is not None:
        with pytest.raises(InvalidName):
            client.call("inside", (), continuation=wrong)
    with pytest.raises(ValueError, match="kind is one of function, dag"):
        client.call("inside", (), kind=wrong)
    with pytest.raises(ValueError, match="retries is a number"):
        client.call("inside", (), retries=2**70)
    for given in ({"args": 5}, {"kwargs": {5: 1}}, {"node_args": [1]}):
        with pytest.raises(TypeError, match="args is a"):
            client.call("inside", **given)
    assert cb.keys("no such") == []
