"""What the two process pools with the interface of ``concurrent.futures`` have in common.

Law: a pool has no store: arrays are sent with each call, and every link of a chain comes back first.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from benchmarks import work
from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed

WORKERS = 2
CHUNKS_PER_WORKER = 4


class Pool(Contender):
    """A started and warmed pool of two processes."""

    pool: Executor

    def warm(self) -> None:
        """One call on each worker, so that both are there."""
        for future in [self.pool.submit(work.same, index) for index in range(4 * WORKERS)]:
            future.result()

    def stop(self) -> None:
        if hasattr(self, "pool"):
            self.pool.shutdown()

    def noop(self) -> Probe:
        submit = self.pool.submit
        return timed(lambda: submit(work.same, 1).result(), expect=1)

    def square_increment(self) -> Probe:
        submit = self.pool.submit
        return timed(lambda: submit(work.square, submit(work.increment, 1).result()).result(), expect=4)

    def chain(self, length: int) -> Probe:
        submit = self.pool.submit

        def once() -> Any:
            value = 1
            for _ in range(length):
                value = submit(work.increment, value).result()
            return value

        return timed(once, expect=1 + length)

    def fan(self, width: int) -> Probe:
        submit = self.pool.submit

        def once() -> Any:
            parts = [submit(work.increment, index) for index in range(width)]
            return submit(work.add, *[part.result() for part in parts]).result()

        return timed(once, expect=sum(range(1, width + 1)))

    def burst(self, count: int) -> Probe:
        submit = self.pool.submit

        def once() -> list[Any]:
            return [future.result() for future in [submit(work.same, index) for index in range(count)]]

        return timed(once, expect=list(range(count)), each=count)

    def mapped(self, count: int) -> Probe:
        chunk = max(1, count // (WORKERS * CHUNKS_PER_WORKER))
        return timed(
            lambda: list(self.pool.map(work.same, range(count), chunksize=chunk)),
            expect=list(range(count)),
            each=count,
        )

    def arrays(self, size: int, state: str) -> Probe:
        submit, arrays = self.pool.submit, work.new_arrays(size)
        return timed(lambda: submit(work.total, *arrays).result(), expect=work.sum_of_arrays(size))
