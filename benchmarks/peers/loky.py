"""loky: a pool that survives crashes and pickles what is defined in a notebook."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peers.pools import WORKERS, Pool


class Loky(Pool):
    """loky's reusable pool."""

    label: ClassVar[str] = "loky"
    how: ClassVar[str] = (
        "get_reusable_executor() with two workers, warmed and kept; functions from a module; arrays are sent"
    )
    module: ClassVar[str] = "loky"
    distribution: ClassVar[str] = "loky"
    life: ClassVar[str] = """
import time
start = time.time()
import loky
imported = time.time()
from benchmarks.work import same
pool = loky.get_reusable_executor(max_workers=2, timeout=None)
[future.result() for future in [pool.submit(same, 1), pool.submit(same, 2)]]
say(start, imported)
pool.shutdown()
"""

    def start(self) -> None:
        import loky

        self.pool = loky.get_reusable_executor(max_workers=WORKERS, timeout=None)
        self.warm()
