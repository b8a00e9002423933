"""Ray, on this machine."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
from typing import Any, ClassVar

from benchmarks import work
from benchmarks.clients import close_all, shared
from benchmarks.contender import Contender
from benchmarks.measure import Probe, check, timed
from benchmarks.processes import children_of

NAMESPACE = "benchmarks"


class Worker:
    """What a Ray actor runs."""

    def __init__(self) -> None:
        self.value = 0

    def same(self, x: Any) -> Any:
        """No work."""
        return x

    def increment(self, x: int) -> int:
        """A little work."""
        return work.increment(x)

    def square(self, x: int) -> int:
        """A little work."""
        return work.square(x)

    def add(self, *numbers: int) -> int:
        """The sum."""
        return work.add(*numbers)

    def total(self, *arrays: Any) -> float:
        """The sum of arrays."""
        return work.total(*arrays)

    def bump(self) -> int:
        """One more."""
        self.value += 1
        return self.value

    def measured(self, kind: str, size: int, count: int, seconds: float) -> list[float]:
        """The object store, used from inside."""
        import ray

        value = work.value_of(size)
        kept = ray.put(value)
        return timed((lambda: ray.put(value)) if kind == "put" else (lambda: ray.get(kept)))(count, seconds)


class Ray(Contender):
    """A Ray instance of two processors with two actors."""

    label: ClassVar[str] = "Ray"
    how: ClassVar[str] = (
        "two actors, which Ray advises for repeated small calls; results are passed as references, arrays "
        "lie in its object store; “compiled graph” is its experimental form for fixed graphs of actors"
    )
    module: ClassVar[str] = "ray"
    distribution: ClassVar[str] = "ray"
    settle_seconds: ClassVar[float] = 0.25
    life: ClassVar[str] = """
import time
start = time.time()
import ray
imported = time.time()
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
@ray.remote
class Worker:
    def same(self, x): return x
workers = [Worker.remote(), Worker.remote()]
ray.get([worker.same.remote(1) for worker in workers])
say(start, imported)
ray.shutdown()
"""

    def __init__(self) -> None:
        self._stations: list[Any] = []

    def start(self) -> None:
        self._init(num_cpus=2, include_dashboard=False)
        kind = self.ray.remote(Worker)
        self.actors = [kind.options(name=f"worker{index}", num_cpus=1).remote() for index in range(2)]
        self.ray.get([actor.same.remote(1) for actor in self.actors])

    def attach(self, address: str) -> None:
        self._init(address=address)
        self.actors = [self.ray.get_actor(f"worker{index}") for index in range(2)]

    def _init(self, **options: Any) -> None:
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        self.ray = ray
        ray.init(log_to_driver=False, logging_level=logging.ERROR, namespace=NAMESPACE, **options)

    def address(self) -> str:
        return str(self.ray.get_runtime_context().gcs_address)

    def stop(self) -> None:
        close_all(self._stations)
        if hasattr(self, "ray"):
            family = [os.getpid(), *children_of()]
            self.ray.shutdown()
            forget_semaphores(family)

    def noop(self) -> Probe:
        get, actor = self.ray.get, self.actors[0]
        return timed(lambda: get(actor.same.remote(1)), expect=1)

    def square_increment(self) -> Probe:
        get, (first, second) = self.ray.get, self.actors
        return timed(lambda: get(second.square.remote(first.increment.remote(1))), expect=4)

    def chain(self, length: int) -> Probe:
        def once() -> Any:
            value: Any = 1
            for index in range(length):
                value = self.actors[index % 2].increment.remote(value)
            return self.ray.get(value)

        return timed(once, expect=1 + length)

    def compiled_noop(self) -> Probe:
        """A no-op as a compiled graph."""
        return self._compiled(lambda given: self.actors[0].same.bind(given), 1, 1)

    def compiled_chain(self, length: int) -> Probe:
        """A chain as a compiled graph."""

        def build(value: Any) -> Any:
            for index in range(length):
                value = self.actors[index % 2].increment.bind(value)
            return value

        return self._compiled(build, 1, 1 + length)

    def compiled_square_increment(self) -> Probe:
        """``square(increment(x))`` as a compiled graph."""
        first, second = self.actors
        return self._compiled(lambda given: second.square.bind(first.increment.bind(given)), 1, 4)

    def _compiled(self, build: Any, argument: int, expected: int) -> Probe:
        """Compiled for each block and torn down after it: a compiled graph occupies its actors."""
        from ray.dag import InputNode

        def block(count: int, seconds: float) -> list[float]:
            with InputNode() as given:
                graph = build(given).experimental_compile()
            try:
                check(self.ray.get(graph.execute(argument)), expected)
                return timed(lambda: self.ray.get(graph.execute(argument)))(count, seconds)
            finally:
                graph.teardown()

        return block

    def fan(self, width: int) -> Probe:
        def once() -> Any:
            parts = [self.actors[index % 2].increment.remote(index) for index in range(width)]
            return self.ray.get(self.actors[0].add.remote(*parts))

        return timed(once, expect=sum(range(1, width + 1)))

    def burst(self, count: int) -> Probe:
        first, second = self.actors

        def once() -> Any:
            return self.ray.get(
                [(second if index % 2 else first).same.remote(index) for index in range(count)]
            )

        return timed(once, expect=list(range(count)), each=count)

    def from_clients(self, clients: int, count: int) -> Probe | None:
        """Calls from several client processes."""
        return shared(self, "ray", self._stations, clients, count)

    def arrays(self, size: int, state: str) -> Probe:
        arrays, actor = work.new_arrays(size), self.actors[0]
        kept: list[Any] = []

        def store() -> None:
            kept[:] = [self.ray.put(array) for array in arrays]

        store()
        return timed(
            lambda: self.ray.get(actor.total.remote(*kept)),
            expect=work.sum_of_arrays(size),
            before=store if state == "cold" else None,
        )

    def counter(self) -> Probe:
        actor = self.actors[0]
        return timed(lambda: self.ray.get(actor.bump.remote()))

    def put(self, size: int) -> Probe:
        value = work.value_of(size)
        return timed(lambda: self.ray.put(value))

    def get(self, size: int) -> Probe:
        kept = self.ray.put(work.value_of(size))
        return timed(lambda: self.ray.get(kept))

    def put_inside(self, size: int) -> Probe:
        return self._inside("put", size)

    def get_inside(self, size: int) -> Probe:
        return self._inside("get", size)

    def _inside(self, kind: str, size: int) -> Probe:
        actor = self.actors[0]
        return lambda count, seconds: list(self.ray.get(actor.measured.remote(kind, size, count, seconds)))


def forget_semaphores(pids: list[int]) -> None:
    """Remove what compiled graphs of these processes have left in shared memory: Ray does not."""
    for pid in pids:
        for kind in ("hdr", "obj"):
            for path in glob.glob(f"/dev/shm/sem.{kind}{pid}-*"):
                with contextlib.suppress(OSError):
                    os.unlink(path)
