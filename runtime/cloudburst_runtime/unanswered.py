"""What was asked of other processes and is not answered yet, and when to ask again.

Law: a question is sent until it is taken out or dropped, first after ``resend_ms`` and then after twice as
long each time, up to `BACKOFF_MAX` times that. What it is about says a subclass of `Question`, and whoever
asks knows when nobody wants the answer any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import Millis, PeerName

BACKOFF_MAX = 10
"""The longest interval, in first intervals."""


class Question:
    """A message to ``peer``, whose ``req`` is the question's number."""

    __slots__ = ("due", "interval", "message", "peer")
    message: Any

    def __init__(self, peer: PeerName, message: Any) -> None:
        self.peer = peer
        self.message = message
        self.interval: Millis = 0.0
        self.due: Millis = 0.0


Q = TypeVar("Q", bound=Question)


class Unanswered(Generic[Q]):
    """Questions under way.

    Parameters
    ----------
    resend_ms
        The first interval after which a question is sent again.

    Attributes
    ----------
    open
        The questions, by number.

    Examples
    --------
    >>> from cloudburst_runtime.messages import Keys
    >>> unanswered: Unanswered[Question] = Unanswered(resend_ms=1000.0)
    >>> unanswered.ask(Question("node", Keys(5)), now=0.0).peer
    'node'
    >>> unanswered.overdue(now=999.0), len(unanswered.overdue(now=1000.0)), unanswered.due
    ([], 1, 3000.0)
    >>> unanswered.take(5) is None, unanswered.take(5) is None, unanswered.due is None
    (False, True, True)
    """

    def __init__(self, resend_ms: Millis) -> None:
        self._resend_ms = resend_ms
        self.open: dict[int, Q] = {}

    def ask(self, question: Q, now: Millis) -> Send:
        """Send a question, and keep it until `take`."""
        question.interval = self._resend_ms
        return self.ask_again(question, now)

    def ask_again(self, question: Q, now: Millis) -> Send:
        """Send it as it is now, though it is not overdue or has been taken out."""
        question.due = now + question.interval
        self.open[question.message.req] = question
        return Send(question.peer, question.message)

    def take(self, req: int) -> Q | None:
        """Remove and return the question of this number, if it is not answered yet: now it is."""
        return self.open.pop(req, None)

    def drop(self, unwanted: Callable[[Q], bool]) -> None:
        """Nobody waits any more for the answers to these."""
        self.open = {req: question for req, question in self.open.items() if not unwanted(question)}

    def overdue(self, now: Millis) -> list[Send]:
        """What to send again."""
        late = [question for question in self.open.values() if question.due <= now]
        for question in late:
            question.interval = min(2 * question.interval, BACKOFF_MAX * self._resend_ms)
            question.due = now + question.interval
        return [Send(question.peer, question.message) for question in late]

    @property
    def due(self) -> Millis | None:
        """When to look for what is overdue."""
        return min((question.due for question in self.open.values()), default=None)

    def sent_to(self, peer: PeerName) -> list[Q]:
        """What this peer has not answered."""
        return [question for question in self.open.values() if question.peer == peer]
