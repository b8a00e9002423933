"""The answers to requests that change something, kept so that a repetition acts only once.

Law: bounded per client, and dropped with the client.
"""

from __future__ import annotations

from collections import OrderedDict

from cloudburst_runtime.errors import CloudburstError
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Failed, Failure, Message

REPLIES_KEPT_MAX = 1_000


def refusal(req: int, error: CloudburstError) -> Failed:
    """The answer to a request that fails with ``error``."""
    return Failed(req, Failure(type(error).__name__, str(error)))


class Replies:
    """What each client was answered, by the number of its request.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Done
    >>> replies = Replies()
    >>> replies.keep("c1", 7, Done(7))
    >>> replies.of("c1", 7), replies.of("c1", 8)
    (Done(req=7), None)
    """

    def __init__(self) -> None:
        self._kept: dict[PeerName, OrderedDict[int, Message]] = {}

    def keep(self, client: PeerName, req: int, reply: Message) -> None:
        """Remember an answer."""
        kept = self._kept.setdefault(client, OrderedDict())
        kept[req] = reply
        while len(kept) > REPLIES_KEPT_MAX:
            kept.popitem(last=False)

    def of(self, client: PeerName, req: int) -> Message | None:
        """The answer to that request, if it was given."""
        kept = self._kept.get(client)
        return kept.get(req) if kept else None

    def forget(self, client: PeerName) -> None:
        """The client is lost."""
        self._kept.pop(client, None)
