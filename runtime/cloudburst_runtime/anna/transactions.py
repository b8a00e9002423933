"""What goes with what: of the writes that were published together, all are to be read or none.

Law: pure. An entry says which transaction wrote it, and which keys that wrote besides; so who has read it
knows what the others are *due*, and what has been read already tells whether an entry may be read now. The
metadata of RAMP-Fast (Bailis et al., "Scalable Atomic Visibility with RAMP Transactions", SIGMOD 2014), as
calls in executors and the blocks of clients need it.
"""

from __future__ import annotations

from cloudburst_runtime.lattices import LWW, Atomic, MapLattice
from cloudburst_runtime.lattices.atomic import RECORDS_PREFIX
from cloudburst_runtime.lattices.causal import Order
from cloudburst_runtime.messages import Due, Entry
from cloudburst_runtime.values import canonical


def order_of(entry: Entry) -> Order:
    """When what an entry has was written, or its key was deleted, if that is later.

    Examples
    --------
    >>> order_of(Entry(0, None)), order_of(Entry(7, None))
    ((0, ''), (7, ''))
    """
    lattice, deleted = entry.lattice, (entry.generation, "")
    return max((lattice.stamp, lattice.writer), deleted) if isinstance(lattice, LWW | Atomic) else deleted


def dues(entry: Entry) -> dict[str, Due]:
    """What the keys of an entry's transaction are due; nothing if none wrote it."""
    lattice = entry.lattice
    if not isinstance(lattice, Atomic):
        return {}
    return {key: Due((lattice.stamp, lattice.writer), lattice.transaction) for key in lattice.keys}


def record_key(transaction: str) -> str:
    """The key of a transaction's record."""
    return RECORDS_PREFIX + transaction


def from_record(key: str, record: Entry) -> Entry | None:
    """What a record has for a key; None if the record is gone, because all of it has been published.

    Its version is the record's, which no entry of the key itself has: the changes are others.
    """
    if not isinstance(record.lattice, MapLattice):
        return None
    found = record.lattice.entries.get(canonical(key))
    return None if found is None else Entry(0, found, record.version)
