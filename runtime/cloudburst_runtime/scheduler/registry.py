"""What is registered: functions by name and version, DAGs by name, and the plans made of them.

Law: a registration never changes what was there; it adds a version. Only what an earlier runtime had
registered, and nothing in this one has run yet, keeps its number when it is registered again unchanged:
then it is as it was, but for the place that it was registered from. Nothing here knows of executors, clients
or time.

A `Plan` is a DAG with its function versions fixed, numbered and immutable, so that a call in flight is
not touched by a registration. The same plan is handed out as long as nothing in it changes. Old versions
and plans are kept for the calls that still use them: of each function as many as fit into some megabytes,
and the plans used most recently.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from cloudburst_runtime import runs
from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.errors import DagExists, DagNotFound, FunctionNotFound, check_name
from cloudburst_runtime.messages import DagNode, DagSpec, FunctionSpec, Plan, Runs
from cloudburst_runtime.scheduler.dag import Topology, compose, validate
from cloudburst_runtime.scheduler.names import suggest

VERSIONS_KEPT_MIN = 8
VERSIONS_KEPT_MAX = 1_000
VERSIONS_KEPT_BYTES_MAX = 32 * 1024 * 1024
"""Of one function: a call that waits needs its version, however often the function is replaced meanwhile."""
PLANS_KEPT_MAX = 10_000


class Planned(NamedTuple):
    """A plan and what the scheduler wants to know of it.

    ``functions`` and ``dags`` are the names whose change makes it outdated, ``groups`` the nodes of each
    colocated group.
    """

    plan: Plan
    topology: Topology
    functions: dict[str, None]
    dags: dict[str, None]
    groups: list[list[int]]


@dataclass(slots=True)
class _Part:
    """A function or DAG as a graph: a continuation is made of two."""

    nodes: list[DagNode]
    edges: list[tuple[int, int]]
    colocated: list[str]
    revision: int


class Registry:
    """The functions, DAGs and plans of one runtime."""

    def __init__(self, plans_kept_max: int = PLANS_KEPT_MAX) -> None:
        self.functions: dict[str, dict[int, FunctionSpec]] = {}
        self.dags: dict[str, DagSpec] = {}
        self.plans: OrderedDict[int, Planned] = OrderedDict()
        self.runs: dict[str, Runs] = {}
        """By function, since this runtime began."""
        self.damage: list[str] = []
        """A line on each damage that was found on disk."""
        self._plans_kept_max = plans_kept_max
        self._found: dict[str, FunctionSpec] = {}  # from disk, and neither planned nor registered since
        self._revisions: dict[str, int] = {}
        self._revision = 0
        self._numbers: dict[tuple[object, ...], int] = {}
        self._keys: dict[int, tuple[object, ...]] = {}
        self._number = 0

    # ------------------------------------------------------------ functions

    def count(self, told: list[Runs]) -> None:
        """Functions have run."""
        for each in told:
            if each.name in self.functions:
                runs.add(self.runs.setdefault(each.name, Runs(each.name)), each)

    def register(self, function: FunctionSpec) -> FunctionSpec:
        """Keep a function as the next version of its name, and return it with its version.

        Raises
        ------
        InvalidName
            If the name is empty or too long.
        """
        name = check_name(function.name, "function")
        versions = self.functions.setdefault(name, {})
        found = self._found.pop(name, None)
        unchanged = found is not None and found.made == function.made != ""
        spec = msgspec.structs.replace(function, version=max(versions, default=0) + (not unchanged))
        versions[spec.version] = spec
        _trim(versions)
        return spec

    def restore(self, found: Recovered) -> None:
        """Take over what an earlier runtime had registered."""
        self.damage = found.said
        for function in found.functions.values():
            self.functions[function.name] = {function.version: function}
            self._found[function.name] = function
        for dag in found.dags.values():
            self._set_dag(dag.name, dag)

    def withdraw(self, name: str, before: FunctionSpec | None = None) -> None:
        """Take the latest registration of a function back; ``before``: what an earlier runtime had."""
        versions = self.functions[name]
        del versions[max(versions)]
        if before is not None:
            versions[before.version] = self._found[name] = before
        if not versions:
            del self.functions[name]

    def found(self, name: str) -> FunctionSpec | None:
        """What an earlier runtime had registered, if nothing has come of it yet in this one."""
        return self._found.get(name)

    def latest(self, name: str) -> FunctionSpec:
        """The newest version of a function.

        Raises
        ------
        FunctionNotFound
            With the registered names that come close.
        """
        versions = self.functions.get(name)
        if not versions:
            if name in self.dags:
                raise FunctionNotFound(f"no function {name!r} is registered, but there is a DAG of that name")
            raise FunctionNotFound(f"no function {name!r} is registered; {suggest(name, self.functions)}")
        return versions[max(versions)]

    def version(self, name: str, version: int) -> FunctionSpec | None:
        """One version of a function, if it is still kept."""
        return self.functions.get(name, {}).get(version)

    def batchers(self, gpu: bool) -> list[str]:
        """The batching functions (with or without a GPU), in the order of their first registration."""
        latest = [versions[max(versions)] for versions in self.functions.values()]
        return [spec.name for spec in latest if spec.batching and spec.gpu == gpu]

    def gpu_only(self) -> list[str]:
        """The functions that only run where there is a GPU."""
        return [name for name, versions in self.functions.items() if versions[max(versions)].gpu]

    # ------------------------------------------------------------ DAGs

    def define(self, dag: DagSpec, replace: bool) -> bool:
        """Keep a DAG; return whether this changed anything.

        Raises
        ------
        InvalidName, InvalidDag, FunctionNotFound
            As `validate` says.
        DagExists
            If there is one of that name and it is not to be replaced.
        """
        name = check_name(dag.name, "DAG")
        if name in self.dags and not replace:
            raise DagExists(
                f"DAG {name!r} exists already: delete it first, define it under another name, or replace it"
            )
        validate(dag, self.functions.__contains__, self.functions)
        if self.dags.get(name) == dag:
            return False
        self._set_dag(name, dag)
        return True

    def _set_dag(self, name: str, dag: DagSpec) -> None:
        self.dags[name] = dag
        self._revision += 1
        self._revisions[name] = self._revision

    def dag(self, name: str) -> DagSpec:
        """A DAG by name.

        Raises
        ------
        DagNotFound
            With the names of DAGs that come close.
        """
        if name not in self.dags:
            if name in self.functions:
                raise DagNotFound(f"no DAG {name!r} is registered, but there is a function of that name")
            raise DagNotFound(f"no DAG {name!r} is registered; {suggest(name, self.dags)}")
        return self.dags[name]

    def delete(self, name: str) -> None:
        """Forget a DAG (`DagNotFound` if there is none). Its functions stay."""
        del self.dags[self.dag(name).name]
        del self._revisions[name]

    def reset(self, name: str, dag: DagSpec | None) -> None:
        """Take the latest definition or deletion of a DAG back: ``dag`` is what there was before."""
        if dag is not None:
            self._set_dag(name, dag)
        elif name in self.dags:
            self.delete(name)

    # ------------------------------------------------------------ plans

    def plan(self, kind: str, target: str, continuation: str | None = None) -> Planned:
        """The plan of a function or DAG as of now, followed by ``continuation``'s.

        Raises
        ------
        FunctionNotFound, DagNotFound
            If the target or the continuation is not registered.
        """
        parts = self._parts(kind, target, continuation)
        names = [node.function for part in parts for node in part.nodes]
        versions = [self.latest(name).version for name in names]
        key = (kind, target, continuation, *(part.revision for part in parts), *versions)
        number = self._numbers.get(key)
        if number is None:
            number = self._make(key, kind, target, continuation, parts, versions)
        self.plans.move_to_end(number)
        return self.plans[number]

    def trim(self) -> list[int]:
        """Drop the plans that were not used for longest, over the limit; return their numbers."""
        dropped = []
        while len(self.plans) > self._plans_kept_max:
            number, _ = self.plans.popitem(last=False)
            del self._numbers[self._keys.pop(number)]
            dropped.append(number)
        return dropped

    def current(self, limit: int) -> list[Plan]:
        """The plans used most recently, latest first, whose functions are all at their latest version."""
        recent = [self.plans[number].plan for number in itertools.islice(reversed(self.plans), limit)]
        return [
            plan
            for plan in recent
            if all(
                self.latest(node.function).version == version
                for node, version in zip(plan.nodes, plan.versions, strict=True)
            )
        ]

    def _parts(self, kind: str, target: str, continuation: str | None) -> list[_Part]:
        first = self._dag_part(target) if kind == "dag" else self._function_part(target)
        if continuation is None:
            return [first]
        if continuation in self.functions and continuation not in self.dags:
            return [first, self._function_part(continuation)]
        return [first, self._dag_part(continuation)]

    def _function_part(self, name: str) -> _Part:
        return _Part([self._node(DagNode(self.latest(name).name))], [], [], 0)

    def _dag_part(self, name: str) -> _Part:
        spec = self.dag(name)
        nodes = [self._node(node) for node in spec.nodes]
        return _Part(nodes, spec.edges, spec.colocated, self._revisions[name])

    def _node(self, node: DagNode) -> DagNode:
        function = self.latest(node.function)
        return DagNode(
            node.function,
            node.invalid,
            gpu=node.gpu or function.gpu,
            batching=node.batching or function.batching,
        )

    def _make(
        self,
        key: tuple[object, ...],
        kind: str,
        target: str,
        continuation: str | None,
        parts: list[_Part],
        versions: list[int],
    ) -> int:
        nodes, edges = parts[0].nodes, parts[0].edges
        dags = [target] if kind == "dag" else []
        if continuation is not None:
            nodes, edges = compose(parts[0], parts[1])
            dags.append(continuation)
            target = f"{target} >> {continuation}"
        for node in nodes:
            self._found.pop(node.function, None)
        self._number += 1
        plan = Plan(self._number, target, nodes, versions, edges)
        topology = Topology.of(plan)
        plan.retries = min(self.latest(node.function).retries for node in nodes)
        plan.timeout = self._timeout(plan, topology)
        self.plans[self._number] = Planned(
            plan,
            topology,
            functions=dict.fromkeys(node.function for node in nodes),
            dags=dict.fromkeys(dags),
            groups=_groups(parts),
        )
        self._numbers[key] = self._number
        self._keys[self._number] = key
        return self._number

    def _timeout(self, plan: Plan, topology: Topology) -> float | None:
        """The longest that a call may take if every function keeps to its own time-out, in seconds."""
        ends = [0.0] * len(plan.nodes)
        for node in topology.order:
            limit = self.latest(plan.nodes[node].function).timeout
            if limit is None:
                return None
            ends[node] = limit + max((ends[pred] for pred in topology.preds[node]), default=0.0)
        return ends[topology.sink]


def _trim(versions: dict[int, FunctionSpec]) -> None:
    """Drop the oldest versions, beyond a number, or beyond a few if together they are large."""
    size = sum(len(spec.payload) for spec in versions.values())
    while len(versions) > VERSIONS_KEPT_MIN and (
        len(versions) > VERSIONS_KEPT_MAX or size > VERSIONS_KEPT_BYTES_MAX
    ):
        size -= len(versions.pop(min(versions)).payload)


def _groups(parts: list[_Part]) -> list[list[int]]:
    groups, shift = [], 0
    for part in parts:
        members = dict.fromkeys(part.colocated)
        group = [shift + index for index, node in enumerate(part.nodes) if node.function in members]
        if len(group) > 1:
            groups.append(group)
        shift += len(part.nodes)
    return groups
