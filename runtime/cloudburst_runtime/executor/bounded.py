"""A dict that forgets its oldest entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V]):
    """A dict that keeps at least the newest ``entries_min`` entries, and never more than twice as many.

    It forgets in bulk, so that an entry costs no more than in a plain dict; ``forgotten`` is told which.

    Examples
    --------
    >>> kept = BoundedDict(2)
    >>> for key in "abcde":
    ...     kept[key] = 0
    >>> list(kept)
    ['d', 'e']
    """

    def __init__(self, entries_min: int, forgotten: Callable[[list[K]], None] | None = None) -> None:
        super().__init__()
        self.entries_min = entries_min
        self._entries_max = 2 * entries_min
        self._forgotten = forgotten

    def __setitem__(self, key: K, value: V) -> None:
        dict.__setitem__(self, key, value)
        if len(self) > self._entries_max:
            self._forget()

    def setdefault(self, key: K, default: V) -> V:
        """As of a dict, also if several threads do it at once."""
        value = dict.setdefault(self, key, default)
        if len(self) > self._entries_max:
            self._forget()
        return value

    def _forget(self) -> None:
        dropped = list(self)[: -self.entries_min]
        for old in dropped:
            del self[old]
        if self._forgotten is not None:
            self._forgotten(dropped)
