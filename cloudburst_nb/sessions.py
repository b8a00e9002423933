"""Sessions of a notebook: at which consistency level its reads, writes and calls are made.

Law: a session is in force in the thread (or the asyncio task) that has entered it, for one client: the
innermost of that client, whatever sessions of other clients were entered meanwhile. It begins with what those
of the same client around it have seen, and they see what is done in it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudburst_runtime.client.session import ClientSession

if TYPE_CHECKING:
    from cloudburst_nb.client import Client


class Entered(NamedTuple):
    """A session that is in force somewhere, what it has seen there, and what was in force before."""

    session: Session
    seen: ClientSession
    before: Entered | None


ENTERED: ContextVar[Entered | None] = ContextVar("cloudburst_session", default=None)
"""What was entered last; None, the common case, outside of all."""


class Session:
    """A level, and what has been seen at it. Made by `Client.session`; used with ``with``.

    It may be entered again, also in several threads at once, and then goes on from what it had seen. Within
    another one, of whichever level, it goes on from what that has seen as well, and that one from what was
    read, written and called within. A thread is in no session but those that it enters, an asyncio task
    in those in which it was made. At ``"atomic"``, whoever enters it while nobody is inside begins a new
    block, which reads anew.

    Attributes
    ----------
    level : str
        The consistency level.

    Examples
    --------
    >>> session = cb.session("dsc")
    >>> with session:
    ...     cb.put("note", "first")
    >>> with session:
    ...     cb.put("note", "second")
    ...     cb.get("note", siblings=True)
    ['second']
    >>> with session, cb.session("sk"):
    ...     cb.put("note", "third")
    ...     cb.get("note", siblings=True)
    ['third']
    """

    def __init__(self, client: Client, level: str) -> None:
        self.level = level
        self._client = client
        self._seen = ClientSession(level)
        self._inside = 0  # how often it was entered and not left; counted where a block begins with it

    def __enter__(self) -> Session:
        if self._seen.block is not None:
            with self._client._shell.loop.lock:
                if not self._inside:
                    self._seen.block.begin()
                self._inside += 1
        around = current(self._client)
        seen = self._seen if around is None else self._seen.within(around)
        ENTERED.set(Entered(self, seen, ENTERED.get()))
        return self

    def __exit__(self, *exc: object) -> None:
        entered = ENTERED.get()
        if entered is None or entered.session is not self:
            raise RuntimeError(f"{self!r} is not the one that this thread or task has entered last")
        if self._seen.block is not None:
            with self._client._shell.loop.lock:
                self._inside -= 1
        ENTERED.set(entered.before)

    def __repr__(self) -> str:
        return f"<cloudburst session at {self.level}>"


def current(client: Any) -> ClientSession | None:
    """What the session of ``client`` that is in force has seen; None if there is none."""
    entered = ENTERED.get()
    while entered is not None:
        if entered.session._client is client:
            return entered.seen
        entered = entered.before
    return None
