"""The anomaly experiment of the Cloudburst paper: random DAGs over Zipf keys, and what went wrong with them.

Law: draws and runs executions and counts; what an anomaly is, the checkers of `consistency` say.

Each client runs one execution after the other. An execution is a random DAG of about three functions, each
of which reads some keys; the sink then writes keys that the DAG has read. Functions are placed at random, so
that a DAG hops between caches. With everything at ``lww`` the history is judged by the promises of every
level: what breaks one is an anomaly that the level would have prevented. Lost updates are counted once
each, where the last state is without them; all others by reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple

from cloudburst_runtime.config import Config
from cloudburst_runtime.levels import CAUSAL
from cloudburst_runtime.sim.consistency import atomic, causal, siblings
from cloudburst_runtime.sim.consistency.judge import PROMISES, judge
from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import FINAL, Record
from cloudburst_runtime.sim.consistency.repeatable import repeatable
from cloudburst_runtime.sim.consistency.violations import Check, Violation
from cloudburst_runtime.sim.faults import Faults
from cloudburst_runtime.sim.visits import SHAPES, Script, Visitor, size, zipf
from cloudburst_runtime.sim.world import EVENTS_MAX, World

TIME_MAX_MS = 3_600_000.0
REST_MS = 60_000.0

KINDS: dict[str, tuple[str, tuple[Check, ...]]] = {
    "lww": (
        "acknowledged writes lost, replicas apart, own writes unseen, reads backwards",
        PROMISES["lww"],
    ),
    "sk": (
        "updates lost to a concurrent one, and single keys read out of order",
        (siblings.kept, siblings.per_key),
    ),
    "mk": ("caches that are no causal cut", (causal.cut,)),
    "dsc": ("DAGs whose caches are no causal cut together", (causal.causal, causal.conflicts)),
    "dsrr": ("keys read in different versions by one execution", (repeatable,)),
    "atomic": ("executions seen in part", (atomic.fractured,)),
}
"""By level: which anomalies it is there to prevent."""

STEPS = ("lww", "sk", "mk", "dsc")
"""Each prevents what the one before does; so an anomaly counts at the first that prevents it."""


@dataclass(frozen=True)
class Experiment:
    """What is run.

    Attributes
    ----------
    executions, clients
        How many executions in all, by how many clients at a time.
    keys, zipf
        How many keys there are, and the exponent of how unequally they are chosen.
    reads, writes
        How many keys each function reads, and how many of these the sink writes.
    executors, stores, replication
        The runtime.
    level
        The consistency level of all executions.
    """

    executions: int = 4_000
    level: str = "lww"
    seed: int = 0
    clients: int = 8
    keys: int = 100_000
    zipf: float = 1.0
    reads: int = 2
    writes: int = 1
    executors: int = 6
    stores: int = 1
    replication: int = 1


class Count(NamedTuple):
    """What there was of the anomalies that a level prevents, and in how many executions."""

    level: str
    what: str
    anomalies: int
    executions: int


@dataclass
class Outcome:
    """What came of an experiment."""

    experiment: Experiment
    world: World
    record: Record
    counts: list[Count]
    examples: dict[str, tuple[Check, Violation]]
    """By level, one of its anomalies."""

    @property
    def broken(self) -> list[Violation]:
        """What breaks the promise of the level that it ran at."""
        return [violation for _, violation in judge(self.record, self.experiment.level)]


def run(experiment: Experiment, trace: Callable[[str], None] | None = None) -> Outcome:
    """Run an experiment and count its anomalies.

    Examples
    --------
    >>> outcome = run(Experiment(executions=20, keys=5))
    >>> [count.level for count in outcome.counts]
    ['lww', 'sk', 'mk', 'dsc', 'dsrr', 'atomic']
    """
    world = World(
        experiment.seed,
        Faults("calm", skew_us=2_000),
        _config(experiment),
        trace=trace,
        events_max=EVENTS_MAX + 1_000 * experiment.executions,
    )
    world.start_node()
    visitors = [_client(world, f"c{number}", experiment.level) for number in range(1, experiment.clients + 1)]
    visitors[0].set_up()
    _drive(world, visitors[:1])
    for number, visitor in enumerate(visitors):
        visitor.plan(experiment, len(range(number, experiment.executions, experiment.clients)))
    _drive(world, visitors)
    world.run(world.now + REST_MS)
    _read_all(world, experiment)
    record = Record.of(world.history)
    counts, examples = _count(record)
    return Outcome(experiment, world, record, counts, examples)


def _config(experiment: Experiment) -> Config:
    return Config(
        executors_min=experiment.executors,
        executors_max=experiment.executors,
        policy="random",
        stores_min=experiment.stores,
        stores_max=experiment.stores,
        replication=experiment.replication,
        pressure_after_ms=TIME_MAX_MS,
    )


def _client(world: World, name: str, level: str) -> _Steady:
    return _Steady(world.start_client(name), world.random(f"anomalies/{name}"), name, level)


def _drive(world: World, sessions: list[_Steady]) -> None:
    for session in sessions:
        session.go()
    world.run(TIME_MAX_MS, lambda: all(session.done for session in sessions))
    assert all(session.done for session in sessions), "the executions do not come to an end"


class _Steady(Visitor):
    """A client that runs executions, one after the other, without a pause."""

    def _later(self) -> None:
        self._next()

    def plan(self, experiment: Experiment, executions: int) -> None:
        """Draw what to run."""
        draw = zipf(experiment.keys, experiment.zipf, self.random)
        for _ in range(executions):
            shape = self.random.randrange(len(SHAPES))
            scripts = self._scripts(size(shape), experiment, draw)
            self.to_do += [partial(self.visit, shape, scripts), self.wait]

    def _scripts(self, functions: int, experiment: Experiment, draw: Iterator[int]) -> list[Script]:
        keys = [[f"k{next(draw)}" for _ in range(experiment.reads)] for _ in range(functions)]
        read = list(dict.fromkeys(key for some in keys for key in some))
        written = self.random.sample(read, min(experiment.writes, len(read)))
        read_as = "siblings" if self.level in CAUSAL else "get"
        scripts: list[Script] = [[[read_as, key, None] for key in some] for some in keys]
        scripts[-1] += [["put", key, self.unique()] for key in written]
        return scripts


def _read_all(world: World, experiment: Experiment) -> None:
    """Once nothing moves any more, two new clients read every key that was written."""
    written = {access.key for access in Record.of(world.history) if access.kind == "write"}
    for number in (1, 2):
        client, label = world.start_client(f"z{number}"), f"{FINAL}/{number}"
        reader = Visitor(client, Random(number), label, experiment.level)
        read = reader.siblings if experiment.level in CAUSAL else reader.get
        reader.to_do += [partial(read, key) for key in sorted(written)]
        reader.go()
        world.run(world.now + TIME_MAX_MS, lambda reader=reader: reader.done)  # type: ignore[misc]


def _count(record: Record) -> tuple[list[Count], dict[str, tuple[Check, Violation]]]:
    causality = Causality(record)
    counts: list[Count] = []
    examples: dict[str, tuple[Check, Violation]] = {}
    before: dict[int, None] = {}
    for level, (what, checks) in KINDS.items():
        found = {_mark(violation): (check, violation) for check in checks for violation in check(causality)}
        if level in STEPS:
            found = {mark: example for mark, example in found.items() if mark not in before}
            before.update(dict.fromkeys(found))
        for example in found.values():
            examples.setdefault(level, example)
        touched = {_execution(violation) for _, violation in found.values()} - {""}
        counts.append(Count(level, what, len(found), len(touched)))
    return counts, examples


def _mark(violation: Violation) -> int:
    """What tells anomalies apart: the lost write, or the read that shows it."""
    return violation.accesses[1 if violation.check == "kept" else 0].number


def _execution(violation: Violation) -> str:
    return violation.accesses[1 if violation.check == "kept" else 0].execution
