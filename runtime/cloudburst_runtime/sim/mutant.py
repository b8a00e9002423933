"""What a mutant is: which cores a run has, and what is wrong with them.

Law: the right cores unless something is said; the defects are in `mutants` and `store_mutants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from cloudburst_runtime.anna import commits, estates, inherit
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.anna.stored import Change
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.effects import Persist
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.node import NodeCore


class Mutant(NamedTuple):
    """The cores of a run, what is wrong with them, and the scenario that is to notice it.

    Attributes
    ----------
    take_over, finish
        What a store makes of what another has left, and of what atomic calls had committed.
    come_back
        What a store on another host makes of what it has left itself.
    heir_waits_ms
        How long an heir has served before it reads what it is to take over.
    """

    defect: str
    client: type[ClientCore] = ClientCore
    executor: type[ExecutorCore] = ExecutorCore
    node: type[NodeCore] = NodeCore
    replica: type[ReplicaCore] = ReplicaCore
    store: type[StoreCore] = StoreCore
    session: type[ClientSession] = ClientSession
    take_over: Callable[..., Iterator[Change]] = inherit.inherit
    finish: Callable[..., Iterator[list[Persist]]] = commits.finish
    come_back: Callable[..., list[bytes]] = estates.come_back
    heir_waits_ms: Millis = 0.0
    scenario: str = "calls"


HONEST = Mutant("nothing")
