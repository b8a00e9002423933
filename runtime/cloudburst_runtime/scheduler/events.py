"""What only the scheduler is told and asks for: the life of executor processes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from cloudburst_runtime.effects import PeerLost, Persist, Received, Send, SetTimer, Timer, Unwritten
from cloudburst_runtime.ids import PeerName


class Exited(NamedTuple):
    """The supervisor saw the process of executor ``name`` end, and why."""

    name: PeerName
    reason: str


class Spawn(NamedTuple):
    """Start an executor or store process under this name; it says `Hello` when it is ready.

    A store takes over first what the stores in ``estates``, which have died, have left on disk.
    """

    name: PeerName
    estates: tuple[PeerName, ...] = ()


class Kill(NamedTuple):
    """End that executor's process, if it still runs."""

    name: PeerName
    reason: str


class Stop(NamedTuple):
    """End the runtime, after what was sent before this has left. (As an empty tuple it is falsy.)"""


Event: TypeAlias = Received | PeerLost | Timer | Exited | Unwritten
Effect: TypeAlias = Send | SetTimer | Persist | Spawn | Kill | Stop
