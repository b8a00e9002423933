"""Stores on other hosts that have a disk: who they are, and what each of them alone may have on it.

Law: pure. The node knows these stores by the identity in their ``state_dir``, not by a name: that is
another one each time. It keeps on its own disk what they may have that no store of its own host has, and so
knows what there is to wait for when it begins again, and when one of them ends.

A change that was acknowledged is on the disks of two owners of its key, or of the only one. So of a part with
one owner that store may be the *sole* one to have it; and of a part with several owners, if two or more are
such stores, each of them *shares* it with another one. Who is *away* is waited for in its sole parts, and in
shared ones as long as two that share the part are away. (Where rings differ in who shares it, that may be
longer than needed, and is never shorter.)

::

    new ──joins──► live ──ends──► away ──starts again──► live, and asked ──all is handed over──► live
                    └──departs──► forgotten ◄──given up──┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cloudburst_runtime.anna.durable import Recovered, version_place
from cloudburst_runtime.anna.inherit import begin_anew
from cloudburst_runtime.anna.past import BESIDE
from cloudburst_runtime.anna.ring import PARTITIONS, Circle, Part, partition_of
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Estate, Ring

ESTATES_MAX = 256
"""Stores with a disk of their own that may be known: each is waited for until it is given up."""


class Held:
    """The parts that one store may have alone, to look them up.

    Examples
    --------
    >>> held = Held(Estate("bee", sole=[861], shared=["a"]))
    >>> held.is_sole(861), held.is_sole("k"), held.is_shared("a"), held.is_shared(partition_of("a"))
    (True, True, True, True)
    >>> held.has("other")
    False
    """

    def __init__(self, estate: Estate) -> None:
        self._sole, self._shared = _touched(estate.sole), _touched(estate.shared)

    def is_sole(self, part: Part) -> bool:
        """Whether nobody else may have something in this part."""
        return _touches(self._sole, part)

    def is_shared(self, part: Part) -> bool:
        """Whether nobody but another such store may have something in this part."""
        return _touches(self._shared, part)

    def has(self, part: Part) -> bool:
        """Whether either is so."""
        return self.is_sole(part) or self.is_shared(part)


def _touched(parts: Sequence[Part]) -> dict[Part, bool]:
    """These parts, and the arcs of which something is in them: whether the whole of it."""
    arcs: dict[Part, bool] = {partition_of(part): False for part in parts if isinstance(part, str)}
    return {**arcs, **dict.fromkeys(parts, True)}


def _touches(parts: Mapping[Part, bool], part: Part) -> bool:
    """Whether something of a part is in these: a key may be, or have been, a part of its own or of an arc."""
    return part in parts or (isinstance(part, str) and parts.get(partition_of(part), False))


def awaited(away: Mapping[PeerName, Held], part: Part) -> list[PeerName]:
    """Which of the stores that are away may have something in this part that no other has.

    Examples
    --------
    >>> one, two = Held(Estate(sole=[1], shared=[2, 3])), Held(Estate(shared=[3]))
    >>> [awaited({"s2": one, "s3": two}, part) for part in (1, 2, 3)]
    [['s2'], [], ['s2', 's3']]
    """
    shared = [name for name, held in away.items() if held.is_shared(part)]
    sole = [name for name, held in away.items() if held.is_sole(part)]
    return list(dict.fromkeys(sole + (shared if len(shared) > 1 else [])))


def shares(ring: Ring, identities: Mapping[PeerName, str]) -> dict[str, Estate]:
    """What each of these stores, by identity, may have by a ring that the runtime's own host may lack."""
    sole: dict[str, dict[Part, None]] = {}
    shared: dict[str, dict[Part, None]] = {}
    for members in (ring.current, *ring.former):
        if not any(name in identities for name in members.names):
            continue
        circle = Circle(members.names, ring.replication, members.factors)
        parts: list[tuple[Part, tuple[PeerName, ...]]] = [
            *((arc, circle.owners_of(arc)) for arc in range(PARTITIONS)),
            *((key, circle.owners(key)) for key in circle.factors),
        ]
        for part, owners in parts:
            here = [identities[name] for name in owners if name in identities]
            if len(here) >= min(2, len(owners)):
                for identity in here:
                    (sole if len(owners) == 1 else shared).setdefault(identity, {})[part] = None
    return {
        identity: Estate("", list(sole.get(identity, ())), list(shared.get(identity, ())))
        for identity in dict.fromkeys([*sole, *shared])
    }


def _is_empty(estate: Estate) -> bool:
    return not (estate.sole or estate.shared)


def both(one: Estate, other: Estate) -> Estate:
    """What is in either."""
    sole = list(dict.fromkeys([*one.sole, *other.sole]))
    shared = list(dict.fromkeys([*one.shared, *other.shared]))
    return Estate(one.host or other.host, sole, shared)


