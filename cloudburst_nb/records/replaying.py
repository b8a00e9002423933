"""Executes the steps of recorded calls again, each from what it was given and told then.

Law: no runtime is needed, and no notebook. Each executor of the recording has a `Sandbox` of its own here,
in which its steps run in the order in which they ran there: so what a class keeps between two requests is
what it kept then. A step gets the inputs that are recorded, not those that the replay has just made: one
divergence is one divergence.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.format import Called, Kept, KeptArgs, KeptStep
from cloudburst_nb.records.librarian import Librarian
from cloudburst_nb.records.record import Record
from cloudburst_runtime.executor.printed import Streams
from cloudburst_runtime.executor.sandbox import Sandbox
from cloudburst_runtime.executor.seeding import Seeds
from cloudburst_runtime.executor.tasks import Outcome, Task
from cloudburst_runtime.ids import TaskId
from cloudburst_runtime.imported import imported
from cloudburst_runtime.messages import Args, DagNode, FunctionSpec, Header, Inline, Ref, Trigger
from cloudburst_runtime.values import Value, decode_own, encode

NO_ARGS = encode(((), {}))
CLIENT = "replay"

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Replayed:
    """One step that was executed again.

    Attributes
    ----------
    outcome
        What came of it; None if it could not be executed.
    strayed
        How it asked its library for something else than then; empty if it did not.
    why_not
        Why it could not be executed.
    """

    call: Called
    step: KeptStep
    outcome: Outcome | None
    strayed: str = ""
    why_not: str = ""


class _Silent:
    """In the place of `Streams` where what is printed shall show itself."""

    def take(self) -> tuple[str, str]:
        """Nothing was kept."""
        return "", ""


class _Sandbox(Sandbox):
    """A sandbox whose functions may be wrapped, and that can do without a class's ``__init__``."""

    wrap: Wrap | None = None
    built: Value | None = None
    """The instance that the next step built then."""
    instead = ""
    """Why that was taken, once it was."""

    def _load_class(self, function: FunctionSpec) -> Any:
        try:
            return super()._load_class(function)
        except Exception as error:  # such as a file that it read then, and that is gone
            if self.built is None:
                raise
            self.instead = f"{type(error).__name__}: {error}"
            return decode_own(self.built).run

    def _load(self, function: FunctionSpec) -> Any:
        loaded = super()._load(function)
        return loaded if self.wrap is None else loaded._replace(call=self.wrap(loaded.call))


