"""Whose keys are whose, by the node's word: a `Ring` message as functions.

Law: pure; everything follows from the message.

While the stores hand keys over, a ring has *former* memberships besides the current one. The current owners
of a key serve it, and take and give gossip about it; what any *source* has of it, a former or current owner
that runs, must have reached them before the ring is settled. A key that has a replication factor
of its own is *apart*: a part of its own, instead of the arc that it lies in. What only a store on another
host may have that is away is not served (`estates`); when it is back, it is a source as well.
"""

from __future__ import annotations

from cloudburst_runtime.anna.estates import Held, awaited
from cloudburst_runtime.anna.ring import PARTITIONS, Circle, Part, partition_of
from cloudburst_runtime.ids import NODE, PeerName
from cloudburst_runtime.messages import Ring


class Owners:
    """What a ring says.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Members
    >>> owners = Owners(Ring(7, Members(["node", "s2", "s3"]), 2, live=["node", "s2", "s3"], born=3))
    >>> owners.of("k"), owners.is_settled, owners.is_past("s4")
    (('s3', 's2'), True, False)
    """

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.epoch = ring.epoch
        self.is_settled = not ring.former
        self._current = Circle(ring.current.names, ring.replication, ring.current.factors)
        self._former = [Circle(each.names, ring.replication, each.factors) for each in ring.former]
        self._live = dict.fromkeys(ring.live)
        held = {name: Held(estate) for name, estate in ring.estates.items()}
        self._away = {name: each for name, each in held.items() if name not in self._live}
        self._back = {name: each for name, each in held.items() if name in self._live}
        self.apart: dict[str, None] = {}
        """The keys that have, or had, a factor of their own."""
        for circle in (self._current, *self._former):
            self.apart.update(dict.fromkeys(circle.factors))

    def of(self, key: str) -> tuple[PeerName, ...]:
        """Who keeps the key."""
        return self._current.owners(key)

    def is_past(self, name: PeerName) -> bool:
        """Whether a store of this name has run, and does so no more."""
        if name == NODE or name in self._live or name in self.ring.coming:
            return False
        return int(name[1:]) <= self.ring.born

    def keep(self, part: Part) -> tuple[PeerName, ...]:
        """The current owners of a part."""
        return _keep(self._current, part)

    def sources(self, part: Part) -> list[PeerName]:
        """Who may have something in this part: stores that run, the current owners first, and heirs."""
        found = dict.fromkeys(self.keep(part))
        for circle in self._former:
            found.update(dict.fromkeys(_keep(circle, part)))
        heirs = [heir for circle in self._former for heir in self._heirs(circle, part)]
        return list(
            dict.fromkeys([*(name for name in found if name in self._live), *heirs, *self._came(part)])
        )

    def holders(self, key: str) -> list[PeerName]:
        """Who may have something of this key: stores that run, the current owners first, and heirs."""
        return self.sources(key if key in self.apart else partition_of(key))

    def _heirs(self, circle: Circle, part: Part) -> list[PeerName]:
        """Who has, or will have, what the owners of a part had, if so many have died that some of it may be
        with none of the others: a change that was acknowledged is with two of them, or with the only one."""
        owners, heirs = _keep(circle, part), self.ring.heirs
        dead = [name for name in owners if name not in self._live]
        return [heirs[name] for name in dead if name in heirs] if len(dead) >= min(2, len(owners)) else []

    def _came(self, part: Part) -> list[PeerName]:
        """Stores on other hosts that are back, and may have something in this part that nobody else has."""
        return [name for name, held in self._back.items() if held.has(part)]

    @property
    def has_absent(self) -> bool:
        """Whether there may be such stores that are away."""
        return bool(self._away)

    def awaited(self, part: Part) -> list[PeerName]:
        """Stores on other hosts that are away and may have something in this part that nobody else has."""
        return awaited(self._away, part)

    def orphans(self, name: PeerName) -> list[Part]:
        """The parts that this store kept with nobody who runs, or who has left something to an heir."""
        kept = [circle for circle in self._former if name in circle.order(0)]
        return [
            part
            for part in self.disputed()
            if any(name in _keep(circle, part) and self._is_lost(circle, part) for circle in kept)
        ]

    def _is_lost(self, circle: Circle, part: Part) -> bool:
        return not any(name in self._live or name in self.ring.heirs for name in _keep(circle, part))

    def is_disputed(self, part: Part) -> bool:
        """Whether the part has changed hands, or lost an owner, since all was handed over."""
        now = sorted(self.keep(part))
        return (
            bool(self._came(part))
            or any(sorted(_keep(circle, part)) != now for circle in self._former)
            or any(name not in self._live for name in now)
        )

    def has_all(self, name: PeerName, part: Part) -> bool:
        """Whether this owner was one all along and none has died: it may serve while it still compares."""
        circles = (self._current, *self._former)
        owners = [owner for circle in circles for owner in _keep(circle, part)]
        return (
            not self._came(part)
            and all(name in _keep(circle, part) for circle in circles)
            and all(owner in self._live for owner in owners)
        )

    def disputed(self) -> list[Part]:
        """All parts that have to be compared."""
        parts: list[Part] = [*range(PARTITIONS), *self.apart]
        return [part for part in parts if self.is_disputed(part)]


def _keep(circle: Circle, part: Part) -> tuple[PeerName, ...]:
    return circle.owners(part) if isinstance(part, str) else circle.owners_of(part)
