"""Executors come when calls wait and go when they are idle; direct messages between functions; rest."""

from __future__ import annotations

import os
import time

import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import CallCancelled
from tests.processes.watching import (
    alive,
    directory_of,
    eventually,
    processes_of,
    runtime,
)

pytestmark = pytest.mark.usefixtures("alone")

LIMIT = 30.0


def meet(cloudburst, me, others):
    """Tell everybody where I am, then wait for a message of each."""
    cloudburst.put("meet/addresses", {str(me): cloudburst.getid()}, lattice="map")
    addresses = {}
    while len(addresses) < others:
        addresses = cloudburst.get("meet/addresses") or {}
        time.sleep(0.005)
    for address in addresses.values():
        cloudburst.send(address, me)
    heard = set()
    while len(heard) < others:
        heard |= {message for _, message in cloudburst.recv(timeout=10)}
    return sorted(heard)


def test_ten_functions_that_wait_for_each_other_do_not_deadlock_on_two_executors():
    with cb.up(executors=2) as client:
        meeting = cb.function(meet)
        futures = [meeting(me, 10) for me in range(10)]
        assert cb.gather(futures, timeout=LIMIT) == [list(range(10))] * 10
        assert len(client.status().executors) >= 10


def test_more_functions_than_before_may_wait_for_each_other():
    with cb.up(executors=2):
        meeting = cb.function(meet)
        assert len(cb.gather([meeting(me, 10) for me in range(10)], timeout=LIMIT)) == 10

        def meet_elsewhere(cloudburst, me, others):
            cloudburst.put(f"again/{me}", cloudburst.getid())
            for other in range(others):
                while (address := cloudburst.get(f"again/{other}")) is None:
                    time.sleep(0.01)
                cloudburst.send(address, me)
            heard = set()
            while len(heard) < others:
                heard |= {message for _, message in cloudburst.recv(timeout=10)}
            return len(heard)

        again = cb.function(meet_elsewhere)
        futures = [again(me, 20) for me in range(20)]
        assert cb.gather(futures, timeout=LIMIT) == [20] * 20, "no call goes round among the blocked"


def test_messages_arrive_in_order_with_their_sender_and_late_ones_are_dropped():
    with cb.up(executors=2):

        @cb.function
        def listen(cloudburst, count):
            cloudburst.put("listen", cloudburst.getid())
            heard = []
            while len(heard) < count:
                heard += cloudburst.recv(timeout=None)
            return heard, cloudburst.recv(), cloudburst.recv(timeout=0.05)

        @cb.function
        def talk(cloudburst, to, count):
            for n in range(count):
                assert cloudburst.send(to, {"n": n})
            return cloudburst.getid()

        listener = listen(100)
        to = eventually(lambda: cb.get("listen", None))
        sender = talk(to, 100).get(LIMIT)
        heard, later, latest = listener.get(LIMIT)
        assert heard == [(sender, {"n": n}) for n in range(100)]
        assert later == latest == []
        assert talk(to, 3).get(LIMIT), "whom it was for has ended"
        assert talk("e99/c0.1.0.0", 1).get(LIMIT), "no such executor"
        with pytest.raises(ValueError, match="no id"):
            talk("nonsense", 1).get(LIMIT)


def test_a_function_may_write_to_itself_and_a_large_message_arrives():
    with cb.up(executors=1):

        @cb.function
        def echo(cloudburst, size):
            cloudburst.send(cloudburst.getid(), bytes(size))
            return [len(body) for _, body in cloudburst.recv(timeout=5)]

        assert echo(3_000_000).get(LIMIT) == [3_000_000]


def test_a_function_that_waits_for_a_message_is_cancelled():
    with cb.up(executors=1):

        @cb.function
        def wait_for_ever(cloudburst):
            cloudburst.put("waits", 1)
            cloudburst.recv(timeout=None)

        future = wait_for_ever()
        eventually(lambda: cb.get("waits", None))
        assert future.cancel()
        with pytest.raises(CallCancelled):
            future.get(LIMIT)
        assert cb.function(lambda: 1, name="one")().get(LIMIT) == 1


