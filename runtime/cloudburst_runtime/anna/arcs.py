"""The keys of a store by the arcs of the circle that they lie in, and what two stores compare of them.

Law: an index of names; entries are read from the records when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from cloudburst_runtime.anna import past
from cloudburst_runtime.anna.past import NEVER, Origin, origin
from cloudburst_runtime.anna.records import Records
from cloudburst_runtime.anna.ring import Part, partition_of
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.ids import Micros
from cloudburst_runtime.vectors import Vector, covers

ANSWER_BYTES_MAX = 1_048_576
"""An answer has no more bytes of entries than this once it has one."""

ENTRY_BYTES = 64
"""What an entry counts besides its value."""

Have = list[tuple[str, Micros, Vector]]
HaveEarlier = dict[str, tuple[Origin, list[Origin]]]
"""By key, up to where nothing is kept, and which versions before the current one are."""


class Lacking(NamedTuple):
    """What another store lacks: the keys, of some keys earlier versions, and whether that is not all."""

    keys: list[str]
    earlier: dict[str, list[Stored]]
    more: bool


class Arcs:
    """An index over records: deleted keys, too, as long as they are remembered.

    Examples
    --------
    >>> from cloudburst_runtime.config import Config
    >>> from cloudburst_runtime.lattices import Max
    >>> mine, theirs = Records(Config(), "node"), Records(Config(), "s2")
    >>> _ = mine.keep("k", 0, Max(7))
    >>> arcs = Arcs(mine)
    >>> arcs.add("k")
    >>> arc = partition_of("k")
    >>> arcs.digest(arc) == Arcs(theirs).digest(arc)
    False
    >>> arcs.lacking(arc, have=[])
    Lacking(keys=['k'], earlier={}, more=False)
    """

    def __init__(self, records: Records) -> None:
        self._apart: Mapping[str, None] = {}
        self._digests: dict[Part, bytes] = {}
        self._records = records
        self._keys: dict[int, dict[str, None]] = {}
        for key in (*records.live, *records.deleted):
            self.add(key)

    def part(self, apart: Mapping[str, None]) -> None:
        """These keys are not compared with the arc that they lie in, but by themselves."""
        self._apart = apart
        self.forget_digests()

    def add(self, key: str) -> None:
        """There is a record of the key, another than before."""
        arc = partition_of(key)
        self._keys.setdefault(arc, {})[key] = None
        self._digests.pop(arc, None)
        self._digests.pop(key, None)

    def drop(self, key: str) -> None:
        """There is none any more."""
        arc = partition_of(key)
        self._keys.get(arc, {}).pop(key, None)
        self._digests.pop(arc, None)
        self._digests.pop(key, None)

    def forget_digests(self) -> None:
        """Any key may have another record than before."""
        self._digests.clear()

    def all(self) -> Iterable[tuple[int, list[str]]]:
        """All arcs, with their keys."""
        return [(arc, list(keys)) for arc, keys in self._keys.items()]

    def _find(self, part: Part) -> dict[str, Stored]:
        keys: Iterable[str] = [part] if isinstance(part, str) else self._keys.get(part, ())
        if self._apart and not isinstance(part, str):
            keys = [key for key in keys if key not in self._apart]
        found: dict[str, Stored] = {}
        for key in list(keys):
            record = self._records.find(key)
            if record is None:
                self.drop(key)  # a deletion that is remembered no more
            else:
                found[key] = record
        return found

    def digest(self, part: Part) -> bytes:
        """Equal, as good as surely, for stores that have the same keys, in the same versions, after the same.

        Deleted keys do not count: each store forgets them when it must.
        """
        digest = self._digests.get(part)
        if digest is None:
            digest = self._digests[part] = self._digest(part)
        return digest

    def _digest(self, part: Part) -> bytes:
        found = sorted(self._find(part).items(), key=lambda item: item[0])
        live = [(key, record) for key, record in found if record.lattice is not None]
        if not live:
            return b""
        digest = blake2b(digest_size=12)
        for key, record in live:
            version = sorted(self._records.version(record).items())
            digest.update(f"{key}\0{record.generation}\0{version}\0".encode())
            if key in self._records.past:
                digest.update(f"{[*map(origin, self._records.past[key])]}\0".encode())
        return digest.digest()

    def have(self, part: Part) -> Have:
        """What there is in a part, without values."""
        version = self._records.version
        return [(key, record.generation, version(record)) for key, record in self._find(part).items()]

    def earlier(self, part: Part) -> HaveEarlier:
        """Which earlier versions there are of the keys of a part that have any."""
        records = self._records
        return {
            key: (records.pasts.floor(key), [*map(origin, records.past.get(key, ()))])
            for key in self._find(part)
            if key in records.past or key in records.pasts.cuts
        }

    def lacking(self, part: Part, have: Have, earlier: HaveEarlier | None = None) -> Lacking:
        """What somebody lacks of a part who has this, or the first of it that fits into an answer."""
        theirs = {key: (generation, version) for key, generation, version in have}
        found = Lacking([], {}, False)
        room = ANSWER_BYTES_MAX
        for key, record in self._find(part).items():
            generation, version = theirs.get(key, (-1, {}))
            lacks = not self._is_covered(record, generation, version)
            versions = self._before(key, record, generation, version, lacks, (earlier or {}).get(key))
            if not lacks and not versions:
                continue
            room -= sum(ENTRY_BYTES + each.nbytes for each in ([record] if lacks else []) + versions)
            if (found.keys or found.earlier) and room < 0:
                return found._replace(more=True)
            if lacks:
                found.keys.append(key)
            if versions:
                found.earlier[key] = versions
        return found

    def _is_covered(self, record: Stored, generation: Micros, version: Vector) -> bool:
        return generation >= record.generation and covers(version, self._records.version(record))

    def _before(
        self,
        key: str,
        record: Stored,
        generation: Micros,
        version: Vector,
        lacks: bool,
        known: tuple[Origin, list[Origin]] | None,
    ) -> list[Stored]:
        """The versions before the current one that somebody lacks who has this of the key."""
        if record.lattice is None or generation > record.generation:
            return []
        versions = [*self._records.past.get(key, ())]
        if not lacks and version != self._records.version(record):  # ours is an earlier one there
            versions.append(record)
        floor, has = known or (NEVER, [])
        return past.lacking(versions, has, floor) if versions else []
