"""Stores on other hosts with a disk of their own: what was acknowledged is found when all were killed."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.client import Client
from cloudburst_nb.errors import StorageError
from tests.processes.elsewhere import ANYWHERE, Elsewhere, Start, Writing, hosts, settled
from tests.processes.watching import (
    directory_of,
    eventually,
    forget_all,
    processes_of,
    runtime,
)

AWAY_MS = 300.0
KEYS = [f"k{number}" for number in range(40)]


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Each test starts its own runtimes."""
    forget_all()
    yield
    forget_all()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Start]:
    """Starts stores whose state is in `far`."""
    with hosts(tmp_path) as start:
        yield functools.partial(start, state_dir=tmp_path / "far")


@contextlib.contextmanager
def durable(state_dir: Path, **settings: Any) -> Iterator[Client]:
    with runtime(
        executors_min=1, listen=ANYWHERE, state_dir=str(state_dir), away_ms=AWAY_MS, **settings
    ) as client:
        yield client


def kill_all(client: Client, *stores: Elsewhere) -> None:
    """As when the power fails: first nothing runs any more, then nothing is there."""
    pids = [*processes_of(directory_of(client)), *(store.process.pid for store in stores)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    for store in stores:
        store.process.wait()
    eventually(lambda: not processes_of(directory_of(client)))


def away(client: Client) -> list[str]:
    return [store.name for store in client.stores() if store.away]


def lacking(client: Client) -> list[str]:
    """The keys that cannot be had; the others can, and are as they were put."""
    there = set(client.keys("k"))
    assert all(client.get(key) == number for number, key in enumerate(KEYS) if key in there)
    return [key for key in KEYS if key not in there]


def test_when_all_were_killed_what_lies_there_alone_is_waited_for_and_found(
    elsewhere: Start, tmp_path: Path
) -> None:
    array = np.arange(100_000.0)
    with durable(tmp_path / "state", replication=1) as client:
        far = elsewhere(client)
        far.joined()
        for number, key in enumerate(KEYS):
            client.put(key, number)
            client.put(f"n{key}", number, lattice="counter")
        client.put("array", array)
        kill_all(client, far)
    with durable(tmp_path / "state", replication=1) as client:
        assert away(client) == ["s2"]
        assert f"s2 on {os.uname().nodename} (away)" in repr(client.status())
        gone = lacking(client)
        assert 0 < len(gone) < len(KEYS)
        for ask in (client.get, lambda key: client.put(key, "new")):
            with pytest.raises(StorageError, match=f"s2 on {os.uname().nodename} only, which is away"):
                ask(gone[0])
        far = elsewhere(client)
        assert far.joined() == "s2"
        assert (away(client), lacking(client)) == ([], [])
        assert [client.get(f"n{key}") for key in KEYS] == list(range(len(KEYS)))
        assert np.array_equal(client.get("array"), array)
        far.send(signal.SIGKILL)  # it alone
        eventually(lambda: away(client) == ["s3"])
        assert "parts of the store are on its disk only" in client.status().damage[0]
        far = elsewhere(client)
        assert (far.joined(), lacking(client), client.status().damage) == ("s3", [], [])
        far.send(signal.SIGTERM)
        out, status = far.said()
        assert (status, "has handed over all that it had" in out) == (0, True), out
        assert (lacking(client), away(client)) == ([], [])
        assert os.listdir(tmp_path / "far") == ["cloudburst-nb.lock"]
        far = elsewhere(client)  # a new one, in the same place
        assert far.joined() == "s4"


def test_where_others_have_all_nobody_waits_and_it_gets_what_has_changed_since(
    elsewhere: Start, tmp_path: Path
) -> None:
    with durable(tmp_path / "state", replication=2) as client:
        far = elsewhere(client)
        name = far.joined()
        with Writing(client) as writing:
            client.put("deleted", 1)
            far.send(signal.SIGKILL)
            eventually(lambda: away(client) == ["s3"])
            writing.goes_on()
            client.delete("deleted")
            far = elsewhere(client)
            assert (name, far.joined()) == ("s2", "s3")
            writing.goes_on()
        eventually(lambda: settled(client, "node", "s3"))
        kill_all(client, far)
    with durable(tmp_path / "state", replication=2) as client:
        assert {key: client.get(key) for key in writing.written} == writing.written
        far = elsewhere(client)
        far.joined()
        assert {store.keys for store in client.stores()} == {len(writing.written)}
        assert client.keys("deleted") == []


def test_one_that_never_comes_back_is_given_up_and_then_refused(elsewhere: Start, tmp_path: Path) -> None:
    with durable(tmp_path / "state", replication=1) as client:
        far = elsewhere(client)
        far.joined()
        for number, key in enumerate(KEYS):
            client.put(key, number)
        far.send(signal.SIGKILL)
        eventually(lambda: away(client) == ["s3"])
        gone = lacking(client)
        assert gone
        client.remove_store("s3")
        assert (away(client), client.status().damage) == ([], [])
        assert lacking(client) == gone
        for number, key in enumerate(KEYS):
            client.put(key, number)
        out, status = elsewhere(client).said()
        assert (status, "the store in this --state-dir was given up here" in out) == (1, True), out
        kill_all(client)
    (tmp_path / "other").mkdir()
    with durable(tmp_path / "other", replication=1) as client:
        out, status = elsewhere(client).said()
        assert (status, "is one of another runtime" in out) == (1, True), out
    with durable(tmp_path / "state", replication=1) as client:
        assert (away(client), lacking(client)) == ([], [])


def test_a_runtime_in_memory_takes_none_that_has_a_disk(elsewhere: Start) -> None:
    client = cb.up(executors=1, listen=ANYWHERE)
    out, status = elsewhere(client).said()
    assert (status, "this runtime keeps its state in memory only" in out) == (1, True), out
    assert eventually(lambda: client.stores())[0].name == "node"


def test_a_store_whose_disk_is_damaged_brings_what_is_intact_and_the_runtime_says_so(
    elsewhere: Start, tmp_path: Path
) -> None:
    with durable(tmp_path / "state", replication=2) as client:
        far = elsewhere(client)
        far.joined()
        for key in KEYS:
            client.put(key, f"written under {key}")
        eventually(lambda: settled(client, "node", "s2"))
        far.send(signal.SIGKILL)
        eventually(lambda: away(client) == ["s3"])
        path = tmp_path / "far" / "store" / "data.mdb"
        data = path.read_bytes()
        assert b"written under k7" in data
        path.write_bytes(data.replace(b"written under k7", b"written under ??"))
        far = elsewhere(client)
        [line] = eventually(lambda: client.status().damage)
        assert "key 'k7'" in line
        eventually(lambda: away(client) == [] and settled(client, "node", "s3"))
        assert [client.get(key) for key in KEYS] == [f"written under {key}" for key in KEYS]
        far.send(signal.SIGTERM)
        out, status = far.said()
        assert (status, line in out) == (0, True), out