def test_executors_come_under_load_and_go_when_they_are_idle():
    with runtime(executors_min=1, executors_max=4, executor_idle_ms=300.0) as client:

        @cb.function
        def work():
            time.sleep(0.3)
            return os.getpid()

        pids = set(cb.gather([work() for _ in range(8)], timeout=LIMIT))
        assert 2 <= len(pids) <= 4
        eventually(lambda: len(client.status().executors) == 1)
        eventually(lambda: sum(map(alive, pids)) <= 1)
        assert work().get(LIMIT), "a call finds its executor after the others have left"
        pids = set(cb.gather([work() for _ in range(8)], timeout=LIMIT))
        assert len(pids) >= 2


def test_there_are_never_more_executors_than_allowed():
    with cb.up(executors=(1, 2)) as client:

        @cb.function
        def work():
            time.sleep(0.15)
            return os.getpid()

        assert len(set(cb.gather([work() for _ in range(12)], timeout=LIMIT))) <= 2
        assert len(client.status().executors) <= 2


def test_a_long_call_does_not_hold_up_short_ones():
    with cb.up(executors=(1, 8)):

        @cb.function
        def long(cloudburst):
            while cloudburst.get("elastic/stop") is None:
                time.sleep(0.01)

        @cb.function
        def short(x):
            return x

        blocker = long()
        assert cb.gather(short.map(range(10)), timeout=LIMIT) == list(range(10))
        assert not blocker.done()
        cb.put("elastic/stop", 1)
        blocker.get(LIMIT)


def test_executors_that_leave_lose_no_call():
    with runtime(executors_min=1, executors_max=6, executor_idle_ms=20.0, pressure_after_ms=10.0):

        @cb.function(retries=0)
        def work(n):
            time.sleep(0.004)
            return n

        for _ in range(10):
            assert cb.gather(work.map(range(40)), timeout=LIMIT) == list(range(40))
            time.sleep(0.03)


@pytest.mark.parametrize("policy", ["locality", "random", "round-robin"])
def test_every_policy_spreads_calls_over_the_executors(policy):
    with cb.up(executors=(3, 3), policy=policy) as client:
        eventually(lambda: len(client.status().executors) == 3)
        cb.put("policy/array", bytes(100_000))

        @cb.function
        def where(x=None):
            time.sleep(0.01)
            return os.getpid()

        assert len(set(cb.gather([where() for _ in range(30)], timeout=LIMIT))) == 3
        assert len(set(cb.gather([where(cb.ref("policy/array")) for _ in range(30)], timeout=LIMIT))) >= 1
        assert client.status().policy == policy


def test_locality_sends_calls_to_where_their_data_is_cached():
    with runtime(executors_min=3, locality_random_share=0.0) as client:
        eventually(lambda: len(client.status().executors) == 3)
        cb.put("local/array", bytes(1_000_000))

        @cb.function
        def where(x):
            return os.getpid()

        first = where(cb.ref("local/array")).get(LIMIT)
        assert len({where(cb.ref("local/array")).get(LIMIT) for _ in range(20)}) <= 2
        assert first in {executor.pid for executor in client.status().executors}


def test_a_gpu_function_runs_where_there_is_one():
    with cb.up(executors=1, gpus=1):
        assert cb.function(gpu=True, name="on_gpu")(lambda: 5)().get(LIMIT) == 5


def test_a_runtime_at_rest_sleeps():
    def spent(pids):
        ticks = 0
        for pid in pids:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    with cb.up(executors=2) as client:
        inc = cb.function(lambda x: x + 1, name="inc")
        assert cb.gather(inc.map(range(500)), timeout=LIMIT) == list(range(1, 501))
        inc(1).add_done_callback(lambda future: None)
        directory = directory_of(client)
        # The client's last tick and the executors' reports come within a second or two.
        quiet = eventually(lambda: _quiet(lambda: spent([*processes_of(directory), os.getpid()])))
        assert quiet


def _quiet(spent):
    """Whether two seconds pass in which less than 2 % of a core is used, this look included."""
    before = spent()
    time.sleep(2.0)
    return spent() - before <= 0.04
