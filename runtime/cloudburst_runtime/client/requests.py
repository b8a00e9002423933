"""What a client has asked the node and the store, and has no answer to yet.

Law: each request is sent until it is answered or nobody waits for it any more (`unanswered`); each answer
goes out as one `Answered`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cloudburst_runtime.anna.cache import Answer, CacheCore
from cloudburst_runtime.anna.meetings import Sights
from cloudburst_runtime.client.admission import Admission, Reading
from cloudburst_runtime.client.calls import Answered, Store
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, Timer
from cloudburst_runtime.ids import NODE, HybridClock, Millis, PeerName
from cloudburst_runtime.messages import Entry, Failed, Failure, GetVersion, History
from cloudburst_runtime.unanswered import Question, Unanswered
from cloudburst_runtime.vectors import Vector, joined

Effects = list[Any]


class _Asked(NamedTuple):
    """A store operation under way: whose session it is of, and what was asked."""

    session: ClientSession
    keys: list[str]
    kind: str


class Requests:
    """The requests of one client.

    Parameters
    ----------
    config, name, clock
        As of the client's core; the store's end is made with them.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Keys
    >>> requests = Requests(Config(resend_ms=1000.0), "c1", HybridClock(0))
    >>> requests.ask(Keys(requests.next_req()), now=0.0).peer
    'node'
    >>> requests.overdue(now=999.0), len(requests.overdue(now=1000.0))
    ([], 1)
    """

    def __init__(self, config: Config, name: PeerName, clock: HybridClock) -> None:
        self._req = 0
        self._own = ClientSession()
        self.sights = Sights()
        self._asked: dict[int, _Asked] = {}
        self.unanswered: Unanswered[Question] = Unanswered(config.resend_ms)
        self.store = CacheCore(config, name, clock, caching=False, next_req=self.next_req)
        self._admission = Admission(self.store, self.next_req, self.ask, self._shown)

    def next_req(self) -> int:
        """A fresh number for a request or a store operation."""
        self._req += 1
        return self._req

    # ------------------------------------------------------------ the node

    def ask(self, message: Any, now: Millis) -> Send:
        """Send a request, and keep it until it is answered."""
        return self.unanswered.ask(Question(self._peer_of(message), message), now)

    def _peer_of(self, message: Any) -> PeerName:
        """Whom to ask: a store about a key of its own, the node about all else."""
        return self.store.store_of(message.key) if isinstance(message, History | GetVersion) else NODE

    def take(self, req: int) -> bool:
        """This request is answered; False if it was not waited for."""
        return self.unanswered.take(req) is not None

    def overdue(self, now: Millis) -> Effects:
        """What to send again."""
        again = self.unanswered.overdue(now)
        return [Send(self._peer_of(send.message), send.message) for send in again]  # keys may have moved

    def answer_all(self, failure: Failure, now: Millis) -> Effects:
        """The node is gone, and the store with it."""
        asked = list(self.unanswered.open)
        self.unanswered.open.clear()
        answers = [effect for req in asked for effect in self._told(req, failure, now)]
        return answers + self._answered(self.store.fail(failure), now)

    # ------------------------------------------------------------ the store

    def on_store(self, event: Store, floor: Vector, now: Millis) -> Effects:
        """Begin a store operation; a read includes all changes up to ``floor``."""
        op, kind, given = event.op, event.kind, event.arguments
        session = event.session or self._own
        floor = joined(floor, session.floor)
        self._asked[op] = _Asked(session, given[0] if kind == "read" else [given[0]], kind)
        if kind == "read":
            return self._answered(self.store.read(op, given[0], floor, now), now)
        if kind == "write":
            key, lattice, *waits = given
            sync = waits[0] if waits else None
            terms = session.terms(key, floor, self.sights.of(key))
            return self._answered(self.store.write(op, key, lattice, now, sync, terms), now)
        return self._answered(self.store.delete(op, given[0], now), now)

    def forget(self, req: int, now: Millis) -> Effects:
        """Nobody waits for the answer of this request or operation any more."""
        self._asked.pop(req, None)
        effects: Effects = []
        for each in (req, *self._admission.forget(req)):
            self.take(each)
            effects += self.store.cancel(each)
        return self._answered(effects, now)

    def handle(self, event: Received | Timer | PeerLost, now: Millis) -> Effects:
        """Take an answer, the loss of a store, or whatever else may be for the store."""
        if isinstance(event, Received):
            message: Any = event.message
            req = getattr(message, "req", None)
            if req is not None and self.take(req):
                return self._told(req, message.failure if isinstance(message, Failed) else message, now)
        return self._answered(self.store.handle(event, now), now)

    def _told(self, req: int, answer: Any, now: Millis) -> Effects:
        """An answer is for who has asked, or for a read of a block that goes on from there."""
        follows = self._admission.told(req, answer, now)
        return [Answered(req, answer)] if follows is None else self._answered(follows, now)

    def _answered(self, effects: Effects, now: Millis) -> Effects:
        answered: Effects = []
        for effect in effects:
            if type(effect) is Answer:
                answered += self._answer(effect, now)
            else:
                answered.append(effect)
        return answered

    def _answer(self, answer: Answer, now: Millis) -> Effects:
        """What the store says becomes what the session sees."""
        op, result = answer.op, answer.result
        asked = self._asked.pop(op, None)
        if asked is None or isinstance(result, Failure):
            return self._told(op, result, now)
        session, keys = asked.session, asked.keys
        if asked.kind != "read":
            assert not isinstance(result, list), answer
            self.sights.note(keys[0], self.store.floor)
            session.wrote(keys[0], result, self.store.floor)
            return [Answered(op, None)]
        assert isinstance(result, list), answer
        if session.blocks:
            reading = Reading(op, session, keys, result)
            return self._answered(self._admission.admit(reading, now), now)
        for key, entry in zip(keys, result, strict=True):
            self.sights.note(key, entry.version)
        return [Answered(op, [session.read(*pair).lattice for pair in zip(keys, result, strict=True)])]

    def _shown(self, op: int, keys: list[str], entries: list[Entry]) -> Answered:
        """What a block reads may be older than what the store has, or be its own write."""
        for key, entry in zip(keys, entries, strict=True):
            if entry.version:
                self.sights.note(key, entry.version)
        return Answered(op, [entry.lattice for entry in entries])
