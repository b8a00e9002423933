"""Dask distributed, on this machine."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks import work
from benchmarks.clients import close_all, shared
from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed


class Count:
    """What a Dask actor holds."""

    def __init__(self) -> None:
        self.value = 0

    def increment(self) -> int:
        """One more."""
        self.value += 1
        return self.value


class Dask(Contender):
    """A `LocalCluster` and its client."""

    label: ClassVar[str] = "Dask distributed"
    how: ClassVar[str] = (
        "LocalCluster of two single-threaded processes without dashboard, a client that talks to the workers "
        "directly; results are passed as futures, arrays scattered to a worker, the counter is an actor"
    )
    module: ClassVar[str] = "distributed"
    distribution: ClassVar[str] = "distributed"
    life: ClassVar[str] = """
import time
start = time.time()
import distributed
imported = time.time()
cluster = distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None)
client = distributed.Client(cluster, direct_to_workers=True)
from benchmarks.work import same
client.submit(same, 1).result()
say(start, imported)
client.close()
cluster.close()
"""

    def __init__(self) -> None:
        self._stations: list[Any] = []

    def start(self) -> None:
        import distributed

        self.cluster = distributed.LocalCluster(
            2, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self.client = distributed.Client(self.cluster, direct_to_workers=True)
        self.client.wait_for_workers(2)
        self.client.submit(work.same, 1, pure=False).result()

    def attach(self, address: str) -> None:
        import distributed

        self.client = distributed.Client(address, direct_to_workers=True)

    def address(self) -> str:
        return str(self.cluster.scheduler_address)

    def stop(self) -> None:
        close_all(self._stations)
        for name in ("client", "cluster"):
            if hasattr(self, name):
                getattr(self, name).close()

    def noop(self) -> Probe:
        submit = self.client.submit
        return timed(lambda: submit(work.same, 1, pure=False).result(), expect=1)

    def square_increment(self) -> Probe:
        submit = self.client.submit
        return timed(
            lambda: submit(work.square, submit(work.increment, 1, pure=False), pure=False).result(),
            expect=4,
        )

    def chain(self, length: int) -> Probe:
        submit = self.client.submit

        def once() -> Any:
            value: Any = 1
            for _ in range(length):
                value = submit(work.increment, value, pure=False)
            return value.result()

        return timed(once, expect=1 + length)

    def fan(self, width: int) -> Probe:
        client = self.client

        def once() -> Any:
            parts = client.map(work.increment, range(width), pure=False)
            return client.submit(work.add, *parts, pure=False).result()

        return timed(once, expect=sum(range(1, width + 1)))

    def burst(self, count: int) -> Probe:
        client = self.client

        def once() -> Any:
            return client.gather([client.submit(work.same, index, pure=False) for index in range(count)])

        return timed(once, expect=list(range(count)), each=count)

    def mapped(self, count: int) -> Probe:
        client = self.client
        return timed(
            lambda: client.gather(client.map(work.same, range(count), pure=False)),
            expect=list(range(count)),
            each=count,
        )

    def from_clients(self, clients: int, count: int) -> Probe | None:
        """Calls from several client processes."""
        return shared(self, "dask", self._stations, clients, count)

    def arrays(self, size: int, state: str) -> Probe:
        client, arrays = self.client, work.new_arrays(size)
        here, there = sorted(client.scheduler_info()["workers"])[:2]
        where = here if state == "hot" else there
        kept: list[Any] = []

        def scatter() -> None:
            kept[:] = client.scatter(arrays, workers=[here], direct=True, hash=False)

        scatter()
        return timed(
            lambda: client.submit(work.total, *kept, workers=[where], pure=False).result(),
            expect=work.sum_of_arrays(size),
            before=scatter if state == "cold" else None,
        )

    def counter(self) -> Probe:
        count = self.client.submit(Count, actor=True).result()
        return timed(lambda: count.increment().result())

    def put(self, size: int) -> Probe:
        client, value = self.client, work.value_of(size)
        return timed(lambda: client.scatter(value, direct=True, hash=False))

    def get(self, size: int) -> Probe:
        future = self.client.scatter(work.value_of(size), direct=True, hash=False)
        return timed(lambda: self.client.gather(future, direct=True))
