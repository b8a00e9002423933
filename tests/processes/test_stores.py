"""Several stores as real processes: they share the keys, come and go, and make up for one that is killed."""

from __future__ import annotations

import os
import signal
import socket
import struct
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
from cloudburst_nb.errors import InvalidName, StorageError
from cloudburst_runtime import messages
from tests.processes.watching import directory_of, eventually, forget_all, runtime


def pid_of(client: Client, store: str) -> int:
    """The process that listens under a store's name."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(os.path.join(directory_of(client), store))
        return int(struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


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
        os.kill(pid_of(client, "s2"), signal.SIGKILL)
        before = len(written)
        eventually(lambda: settled(client, 3))  # another has taken its place
        eventually(lambda: sum(written.values()) > before)
    finally:
        stop.set()
        thread.join()
    assert not errors
    assert {key: client.get(key) for key in written} == written
    assert "s2" not in [store.name for store in client.stores()]
    os.kill(pid_of(client, "s3"), signal.SIGKILL)
    assert {key: client.get(key) for key in written} == written


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


def test_idle_stores_sleep() -> None:
    settings = {"stores_min": 3, "stores_max": 3, "replication": 2, "stats_ms": 50.0}
    with runtime(executors_min=1, anti_entropy_ms=100.0, **settings) as client:
        eventually(lambda: settled(client, 3))
        client.put("k", 1)
        pids = [pid_of(client, store.name) for store in client.stores()]
        eventually(lambda: _rests(pids))


def _switches(pids: list[int]) -> list[str]:
    """How often these processes have woken up."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return [line for line in lines if line.startswith("voluntary_ctxt_switches")]


def _rests(pids: list[int]) -> bool:
    before = _switches(pids)
    time.sleep(1.5)
    return _switches(pids) == before


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a state_dir"):
        cb.up(stores=2, state_dir=str(tmp_path))
    with pytest.raises(ValueError, match="number from 1 to 64"):
        cb.up(stores=0)
    with pytest.raises(ValueError, match="replication"):
        cb.up(stores=2, replication=0)
    client = cb.up(executors=1, state_dir=str(tmp_path))
    with pytest.raises(StorageError, match="state_dir"):
        client.add_store()


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
