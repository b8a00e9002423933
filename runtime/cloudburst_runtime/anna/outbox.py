"""Requests that the store has not answered yet.

Law: this file does not know what the requests are for, beyond the fields below.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from cloudburst_runtime.anna.totals import Draft
from cloudburst_runtime.ids import NODE, Micros
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.causal import EMPTY, Context
from cloudburst_runtime.messages import Delete, Entry, Get, Put
from cloudburst_runtime.unanswered import Question, Unanswered
from cloudburst_runtime.vectors import Vector


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


class Request(Question):
    """One request under way, to a store. ``op`` is whom to answer; None once nobody asks any more."""

    __slots__ = ("op",)
    message: Get | Put | Delete

    def __init__(self, op: int | None, message: Get | Put | Delete) -> None:
        super().__init__(NODE, message)
        self.op = op


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


class Outbox(Unanswered[Request]):
    """The requests under way, by number.

    Examples
    --------
    >>> outbox = Outbox(resend_ms=1000.0)
    >>> outbox.ask(Request(1, Delete(req=5, key="k", stamp=7)), now=0.0)
    Send(peer='node', message=Delete(req=5, key='k', stamp=7))
    >>> outbox.take_as(Reading, 5) is None, outbox.take_as(Request, 5).op
    (True, 1)
    """

    def reads(self, key: str) -> list[Reading]:
        """The reads under way that may bring ``key`` into the cache."""
        return [
            request
            for request in self.open.values()
            if isinstance(request, Reading) and key in request.message.keys and key not in request.unheld
        ]

    def take_as(self, kind: type[R], req: int) -> R | None:
        """Remove and return the request of that number; None if there is none, or not of that kind."""
        request = self.open.get(req)
        if not isinstance(request, kind):
            return None
        del self.open[req]
        return request
