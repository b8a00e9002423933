"""Which descriptors are ready: the system's own ways of waiting behind one face.

Law: descriptors and flags; what they belong to is not known here.
"""

from __future__ import annotations

import select

from cloudburst_runtime.shell import processors
from cloudburst_runtime.shell.spinning import Roaming, Spin


class Poller:
    """epoll where there is one, poll elsewhere; both level-triggered."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._poll = None if self._epoll else select.poll()
        self._spin: Spin | None = None

    def spin_for(self, limit_us: float, turns_max: int) -> None:
        """From now on, let an eager `poll` look for so long before it sleeps; with epoll only."""
        if self._epoll is not None and limit_us:
            roaming = Roaming(turns_max, processors.leave)
            self._spin = Spin(self._epoll.poll, limit_us, processors.to_spare, roaming, processors.staying)

    @property
    def live(self) -> bool:
        """Whether a change takes effect in a wait that has begun already."""
        return self._epoll is not None

    def add(self, fd: int) -> None:
        (self._epoll or self._poll).register(fd, select.POLLIN)  # type: ignore[union-attr]

    def want_write(self, fd: int, wanted: bool) -> None:
        mask = select.POLLIN | select.POLLOUT if wanted else select.POLLIN
        (self._epoll or self._poll).modify(fd, mask)  # type: ignore[union-attr]

    def remove(self, fd: int) -> None:
        (self._epoll or self._poll).unregister(fd)  # type: ignore[union-attr]

    def poll(self, timeout_ms: float | None, eager: bool = False) -> list[tuple[int, int]]:
        if self._epoll is not None:
            wait = self._spin.wait if eager and self._spin is not None else self._epoll.poll
            return wait(-1 if timeout_ms is None else timeout_ms / 1000)
        assert self._poll is not None
        return self._poll.poll(timeout_ms)

    def fileno(self) -> int:
        return self._epoll.fileno() if self._epoll is not None else -1

    def close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
