"""A client's session at a consistency level: what its own reads and writes, and its calls, have in common.

Law: a session belongs to one client of one runtime, for the changes that it has seen are numbered there.

What it reads raises its floor, and what it writes comes with it. Its calls begin with what it has seen, and
give back what they have; so reads and writes in the notebook and in functions are one causal history. At
``atomic``, `blocks` says what goes with what it has read. Without a session, a client still knows which
siblings it has read or written, so that its next write replaces them.
"""

from __future__ import annotations

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.client.blocks import Block
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.lattices import Causal, Custom
from cloudburst_runtime.levels import CAUSAL, DEPENDENT
from cloudburst_runtime.messages import Entry, Result, Session
from cloudburst_runtime.vectors import Vector, joined

SEEN_SENT_MAX = 64
"""Keys of which a call is told what its session has seen: the latest."""


class ClientSession:
    """What one session has seen.

    Parameters
    ----------
    level
        One of `levels.LEVELS`.

    Attributes
    ----------
    floor
        The changes that its reads must include.
    block
        At ``atomic``, what it has read since it was entered.

    Examples
    --------
    >>> session = ClientSession("dsc")
    >>> _ = session.read("k", Entry(0, None, version={"node": 7}))
    >>> session.floor
    {'node': 7}
    """

    def __init__(self, level: str = "lww") -> None:
        self.level = level
        self.floor: Vector = {}
        self._session = Session(level)
        self._kept: dict[str, Entry] = {}
        self.block = Block() if level == "atomic" else None

    def read(self, key: str, entry: Entry) -> Entry:
        """The session reads a key, and this was found; returns what it is to see."""
        if self.level == "dsrr":
            return self._kept.setdefault(key, entry)
        if self.block is not None:
            entry = self.block.take(key, entry)
        self._see(key, entry)
        return entry

    def wrote(self, key: str, entry: Entry | None, floor: Vector) -> None:
        """A write (as an entry) or a deletion was acknowledged; ``floor`` includes it."""
        self._kept.pop(key, None)
        if self.level in DEPENDENT:
            self.floor = joined(self.floor, floor)
        if self.block is not None:
            self.block.wrote(key, entry)
        if entry is not None:
            self._see(key, entry)

    def _see(self, key: str, entry: Entry) -> None:
        if self.level in DEPENDENT:
            self.floor = joined(self.floor, sessions.after(entry))
        if self.level in CAUSAL or isinstance(entry.lattice, Causal | Custom):
            sessions.see(self._session, key, entry)

    def terms(self, key: str, floor: Vector, known: Vector) -> Terms:
        """What a write comes with, by a client that has seen all changes up to ``floor``.

        Of this key it may have ``known`` those up to there.
        """
        return sessions.terms(self._session, key, floor if self.level in DEPENDENT else {}, known)

    def onward(self, level: str, home: PeerName) -> Session:
        """What a call at some level begins with."""
        seen = list(self._session.seen.items())[-SEEN_SENT_MAX:] if level in CAUSAL else []
        session = Session(level, home, dict(seen))
        if self.block is not None and level == "atomic":
            session.due = self.block.onward()
        return session

    def came_back(self, result: Result, transaction: str) -> None:
        """A call of this session has ended; under that name it has published what it wrote."""
        if self.level in DEPENDENT:
            self.floor = joined(self.floor, result.floor)
        if result.session is None:
            return
        for key in result.session.wrote:
            self._kept.pop(key, None)
        if self.block is not None:
            self.block.came_back(transaction, result.session.due)
        sessions.join(self._session, Session(self.level, "", result.session.seen))
