"""What the last changes of a key brought, so that whoever has what was before need not be sent all there is.

Law: the join of what was before and of the parts is what is now. A *part* is the element that a put or
another store brought; the join of two parts is a part again (Almeida, Shoker and Baquero, "Delta State
Replicated Data Types", JPDC 2018, sections 4 and 5).

A store keeps the parts of its own changes while another owner may lack them. Each says which change it goes
on from: a store that has the sender's changes of the key up to there, in the same generation, has all up to
the part's own once it has merged it, whatever else it has. One that has not says so, and is sent the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cloudburst_runtime.anna.past import Origin, origin
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.stored import Change, Stored
from cloudburst_runtime.lattices import LWW, AnyLattice, lub
from cloudburst_runtime.messages import Entry
from cloudburst_runtime.vectors import Vector, joined

PARTS_MAX = 64
"""Parts of a key that are kept; then the whole is sent, which is as good."""


class _Part(NamedTuple):
    """What the change ``seq`` brought, which came after this store's change ``base`` of the key."""

    base: int
    seq: int
    lattice: AnyLattice
    deps: Vector


def is_worth(part: AnyLattice, record: Stored) -> bool:
    """Whether a part is much smaller than the whole."""
    return 2 * part.nbytes <= record.nbytes


def goes_on(change: Change) -> bool:
    """Whether a change went on from a value that was there, so that what it brought may be a part."""
    record, before = change.record, change.before
    if before is None or before.lattice is None or record.lattice is None:
        return False
    return before.generation == record.generation


class Deltas:
    """The parts of one store's own changes.

    Parameters
    ----------
    records
        What it keeps.

    Examples
    --------
    >>> from cloudburst_runtime.config import Config
    >>> from cloudburst_runtime.lattices import SetLattice
    >>> records = Records(Config(), "s2")
    >>> deltas = Deltas(records)
    >>> large = SetLattice({b"%d" % n: None for n in range(100)})
    >>> deltas.note(records.keep("k", 0, large), None)
    >>> more = SetLattice({b"a": None})
    >>> deltas.note(records.keep("k", 0, large.merge(more)), more)
    >>> deltas.since("k", 2)
    (1, Entry(generation=0, lattice=SetLattice(elements={b'a': None}), version={'s2': 2}, deps={}))
    >>> deltas.since("k", 1) is None
    True
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._parts: dict[str, list[_Part]] = {}

    def note(self, change: Change, part: AnyLattice | None) -> None:
        """This store has made a change; ``part``: what it brought, if it is not the whole."""
        key, record, before = change.key, change.record, change.before
        if part is None or before is None or not is_worth(part, record):
            self._parts.pop(key, None)
            return
        parts = self._parts.setdefault(key, [])
        base = self._records.version(before).get(self._records.name, 0)
        if parts and (parts[-1].seq != base or len(parts) >= PARTS_MAX):
            parts.clear()
        parts.append(_Part(base, record.seq, part, record.deps or {}))

    def since(self, key: str, first: int) -> tuple[int, Entry] | None:
        """What this store's changes of a key brought, the one numbered ``first`` and all later ones.

        With the change on which that builds; None if it is not known, or is not worth it.
        """
        record, parts = self._records.live.get(key), self._parts.get(key)
        if record is None or not parts:
            return None
        number = self._records.version(record).get(self._records.name, 0)
        wanted = [part for part in parts if part.seq >= first]
        if not wanted or wanted[0].seq != first or wanted[-1].seq != number:
            return None
        lattice, deps = wanted[0].lattice, wanted[0].deps
        for part in wanted[1:]:
            lattice, deps = lub(lattice, part.lattice), joined(deps, part.deps)
        if not is_worth(lattice, record):
            return None
        return wanted[0].base, Entry(record.generation, lattice, {self._records.name: number}, deps)

    def nbytes(self, key: str, first: int) -> int | None:
        """About how many bytes `since` would give; None if there is no such part."""
        parts = self._parts.get(key)
        if not parts or first < parts[0].seq:
            return None
        return sum(part.lattice.nbytes for part in parts if part.seq >= first)

    def origins(self, entries: Mapping[str, Entry]) -> dict[str, Origin]:
        """When and by whom those of these entries were written that do not say so themselves."""
        live = self._records.live
        return {
            key: origin(live[key])
            for key, entry in entries.items()
            if entry.lattice is not None and type(entry.lattice) is not LWW
        }

    def full(self, key: str) -> Vector:
        """The version of the whole of which `since` gives a part."""
        return self._records.version(self._records.live[key])

    def drop(self, key: str) -> None:
        """Every store has the key as it is."""
        self._parts.pop(key, None)

    def clear(self) -> None:
        """Nothing is known of what other stores have."""
        self._parts.clear()

    def builds_on(self, key: str, entry: Entry, base: int, sender: str) -> bool:
        """Whether what a store has sent as a part may be merged here."""
        record = self._records.live.get(key)
        if record is None or record.generation != entry.generation:
            return record is not None and record.generation > entry.generation
        return self._records.version(record).get(sender, 0) >= base
