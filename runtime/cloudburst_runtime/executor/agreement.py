"""How parallel steps of a call agree on the version of a key, mostly without a word.

Law: a step reads a key by itself only as it was when the attempt began, and only until its home has asked.
All else the home decides, once it has asked all who might have done so.

An entry that includes all changes of its key up to some point, and none after it, is what the key was then:
whoever has such an entry has the same. So a step that finds a key *unchanged* since its attempt began need
not ask anybody. Else the home decides, which first *claims* the key: it asks the other executors of such
steps whether one of them has read it unchanged, in which case that is the version, and they ask the home
from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from cloudburst_runtime.effects import SetTimer
from cloudburst_runtime.executor.bounded import BoundedDict
from cloudburst_runtime.executor.tasks import Attempt, Task
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices.wrap import is_lost
from cloudburst_runtime.messages import Claim, Claimed, Entry, Session
from cloudburst_runtime.scheduler.dag import alone
from cloudburst_runtime.unanswered import Question, Unanswered
from cloudburst_runtime.vectors import Vector, covers

Effects = list[Any]
Then: TypeAlias = Callable[[Entry | None, Millis], Effects]

ATTEMPTS_KEPT_MIN = 1024
"""Attempts for which something is kept, at least."""

TIMER = "claims"


def unchanged(entry: Entry, start: Vector) -> bool:
    """Whether an entry that includes all changes up to ``start`` includes none that came later.

    Of a key that is absent this cannot be said: that it was deleted is forgotten after a while.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> entry = Entry(0, Max(7), {"node": 4})
    >>> unchanged(entry, {"node": 4}), unchanged(entry, {"node": 3})
    (True, False)
    """
    return entry.lattice is not None and bool(entry.version) and covers(start, entry.version)


def is_contested(entry: Entry, start: Vector, wrote: bool) -> bool:
    """Whether others may have read another version by themselves, unless the call ``wrote`` the key."""
    return bool(start) and not wrote and not unchanged(entry, start)


class _Question(Question):
    """One claim at one executor, and the round that it belongs to."""

    __slots__ = ("round",)

    def __init__(self, holder: PeerName, claim: Claim, round: _Round) -> None:
        super().__init__(holder, claim)
        self.round = round


class _Round(msgspec.Struct):
    """A key that is claimed: how many have not answered, and what one of them has read."""

    attempt: Attempt
    then: Then
    left: int
    found: Entry | None = None


class Claims:
    """What one executor has claimed as a home, and what others have claimed here.

    Parameters
    ----------
    name
        The executor's name.
    resend_ms
        The first interval after which an unanswered claim is sent again.
    next_req
        The source of request numbers.
    """

    def __init__(self, name: PeerName, resend_ms: Millis, next_req: Callable[[], int]) -> None:
        self._name = name
        self._next_req = next_req
        self._questions: Unanswered[_Question] = Unanswered(resend_ms)
        self._given: BoundedDict[Attempt, dict[str, None]] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._armed = False

    @property
    def pending(self) -> int:
        """Claims that were not answered."""
        return len(self._questions.open)

    @property
    def attempts(self) -> list[Attempt]:
        """Those for which something is kept."""
        return [*self._given, *(question.round.attempt for question in self._questions.open.values())]

    # ------------------------------------------------------------ what others decide

    def give(self, attempt: Attempt, key: str) -> None:
        """The home decides on this key from now on."""
        self._given.setdefault(attempt, {})[key] = None

    def is_given(self, attempt: Attempt, key: str) -> bool:
        """Whether the home decides on this key even if it is unchanged."""
        return key in self._given.get(attempt, ())

    # ------------------------------------------------------------ what is decided here

    def ask(self, attempt: Attempt, key: str, others: Iterable[PeerName], then: Then, now: Millis) -> Effects:
        """Claim a key at the others; ``then`` gets what one of them has read, once all have answered."""
        names = [name for name in others if name != self._name]
        if not names:
            return then(None, now)
        started = _Round(attempt, then, len(names))
        sends: Effects = []
        for name in names:
            claim = Claim(self._next_req(), self._name, *attempt, key)
            sends.append(self._questions.ask(_Question(name, claim, started), now))
        return [*sends, *self._arm()]

    def decide(
        self,
        attempt: Attempt,
        key: str,
        others: Iterable[PeerName],
        entry: Entry,
        then: Callable[[Entry, Millis], Effects],
        now: Millis,
    ) -> Effects:
        """What all read of a key that has changed: what one of them has read already, else ``entry``."""
        return self.ask(
            attempt, key, others, lambda read, later: then(entry if read is None else read, later), now
        )

    def on_claimed(self, message: Claimed, now: Millis) -> Effects:
        """One of the others has answered."""
        question = self._questions.take(message.req)
        if question is None:
            return []
        if message.entry is not None and is_lost(message.entry.lattice):
            question.message = msgspec.structs.replace(question.message, plain=True)
            return [self._questions.ask_again(question, now)]
        asked = question.round
        asked.left -= 1
        asked.found = asked.found or message.entry
        return asked.then(asked.found, now) if not asked.left else []

    def lose(self, holder: PeerName, now: Millis) -> Effects:
        """An executor is gone: what it had read counts no more, for its calls begin other attempts."""
        gone = self._questions.sent_to(holder)
        return [effect for each in gone for effect in self.on_claimed(Claimed(each.message.req, None), now)]

    def release(self, attempt: Attempt) -> None:
        """This attempt is over."""
        if self._given:
            self._given.pop(attempt, None)
        if self._questions.open:
            self._questions.drop(lambda question: question.round.attempt == attempt)

    def on_timer(self, now: Millis) -> Effects:
        """Send again what was not answered."""
        self._armed = False
        return [*self._questions.overdue(now), *self._arm()]

    def _arm(self) -> Effects:
        due = self._questions.due
        if self._armed or due is None:
            return []
        self._armed = True
        return [SetTimer(TIMER, due)]


class Agreement:
    """Who says what a step reads of a key that its call has not read yet.

    Parameters
    ----------
    name
        The executor's name, of whose tasks this is asked.
    claims
        What others decide.
    """

    def __init__(self, name: PeerName, claims: Claims) -> None:
        self._name = name
        self._claims = claims
        self._alone: BoundedDict[int, tuple[bool, ...]] = BoundedDict(ATTEMPTS_KEPT_MIN)

    def asks(self, task: Task, session: Session, key: str, entry: Entry) -> bool:
        """Whether a task is to ask others before it reads this entry of the key."""
        if self.decides(task):
            contested = is_contested(entry, session.start, key in session.wrote)
            return contested and session.home == self._name and not self._is_alone(task)
        return not (self.is_free(task, key) and unchanged(entry, session.start))

    def decides(self, task: Task) -> bool:
        """Whether what this task reads first may be fixed at this executor."""
        assert task.session is not None, task
        return task.session.home in ("", self._name) or self._is_alone(task)

    def is_apart(self, task: Task) -> bool:
        """Whether what this task reads first is its own business as long as it runs.

        At ``atomic`` others must know at once what was read: a value that is due is put for all to read.
        """
        assert task.session is not None, task
        return task.session.level == "dsrr" and self._is_alone(task)

    def is_free(self, task: Task, key: str) -> bool:
        """Whether a step that does not decide may read the key by itself, should it be unchanged."""
        session = task.session
        assert session is not None, task
        if self._name not in session.beside or key in session.wrote:
            return False
        return not self._claims.is_given(task.id[:3], key)

    def _is_alone(self, task: Task) -> bool:
        """Whether every other step is before this one or after it."""
        known = task.known
        assert known is not None, task
        found = self._alone.get(known.plan.number)
        if found is None:
            found = self._alone[known.plan.number] = alone(known.plan, known.topology)
        return found[task.id.node]
