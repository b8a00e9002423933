"""The earlier versions of a key, and how what several stores have kept of them becomes one list.

Law: versions and their origins only; what is in a value only `of_both` asks. A *past* is a set of versions
within bounds, and a semilattice: pasts may be merged in any order, any number of times, and give the same.

A version is named by its *origin*, when it was written and by whom; of one origin there is one version,
whoever has it. Origins are ordered, and so are the versions of a past. What the bounds leave are the latest,
without a gap. If there are as many as may be, nothing older comes in any more. But a version that was dropped
because those after it are large must be remembered, else an older and smaller one that is merged afterwards
would be kept, and would not had it come before. So a past has a *cut*: nothing up to there is kept.

Versions that come from another store lie *beside*: on disk, under numbers of their own, from `BESIDE` on, so
that the latest change of a store is what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import LWW, AnyLattice, below
from cloudburst_runtime.lattices.wrap import newest

if TYPE_CHECKING:
    from cloudburst_runtime.config import Config

Origin: TypeAlias = tuple[Micros, PeerName]
"""When something was written, and by whom."""

NEVER: Origin = (-1, "")
"""Before all origins."""

BESIDE = 2**62
"""The number of a version that lies beside is this, and the number of the change with which it came."""


class Dated(Protocol):
    """A version, in a store or on its way to another."""

    @property
    def stamp(self) -> Micros: ...

    @property
    def writer(self) -> PeerName: ...


AnyVersion = TypeVar("AnyVersion", bound=Dated)


class Past(NamedTuple):
    """Earlier versions, the oldest first, and the latest origin of what the bound on bytes has dropped."""

    versions: tuple[Stored, ...] = ()
    cut: Origin = NEVER


def origin(version: Dated) -> Origin:
    """The name of a version."""
    return version.stamp, version.writer


def merged(one: Past, other: Past, config: Config) -> Past:
    """What two stores have together, within the bounds of the configuration.

    Of two versions with one origin, which there should not be, the larger one stands.

    Examples
    --------
    >>> from cloudburst_runtime.anna.stored import Stored
    >>> from cloudburst_runtime.config import Config
    >>> one, two, three = (Stored(None, 0, stamp, stamp=stamp, writer="c1") for stamp in (1, 2, 3))
    >>> both = merged(Past((one, three)), Past((two, three)), Config(history_max=3))
    >>> [version.stamp for version in both.versions]
    [2, 3]
    """
    found: dict[Origin, Stored] = {}
    for version in (*one.versions, *other.versions):
        twin = found.get(origin(version))
        if twin is None or twin.nbytes < version.nbytes:
            found[origin(version)] = version
    cut = max(one.cut, other.cut)
    return bounded([found[name] for name in sorted(found) if name > cut], cut, config)


def bounded(versions: list[Stored], cut: Origin, config: Config) -> Past:
    """The latest of these versions, as many as the bounds leave room for."""
    room, first = config.history_bytes_max, len(versions)
    fewest = max(0, len(versions) - (config.history_max - 1))
    while first > fewest and versions[first - 1].nbytes <= room:
        first -= 1
        room -= versions[first].nbytes
    if first > fewest:
        cut = max(cut, origin(versions[first - 1]))
    is_full = len(versions) - first == config.history_max - 1
    return Past(tuple(versions[first:]), NEVER if is_full else cut)


def said(lattice: AnyLattice | None, otherwise: Origin) -> Origin:
    """The origin of an element, as far as it says that itself.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> said(Max(3), (7, "c1"))
    (7, 'c1')
    """
    if type(lattice) is LWW:
        return lattice.stamp, lattice.writer
    return newest(lattice) or otherwise[0], otherwise[1]


def of_both(mine: AnyLattice | None, my: Origin, theirs: AnyLattice | None, their: Origin) -> Origin:
    """The origin of what comes of two stores' values that had not heard of each other: the same in both.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max, SetLattice
    >>> of_both(Max(3), (7, "c1"), Max(2), (9, "c2"))
    (7, 'c1')
    >>> of_both(SetLattice({b"a": None}), (7, "c1"), SetLattice({b"b": None}), (9, "c2"))
    (10, 'c2')
    """
    if mine is None or theirs is None:
        return max(my, their)
    if below(theirs, mine):
        return my
    if below(mine, theirs):
        return their
    stamp, writer = max(my, their)
    return stamp + 1, writer


def in_order(versions: Mapping[int, Stored]) -> list[Stored]:
    """The versions of a key that were found under these numbers, the current one last.

    Examples
    --------
    >>> from cloudburst_runtime.anna.stored import Stored
    >>> stamps = {7: 10, 9: 30, BESIDE + 8: 20}
    >>> found = {seq: Stored(None, 0, seq, stamp=stamp) for seq, stamp in stamps.items()}
    >>> [version.seq % BESIDE for version in in_order(found)]
    [7, 8, 9]
    """
    own = [seq for seq in sorted(versions) if seq < BESIDE]
    if len(own) == len(versions):
        return [versions[seq] for seq in own]
    ordered = sorted(versions.values(), key=origin)
    latest = versions[own[-1]] if own else ordered[-1]
    return [*(version for version in ordered if version is not latest), latest]


def lacking(versions: Iterable[AnyVersion], has: Iterable[Origin], floor: Origin) -> list[AnyVersion]:
    """Which of these versions somebody lacks who has others, and keeps nothing up to ``floor``."""
    known = dict.fromkeys(has)
    return [version for version in versions if origin(version) > floor and origin(version) not in known]


class Pasts:
    """The pasts of one store's keys, by key.

    Parameters
    ----------
    config
        For ``history_max`` and ``history_bytes_max``.
    account
        Is told of each version that is kept from now on, and with -1 of each that is kept no more.

    Attributes
    ----------
    of, cuts
        By key, the versions, the oldest first, and the cut; a key that has none is not in there.

    Examples
    --------
    >>> from cloudburst_runtime.anna.stored import Stored
    >>> from cloudburst_runtime.config import Config
    >>> pasts = Pasts(Config(history_max=3), lambda version, sign: None)
    >>> gone = [pasts.add("k", Stored(None, 0, stamp, stamp=stamp)) for stamp in (1, 2, 3)]
    >>> [version.stamp for version in gone[-1]], [version.stamp for version in pasts.of["k"]]
    ([1], [2, 3])
    """

    def __init__(self, config: Config, account: Callable[[Stored, int], object]) -> None:
        self.of: dict[str, list[Stored]] = {}
        self.cuts: dict[str, Origin] = {}
        self._config = config
        self._account = account

    def whole(self, key: str) -> Past:
        """The past of a key, as it is merged."""
        return Past(tuple(self.of.get(key, ())), self.cuts.get(key, NEVER))

    def floor(self, key: str) -> Origin:
        """Nothing of a key is kept up to here, whoever has it."""
        kept, cut = self.of.get(key, []), self.cuts.get(key, NEVER)
        return max(cut, origin(kept[0])) if len(kept) >= max(1, self._config.history_max - 1) else cut

    def add(self, key: str, version: Stored) -> list[Stored]:
        """Keep what was current; return what is kept no more."""
        if self._config.history_max < 2:
            return [version]
        kept = self.of.setdefault(key, [])
        kept.append(version)
        self._account(version, 1)
        if len(kept) > 1 and kept[-2].stamp >= version.stamp:
            kept.sort(key=origin)
        return self.trim(key)

    def trim(self, key: str) -> list[Stored]:
        """Drop the oldest versions beyond the bounds, as `bounded` does, and return them."""
        kept, dropped = self.of.get(key, []), []
        size = 0
        for version in kept:
            size += version.nbytes
        while kept and (len(kept) >= self._config.history_max or size > self._config.history_bytes_max):
            if len(kept) < self._config.history_max:
                self.cuts[key] = origin(kept[0])
            oldest = kept.pop(0)
            size -= oldest.nbytes
            self._account(oldest, -1)
            dropped.append(oldest)
        if not kept:
            self.of.pop(key, None)
        if len(kept) == self._config.history_max - 1:
            self.cuts.pop(key, None)
        return dropped

    def merge(self, key: str, new: list[Stored]) -> tuple[list[Stored], list[Stored]]:
        """Keep these versions, too, within the bounds; which of them are kept, and which others no more."""
        before = {version.seq: version for version in self.of.get(key, ())}
        both = merged(self.whole(key), Past(tuple(new)), self._config)
        self.of[key] = list(both.versions)
        self.cuts[key] = both.cut
        if not both.versions:
            del self.of[key]
        if both.cut == NEVER:
            del self.cuts[key]
        kept = [version for version in both.versions if version.seq not in before]
        for version in kept:
            self._account(version, 1)
        still = {version.seq for version in both.versions}
        dropped = [version for seq, version in before.items() if seq not in still]
        for version in dropped:
            self._account(version, -1)
        return kept, dropped

    def end(self, key: str) -> list[Stored]:
        """Keep nothing of a key; return what there was."""
        self.cuts.pop(key, None)
        ended = self.of.pop(key, [])
        for version in ended:
            self._account(version, -1)
        return ended

    def take_out(self, key: str, seq: int) -> Stored | None:
        """Be as if a version had not come to lie here; return it if it had."""
        kept = self.of.get(key, [])
        for index, version in enumerate(kept):
            if version.seq == seq:
                self._account(version, -1)
                return kept.pop(index)
        return None
