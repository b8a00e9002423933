"""Who keeps which key: consistent hashing with virtual nodes.

Law: a pure function from the members and a key to the key's owners, the same in every process and run;
nothing here knows whether a member lives or what it has.

The circle of hash values is cut into `PARTITIONS` equal arcs, and a key belongs to the arc that its hash
falls into. Every member has `VIRTUAL_NODES` points on the circle. From the start of an arc clockwise, the
members in the order in which their points are met are the arc's *order*, and as many of the first ones as
the replication factor says are its *owners* (Karger et al., "Consistent Hashing and Random Trees", STOC
1997; arcs of fixed size as in DeCandia et al., "Dynamo", SOSP 2007, section 6.2). So a member that joins
or leaves changes no order but by its own place in it, and an arc can be compared, handed over and repaired
as a whole.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias
from zlib import crc32

from cloudburst_runtime.ids import PeerName

PARTITIONS = 1024
"""Arcs of the circle; a power of two."""

VIRTUAL_NODES = 128
"""Points of each member on the circle: with so many, the fullest of eight has a fifth more than its share."""

Part: TypeAlias = int | str
"""What is compared and handed over as a whole: an arc of the circle, or a key with a factor of its own."""

_ARC = 2**64 // PARTITIONS


def partition_of(key: str) -> int:
    """The arc that a key belongs to.

    Examples
    --------
    >>> partition_of("k"), partition_of("other")
    (861, 288)
    """
    return crc32(key.encode()) % PARTITIONS


class Circle:
    """Some members on the circle.

    Parameters
    ----------
    members
        Their names; the order does not matter.
    replication
        How many owners a key has, if there are so many members.
    factors
        Of the keys that have another number of them.

    Examples
    --------
    >>> circle = Circle(["node", "s2", "s3"], replication=2)
    >>> circle.owners("k")
    ('s3', 's2')
    >>> Circle(["node", "s2", "s3"], 2, factors={"k": 3}).owners("k")
    ('s3', 's2', 'node')
    """

    def __init__(
        self, members: Sequence[PeerName], replication: int, factors: Mapping[str, int] | None = None
    ) -> None:
        self.replication = replication
        self.factors = dict(factors or {})
        self._table = _table(tuple(sorted(members)))

    def order(self, partition: int) -> tuple[PeerName, ...]:
        """All members, as they are met from the start of this arc."""
        return self._table[partition]

    def owners_of(self, partition: int) -> tuple[PeerName, ...]:
        """Who keeps the keys of this arc that have no factor of their own."""
        return self.order(partition)[: self.replication]

    def owners(self, key: str) -> tuple[PeerName, ...]:
        """Who keeps this key."""
        return self.order(partition_of(key))[: self.factors.get(key, self.replication)]


@lru_cache(maxsize=32)
def _table(members: tuple[PeerName, ...]) -> tuple[tuple[PeerName, ...], ...]:
    """The order of each arc."""
    points = sorted((_point(f"{name}#{turn}"), name) for name in members for turn in range(VIRTUAL_NODES))
    starts = [point for point, _ in points]
    names = [name for _, name in points] * 2
    return tuple(
        _met(names, bisect.bisect_left(starts, partition * _ARC), len(members))
        for partition in range(PARTITIONS)
    )


def _met(names: list[PeerName], start: int, count: int) -> tuple[PeerName, ...]:
    """The first ``count`` different names from a place on."""
    met: dict[PeerName, None] = {}
    while len(met) < count:
        met[names[start]] = None
        start += 1
    return tuple(met)


def _point(label: str) -> int:
    return int.from_bytes(blake2b(label.encode(), digest_size=8).digest(), "big")
