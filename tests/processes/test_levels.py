"""The consistency levels on real processes: what calls, DAGs and sessions see at each."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import ConsistencyError, LatticeMismatch
from cloudburst_nb.sessions import Session, current

pytestmark = pytest.mark.usefixtures("functions")

LIMIT = 20.0
CALLS_KILLED = 16
"""Of executors that end so often within seconds, no more are started for some time."""
LEVELS = ["lww", "dsrr", "sk", "mk", "dsc", "atomic"]


@cb.function
def look(cloudburst, key):
    return [cloudburst.get(key)]


@cb.function
def change(cloudburst, seen, key="levels/fan"):
    cloudburst.put(key, "changed")
    return [*seen, cloudburst.get(key)]


@cb.function
def again(cloudburst, seen, key="levels/fan"):
    cloudburst.recv(timeout=0.05)  # so that the other branch writes first, as a rule
    return [*seen, cloudburst.get(key)]


@cb.function
def both(cloudburst, left, right, key="levels/fan"):
    return left, right, cloudburst.get(key), cloudburst.consistency


@cb.function
def write(cloudburst, key, value):
    cloudburst.put(key, value)
    return cloudburst.get(key, siblings=True)


@cb.function
def own(consistency):
    return consistency


@pytest.fixture(scope="module")
def functions(client):
    """The functions above, with this module's runtime."""
    for made in (look, change, again, both, write, own, transfer):
        assert client.register(made._packed).version == 1


@pytest.mark.parametrize("level", LEVELS)
def test_a_dag_sees_what_its_level_promises(level):
    fan = cb.dag("fan", look >> [change, again] >> both)
    cb.delete("levels/fan")
    cb.put("levels/fan", "first")
    left, right, last, shown = fan("levels/fan", consistency=level).get(LIMIT)
    assert (left, last, shown) == (["first", "changed"], "changed", level)
    assert right[0] == "first"
    if level in ("dsrr", "atomic"):
        assert right[1] == "first"


def test_names_of_levels():
    fan = cb.dag("fan", look >> [change, again] >> both)
    names = {cb.Consistency.MULTI: "dsc", "SINGLE": "sk", "normal": "lww", cb.Consistency.DSRR: "dsrr"}
    for name, level in names.items():
        assert fan("levels/fan", consistency=name).get(LIMIT)[3] == level


def test_a_single_call_has_a_level_and_concurrent_writes_stay():
    cb.put("levels/call", "seed")
    assert write("levels/call", "a", consistency="sk").get(LIMIT) == ["a", "seed"]
    assert write("levels/call", "b", consistency="sk").get(LIMIT) == ["b", "a", "seed"]
    assert cb.get("levels/call") == "b"
    assert cb.get("levels/call", siblings=True) == ["b", "a", "seed"]
    cb.put("levels/call", "all seen", lattice="causal")
    assert cb.get("levels/call", siblings=True) == ["all seen"]


def test_an_argument_named_consistency_is_the_function_s_own():
    assert own(consistency="mine").get(LIMIT) == "mine"
    with pytest.raises(ConsistencyError):
        look("levels/call", consistency="strong")


def test_a_reference_is_read_at_the_level():
    cb.put("levels/ref", "value")

    @cb.function
    def echo(cloudburst, value):
        cloudburst.put("levels/ref", "new")
        return value, cloudburst.get("levels/ref", siblings=True)

    assert echo(cb.ref("levels/ref"), consistency="dsc").get(LIMIT) == ("value", ["new"])
    cb.put("levels/ref", "value", lattice="causal")
    assert echo(cb.ref("levels/ref"), consistency="dsrr").get(LIMIT)[0] == "value"


def test_a_session_is_one_causal_history_of_notebook_and_functions():
    with cb.session("dsc") as session:
        cb.put("levels/session", 1)
        assert write("levels/session", 2).get(LIMIT) == [2]
        cb.put("levels/session", 3)
        assert cb.get("levels/session", siblings=True) == [3]
        assert look("levels/session").get(LIMIT) == [3]
        assert cb.gather(look.map(["levels/session"] * 3)) == [[3]] * 3
    assert session.level == "dsc"
    assert look("levels/session").get(LIMIT) == [3]


def test_sessions_of_two_clients_are_in_force_side_by_side(client):
    other = object()
    with client.session("dsc") as ours, Session(other, "sk") as theirs:
        assert (current(client), current(other)) == (ours._seen, theirs._seen)
        with client.session("mk") as inner:
            assert (current(client).level, current(other)) == (inner.level, theirs._seen)
        with Session(object(), "lww"):
            cb.put("levels/two", "ours")
            assert cb.get("levels/two", siblings=True) == ["ours"]
            assert look("levels/two").get(LIMIT) == ["ours"]
        assert current(client) is ours._seen
    assert ours._seen.floor
    assert current(client) is None


