"""Clients on other hosts, by way of the loopback interface: what works, who is refused, what is left."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import numpy as np
import pytest
import zmq

import cloudburst_nb as cb
from cloudburst_nb import runtimes
from cloudburst_nb.client import Client
from cloudburst_nb.errors import (
    CallCancelled,
    CallTimeout,
    ExecutorLost,
    FunctionNotFound,
    KeyNotFound,
    RuntimeUnavailable,
)
from cloudburst_runtime.shell import remote as remote_module
from cloudburst_runtime.shell.client import ClientShell
from cloudburst_runtime.shell.ticket import TICKET_NAME, read_ticket, split_address, write_ticket
from tests.processes.watching import (
    DEADLINE,
    PATIENCE,
    Script,
    directory_of,
    eventually,
    forget_all,
    nothing_left,
    processes_of,
)

LIMIT = 20.0
ANYWHERE = "tcp://127.0.0.1:0"


@pytest.fixture(scope="module")
def owner(home):
    """The client on the runtime's host."""
    forget_all()
    made = cb.up(executors=2, listen=ANYWHERE)
    directory = directory_of(made)
    yield made
    forget_all()
    made.down()
    eventually(lambda: nothing_left(directory), DEADLINE, f"{directory}: {processes_of(directory)}")


@pytest.fixture
def far(owner):
    """A remote client, in use within the test."""
    with cb.connect(owner.addresses[1], key_file=owner.key_file) as made:
        yield made
    runtimes.use(owner)


def of_another(path, tmp_path, **changes):
    """A copy of a connection file with other contents."""
    import msgspec

    return write_ticket(str(tmp_path), msgspec.structs.replace(read_ticket(path), **changes))


# ---------------------------------------------------------------- a remote client does what a local one does


def test_calls_and_their_errors(far):
    @cb.function
    def divide(x, y=2):
        print("dividing")
        return x / y

    assert divide(3).get(LIMIT) == 1.5
    future = divide(1, y=4)
    assert future.get(LIMIT) == 0.25
    assert "dividing" in future.stdout
    assert cb.gather(divide.map(range(200)), timeout=LIMIT) == [x / 2 for x in range(200)]
    with pytest.raises(ZeroDivisionError) as caught:
        divide(1, 0).get(LIMIT)
    assert "return x / y" in str(caught.value.__cause__)
    with pytest.raises(FunctionNotFound):
        far.call("no_such").get(LIMIT)


@pytest.mark.usefixtures("far")
def test_dags_and_futures_as_arguments():
    @cb.function
    def load(x):
        return x + 1

    @cb.function
    def left(x):
        return x * 10

    @cb.function
    def right(x):
        return x * 100

    @cb.function
    def merge(a, b):
        return [a, b]

    pipe = cb.dag("far_pipe", load >> [left, right] >> merge)
    assert pipe(1).get(LIMIT) == [20, 200]
    assert pipe(load(load(0))).get(LIMIT) == [30, 300]
    assert cb.gather([pipe(n) for n in range(50)], timeout=LIMIT) == [[n * 10, n * 100] for n in range(1, 51)]
    assert "far_pipe" in cb.dags()


def test_the_store_and_what_the_host_sees_of_it(far, owner):
    far.put("far/k", {"a": 1})
    assert owner.get("far/k") == {"a": 1}
    far.put("far/n", 2, lattice="counter")
    owner.put("far/n", 3, lattice="counter")
    assert far.get("far/n") == 5
    assert far.keys(prefix="far/") == ["far/k", "far/n"]
    far.delete("far/k")
    with pytest.raises(KeyNotFound):
        far.get("far/k")


def test_what_lies_in_the_hosts_shared_memory_is_read_and_written_from_elsewhere(far, owner):
    array = np.random.default_rng(2).random(1_000_000)
    owner.put("far/shared", array)
    assert np.array_equal(far.get("far/shared"), array)

    @cb.function
    def far_stores(cloudburst, key):
        cloudburst.put(key, cloudburst.get("far/shared") + 1)
        return cloudburst.get(key)

    assert np.array_equal(far_stores("far/more").get(LIMIT), array + 1)
    assert np.array_equal(far.get("far/more"), array + 1)
    assert np.array_equal(owner.get("far/more"), array + 1)


