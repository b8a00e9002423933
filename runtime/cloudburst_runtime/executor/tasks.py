"""What an executor knows of one task: its inputs, where it stands, and what became of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from cloudburst_runtime.effects import Record
from cloudburst_runtime.ids import Micros, Millis, PeerName, TaskId
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.messages import (
    Args,
    DagNode,
    Entry,
    Failure,
    FunctionSpec,
    Header,
    Message,
    Plan,
    Seen,
    Session,
    Step,
    Trigger,
)
from cloudburst_runtime.scheduler.dag import Topology
from cloudburst_runtime.values import Value
from cloudburst_runtime.vectors import Vector

State = Literal["waiting", "queued", "running", "storing"]

Attempt: TypeAlias = tuple[PeerName, int, int]
"""The first three of a `TaskId`: a client, the number of its call, and which try of it."""


class Known(NamedTuple):
    """A plan and its topology, computed once; ``single``: it has one node, which is an ordinary one."""

    plan: Plan
    topology: Topology
    single: bool

    @classmethod
    def of(cls, plan: Plan) -> Known:
        """Look at a plan."""
        return cls(plan, Topology.of(plan), len(plan.nodes) == 1 and plan.nodes[0].invalid is None)


class Task(msgspec.Struct, eq=False, gc=False):
    """One node of one attempt of a call, from the first message about it to its outcome. It is in no
    reference cycle; there may be many, so the garbage collector does not look at them.

    Attributes
    ----------
    triggers
        Inputs that arrived, by source node. A MULTIEXEC node takes them one at a time instead, from
        ``unused``.
    arrived
        When each of them did.
    hits, misses
        Keys read for it that the cache had, and that had to be fetched.
    resolved
        Values of the references among the arguments, by slot; None until the store has answered.
    reading
        The store operation that brings the references; 0 if none is under way.
    hops
        How often the task was handed over.
    """

    id: TaskId
    header: Header
    state: State = "waiting"
    args: Args | None = None
    started: bool = False
    """Whether the client's `Call` has arrived (fixed arguments, or the word to start)."""
    triggers: dict[int, Trigger] = {}
    unused: list[Trigger] = []
    inputs: list[Trigger] = []
    resolved: dict[int | str, AnyLattice] | None = None
    reading: int = 0
    node: DagNode | None = None
    known: Known | None = None
    function: FunctionSpec | None = None
    steps: list[Step] = []
    ready_at: Millis = 0.0
    clock: Micros = 0
    floor: Vector = {}
    told: Vector = {}
    """The changes that whoever called it knew of: its floor, as long as it wrote nothing."""
    met: dict[str, Vector] = {}
    """By key, the changes that it has read or written there."""
    last_failure: Failure | None = None
    mailbox: list[tuple[str, Value]] = []
    cancelled: bool = False
    hops: int = 0
    progress: tuple[float, str] = (0.0, "")
    printed: tuple[str, str] = ("", "")
    session: Session | None = None
    """What its call knows of the store, at another level than ``lww``; the task's own, to be changed. None
    as long as it has no input to bring it."""
    own: dict[str, Entry] | None = None
    """What it has read by itself, where that is its own business until it ends (`agreement`)."""
    published: int | None = None
    """The attempt whose writes were published, if it was another one."""
    seen: list[Seen] = []
    """Of a call that is recorded: what user code has asked of its library."""
    built: Value | None = None
    """Of a call that is recorded: the instance that was built for it."""
    arrived: dict[int, Millis] = {}
    hits: int = 0
    misses: int = 0

    @property
    def batching(self) -> bool:
        """Whether its DAG or its function says that waiting requests become one call."""
        return self.node is not None and self.node.batching

    @property
    def function_key(self) -> tuple[str, int]:
        """Name and version of the function that it runs; its plan must be known."""
        assert self.known is not None
        plan, node = self.known.plan, self.id.node
        return plan.nodes[node].function, plan.versions[node]

    @property
    def plain(self) -> bool:
        """Whether it is all of a call without options. Its plan must be known."""
        header, known = self.header, self.known
        return (
            known is not None
            and known.single
            and self.session is None
            and header.output_key is None
            and not (header.record or header.watched or self.steps)
        )

    @property
    def targets(self) -> tuple[int, ...]:
        """The nodes that its outcome goes to; none for the sink. Its plan must be known."""
        assert self.known is not None
        return self.known.topology.succs[self.id.node]

    @property
    def complete(self) -> bool:
        """Whether all its inputs are here; a MULTIEXEC node is ready with the first of them."""
        assert self.known is not None
        return len(self.triggers) == len(self.known.topology.preds[self.id.node])


class Outcome(Record, frozen=True):
    """What running one task gave: a value or a failure, and when it ran (milliseconds, host clock).

    ``decode_ms`` is how long its arguments took to decode, just before.
    """

    value: Value | None
    failure: Failure | None
    started: float
    ended: float
    stdout: str = ""
    stderr: str = ""
    invalid: bool = False
    """A MULTIEXEC node's result that its list of invalid results names."""
    decode_ms: float = 0.0


class Finished(Record, frozen=True):
    """A task that ended here: what was sent, to be sent again; None if it was too large to keep."""

    outputs: list[tuple[PeerName, Message]] | None


class Away(NamedTuple):
    """Where a task went, and how many handovers that made."""

    place: PeerName
    hops: int


# ---------------------------------------------------------------- events of the executor core


class Ran(Record, frozen=True):
    """The sandbox has run these tasks (one, or a batch)."""

    tasks: list[Task]
    outcomes: list[Outcome]


class Op(Record, frozen=True):
    """User code in ``task`` asks for an operation; the core answers with `Reply` of the same number.

    ``kind`` is one of ``read`` (keys), ``write`` (key, lattice), ``delete`` (key), ``send`` (to, value),
    ``progress`` (fraction, text).
    """

    task: Task
    number: int
    kind: str
    arguments: tuple[Any, ...]


class Measured(Record, frozen=True):
    """The answer to `Measure`: the share of a processor that was used since the last one, 0 to 1 or more."""

    share: float


class StillRunning(Record, frozen=True):
    """User code has been running for a while: what it has printed so far."""

    stdout: str
    stderr: str


# ---------------------------------------------------------------- effects of the executor core


class Execute(Record, frozen=True):
    """Run these tasks in the sandbox: one call, or one batched call."""

    tasks: list[Task]


class Interrupt(Record, frozen=True):
    """Stop the user code of this task, which runs now."""

    task: Task


class Reply(Record, frozen=True):
    """The answer to an `Op`: a result, or a failure."""

    number: int
    result: Any


class Measure(Record, frozen=True):
    """Say how much of a processor this process uses: `Measured`."""


class Leave(Record, frozen=True):
    """End this process: it was retired and has nothing left to do."""
