"""Several stores as real processes: they share the keys, come and go, and make up for one that is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_nb.errors import InvalidName, LatticeMismatch
from cloudburst_runtime import messages
from cloudburst_runtime.shell.client import ClientShell
from tests.processes.watching import directory_of, eventually, forget_all, pid_of, processes_of, runtime


def settled(client: Client, count: int) -> bool:
    reply = client._shell.ask(messages.Stores)
    return len(reply.stores) == count and bool(reply.settled)


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Each test starts its own runtime."""
    forget_all()
    yield
    forget_all()


@pytest.fixture
def client() -> Client:
    client = cb.up(executors=2, stores=3)
    eventually(lambda: settled(client, 3))
    return client


def test_stores_share_the_keys_and_functions_find_them(client: Client) -> None:
    for number in range(60):
        client.put(f"k{number}", number)
    client.put("array", np.arange(100_000))

    @client.function
    def total(cloudburst: Any, *keys: str) -> int:
        cloudburst.put("sum", sum(cloudburst.get(list(keys)).values()))
        return int(cloudburst.get("array").sum())

    assert total(*(f"k{number}" for number in range(60))).get(timeout=60) == 4999950000
    assert client.get("sum") == sum(range(60))
    assert [client.get(f"k{number}") for number in range(60)] == list(range(60))
    assert len(client.keys("k")) == 60
    assert client.get("array")[-1] == 99_999
    stores = client.stores()
    assert [store.name for store in stores] == ["node", "s2", "s3"]
    assert all(store.keys for store in stores)
    assert sum(store.keys for store in stores) == 2 * 62
    assert client.status().keys == 62


def test_nothing_acknowledged_is_lost_when_a_store_is_killed_under_load(client: Client) -> None:
    written: dict[str, int] = {}
    errors: list[Exception] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            key = f"w{number % 500}"
            try:
                client.put(key, number)
            except Exception as error:
                errors.append(error)
                return
            written[key] = number
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: len(written) > 200)
        os.kill(pid_of(directory_of(client), "s2"), signal.SIGKILL)
        before = len(written)
        eventually(lambda: settled(client, 3))  # another has taken its place
        eventually(lambda: sum(written.values()) > before)
    finally:
        stop.set()
        thread.join()
    assert not errors
    assert {key: client.get(key) for key in written} == written
    assert "s2" not in [store.name for store in client.stores()]
    os.kill(pid_of(directory_of(client), "s3"), signal.SIGKILL)
    assert {key: client.get(key) for key in written} == written


def test_a_large_value_of_a_client_that_is_gone_outlives_the_stores_that_kept_it(client: Client) -> None:
    """A store that has nothing of that client's removes its memory, and then is to have this."""
    code = (
        "import sys, numpy, cloudburst_nb as cb; cb.connect(sys.argv[1]).put('large', numpy.arange(100_000))"
    )
    subprocess.run([sys.executable, "-c", code, client.address], check=True, timeout=60)
    for victim in ("s2", "s3"):
        os.kill(pid_of(directory_of(client), victim), signal.SIGKILL)
        eventually(lambda victim=victim: victim not in [store.name for store in client.stores()])
        eventually(lambda: settled(client, 3))
        assert client.get("large")[-1] == 99_999


def test_stores_come_and_go_while_there_is_load() -> None:
    client = cb.up(executors=2)
    for number in range(300):
        client.put(f"k{number}", number)
    stop = threading.Event()
    wrong: list[str] = []

    @client.function
    def look(cloudburst: Any, key: str) -> Any:
        return cloudburst.get(key)

    def read() -> None:
        while not stop.is_set():
            for number in range(0, 300, 7):
                found = (client.get(f"k{number}"), look(f"k{number}").get(timeout=60))
                wrong.extend([f"k{number}"] if found != (number, number) else [])

    thread = threading.Thread(target=read)
    thread.start()
    try:
        name = client.add_store()
        assert client.add_store() != name
        shared = {store.name: store.keys for store in client.stores()}
        client.remove_store(name)
        client.remove_store("s3")
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert min(shared.values()) > 50
    assert sum(shared.values()) == 300  # one copy each, as a runtime with one store begins
    assert [store.name for store in client.stores()] == ["node"]
    assert [client.get(f"k{number}") for number in range(300)] == list(range(300))
    with pytest.raises(InvalidName, match="no store 's9'"):
        client.remove_store("s9")


