"""What a client knows of a call that it owns, and the events and effects of the client core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Args, Failure, Header, Lease, Message, Result, Running

LeaseKey: TypeAlias = tuple[str, str, str | None, tuple[str, ...]]
"""(kind, target, continuation, keys referred to): what a lease was asked for."""


@dataclass(slots=True, eq=False)
class OwnedCall:
    """A call from submission to outcome.

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
    """

    number: int
    kind: str
    target: str
    args: dict[str | None, Args]
    continuation: str | None = None
    refs: tuple[str, ...] = ()
    depends: dict[int, list[tuple[Args, int | str]]] = field(default_factory=dict)
    output_key: str | None = None
    retries: int | None = None
    timeout: float | None = None
    submitted: Millis = 0.0
    lease: Lease | None = None
    header: Header | None = None
    attempt: int = 0
    probe_at: Millis = 0.0
    probe_after: Millis = 0.0
    deadline: Millis | None = None

    @property
    def lease_key(self) -> LeaseKey:
        return (self.kind, self.target, self.continuation, self.refs)


# ---------------------------------------------------------------- events


class Submit(NamedTuple):
    """Run this call."""

    call: OwnedCall


class CancelCall(NamedTuple):
    """The caller no longer wants this call."""

    number: int


class Ask(NamedTuple):
    """Send a request to the node; `Answered` follows. ``message.req`` is a number from ``next_req``."""

    message: Any


class Store(NamedTuple):
    """A store operation (``read`` keys, ``write`` key lattice, ``delete`` key); `Answered` follows."""

    op: int
    kind: str
    arguments: tuple[Any, ...]


class Forget(NamedTuple):
    """Nobody waits for the answer of this request or operation any more."""

    req: int


# ---------------------------------------------------------------- effects


class Resolve(NamedTuple):
    """The call has its outcome: exactly one of these per `Submit`."""

    number: int
    result: Result


class Answered(NamedTuple):
    """The answer to `Ask` or `Store`: a message, a list of lattices, or a `Failure`."""

    req: int
    answer: Message | list[Any] | Failure | None


class Observed(NamedTuple):
    """News of a call that runs."""

    number: int
    running: Running


class Dispatched(NamedTuple):
    """The call is with these executors, and any of them may answer: be connected to them."""

    number: int
    schedule: list[PeerName]
