"""What an executor keeps for an attempt: the entries that the attempt reads of keys, until it is over.

Law: of a place, one entry, the first; none once the attempt is over, or its client is gone. Only the key's
absence gives way, to what was waited for.

What is kept is released when the call's last step ends; when it is cancelled, as after a failure; when its
client is gone. Should all that be lost, the client is asked now and then whether the call is under way. One
that never answers is gone too: an executor that it never spoke with is not told of its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.agreement import ATTEMPTS_KEPT_MIN
from cloudburst_runtime.executor.bounded import BoundedDict
from cloudburst_runtime.executor.tasks import Attempt
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Entry, Kept, Session, UnderWay

Effects = list[Any]
Place: TypeAlias = tuple[str, tuple[tuple[int, int], ...]]
"""A key, and the call's own writes of it before the read."""

NO_WRITES: dict[int, int] = {}
NOTHING: dict[Place, Entry] = {}

WANTED_AFTER = 10
"""After so many resend intervals it is asked whether what is kept is still wanted."""

TIMER = "kept"


def placed(key: str, wrote: dict[int, int]) -> Place:
    """The place of a key after these writes of the call.

    Examples
    --------
    >>> placed("k", {2: 1, 0: 3})
    ('k', ((0, 3), (2, 1)))
    """
    return (key, tuple(sorted(wrote.items())))


def place(key: str, session: Session) -> Place:
    """Where a call reads a key next."""
    wrote = session.wrote.get(key)
    return placed(key, wrote) if wrote else (key, ())


class KeptEntries:
    """The entries that one executor keeps.

    Parameters
    ----------
    name
        The executor's name.
    resend_ms
        The interval that the time is a multiple of after which a client is asked.
    unanswered_max
        How often a client is asked in vain whether what is kept is still wanted.

    Attributes
    ----------
    entries
        By attempt and place.
    """

    def __init__(self, name: PeerName, resend_ms: Millis, unanswered_max: int) -> None:
        self.entries: BoundedDict[Attempt, dict[Place, Entry]] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._name = name
        self._wanted_after = WANTED_AFTER * resend_ms
        self._unanswered_max = unanswered_max
        self._unanswered: dict[Attempt, int] = {}
        self._over: BoundedDict[Attempt, bool] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._gone: BoundedDict[PeerName, bool] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._armed = False

    # ------------------------------------------------------------ entries

    def find(self, attempt: Attempt, where: Place) -> Entry | None:
        """The entry that is kept of a place."""
        return self.entries.get(attempt, NOTHING).get(where)

    def read(self, attempt: Attempt) -> list[tuple[str, Entry]]:
        """All that is kept for an attempt, by key."""
        return [(key, entry) for (key, _), entry in self.entries.get(attempt, NOTHING).items()]

    def keep(self, attempt: Attempt, where: Place, entry: Entry, waited: bool) -> Entry:
        """Keep an entry unless one is kept already: of a key that did not exist, what was ``waited`` for."""
        kept = self.of(attempt)
        found = kept.setdefault(where, entry)
        if waited and found.lattice is None and entry.lattice is not None:
            found = kept[where] = entry
        return found

    def of(self, attempt: Attempt) -> dict[Place, Entry]:
        """All that is kept for an attempt, to be added to."""
        kept = self.entries.get(attempt)
        return self.entries.setdefault(attempt, {}) if kept is None else kept

    def drop(self, attempt: Attempt, where: Place) -> None:
        """Keep nothing of this place after all."""
        self.entries.get(attempt, {}).pop(where, None)

    # ------------------------------------------------------------ the end

    def end(self, attempt: Attempt) -> None:
        """This attempt is over."""
        self.entries.pop(attempt, None)
        self._over[attempt] = True

    def lose(self, client: PeerName) -> None:
        """This client is gone, and so are all its attempts."""
        self._gone[client] = True

    def is_over(self, attempt: Attempt) -> bool:
        """Whether nothing is to be kept for this attempt any more."""
        return attempt in self._over or attempt[0] in self._gone

    # ------------------------------------------------------------ is it still wanted?

    def watch(self, now: Millis) -> Effects:
        """See to it that the clients of what is kept are asked, should nobody release it."""
        if self._armed:
            return []
        self._armed = True
        return [SetTimer(TIMER, now + self._wanted_after)]

    def ask(self, attempts: Iterable[Attempt], now: Millis) -> Effects:
        """It is time to ask the clients of these attempts whether they are under way."""
        self._armed = False
        asked = list(dict.fromkeys(attempts))
        self._unanswered = {attempt: self._unanswered.get(attempt, 0) + 1 for attempt in asked}
        sends = [Send(client, Kept(number, attempt, self._name)) for client, number, attempt in asked]
        return [*sends, *(self.watch(now) if asked else [])]

    def on_under_way(self, message: UnderWay, now: Millis) -> Effects:
        """A client wants what is kept."""
        self._unanswered.pop((message.client, message.number, message.attempt), None)
        return []

    def unwanted(self) -> list[Attempt]:
        """The attempts whose clients were asked in vain for too long."""
        return [attempt for attempt, asked in self._unanswered.items() if asked >= self._unanswered_max]
