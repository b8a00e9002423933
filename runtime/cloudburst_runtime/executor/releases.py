"""The word that attempts are over, for the executors that keep something for them: how it leaves.

Law: nobody waits for it, so it leaves together: for one executor so many at a time, and all after a moment.
Should it be lost, whoever keeps something asks the client.
"""

from __future__ import annotations

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
"""Attempts of which one executor is told in one message."""


class Releases:
    """What one executor has yet to say.

    Examples
    --------
    >>> releases = Releases()
    >>> releases.add("e2", ("c1", 7, 0), 0.0)
    [SetTimer(key='releases', due=20.0)]
    >>> releases.add("e2", ("c1", 8, 0), 1.0)
    []
    >>> releases.on_timer(20.0)
    [Send(peer='e2', message=Release(attempts=[('c1', 7, 0), ('c1', 8, 0)]))]
    """

    def __init__(self) -> None:
        self._waiting: dict[PeerName, list[Attempt]] = {}
        self._armed = False

    def add(self, peer: PeerName, attempt: Attempt, now: Millis) -> Effects:
        """This attempt is over, and ``peer`` is to know."""
        waiting = self._waiting.setdefault(peer, [])
        waiting.append(attempt)
        if len(waiting) >= RELEASES_MAX:
            return [Send(peer, Release(self._waiting.pop(peer)))]
        if self._armed:
            return []
        self._armed = True
        return [SetTimer(TIMER, now + RELEASE_AFTER_MS)]

    def on_timer(self, now: Millis) -> Effects:
        """They have waited long enough."""
        self._armed = False
        waiting, self._waiting = self._waiting, {}
        return [Send(peer, Release(attempts)) for peer, attempts in waiting.items()]

    def lose(self, peer: PeerName) -> None:
        """This executor is gone, with all that it kept."""
        self._waiting.pop(peer, None)