def test_a_large_array_there_and_back(far):
    array = np.random.default_rng(1).random(1_000_000)
    far.put("far/array", array)
    assert np.array_equal(far.get("far/array"), array)
    twice = cb.function(lambda x: x * 2, name="far_twice")
    assert np.array_equal(twice(array).get(LIMIT), array * 2)
    assert twice(cb.ref("far/array")).get(LIMIT).sum() == pytest.approx(array.sum() * 2)


@pytest.mark.usefixtures("far")
def test_a_call_whose_executor_is_killed_runs_again():
    @cb.function(retries=1)
    def die_once(cloudburst):
        if cloudburst.get("far/died") is None:
            cloudburst.put("far/died", 1)
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    @cb.function(retries=0)
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    assert die_once().get(LIMIT) == "survived"
    with pytest.raises(ExecutorLost):
        die().get(LIMIT)
    assert die_once().get(LIMIT) == "survived"


@pytest.mark.usefixtures("far")
def test_waiting_cancelling_and_timeouts():
    @cb.function
    def sleepy(cloudburst):
        cloudburst.put("far/sleeps", True)
        time.sleep(60)

    future = sleepy()
    with pytest.raises(CallTimeout):
        future.get(0.2)
    eventually(lambda: cb.get("far/sleeps", False))
    assert future.cancel()
    with pytest.raises(CallCancelled):
        future.get(LIMIT)
    again = cb.function(lambda: 1, name="far_again")
    assert cb.gather([again() for _ in range(4)], timeout=LIMIT) == [1] * 4


