"""Futures under asyncio: they are awaited, gathered, given up in time, and cancelled with their task."""

from __future__ import annotations

import asyncio
import time

import pytest

import cloudburst_nb as cb
from tests.processes.watching import eventually

pytestmark = pytest.mark.usefixtures("client")

LIMIT = 20.0


@cb.function
def inc(x):
    if x < 0:
        raise ValueError(x)
    return x + 1


@pytest.fixture(scope="module", autouse=True)
def functions(client):
    """The function above, with this module's runtime."""
    client.register(inc._packed)


class Clock:
    """A coroutine that counts how often it had its turn."""

    def __init__(self):
        self.ticks = 0
        self._task = asyncio.create_task(self._tick())

    async def _tick(self):
        while True:
            self.ticks += 1
            await asyncio.sleep(0)

    def stop(self):
        self._task.cancel()
        return self.ticks


def test_a_future_is_awaited():
    async def main():
        return await inc(1)

    assert asyncio.run(main()) == 2


def test_futures_are_gathered_while_other_coroutines_run():
    async def main():
        clock = Clock()
        values = await asyncio.gather(*(awaited(inc(n)) for n in range(100)))
        return values, clock.stop()

    async def awaited(future):
        return await future

    values, ticks = asyncio.run(main())
    assert values == list(range(1, 101))
    assert ticks > 0


def test_awaiting_call_after_call_lets_other_coroutines_run():
    async def main():
        clock = Clock()
        for n in range(10_000):
            await inc(n)  # it may come so quickly that nothing is to be waited for
            if clock.ticks > 10:
                break
        return clock.stop()

    assert asyncio.run(main()) > 10


def test_gather_takes_futures_themselves():
    async def main():
        return await asyncio.gather(inc(1), inc(2))

    assert asyncio.run(main()) == [2, 3]


def test_an_exception_is_raised_where_it_is_awaited():
    async def main():
        await inc(-1)

    with pytest.raises(ValueError, match="-1"):
        asyncio.run(main())


def test_a_future_that_is_done_is_awaited_at_once():
    future = inc(1)
    future.get(LIMIT)

    async def main():
        return await future

    assert asyncio.run(main()) == 2


def test_wait_for_gives_up_in_time_and_the_call_is_cancelled():
    @cb.function
    def sleepy():
        time.sleep(60)

    future = sleepy()

    async def main():
        async def awaited():
            return await future

        await asyncio.wait_for(awaited(), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    eventually(future.cancelled)


def test_a_cancelled_coroutine_does_not_go_on_in_a_later_call():
    @cb.function
    async def late(cloudburst):
        cloudburst.put("async/started", 1)
        await asyncio.sleep(0.3)
        cloudburst.put("async/late", 1)

    @cb.function
    async def long():
        await asyncio.sleep(0.6)
        return "long"

    future = late()
    eventually(lambda: cb.get("async/started", None))
    assert future.cancel()
    assert cb.gather([long() for _ in range(4)], timeout=LIMIT) == ["long"] * 4
    assert cb.get("async/late", None) is None


def test_tasks_that_a_coroutine_leaves_end_with_its_call():
    @cb.function
    async def leave(cloudburst):
        async def straggle():
            await asyncio.sleep(0.1)
            cloudburst.put("async/straggled", 1)

        asyncio.get_running_loop().task = asyncio.create_task(straggle())
        await asyncio.sleep(0)
        return "left"

    @cb.function
    async def after():
        await asyncio.sleep(0.3)
        return len(asyncio.all_tasks())

    assert leave().get(LIMIT) == "left"
    assert cb.gather([after() for _ in range(4)], timeout=LIMIT) == [1] * 4
    assert cb.get("async/straggled", None) is None


def test_tasks_of_several_event_loops_share_a_future():
    future = inc(cb.ref("async/later"))

    async def main():
        async def awaited():
            return await future

        tasks = [asyncio.create_task(awaited()) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.to_thread(cb.put, "async/later", 4)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [5, 5, 5]
    assert asyncio.run(main()) == [5, 5, 5]
