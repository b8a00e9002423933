"""Writes that met: which value a write came upon that whoever made it had not seen.

Law: functions and small maps, without a store. What is said to be unseen surely was; not all that was is
said, for a writer that may know of a change otherwise than by reading the key counts as having seen it.

A writer sends along the changes that it may have known of (`Sights`). A store compares them with the change
that made what is there: if they do not reach it, two people wrote without knowledge of each other. Most types
merge the two; of a plain value the earlier one is dropped, and this is how anybody learns of that.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.lattices import LWW, AnyLattice, Atomic, Causal, Custom
from cloudburst_runtime.lattices.wrap import is_shared, newest
from cloudburst_runtime.messages import Met, Put
from cloudburst_runtime.vectors import Vector, joined

MET_MAX = 4
"""Per version, the latest."""
MET_BYTES_MAX = 4096
"""The value of a write that met another is kept up to here."""
KEYS_MAX = 4096
KEEP_BOTH = (Atomic, Causal, Custom)
"""Types in which what was written side by side lies side by side."""


class Sights:
    """What one writer has seen of each key; of keys beyond a bound, as if it had seen all that they had.

    Attributes
    ----------
    told
        The changes that it may know of whatever the key.

    Examples
    --------
    >>> sights = Sights()
    >>> sights.note("k", {"node": 7})
    >>> sights.of("k"), sights.of("other")
    ({'node': 7}, {})
    """

    def __init__(self) -> None:
        self.told: Vector = {}
        self._of: dict[str, Vector] = {}

    def note(self, key: str, version: Vector) -> None:
        """The writer has read or written this version."""
        self._of.pop(key, None)
        self._of[key] = version
        if len(self._of) > KEYS_MAX:
            self.told = joined(self.told, self._of.pop(next(iter(self._of))))

    def of(self, key: str) -> Vector:
        """The changes of the key that it may know of."""
        return joined(self.told, self._of.get(key, {}))


def over(put: Put, writer: PeerName) -> list[Met]:
    """The write that made a version upon another one."""
    return [_met("over", put.lattice, put.stamp, writer)] if mingles(put.lattice) else []


def late(theirs: AnyLattice, versions: Sequence[Stored], versions_max: int) -> Met | None:
    """A write that was made earlier than what is there, and is lost; None if it had been here before.

    It may be one of those that are kept no more, too: then nothing is said.
    """
    latest = versions[0]
    if type(theirs) is not LWW or latest.writer == theirs.writer or len(versions) >= versions_max:
        return None
    write = (theirs.stamp, theirs.writer)
    for version in versions:
        if write in [(version.stamp, version.writer), *((met.stamp, met.writer) for met in version.met)]:
            return None
    return _met("late", theirs, theirs.stamp, theirs.writer)


def between(before: AnyLattice, theirs: AnyLattice) -> list[Met]:
    """What another store had, when neither it nor we had heard of what the other had."""
    if not mingles(before) or not mingles(theirs):
        return []
    if isinstance(before, LWW) and isinstance(theirs, LWW) and before.writer == theirs.writer:
        return []
    return [_met("stores", theirs, 0, theirs.writer if isinstance(theirs, LWW) else "")]


def mingles(lattice: AnyLattice) -> bool:
    """Whether two writes of this type become one value."""
    return not isinstance(lattice, KEEP_BOTH)


def _met(how: str, lattice: AnyLattice, stamp: int, writer: PeerName) -> Met:
    nbytes = lattice.nbytes
    made = how == "over" and isinstance(lattice, LWW)  # then the version is that value
    keeps = not made and nbytes <= MET_BYTES_MAX and not is_shared(lattice)
    return Met(how, newest(lattice) or stamp, writer, nbytes, lattice if keeps else None)