@dataclass
class Replay:
    """Executes steps of one record.

    Parameters
    ----------
    record
        Which.
    streams
        What is printed goes there; None: it shows itself.
    wrap
        What to make of each function before it is called, such as one that starts a debugger.

    Attributes
    ----------
    instead
        The classes that were taken as they were built then, and why they could not be built now.
    """

    record: Record
    streams: Streams | None = None
    wrap: Wrap | None = None
    instead: dict[str, str] = field(default_factory=dict)
    _sandboxes: dict[tuple[int, str], _Sandbox] = field(default_factory=dict)
    _functions: dict[tuple[int, str, int], FunctionSpec] = field(default_factory=dict)

    def all(self) -> Iterator[Replayed]:
        """Every step of every call, in the order in which each executor ran them."""
        return self.steps([(call, step) for call in self.record.calls for step in call.steps])

    def call(self, index: int) -> Iterator[Replayed]:
        """The steps of one call."""
        calls = [call for call in self.record.calls if call.index == index]
        return self.steps([(call, step) for call in calls for step in call.steps])

    def steps(self, wanted: list[tuple[Called, KeptStep]]) -> Iterator[Replayed]:
        """These steps; those that ran as one batch run as one."""
        ordered = sorted(wanted, key=lambda each: (each[0].client, each[1].started, each[1].place))
        batches: dict[tuple[Any, ...], list[tuple[Called, KeptStep]]] = {}
        for call, step in ordered:
            alone = (call.index, step.node) if step.size == 1 else ()
            place = (call.client, step.executor, step.function, step.version, step.started, alone)
            batches.setdefault(place, []).append((call, step))
        for batch in batches.values():
            yield from self._batch(batch)

    def _batch(self, batch: list[tuple[Called, KeptStep]]) -> Iterator[Replayed]:
        call, step = batch[0]
        if len(batch) < step.size:
            yield from self._not(batch, f"it ran in a batch with {step.size - len(batch)} calls of others")
            return
        try:
            tasks = [self._task(*each) for each in batch]
        except RecordError as error:
            yield from self._not(batch, str(error))
            return
        sandbox = self._sandbox(call, step)
        librarian: Any = sandbox.library
        librarian.begin(step.seen, call.level)
        sandbox.built = None if step.built is None else self.record.value(step.built)
        outcomes = sandbox.run(tasks)
        strayed = librarian.end()
        if sandbox.instead:
            self.instead[step.function], sandbox.instead = sandbox.instead, ""
        for (each, its_step), outcome in zip(batch, outcomes, strict=True):
            yield Replayed(each, its_step, outcome, strayed)

    @staticmethod
    def _not(batch: list[tuple[Called, KeptStep]], why: str) -> Iterator[Replayed]:
        for call, step in batch:
            yield Replayed(call, step, None, why_not=why)

    # ------------------------------------------------------------ what a step needs

    def _sandbox(self, call: Called, step: KeptStep) -> _Sandbox:
        place = (call.client, step.executor)
        found = self._sandboxes.get(place)
        if found is None:
            runtime = self.record.runtime_of(call)
            seeds = None if runtime is None or runtime.seed is None else Seeds(runtime.seed)
            streams: Any = _Silent() if self.streams is None else self.streams
            found = self._sandboxes[place] = _Sandbox(Librarian(self.record), streams, seeds)
            found.wrap = self.wrap
        return found

    def _task(self, call: Called, step: KeptStep) -> Task:
        header = Header(CLIENT, call.number, call.attempt, 0, [])
        function, _, invalid, batching = call.nodes[step.node]
        task = Task(TaskId(CLIENT, call.number, call.attempt, step.node), header)
        dropped = None if invalid is None else [self.record.value(each) for each in invalid]
        task.node = DagNode(function, dropped, batching=batching)
        task.function = self._function(call, step)
        task.args = self._args(call, step)
        if task.args is not None and task.args.refs:
            found = [self.record.lattice(kept) for kept in step.refs]
            task.resolved = {ref.slot: each for ref, each in zip(task.args.refs, found, strict=True) if each}
        values = results_of(call)
        for source in step.inputs:
            kept = values.get(source)
            if kept is None:
                raise RecordError(f"what node {source} gave it is not in the record")
            task.inputs.append(Trigger(header, source, step.node, self.record.value(kept), []))
        return task

    def _function(self, call: Called, step: KeptStep) -> FunctionSpec:
        key = (call.client, step.function, step.version)
        if key not in self._functions:
            kept = self.record.functions.get(key)
            if kept is None or not kept.payload.parts:
                raise RecordError(f"the code of {step.function!r} v{step.version} is not in the record")
            self._functions[key] = self.record.spec(kept)
        return self._functions[key]

    def _args(self, call: Called, step: KeptStep) -> Args | None:
        """The fixed arguments of a node; those for no node in particular are the only source's."""
        kept = args_of(call, step.node)
        if kept is None:
            return None if step.inputs else Args(NO_ARGS)
        return Args(
            self.record.value(kept.value),
            [Ref(slot, key) for slot, key in kept.refs],
            [Inline(slot, self.record.value(value)) for slot, value in kept.inline],
        )


def results_of(call: Called) -> dict[int, Kept | None]:
    """What each node of a call has given; also those that did not run, since it was given to them."""
    found = {each.node: each.value for each in call.steps}
    for node, (name, *_) in enumerate(call.nodes):
        if name in call.pinned:
            found.setdefault(node, call.pinned[name])
    return found


def args_of(call: Called, node: int) -> KeptArgs | None:
    """The fixed arguments that a node of a call was given."""
    sources = [index for index in range(len(call.nodes)) if index not in {edge[1] for edge in call.edges}]
    first = {each[0]: index for index, each in reversed(list(enumerate(call.nodes)))}
    for name, kept in call.args:
        if (sources[0] if name is None else first.get(name)) == node:
            return kept
    return None


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What the replay of a seeded call does to the generators of this process is undone."""
    numpy = imported("numpy", "random")
    state = random.getstate()
    kept = None if numpy is None else (numpy.random.get_state(), numpy.random.default_rng)
    try:
        yield
    finally:
        random.setstate(state)
        if kept is not None:
            numpy.random.set_state(kept[0])
            numpy.random.default_rng = kept[1]
