"""``concurrent.futures.ProcessPoolExecutor``, of the standard library."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import ClassVar

from benchmarks.peers.pools import WORKERS, Pool


class Futures(Pool):
    """The standard library's pool."""

    label: ClassVar[str] = "ProcessPoolExecutor"
    how: ClassVar[str] = (
        "two forked workers, warmed; map() with a large chunksize; it has no store, arrays are sent"
    )
    life: ClassVar[str] = """
import time
start = time.time()
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
imported = time.time()
from benchmarks.work import same
pool = ProcessPoolExecutor(2, multiprocessing.get_context("fork"))
[future.result() for future in [pool.submit(same, 1), pool.submit(same, 2)]]
say(start, imported)
pool.shutdown()
"""

    def start(self) -> None:
        self.pool = ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork"))
        self.warm()
