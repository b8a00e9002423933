"""Nothing outlives its owner, and a runtime belongs to one user and one owner at a time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import ExecutorLost, RuntimeUnavailable
from cloudburst_runtime.launch import local
from tests.processes.watching import (
    DEADLINE,
    Script,
    alive,
    directory_of,
    eventually,
    nothing_left,
    processes_of,
    supervisor_of,
)

pytestmark = pytest.mark.usefixtures("alone")

LIMIT = 20.0

OWNER = """
    import os, subprocess, sys, time
    import cloudburst_nb as cb

    client = cb.up(executors=2)

    @cb.function(retries=0)
    def start():
        import numpy
        return os.getpid(), subprocess.Popen(["sleep", "300"]).pid

    executor, child = start().get(timeout=20)
    cb.put("array", bytes(1_000_000))
    print(client.address, executor, child, flush=True)
    {then}
"""


def owner(then):
    script = Script(OWNER.replace("{then}", then))
    address, executor, child = script.line().split()
    return script, address.removeprefix("unix:"), int(executor), int(child)


def gone(directory, *pids):
    return nothing_left(directory) and not any(map(alive, pids))


# ---------------------------------------------------------------- the owner ends


@pytest.mark.parametrize(
    "then",
    [
        "",
        "cb.down()",
        "cb.down(); input()",
        "raise SystemExit(1)",
        "raise ValueError('unhandled')",
        "os._exit(3)",
        "client.shutdown()",
        "os.fork(); sys.exit()",
        "start(); time.sleep(0.05)",
    ],
    ids=["end", "down", "down and live on", "exit", "exception", "os._exit", "shutdown", "fork", "busy"],
)
def test_nothing_is_left_when_the_owner_ends(then):
    script, directory, executor, child = owner(then)
    with script:
        eventually(
            lambda: gone(directory, executor, child), DEADLINE + 1, f"{then}: {processes_of(directory)}"
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_of_a_killed_owners_runtime(number):
    script, directory, executor, child = owner("time.sleep(300)")
    with script:
        assert processes_of(directory)
        assert alive(child)
        script.end(number)
        eventually(lambda: gone(directory, executor, child), DEADLINE, f"{processes_of(directory)}")


def test_nothing_is_left_of_an_owner_that_is_killed_while_its_functions_run():
    script, directory, executor, child = owner(
        """
    @cb.function
    def spin():
        while True:
            pass

    futures = [spin() for _ in range(6)]
    time.sleep(0.3)
    print("busy", flush=True)
    time.sleep(300)
    """
    )
    with script:
        assert script.line() == "busy"
        script.end(signal.SIGKILL)
        eventually(lambda: gone(directory, executor, child), DEADLINE, f"{processes_of(directory)}")


def test_an_owner_that_is_killed_while_the_runtime_starts_leaves_nothing(home):
    text = """
        import os, signal, threading
        import cloudburst_nb as cb
        from cloudburst_runtime.launch import local

        ready = local._await_ready
        def die(process, directory):
            print(directory, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        local._await_ready = die
        cb.up(executors=2)
        """
    with Script(text) as script:
        directory = script.line()
        script.end()
        eventually(lambda: nothing_left(directory), DEADLINE, f"{processes_of(directory)}")


def test_a_user_process_in_a_session_of_its_own_ends_too():
    with cb.up(executors=1):

        @cb.function
        def detach():
            return subprocess.Popen(["sleep", "300"], start_new_session=True).pid

        pid = detach().get(LIMIT)
        assert alive(pid)
    try:
        eventually(lambda: not alive(pid), DEADLINE)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


# ---------------------------------------------------------------- a part of it ends


def test_killing_the_supervisor_leaves_nothing_and_no_wait():
    client = cb.up(executors=2)
    directory = directory_of(client)

    @cb.function
    def start():
        return os.getpid(), subprocess.Popen(["sleep", "300"]).pid

    pids = start().get(LIMIT)
    waiting = start(cb.ref("never"))
    os.kill(supervisor_of(directory), signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable, match=r"cb\.up\(\)"):
        waiting.get(LIMIT)
    eventually(lambda: gone(directory, *pids), DEADLINE, f"{processes_of(directory)}")


def test_killing_the_node_leaves_nothing_and_no_wait():
    client = cb.up(executors=2)
    directory = directory_of(client)
    one = cb.function(lambda: 1, name="one")
    assert one().get(LIMIT) == 1
    executors = {executor.pid for executor in client.status().executors}
    supervisor = supervisor_of(directory)
    node = next(pid for pid in processes_of(directory) if pid not in executors and pid != supervisor)
    os.kill(node, signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable, match=r"cb\.up\(\)"):
        eventually(lambda: one().get(LIMIT) == 0)
    eventually(lambda: gone(directory, *executors), DEADLINE, f"{processes_of(directory)}")


def test_killing_every_executor_again_and_again_hangs_nobody():
    client = cb.up(executors=2)
    slow = cb.function(lambda: time.sleep(0.02), name="slow", retries=0)
    futures = []
    for _ in range(3):
        futures += [slow() for _ in range(20)]
        for executor in client.status().executors:
            os.kill(executor.pid, signal.SIGKILL)
    for future in futures:
        error = future.exception(LIMIT)
        assert error is None or isinstance(error, ExecutorLost)
    assert slow().get(LIMIT) is None


# ---------------------------------------------------------------- directories


def test_the_directory_is_the_users_alone(home):
    with cb.up(executors=1) as client:
        directory = directory_of(client)
        for path in (home, directory):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
            assert os.stat(path).st_uid == os.getuid()
        assert stat.S_ISSOCK(os.stat(os.path.join(directory, "node")).st_mode)


def test_what_is_no_message_is_dropped_and_harms_nobody():
    with cb.up(executors=1) as client:
        one = cb.function(lambda: 1, name="one")
        assert one().get(LIMIT) == 1
        for name in ("node", client.status().executors[0].name):
            for junk in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x04\0\0\0junk", b"\xff" * 100):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(os.path.join(directory_of(client), name))
                    sock.sendall(junk)
        assert one().get(LIMIT) == 1
        assert len(client.status().executors) == 1


def test_the_next_start_sweeps_what_a_dead_runtime_left(home):
    started = local.start(local.Config(executors_min=1))
    copy = started.directory + "x"
    supervisor = supervisor_of(started.directory)
    shutil.copytree(started.directory, copy, ignore=shutil.ignore_patterns("node", "e*"))
    os.kill(supervisor, signal.SIGKILL)
    started.stop()
    os.utime(copy, (0, 0))
    with cb.up(executors=1) as client:
        assert not os.path.exists(copy)
        assert local.runtimes() == [directory_of(client)]


# ---------------------------------------------------------------- several


def test_two_runtimes_side_by_side_do_not_know_each_other():
    with cb.up(executors=1) as first, Script(OWNER.replace("{then}", "input()")) as script:
        address = script.line().split()[0]
        assert address != first.address
        assert sorted(local.runtimes()) == sorted(
            part.removeprefix("unix:") for part in (first.address, address)
        )
        cb.put("mine", 1)
        second = cb.connect(address)
        assert second.get("mine", None) is None
        assert "start" in second.functions()
        second.down()
        assert first.get("mine") == 1
        assert processes_of(address.removeprefix("unix:")), "whoever only connected ends nothing"


def test_a_second_process_connects_and_shares_functions_and_state():
    with cb.up(executors=2) as client:
        cb.function(lambda x: x + 1, name="inc")
        text = f"""
            import cloudburst_nb as cb
            with cb.connect({client.address!r}) as client:
                print(cb.get_function("inc")(1).get(timeout=20))
                cb.put("from", "second")
                cb.function(lambda x: x * 2, name="double")(4).get(timeout=20)
            """
        assert client.functions() == ["inc"]
        with Script(text) as script:
            assert script.line() == "2"
            script.end()
            assert script.process.returncode == 0, script.errors
        assert cb.get("from") == "second"
        assert cb.get_function("double")(4).get(LIMIT) == 8
        eventually(lambda: len(client.status().clients) == 1)


def test_the_calls_of_a_client_that_is_killed_are_given_up():
    with cb.up(executors=(1, 1)) as client:
        text = f"""
            import time
            import cloudburst_nb as cb
            cb.connect({client.address!r})

            @cb.function
            def sleepy(cloudburst):
                cloudburst.put("sleeps", 1)
                time.sleep(300)

            futures = [sleepy() for _ in range(3)]
            print("called", flush=True)
            time.sleep(300)
            """
        with Script(text) as script:
            assert script.line() == "called"
            eventually(lambda: cb.get("sleeps", None))
            assert len(client.status().clients) == 2
            script.end(signal.SIGKILL)
        assert cb.function(lambda: 1, name="one")().get(LIMIT) == 1
        eventually(lambda: len(client.status().clients) == 1)


def test_connecting_to_nothing_says_so(home):
    for address in (f"unix:{home}/nobody", "unix:/tmp", "tcp://1.2.3.4:5", "", None):
        with pytest.raises(RuntimeUnavailable, match=r"address|no runtime"):
            cb.connect(address)


def test_up_twice_is_the_same_runtime_and_other_settings_are_refused():
    client = cb.up(executors=2)
    assert cb.up() is client
    assert cb.up(executors=2) is client
    with pytest.raises(ValueError, match=r"other settings.*cb\.down\(\)"):
        cb.up(executors=3)
    with pytest.raises(ValueError, match=r"other settings.*cb\.down\(\)"):
        cb.up(policy="random")
    cb.down()
    with cb.up(executors=3) as other:
        assert other is not client


def test_the_first_use_starts_a_runtime():
    assert not cb.running()
    with pytest.raises(KeyError):
        cb.get("nothing yet")
    assert cb.running()


@pytest.mark.parametrize("executors", [0, -1, (3, 2), (1, 2, 3), "two", 1001])
def test_a_number_of_executors_must_make_sense(executors):
    with pytest.raises((ValueError, TypeError), match="executors"):
        cb.up(executors=executors)
    assert not cb.running()


def test_a_detached_runtime_lives_on_until_it_is_shut_down():
    text = """
        import cloudburst_nb as cb
        client = cb.up(executors=1, detach=True)
        client.put("k", 1)
        print(client.address, flush=True)
        """
    with Script(text) as script:
        address = script.line()
        script.end()
        assert script.process.returncode == 0, script.errors
    client = cb.connect(address)
    assert client.get("k") == 1
    client.shutdown()
    eventually(lambda: nothing_left(address.removeprefix("unix:")), DEADLINE)
    with pytest.raises(RuntimeUnavailable):
        cb.connect(address)


# ---------------------------------------------------------------- forks of the client


def test_a_forked_child_of_the_client_has_no_runtime_and_ends_none():
    with cb.up(executors=1) as client:
        one = cb.function(lambda: 1, name="one")
        assert one().get(LIMIT) == 1
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = "no error"
            try:
                one()
            except RuntimeUnavailable as error:
                said = str(error)
            try:
                client.put("k", 1)
            except RuntimeUnavailable as error:
                said += "\n" + str(error)
            client.down()
            os.write(write, said.encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        assert text.count("fork") == 2, text
        assert one().get(LIMIT) == 1
        assert client.get("k", None) is None


def test_a_forked_child_that_lives_on_does_not_keep_the_runtime():
    script, directory, executor, child = owner(
        """
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(300)
        os._exit(0)
    time.sleep(300)
    """
    )
    with script:
        forked = int(script.line())
        os.kill(script.pid, signal.SIGKILL)
        try:
            eventually(lambda: gone(directory, executor, child), DEADLINE, f"{processes_of(directory)}")
        finally:
            os.kill(forked, signal.SIGKILL)


def test_down_is_quick_also_when_a_forked_child_lives_on():
    client = cb.up(executors=1)
    child = os.fork()
    if child == 0:
        time.sleep(300)
        os._exit(0)
    try:
        started = time.monotonic()
        client.down()
        assert time.monotonic() - started < DEADLINE
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
