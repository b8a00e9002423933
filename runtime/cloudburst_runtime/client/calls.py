"""What a client knows of a call that it owns, and the events and effects of the client core."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.effects import Record
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import (
    Args,
    Due,
    Failure,
    Header,
    Lease,
    Message,
    Produced,
    Result,
    Running,
)
from cloudburst_runtime.scheduler.dag import Topology
from cloudburst_runtime.values import Value

LeaseKey: TypeAlias = tuple[str, str, str | None, tuple[str, ...]]
"""(kind, target, continuation, keys referred to): what a lease was asked for."""


class Held(msgspec.Struct):
    """A lease in use, with what is looked up in its plan on every call."""

    lease: Lease
    topology: Topology
    simple: bool
    """One node: the common call."""
    multiexec: bool
    """Some node takes the first valid of its inputs, so that others may still run when the call is done."""
    names: dict[str, int]
    """Nodes by function name; the first, if a continuation has it again."""
    executors: list[PeerName]
    """All that some node may run on."""
    differences: list[int] = []
    """By how much the loads of these were above the least when ``schedule`` was made, which is used again."""
    schedule: list[PeerName] = []
    beside: list[int] | None = None
    """The nodes that may run beside others; None: nobody has asked yet."""

    @classmethod
    def of(cls, lease: Lease) -> Held:
        """Look up once what each call needs."""
        nodes = lease.plan.nodes
        names = {node.function: index for index, node in reversed(list(enumerate(nodes)))}
        multiexec = any(node.invalid is not None for node in nodes)
        executors = list(dict.fromkeys(name for places in lease.placement for name in places))
        return cls(lease, Topology.of(lease.plan), len(nodes) == 1, multiexec, names, executors)


class OwnedCall(msgspec.Struct, eq=False, gc=False):
    """A call from submission to outcome. It is in no reference cycle; there may be many, so the garbage
    collector does not look at them.

    Attributes
    ----------
    number
        The client's own count; with the client's name it is the call's identity.
    kind, target, continuation
        ``"function"`` or ``"dag"``, its name, and a DAG that the result is fed into.
    args
        Fixed arguments by node name; None stands for the only source.
    depends
        Calls of this client whose results are arguments here: number → where each goes.
    retries, timeout
        None: as the plan says.
    held, header
        The lease of the present attempt, and what travels with it; no header while none is under way.
    level, session
        Its consistency level, and the client's session that it belongs to, if any.
    record
        Whether its steps report what determined their outcomes.
    moved
        The nodes of the present attempt that were handed over, and how often.
    due
        What keys are to be read at least at, because earlier attempts went astray where they were not.
    watched
        Whether to hear of each task that is done.
    pinned
        Results of an earlier call, by function name, which stand in for these functions and for all that
        only they need: the call begins at what follows.
    """

    number: int
    kind: str
    target: str
    args: dict[str | None, Args]
    continuation: str | None = None
    refs: tuple[str, ...] = ()
    depends: dict[int, list[tuple[Args, int | str]]] = {}
    output_key: str | None = None
    retries: int | None = None
    timeout: float | None = None
    submitted: Millis = 0.0
    held: Held | None = None
    header: Header | None = None
    attempt: int = 0
    probe_at: Millis = 0.0
    probe_after: Millis = 0.0
    deadline: Millis | None = None
    moved: dict[int, int] = {}
    level: str = "lww"
    restarts: int = 0
    session: ClientSession | None = None
    due: dict[str, Due] = {}
    record: bool = False
    watched: bool = False
    pinned: dict[str, Value] = {}

    @property
    def lease_key(self) -> LeaseKey:
        return (self.kind, self.target, self.continuation, self.refs)


# ---------------------------------------------------------------- events


class Submit(Record, frozen=True):
    """Run this call."""

    call: OwnedCall


class SubmitAll(Record, frozen=True):
    """Run these calls, which differ in number and arguments alone: of one function, without references,
    calls to wait for, options, level or session."""

    calls: list[OwnedCall]


class SendNow(Record, frozen=True):
    """Somebody waits, so whatever was let wait for company is to leave."""


class CancelCall(Record, frozen=True):
    """The caller no longer wants this call."""

    number: int


class Ask(Record, frozen=True):
    """Send a request to the node; `Answered` follows. ``message.req`` is a number from ``next_req``."""

    message: Any


class Store(Record, frozen=True):
    """A store operation (``read`` keys, ``write`` key lattice, ``delete`` key); `Answered` follows.

    ``session``: None if the client is in none.
    """

    op: int
    kind: str
    arguments: tuple[Any, ...]
    session: ClientSession | None = None


class Forget(Record, frozen=True):
    """Nobody waits for the answer of this request or operation any more."""

    req: int


# ---------------------------------------------------------------- effects


class Resolve(Record, frozen=True):
    """The call has its outcome: exactly one of these per `Submit`."""

    number: int
    result: Result


class Answered(Record, frozen=True):
    """The answer to `Ask` or `Store`: a message, a list of lattices, or a `Failure`."""

    req: int
    answer: Message | list[Any] | Failure | None


class Observed(Record, frozen=True):
    """News of a call that runs."""

    number: int
    running: Running | Produced


class Dispatched(Record, frozen=True):
    """The call is with these executors, and any of them may answer: be connected to them."""

    number: int
    schedule: list[PeerName]