def test_the_versions_of_a_key_go_along_when_it_is_handed_over() -> None:
    client = cb.up(executors=1, stores=2, history=5)
    eventually(lambda: settled(client, 2))
    keys = [f"k{number}" for number in range(30)]

    @client.function
    def write(cloudburst: Any, value: int) -> None:
        for key in keys:
            cloudburst.put(key, value)

    for value in range(3):
        for key in keys:
            client.put(key, value)
    write(3).get(timeout=60)
    for number in range(3):
        client.put("large", np.full(10_000, number))
        client.put("count", 1, lattice="counter")

    def versions(key: str) -> list[tuple[Any, ...]]:
        return [(each.version, each.time, each.writer, each.nbytes) for each in client.history(key)]

    shown = {key: versions(key) for key in [*keys, "large", "count"]}
    assert {len(of_key) for of_key in shown.values()} == {3, 4}
    assert {writer for of_key in shown.values() for _, _, writer, _ in of_key} == {client.name, "e1"}

    def check() -> None:
        assert {key: versions(key) for key in shown} == shown
        assert [client.get(key, version=shown[key][-1][0]) for key in keys] == [0] * len(keys)
        assert [client.get("count", version=each) for each in client.history("count")] == [3, 2, 1]
        assert [client.get("large", version=each)[-1] for each in client.history("large")] == [2, 1, 0]

    check()
    assert client.add_store() == "s3"
    check()
    client.remove_store("s2")
    check()
    os.kill(pid_of(directory_of(client), "s3"), signal.SIGKILL)
    eventually(lambda: settled(client, 2) and client.stores()[1].name == "s4")
    check()
    client.put("k0", 4)
    assert versions("k0")[1:] == shown["k0"]


def test_idle_stores_sleep() -> None:
    settings = {"stores_min": 3, "stores_max": 3, "replication": 2, "stats_ms": 50.0}
    with runtime(executors_min=1, anti_entropy_ms=100.0, **settings) as client:
        eventually(lambda: settled(client, 3))
        client.put("k", 1)
        pids = [pid_of(directory_of(client), store.name) for store in client.stores()]
        eventually(lambda: _rests(pids))


