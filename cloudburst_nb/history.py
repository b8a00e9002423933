"""The versions of a key, as `Client.history` shows them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from cloudburst_nb.display.html import size
from cloudburst_runtime import messages
from cloudburst_runtime.lattices import AnyLattice


class Meeting(NamedTuple):
    """A write that met a value which its writer had not seen.

    Attributes
    ----------
    how : str
        ``"over"``: it came upon the version before, which its writer had not seen; what came of both is this
        version. ``"late"``: it came upon this version, but had been made earlier, and is lost.
        ``"stores"``: two stores took a write each, before either had heard of the other's.
    time : datetime
        When it was made, by the writer's clock.
    writer : str
        The client or executor that made it; empty if that is not known.
    nbytes : int
        Its size in bytes.
    lattice : Lattice or None
        What was written, if it is small and not the version itself.
    """

    how: str
    time: datetime
    writer: str
    nbytes: int
    lattice: AnyLattice | None = None


class Version(NamedTuple):
    """A version of a key that the store has kept.

    Attributes
    ----------
    version : int
        Its number, as ``get(key, version=…)`` takes it: when it was written, in microseconds. So it is the
        same whichever stores keep the key, and after a restart; a later version has a larger one.
    time : datetime
        When it was written, by the writer's clock.
    writer : str
        The client or executor that wrote it.
    lattice : str
        Its type.
    nbytes : int
        Its size in bytes.
    clock : dict
        The changes of the stores that it includes.
    met : list of Meeting
        The latest writes that met in it.
    """

    version: int
    time: datetime
    writer: str
    lattice: str
    nbytes: int
    clock: dict[str, int]
    met: list[Meeting]

    def __str__(self) -> str:
        at = f"{self.time:%Y-%m-%d %H:%M:%S}"
        writer = self.writer or "unknown"
        return f"{self.version:>16}  {at}  {writer:<14} {self.lattice:<10} {size(self.nbytes)}"


def versions_of(reply: messages.HistoryReply) -> list[Version]:
    """What the store has answered, for people."""
    return [
        Version(
            each.number,
            datetime.fromtimestamp(each.stamp / 1e6),
            each.writer,
            each.lattice,
            each.nbytes,
            each.clock,
            [
                Meeting(met.how, datetime.fromtimestamp(met.stamp / 1e6), met.writer, met.nbytes, met.lattice)
                for met in each.met
            ],
        )
        for each in reply.versions
    ]
