"""How fast the calls of a record were, and how fast they are now.

Law: `compare` is pure; `measure` makes the recorded calls again, in a runtime like the recorded one, in the
order of then: a call is submitted once all calls have ended that had ended before it then, so that as many
run side by side. Reads see what the calls write now; a key that was there before the recording is put first,
and a class is taken as it was built then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cloudburst_nb.client import Client
from cloudburst_nb.errors import CloudburstError
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.latency import Percentiles, percentiles
from cloudburst_nb.past import PastCall
from cloudburst_nb.pickling import dump
from cloudburst_nb.records.format import Called, Function, KeptArgs, KeptLattice, Stored
from cloudburst_nb.records.record import Record
from cloudburst_nb.starting import up
from cloudburst_runtime import messages
from cloudburst_runtime.client.calls import OwnedCall
from cloudburst_runtime.messages import Args, DagNode, DagSpec, Inline, Ref, Step
from cloudburst_runtime.shell.clock import now_ms
from cloudburst_runtime.values import decode_own

HEAD = ("milliseconds", "calls", "p50 then", "now", "p95 then", "now", "p50 ratio")
STAGES = ("total", "queued", "transfer", "run")


class Row(NamedTuple):
    """One stage of the calls of one function or DAG: milliseconds then and now.

    Attributes
    ----------
    name
        ``"serve"``, or for a function of a DAG ``"serve: vote"``.
    """

    name: str
    stage: str
    calls: int
    then: Percentiles
    now: Percentiles

    @property
    def ratio(self) -> float:
        """How many times as long the median takes now."""
        return self.now.p50 / self.then.p50 if self.then.p50 else 1.0

    def told(self) -> dict[str, Any]:
        """What a machine is told of it."""
        return {**self._asdict(), "then": self.then._asdict(), "now": self.now._asdict()}


@dataclass
class Speed:
    """The outcome of a comparison.

    Attributes
    ----------
    rows
        The total and the stages of each function and DAG, and the time in user code of a DAG's functions.
    left_out
        How many calls were not compared, by reason.
    """

    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """The comparison as a table."""
        yield f"{HEAD[0]:<32} {HEAD[1]:>6} " + " ".join(f"{name:>10}" for name in HEAD[2:])
        for row in self.rows:
            name = row.name if row.stage == STAGES[0] else f"  {row.stage}"
            numbers = (row.then.p50, row.now.p50, row.then.p95, row.now.p95)
            columns = " ".join(f"{number:>10.3f}" for number in numbers)
            yield f"{name:<32} {row.calls:>6} {columns} {row.ratio:>9.2f}x"
        yield from (f"left out, {count} calls: {reason}" for reason, count in self.left_out.items())


@dataclass
class Measured:
    """What the calls took now, by their index; and why some were not made, or failed."""

    timings: dict[int, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, why: str) -> None:
        """One more call that is not compared."""
        self.left_out[why] = self.left_out.get(why, 0) + 1


def compare(record: Record, measured: Measured) -> Speed:
    """Put the latencies of a record beside those of now.

    Parameters
    ----------
    record
        With the timings of then.
    measured
        Those of now; calls that are missing are left out of both.
    """
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for call in record.calls:
        now = measured.timings.get(call.index)
        if now is None:
            continue
        for which, timings in enumerate((timings_of(call), now)):
            for key, seconds in _stages(call.target, timings):
                found.setdefault(key, ([], []))[which].append(seconds * 1000)
    rows = [
        Row(name, stage, len(then), percentiles(then), percentiles(now))
        for (name, stage), (then, now) in sorted(found.items(), key=lambda item: _order(*item[0]))
        if then and now
    ]
    return Speed(rows, measured.left_out)


def _order(name: str, stage: str) -> tuple[str, int]:
    return name, STAGES.index(stage) if stage in STAGES else len(STAGES)


def _stages(target: str, timings: dict[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    for stage in STAGES:
        yield (target, stage), timings[stage]
    for name, parts in timings.get("nodes", {}).items():
        yield (target, f"run of {name}"), parts["run"]


def timings_of(call: Called) -> dict[str, Any]:
    """The timings of a recorded call, as `CloudburstFuture.timings` gives them."""
    steps = [Step(step.node, step.executor, step.ready, step.started, step.ended) for step in call.steps]
    names = [name for name, *_ in call.nodes]
    return PastCall(call.target, names, call.submitted, call.ended, steps).timings


# ---------------------------------------------------------------- the calls again


def measure(record: Record) -> Measured:
    """Make the calls of a record again, in a runtime of their own for each that was recorded."""
    measured = Measured()
    for runtime in record.runtimes:
        executors = (runtime.executors_min, runtime.executors_max)
        with up(executors, policy=runtime.policy, seed=runtime.seed) as client:
            _Rerun(record, client, runtime.client, measured).run()
    return measured


class _Rerun:
    """The calls of one recorded client, made by another."""

    def __init__(self, record: Record, client: Client, number: int, measured: Measured) -> None:
        self._record = record
        self._client = client
        self._measured = measured
        self._calls = [call for call in record.calls if call.client == number]
        self._stored = [stored for stored in record.stored if stored.client == number]
        self._built = {
            (step.function, step.version): step.built
            for call in self._calls
            for step in call.steps
            if step.built is not None
        }
        self._registered: dict[str, int] = {}
        self._defined: dict[str, Any] = {}
        self._futures: dict[int, CloudburstFuture] = {}

    def run(self) -> None:
        """Do what was done then, in that order."""
        self._put_first()
        moments: list[tuple[float, int, Called | Stored]] = []
        for call in self._calls:
            moments += [(call.submitted, 0, call), (call.ended, 1, call)]
        moments += [(stored.at, 2, stored) for stored in self._stored]
        for _, kind, what in sorted(moments, key=lambda moment: moment[:2]):
            if isinstance(what, Stored):
                self._store(what)
            elif kind == 0:
                self._submit(what)
            else:
                self._end(what)

    def _put_first(self) -> None:
        """Keys that were read before the recording saw anybody write them."""
        seen: dict[str, None] = {}
        for _, key, lattice in sorted(self._touched(), key=lambda touched: touched[0]):
            if key not in seen and lattice is not None:
                self._client._shell.store("write", key, self._record.lattice(lattice))
            seen[key] = None

    def _touched(self) -> Iterator[tuple[float, str, KeptLattice | None]]:
        """Who touched which key, and what was read there; nothing if it was written."""
        for stored in self._stored:
            found = stored.lattices if stored.kind == "read" else []
            yield from ((stored.at, key, _at(found, at)) for at, key in enumerate(stored.keys))
        for call in self._calls:
            keys = [key for _, args in call.args for _, key in args.refs]
            for step in call.steps:
                yield from ((step.ready, key, _at(step.refs, at)) for at, key in enumerate(keys))
                for seen in step.seen:
                    found = seen.lattices if seen.kind == "get" else []
                    yield from ((step.started, key, _at(found, at)) for at, key in enumerate(seen.keys))

    def _store(self, stored: Stored) -> None:
        shell = self._client._shell
        try:
            if stored.kind == "write":
                shell.store("write", stored.keys[0], self._record.lattice(stored.lattices[0]))
            elif stored.kind == "delete":
                shell.store("delete", stored.keys[0])
            else:
                shell.store("read", stored.keys)
        except CloudburstError:  # it failed then, too, or the calls that compare will tell
            return

    def _submit(self, call: Called) -> None:
        why_not = self._why_not(call)
        if why_not:
            self._measured.leave_out(why_not)
            return
        shell = self._client._shell
        args = {name: self._args(kept) for name, kept in call.args}
        refs = tuple(dict.fromkeys(ref.key for each in args.values() for ref in each.refs))
        again = OwnedCall(shell.new_number(), call.kind, call.target, args, refs=refs)
        again.output_key, again.timeout = call.output_key, call.timeout
        again.level = call.level
        again.pinned = {name: self._record.value(kept) for name, kept in call.pinned.items()}
        names = [name for name, *_ in call.nodes]
        future = CloudburstFuture(self._client, again.number, call.target, names, now_ms())
        shell.submit(again, future)
        self._futures[call.index] = future

    def _why_not(self, call: Called) -> str:
        """Why a call cannot be made again; what it needs is registered on the way."""
        names = [name for name, *_ in call.nodes]
        if not call.steps:
            return "they did not run then"
        if call.continuation is not None or len(set(names)) < len(names):
            return "they went on in another DAG"
        for name, version, *_ in call.nodes:
            kept = self._record.functions.get((call.client, name, version))
            if kept is None or not kept.payload.parts:
                return f"the code of {name!r} v{version} is not in the record"
            if self._registered.get(name) != version:
                self._register(kept)
        self._define(call)
        return ""

    def _register(self, kept: Function) -> None:
        """Register a function; of a class the instance that was built then, where that is recorded."""
        spec = self._record.spec(kept)
        built = self._built.get((kept.name, kept.version))
        if built is not None:
            instance = decode_own(self._record.value(built))
            spec.kind, spec.payload = "function", dump(instance.run)
        self._client._shell.ask(lambda req: messages.Register(req, spec))
        self._registered[kept.name] = kept.version

    def _define(self, call: Called) -> None:
        if call.kind != "dag" or self._defined.get(call.target) == (call.nodes, call.edges):
            return
        nodes = []
        for name, _, dropped, batching in call.nodes:
            invalid = None if dropped is None else [self._record.value(kept) for kept in dropped]
            nodes.append(DagNode(name, invalid, batching=batching))
        self._client.define_dag(DagSpec(call.target, nodes, list(call.edges)))
        self._defined[call.target] = (call.nodes, call.edges)

    def _args(self, kept: KeptArgs) -> Args:
        refs = [Ref(slot, key) for slot, key in kept.refs]
        inline = [Inline(slot, self._record.value(value)) for slot, value in kept.inline]
        return Args(self._record.value(kept.value), refs, inline)

    def _end(self, call: Called) -> None:
        future = self._futures.pop(call.index, None)
        if future is None:
            return
        failed = future.exception() is not None
        if failed and call.failure is None:
            self._measured.leave_out(f"{call.target!r} fails here: {future.exception()!s:.100}")
        elif future.timings:
            self._measured.timings[call.index] = future.timings


def _at(found: list[KeptLattice | None], place: int) -> KeptLattice | None:
    return found[place] if place < len(found) else None
