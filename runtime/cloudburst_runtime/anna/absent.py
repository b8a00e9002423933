"""Requests for what only a store may have that is away.

Law: they wait some time, for it may be about to come back, and are then refused with an error that says whom
they wait for. A ring that says otherwise gives them out before that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Estate, Failed, Failure


class Absent:
    """The requests that wait, by who asked.

    Parameters
    ----------
    wait_ms
        How long each of them waits.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Get
    >>> absent = Absent(5_000.0)
    >>> absent.wait(Received("c1", Get(7, ["k"])), "key 'k' is away", now=0.0)
    >>> absent.due, absent.overdue(4_000.0)
    (5000.0, [])
    >>> [refused] = absent.overdue(5_000.0)
    >>> refused.peer, refused.message.req, refused.message.failure.message, absent.due
    ('c1', 7, "key 'k' is away", None)
    """

    def __init__(self, wait_ms: Millis) -> None:
        self._wait_ms = wait_ms
        self._waiting: dict[tuple[PeerName, int], tuple[Received, str, Millis]] = {}

    def wait(self, event: Received, why: str, now: Millis) -> None:
        """Let a request wait, unless it does already."""
        message: Any = event.message
        self._waiting.setdefault((event.peer, message.req), (event, why, now + self._wait_ms))

    @property
    def due(self) -> Millis | None:
        """When to look who has waited long enough."""
        return min((due for _, _, due in self._waiting.values()), default=None)

    def overdue(self, now: Millis) -> list[Send]:
        """Refuse whoever has waited long enough."""
        late = [(asker, why) for asker, (_, why, due) in self._waiting.items() if due <= now]
        for asker, _ in late:
            del self._waiting[asker]
        return [Send(peer, Failed(req, Failure("StorageError", why))) for (peer, req), why in late]

    def clear(self) -> list[Received]:
        """Give out all that waits."""
        events = [event for event, _, _ in self._waiting.values()]
        self._waiting.clear()
        return events

    def forget(self, peer: PeerName, req: int) -> None:
        """Nobody waits for the answer to this request any more."""
        self._waiting.pop((peer, req), None)

    def lose(self, peer: PeerName) -> None:
        """A peer is gone: its requests wait for nothing."""
        for asker in [asker for asker in self._waiting if asker[0] == peer]:
            del self._waiting[asker]


def reason(key: str, names: Sequence[PeerName], estates: Mapping[PeerName, Estate]) -> str:
    """Why a key cannot be had, for people.

    Examples
    --------
    >>> reason("k", ["s3"], {"s3": Estate("bee")})
    "key 'k' may be on the disk of s3 on bee only, which is away: start the store again there, on its ..."
    """
    where = " and ".join(f"{name} on {estates[name].host}" for name in names)
    return (
        f"key {key!r} may be on the disk of {where} only, which is away: start the store again there, on its "
        f"--state-dir (cloudburst-nb store), or give it up with cb.remove_store({names[0]!r})"
    )
