"""Requests that wait for what other stores have, and what those were asked.

Law: each other store is asked until it answers; a request that waits is given out once, when all have
answered, or when the ring has changed and it must be looked at anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Failed, HistoryReply, KeysReply, Pull, VersionReply
from cloudburst_runtime.unanswered import Question, Unanswered


class _Waiting:
    """A request that waits for so many answers; ``replies``: those that are made one."""

    __slots__ = ("event", "left", "replies")

    def __init__(self, event: Received, left: int) -> None:
        self.event = event
        self.left = left
        self.replies: list[Any] = []


class _Asked(Question):
    """One store was asked something."""

    __slots__ = ("waiting",)

    def __init__(self, store: PeerName, message: Any, waiting: _Waiting) -> None:
        super().__init__(store, message)
        self.waiting = waiting


class Pulls:
    """What one store has asked others.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Get
    >>> pulls = Pulls(resend_ms=1000.0)
    >>> get = Received("e1", Get(5, ["k"]))
    >>> [pull] = pulls.begin(get, {"s2": ["k"]}, now=0.0)
    >>> pulls.keys(pull.message.req), pulls.due
    (['k'], 1000.0)
    >>> pulls.take(pull.message.req) is get, pulls.due
    (True, None)
    """

    def __init__(self, resend_ms: Millis) -> None:
        self._req = 0
        self._asked: Unanswered[_Asked] = Unanswered(resend_ms)
        self._waiting: dict[tuple[PeerName, int], _Waiting] = {}

    # ------------------------------------------------------------ asking

    def begin(self, event: Received, lacking: dict[PeerName, list[str]], now: Millis) -> list[Send]:
        """Let a request wait until these stores have said what they have under these keys."""
        return self._begin(event, {store: Pull(0, keys) for store, keys in lacking.items()}, now)

    def ask_all(self, event: Received, stores: list[PeerName], now: Millis) -> list[Send]:
        """Ask these stores what a client has asked, which waits for all their answers."""
        return self._begin(event, {store: msgspec.structs.replace(event.message) for store in stores}, now)

    def _begin(self, event: Received, asks: dict[PeerName, Any], now: Millis) -> list[Send]:
        name = (event.peer, event.message.req)  # type: ignore[union-attr]
        if name in self._waiting:
            return []
        waiting = self._waiting[name] = _Waiting(event, len(asks))
        sends: list[Send] = []
        for store, message in asks.items():
            self._req += 1
            message.req = self._req
            sends.append(self._asked.ask(_Asked(store, message, waiting), now))
        return sends

    def again(self, req: int, now: Millis) -> list[Send]:
        """Ask again, for the values themselves: their memory was lost on the way."""
        asked = self._asked.open.get(req)
        if asked is None or not isinstance(asked.message, Pull):
            return []
        asked.message.plain = True
        return [self._asked.ask_again(asked, now)]

    def overdue(self, now: Millis) -> list[Send]:
        """What to ask again."""
        return self._asked.overdue(now)

    @property
    def due(self) -> Millis | None:
        """When to look for what is overdue."""
        return self._asked.due

    # ------------------------------------------------------------ answers

    def keys(self, req: int) -> list[str]:
        """What was asked for; nothing if the answer is not waited for."""
        asked = self._asked.open.get(req)
        return asked.message.keys if asked is not None and isinstance(asked.message, Pull) else []

    def take(self, req: int) -> Received | None:
        """A store has answered; return the request that waits no more."""
        asked = self._asked.take(req)
        if asked is None:
            return None
        asked.waiting.left -= 1
        return None if asked.waiting.left else self._end(asked.waiting)

    def take_reply(self, reply: Any) -> tuple[Received | None, list[Any]]:
        """A store has answered; return the request that waits no more, with all answers."""
        asked = self._asked.open.get(reply.req)
        if asked is None:
            return None, []
        asked.waiting.replies.append(reply)
        return self.take(reply.req), asked.waiting.replies

    def _end(self, waiting: _Waiting) -> Received:
        event = waiting.event
        del self._waiting[event.peer, event.message.req]  # type: ignore[union-attr]
        return event

    # ------------------------------------------------------------ giving up

    def forget(self, peer: PeerName, req: int) -> None:
        """Nobody waits for the answer to this request any more."""
        waiting = self._waiting.pop((peer, req), None)
        if waiting is not None:
            self._asked.drop(lambda asked: asked.waiting is waiting)

    def lose(self, peer: PeerName) -> None:
        """A peer is gone: its requests wait for nothing."""
        for name, req in list(self._waiting):
            if name == peer:
                self.forget(name, req)

    def clear(self) -> list[Received]:
        """Give out all that waits."""
        events = [waiting.event for waiting in self._waiting.values()]
        self._asked.open.clear()
        self._waiting.clear()
        return events


def merged_history(req: int, replies: list[HistoryReply], versions_max: int) -> HistoryReply:
    """The versions of a key that several stores have, the latest first.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Version
    >>> one, two, three = (Version(stamp, stamp, "c1", "lww", 3, {"s2": stamp}) for stamp in (1, 2, 3))
    >>> replies = [HistoryReply(1, [three, one]), HistoryReply(2, [three, two])]
    >>> both = merged_history(7, replies, versions_max=2)
    >>> [version.number for version in both.versions]
    [3, 2]
    """
    newest = _newest(replies)
    found = {(each.number, each.writer): each for reply in newest for each in reply.versions}
    versions = [found[name] for name in sorted(found, reverse=True)]
    return HistoryReply(req, versions[:versions_max], newest[0].generation)


def merged_version(req: int, replies: list[VersionReply | Failed]) -> VersionReply | Failed:
    """The version that one of several stores has; else why it cannot be had, if one says so."""
    failed = [reply for reply in replies if isinstance(reply, Failed)]
    found = _newest([reply for reply in replies if isinstance(reply, VersionReply)])
    had = [reply for reply in found if reply.entry is not None]
    answers: list[VersionReply | Failed] = [*had, *failed, *found]
    answers[0].req = req
    return answers[0]


Said = TypeVar("Said", HistoryReply, VersionReply)


def _newest(replies: list[Said]) -> list[Said]:
    """What those say who know of the key's last deletion."""
    generation = max((reply.generation for reply in replies), default=0)
    return [reply for reply in replies if reply.generation == generation]


