"""Whether a world that has healed has come to rest: nothing pending anywhere, no cache astray.

Law: the one place that looks into cores; only for what no client can see.
"""

from __future__ import annotations

from cloudburst_runtime.anna.past import origin
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.messages import Entry
from cloudburst_runtime.sim.processes import ClientProcess, ExecutorProcess
from cloudburst_runtime.sim.world import World

IDLE_TIMERS = ("idle",)


def pending(world: World) -> list[str]:
    """What is still under way, as sentences."""
    found: list[str] = []
    for client in world.clients():
        found += _of(client.name, _client(client))
    for executor in world.executors():
        found += _of(executor.name, _executor(executor))
    for store in world.stores():
        found += _of(store.name, {"timers": list(store.timers)})
    return found + _of("node", _node(world))


def stale(world: World) -> list[str]:
    """Cached entries that differ from the store's and would be shown to one who knows all that it knows."""
    replicas = {replica.name: replica for replica in _replicas(world)}
    everything = {name: replica.seq for name, replica in replicas.items()}
    steward = world.node().core.steward
    owners = None if steward is None else steward.store.owners
    found = []
    for executor in world.executors():
        cache = executor.core.cache
        for key in list(cache._held):
            replica = replicas[NODE if owners is None else owners.of(key)[0]]
            entry, truth = cache.peek(key, everything), replica.entry(key)
            if entry is not None and entry != (truth or Entry(0, None)):
                found.append(f"rest: {executor.name} shows {entry} for {key}, {replica.name} has {truth}")
    return found


def of_two_minds(world: World) -> list[str]:
    """Keys of which two of their owners have not the same versions."""
    replicas, found = {replica.name: replica for replica in _replicas(world)}, []
    steward = world.node().core.steward
    owners = None if steward is None else steward.store.owners
    for key in sorted({key for replica in replicas.values() for key in replica.records.live}):
        names = [NODE] if owners is None else owners.of(key)
        kept = {name: [*map(origin, replicas[name].records.versions(key))] for name in names}
        if len({str(versions) for versions in kept.values()}) > 1:
            found.append(f"rest: of {key} there are other versions at one store than at another: {kept}")
    return found


def _replicas(world: World) -> list[ReplicaCore]:
    return [world.node().replica, *(store.replica for store in world.stores())]


def _of(name: str, counts: dict[str, object]) -> list[str]:
    return [f"rest: {name} still has {what}: {value}"[:300] for what, value in counts.items() if value]


def _client(client: ClientProcess) -> dict[str, object]:
    core = client.core
    return {
        "calls": list(core.calls),
        "calls that wait for others": core.blocked,
        "placements under way": core.leases.placing,
        "requests": list(core.requests.unanswered.open),
        "placement requests": core.leases.place_reqs,
        "drains": core.leases.drains,
        "store requests": core.requests.store.outstanding,
        "load": {name: count for name, count in core.load.items() if count},
        "timers": list(client.timers),
    }


def _executor(executor: ExecutorProcess) -> dict[str, object]:
    core = executor.core
    return {
        "tasks": list(core.tasks),
        "operations": list(core.operations.pending),
        "versions": list(core.operations.snapshots.kept),
        "store requests": core.cache.outstanding,
        "counter writes": core.cache._queues,
        "user code": executor.code,
        "timers": [key for key in executor.timers if key not in IDLE_TIMERS],
    }


def _node(world: World) -> dict[str, object]:
    node = world.node()
    scheduler = node.core.scheduler
    phases = {name: e.phase for name, e in scheduler.pool.executors.items() if e.phase != "ready"}
    alive = [process.name for process in world.executors()]
    ready = [executor.name for executor in scheduler.pool.ready()]
    excess = len(ready) - scheduler.pool.minimum
    steward = node.core.steward
    kept = [NODE] if steward is None else steward.membership.ring.live
    return {
        "stores that are none any more": [store.name for store in world.stores() if store.name not in kept],
        "executors on their way": phases,
        "a wrong idea of the executors": (alive, ready) if sorted(alive) != sorted(ready) else None,
        "executors over the minimum": ready if excess > 0 else None,
        "placements that wait": scheduler.grants.waiting,
        "notices": scheduler.leases.notices,
        "gates": scheduler.leases.gates,
        # a Forget is not repeated
        "parked reads": None if world.faults.loss else node.replica.watches.parked,
        "timers": list(node.timers),
    }
