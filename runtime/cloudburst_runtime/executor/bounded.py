"""A dict that forgets its oldest entries."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V]):
    """A dict of at most ``entries_max`` entries; a new one drops the oldest.

    Examples
    --------
    >>> kept = BoundedDict(2)
    >>> kept.update_one("a", 1), kept.update_one("b", 2), kept.update_one("c", 3)
    (None, None, None)
    >>> list(kept)
    ['b', 'c']
    """

    def __init__(self, entries_max: int) -> None:
        super().__init__()
        self.entries_max = entries_max

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self.entries_max:
            del self[next(iter(self))]

    def update_one(self, key: K, value: V) -> None:
        """Set one entry; the statement form of it."""
        self[key] = value
