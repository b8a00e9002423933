"""What happens when a process dies, forks or runs out of memory while it has a call."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import CallTimeout, ExecutorLost, RuntimeUnavailable, SerializationError
from tests.processes.watching import (
    PATIENCE,
    Script,
    alive,
    directory_of,
    eventually,
    nothing_left,
    runtime,
    supervisor_of,
)

LIMIT = 20.0


@pytest.fixture
def pids(client):
    """The executors' processes, by way of a status."""
    return lambda: {executor.pid for executor in client.status().executors}


# ---------------------------------------------------------------- the process ends mid-call


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("way", ["SIGKILL", "SIGSEGV", "os._exit", "abort"])
def test_a_call_without_retries_whose_executor_dies_fails_soon(way, pids):
    @cb.function(retries=0)
    def die(way):
        if way == "os._exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, {"abort": "SIGABRT"}.get(way, way)))
        time.sleep(60)

    started = time.monotonic()
    with pytest.raises(ExecutorLost, match=r"executor e\d+ was lost .*'die'") as caught:
        die(way).get(LIMIT)
    assert time.monotonic() - started < 5
    assert caught.value.definite is False
    assert ("status 3" if way == "os._exit" else "SIG") in str(caught.value)
    alive_now = cb.function(lambda: os.getpid(), name="alive_now")
    assert alive_now().get(LIMIT) in pids()


@pytest.mark.usefixtures("client")
def test_a_call_with_retries_runs_again_as_often_as_it_may():
    @cb.function(retries=2)
    def die_until(cloudburst, times):
        cloudburst.put("failures/tries", 1, lattice="counter")
        if cloudburst.get("failures/tries") <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return cloudburst.get("failures/tries")

    cb.delete("failures/tries")
    assert die_until(2).get(LIMIT) == 3
    cb.delete("failures/tries")
    with pytest.raises(ExecutorLost, match="after 2 of 2 retries"):
        die_until(100).get(LIMIT)
    assert cb.get("failures/tries") == 3


@pytest.mark.usefixtures("client")
def test_an_exception_is_never_retried():
    @cb.function(retries=5)
    def once(cloudburst):
        cloudburst.put("failures/once", 1, lattice="counter")
        raise OSError("not again")

    with pytest.raises(OSError, match="not again"):
        once().get(LIMIT)
    assert cb.get("failures/once") == 1


@pytest.mark.usefixtures("client")
def test_calls_that_wait_in_an_executor_that_dies_run_elsewhere():
    @cb.function(retries=3)
    def kill_first(cloudburst, n):
        if n == 0 and cloudburst.get("failures/killed") is None:
            cloudburst.put("failures/killed", 1)
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    cb.delete("failures/killed")
    assert cb.gather(kill_first.map(range(50)), timeout=LIMIT) == list(range(50))


@pytest.mark.usefixtures("client")
def test_a_dag_whose_executor_dies_runs_again_as_a_whole():
    @cb.function
    def begin(x):
        return x + 1

    @cb.function
    def fragile(cloudburst, x):
        if cloudburst.get("failures/dag") is None:
            cloudburst.put("failures/dag", 1)
            os._exit(1)
        return x * 2

    assert cb.dag("fragile_dag", begin >> fragile)(1).get(LIMIT) == 4


@pytest.mark.usefixtures("client")
def test_a_stateful_function_is_built_again_after_its_executor_died():
    @cb.function
    class Holder:
        def __init__(self):
            self.calls = 0

        def run(self, die):
            if die:
                os.kill(os.getpid(), signal.SIGKILL)
            self.calls += 1
            return self.calls

    assert Holder(False).get(LIMIT) == 1
    with pytest.raises(ExecutorLost):
        Holder(True).get(LIMIT)
    assert Holder(False).get(LIMIT) >= 1


@pytest.mark.usefixtures("client")
def test_all_executors_killed_come_again(pids):
    @cb.function(retries=3)
    def pid():
        return os.getpid()

    old = pids()
    for number in old:
        os.kill(number, signal.SIGKILL)
    assert pid().get(LIMIT) not in old
    eventually(lambda: len(pids() - old) >= 2 and not pids() & old)


