"""What the stores have, asked of all of them when somebody wants to know.

Law: nothing is kept up to date that nobody asks for. A question is answered once every store that runs has
said what it has, those that join meanwhile too; who only needs a number does not wait long for a silent one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from cloudburst_runtime.anna.membership import Membership
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.effects import Received, Send, SetTimer
from cloudburst_runtime.ids import NODE, Millis, PeerName
from cloudburst_runtime.messages import Inquire, StoresReply, StoreStats

TIMER = "stores:count"
COUNT_MS = 1_000.0
"""How long a question waits for the stores to say how many keys they have."""

Effects = list[Any]
Asker: TypeAlias = tuple[PeerName, int]
"""A client, and the number of its request."""


class Census:
    """Asks the stores, and answers who asked.

    Parameters
    ----------
    membership
        Which stores there are.
    store
        The node's own.
    counts_for
        Answers a question for which it was counted how many keys there are.

    Attributes
    ----------
    keys, nbytes
        How many there were when they were counted last, each once.
    """

    def __init__(
        self, membership: Membership, store: StoreCore, counts_for: Callable[[Received, Millis], Effects]
    ) -> None:
        self.keys = 0
        self.nbytes = 0
        self._membership = membership
        self._store = store
        self._counts_for = counts_for
        self._found: dict[Asker, dict[PeerName, StoreStats]] = {}
        self._counting: dict[Asker, tuple[Received, Millis]] = {}

    def ask(self, asker: Asker, now: Millis) -> Effects:
        """A client wants to know what each store has."""
        self._found.setdefault(asker, {})
        return self._inquire(asker) + self._report(asker, now)

    def count(self, event: Received, now: Millis) -> Effects:
        """Find out how much there is in all before this question is answered elsewhere."""
        message: Any = event.message
        asker = (event.peer, message.req)
        self._counting[asker] = event, now + COUNT_MS
        return [SetTimer(TIMER, now + COUNT_MS), *self.ask(asker, now)]

    def note(self, stats: StoreStats, now: Millis) -> Effects:
        """A store says what it has."""
        for found in self._found.values():
            found[stats.name] = stats
        return self.report(now)

    def report(self, now: Millis) -> Effects:
        """Answer whom it can: a store has answered, or is gone."""
        return [effect for asker in list(self._found) for effect in self._report(asker, now)]

    def ask_again(self) -> Effects:
        """There may be further stores."""
        return [effect for asker in self._found for effect in self._inquire(asker)]

    def on_timer(self, now: Millis) -> Effects:
        """A store is silent: what was counted last must do."""
        late = [(asker, event) for asker, (event, due) in self._counting.items() if due <= now]
        for asker, _ in late:
            del self._counting[asker], self._found[asker]
        return [effect for _, event in late for effect in self._counts_for(event, now)]

    def _inquire(self, asker: Asker) -> Effects:
        """Ask the stores that have not said what they have."""
        found = self._found[asker]
        return [Send(name, Inquire(asker[1])) for name in self._others() if name not in found]

    def _others(self) -> list[PeerName]:
        return [name for name in self._membership.ring.live if name != NODE]

    def _report(self, asker: Asker, now: Millis) -> Effects:
        """Answer one, once all have said what they have."""
        found, others = self._found[asker], self._others()
        if any(name not in found for name in others):
            return []
        del self._found[asker]
        store = self._store
        mine = StoreStats(NODE, store.key_count, store.nbytes, 0, 0.0, first=store.first_count())
        stores = [mine, *(found[name] for name in sorted(others, key=lambda name: int(name[1:])))]
        if asker not in self._counting:
            return [Send(asker[0], self._reply(asker[1], stores))]
        event, _ = self._counting.pop(asker)
        self._add_up(stores)
        return self._counts_for(event, now)

    def _reply(self, req: int, stores: list[StoreStats]) -> StoresReply:
        membership, ring = self._membership, self._membership.ring
        rates = {stats.name: stats for stats in membership.stats(0.0)}
        for stats in stores:
            last = rates.get(stats.name)
            if last is not None:
                stats.operations, stats.span_ms = last.operations, last.span_ms
            stats.host = membership.afar.get(stats.name, "")
        away = [
            StoreStats(name, 0, 0, 0, 0.0, host=membership.abroad.host(name), away=True)
            for name in membership.abroad.away
        ]
        return StoresReply(
            req, stores + away, ring.replication, ring.epoch, not ring.former, ring.current.factors
        )

    def _add_up(self, stores: list[StoreStats]) -> None:
        """Each key once: where its first owner is."""
        copies = sum(stats.keys for stats in stores)
        self.keys = sum(stats.first for stats in stores)
        share = self.keys / copies if copies else 0.0
        self.nbytes = round(share * sum(stats.nbytes for stats in stores))