def test_one_session_is_entered_by_several_threads():
    session = cb.session("dsc")

    def write(number):
        for value in range(20):
            with session, session:
                cb.put(f"thread/{number}", value)
                assert cb.get(f"thread/{number}") == value
        return current(cb.up())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [None] * 4
    with session:
        assert [cb.get(f"thread/{number}") for number in range(4)] == [19] * 4
    with pytest.raises(RuntimeError, match="at dsc> is not the one"):
        session.__exit__()


def test_sessions_within_each_other_are_one_history(client):
    levels = ("sk", "mk", "dsc")
    for outer, inner in itertools.product(levels, levels):
        key = f"levels/nested/{outer}-{inner}"
        with cb.session(outer):
            cb.put(key, 1)
            with cb.session(inner):
                assert cb.get(key) == 1
                cb.put(key, 2)
                assert cb.get(key, siblings=True) == [2]
                assert write(key, 3).get(LIMIT) == [3]
                futures = write.map([key], [4])
            assert cb.gather(futures) == [[4]]
            cb.put(key, 5)
            assert cb.get(key, siblings=True) == [5]
            with cb.session("lww"):
                cb.put(key, 6, lattice="causal")
            assert look(key).get(LIMIT) == [6]
            with cb.session(inner):
                cb.delete(key)
            assert cb.get(key, None) is None
    assert current(client) is None


def test_sessions_of_two_threads_or_tasks_know_nothing_of_each_other(client):
    async def task(number, turns):
        with cb.session("dsc"):
            cb.put("levels/task", number)
            turns[number].set()
            await turns[1 - number].wait()
            with cb.session("sk"):
                cb.put("levels/task", 10 + number)
                turns[2 + number].set()
                await turns[3 - number].wait()
            return current(client).level

    async def both_tasks():
        return await asyncio.gather(*(task(number, turns) for number in range(2)))

    turns = [asyncio.Event() for _ in range(4)]
    assert asyncio.run(both_tasks()) == ["dsc", "dsc"]
    assert sorted(cb.get("levels/task", siblings=True)) == [10, 11]

    barrier = threading.Barrier(2, timeout=LIMIT)

    def thread(number):
        with cb.session("sk"):
            cb.put("levels/thread", number)
            barrier.wait()
            with cb.session("dsc"):
                cb.put("levels/thread", 10 + number)
                barrier.wait()
        return current(client)

    with ThreadPoolExecutor(2) as pool, cb.session("dsc"):
        assert list(pool.map(thread, range(2))) == [None, None]
    assert sorted(cb.get("levels/thread", siblings=True)) == [10, 11]


def test_a_session_of_repeatable_reads():
    cb.put("levels/repeat", 1)
    with cb.session("dsrr"):
        assert cb.get("levels/repeat") == 1
        assert write("levels/repeat", 2, consistency="lww").get(LIMIT) == [2]
        assert cb.get("levels/repeat") == 1
        cb.put("levels/repeat", 3)
        assert cb.get("levels/repeat") == 3
        assert write("levels/repeat", 4).get(LIMIT) == [4]
        assert cb.get("levels/repeat") == 4


def test_sets_and_counters_stay_what_they_are():
    with cb.session("dsc"):
        cb.put("levels/set", {1})
        cb.put("levels/set", {2})
        cb.put("levels/count", 2, lattice="counter")
        assert cb.get("levels/set") == {1, 2}
        assert cb.get("levels/set", siblings=True) == [{1, 2}]
        with pytest.raises(LatticeMismatch):
            cb.put("levels/count", "a")
        assert cb.get("levels/none", "absent", siblings=True) == "absent"


def test_a_local_run_has_the_session_s_level():
    cb.put("levels/local", 1)
    with cb.session("mk"):
        assert both.local(1, 2, "levels/local") == (1, 2, 1, "mk")
    assert both.local(1, 2, "levels/local") == (1, 2, 1, "lww")


def test_writes_of_a_dag_are_published_when_it_ends_all_or_none(client):
    @cb.function
    def both_keys(cloudburst, value):
        cloudburst.put("levels/x", value)
        cloudburst.put("levels/y", [value] * 10_000)
        return value

    @cb.function
    def check(cloudburst, value):
        assert cloudburst.get("levels/x") == value
        if value == "bad":
            raise ArithmeticError(value)
        return client_sees(cloudburst)

    def client_sees(cloudburst):
        return cloudburst.consistency

    pair = cb.dag("pair", both_keys >> check)
    assert pair("good", consistency="atomic").get(LIMIT) == "atomic"
    assert (cb.get("levels/x"), cb.get("levels/y")[0]) == ("good", "good")
    with pytest.raises(ArithmeticError):
        pair("bad", consistency="atomic").get(LIMIT)
    assert (cb.get("levels/x"), cb.get("levels/y")[0]) == ("good", "good")
    assert cb.keys("levels/x") == ["levels/x"]
    assert not any("atomic" in name for name in list(cb.keys("")))
    cb.put("levels/x", "plain")
    assert cb.get("levels/x") == "plain"
    with pytest.raises(LatticeMismatch, match="holds a 'lww' lattice"):
        cb.put("levels/y", {1})