@dataclass
class _Known:
    """What several stores say of a key."""

    lattice: str = ""
    size: int = 0
    readers: dict[PeerName, None] = field(default_factory=dict)
    versions: int = 0
    replicas: int = 0


def merged_keys(req: int, replies: list[KeysReply]) -> KeysReply:
    """One list of the keys of several stores.

    Examples
    --------
    >>> here = KeysReply(1, ["a"], ["lww"], [3], [["e1"]], [2], [1])
    >>> there = KeysReply(2, ["a"], ["lww"], [3], [["e2"]], [1], [1])
    >>> merged_keys(7, [here, there])
    KeysReply(req=7, keys=['a'], lattices=['lww'], sizes=[3], readers=[['e1', 'e2']], versions=[2], ...)
    """
    found: dict[str, _Known] = {}
    for reply in replies:
        for index, key in enumerate(reply.keys):
            known = found.setdefault(key, _Known())
            known.lattice, known.size = reply.lattices[index], reply.sizes[index]
            known.readers.update(dict.fromkeys(reply.readers[index]))
            known.versions = max(known.versions, reply.versions[index])
            known.replicas += reply.replicas[index]
    keys = sorted(found)
    each = [found[key] for key in keys]
    return KeysReply(
        req,
        keys,
        [known.lattice for known in each],
        [known.size for known in each],
        [list(known.readers) for known in each],
        [known.versions for known in each],
        [known.replicas for known in each],
    )
