"""Stores on other hosts, by way of the loopback interface: they join, serve, leave, die, and are given up.

The other host is a process with a directory of its own, which reaches the runtime by TCP only.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

import cloudburst_nb as cb
from cloudburst_nb import runtimes
from cloudburst_runtime.shell.ticket import read_ticket, write_ticket
from tests.processes.elsewhere import ANYWHERE, Start, Writing, hosts, settled
from tests.processes.watching import alive, directory_of, eventually, forget_all, runtime

SILENCE_MS = 3_000


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Each test starts its own runtime."""
    forget_all()
    yield
    forget_all()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Start]:
    with hosts(tmp_path) as start:
        yield start


def test_a_store_elsewhere_has_its_share_serves_it_and_hands_it_over(elsewhere: Start) -> None:
    client = cb.up(executors=2, listen=ANYWHERE)
    array = np.arange(1_000_000.0)
    for number in range(60):
        client.put(f"k{number}", number)
    for number in range(4):
        client.put(f"early{number}", array + number)
    far, farther = elsewhere(client), elsewhere(client)
    assert sorted([far.joined(), farther.joined()]) == ["s2", "s3"]
    stores = {store.name: store for store in client.stores()}
    assert sum(store.keys for store in stores.values()) == 64  # one copy each
    assert min(store.keys for store in stores.values()) > 8
    assert [bool(store.host) for store in stores.values()] == [False, True, True]
    assert list(client.status().afar) == ["s2", "s3"]
    assert f"s2 on {os.uname().nodename}" in repr(client.status())

    @client.function
    def look(cloudburst: Any, number: int) -> tuple[bool, float]:
        early, late = cloudburst.get(f"early{number}"), cloudburst.get(f"late{number}")
        cloudburst.put(f"sum{number}", early + late)
        return early.flags.writeable or late.flags.writeable, float(early[1] + late[1])

    for number in range(4):
        client.put(f"late{number}", array * number)
    assert [look(n).get(timeout=60) for n in range(4)] == [(False, 1.0 + n + n) for n in range(4)]
    with cb.connect(client.addresses[1], key_file=client.key_file) as remote:
        assert [remote.get(f"k{number}") for number in range(60)] == list(range(60))
        remote.put("k60", 60)
    runtimes.use(client)

    far.send(signal.SIGTERM)
    farther.send(signal.SIGINT)
    for each in (far, farther):
        out, status = each.said()
        assert status == 0, out
        assert "hands over what it has" in out
        assert "has handed over all that it had" in out
    assert [store.name for store in client.stores()] == ["node"]
    assert [client.get(f"k{number}") for number in range(61)] == list(range(61))
    for number in range(4):
        assert np.array_equal(client.get(f"sum{number}"), array + number + array * number)


def test_nothing_acknowledged_is_lost_when_one_is_killed_under_load(elsewhere: Start) -> None:
    client = cb.up(executors=1, stores=2, listen=ANYWHERE)
    far = elsewhere(client)
    name = far.joined()
    with Writing(client) as writing:
        assert {store.name: store.keys for store in client.stores()}[name] > 20
        far.send(signal.SIGKILL)
        eventually(lambda: settled(client, "node", "s2"))
        writing.goes_on()
    assert {key: client.get(key) for key in writing.written} == writing.written
    assert not os.path.exists(os.path.join(directory_of(client), name))
    repaired = {store.name: store.keys for store in client.stores()}
    assert min(repaired.values()) >= len(writing.written)


def test_one_that_is_silent_is_given_up_and_ends_when_it_wakes(elsewhere: Start) -> None:
    settings = {"stores_min": 2, "stores_max": 2, "replication": 2, "silence_ms": SILENCE_MS}
    with runtime(executors_min=1, listen=ANYWHERE, **settings) as client:
        far = elsewhere(client)
        name = far.joined()
        assert settled(client, "node", "s2", name)
        with Writing(client) as writing:
            far.send(signal.SIGSTOP)
            eventually(lambda: settled(client, "node", "s2"))
            writing.goes_on()
            assert alive(far.process.pid)
            far.send(signal.SIGCONT)
            out, status = far.said()
            assert status == 1
            assert "the runtime cannot be reached any more" in out
            assert "3 s" in out
            again = elsewhere(client)
            assert again.joined() not in (name, "s2")
        assert {key: client.get(key) for key in writing.written} == writing.written


def test_when_the_gateway_dies_its_stores_are_lost_and_others_repair(elsewhere: Start) -> None:
    client = cb.up(executors=1, stores=2, listen=ANYWHERE)
    far = elsewhere(client)
    name = far.joined()
    for number in range(50):
        client.put(f"k{number}", number)
    with socket.socket(socket.AF_UNIX) as asker:  # who listens under its name is the gateway
        asker.connect(os.path.join(directory_of(client), name))
        gateway = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    os.kill(gateway, signal.SIGKILL)
    eventually(lambda: settled(client, "node", "s2"))
    out, status = far.said()
    assert status == 1
    assert "cannot be reached any more" in out
    assert [client.get(f"k{number}") for number in range(50)] == list(range(50))


def test_it_ends_with_the_runtime(elsewhere: Start) -> None:
    client = cb.up(executors=1, listen=ANYWHERE)
    far = elsewhere(client)
    name = far.joined()
    client.down()
    assert far.said() == (f"{name} ends: the runtime has ended\n", 1)


def test_who_may_not_join_is_told_why(elsewhere: Start, tmp_path: Path) -> None:
    client = cb.up(executors=1, listen=ANYWHERE, state_dir=tmp_path / "state")
    public, secret = (key.decode() for key in zmq.curve_keypair())
    ticket = msgspec.structs.replace(read_ticket(client.key_file), client_key=public, client_secret=secret)
    stranger = elsewhere(client, write_ticket(str(tmp_path), ticket))
    known = elsewhere(client)
    out, status = stranger.said()
    assert (status, "it refused the client key" in out) == (1, True), out
    out, status = known.said()
    assert (status, "start this store with a --state-dir of its own" in out) == (1, True), out
    assert [store.name for store in client.stores()] == ["node"]
