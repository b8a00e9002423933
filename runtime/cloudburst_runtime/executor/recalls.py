"""What an executor asks of those who keep what its tasks read, and of clients when that is in vain.

Law: a holder is asked again, ever less often, until it has answered, nobody waits for it, or the reading has
gone *astray*: then its attempt cannot be what its level promises, is read for no more, and its client is
asked for another attempt, until this one is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.agreement import Claims
from cloudburst_runtime.executor.tasks import Attempt, Task
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Astray, Due, Entry, Recall, Session
from cloudburst_runtime.unanswered import BACKOFF_MAX, Question, Unanswered

Effects = list[Any]

NOTHING_DUE: Mapping[str, Due] = {}

TIMER = "recall"


class Reading(msgspec.Struct):
    """A read of several keys by a task: what has been found so far."""

    op: int
    task: Task
    keys: list[str]
    wait: bool
    found: dict[str, Entry] = {}
    parts: list[int] = []
    """Operations of the cache that it waits for."""
    astray: bool = False
    """Whether it is never answered, because its attempt is to be given up."""

    @property
    def attempt(self) -> Attempt:
        """Whose reading it is."""
        return self.task.id[:3]

    @property
    def session(self) -> Session:
        """What its call knows of the store."""
        assert self.task.session is not None, self.task
        return self.task.session


class Asked(Question):
    """An entry that a holder was asked for."""

    __slots__ = ("reading",)
    message: Recall

    def __init__(self, holder: PeerName, recall: Recall, reading: Reading) -> None:
        super().__init__(holder, recall)
        self.reading = reading


class Recalls:
    """What one executor has asked for, and has not been given.

    Parameters
    ----------
    name
        The executor's name.
    resend_ms
        The first interval after which an unanswered recall is sent again.
    next_req
        The source of request numbers.
    claims
        Told which keys are left to a call's home.
    """

    def __init__(
        self, name: PeerName, resend_ms: Millis, next_req: Callable[[], int], claims: Claims
    ) -> None:
        self._name = name
        self._resend_ms = resend_ms
        self._next_req = next_req
        self._claims = claims
        self._asked: Unanswered[Asked] = Unanswered(resend_ms)
        self._astray: dict[Attempt, Astray] = {}
        self._armed = False

    @property
    def pending(self) -> int:
        """Recalls that were not answered."""
        return len(self._asked.open)

    @property
    def astray(self) -> list[Attempt]:
        """Those whose clients are asked for other ones."""
        return list(self._astray)

    # ------------------------------------------------------------ holders

    def ask(self, reading: Reading, key: str, holder: PeerName, now: Millis, fix: bool = False) -> Effects:
        """Ask a holder for what the reading's call reads of a key; ``fix``: which the holder may decide."""
        session, attempt = reading.session, reading.attempt
        floor, wait = reading.task.floor, fix and reading.wait
        wrote = session.wrote.get(key, {})
        recall = Recall(self._next_req(), self._name, *attempt, key, wrote, fix, floor, wait)
        recall.session = _read(session)
        if fix and session.start:
            recall.start, recall.beside = session.start, session.beside
            self._claims.give(attempt, key)
        return [self._asked.ask(Asked(holder, recall, reading), now), *self._arm(now + self._resend_ms)]

    def take(self, req: int) -> Asked | None:
        """What was asked for with this number, if it has not been answered: now it is."""
        return self._asked.take(req)

    def ask_plain(self, asked: Asked, now: Millis) -> Effects:
        """What has come lies where it cannot be read any more: ask once more, for the values themselves."""
        asked.message = msgspec.structs.replace(asked.message, plain=True)
        return [self._asked.ask_again(asked, now), *self._arm(asked.due)]

    def forget(self, op: int) -> None:
        """Nobody waits any more for the reading of this number."""
        self._asked.drop(lambda asked: asked.reading.op == op)

    def at(self, holder: PeerName) -> list[tuple[Reading, str]]:
        """The readings that wait for this holder, each with the key that it was asked for last."""
        asked = self._asked.sent_to(holder)
        last = {each.reading.op: (each.reading, each.message.key) for each in asked}
        return list(last.values())

    # ------------------------------------------------------------ clients

    def go_astray(
        self,
        reading: Reading,
        why: str,
        now: Millis,
        due: Mapping[str, Due] = NOTHING_DUE,
        lost: bool = False,
    ) -> Effects:
        """Ask the client of this reading's attempt for another one, until it is over."""
        reading.astray = True
        self.forget(reading.op)
        _, number, attempt = reading.attempt
        free = reading.session.level == "atomic"
        self._astray[reading.attempt] = Astray(number, attempt, self._name, why, free, lost, dict(due))
        return [*self._say_astray(), *self._arm(now + self._resend_ms)]

    def release(self, attempt: Attempt) -> None:
        """This attempt is over: its client need not be asked."""
        self._astray.pop(attempt, None)

    def _say_astray(self) -> Effects:
        return [Send(client, message) for (client, _, _), message in self._astray.items()]

    # ------------------------------------------------------------ again

    def on_timer(self, now: Millis) -> Effects:
        """Send again what was not answered."""
        self._armed = False
        effects = [*self._asked.overdue(now), *self._say_astray()]
        dues = [] if self._asked.due is None else [self._asked.due]
        dues += [now + BACKOFF_MAX * self._resend_ms] if self._astray else []
        return [*effects, *(self._arm(min(dues)) if dues else [])]

    def _arm(self, due: Millis) -> Effects:
        if self._armed:
            return []
        self._armed = True
        return [SetTimer(TIMER, due)]


def _read(session: Session) -> Session | None:
    """At ``atomic``, what the call has read so far."""
    if session.level != "atomic":
        return None
    return Session("atomic", fixed=session.fixed, due=session.due)
