"""What a call at ``atomic`` may read next: an entry that goes with all that it has read.

Law: nothing is shown that does not go with what the attempt has read (`atomic.due`, `atomic.fractured`).
Where what was found is older than what is due, the record of the call that wrote it has what it is to be;
if the record is gone, all of it has been published, and the key is read once more. What a record has is put
where the older entry was found, and only then shown, because others read it later.

At the other levels every entry goes with every other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from cloudburst_runtime.anna import transactions
from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.executor import atomic
from cloudburst_runtime.executor.kept import KeptEntries
from cloudburst_runtime.executor.tasks import Attempt
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.lattices import Atomic
from cloudburst_runtime.messages import Entry, Failure, Session

Effects = list[Any]
Admitted: TypeAlias = Callable[[Entry | None, Millis], Effects]
"""Gets what is read of a key; None if nothing goes."""


class Admission:
    """What goes with what the attempts have read for which one executor keeps entries.

    Parameters
    ----------
    cache
        Where records are read, and what they have is written.
    kept
        What the attempts have read here; the rest is in their sessions.
    begin, pass_on
        Of the executor's operations: a new one; the cache's effects.
    """

    def __init__(
        self,
        cache: CacheCore,
        kept: KeptEntries,
        begin: Callable[[Callable[[Any, Millis], Effects]], int],
        pass_on: Callable[[Effects, Millis], Effects],
    ) -> None:
        self._cache = cache
        self._kept = kept
        self._begin = begin
        self._pass_on = pass_on

    def goes(self, session: Session | None, attempt: Attempt, key: str, entry: Entry) -> bool:
        """Whether an entry may be read after what the attempt has read, as it is."""
        if session is None or session.level != "atomic":
            return True
        others = self._kept.read(attempt)
        late = atomic.due(session, others, key, entry) is not None
        return not late and not atomic.fractured(session, others, key, entry)

    def admit(
        self,
        session: Session | None,
        attempt: Attempt,
        key: str,
        entry: Entry,
        then: Admitted,
        now: Millis,
        again: bool = True,
    ) -> Effects:
        """What is read of a key where ``entry`` was found: that, or what is due; None if nothing goes."""
        if session is None or self.goes(session, attempt, key, entry):
            return then(entry, now)
        wanted = atomic.due(session, self._kept.read(attempt), key, entry)
        if wanted is None:
            return then(None, now)

        def found(result: Any, later: Millis) -> Effects:
            recorded = None
            if not isinstance(result, Failure):
                recorded = transactions.from_record(key, result[0])
            if recorded is not None and self.goes(session, attempt, key, recorded):
                return self._publish(key, recorded, then, later)
            if recorded is not None:
                return then(None, later)
            return self._read_again(session, attempt, key, then, later) if again else then(None, later)

        record = transactions.record_key(wanted.transaction)
        return self._read(record, found, now)

    def _publish(self, key: str, recorded: Entry, then: Admitted, now: Millis) -> Effects:
        """Put what a record has where what is older was found, and only then show it: others read it next."""
        part = recorded.lattice
        assert isinstance(part, Atomic), part
        op = self._begin(lambda result, later: then(recorded, later))
        return self._pass_on(self._cache.write(op, key, part, now), now)

    def _read_again(
        self, session: Session, attempt: Attempt, key: str, then: Admitted, now: Millis
    ) -> Effects:
        """The record is gone: then what it had is in the store."""

        def found(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return then(None, later)
            return self.admit(session, attempt, key, result[0], then, later, again=False)

        return self._read(key, found, now)

    def _read(self, key: str, found: Callable[[Any, Millis], Effects], now: Millis) -> Effects:
        """Read a key with all that the cache has ever acknowledged."""
        return self._pass_on(self._cache.read(self._begin(found), [key], self._cache.floor, now), now)
