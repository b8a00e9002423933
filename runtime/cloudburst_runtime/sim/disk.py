"""The disk of a simulated store: what is written is there after a crash only if it was synced by then.

Law: a transaction is there as a whole or not at all, and none without those before it; which of the unsynced
ones survive a crash is luck. The bytes are those of the real format, so that a restart really recovers.
"""

from __future__ import annotations

from random import Random

Changes = dict[bytes, bytes | None]


class Disk:
    """A disk, as `anna.journal.Storage`.

    Examples
    --------
    >>> disk = Disk(Random(1))
    >>> disk.write({b"a": b"1"})
    >>> disk.sync(disk.written)
    >>> disk.write({b"a": None, b"b": b"2"})
    >>> disk.read(b"a"), disk.read(b"b")
    (None, b'2')
    >>> disk.crash() in (0, 1)
    True
    >>> disk.records() in ([(b"a", b"1")], [(b"b", b"2")])
    True
    """

    def __init__(self, luck: Random) -> None:
        self.written = 0
        """How many transactions were written."""
        self._luck = luck
        self._synced: dict[bytes, bytes] = {}
        self._unsynced: dict[int, Changes] = {}

    def write(self, changes: Changes, beyond: bool = False) -> None:
        """Write a transaction, which is lost in a crash until it is synced; there always is room."""
        self.written += 1
        self._unsynced[self.written] = changes

    @property
    def unsynced(self) -> bool:
        """Whether a crash could lose something."""
        return bool(self._unsynced)

    def sync(self, transaction: int) -> None:
        """All transactions up to this one survive from now on."""
        for number in [number for number in self._unsynced if number <= transaction]:
            for place, data in self._unsynced.pop(number).items():
                if data is None:
                    self._synced.pop(place, None)
                else:
                    self._synced[place] = data

    def crash(self) -> int:
        """The process has ended, or the machine: some of what was not synced is there, by chance.

        Returns
        -------
        int
            How many transactions are lost.
        """
        self.sync(self._luck.randint(self.written - len(self._unsynced), self.written))
        lost = len(self._unsynced)
        self._unsynced.clear()
        return lost

    def read(self, place: bytes) -> bytes | None:
        """What a process that runs reads: also what is not synced."""
        for changes in reversed(self._unsynced.values()):
            if place in changes:
                return changes[place]
        return self._synced.get(place)

    def records(self) -> list[tuple[bytes, bytes]]:
        """All that has survived, in order."""
        return sorted(self._synced.items())

    def close(self) -> None:
        """Nothing: there is no file."""