@cb.function
def transfer(cloudburst, amount):
    cloudburst.put("levels/left", cloudburst.get("levels/left") - amount)
    cloudburst.put("levels/right", cloudburst.get("levels/right") + amount)


def elsewhere(amount):
    """A transfer by a thread, which is in no session."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: transfer(amount, consistency="atomic").get(LIMIT)).result()


def test_a_block_reads_both_sides_of_a_transfer_or_none():
    cb.put("levels/left", 100)
    cb.put("levels/right", 0)
    elsewhere(10)
    session = cb.session("atomic")
    with session:
        assert cb.get("levels/left") == 90
        elsewhere(5)
        assert (cb.get("levels/right"), cb.get("levels/left")) == (10, 90)
        with session:
            assert cb.get("levels/left") == 90, "it was entered again while somebody is inside"
        transfer(1).get(LIMIT)
        assert (cb.get("levels/right"), cb.get("levels/left")) == (16, 84), "its own call"
        cb.put("levels/left", "mine")
        assert cb.get("levels/left") == "mine"
    cb.put("levels/left", 84)
    with session:
        assert (cb.get("levels/left"), cb.get("levels/right")) == (84, 16)


def test_a_block_whose_past_is_kept_no_more_is_to_begin_again():
    cb.put("levels/left", 100)
    cb.put("levels/right", 0)
    with cb.session("atomic"):
        assert cb.get("levels/left") == 100
        for _ in range(9):
            elsewhere(1)
        with pytest.raises(ConsistencyError, match="begin it again"):
            cb.get("levels/right")


def test_blocks_among_transfers_read_all_or_none():
    cb.put("levels/left", 100)
    cb.put("levels/right", 0)
    elsewhere(0)
    sums = []
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(lambda: [transfer(1, consistency="atomic").get(LIMIT) for _ in range(40)])
        while not moving.done():
            with suppress(ConsistencyError), cb.session("atomic"):
                sums.append(cb.get("levels/left") + cb.get("levels/right"))
        assert len(moving.result()) == 40
    assert sums.count(100) == len(sums) > 0
    assert (cb.get("levels/left"), cb.get("levels/right")) == (60, 40)


def test_a_call_whose_executor_is_killed_while_it_publishes_counts_once(tmp_path):
    """The first run of each call has itself killed a moment after it has ended, another moment each time."""

    @cb.function(retries=8)  # an executor may be killed for the sake of the call before, too
    def count_once(cloudburst, mark, after):
        for key in ("levels/once", "levels/as often"):
            cloudburst.put(key, (cloudburst.get(key) or 0) + 1)
        if not os.path.exists(mark):
            open(mark, "w").close()

            def kill():
                time.sleep(after)
                os.kill(os.getpid(), signal.SIGKILL)

            threading.Thread(target=kill, daemon=True).start()
        return cloudburst.get("levels/once")

    results = []
    for number in range(CALLS_KILLED):
        after = 4e-3 * number / CALLS_KILLED
        call = count_once(str(tmp_path / str(number)), after, consistency="atomic")
        results.append(call.get(LIMIT))
    assert results == list(range(1, CALLS_KILLED + 1))
    assert cb.get("levels/once") == cb.get("levels/as often") == CALLS_KILLED


@pytest.mark.parametrize("level", LEVELS)
def test_large_arrays_are_read_and_written_at_every_level(level):
    @cb.function
    def double(cloudburst, key):
        found = cloudburst.get(key)
        cloudburst.put(key, 2 * found)
        return float(cloudburst.get(key)[-1])

    key = f"levels/array/{level}"
    cb.put(key, np.ones(100_000))
    assert double(key, consistency=level).get(LIMIT) == 2.0
    assert cb.get(key)[-1] == 2.0
    assert double(key, consistency=level).get(LIMIT) == 4.0
    assert cb.get(key).sum() == 400_000.0


def test_what_cannot_be_atomic_is_refused():
    @cb.function
    def count(cloudburst):
        cloudburst.put("levels/n", 1, lattice="counter")

    with pytest.raises(ConsistencyError, match="plain values"):
        count(consistency="atomic").get(LIMIT)


@cb.lattice
class Longest:
    def __init__(self, text):
        self.text = text

    def merge(self, other):
        return max(self, other, key=lambda one: (len(one.text), one.text))


def test_a_lattice_of_one_s_own():
    @cb.function
    def put(cloudburst, text):
        cloudburst.put("levels/own", Longest(text))
        return cloudburst.get("levels/own").text

    cb.put("levels/own", Longest("four"))
    assert cb.gather(put.map(["a", "seven..", "ab"])).count("seven..") >= 1
    assert cb.get("levels/own").text == "seven.."
    with pytest.raises(LatticeMismatch):
        cb.put("levels/own", 3)
