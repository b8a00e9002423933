"""Which functions and plans are kept where: the registry laid over the pool.

Law: the present placement is a function of the registry and the pool; what is kept here is only a memory
of it (`moved` forgets it) and, in each executor's record, of what was sent there.

An executor that meets a function or plan it does not have asks for it, so that a lost `Pin` costs a round
trip and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send
from cloudburst_runtime.errors import NoResources
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import DagNode, Fetch, FunctionSpec, Pin, Plan, Unpin
from cloudburst_runtime.scheduler.events import Effect
from cloudburst_runtime.scheduler.leases import Placement
from cloudburst_runtime.scheduler.policy import Uniform, colocate, place, prefer
from cloudburst_runtime.scheduler.pool import Executor, Pool
from cloudburst_runtime.scheduler.registry import Planned, Registry

PLANS_NOTED_MAX = 1_000
PLANS_WELCOME_MAX = 100

Holders = Callable[[str], list[PeerName]]
"""Who has a key cached."""


class Placing:
    """The placement of functions and plans on the executors that are ready."""

    def __init__(
        self, config: Config, registry: Registry, pool: Pool, holders: Holders, uniform: Uniform
    ) -> None:
        self._config = config
        self._registry = registry
        self._pool = pool
        self._holders = holders
        self._uniform = uniform
        self._memory: dict[tuple[str, bool, bool], list[PeerName]] = {}

    def moved(self) -> None:
        """The pool or the functions changed."""
        self._memory.clear()

    # ------------------------------------------------------------ where

    def of_node(self, node: DagNode) -> list[PeerName]:
        """The executors of one node; empty if none is ready.

        Raises
        ------
        NoResources
            If it needs a GPU and no executor has one.
        """
        key = (node.function, node.gpu, node.batching)
        names = self._memory.get(key)
        if names is None:
            names = self._memory[key] = place(
                node.function,
                self._pool.seats(),
                gpu=node.gpu,
                batching=node.batching,
                batchers=self._registry.batchers(node.gpu),
            )
        return names

    def of_plan(self, planned: Planned) -> Placement:
        """The executors of each node of a plan."""
        placement = [self.of_node(node) for node in planned.plan.nodes]
        if planned.groups:
            hosts = {name: executor.host for name, executor in self._pool.executors.items()}
            for group in planned.groups:
                placement = colocate(placement, group, hosts)
        return placement

    def toward(self, planned: Planned, placement: Placement, refs: Sequence[str]) -> Placement:
        """The placement with its sources moved to where a call's references are, under locality."""
        if self._config.policy != "locality" or not refs:
            return placement
        held: dict[PeerName, int] = {}
        for key in dict.fromkeys(refs):
            for name in self._holders(key):
                held[name] = held.get(name, 0) + 1
        moved = list(placement)
        for node in planned.topology.sources:
            moved[node] = prefer(placement[node], held, self._uniform, self._config.locality_random_share)
        return moved

    # ------------------------------------------------------------ pins

    def pin_function(self, spec: FunctionSpec) -> list[Effect]:
        """Send a new version to where the function is pinned; the old one is dropped by `unpin`."""
        effects: list[Effect] = []
        for name in self._places(_node_of(spec)):
            effects += self._send(self._pool.executors[name], [spec], [])
        return effects

    def forget(self, spec: FunctionSpec) -> None:
        """Whoever was sent an earlier registration of this very version is to be sent it again."""
        for executor in self._pool.executors.values():
            if executor.pins.get(spec.name) == spec.version:
                del executor.pins[spec.name]

    def unpin(self, name: str, version: int) -> list[Effect]:
        """Where that version was sent, it may be forgotten."""
        return [
            Send(executor.name, Unpin([(name, version)]))
            for executor in self._pool.ready()
            if executor.pins.get(name) == version
        ]

    def pin_plan(self, planned: Planned, placement: Placement) -> list[Effect]:
        """Send a plan and its functions to where it may run."""
        wanted: dict[PeerName, dict[str, None]] = {}
        for node, names in zip(planned.plan.nodes, placement, strict=True):
            for name in names:
                wanted.setdefault(name, {})[node.function] = None
        effects: list[Effect] = []
        for name, functions in wanted.items():
            specs = [self._registry.latest(function) for function in functions]
            effects += self._send(self._pool.executors[name], specs, [planned.plan])
        return effects

    def welcome(self, executor: Executor) -> list[Effect]:
        """Send a new executor the functions that are pinned on it, and the recent plans that run there."""
        latest = [self._registry.latest(name) for name in self._registry.functions]
        mine = {spec.name: spec for spec in latest if executor.name in self._places(_node_of(spec))}
        plans = self._registry.current(PLANS_WELCOME_MAX)
        return self._send(
            executor,
            list(mine.values()),
            [plan for plan in plans if any(node.function in mine for node in plan.nodes)],
        )

    def fetch(self, peer: PeerName, message: Fetch) -> list[Effect]:
        """Answer an executor that asks for functions and plans."""
        functions = [
            spec for name, version in message.functions if (spec := self._registry.version(name, version))
        ]
        plans = [self._registry.plans[n].plan for n in message.plans if n in self._registry.plans]
        missing = [
            f"{name}@{version}"
            for name, version in message.functions
            if self._registry.version(name, version) is None
        ]
        missing += [f"#{number}" for number in message.plans if number not in self._registry.plans]
        return [Send(peer, Pin(functions, plans, missing))]

    def _places(self, node: DagNode) -> list[PeerName]:
        try:
            return self.of_node(node)
        except NoResources:
            return []

    def _send(self, executor: Executor, specs: list[FunctionSpec], plans: list[Plan]) -> list[Effect]:
        """What of this was not sent to the executor before, in one message."""
        new_specs = [spec for spec in specs if executor.pins.get(spec.name) != spec.version]
        new_plans = [plan for plan in plans if plan.number not in executor.plans]
        if not new_specs and not new_plans:
            return []
        executor.pins.update((spec.name, spec.version) for spec in new_specs)
        executor.plans.update(dict.fromkeys(plan.number for plan in new_plans))
        while len(executor.plans) > PLANS_NOTED_MAX:
            executor.plans.popitem(last=False)
        return [Send(executor.name, Pin(new_specs, new_plans))]


def _node_of(spec: FunctionSpec) -> DagNode:
    return DagNode(spec.name, gpu=spec.gpu, batching=spec.batching)
