"""A client's session at a consistency level: what its own reads and writes, and its calls, have in common.

Law: a session belongs to one client of one runtime, for the changes that it has seen are numbered there.

What it reads raises its floor, and what it writes comes with it. Its calls begin with what it has seen, and
give back what they have; so reads and writes in the notebook and in functions are one causal history. Without
a session, a client still knows which siblings it has read or written, so that its next write replaces them.

A session that is entered *within* another one goes on from what that one has seen, and all that is read,
written and called there is seen by both, each at its own level: the notebook reads on where it was. At
``atomic``, `blocks` says what goes with what a session has read, and those around it at this level as well.
"""

from __future__ import annotations

import copy

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.client.blocks import Block, onward
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.lattices import Causal, Custom
from cloudburst_runtime.levels import CAUSAL, DEPENDENT
from cloudburst_runtime.messages import Due, Entry, Result, Session
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
    block
        At ``atomic``, what it has read since it was entered.
    blocks
        That, and those of the sessions around it: what it reads goes with all that they have read.

    Examples
    --------
    >>> session = ClientSession("dsc")
    >>> _ = session.read("k", Entry(0, None, version={"node": 7}))
    >>> session.floor
    {'node': 7}
    """

    def __init__(self, level: str = "lww") -> None:
        self.level = level
        self.block = Block() if level == "atomic" else None
        self.blocks: tuple[Block, ...] = () if self.block is None else (self.block,)
        self._seen = _Seen(level)
        self._around: tuple[ClientSession, ...] = ()

    def within(self, around: ClientSession) -> ClientSession:
        """This session as it is within another one: both see all that is done there.

        Examples
        --------
        >>> outer, session = ClientSession("dsc"), ClientSession("sk")
        >>> _ = outer.read("k", Entry(0, None, version={"node": 7}))
        >>> session.within(outer).floor, session.floor
        ({'node': 7}, {})
        """
        inner = copy.copy(self)
        inner._around = (around, *around._around)
        if self.block is not None:
            outer = [session.block for session in inner._around if session.block is not None]
            inner.blocks = (self.block, *outer)
        return inner

    @property
    def floor(self) -> Vector:
        """The changes that its reads must include."""
        floor = self._seen.floor
        for outer in self._around:
            floor = joined(floor, outer._seen.floor)
        return floor

    def read(self, key: str, entry: Entry) -> Entry:
        """The session reads a key, and this was found; returns what it is to see."""
        if self.level == "dsrr":
            entry = self._kept(key) or entry
        elif self.blocks:
            entry = self._repeated(key) or entry
        self._note(key, entry)
        for outer in self._around:
            outer._note(key, entry)
        return entry

    def wrote(self, key: str, entry: Entry | None, floor: Vector) -> None:
        """A write (as an entry) or a deletion was acknowledged; ``floor`` includes it."""
        for session in (self, *self._around):
            session._seen.kept.pop(key, None)
            session._raise(floor)
            if session.block is not None:
                session.block.wrote(key, entry)
            if entry is not None:
                session._see(key, entry)

    def _kept(self, key: str) -> Entry | None:
        """What it, or one around it, is to read of a key again."""
        kept = (session._seen.kept.get(key) for session in (self, *self._around))
        return next((entry for entry in kept if entry is not None), None)

    def _note(self, key: str, entry: Entry) -> None:
        if self.level == "dsrr":
            self._seen.kept.setdefault(key, entry)
            return
        block = self.block
        if block is not None and block.late(key, entry) is None and block.torn(key, entry) is None:
            block.take(key, entry)
        self._see(key, entry)

    # ------------------------------------------------------------ what goes together

    def late(self, key: str, entry: Entry) -> Due | None:
        """What the key is due, if the entry is older than that."""
        if self._repeated(key) is not None:
            return None
        dues = [due for block in self.blocks if (due := block.late(key, entry)) is not None]
        return max(dues, key=lambda due: due.order, default=None)

    def torn(self, key: str, entry: Entry) -> str | None:
        """A key that was published with the entry, and was read as it was before."""
        if self._repeated(key) is not None:
            return None
        torn = (block.torn(key, entry) for block in self.blocks)
        return next((name for name in torn if name is not None), None)

    def due(self, key: str) -> Due | None:
        """What the key is to be read at least at."""
        dues = [block.due[key] for block in self.blocks if key in block.due]
        return max(dues, key=lambda due: due.order, default=None)

    def excuse(self, key: str) -> None:
        """What the key is due cannot be had any more."""
        for block in self.blocks:
            block.due.pop(key, None)

    def _repeated(self, key: str) -> Entry | None:
        kept = (block.kept.get(key) for block in self.blocks)
        return next((entry for entry in kept if entry is not None), None)

    # ------------------------------------------------------------ what was seen

    def _see(self, key: str, entry: Entry) -> None:
        if self.level in DEPENDENT:
            self._raise(sessions.after(entry))
        if self.level in CAUSAL or isinstance(entry.lattice, Causal | Custom):
            sessions.see(self._seen.session, key, entry)

    def _raise(self, floor: Vector) -> None:
        if self.level in DEPENDENT:
            self._seen.floor = joined(self._seen.floor, floor)

    def terms(self, key: str, floor: Vector, known: Vector) -> Terms:
        """What a write comes with, by a client that has seen all changes up to ``floor``.

        Of this key it may have ``known`` those up to there.
        """
        deps = floor if self.level in DEPENDENT else {}
        return sessions.terms(self._known(key) if self._around else self._seen.session, key, deps, known)

    def onward(self, level: str, home: PeerName) -> Session:
        """What a call at some level begins with."""
        if level == "atomic":
            blocks = [session.block for session in (self, *self._around) if session.block is not None]
            return Session(level, home, due=onward(blocks))
        if level not in CAUSAL:
            return Session(level, home)
        known = self._known() if self._around else self._seen.session
        return Session(level, home, dict(list(known.seen.items())[-SEEN_SENT_MAX:]))

    def _known(self, key: str | None = None) -> Session:
        """What it and those around it have seen, of all keys or of one."""
        known = Session(self.level)
        for session in (*reversed(self._around), self):
            seen = session._seen.session.seen
            part = seen if key is None else {key: seen[key]} if key in seen else {}
            sessions.join(known, Session(self.level, "", part))
        return known

    def came_back(self, result: Result, transaction: str) -> None:
        """A call of this session has ended; under that name it has published what it wrote."""
        for session in (self, *self._around):
            session._raise(result.floor)
            if result.session is not None:
                for key in result.session.wrote:
                    session._seen.kept.pop(key, None)
                if session.block is not None:
                    session.block.came_back(transaction, result.session.due)
                sessions.join(session._seen.session, Session(session.level, "", result.session.seen))


class _Seen:
    """What one session has seen, wherever it is entered: ``kept`` is what it reads again."""

    __slots__ = ("floor", "kept", "session")

    def __init__(self, level: str) -> None:
        self.floor: Vector = {}
        self.session = Session(level)
        self.kept: dict[str, Entry] = {}
