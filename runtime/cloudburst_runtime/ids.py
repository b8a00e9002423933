"""Identities and time: who is who, and which of two writes is the later one.

Law: an identity is made once, by a shell, and handed in; a core never invents one from a clock, a
random number or a pickle (pickled bytes differ per hash seed).

A *peer* is a process that speaks the protocol: ``"node"``, another store (``"s2"``), an executor (``"e3"``)
or a client (``"c1f9…"``). A *call* is ``(client, number)``: the client that submitted it and the client's
own count. A *task* is one node of one attempt of one call: the unit that an executor runs once.

Writes are stamped by a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014):
microseconds of the wall clock, pushed forward past everything the writer has seen, so that a write which
follows another in causal order always carries the larger stamp, whatever the wall clocks say.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Millis: TypeAlias = float
"""A point on, or a length of, the monotonic clock, in milliseconds. Cores get it as an argument."""

Micros: TypeAlias = int
"""A hybrid-logical-clock stamp: microseconds since the epoch, or later."""

PeerName: TypeAlias = str
NODE: PeerName = "node"
STORE_ROLE = "store"
"""What a store says that it is."""
GATEWAY: PeerName = "gateway"
"""The process by which other hosts are reached; it speaks to the supervisor only."""
SUPERVISOR: PeerName = "supervisor"
"""The process that has forked the others."""


def is_store(name: PeerName) -> bool:
    """Whether a process of this name is a store of its own; the node's store has the node's name.

    Examples
    --------
    >>> is_store("s2"), is_store("e2"), is_store("node")
    (True, False, False)
    """
    return name.startswith("s")


class CallId(NamedTuple):
    """One submitted call: ``client`` numbers its calls itself, so no two processes need to agree."""

    client: PeerName
    number: int

    def __str__(self) -> str:
        return f"{self.client}.{self.number}"


class TaskId(NamedTuple):
    """One node of one attempt of a call: what an executor runs at most once."""

    client: PeerName
    number: int
    attempt: int
    node: int

    @property
    def call(self) -> CallId:
        return CallId(self.client, self.number)

    def __str__(self) -> str:
        return f"{self.client}.{self.number}.{self.attempt}.{self.node}"


def task_id(client: PeerName, number: int, attempt: int, node: int) -> TaskId:
    """``TaskId(…)`` in a third of the time: one is made for each task."""
    return tuple.__new__(TaskId, (client, number, attempt, node))


class HybridClock:
    """A hybrid logical clock: strictly increasing stamps that never fall behind what was observed.

    Parameters
    ----------
    wall_offset_us
        Wall-clock microseconds since the epoch minus monotonic microseconds, measured once by the shell.

    Examples
    --------
    >>> clock = HybridClock(wall_offset_us=0)
    >>> clock.tick(5.0), clock.tick(5.0)
    (5000, 5001)
    >>> clock.observe(9000)
    >>> clock.tick(5.0)
    9001
    """

    __slots__ = ("_offset_us", "last")

    def __init__(self, wall_offset_us: int) -> None:
        self._offset_us = wall_offset_us
        self.last: Micros = 0

    def tick(self, now: Millis) -> Micros:
        """A stamp later than every stamp given out or observed before."""
        wall = self._offset_us + int(now * 1000)
        self.last = wall if wall > self.last else self.last + 1
        return self.last

    def observe(self, stamp: Micros) -> None:
        """Learn of another writer's stamp: later stamps of ours will be larger."""
        if stamp > self.last:
            self.last = stamp
