"""Sessions of a notebook: at which consistency level its reads, writes and calls are made.

Law: a session is in force in the thread (or the asyncio task) that has entered it, for one client: the
innermost of that client, whatever sessions of other clients were entered meanwhile.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.client.session import ClientSession

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

ENTERED: ContextVar[Session | None] = ContextVar("cloudburst_session", default=None)
"""The innermost session that was entered; None, the common case, outside of all."""
_BEFORE: ContextVar[tuple[Session | None, ...]] = ContextVar("cloudburst_sessions_before", default=())
"""What was in force when each of those was entered that have not been left."""


class Session:
    """A level, and what has been seen at it. Made by `Client.session`; used with ``with``.

    It may be entered again, also in several threads at once, and then goes on from what it had seen. At
    ``"atomic"``, whoever enters it while nobody is inside begins a new block, which reads anew.

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
        _BEFORE.set((*_BEFORE.get(), ENTERED.get()))
        ENTERED.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if ENTERED.get() is not self:
            raise RuntimeError(f"{self!r} is not the one that this thread or task has entered last")
        if self._seen.block is not None:
            with self._client._shell.loop.lock:
                self._inside -= 1
        *others, before = _BEFORE.get()
        _BEFORE.set(tuple(others))
        ENTERED.set(before)

    def __repr__(self) -> str:
        return f"<cloudburst session at {self.level}>"


def current(client: Any) -> ClientSession | None:
    """What the session of ``client`` that is in force has seen; None if there is none."""
    session = ENTERED.get()
    if session is None:
        return None
    for entered in (session, *reversed(_BEFORE.get())):
        if entered is not None and entered._client is client:
            return entered._seen
    return None
