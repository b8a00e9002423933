"""What a block of an atomic session has read, and so what it may read next.

Law: decides, and asks nobody (`admission` does). A block lasts from where its session is entered until it is
left. What it reads is never a part of a transaction, that is of what one call has published:

- a key is read again as it was read first, until the block itself writes it, or a call that it has made;
- what was published together with something that the block has read is *due* from then on, or what is later;
- what was published together with a key that the block had read before that is *torn*, and not read at all.

Its own calls are no strangers: what they have published is due, and never torn. What a call has read is due
as well, at once if it goes with all that the block has read, else in the next block. For what is due outlives
the block: no block reads backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloudburst_runtime.anna.transactions import dues, order_of
from cloudburst_runtime.lattices import LWW, Atomic
from cloudburst_runtime.lattices.causal import Order
from cloudburst_runtime.messages import Due, Entry

DUE_MAX = 1024
"""Keys of which a session remembers what they were due in the blocks before: the latest."""

PLAIN = ""
"""Stands in a `Due` for the transaction of what none has written."""


class Block:
    """The block that a session is in, or was in last.

    Attributes
    ----------
    due
        What keys are to be read at least at.
    kept
        What was read, or written last.

    Examples
    --------
    >>> from cloudburst_runtime.values import Value
    >>> block = Block()
    >>> part = Atomic(7, "e1", Value(b"new"), "c1.1", ("x", "y"))
    >>> block.torn("x", Entry(0, part))
    >>> _ = block.take("y", Entry(0, None))
    >>> block.torn("x", Entry(0, part))
    'y'
    """

    def __init__(self) -> None:
        self.due: dict[str, Due] = {}
        self.kept: dict[str, Entry] = {}
        self._first: dict[str, Order] = {}
        self._own: dict[str, None] = {}
        self._after: dict[str, Due] = {}

    def begin(self) -> None:
        """The session is entered: what was read before is not repeated."""
        for key, due in self._after.items():
            _raise(self.due, key, due)
        self.due = dict(list(self.due.items())[-DUE_MAX:])
        self.kept, self._first, self._own, self._after = {}, {}, {}, {}

    # ------------------------------------------------------------ what may be read

    def late(self, key: str, entry: Entry) -> Due | None:
        """What the key is due, if the entry is older than that."""
        wanted = self.due.get(key)
        if wanted is None or key in self.kept:
            return None
        return wanted if wanted.order > order_of(entry) else None

    def torn(self, key: str, entry: Entry) -> str | None:
        """A key that the entry's transaction has written too, and that was read as it was before."""
        part = entry.lattice
        if not isinstance(part, Atomic) or len(part.keys) < 2:
            return None
        if part.transaction in self._own or key in self.kept:
            return None
        order = (part.stamp, part.writer)
        return next((name for name in part.keys if self._first.get(name, order) < order), None)

    def take(self, key: str, entry: Entry) -> Entry:
        """The block reads a key, and this goes with what it has read; returns what it is to see."""
        if key in self.kept:
            return self.kept[key]
        self.kept[key] = entry
        self._first.setdefault(key, order_of(entry))
        for name, due in (dues(entry) or {key: Due(order_of(entry), PLAIN)}).items():
            _raise(self.due, name, due)
        return entry

    # ------------------------------------------------------------ what the block does

    def wrote(self, key: str, entry: Entry | None) -> None:
        """A write of the block (as an entry), or a deletion, was acknowledged: that is what it reads now."""
        self.kept.pop(key, None)
        if entry is not None and isinstance(entry.lattice, LWW):
            self.take(key, entry)

    def came_back(self, transaction: str, told: Mapping[str, Due]) -> None:
        """A call has ended whose reads and writes make this due; its writes bear its name."""
        later = any(self._first.get(key, due.order) < due.order for key, due in told.items())
        for key, due in told.items():
            if due.transaction == transaction:
                self._own[transaction] = None
                self.kept.pop(key, None)
                _raise(self.due, key, due)
            else:
                _raise(self._after if later else self.due, key, due)


def onward(blocks: Iterable[Block]) -> dict[str, Due]:
    """What is due for a call that is made in all these blocks."""
    dues: dict[str, Due] = {}
    for block in blocks:
        for key, due in block.due.items():
            if due.transaction != PLAIN:
                _raise(dues, key, due)
    return dues


def _raise(dues: dict[str, Due], key: str, due: Due) -> None:
    before = dues.get(key)
    if before is None or before.order < due.order:
        dues[key] = due
