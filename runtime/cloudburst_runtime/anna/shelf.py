"""What a cache holds: entries that only move forward, within a bound.

Law: this file merges, measures and evicts; whether an entry may be held is decided by the cache.
"""

from __future__ import annotations

from collections import OrderedDict

from cloudburst_runtime.ids import Micros
from cloudburst_runtime.lattices import lub
from cloudburst_runtime.lattices.wrap import private_bytes
from cloudburst_runtime.messages import Entry
from cloudburst_runtime.vectors import joined

ENTRY_OVERHEAD_BYTES = 256
"""What an entry costs besides its key and payload."""

GENERATIONS_MAX = 4096
"""Keys, deleted at some time, whose generation is kept while they are not held: saves a round trip."""


class Shelf:
    """Entries by key, the least recently used first.

    Parameters
    ----------
    bytes_max
        How much it may hold after `evict`.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> shelf = Shelf(bytes_max=1000)
    >>> shelf.put("k", Entry(0, Max(1)))
    >>> shelf.absorb("k", Entry(0, Max(3))).lattice, shelf.evict()
    (Max(value=3), [])
    """

    def __init__(self, bytes_max: int) -> None:
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.nbytes = 0
        self._bytes_max = bytes_max
        self._sizes: dict[str, int] = {}
        self._generations: dict[str, Micros] = {}

    def put(self, key: str, entry: Entry) -> None:
        """Hold this entry from now on."""
        size = (
            ENTRY_OVERHEAD_BYTES + len(key) + (0 if entry.lattice is None else private_bytes(entry.lattice))
        )
        self.nbytes += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        self.entries[key] = entry

    def absorb(self, key: str, entry: Entry) -> Entry:
        """Merge into what is held, if the key is; return the newest that is known."""
        mine = self.entries.get(key)
        if mine is None:
            return entry
        merged = later(mine, entry)
        if merged is not mine:
            self.put(key, merged)
        return merged

    def drop(self, key: str) -> None:
        """Hold this entry no longer."""
        del self.entries[key]
        self.nbytes -= self._sizes.pop(key)

    def evict(self) -> list[str]:
        """Drop the least recently used entries until the rest fits; return their keys."""
        gone: list[str] = []
        while self.nbytes > self._bytes_max:
            key, _ = self.entries.popitem(last=False)
            self.nbytes -= self._sizes.pop(key)
            gone.append(key)
        return gone

    def clear(self) -> None:
        """Drop everything but the generations."""
        self.entries.clear()
        self._sizes.clear()
        self.nbytes = 0

    def generation(self, key: str) -> Micros:
        """The latest generation of the key that was heard of."""
        held = self.entries.get(key)
        return max(0 if held is None else held.generation, self._generations.get(key, 0))

    def note_generation(self, key: str, generation: Micros) -> None:
        """Remember a generation for a while, whether the key is held or not."""
        if generation > self._generations.get(key, 0):
            self._generations.pop(key, None)
            self._generations[key] = generation
            if len(self._generations) > GENERATIONS_MAX:
                del self._generations[next(iter(self._generations))]


def later(mine: Entry, theirs: Entry) -> Entry:
    """What includes both entries of a key; ``mine`` itself if it does."""
    version, deps = joined(mine.version, theirs.version), joined(mine.deps, theirs.deps)
    later = theirs if theirs.generation > mine.generation else mine
    if theirs.generation == mine.generation:
        later = _merged(mine, theirs)
    if version is later.version and deps is later.deps:
        return later
    return Entry(later.generation, later.lattice, version, deps)


def _merged(mine: Entry, theirs: Entry) -> Entry:
    if mine.lattice is None or theirs.lattice is None:
        return mine if theirs.lattice is None else theirs
    merged = lub(mine.lattice, theirs.lattice)
    if merged is mine.lattice:
        return mine
    return Entry(mine.generation, merged, theirs.version, theirs.deps)
