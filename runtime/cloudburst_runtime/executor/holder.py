"""What an executor answers those whose calls it keeps entries for: as a holder, as a home, or beside one.

Law: a recall is answered with what is kept; else, if it may be fixed here, with what is fixed now; else with
nothing. Of an attempt that is over nothing is said. A claim is answered with what was read of the key here,
and from then on the home decides on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cloudburst_runtime.anna import transactions
from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.effects import Send
from cloudburst_runtime.executor.admission import Admission
from cloudburst_runtime.executor.agreement import Claims, is_contested
from cloudburst_runtime.executor.kept import NO_WRITES, KeptEntries, placed
from cloudburst_runtime.executor.tasks import Attempt
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices.wrap import plain
from cloudburst_runtime.messages import Claim, Claimed, Due, Entry, Failure, Recall, Recalled

Effects = list[Any]


class Holder:
    """What one executor is asked by others.

    Parameters
    ----------
    cache
        Where versions come from that are fixed here.
    kept, claims, admission
        The executor's: what is kept, whom it asks as a home, what goes with what was read.
    begin, pass_on, cancel
        Of the executor's operations: a new one; the cache's effects; its end.
    """

    def __init__(
        self,
        cache: CacheCore,
        kept: KeptEntries,
        claims: Claims,
        admission: Admission,
        begin: Callable[[Callable[[Any, Millis], Effects]], int],
        pass_on: Callable[[Effects, Millis], Effects],
        cancel: Callable[[int], Effects],
    ) -> None:
        self._cache = cache
        self._kept = kept
        self._claims = claims
        self._admission = admission
        self._begin = begin
        self._pass_on = pass_on
        self._cancel = cancel
        self._served: dict[Attempt, dict[tuple[PeerName, int], int]] = {}

    @property
    def pending(self) -> int:
        """Recalls of others that wait here."""
        return sum(map(len, self._served.values()))

    @property
    def attempts(self) -> list[Attempt]:
        """Those for which recalls wait here."""
        return list(self._served)

    def release(self, attempt: Attempt) -> Effects:
        """This attempt is over: nobody waits for it."""
        served = self._served.pop(attempt, None)
        return [] if served is None else [effect for part in served.values() for effect in self._cancel(part)]

    # ------------------------------------------------------------ recalls

    def on_recall(self, message: Recall, now: Millis) -> Effects:
        """Another executor asks for what is kept here, or is to be fixed here."""
        attempt = (message.client, message.number, message.attempt)
        entry = self._kept.find(attempt, placed(message.key, message.wrote))
        if entry is not None and not (message.wait and entry.lattice is None):
            return [Send(message.sender, Recalled(message.req, _sent(entry, message.plain)))]
        if not message.fix or self._kept.is_over(attempt):
            return [Send(message.sender, Recalled(message.req, None))]
        served = self._served.setdefault(attempt, {})
        who = (message.sender, message.req)
        if who in served:
            return []
        part = served[who] = self._begin(lambda result, later: self._serve(message, result, later))
        read = self._cache.read(part, [message.key], message.floor, now, message.wait)
        return [*self._kept.watch(now), *self._pass_on(read, now)]

    def _serve(self, message: Recall, result: Any, now: Millis) -> Effects:
        """Fix what was read for a recall, unless it does not go, or another one has read the key already."""
        attempt = (message.client, message.number, message.attempt)
        if isinstance(result, Failure):
            return self._settle(message, None, {})

        def admitted(entry: Entry | None, later: Millis) -> Effects:
            if entry is None or not is_contested(entry, message.start, bool(message.wrote)):
                return settled(entry, later)
            others = [name for name in message.beside if name != message.sender]
            return self._claims.decide(attempt, message.key, others, entry, settled, later)

        def settled(entry: Entry | None, later: Millis) -> Effects:
            return self._settle(message, entry, transactions.dues(result[0]) if entry is None else {})

        return self._admission.admit(message.session, attempt, message.key, result[0], admitted, now)

    def _settle(self, message: Recall, entry: Entry | None, due: dict[str, Due]) -> Effects:
        """Keep what is fixed, and give it to who has asked for it."""
        attempt = (message.client, message.number, message.attempt)
        served = self._served.get(attempt, {})
        served.pop((message.sender, message.req), None)
        if not served:
            self._served.pop(attempt, None)
        if entry is not None and not self._kept.is_over(attempt):
            where = placed(message.key, message.wrote)
            entry = self._kept.keep(attempt, where, entry, message.wait)
        return [Send(message.sender, Recalled(message.req, _sent(entry, message.plain), due))]

    # ------------------------------------------------------------ claims

    def on_claim(self, message: Claim, now: Millis) -> Effects:
        """A home asks what was read of a key here, and decides on it from now on."""
        attempt = (message.client, message.number, message.attempt)
        if self._kept.is_over(attempt):
            return [Send(message.sender, Claimed(message.req, None))]
        self._claims.give(attempt, message.key)
        read = self._kept.find(attempt, placed(message.key, NO_WRITES))
        if read is not None and read.lattice is None:
            read = None  # that the key does not exist, none but its home has said
        claimed = Claimed(message.req, _sent(read, message.plain))
        return [Send(message.sender, claimed), *self._kept.watch(now)]


def _sent(entry: Entry | None, by_value: bool) -> Entry | None:
    """What is kept, as it is sent: its values lie in shared memory unless the asker could not reach that."""
    if not by_value or entry is None or entry.lattice is None:
        return entry
    return msgspec.structs.replace(entry, lattice=plain(entry.lattice))
