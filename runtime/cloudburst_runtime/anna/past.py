"""The earlier versions of a key, and how what several stores have kept of them becomes one list.

Law: pure. A *past* is a set of versions within bounds, and a semilattice: pasts may be merged in any order,
any number of times, and give the same.

A version is named by its *origin*, when it was written and by whom; of one origin there is one version,
whoever has it. Origins are ordered, and so are the versions of a past. What the bounds leave are the latest,
without a gap. If there are as many as may be, nothing older comes in any more. But a version that was dropped
because those after it are large must be remembered, else an older and smaller one that is merged afterwards
would be kept, and would not had it come before. So a past has a *cut*: nothing up to there is kept.

Versions that come from another store lie *beside*: on disk, under numbers of their own, from `BESIDE` on, so
that the latest change of a store is what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

from cloudburst_runtime.ids import Micros, PeerName

if TYPE_CHECKING:
    from cloudburst_runtime.anna.records import Stored
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
    >>> from cloudburst_runtime.anna.records import Stored
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


def in_order(versions: Mapping[int, Stored]) -> list[Stored]:
    """The versions of a key that were found under these numbers, the current one last.

    Examples
    --------
    >>> from cloudburst_runtime.anna.records import Stored
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
