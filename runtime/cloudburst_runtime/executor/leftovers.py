"""The records of atomic calls that an executor which is gone was to see to.

Law: who made a record publishes what it has and deletes it half a minute later (`atomic`), and nobody says
which records are whose. So an executor that hears that it is the *heir* of one that is gone looks twice: a
record that was there at once, and still is after all that time twice over, is seen to by nobody. It publishes
what is not there yet, but for keys that were deleted since, and the record goes the usual way.

If the heir ends meanwhile, it has an heir itself, and what it had not done is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.atomic import RECORD_KEPT_MS, Publishing
from cloudburst_runtime.ids import NODE, Millis
from cloudburst_runtime.lattices import LWW, Atomic, MapLattice, below
from cloudburst_runtime.lattices.atomic import RECORDS_PREFIX
from cloudburst_runtime.messages import Entry, Failure, Keys
from cloudburst_runtime.values import canonical

Effects = list[Any]

ABANDONED_MS = 2 * RECORD_KEPT_MS
"""A record that is there for so long is seen to by nobody."""

TIMER = "leftovers"


class Leftovers:
    """What one executor does for those that are gone.

    Parameters
    ----------
    resend_ms
        How often it asks which records there are, until it is told.
    cache, publishing
        The executor's.
    begin, cancel, pass_on
        Of its operations: a new one, the end of one, and the cache's effects.
    """

    def __init__(
        self,
        resend_ms: Millis,
        cache: CacheCore,
        publishing: Publishing,
        begin: Callable[[Callable[[Any, Millis], Effects]], int],
        cancel: Callable[[int], Effects],
        pass_on: Callable[[Effects, Millis], Effects],
    ) -> None:
        self._resend_ms = resend_ms
        self._cache = cache
        self._publishing = publishing
        self._begin = begin
        self._cancel = cancel
        self._pass_on = pass_on
        self._suspects: dict[str, Millis] = {}  # records, and when they are abandoned if they are there
        self._look = 0  # the operation that asks which there are
        self._is_first = False  # whether all of them become suspects

    def inherit(self, now: Millis) -> Effects:
        """An executor is gone, and this one is its heir."""
        self._is_first = True
        return [*(self._cancel(self._look) if self._look else []), *self._ask(self._begin(self._told), now)]

    def on_timer(self, now: Millis) -> Effects:
        """Look for the second time, or ask again what was not answered."""
        if self._look:
            return self._ask(self._look, now)
        return self._ask(self._begin(self._told), now) if self._suspects else []

    def _ask(self, look: int, now: Millis) -> Effects:
        self._look = look
        return [Send(NODE, Keys(look, RECORDS_PREFIX)), SetTimer(TIMER, now + self._resend_ms)]

    def _told(self, keys: list[str], now: Millis) -> Effects:
        self._look = 0
        due = [key for key, abandoned in self._suspects.items() if abandoned <= now]
        for key in due:
            del self._suspects[key]
        for key in keys if self._is_first else ():
            self._suspects.setdefault(key, now + ABANDONED_MS)
        self._is_first = False
        there, mine = dict.fromkeys(keys), self._publishing.kept()
        effects = [each for key in due if key in there and key not in mine for each in self._take(key, now)]
        return [*effects, SetTimer(TIMER, min(self._suspects.values()))] if self._suspects else effects

    # ------------------------------------------------------------ one record

    def _take(self, key: str, now: Millis) -> Effects:
        def found(result: Any, later: Millis) -> Effects:
            record = None if isinstance(result, Failure) else result[0].lattice
            return self._compare(key, record, later) if isinstance(record, MapLattice) else []

        return self._read(found, [key], now)

    def _compare(self, key: str, record: MapLattice, now: Millis) -> Effects:
        names = list(next((part.keys for part in record.entries.values() if isinstance(part, Atomic)), ()))

        def found(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return []
            there = zip(names, result, strict=True)
            left = [name for name, entry in there if _is_due(entry, record.entries[canonical(name)])]
            return self._publishing.finish(key, record, left, later)

        return self._read(found, names, now)

    def _read(self, found: Callable[[Any, Millis], Effects], keys: list[str], now: Millis) -> Effects:
        return self._pass_on(self._cache.read(self._begin(found), keys, self._cache.floor, now), now)


def _is_due(entry: Entry, part: Any) -> bool:
    """Whether a key is to be written: not if it was deleted since, has this or later, or no plain value."""
    if entry.generation > part.stamp or not isinstance(entry.lattice, LWW | Atomic | None):
        return False
    return entry.lattice is None or not below(part, entry.lattice)
