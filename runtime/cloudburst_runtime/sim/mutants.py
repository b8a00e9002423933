"""Cores with a planted defect each, to see that the checkers notice.

Law: a mutant differs from the right core in one decision, and `Mutant.defect` says in which. They reach
into the cores' private parts, so a change there may have to be followed here.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.client.blocks import Block
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.departures import Departures
from cloudburst_runtime.executor.past import Past
from cloudburst_runtime.executor.session import Levels
from cloudburst_runtime.executor.tasks import Op, Reply, Task
from cloudburst_runtime.ids import HybridClock, Micros, Millis, PeerName, TaskId
from cloudburst_runtime.messages import Calls, Due, Entry, Results, Triggers
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.sim.mutant import Mutant
from cloudburst_runtime.sim.store_mutants import STORE_MUTANTS
from cloudburst_runtime.vectors import Vector

# ---------------------------------------------------------------- executors


class _ForgetfulPast(Past):
    def reply(self, task_id: TaskId) -> Any:
        self.finished.pop(task_id, None)
        return super().reply(task_id)


class _Forgetful(ExecutorCore):
    def __init__(self, config: Config, name: PeerName, clock: HybridClock) -> None:
        super().__init__(config, name, clock)
        self.past.__class__ = _ForgetfulPast


class _Keeping(ExecutorCore):
    def _on_shed(self, message: Any, now: Millis) -> Any:
        queue = self.runner.queue
        kept = list(queue)
        effects = super()._on_shed(message, now)
        for task in kept:
            if task not in queue:
                queue.append(task)
                self.tasks[task.id] = task
        return effects


class _StaleCache(CacheCore):
    def peek(self, key: str, floor: Vector) -> Entry | None:
        return super().peek(key, {})


class _DeafCache(CacheCore):
    def _updated(self, update: Any, store: PeerName, now: Millis) -> Any:
        fresh = self._sources.freshness(store)
        fresh.received = max(fresh.received, update.number - 1)
        return super()._updated(update, store, now)


class _AmountsCache(CacheCore):
    def _done(self, request: Any, failure: Any, now: Millis) -> Any:
        if getattr(request, "draft", None) is not None:
            request.draft.sums.clear()
        return super()._done(request, failure, now)


class _WithCache(ExecutorCore):
    kind: type[CacheCore]

    def __init__(self, config: Config, name: PeerName, clock: HybridClock) -> None:
        super().__init__(config, name, clock)
        operations = self.operations
        self.cache = operations.cache = self.kind(config, name, clock, True, operations.next_req)


class _Stale(_WithCache):
    kind = _StaleCache


class _Deaf(_WithCache):
    kind = _DeafCache


class _Amounts(_WithCache):
    kind = _AmountsCache


class _Hasty(ExecutorCore):
    def handle(self, event: Any, now: Millis) -> Any:
        effects = super().handle(event, now)
        if type(event) is not Op or event.kind != "write":
            return effects
        pending = self.operations.pending
        pending.pop(max(pending, default=0), None)
        return [*effects, Reply(event.number, None)]


# ---------------------------------------------------------------- consistency levels


class _AtLevel(ExecutorCore):
    levels: type[Levels] = Levels

    def __init__(self, config: Config, name: PeerName, clock: HybridClock) -> None:
        super().__init__(config, name, clock)
        operations = self.operations
        operations.levels = self.levels(operations.cache, operations.snapshots)
        self.mutate(operations.snapshots)

    def mutate(self, snapshots: Any) -> None:
        """What is wrong with the snapshots."""


class _BlindLevels(Levels):
    def see(self, task: Task, key: str, entry: Entry) -> None:
        pass


class _Overwriting(_AtLevel):
    levels = _BlindLevels


class _Deciding(_AtLevel):
    def mutate(self, snapshots: Any) -> None:
        snapshots.agreement.decides = lambda task: True


class _Presuming(_AtLevel):
    def mutate(self, snapshots: Any) -> None:
        snapshots.claims.ask = lambda attempt, key, others, then, now: then(None, now)


class _Guessing(_AtLevel):
    def mutate(self, snapshots: Any) -> None:
        agreement = snapshots.agreement
        asks = agreement.asks
        agreement.asks = lambda task, *rest: not agreement.is_free(task, rest[1]) and asks(task, *rest)


class _Unrepeating(_AtLevel):
    def mutate(self, snapshots: Any) -> None:
        snapshots.peek = lambda task, key: snapshots._cache.peek(key, task.floor)


class _Releasing(_AtLevel):
    def _on_outcome(self, task: Task, *rest: Any) -> Any:
        released = self.operations.snapshots.release((task.id.client, task.id.number, task.id.attempt))
        return [*super()._on_outcome(task, *rest), *released]


class _Mixing(_AtLevel):
    def mutate(self, snapshots: Any) -> None:
        snapshots.admission.goes = lambda session, attempt, key, entry: True


class _Blurting(_AtLevel):
    def _on_outcome(self, task: Task, outcome: Any, batch: Any, now: Millis) -> Any:
        effects: list[Any] = []
        operations = self.operations
        for key, write in (task.session.writes if task.session is not None else {}).items():
            op = operations.begin(lambda result, later: [])
            effects += operations.pass_on(self.cache.write(op, key, write, now), now)
        return [*super()._on_outcome(task, outcome, batch, now), *effects]


class _Rootless(Levels):
    def floor(self, task: Task) -> Vector:
        return {}

    def terms(self, task: Task, key: str) -> Terms:
        return super().terms(task, key)._replace(deps={})


class _Independent(_AtLevel):
    levels = _Rootless


class _Hoarding(_AtLevel):
    def mutate(self, snapshots: Any) -> None:
        release = snapshots.release

        def keep_on(attempt: Any) -> Any:
            kept = snapshots.kept.get(attempt)
            effects = release(attempt)
            if kept is not None:
                snapshots.kept[attempt] = kept
            return effects

        snapshots.release = keep_on


# ---------------------------------------------------------------- clients


class _Amnesiac(ClientSession):
    def terms(self, key: str, floor: Vector, known: Vector) -> Terms:
        self._seen.session.seen.clear()
        return super().terms(key, floor, known)


class _Hodgepodge(Block):
    def torn(self, key: str, entry: Entry) -> str | None:
        return None


class _Assorting(ClientSession):
    def __init__(self, level: str = "lww") -> None:
        super().__init__(level)
        if level == "atomic":
            self.block = _Hodgepodge()
            self.blocks = (self.block,)


class _Undemanding(Block):
    def late(self, key: str, entry: Entry) -> Due | None:
        return None


class _Forbearing(ClientSession):
    def __init__(self, level: str = "lww") -> None:
        super().__init__(level)
        if level == "atomic":
            self.block = _Undemanding()
            self.blocks = (self.block,)


class _Unmindful(ClientCore):
    @property
    def floor(self) -> Vector:
        return {}

    @floor.setter
    def floor(self, value: Vector) -> None:
        pass


class _Impatient(ClientCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.recovery.probes = lambda now: []  # type: ignore[method-assign]


class _Giving(ClientCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.recovery._try_again = lambda call, why, free, now: []  # type: ignore[method-assign]


class _Clinging(ClientCore):
    def _on_revoke(self, message: Any, now: Millis) -> Any:
        leases = self.leases
        held = dict(leases.held)
        effects = super()._on_revoke(message, now)
        leases.held = held
        leases.revoked_until = {}
        return effects


class _DeafClock(HybridClock):
    __slots__ = ("_inner",)

    def __init__(self, inner: HybridClock) -> None:
        self._inner = inner
        super().__init__(0)

    def tick(self, now: Millis) -> Micros:
        self.last = self._inner.tick(now)
        return self.last

    def observe(self, stamp: Micros) -> None:
        pass


class _Unheeding(ExecutorCore):
    def __init__(self, config: Config, name: PeerName, clock: HybridClock) -> None:
        super().__init__(config, name, _DeafClock(clock))


# ---------------------------------------------------------------- what travels together


class _Confusing(ExecutorCore):
    def _on_calls(self, message: Calls, now: Millis) -> Any:
        message.args.reverse()
        return super()._on_calls(message, now)


class _Lumping(Departures):
    def release(self) -> Any:
        effects = super().release()
        for effect in effects:
            if type(effect.message) is Results:
                numbers = [result.number for result in effect.message.results]
                for result, number in zip(effect.message.results, numbers[1:] + numbers[:1], strict=True):
                    result.number = number
        return effects


class _Muddling(ExecutorCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.departures.__class__ = _Lumping


class _Crossing(ExecutorCore):
    def _on_triggers(self, message: Triggers, now: Millis) -> Any:
        first, second, *_ = message.inputs
        first.source, second.source = second.source, first.source
        return super()._on_triggers(message, now)


# ---------------------------------------------------------------- leases


class _Rushing(NodeCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.scheduler.leases._gate = lambda key, waits, then, deadline: list(then)  # type: ignore[method-assign]


MUTANTS: dict[str, Mutant] = {
    **STORE_MUTANTS,
    "executor-repeats": Mutant("an executor runs a repeated call again", executor=_Forgetful),
    "executor-keeps-task": Mutant("a task that is handed over stays in the queue", executor=_Keeping),
    "executor-hasty-write": Mutant("a write is reported before the store has it", executor=_Hasty),
    "executor-ignores-stamps": Mutant("an executor's clock does not observe", executor=_Unheeding),
    "executor-confuses": Mutant(
        "calls that came together get each other's arguments", executor=_Confusing, scenario="many"
    ),
    "executor-crosses": Mutant(
        "inputs that go together are taken for each other", executor=_Crossing, scenario="many"
    ),
    "executor-muddles": Mutant(
        "results that go together are of each other's calls", executor=_Muddling, scenario="many"
    ),
    "cache-ignores-floor": Mutant("a cache shows entries older than the session", executor=_Stale),
    "cache-overlooks-gap": Mutant("a cache takes a gap in its updates for none", executor=_Deaf),
    "cache-forgets-totals": Mutant("a counter's puts carry amounts, not totals", executor=_Amounts),
    "level-sees-nothing": Mutant("a session forgets what it has read", executor=_Overwriting, scenario="sk"),
    "level-depends-on-nothing": Mutant(
        "reads ignore what they depend on", executor=_Independent, scenario="dsc"
    ),
    "snapshot-skipped": Mutant("a repeated read takes what is there", executor=_Unrepeating, scenario="dsrr"),
    "snapshot-not-agreed": Mutant("parallel steps fix versions alone", executor=_Deciding, scenario="dsrr"),
    "snapshot-presumed": Mutant(
        "a home does not ask what others have read by themselves", executor=_Presuming, scenario="dsrr"
    ),
    "snapshot-guessed": Mutant(
        "a key that has changed is read without asking", executor=_Guessing, scenario="dsrr"
    ),
    "snapshot-released": Mutant("each step releases what is kept", executor=_Releasing, scenario="dsrr"),
    "snapshot-not-released": Mutant("what is kept is never released", executor=_Hoarding, scenario="dsrr"),
    "atomic-mixed": Mutant("what is read need not go together", executor=_Mixing, scenario="atomic"),
    "atomic-too-early": Mutant("each step publishes what it wrote", executor=_Blurting, scenario="atomic"),
    "session-forgets": Mutant("a session forgets what it has seen", session=_Amnesiac, scenario="sk"),
    "block-torn": Mutant(
        "a block reads what was published with a key that it had read",
        session=_Assorting,
        scenario="atomic/blocks",
    ),
    "block-late": Mutant(
        "a block reads what is older than it is due", session=_Forbearing, scenario="atomic/blocks"
    ),
    "client-forgets-floor": Mutant("a client's calls do not carry its session", client=_Unmindful),
    "client-never-asks": Mutant("a client does not probe its calls", client=_Impatient),
    "client-never-retries": Mutant("a client does not run lost calls again", client=_Giving),
    "client-keeps-leases": Mutant("a client goes on using a revoked lease", client=_Clinging),
    "scheduler-rushes": Mutant("a registration is answered before leases are void", node=_Rushing),
}
