"""ipyparallel, on this machine."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from benchmarks import work
from benchmarks.clients import close_all, shared
from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed


def bump() -> int:
    """A counter in an engine's memory."""
    work.counted = getattr(work, "counted", 0) + 1  # type: ignore[attr-defined]
    return int(work.counted)  # type: ignore[attr-defined]


def keep(name: str, *arrays: Any) -> None:
    """Keep arrays in an engine's memory."""
    work.kept = {**getattr(work, "kept", {}), name: arrays}  # type: ignore[attr-defined]


def total_kept(name: str) -> float:
    """The sum of what was kept."""
    return work.total(*work.kept[name])  # type: ignore[attr-defined]


class IPyParallel(Contender):
    """A cluster of a controller and two engines."""

    label: ClassVar[str] = "ipyparallel"
    how: ClassVar[str] = (
        "two engines addressed directly, which avoids its scheduler; map() through the load-balanced view "
        "with a large chunksize; hot arrays lie in an engine, cold ones are sent without copies"
    )
    module: ClassVar[str] = "ipyparallel"
    distribution: ClassVar[str] = "ipyparallel"
    life: ClassVar[str] = """
import time
start = time.time()
import ipyparallel
imported = time.time()
from benchmarks.work import same
cluster = ipyparallel.Cluster(n=2, log_level=40)
client = cluster.start_and_connect_sync()
client[:].apply_sync(same, 1)
say(start, imported)
client.close()
cluster.stop_cluster_sync()
"""

    def __init__(self) -> None:
        self._stations: list[Any] = []

    def start(self) -> None:
        import ipyparallel

        self.cluster = ipyparallel.Cluster(n=2, log_level=40)
        self.client = self.cluster.start_and_connect_sync(activate=False)
        self._views()
        self.client[:].apply_sync(work.same, 1)

    def attach(self, address: str) -> None:
        import ipyparallel

        self.client = ipyparallel.Client(connection_info=address, timeout=30)
        self._views()

    def _views(self) -> None:
        self.engines = [self.client[0], self.client[1]]

    def address(self) -> str:
        """The file that its clients read."""
        profile = os.path.join(self.cluster.profile_dir, "security")
        names = (f"ipcontroller-{self.cluster.cluster_id}-client.json", "ipcontroller-client.json")
        found = [os.path.join(profile, name) for name in names]
        return next(path for path in found if os.path.exists(path))

    def stop(self) -> None:
        close_all(self._stations)
        if hasattr(self, "client"):
            self.client.close()
        if hasattr(self, "cluster"):
            self.cluster.stop_cluster_sync()

    def noop(self) -> Probe:
        engine = self.engines[0]
        return timed(lambda: engine.apply_sync(work.same, 1), expect=1)

    def square_increment(self) -> Probe:
        first, second = self.engines
        return timed(lambda: second.apply_sync(work.square, first.apply_sync(work.increment, 1)), expect=4)

    def chain(self, length: int) -> Probe:
        def once() -> Any:
            value = 1
            for index in range(length):
                value = self.engines[index % 2].apply_sync(work.increment, value)
            return value

        return timed(once, expect=1 + length)

    def fan(self, width: int) -> Probe:
        def once() -> Any:
            parts = [self.engines[index % 2].apply_async(work.increment, index) for index in range(width)]
            return self.engines[0].apply_sync(work.add, *[part.get() for part in parts])

        return timed(once, expect=sum(range(1, width + 1)))

    def burst(self, count: int) -> Probe:
        first, second = self.engines

        def once() -> Any:
            sent = [(second if index % 2 else first).apply_async(work.same, index) for index in range(count)]
            return [each.get() for each in sent]

        return timed(once, expect=list(range(count)), each=count)

    def mapped(self, count: int) -> Probe:
        view = self.client.load_balanced_view()
        return timed(
            lambda: list(view.map_sync(work.same, range(count), chunksize=max(1, count // 8))),
            expect=list(range(count)),
            each=count,
        )

    def from_clients(self, clients: int, count: int) -> Probe | None:
        """Calls from several client processes."""
        return shared(self, "ipyparallel", self._stations, clients, count)

    def arrays(self, size: int, state: str) -> Probe:
        engine, arrays = self.engines[0], work.new_arrays(size)
        expected = work.sum_of_arrays(size)
        if state == "cold":
            return timed(lambda: engine.apply_sync(work.total, *arrays), expect=expected)
        engine.apply_sync(keep, str(size), *arrays)
        return timed(lambda: engine.apply_sync(total_kept, str(size)), expect=expected)

    def counter(self) -> Probe:
        engine = self.engines[0]
        return timed(lambda: engine.apply_sync(bump))

    def put(self, size: int) -> Probe:
        engine, value = self.engines[0], work.value_of(size)
        return timed(lambda: engine.push({"value": value}, block=True))

    def get(self, size: int) -> Probe:
        engine = self.engines[0]
        engine.push({f"value{size}": work.value_of(size)}, block=True)
        return timed(lambda: engine.pull(f"value{size}", block=True))