class Estates:
    """The stores with a disk of their own that the node knows.

    Parameters
    ----------
    found
        By identity, what was on the node's disk about them: they are away.

    Attributes
    ----------
    away
        Those that are waited for, by the name that each will have.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Members
    >>> estates = Estates()
    >>> estates.admit("s2", "id", "bee")
    >>> ring = Ring(1, Members(["node", "s2"]), 1, live=["node", "s2"])
    >>> estates.lose("s2", "s3", ring)
    >>> list(estates.away), len(estates.told()["s3"].sole) > 400, estates.told()["s3"].host
    (['s3'], True, 'bee')
    """

    def __init__(self, found: Mapping[str, Estate] | None = None) -> None:
        self.away: dict[PeerName, str] = {}
        self._carried: dict[str, Estate] = dict(found or {})
        """What each may have alone besides what a ring says, since not all of it was handed over."""
        self._identities: dict[PeerName, str] = {}
        """Of whoever has run, or is to come, under this name."""
        self._name: dict[str, PeerName] = {}

    # ------------------------------------------------------------ who there is

    def __contains__(self, identity: str) -> bool:
        return identity in self._carried

    def __len__(self) -> int:
        return len(self._carried)

    @property
    def nameless(self) -> list[str]:
        """Those that were found on disk and have no name yet."""
        return [identity for identity in self._carried if identity not in self._name]

    @property
    def is_full(self) -> bool:
        """Whether no more may be known."""
        return len(self._carried) >= ESTATES_MAX

    def name(self, identity: str) -> PeerName:
        """Under which name a store is there, or is to come."""
        return self._name[identity]

    def identity(self, name: PeerName) -> str:
        """Of the store of this name."""
        return self._identities[name]

    def is_known(self, name: PeerName) -> bool:
        """Whether the store of this name has a disk of its own, and has not been forgotten."""
        return self._name.get(self._identities.get(name, "")) == name

    def owes(self, name: PeerName) -> bool:
        """Whether the store of this name may have something alone that it has not handed over."""
        return self.is_known(name) and not _is_empty(self.estate(name))

    def host(self, name: PeerName) -> str:
        """Where the store of this name is, or was."""
        return self._carried[self._identities[name]].host

    # ------------------------------------------------------------ what becomes of them

    def wait_for(self, identity: str, name: PeerName) -> None:
        """A store is away, and will have this name."""
        self._identities[name] = identity
        self._name[identity] = name
        self.away[name] = identity

    def admit(self, name: PeerName, identity: str, host: str) -> None:
        """A store gets this name: a new one, or one that was away."""
        self.away.pop(name, None)
        self._identities[name] = identity
        self._name[identity] = name
        carried = self._carried.get(identity, Estate())
        self._carried[identity] = Estate(host, carried.sole, carried.shared)

    def lose(self, name: PeerName, successor: PeerName, ring: Ring) -> None:
        """A store has ended under a ring, and will have another name."""
        identity = self._identities[name]
        share = shares(ring, self._identities).get(identity)
        if share is not None:
            self._carried[identity] = both(self._carried[identity], share)
        self.wait_for(identity, successor)

    def forget(self, name: PeerName) -> None:
        """A store has handed over all that it had, or is given up."""
        identity = self._identities[name]
        self.away.pop(name, None)
        del self._carried[identity], self._name[identity]
        self._identities = {each: other for each, other in self._identities.items() if other != identity}

    def settle(self, ring: Ring) -> None:
        """All that the live stores of a ring have was handed over, where it belongs."""
        held = {name: Held(self._carried[identity]) for name, identity in self.away.items()}
        for name in ring.live:
            if self.is_known(name):
                identity = self._identities[name]
                self._carried[identity] = Estate(self._carried[identity].host)
        for name, identity in self.away.items():
            mine = self._carried[identity]
            shared = [part for part in mine.shared if name in awaited(held, part)]
            self._carried[identity] = Estate(mine.host, mine.sole, shared)
        self._identities = {name: identity for identity, name in self._name.items()}

    # ------------------------------------------------------------ what is said of them

    def estate(self, name: PeerName) -> Estate:
        """What the store of this name is to keep of what is on its disk."""
        return self._carried[self._identities[name]]

    def told(self) -> dict[PeerName, Estate]:
        """What the stores are told: by name, what others may have alone that are away, or came back."""
        named = {name: self._carried[identity] for identity, name in self._name.items()}
        return {name: estate for name, estate in named.items() if not _is_empty(estate)}

    def records(self, ring: Ring) -> dict[str, Estate]:
        """By identity, what is to be on the node's disk before anybody hears of a ring."""
        share = shares(ring, self._identities)
        return {
            identity: both(carried, share.get(identity, Estate()))
            for identity, carried in self._carried.items()
        }


def come_back(found: Recovered, name: PeerName, estate: Estate | None, anew: bool) -> list[bytes]:
    """A store on another host is here again, under another name: forget what it is not to keep.

    Parameters
    ----------
    estate
        The parts in which it may have something that nobody else has.
    anew
        Whether the runtime has begun anew since.

    Returns
    -------
    list
        The places of what was forgotten.
    """
    if anew:
        begin_anew(found)
        if found.here is not None:  # all of it counts under the new name
            found.here = msgspec.structs.replace(found.here, name=name)
    for versions in found.versions.values():
        for seq in [seq for seq in versions if seq >= BESIDE]:  # which is no number of this store's changes
            others = {} if anew else versions[seq].others or {}
            versions[seq] = msgspec.structs.replace(versions[seq], others={**others, name: 0})
    held = Held(Estate() if estate is None else estate)
    gone: list[bytes] = []
    for key in [key for key in found.versions if not held.has(key)]:
        gone += [version_place(key, seq) for seq in found.versions.pop(key)]
    for key in [key for key in found.damaged if not held.has(key)]:
        gone += found.damaged.pop(key)
    return gone
