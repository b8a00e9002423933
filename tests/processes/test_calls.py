"""Single calls: what goes in and comes out, who may call what, versions, batches, time-outs, cancelling."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import threading
import time

import msgspec
import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import CallCancelled, CallTimeout, FunctionNotFound
from tests.processes.watching import eventually

pytestmark = pytest.mark.usefixtures("client")

LIMIT = 20.0


@cb.function
def is_even(n):
    return True if n == 0 else is_odd(n - 1)


@cb.function
def is_odd(n):
    return False if n == 0 else is_even(n - 1)


# ---------------------------------------------------------------- arguments and results


def test_arguments_arrive_by_position_by_name_and_by_default():
    @cb.function
    def collect(a, b=2, *rest, c=3, **more):
        return a, b, rest, c, more

    assert collect(1).get(LIMIT) == (1, 2, (), 3, {})
    assert collect(1, 5, 6, 7, c=8, d=9).get(LIMIT) == (1, 5, (6, 7), 8, {"d": 9})
    assert collect(b=1, a=0).get(LIMIT) == (0, 1, (), 3, {})


@pytest.mark.parametrize(
    "value", [None, (), (1, 2), [], [1, 2], b"", {"k": {1, 2}}, float("inf"), "ü", range(3), {1: (2,)}]
)
def test_a_value_comes_back_as_it_went(value):
    @cb.function
    def echo(x):
        return x

    back = echo(value).get(LIMIT)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("shape", [(1280,), (1000, 1048)], ids=["10 KB", "8 MB"])
def test_an_array_travels_in_and_out_and_arrives_writable(shape):
    @cb.function
    def double(x):
        x *= 2
        return x

    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    back = double(array).get(LIMIT)
    np.testing.assert_array_equal(back, array * 2)
    assert array[(0,) * array.ndim] == 0
    assert array.flat[1] == 1, "the caller's array is not touched"


def test_an_array_of_the_store_is_read_only_and_shared_by_nobody_else():
    array = np.zeros(200_000)
    cb.put("calls/zeros", array)

    @cb.function
    def spoil(x):
        try:
            x[0] = 1
        except ValueError:
            return "read-only"
        return "written"

    assert spoil(cb.ref("calls/zeros")).get(LIMIT) == "read-only"
    with pytest.raises(ValueError, match="read-only"):
        cb.get("calls/zeros")[0] = 1


def test_an_argument_that_a_call_changed_is_not_seen_by_the_next_call():
    @cb.function
    def append(into=[]):  # noqa: B006
        into.append(1)
        return len(into)

    given = [0]
    assert [append(given).get(LIMIT) for _ in range(3)] == [2, 2, 2]
    assert given == [0]


def test_lambdas_closures_partials_and_builtins_are_functions_like_others():
    offset = 10

    def shifted(x):
        return x + offset

    assert cb.function(lambda x: -x, name="negate")(3).get(LIMIT) == -3
    assert cb.function(shifted)(1).get(LIMIT) == 11
    assert cb.function(functools.partial(shifted, 5), name="fifteen")().get(LIMIT) == 15
    assert cb.function(len, name="length")([1, 2]).get(LIMIT) == 2
    offset = 20
    assert cb.get_function("shifted")(1).get(LIMIT) == 11, "captured as of registration"


def test_a_coroutine_function_runs_to_its_end():
    async def twice(x):
        return 2 * x

    @cb.function
    async def slowly(x):
        await asyncio.sleep(0.01)
        return (await asyncio.gather(*(twice(x) for _ in range(2))))[1]

    assert slowly(4).get(LIMIT) == 8


def test_functions_of_a_cell_call_each_other_in_place():
    assert is_even(10).get(LIMIT) is True
    assert is_odd(10).get(LIMIT) is False
    assert is_even.local(3) is False


def test_a_function_may_use_what_is_defined_below_it():
    @cb.function
    def first(x):
        return second(x) + 1

    def second(x):
        return 10 * x

    assert first(2).get(LIMIT) == 21


def test_a_function_with_a_first_parameter_cloudburst_gets_the_library():
    @cb.function
    def who(cloudburst, x):
        return cloudburst.getid(), cloudburst.get_id(), cloudburst.consistency, x

    mine, again, level, x = who(7).get(LIMIT)
    assert (mine, level, x) == (again, "lww", 7)


# ---------------------------------------------------------------- classes


def test_structs_of_the_notebook_go_to_functions_and_come_back(client):
    class Job(msgspec.Struct):
        name: str
        sizes: list[int] = msgspec.field(default_factory=list)

        def total(self) -> int:
            return sum(self.sizes)

    @cb.function
    def grow(job):
        assert isinstance(job, Job)
        return Job(f"{job.name}, {job.total()} grown", [2 * size for size in job.sizes])

    for _ in range(2):
        assert grow(Job("a", [1, 2])).get(LIMIT) == Job("a, 3 grown", [2, 4])
    cb.put("job", Job("kept"))
    assert grow(cb.ref("job")).get(LIMIT) == Job("kept, 0 grown")
    assert type(cb.get("job")) is Job


def test_a_class_is_built_once_per_executor_and_keeps_its_state():
    @cb.function
    class Tally:
        def __init__(self, start, step=1):
            import uuid

            self.total, self.step, self.me = start, step, uuid.uuid4().hex

        def run(self, times=1):
            self.total += self.step * times
            return os.getpid(), self.me, self.total

    tally = Tally.bind(100, step=10)
    seen = [tally().get(LIMIT) for _ in range(12)]
    builds = {pid: me for pid, me, _ in seen}
    assert len({me for _, me, _ in seen}) == len(builds)
    for pid in builds:
        totals = [total for p, _, total in seen if p == pid]
        assert totals == [100 + 10 * (i + 1) for i in range(len(totals))]
    with pytest.raises(TypeError, match="bind"):
        Tally(1)


def test_a_class_gets_the_library_in_init_and_in_run():
    cb.put("calls/base", 40)

    @cb.function
    class Offset:
        def __init__(self, cloudburst):
            self.base = cloudburst.get("calls/base")

        def run(self, cloudburst, x):
            return self.base + x, cloudburst.get("calls/base")

    assert Offset(2).get(LIMIT) == (42, 40)


def test_an_exception_in_init_is_the_calls_and_the_next_call_builds_again():
    @cb.function
    class Fragile:
        def __init__(self, cloudburst):
            if cloudburst.get("calls/fragile") is None:
                raise LookupError("no model yet")

        def run(self):
            return "built"

    with pytest.raises(LookupError, match="no model yet"):
        Fragile().get(LIMIT)
    cb.put("calls/fragile", 1)
    assert Fragile().get(LIMIT) == "built"


# ---------------------------------------------------------------- references and futures as arguments


def test_a_reference_becomes_the_value_of_its_key_by_position_and_by_name():
    cb.put("calls/a", 1)
    cb.put("calls/b", {2})

    @cb.function
    def pair(x, y, z=None):
        return x, y, z

    assert pair(cb.ref("calls/a"), 5, z=cb.ref("calls/b")).get(LIMIT) == (1, 5, {2})


def test_a_call_waits_for_its_reference_and_holds_up_nobody():
    @cb.function
    def plus_one(x):
        return x + 1

    waiting = [plus_one(cb.ref("calls/later")) for _ in range(40)]
    assert plus_one(1).get(LIMIT) == 2
    assert cb.gather(plus_one.map(range(50)), timeout=LIMIT) == list(range(1, 51))
    assert not any(future.done() for future in waiting)
    cb.put("calls/later", 41)
    assert cb.gather(waiting, timeout=LIMIT) == [42] * 40


def test_futures_are_arguments_also_of_each_other():
    @cb.function
    def add(x, y=0):
        return x + y

    first = add(1, 2)
    assert add(first, y=add(first, first)).get(LIMIT) == 9
    done = add(5)
    done.get(LIMIT)
    assert add(done, done).get(LIMIT) == 10


@pytest.mark.parametrize("wait_first", [False, True])
def test_a_failed_future_as_argument_fails_the_call_with_its_exception(wait_first):
    @cb.function
    def fail(x):
        time.sleep(0.05)
        raise KeyError(x)

    @cb.function
    def use(x):
        return x

    bad = fail("gone")
    if wait_first:
        assert isinstance(bad.exception(LIMIT), KeyError)
    with pytest.raises(KeyError, match="gone"):
        use(use(bad)).get(LIMIT)


def test_the_key_of_a_future_holds_its_value_for_anybody():
    @cb.function
    def make():
        return [1, 2]

    @cb.function
    def total(xs):
        return sum(xs)

    future = make()
    assert total(cb.ref(future.key)).get(LIMIT) == 3
    assert future.obj_id == future.key
    assert cb.get(future.key) == [1, 2]


# ---------------------------------------------------------------- many calls


def test_map_keeps_the_order_and_zips_several_iterables():
    @cb.function
    def power(x, n=2):
        return x**n

    assert cb.gather(power.map(range(200)), timeout=LIMIT) == [x * x for x in range(200)]
    assert cb.gather(power.map([2, 3], [3, 2])) == [8, 9]
    assert cb.gather([]) == []


def test_as_completed_and_wait_tell_the_quick_from_the_slow():
    @cb.function
    def gate(cloudburst, key, value):
        while cloudburst.get(key) is None:
            time.sleep(0.005)
        return value

    slow, quick = gate("calls/slow", "slow"), gate("calls/quick", "quick")
    cb.put("calls/quick", 1)
    done, not_done = cb.wait([slow, quick], timeout=LIMIT, return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({quick}, {slow})
    order = cb.as_completed([slow, quick], timeout=LIMIT)
    assert next(order).get() == "quick"
    cb.put("calls/slow", 1)
    assert next(order).get() == "slow"
    assert cb.wait([slow, quick]).not_done == set()
    with pytest.raises(ValueError, match="return_when"):
        cb.wait([slow], return_when="NEVER")


def test_as_completed_says_how_many_calls_are_not_done_in_time():
    @cb.function
    def late(x):
        return x

    waiting = late(cb.ref("calls/never"))
    with pytest.raises(CallTimeout, match="1 of 2 calls"):
        list(cb.as_completed([late(1), waiting], timeout=0.3))
    waiting.cancel()


def test_a_callback_runs_for_an_outcome_that_nobody_waits_for():
    @cb.function
    def work(x):
        if x < 0:
            raise ValueError(x)
        return x

    seen, enough = [], threading.Event()

    def note(future):
        seen.append(future)
        if len(seen) == 2:
            enough.set()

    futures = [work(1), work(-1)]
    for future in futures:
        future.add_done_callback(note)
    assert enough.wait(LIMIT)
    assert set(seen) == set(futures)
    at_once = []
    futures[0].add_done_callback(at_once.append)
    assert at_once == [futures[0]]


def test_a_callback_may_call_and_wait_itself():
    @cb.function
    def inc(x):
        return x + 1

    answers, enough = [], threading.Event()

    def follow(future):
        answers.append(inc(future.get()).get(LIMIT))
        if len(answers) == 5:
            enough.set()

    for x in range(5):
        inc(x).add_done_callback(follow)
    assert enough.wait(LIMIT)
    assert sorted(answers) == [2, 3, 4, 5, 6]


def test_many_threads_share_one_client():
    @cb.function
    def label(thread, n):
        return thread, n

    wrong, threads = [], []

    def use(me):
        wrong.extend(n for n in range(30) if label(me, n).get(LIMIT) != (me, n))
        if cb.gather(label.map([me] * 20, range(20)), timeout=LIMIT) != [(me, n) for n in range(20)]:
            wrong.append(me)

    for me in range(8):
        threads.append(threading.Thread(target=use, args=(me,)))
        threads[-1].start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert not wrong


def test_timings_say_where_the_time_went():
    @cb.function
    def sleep(seconds):
        time.sleep(seconds)

    future = sleep(0.1)
    assert future.timings == {}
    future.get(LIMIT)
    timings = future.timings
    assert set(timings) == {"queued", "transfer", "run", "return", "total"}
    assert timings["total"] >= timings["run"] >= 0.1
    assert all(part >= 0 for part in timings.values())


# ---------------------------------------------------------------- versions


def test_a_registered_again_function_is_used_from_the_next_call_on():
    def make(n):
        def answer():
            return n

        return cb.function(answer)

    for n in range(1, 6):
        made = make(n)
        assert cb.gather([made() for _ in range(6)], timeout=LIMIT) == [n] * 6
        assert made.version == n
    assert cb.get_function("answer")().get(LIMIT) == 5


def test_a_call_in_flight_finishes_on_the_old_version():
    def old(cloudburst):
        cloudburst.put("calls/old-runs", 1)
        while cloudburst.get("calls/go") is None:
            time.sleep(0.005)
        return "old"

    def new(cloudburst):
        return "new"

    in_flight = cb.function(old, name="swapped")()
    eventually(lambda: cb.get("calls/old-runs", None))
    swapped = cb.function(new, name="swapped")
    assert swapped.version == 2
    assert [swapped().get(LIMIT) for _ in range(4)] == ["new"] * 4
    cb.put("calls/go", 1)
    assert in_flight.get(LIMIT) == "old"


def test_calls_that_wait_run_on_the_old_version_however_often_it_is_replaced():
    def make(version):
        def edited():
            time.sleep(0.2)
            return version

        return edited

    first = cb.function(make(0))
    first().get(LIMIT)
    waiting = [first() for _ in range(30)]
    for version in range(1, 12):
        cb.function(make(version))
    assert cb.gather(waiting, timeout=LIMIT) == [0] * len(waiting)
    assert cb.get_function("edited")().get(LIMIT) == 11


def test_a_call_begins_where_its_function_was_registered_wherever_the_last_one_went():
    @cb.function
    def leave():
        os.chdir("/")

    @cb.function
    def where():
        return os.getcwd()

    cb.gather([leave() for _ in range(6)], timeout=LIMIT)
    assert set(cb.gather([where() for _ in range(6)], timeout=LIMIT)) == {os.getcwd()}


def test_a_function_is_found_by_name_with_its_source():
    @cb.function
    def findable(x):
        return x + 1

    found = cb.get_function("findable")
    assert found(1).get(LIMIT) == 2
    assert "return x + 1" in found.source
    assert "findable" in cb.functions()
    with pytest.raises(FunctionNotFound, match="did you mean 'findable'"):
        cb.get_function("findabel")


# ---------------------------------------------------------------- batching


def test_waiting_requests_become_one_call_of_at_most_twenty():
    @cb.function(batching=True)
    def sized(xs, ys):
        time.sleep(0.02)
        return [(x, y, len(xs)) for x, y in zip(xs, ys, strict=True)]

    results = cb.gather(sized.map(range(100), range(100, 200)), timeout=LIMIT)
    assert [(x, y) for x, y, _ in results] == [(n, n + 100) for n in range(100)]
    sizes = [size for _, _, size in results]
    assert max(sizes) <= 20
    assert max(sizes) > 1
    assert sized(1, 2).get(LIMIT) == (1, 2, 1)


def test_a_batch_that_returns_the_wrong_number_of_results_is_told_so():
    @cb.function(batching=True)
    def short(xs):
        return xs[1:]

    with pytest.raises(ValueError, match="one result per request"):
        short(1).get(LIMIT)


# ---------------------------------------------------------------- time-outs and cancelling


def test_get_gives_up_after_its_time_and_the_call_goes_on():
    @cb.function
    def gated(cloudburst, key):
        while cloudburst.get(key) is None:
            time.sleep(0.005)
        return "done"

    future = gated("calls/open")
    with pytest.raises(CallTimeout, match=r"'gated' gave no result within 0.1 s"):
        future.get(timeout=0.1)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.01)
    cb.put("calls/open", 1)
    assert future.get(LIMIT) == "done"


def test_a_functions_own_timeout_ends_its_calls_and_frees_the_executor():
    @cb.function(timeout=0.2)
    def stuck(cloudburst):
        cloudburst.put("calls/stuck", os.getpid())
        time.sleep(60)

    with pytest.raises(CallTimeout, match=r"timeout of 0.2 s") as caught:
        stuck().get(LIMIT)
    assert caught.value.definite is False

    @cb.function
    def where():
        time.sleep(0.01)
        return os.getpid()

    pid = cb.get("calls/stuck")
    eventually(lambda: pid in cb.gather([where() for _ in range(10)]))


def test_cancelling_interrupts_a_sleeping_call_and_the_executor_works_on():
    @cb.function
    def sleepy(cloudburst):
        cloudburst.put("calls/sleeper", os.getpid())
        try:
            time.sleep(60)
        except Exception:
            return "caught"

    @cb.function
    def where():
        time.sleep(0.01)
        return os.getpid()

    future = sleepy()
    pid = eventually(lambda: cb.get("calls/sleeper", None))
    assert future.cancel() is True
    assert future.cancelled()
    assert future.done()
    with pytest.raises(CallCancelled, match="'sleepy' was cancelled"):
        future.get(LIMIT)
    eventually(lambda: pid in cb.gather([where() for _ in range(10)]))


def test_a_call_that_waits_is_cancelled_at_once_and_never_runs():
    @cb.function
    def mark(cloudburst, x):
        cloudburst.put("calls/marked", 1)

    future = mark(cb.ref("calls/absent"))
    assert future.cancel()
    cb.put("calls/absent", 1)

    @cb.function
    def noop(x):
        return x

    assert noop(cb.ref("calls/absent")).get(LIMIT) == 1, "the reference has been answered by now"
    cb.gather([noop(0) for _ in range(20)])
    assert cb.get("calls/marked", None) is None


def test_a_call_that_is_done_cannot_be_cancelled():
    @cb.function
    def one():
        return 1

    future = one()
    assert future.get(LIMIT) == 1
    assert future.cancel() is False
    assert not future.cancelled()
    assert future.get() == 1


def test_a_cancelled_call_fails_those_that_wait_for_its_result():
    @cb.function
    def forward(x):
        return x

    first = forward(cb.ref("calls/nothing"))
    second = forward(first)
    first.cancel()
    with pytest.raises(CallCancelled):
        second.get(LIMIT)


def test_an_executor_collects_garbage_and_has_its_imports_out_of_the_collectors_sight():
    @cb.function
    def collector():
        return gc.isenabled(), gc.get_freeze_count() > 10_000

    assert collector().get(LIMIT) == (True, True)
