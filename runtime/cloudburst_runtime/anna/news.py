"""What is said of the stores for people: what is damaged, what is lost with one, and what has to wait for it.

Law: texts, from what a ring says after a store was left out. What has to wait is said as long as it has to.
"""

from __future__ import annotations

from collections.abc import Iterable

from cloudburst_runtime.anna.membership import Membership
from cloudburst_runtime.anna.owners import Owners
from cloudburst_runtime.anna.ring import PARTITIONS
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Ring

SAID_MAX = 1_000
"""Lines that are kept."""


class News:
    """The lines that a runtime's status shows.

    Parameters
    ----------
    said
        Where they are; there may be some already.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Members
    >>> news = News([])
    >>> before, after = Members(["node", "s2"]), Members(["node"])
    >>> news.lost("s2", Ring(2, after, 2, former=[before], live=["node"]))
    >>> news.said
    []
    >>> news.lost("s2", Ring(2, after, 1, former=[before], live=["node"]))
    >>> news.said
    ['the store s2 has ended, and the keys that it alone kept are lost: those in ... of 1,024 parts ...']
    """

    def __init__(self, said: list[str]) -> None:
        self.said = said
        self._missed: dict[PeerName, str] = {}

    def say(self, lines: Iterable[str]) -> None:
        """The latest of what is said is kept."""
        self.said += lines
        del self.said[:-SAID_MAX]

    def lost(self, name: PeerName, ring: Ring) -> None:
        """A store has died; it left nothing, or left it to an heir."""
        orphans = len(Owners(ring).orphans(name)) if ring.former else 0
        if orphans:
            text = (
                f"the store {name} has ended, and the keys that it alone kept are lost: those in {orphans} "
                f"of {PARTITIONS:,} parts of the store; a higher replication or a state_dir keeps them"
            )
            self.say([text])

    def missed(self, name: PeerName, membership: Membership) -> None:
        """A store on another host has ended, which has a disk of its own and may come back."""
        abroad, owners = membership.abroad, Owners(membership.ring)
        successor = abroad.name(abroad.identity(name))
        parts = [part for part in range(PARTITIONS) if successor in owners.awaited(part)]
        if parts:
            self._missed[successor] = (
                f"the store {name} on {abroad.host(successor)} has ended, and {len(parts)} of {PARTITIONS:,} "
                "parts of the store are on its disk only: they cannot be had until it is started again there,"
                f" as {successor}; cb.remove_store({successor!r}) gives them up"
            )
            self.say([self._missed[successor]])

    def back(self, name: PeerName) -> None:
        """A store is back, or was given up."""
        line = self._missed.pop(name, None)
        self.said[:] = [each for each in self.said if each != line]
