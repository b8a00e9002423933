"""What this writer has added to each counter: the running totals that its puts carry.

Law: the only place that turns an amount to add into a total. A put of a total may arrive twice, or after
a later one, and still counts once; a put of an amount may not.

A total belongs to a key, its generation, and for counters inside maps to the path of map keys that leads
there. It becomes part of the tally only when the store has acknowledged it, so a refused put leaves no
trace. Tallies are bounded: one that was dropped cannot be continued, so from then on new tallies are
kept under a fresh writer's name; the counter sums over names, and nothing is lost.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import AnyLattice, Counter, Grow, MapLattice, Number

TALLIES_MAX = 100_000
"""Counters whose totals one writer keeps."""

TOTAL_MAX = 2**63 - 1

Path: TypeAlias = tuple[bytes, ...]
Sums: TypeAlias = dict[Path, tuple[Number, Number]]


class Tally:
    """One key's totals by this writer, in one generation."""

    __slots__ = ("generation", "sums", "writer")

    def __init__(self, generation: Micros, writer: PeerName) -> None:
        self.generation = generation
        self.writer = writer
        self.sums: Sums = {}


class Draft(NamedTuple):
    """A delta made into totals, not yet acknowledged: what to put, and what is then true."""

    lattice: AnyLattice
    tally: Tally
    sums: Sums


class Totals:
    """The tallies of one writer.

    Parameters
    ----------
    writer
        The writer's name; no other process may ever write to the same store under it.

    Examples
    --------
    >>> totals = Totals("c1")
    >>> totals.commit("k", totals.draft("k", 0, Counter({"c1": (2, 0)})))
    >>> totals.draft("k", 0, Counter({"c1": (1, 0)})).lattice
    Counter(totals={'c1': (3, 0)})
    """

    def __init__(self, writer: PeerName, tallies_max: int = TALLIES_MAX) -> None:
        self._writer = writer
        self._lives = 0
        self._tallies: dict[str, Tally] = {}
        self._tallies_max = tallies_max

    def generation(self, key: str) -> Micros:
        """The generation of the key's tally; 0 if there is none."""
        tally = self._tallies.get(key)
        return 0 if tally is None else tally.generation

    def draft(self, key: str, generation: Micros, delta: AnyLattice) -> Draft:
        """What to put so that ``delta`` is added to the key in that generation.

        Raises
        ------
        OverflowError
            If a total would not fit into 64 bits.
        """
        tally = self._tallies.get(key)
        if tally is None or tally.generation != generation:
            name = self._writer if not self._lives else f"{self._writer}~{self._lives}"
            tally = Tally(generation, name)
        sums: Sums = {}
        return Draft(_totalled(delta, (), tally, sums), tally, sums)

    def commit(self, key: str, draft: Draft) -> None:
        """The store has the draft, or may have it."""
        draft.tally.sums.update(draft.sums)
        self._tallies.pop(key, None)
        self._tallies[key] = draft.tally
        if len(self._tallies) > self._tallies_max:
            kept = list(self._tallies.items())[self._tallies_max // 2 :]  # half at once: names are few
            self._tallies = dict(kept)
            self._lives += 1


def _totalled(delta: AnyLattice, path: Path, tally: Tally, sums: Sums) -> AnyLattice:
    if isinstance(delta, MapLattice):
        return MapLattice(
            {key: _totalled(part, (*path, key), tally, sums) for key, part in delta.entries.items()}
        )
    if isinstance(delta, Grow):
        up, _ = _added(path, tally, sums, sum(delta.totals.values()), 0)
        return Grow({tally.writer: up})
    if not isinstance(delta, Counter):
        return delta
    more = sum(up for up, _ in delta.totals.values())
    less = sum(down for _, down in delta.totals.values())
    return Counter({tally.writer: _added(path, tally, sums, more, less)})


def _added(path: Path, tally: Tally, sums: Sums, more: Number, less: Number) -> tuple[Number, Number]:
    up, down = tally.sums.get(path, (0, 0))
    up, down = up + more, down + less
    for total in (up, down):
        if (total > TOTAL_MAX) if isinstance(total, int) else math.isinf(total):
            raise OverflowError(f"a counter's total of {total} does not fit into 64 bits")
    sums[path] = (up, down)
    return up, down
