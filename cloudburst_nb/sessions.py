"""Sessions of a notebook: at which consistency level its reads, writes and calls are made.

Law: a session is in force in the thread (or the asyncio task) that has entered it, for one client.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.client.session import ClientSession

if TYPE_CHECKING:
    from cloudburst_nb.client import Client

ENTERED: ContextVar[Session | None] = ContextVar("cloudburst_session", default=None)
"""The innermost session that was entered; None, the common case, outside of all."""


class Session:
    """A level, and what has been seen at it. Made by `Client.session`; used with ``with``.

    It may be entered again, and then goes on from what it had seen.

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
        self._tokens: list[Token[Session | None]] = []

    def __enter__(self) -> Session:
        self._tokens.append(ENTERED.set(self))
        return self

    def __exit__(self, *exc: object) -> None:
        ENTERED.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"<cloudburst session at {self.level}>"


def current(client: Any) -> ClientSession | None:
    """What the session of ``client`` that is in force has seen; None if there is none."""
    session = ENTERED.get()
    return session._seen if session is not None and session._client is client else None