def _switches(pids: list[int]) -> list[str]:
    """How often these processes have woken up."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return [line for line in lines if line.startswith("voluntary_ctxt_switches")]


def _rests(pids: list[int]) -> bool:
    before = _switches(pids)
    time.sleep(1.5)
    return _switches(pids) == before


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"replication=2 is more than one store can keep.*stores=\(1, 2\)"):
        cb.up(stores=1, replication=2)
    with pytest.raises(ValueError, match="number from 1 to 64"):
        cb.up(stores=0)
    with pytest.raises(ValueError, match="replication"):
        cb.up(stores=2, replication=0)
    with pytest.raises(ValueError, match="replication=4 is more than 3 stores"):
        cb.up(stores=(1, 3), replication=4)


def test_stores_with_a_state_dir_lose_nothing_whoever_is_killed(tmp_path: Path) -> None:
    client = cb.up(executors=1, stores=3, replication=1, state_dir=tmp_path)
    eventually(lambda: settled(client, 3))
    for number in range(100):
        client.put(f"k{number}", number, durability="memory")
        client.put("count", 1, lattice="counter", durability="memory")
    client.put("both", "a", lattice="causal")
    client.put("set", {1, 2})
    client.delete("k99")
    client.function(lambda x: x + 1, name="more")
    expected = {f"k{number}": number for number in range(99)} | {"count": 100, "both": "a", "set": {1, 2}}

    def found(client: Client) -> dict[str, Any]:
        return {key: client.get(key) for key in client.keys("")}

    for victims in (["s2"], [store.name for store in client.stores() if store.name != "node"]):
        time.sleep(0.3)  # what is put with durability="memory" is on disk by then
        for victim in victims:
            with contextlib.suppress(OSError):
                os.kill(pid_of(directory_of(client), victim), signal.SIGKILL)
        assert {key: client.get(key) for key in expected} == expected
        assert client.get("k99", None) is None
        eventually(lambda: settled(client, 3))
        assert found(client) == expected
    assert {path.parent.name for path in tmp_path.glob("s*/data.mdb")} == {
        store.name for store in client.stores() if store.name != "node"
    }
    assert not client.status().damage
    client.put("k99", "again", durability="disk")
    for pid in processes_of(directory_of(client)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    forget_all()
    for stores in (2, 1, 3):
        client = cb.up(executors=1, stores=stores, state_dir=tmp_path)
        assert found(client) == expected | {"k99": "again"}
        assert client.get_function("more")(1).get(timeout=60) == 2
        eventually(lambda client=client, stores=stores: settled(client, stores))
        assert found(client) == expected | {"k99": "again"}
        client.put("count", 1, lattice="counter", durability="memory")  # and a good end is waited for
        expected["count"] += 1
        client.down()


def test_what_is_damaged_in_one_stores_file_is_said_and_comes_from_the_other_copy(tmp_path: Path) -> None:
    client = cb.up(executors=1, stores=3, replication=2, state_dir=tmp_path)
    eventually(lambda: settled(client, 3))
    for number in range(60):
        client.put(f"k{number}", number)
    client.down()
    path = tmp_path / "s2" / "data.mdb"
    data = bytearray(path.read_bytes())
    for place in range(2 * 4096 + 64, len(data), 512):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match="part of the state is damaged"):
        client = cb.up(executors=1, stores=3, state_dir=tmp_path)
    assert [client.get(f"k{number}") for number in range(60)] == list(range(60))
    assert client.status().damage


def test_keys_that_are_lost_with_a_store_are_said_to_be() -> None:
    client = cb.up(executors=1, stores=2, replication=1)
    eventually(lambda: settled(client, 2))
    assert not client.status().damage
    os.kill(pid_of(directory_of(client), "s2"), signal.SIGKILL)
    [line] = eventually(lambda: client.status().damage)
    assert "the store s2 has ended, and the keys that it alone kept are lost" in line


def test_a_client_on_another_host_reaches_all_stores() -> None:
    client = cb.up(executors=1, stores=3, listen="tcp://127.0.0.1:0")
    eventually(lambda: settled(client, 3))
    code = (
        "import sys, cloudburst_nb as cb; client = cb.connect(sys.argv[1], key_file=sys.argv[2])\n"
        "for number in range(30): client.put(f'k{number}', number)\n"
        "assert [client.get(f'k{number}') for number in range(30)] == list(range(30))"
    )
    command = [sys.executable, "-c", code, client.addresses[-1], client.key_file]
    subprocess.run(command, check=True, timeout=60)
    assert [client.get(f"k{number}") for number in range(30)] == list(range(30))


def test_the_command_line_lists_the_stores(client: Client) -> None:
    client.put("k", 1)

    def kv(action: str) -> list[str]:
        command = [sys.executable, "-m", "cloudburst_nb.cli", "kv", action, "--address", str(client.address)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    head, *rows = kv("nodes")
    assert head.split() == ["store", "keys", "bytes", "operations/s", "host"]
    assert [row.split()[0] for row in rows] == ["node", "s2", "s3"]
    assert kv("stats")[:3] == ["keys: 1", "stores: 3", "copies: 2"]


def test_a_key_is_kept_by_as_many_stores_as_a_user_says_whoever_comes_and_goes(client: Client) -> None:
    for number in range(30):
        client.put(f"k{number}", number)

    def replicas(key: str) -> int:
        return int(next(row.replicas for row in client.browse(key).rows() if row.key == key))

    client.replicate("k7", 3)
    assert replicas("k7") == 3
    assert client.status().keys == 30
    client.replicate("k8", 1)
    assert replicas("k8") == 1
    client.add_store()
    assert (replicas("k7"), replicas("k8")) == (3, 1)
    os.kill(pid_of(directory_of(client), "s2"), signal.SIGKILL)  # k8 may have been there alone
    eventually(lambda: "s2" not in [store.name for store in client.stores()])
    eventually(lambda: settled(client, 4))  # another one is started in its place
    assert replicas("k7") == 3
    assert client.get("k7") == 7
    client.add_store()
    client.remove_store("s3")
    assert replicas("k7") == 3
    client.replicate("k7", None)
    assert replicas("k7") == 2
    assert [client.get(f"k{number}", "gone") for number in range(30) if number != 8] == [
        number for number in range(30) if number != 8
    ]
    for copies in (0, -1, 65, "2", True, 2.0):
        with pytest.raises((TypeError, ValueError), match="copies is a"):
            client.replicate("k7", copies)  # type: ignore[arg-type]


def test_two_types_put_under_one_new_key_at_two_stores_at_once_are_both_kept(client: Client) -> None:
    """Both stores sleep while the puts arrive, so that neither can have heard of the other's."""
    writers = [client, *(Client(ClientShell(directory_of(client)), None) for _ in range(7))]
    for writer in writers:
        for number in range(20):  # of some of them the node says who keeps what
            writer.get(f"none {number}", None)
    found = met = 0
    for number in range(2_000):
        key = f"k{number}"
        homes = {writer._shell.core.requests.store.store_of(key): writer for writer in writers}
        if set(homes) != {"s2", "s3"}:
            continue
        found += 1
        met += _put_two_types(client, key, homes)
        if met == 2 or found == 40:
            break
    assert met, f"in {found} tries one store always heard of the other's put first"
    for writer in writers[1:]:
        writer.down()


