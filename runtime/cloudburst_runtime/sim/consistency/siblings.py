"""Single keys: no write is lost to one that is causally older or concurrent.

Law: causality of each key by itself. A write is superseded by one whose session had seen it, and by
nothing else; until then, whoever asks for all that lies under a key finds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.sim.consistency.order import Causality, lane_order
from cloudburst_runtime.sim.consistency.record import Access
from cloudburst_runtime.sim.consistency.violations import Violation, missing, where


def per_key(causality: Causality) -> Iterator[Violation]:
    """Reads of each key are causal with respect to that key."""
    for record in causality.record.by_key().values():
        alone = Causality(record)
        yield from missing("single key", alone, alone.past, "which it knows of")


def superseded(causality: Causality) -> Iterator[Violation]:
    """What a function or client had seen when it wrote does not lie beside its write."""
    known = _known(causality)
    for position, sources in enumerate(causality.read_from):
        for newer in sources:
            for older in sources:
                if known[newer] & causality.bits([older]):
                    yield _superseded(*(causality.record.accesses[each] for each in (position, newer, older)))


def _superseded(read: Access, newer: Access, older: Access) -> Violation:
    reason = f"{where(read)} {read}, but {newer.values[0]} was written by one who had seen {older.values[0]}"
    return Violation("superseded", reason, (read, newer, older))


def _known(causality: Causality) -> list[int]:
    """For each position, what its function or client itself had read or written of all keys."""
    known = [0] * len(causality.record)
    before = lane_order(causality.record)
    for position in causality.order:
        for earlier in before[position]:
            gained = causality.bits([earlier, *causality.read_from[earlier]])
            known[position] |= known[earlier] | gained
    return known


def kept(causality: Causality) -> Iterator[Violation]:
    """Every acknowledged write is there in the end, unless it was overwritten by one who had seen it."""
    for record in causality.record.by_key().values():
        alone = Causality(record)
        sure = alone.bits(w for w in alone.writes if record.accesses[w].acknowledged)
        for position, access in enumerate(record):
            if access.kind == "read" and access.final:
                for lost in alone.maxima(sure & ~alone.closed(alone.read_from[position])):
                    shown = tuple(record.accesses[source] for source in alone.read_from[position])
                    yield _lost(access, record.accesses[lost], shown)


def _lost(read: Access, write: Access, shown: tuple[Access, ...]) -> Violation:
    reason = f"{where(read)} {read}: {write.values[0]} of {where(write)} is lost, unseen"
    return Violation("kept", reason, (read, write, *shown))
