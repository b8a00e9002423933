"""What is said when a store has ended: which parts of the store are lost, or have to wait for it.

Law: pure texts, from what a ring says after the store was left out.
"""

from __future__ import annotations

from cloudburst_runtime.anna.estates import Estates
from cloudburst_runtime.anna.owners import Owners
from cloudburst_runtime.anna.ring import PARTITIONS
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Ring


def lost(ring: Ring, name: PeerName) -> list[str]:
    """A store has died that left nothing, or left it to an heir.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Members
    >>> before, after = Members(["node", "s2"]), Members(["node"])
    >>> lost(Ring(2, after, 1, former=[before], live=["node"]), "s2")
    ['the store s2 has ended, and the keys that it alone kept are lost: those in ... of 1,024 parts ...']
    >>> lost(Ring(2, after, 2, former=[before], live=["node"]), "s2")
    []
    """
    orphans = len(Owners(ring).orphans(name)) if ring.former else 0
    if not orphans:
        return []
    return [
        f"the store {name} has ended, and the keys that it alone kept are lost: those in {orphans} "
        f"of {PARTITIONS:,} parts of the store; a higher replication or a state_dir keeps them"
    ]


def missed(ring: Ring, name: PeerName, estates: Estates) -> list[str]:
    """A store on another host has ended, which has a disk of its own and may come back."""
    owners, successor = Owners(ring), estates.name(estates.identity(name))
    parts = [part for part in range(PARTITIONS) if successor in owners.awaited(part)]
    if not parts:
        return []
    return [
        f"the store {name} on {estates.host(successor)} has ended, and {len(parts)} of {PARTITIONS:,} parts "
        f"of the store are on its disk only: they cannot be had until it is started again there, as "
        f"{successor}; cb.remove_store({successor!r}) gives them up"
    ]