def _put_two_types(client: Client, key: str, homes: dict[str, Client]) -> bool:
    """Whether both puts were acknowledged; each that was is found."""
    done: dict[str, Exception | None] = {}

    def put(store: str, value: object, lattice: str) -> None:
        try:
            homes[store].put(key, value, lattice=lattice, timeout=60)
            done[lattice] = None
        except LatticeMismatch as error:
            done[lattice] = error

    pids = [pid_of(directory_of(client), store) for store in homes]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    threads = [threading.Thread(target=put, args=("s2", 7, "max"))]
    threads.append(threading.Thread(target=put, args=("s3", {"a"}, "set")))
    for thread in threads:
        thread.start()
    time.sleep(0.05)  # for the puts to reach the sockets: if they do not, this is one more try
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    for thread in threads:
        thread.join(60)
    kept = [lattice for lattice in done if done[lattice] is None]
    assert kept, done
    values = {lattice: client.get(key, lattice=lattice) for lattice in kept}
    assert values == {lattice: {"max": 7, "set": {"a"}}[lattice] for lattice in kept}
    if len(kept) == 2:

        def read(cloudburst: Any, key: str) -> object:
            return cloudburst.get(key)

        calls = [lambda: client.function(read)(key).get(60)]
        calls.append(lambda: client.function(len)(client.ref(key)).get(60))
        for use in (*calls, lambda: client.get(key), lambda: client.put(key, 8, lattice="max")):
            with pytest.raises(LatticeMismatch, match="'max' and 'set'"):
                use()
        client.delete(key)
        client.put(key, {"a", 7})
        assert client.get(key) == {"a", 7}
    return len(kept) == 2


def test_load_starts_stores_and_raises_a_hot_key_and_rest_takes_both_back_with_nothing_lost() -> None:
    settings = {"stores_min": 1, "stores_max": 3, "replication": 1, "stats_ms": 300.0, "calm_ms": 900.0}
    limits = {"store_operations_high_per_s": 40.0, "hot_key_operations_per_s": 30.0}
    with runtime(executors_min=1, **settings, **limits) as client:
        client.put("hot", 7)
        assert [store.name for store in client.stores()] == ["node"]

        written: dict[str, int] = {}

        def is_under_load() -> bool:
            for number in range(len(written), len(written) + 25):
                assert client.get("hot") == 7
                client.put(f"k{number}", number)
                written[f"k{number}"] = number
            return len(client.stores()) == 3 and client._stores().factors.get("hot", 0) > 1

        eventually(is_under_load, 60.0)
        eventually(lambda: len(client.stores()) == 1, 60.0)
        assert client._stores().factors == {}
        assert client.get("hot") == 7
        assert {key: client.get(key) for key in written} == written
