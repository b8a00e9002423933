"""Requests that the store has not answered yet, and when to send them again.

Law: a request is sent until it is taken out, first after ``resend_ms`` and then after twice as long each
time, up to ten times that; this file does not know what the requests are for, beyond the fields below.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from cloudburst_runtime.anna.totals import Draft
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import NODE, Micros, Millis, PeerName
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.causal import EMPTY, Context
from cloudburst_runtime.messages import Delete, Entry, Get, Put
from cloudburst_runtime.vectors import Vector

BACKOFF_MAX = 10
"""The longest interval, in first intervals."""


class Terms(NamedTuple):
    """What a session's write comes with.

    Attributes
    ----------
    deps
        The changes that whoever reads it must find.
    generation, seen
        The writes of this key that a causal write replaces: what its session has seen in that generation.
    once
        Whether to refuse it if the key exists, or did.
    known
        The changes that the writer may have known of when it wrote.
    """

    deps: Vector
    generation: Micros = 0
    seen: Context = EMPTY
    once: bool = False
    known: Vector = {}  # noqa: RUF012


class Request:
    """One request under way, to ``store``. ``op`` is whom to answer; None once nobody asks any more."""

    __slots__ = ("due", "interval", "message", "op", "store")
    message: Get | Put | Delete

    def __init__(self, op: int | None, message: Get | Put | Delete) -> None:
        self.op = op
        self.message = message
        self.store: PeerName = NODE
        self.interval: Millis = 0.0
        self.due: Millis = 0.0


R = TypeVar("R", bound=Request)


class Reading(Request):
    """Keys being read: ``found`` already, and the rest in ``message``.

    ``parts``, if several stores were asked, are the readings of the same operation that are under way, this
    one among them. They share the list, and what was found. ``floor``: of the whole operation.
    """

    __slots__ = ("confirmed", "epoch", "floor", "found", "keys", "lost", "parts", "unheld")
    message: Get

    def __init__(
        self, op: int, message: Get, keys: list[str], found: dict[str, Entry], epoch: int, confirmed: bool
    ) -> None:
        super().__init__(op, message)
        self.keys = keys
        self.found = found
        self.epoch = epoch  # of the cache when the request was made, and whether it was confirmed
        self.confirmed = confirmed
        self.parts: list[Reading] = []
        self.floor: Vector = {}
        self.lost = False  # whether the answer named memory that has the value no longer
        self.unheld: dict[str, None] = {}  # no longer watched, whatever the answer says


class Change(Request):
    """A write or a deletion."""

    __slots__ = ()
    message: Put | Delete


class Writing(Change):
    """A put of ``delta``; of a counter, by way of ``draft``; of a session, on its ``terms``."""

    __slots__ = ("delta", "draft", "terms")
    message: Put

    def __init__(
        self,
        op: int | None,
        message: Put,
        delta: AnyLattice,
        draft: Draft | None,
        terms: Terms,
    ) -> None:
        super().__init__(op, message)
        self.delta = delta
        self.draft = draft
        self.terms = terms


class Outbox:
    """The requests under way, by number.

    Examples
    --------
    >>> outbox = Outbox(resend_ms=1000.0)
    >>> outbox.post(Request(1, Delete(req=5, key="k", stamp=7)), now=0.0)
    Send(peer='node', message=Delete(req=5, key='k', stamp=7))
    >>> outbox.overdue(now=999.0), len(outbox.overdue(now=1000.0)), outbox.earliest()
    ([], 1, 3000.0)
    """

    def __init__(self, resend_ms: Millis) -> None:
        self._resend_ms = resend_ms
        self.requests: dict[int, Request] = {}

    def post(self, request: Request, now: Millis, store: PeerName = NODE) -> Send:
        """Send a request to a store, and keep it until `take`."""
        request.store = store
        request.interval = self._resend_ms
        request.due = now + self._resend_ms
        self.requests[request.message.req] = request
        return Send(store, request.message)

    def overdue(self, now: Millis) -> list[Send]:
        """What to send again."""
        again = [request for request in self.requests.values() if request.due <= now]
        for request in again:
            request.interval = min(2 * request.interval, BACKOFF_MAX * self._resend_ms)
            request.due = now + request.interval
        return [Send(request.store, request.message) for request in again]

    def sent_to(self, store: PeerName) -> list[Request]:
        """What this store has not answered."""
        return [request for request in self.requests.values() if request.store == store]

    def earliest(self) -> Millis | None:
        """When the next request is due again."""
        return min((request.due for request in self.requests.values()), default=None)

    def reads(self, key: str) -> list[Reading]:
        """The reads under way that may bring ``key`` into the cache."""
        return [
            request
            for request in self.requests.values()
            if isinstance(request, Reading) and key in request.message.keys and key not in request.unheld
        ]

    def take(self, req: int, kind: type[R]) -> R | None:
        """Remove and return the request of that number; None if there is none, or not of that kind."""
        request = self.requests.get(req)
        if not isinstance(request, kind):
            return None
        del self.requests[req]
        return request
