"""This project as a contender: two executors, as any user would use it.

Law: public names of `cloudburst_nb` only, but for the writers of `benchmarks.writers`.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any, ClassVar

from benchmarks import dags, stores, work
from benchmarks.clients import close_all, shared
from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed
from benchmarks.writers import Writers

Call = Callable[[], Any]
"""Makes a call, and returns its future."""


class Cloudburst(Contender):
    """This project.

    Parameters
    ----------
    executors, policy, trace
        As for `cloudburst_nb.up`; the number of executors is fixed, since that of the peers is.
    stores
        How many processes keep keys.
    durable
        Whether with a ``state_dir``, which is removed at the end.
    only_for
        Which cases a runtime is kept for, where what one leaves behind would disturb others.
    """

    label: ClassVar[str] = "cloudburst-nb"
    how: ClassVar[str] = "cb.up() with two executors; cloud functions, DAGs, and arrays in the store"
    module: ClassVar[str] = "cloudburst_nb"
    distribution: ClassVar[str] = "cloudburst-nb"
    life: ClassVar[str] = """
import time
start = time.time()
import cloudburst_nb as cb
imported = time.time()
cb.up(executors=(2, 2))
@cb.function
def same(x): return x
same(1).get(timeout=60)
say(start, imported)
cb.down()
"""

    def __init__(
        self,
        executors: int = 2,
        policy: str = "locality",
        only_for: str = "",
        trace: bool = False,
        durable: bool = False,
        stores: int = 1,
    ) -> None:
        self._state_dir = tempfile.mkdtemp(prefix="bench-state-", dir=".") if durable else None
        self._trace = trace
        self._stores = stores
        self._executors = executors
        self._policy = policy
        self._only_for = only_for
        self._names = itertools.count()
        self._stations: list[Any] = []
        self._made: dict[str, Any] = {}

    def start(self) -> None:
        import cloudburst_nb as cb

        self.cb = cb
        self.client = cb.up(
            executors=(self._executors, self._executors),
            policy=self._policy,
            name=self._only_for or "local",
            trace=self._trace,
            state_dir=self._state_dir,
            stores=self._stores,
        )
        if self._stores > 1:
            stores.wait_for(self.client, self._stores)
        self.same = cb.function(work.same, name="same")
        self.same(1).get(timeout=60)

    def attach(self, address: str) -> None:
        import cloudburst_nb as cb

        self.cb = cb
        self.client = cb.connect(address)
        self.same = cb.get_function("same")

    def address(self) -> str:
        return str(self.client.address)

    def stop(self) -> None:
        close_all(self._stations)
        if hasattr(self, "cb"):
            self.cb.down()
        if self._state_dir is not None:
            shutil.rmtree(self._state_dir, ignore_errors=True)

    # ------------------------------------------------------------ calls

    def noop(self) -> Probe:
        same = self.same
        return timed(lambda: same(1).get(), expect=1)

    def stage(self, name: str) -> Probe:
        """What one stage of a no-op call takes; the runtime must be traced."""
        return _figures(lambda: self.same(1), lambda timings: timings["stages"].get(name))

    def parts_of_counter(self, name: str) -> Probe:
        """What one part of an increment of the shared counter takes (`benchmarks.cases.parts`)."""
        return _figures(self._counting(), lambda timings: _part_of(timings, name))

    def parts_of_fan(self, name: str, width: int) -> Probe:
        """The same of several calls at once and their sum."""
        return _figures(self._fanning(width), lambda timings: _part_of(timings, name))

    def parts_of_chain(self, name: str, length: int) -> Probe:
        """The same of a chain."""
        return _figures(self._chaining(length), lambda timings: _part_of(timings, name))

    def noop_awaited(self) -> Probe:
        """The same call with ``await``, in one event loop per block."""
        return lambda count, seconds: asyncio.run(self._await_calls(count, seconds))

    async def _await_calls(self, count: int, seconds: float) -> list[float]:
        same, clock = self.same, time.perf_counter
        samples: list[float] = []
        enough = clock() + seconds
        while (len(samples) < count and clock() < enough) or not samples:
            start = clock()
            await same(1)
            samples.append(clock() - start)
        return samples

    def square_increment(self) -> Probe:
        dag = self.cb.dag("composed", self._function("increment", work.increment) >> self._square())
        return timed(lambda: dag(1).get(), expect=4)

    def _square(self) -> Any:
        return self._function("square", work.square)

    def _function(self, name: str, raw: Callable[..., Any]) -> Any:
        if name not in self._made:
            self._made[name] = self.cb.function(raw, name=name)
        return self._made[name]

    def chain(self, length: int) -> Probe:
        call = self._chaining(length)
        return timed(lambda: call().get(), expect=1 + length)

    def _chaining(self, length: int) -> Call:
        names = [self._function(f"link{index}", work.increment).name for index in range(length)]
        edges = list(itertools.pairwise(names))
        dag = self.cb.dag(f"chain{length}", functions=names, edges=edges)
        return lambda: dag(1)

    def fan(self, width: int) -> Probe:
        call = self._fanning(width)
        return timed(lambda: call().get(), expect=sum(range(1, width + 1)))

    def _fanning(self, width: int) -> Call:
        names = [self._function(f"link{index}", work.increment).name for index in range(width)]
        sink = self._function("add", work.add).name
        dag = self.cb.dag("fan", functions=[*names, sink], edges=[(name, sink) for name in names])
        given: dict[str, Any] = {name: [index] for index, name in enumerate(names)}
        return lambda: dag(**given)

    def burst(self, count: int) -> Probe:
        same, gather = self.same, self.cb.gather
        once = lambda: gather([same(index) for index in range(count)])  # noqa: E731
        return timed(once, expect=list(range(count)), each=count)

    def mapped(self, count: int) -> Probe:
        same, gather = self.same, self.cb.gather
        return timed(lambda: gather(same.map(range(count))), expect=list(range(count)), each=count)

    def from_clients(self, clients: int, count: int) -> Probe | None:
        """So many calls from several client processes at once; the time of one."""
        return shared(self, "cloudburst", self._stations, clients, count)

    # ------------------------------------------------------------ arrays and state

    def arrays(self, size: int, state: str) -> Probe:
        total = self._function("total", work.total)
        arrays = work.new_arrays(size)
        kept: list[str] = []

        def store() -> None:
            for key in kept:
                self.cb.delete(key)
            kept[:] = [f"array{next(self._names)}" for _ in arrays]
            for key, array in zip(kept, arrays, strict=True):
                self.cb.put(key, array)

        store()
        return timed(
            lambda: total(*[self.cb.ref(key) for key in kept]).get(),
            expect=work.sum_of_arrays(size),
            before=store if state == "cold" else None,
        )

    def counter(self) -> Probe:
        call = self._counting()
        return timed(lambda: call().get())

    def _counting(self) -> Call:
        def bump(cloudburst: Any) -> None:
            cloudburst.put("counter", 1, lattice="counter")

        counted: Call = self._function("bump", bump)
        return counted

    def put(self, size: int) -> Probe:
        value = work.value_of(size)
        return timed(lambda: self.cb.put(f"value{size}", value))

    def get(self, size: int) -> Probe:
        self.cb.put(f"value{size}", work.value_of(size))
        return timed(lambda: self.cb.get(f"value{size}"))

    def puts_in_flight(self, writers: int, puts: int) -> Probe:
        """Small puts by so many writers at once; the time for one."""
        many = Writers(self.address().removeprefix("unix:"), writers)
        return lambda count, seconds: [many.put(puts)]

    def put_inside(self, size: int) -> Probe:
        return self._inside("put", size)

    def get_inside(self, size: int) -> Probe:
        self.cb.put(f"inside{size}", work.value_of(size))
        return self._inside("get", size)

    def _inside(self, kind: str, size: int) -> Probe:
        def measured(cloudburst: Any, kind: str, size: int, count: int, seconds: float) -> list[float]:
            key, value = f"inside{size}", work.value_of(size)
            one = timed(
                (lambda: cloudburst.put(key, value)) if kind == "put" else (lambda: cloudburst.get(key))
            )
            return one(count, seconds)

        inside = self._function("measured", measured)
        return lambda count, seconds: inside(kind, size, count, seconds).get()

    # ------------------------------------------------------------ consistency levels

    def random_dag(self, level: str) -> Probe:
        """A random DAG, from the call to its result."""
        pipes, draws = self._random_dags(level), dags.draw(1, level)

        def once() -> None:
            shape, given = next(draws)
            pipes[shape](consistency=level, **given).get()

        return timed(once)

    def gossip_bytes(self, puts: int) -> Probe:
        """What the stores send each other for a put of eight bytes."""
        return lambda *_: [stores.gossip_bytes(puts)]

    def growth_bytes(self, elements: int, puts: int) -> Probe:
        """What the stores send each other for one element more in a set of so many."""
        return lambda *_: [stores.growth(elements, puts)[0]]

    def growth_seconds(self, elements: int, puts: int) -> Probe:
        """How long two stores work for that."""
        return lambda *_: [stores.growth(elements, puts)[1]]

    def repair(self, keys: int) -> Probe:
        """From ``kill -9`` of a store until so many keys have two copies again, on as many stores."""
        stores.fill(self.client, keys)

        def block(count: int, seconds: float) -> list[float]:
            victim = self.client.stores()[-1].name
            began = time.perf_counter()
            stores.kill(self.client, victim)
            stores.wait_for(self.client, self._stores, without=victim)
            return [time.perf_counter() - began]

        return block

    def session_bytes(self, level: str) -> Probe:
        """What a random DAG has carried along at its end."""
        pipes, draws = self._random_dags(level), dags.draw(2, level)

        def block(count: int, seconds: float) -> list[float]:
            samples: list[float] = []

            def once() -> None:
                shape, given = next(draws)
                samples.append(float(pipes[shape](consistency=level, **given).get()))

            timed(once)(count, seconds)
            return samples

        return block

    def _random_dags(self, level: str) -> list[Any]:
        """The shapes as DAGs, over keys that are there."""
        if "dags" not in self._made:
            names = [self._function(name, dags.visit).name for name in dags.FUNCTIONS]
            self._made["dags"] = [
                self.cb.dag(
                    f"shape{number}",
                    functions=names[: 1 + max(end for _, end in edges)],
                    edges=[(names[start], names[end]) for start, end in edges],
                )
                for number, edges in enumerate(dags.SHAPES)
            ]
        if level not in self._made:
            self._made[level] = True
            for number in range(dags.KEYS):
                self.cb.put(dags.key(level, number), 0)
        return list(self._made["dags"])

    # ------------------------------------------------------------ growth

    def noop_among_functions(self, count: int) -> Probe:
        """A no-op call when so many functions are registered."""
        for index in range(len(self.cb.functions()), count):
            self._function(f"further{index}", work.increment)
        return self.noop()

    def noop_among_keys(self, count: int) -> Probe:
        """A no-op call when so many keys are in the store."""
        self._fill(count)
        return self.noop()

    def get_among_keys(self, count: int) -> Probe:
        """One of so many keys read from the client."""
        self._fill(count)
        keys = itertools.cycle(f"filled{index}" for index in range(0, count, max(1, count // 997)))
        return timed(lambda: self.cb.get(next(keys)))

    def bytes_per_key(self, count: int) -> Probe:
        """Memory of the runtime's processes for each key of eight bytes, as of so many."""
        from benchmarks.processes import children_of, memory

        if not hasattr(self, "_before"):
            self._before = memory(children_of())
        self._fill(count)
        return lambda *_: [(memory(children_of()) - self._before) / count]

    def _fill(self, count: int) -> None:
        for index in range(getattr(self, "_filled", 0), count):
            self.cb.put(f"filled{index}", b"12345678")
        self._filled = max(count, getattr(self, "_filled", 0))

    def define(self, length: int) -> Probe:
        """Registering a chain of so many nodes; the time for one node."""
        names = [self._function(f"link{index}", work.increment).name for index in range(length)]
        edges = list(itertools.pairwise(names))
        return timed(lambda: self.cb.dag("defined", functions=names, edges=edges), each=length)

    def long_chain(self, length: int) -> Probe:
        """A call of a chain of so many nodes; the time for one node."""
        chain = self.chain(length)
        return lambda count, seconds: [sample / length for sample in chain(count, seconds)]


def _figures(call: Call, figure: Callable[[dict[str, Any]], float | None]) -> Probe:
    """A probe that reads a figure off the timings of each of some calls, one after the other.

    Not all have it: a call that is done before it is waited for has no last stage.
    """

    def block(count: int, seconds: float) -> list[float]:
        futures: list[Any] = []

        def once() -> None:
            futures.append(call())
            futures[-1].get()

        samples: list[float] = []
        while not samples:
            timed(once)(count, seconds)
            samples = [took for future in futures if (took := figure(future.timings)) is not None]
        return samples

    return block


def _part_of(timings: dict[str, Any], name: str) -> float:
    """A part of a call (`benchmarks.cases.parts`), in seconds.

    Examples
    --------
    >>> timings = {"total": 10.0, "transfer": 5.0, "return": 2.0, "queued": 1.0, "run": 4.0}
    >>> [_part_of(timings, name) for name in ("there", "queued", "run", "back")]
    [3.0, 1.0, 4.0, 2.0]
    """
    back = timings.get("return", 0.0)
    figures = {"there": timings["transfer"] - back, "back": back}
    return float(figures[name] if name in figures else timings[name])
