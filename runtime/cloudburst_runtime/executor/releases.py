"""The word that attempts are over, for the executors that keep something for them: how it leaves.

Law: nobody waits for it, so it leaves together, all of one moment, or so many at a time; what this executor
keeps itself goes then too. Should it be lost, whoever keeps something asks the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.tasks import Attempt
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Release

Effects = list[Any]

TIMER = "releases"

RELEASE_AFTER_MS = 20.0
"""How long the word waits for company; as long are memory and versions held that nobody reads any more."""

RELEASES_MAX = 64
"""Attempts whose end is told at a time."""


class Releases:
    """What one executor has yet to say.

    Parameters
    ----------
    name
        The executor's name.
    release
        Releases what it keeps itself for an attempt.

    Examples
    --------
    >>> releases = Releases("e1", lambda attempt: [])
    >>> releases.add(("c1", 7, 0), ["e1", "e2"], 0.0)
    [SetTimer(key='releases', due=20.0)]
    >>> releases.add(("c1", 8, 0), ["e2"], 1.0)
    []
    >>> releases.on_timer(20.0)
    [Send(peer='e2', message=Release(attempts=[('c1', 7, 0), ('c1', 8, 0)]))]
    """

    def __init__(self, name: PeerName, release: Callable[[Attempt], Effects]) -> None:
        self._name = name
        self._release = release
        self._waiting: list[tuple[Attempt, list[PeerName]]] = []
        self._armed = False

    def add(self, attempt: Attempt, keepers: list[PeerName], now: Millis) -> Effects:
        """This attempt is over, and its ``keepers`` are to know."""
        self._waiting.append((attempt, keepers))
        if len(self._waiting) >= RELEASES_MAX:
            return self._leave()
        if self._armed:
            return []
        self._armed = True
        return [SetTimer(TIMER, now + RELEASE_AFTER_MS)]

    def on_timer(self, now: Millis) -> Effects:
        """They have waited long enough."""
        self._armed = False
        return self._leave()

    def _leave(self) -> Effects:
        waiting, self._waiting = self._waiting, []
        by_keeper: dict[PeerName, list[Attempt]] = {}
        for attempt, keepers in waiting:
            for keeper in keepers:
                by_keeper.setdefault(keeper, []).append(attempt)
        mine = by_keeper.pop(self._name, [])
        effects = [effect for attempt in mine for effect in self._release(attempt)]
        return [*effects, *(Send(peer, Release(attempts)) for peer, attempts in by_keeper.items())]

    def lose(self, peer: PeerName) -> None:
        """This executor is gone, with all that it kept."""
        waiting = self._waiting
        self._waiting = [(attempt, [name for name in names if name != peer]) for attempt, names in waiting]