# ---------------------------------------------------------------- forks


@pytest.mark.usefixtures("client")
def test_a_forked_child_that_comes_back_is_no_second_executor():
    @cb.function
    def fork(kind):
        child = os.fork()
        if child == 0:
            if kind == "raises":
                raise ValueError("in the child")
            return "child"
        _, status = os.waitpid(child, 0)
        return "parent", os.waitstatus_to_exitcode(status), os.getpid()

    kind, status, pid = fork("returns").get(LIMIT)
    assert (kind, status) == ("parent", 0)
    assert fork("raises").get(LIMIT)[:2] == ("parent", 1)
    again = cb.function(lambda: os.getpid(), name="again")
    eventually(lambda: pid in cb.gather([again() for _ in range(10)]))


@pytest.mark.usefixtures("client")
def test_the_library_does_not_serve_a_forked_child():
    @cb.function
    def fork(cloudburst):
        read, write = os.pipe()
        if os.fork() == 0:
            said = "served"
            try:
                cloudburst.put("failures/child", 1)
            except RuntimeUnavailable as error:
                said = str(error)
            os.write(write, said.encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        os.wait()
        return said, cloudburst.get("failures/child")

    said, written = fork().get(LIMIT)
    assert "forked" in said
    assert written is None
    assert cb.gather([fork() for _ in range(4)], timeout=LIMIT) == [(said, None)] * 4


@pytest.mark.usefixtures("client")
def test_what_a_function_did_to_its_streams_is_undone_for_the_next():
    @cb.function
    def break_streams():
        sys.stdout.close()
        sys.stdout = sys.stderr = None
        os.close(1)

    @cb.function
    def say():
        print("said")
        return os.write(1, b"written\n")

    cb.gather([break_streams() for _ in range(6)], timeout=LIMIT)
    futures = [say() for _ in range(6)]
    assert cb.gather(futures, timeout=LIMIT) == [8] * 6
    assert {future.stdout for future in futures} == {"said\nwritten\n"}


@pytest.mark.usefixtures("client")
def test_multiprocessing_works_inside_a_function():
    @cb.function
    def pool(n, method):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as workers:
            return workers.map(abs, range(-n, 0))

    assert pool(5, "fork").get(LIMIT) == [5, 4, 3, 2, 1]
    assert pool(3, "spawn").get(PATIENCE) == [3, 2, 1]


@pytest.mark.usefixtures("client")
def test_a_child_process_that_stays_does_not_hold_the_call():
    @cb.function
    def leave_behind():
        return subprocess.Popen(["sleep", "300"]).pid

    pid = leave_behind().get(LIMIT)
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("client")
def test_threads_that_a_function_leaves_running_do_no_harm():
    @cb.function
    def start():
        stop = threading.Event()
        threading.Thread(target=stop.wait, args=(60,), daemon=True).start()
        threading.Thread(target=stop.wait, args=(60,)).start()
        return 1

    assert cb.gather([start() for _ in range(5)], timeout=LIMIT) == [1] * 5


@pytest.mark.usefixtures("client")
def test_a_thread_of_a_cancelled_call_that_uses_the_library_harms_nobody():
    @cb.function
    def threaded(cloudburst):
        def use():
            while not stop.is_set():
                cloudburst.put("failures/thread", 1)

        stop = threading.Event()
        thread = threading.Thread(target=use)
        thread.start()
        try:
            time.sleep(60)
        finally:
            stop.set()

    for _ in range(3):
        cb.delete("failures/thread")
        future = threaded()
        eventually(lambda: cb.get("failures/thread", None))
        assert future.cancel()
    assert cb.function(lambda: 1, name="after_thread")().get(LIMIT) == 1


# ---------------------------------------------------------------- memory


def test_the_memory_limit_is_a_memory_error_and_the_executor_works_on(alone):
    with cb.up(executors=1, memory_limit=400_000_000):

        @cb.function(retries=0)
        def allocate(megabytes):
            return len(np.ones(megabytes * 131_072)), os.getpid()

        size, pid = allocate(50).get(LIMIT)
        assert size == 50 * 131_072
        with pytest.raises(MemoryError):
            allocate(2000).get(LIMIT)
        assert allocate(50).get(LIMIT) == (size, pid)


# ---------------------------------------------------------------- time-outs and interrupts


WAITING = """
    import os, signal, sys, threading, time
    import cloudburst_nb as cb

    cb.up(executors=2)

    @cb.function
    def sleepy(cloudburst):
        cloudburst.put("pid", os.getpid())
        time.sleep(60)

    @cb.function
    def where():
        time.sleep(0.01)
        return os.getpid()

    future = sleepy()
    while (pid := cb.get("pid", None)) is None:
        time.sleep(0.01)
    print("waiting", flush=True)
    try:
        {wait}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print("cancelled" if future.cancelled() else "goes on", flush=True)
    end = time.monotonic() + 20
    while pid not in cb.gather([where() for _ in range(10)]) and time.monotonic() < end:
        pass
    print("works on" if time.monotonic() < end else "stuck", flush=True)
"""


@pytest.mark.parametrize(
    "wait",
    [
        "future.get()",
        "future.get(timeout=50)",
        "future.exception()",
        "cb.gather([future])",
        "cb.wait([future])",
        "list(cb.as_completed([future]))",
        "cb.progress([future])",
    ],
)
def test_an_interrupt_ends_the_wait_and_cancels_the_call(home, wait):
    with Script(WAITING.replace("{wait}", wait)) as script:
        assert script.line() == "waiting"
        time.sleep(0.1)  # so that it does wait; an interrupt before that is one, too
        sent = time.monotonic()
        script.process.send_signal(signal.SIGINT)
        assert script.line() == "interrupted"
        assert time.monotonic() - sent < 2, "0.5 s on a quiet machine"
        assert script.line() == "cancelled"
        assert script.line() == "works on"
        script.end()
        assert script.process.returncode == 0, script.errors


@pytest.mark.parametrize("wait", ["future.detach().get()", "cb.wait([future.detach()])"])
def test_an_interrupt_leaves_a_detached_call_alone(home, wait):
    with Script(WAITING.replace("{wait}", wait)) as script:
        assert script.line() == "waiting"
        time.sleep(0.1)
        script.process.send_signal(signal.SIGINT)
        assert script.line() == "interrupted"
        assert script.line() == "goes on"
        script.process.kill()


def test_an_interrupt_while_many_calls_fly_leaves_a_client_that_works(home):
    text = """
        import signal, threading, time
        import cloudburst_nb as cb

        cb.up(executors=2)

        @cb.function
        def inc(x):
            return x + 1

        inc(0).get()
        print("ready", flush=True)
        interrupts = 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                while time.monotonic() < end:  # in here: between two rounds an interrupt comes as well
                    cb.gather(inc.map(range(20)))
                    inc(1).get()
                    cb.put("k", 1)
                    cb.get("k")
            except KeyboardInterrupt:
                interrupts += 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert cb.gather(inc.map(range(100)), timeout=20) == list(range(1, 101))
        cb.put("k", 2)
        assert cb.get("k") == 2
        print(interrupts, flush=True)
        """
    with Script(text) as script:
        assert script.line() == "ready"
        for _ in range(30):
            time.sleep(0.05)
            script.process.send_signal(signal.SIGINT)
        assert int(script.line()) > 10
        script.end()
        assert script.process.returncode == 0, script.errors


def test_a_runtime_that_ends_only_the_connection_is_not_said_to_be_gone() -> None:
    client = cb.up(executors=1)
    client.put("k", 1)
    hub = client._shell.hub
    hub.send_on(hub.peers["node"], b"\x03\x00\x00\x00abc")
    with pytest.raises(
        RuntimeUnavailable, match=r"the runtime runs, but has ended the connection.*cb\.connect"
    ):
        eventually(lambda: client.get("k") != 1)
    assert cb.connect(client.address).get("k") == 1
    client.down()


# ---------------------------------------------------------------- the runtime is gone


def test_a_call_after_down_says_what_to_do(alone):
    @cb.function
    def one():
        return 1

    client = cb.up(executors=1)
    assert one().get(LIMIT) == 1
    waiting = one.map([])
    pending = cb.function(lambda x: x, name="pending")(cb.ref("failures/absent"))
    cb.down()
    assert waiting == []
    with pytest.raises(RuntimeUnavailable, match=r"taken down.*cb.up\(\)"):
        pending.get(LIMIT)
    for attempt in (
        one,
        lambda: cb.put("k", 1),
        lambda: cb.get("k"),
        cb.functions,
        cb.status,
        client.status,
        lambda: client.put("k", 1),
        lambda: cb.dag("d", one),
    ):
        with pytest.raises(RuntimeUnavailable, match=r"cb\.up\(\)"):
            attempt()
    assert client.closed
    assert not cb.running()
    cb.down()
    with cb.up(executors=1):
        assert one().get(LIMIT) == 1


@pytest.mark.parametrize("victim", ["node", "supervisor"])
def test_the_death_of_the_runtime_fails_every_call_and_says_what_to_do(alone, victim):
    with runtime(executors_min=2) as client:

        @cb.function
        def sleepy():
            time.sleep(60)

        @cb.function
        def one():
            return 1

        assert one().get(LIMIT) == 1
        running, waiting = sleepy(), one(cb.ref("failures/absent"))
        supervisor = supervisor_of(directory_of(client))
        os.kill(supervisor if victim == "supervisor" else _node_of(supervisor), signal.SIGKILL)
        for future in (running, waiting):
            with pytest.raises(RuntimeUnavailable, match=r"the runtime is gone.*cb\.up\(\)"):
                future.get(LIMIT)
        with pytest.raises(RuntimeUnavailable, match=r"cb\.up\(\)"):
            one().get(LIMIT)
        with pytest.raises(RuntimeUnavailable, match=r"cb\.up\(\)"):
            cb.put("k", 1)


def test_after_its_death_a_new_runtime_starts_when_asked_for(alone):
    @cb.function
    def one():
        return 1

    client = cb.up(executors=1)
    assert one().get(LIMIT) == 1
    os.kill(supervisor_of(directory_of(client)), signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable, match=r"cb\.up\(\)"):
        eventually(lambda: one().get(LIMIT) == 0)
    assert not cb.running()
    again = cb.up(executors=2)
    assert again is not client
    assert one().get(LIMIT) == 1
    eventually(lambda: nothing_left(directory_of(client)))


def test_a_memory_limit_that_leaves_no_room_is_told(alone):
    with pytest.raises(ValueError, match="memory_limit is how many bytes"):
        cb.up(executors=1, memory_limit=100)
    with cb.up(executors=1, memory_limit=128 * 1024 * 1024):
        assert cb.function(lambda: 1, name="one")().get(LIMIT) == 1


def test_executors_that_cannot_start_are_told_with_their_reason(alone):
    with runtime(executors_min=1, executor_memory_bytes=2_000_000):
        one = cb.function(lambda: 1, name="one")
        with pytest.raises(RuntimeUnavailable, match=r"end before they are ready.*status 70"):
            one().get(LIMIT)


def _node_of(supervisor):
    """The supervisor's first child."""
    with open(f"/proc/{supervisor}/task/{supervisor}/children") as file:
        return int(file.read().split()[0])


def test_a_runtime_that_cannot_start_says_why(alone, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeUnavailable, match="did not start"):
        cb.up(executors=1)
    monkeypatch.undo()


def test_a_preload_that_fails_does_not_keep_the_runtime_from_starting(alone):
    with cb.up(executors=1, preload=["no_such_module"]):
        assert cb.function(lambda: 2, name="two")().get(LIMIT) == 2


def test_get_with_a_timeout_of_nothing_looks_and_goes(client):
    future = cb.function(lambda x: x, name="held")(cb.ref("failures/held"))
    with pytest.raises(CallTimeout):
        future.get(timeout=0)
    cb.put("failures/held", 1)
    assert future.get(LIMIT) == 1


def test_a_result_whose_class_is_not_here_is_said(client):
    @cb.function
    def foreign():
        import types

        module = types.ModuleType("only_there")
        sys.modules["only_there"] = module
        exec("class Thing: pass", module.__dict__)
        return module.Thing()

    with pytest.raises(SerializationError, match="only_there"):
        foreign().get(LIMIT)