def test_many_threads_share_a_remote_client(far):
    inc = cb.function(lambda x: x + 1, name="far_inc")
    inc(0).get(LIMIT)
    wrong = []

    def work():
        wrong.extend(n for n in range(100) if inc(n).get(LIMIT) != n + 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
    arrived = threading.Event()
    inc(1).add_done_callback(lambda _: arrived.set())
    assert arrived.wait(LIMIT), "nobody waits, and the callback is called all the same"


def test_a_functions_directories_are_not_those_of_another_host(far, owner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONLY_FAR", "1")
    where = cb.function(lambda: (os.getcwd(), "ONLY_FAR" in os.environ), name="far_where")
    assert where().get(LIMIT) != (str(tmp_path), True)
    os.rmdir(tmp_path)
    other = cb.function(lambda: 2, name="far_other")
    assert other().get(LIMIT) == 2, "a directory that is not there does not matter"


def test_local_and_remote_clients_have_the_same_functions(far, owner):
    cb.function(lambda x: -x, name="far_negative")
    assert "far_negative" in far.functions()
    assert owner.call("far_negative", (3,)).get(LIMIT) == -3


# ---------------------------------------------------------------- what is said of it


def test_addresses_are_shown(far, owner):
    unix, tcp = owner.addresses
    assert unix == owner.address
    assert far.addresses == [far.address] == [tcp]
    assert owner.key_file == far.key_file == os.path.join(directory_of(owner), TICKET_NAME)
    for client in (far, owner):
        assert tcp in repr(client.status())
        assert owner.key_file in repr(client.status())
    assert cb.connect(tcp, key_file=owner.key_file) is far


def test_a_connection_file_is_an_address(owner):
    with cb.connect(owner.key_file) as client:
        assert client.address == owner.addresses[1]
        assert client.status().name == "local"
    assert client.closed
    assert not owner.closed
    with pytest.raises(RuntimeUnavailable, match="taken down"):
        client.put("k", 1)
    runtimes.use(owner)


# ---------------------------------------------------------------- ends


def test_the_end_of_a_remote_process_ends_its_connections_and_its_calls(owner):
    text = f"""
        import os, time
        import cloudburst_nb as cb

        client = cb.connect({owner.key_file!r})

        @cb.function
        def far_sleepy(cloudburst):
            cloudburst.put("far/asleep", os.getpid())
            time.sleep(60)

        sleepy = far_sleepy()
        while client.get("far/asleep", None) is None:
            time.sleep(0.01)
        print(client.name, flush=True)
        time.sleep(60)
        """
    before = gateway_descriptors(owner)
    with Script(text) as script:
        name = script.line()
        assert name in owner.status().clients
        assert gateway_descriptors(owner) > before
        script.process.kill()
        eventually(lambda: name not in owner.status().clients)
    eventually(lambda: gateway_descriptors(owner) <= before)
    pid = owner.get("far/asleep")
    where = cb.function(lambda: (time.sleep(0.01), os.getpid())[1], name="far_here")
    eventually(lambda: pid in cb.gather([where() for _ in range(10)], timeout=LIMIT))


def gateway_descriptors(owner):
    """How many descriptors the process has open that listens."""
    _, port = split_address(owner.addresses[1])
    pid = next(pid for pid in processes_of(directory_of(owner)) if port in listening_ports(pid))
    return len(os.listdir(f"/proc/{pid}/fd"))


def listening_ports(pid):
    inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    listening = [(row[1], row[9]) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    return {int(address.rpartition(":")[2], 16) for address, _ in listening}


# ---------------------------------------------------------------- who is refused


def test_another_client_key_is_refused_at_once(owner, tmp_path):
    public, secret = (key.decode() for key in zmq.curve_keypair())
    path = of_another(owner.key_file, tmp_path, client_key=public, client_secret=secret)
    started = time.monotonic()
    with pytest.raises(RuntimeUnavailable, match="refused the client key"):
        cb.connect(path)
    assert time.monotonic() - started < remote_module.CONNECT_SECONDS_MAX


def test_a_secret_that_does_not_belong_to_the_key_is_refused(owner, tmp_path):
    _, secret = zmq.curve_keypair()
    path = of_another(owner.key_file, tmp_path, client_secret=secret.decode())
    with pytest.raises(RuntimeUnavailable, match="cannot be used"):
        cb.connect(path)


def test_another_server_is_not_trusted(owner, tmp_path):
    public, _ = zmq.curve_keypair()
    path = of_another(owner.key_file, tmp_path, server_key=public.decode())
    with pytest.raises(RuntimeUnavailable, match="does not have the server key"):
        cb.connect(path)


def test_nobody_listens(owner, tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(RuntimeUnavailable, match=rf"{address}.*nothing listens"):
            cb.connect(address, key_file=owner.key_file)


def test_whoever_listens_and_says_nothing_is_given_up(owner, monkeypatch):
    monkeypatch.setattr(remote_module, "CONNECT_SECONDS_MAX", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RuntimeUnavailable, match=r"no answer within 0\.3 s"):
            cb.connect(address, key_file=owner.key_file)


def test_a_host_without_an_address(owner):
    with pytest.raises(RuntimeUnavailable, match=r"no\.such\.host\.invalid.*has no address"):
        cb.connect("tcp://no.such.host.invalid:1", key_file=owner.key_file)


def test_another_python_is_told_so(owner, monkeypatch):
    monkeypatch.setattr(remote_module.platform, "python_version_tuple", lambda: ("3", "2", "1"))
    with pytest.raises(RuntimeUnavailable, match=r"this is Python 3\.2"):
        cb.connect(owner.key_file)


@pytest.mark.parametrize(
    ("address", "keys", "error", "why"),
    [
        ("tcp://127.0.0.1:1", None, RuntimeUnavailable, "key_file="),
        ("tcp://127.0.0.1", "real", RuntimeUnavailable, "no TCP address"),
        ("unix:/tmp", "real", ValueError, "goes with a tcp:// address"),
        ("nowhere", None, RuntimeUnavailable, "is no address"),
    ],
)
def test_an_address_that_cannot_be(owner, address, keys, error, why):
    with pytest.raises(error, match=why):
        cb.connect(address, key_file=owner.key_file if keys else None)


def test_a_shell_takes_a_connection_file(owner):
    client = Client(ClientShell(read_ticket(owner.key_file)), None)
    client.put("far/shell", 1)
    assert owner.get("far/shell") == 1
    client.down()
