"""Runtimes that listen: how they are started, how they end, and what is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import (
    RuntimeUnavailable,
)
from cloudburst_runtime.shell.ticket import TICKET_NAME
from tests.processes.watching import (
    DEADLINE,
    PATIENCE,
    Script,
    directory_of,
    eventually,
    nothing_left,
    processes_of,
)

LIMIT = 20.0
ANYWHERE = "tcp://127.0.0.1:0"


def command(*arguments):
    """The output of one command, in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run(
        [sys.executable, "-m", "cloudburst_nb.cli", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_command_line_prints_how_to_connect(alone):
    said = command("up", "--executors", "1", "--listen", ANYWHERE)
    address, tcp, *_, key_file = said.split()
    assert tcp.startswith("tcp://127.0.0.1:")
    assert tcp in command("status", key_file)
    command("kv", "put", "--address", key_file, "k", "7")
    assert command("kv", "get", "--address", address, "k") == "7\n"
    command("down", key_file)
    eventually(lambda: nothing_left(address.removeprefix("unix:")), DEADLINE)


# ---------------------------------------------------------------- ends


def test_the_end_of_the_runtime_reaches_remote_clients_and_leaves_nothing(alone):
    owner = cb.up(executors=1, listen=ANYWHERE)
    directory = directory_of(owner)
    far = cb.connect(owner.key_file)
    sleepy = cb.function(lambda: time.sleep(60), name="sleepy")
    future = sleepy()
    failed = []
    waiting = threading.Thread(target=lambda: failed.append(type(future.exception(LIMIT))))
    waiting.start()
    owner.down()
    assert nothing_left(directory)
    with pytest.raises(RuntimeUnavailable, match=r"the runtime is gone.*cb\.up\(\)"):
        future.get(LIMIT)
    waiting.join(PATIENCE)
    assert failed == [RuntimeUnavailable]
    with pytest.raises(RuntimeUnavailable):
        far.put("k", 1)
    far.down()


def test_a_remote_client_may_stop_the_runtime(alone):
    owner = cb.up(executors=1, listen=ANYWHERE)
    directory = directory_of(owner)
    cb.connect(owner.key_file).shutdown()
    eventually(lambda: nothing_left(directory), DEADLINE, f"{processes_of(directory)}")
    owner.down()


def test_the_death_of_the_owner_ends_the_gateway(alone):
    text = f"""
        import time
        import cloudburst_nb as cb

        owner = cb.up(executors=1, listen={ANYWHERE!r})
        print(owner.key_file, flush=True)
        time.sleep(60)
        """
    with Script(text) as script:
        key_file = script.line()
        far = cb.connect(key_file)
        script.end(signal.SIGKILL)
        eventually(lambda: nothing_left(os.path.dirname(key_file)), DEADLINE)
        with pytest.raises(RuntimeUnavailable):
            far.get("k")
        far.down()


# ---------------------------------------------------------------- where it cannot listen


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "tcp://127.0.0.1", "unix:/tmp/x"])
def test_an_address_to_listen_at_that_cannot_be(alone, listen):
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        cb.up(listen=listen)
    assert not cb.running()


def test_a_port_that_is_taken_is_said(alone):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RuntimeUnavailable, match=f"cannot listen at {address}: Address already in use"):
            cb.up(executors=1, listen=address)
    assert not cb.running()


# ---------------------------------------------------------------- nobody else pays


def test_without_listening_there_is_no_gateway_and_no_zeromq(alone):
    with cb.up(executors=1) as client:
        assert client.addresses == [client.address]
        assert client.key_file == ""
        assert TICKET_NAME not in os.listdir(directory_of(client))
        for pid in processes_of(directory_of(client)):
            with open(f"/proc/{pid}/maps") as maps:
                assert "libzmq" not in maps.read()
    code = "import sys, cloudburst_nb; sys.exit('zmq' in sys.modules)"
    paths = os.pathsep.join(path for path in sys.path if path)
    assert (
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}).returncode == 0
    )
