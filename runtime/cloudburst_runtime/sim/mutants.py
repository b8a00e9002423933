"""Cores with a planted defect, to see that the checkers would notice.

Law: a mutant differs from the right core in one decision, and says which.
"""

from __future__ import annotations

from typing import NamedTuple

from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.node import NodeCore


class Mutant(NamedTuple):
    """The cores of a run, and what is wrong with them."""

    defect: str
    client: type[ClientCore] = ClientCore
    executor: type[ExecutorCore] = ExecutorCore
    node: type[NodeCore] = NodeCore
    replica: type[ReplicaCore] = ReplicaCore


HONEST = Mutant("nothing")
