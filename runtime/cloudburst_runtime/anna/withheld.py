"""Answers and updates that a store keeps back until another store has what they show.

Law: what was kept back is given out once, in the order in which it came for its key; whether it may be is
said by whoever asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

from cloudburst_runtime.effects import Send


class Kept(NamedTuple):
    """A message that was kept back, and the changes that it shows: keys, and numbers of changes."""

    send: Send
    shows: list[tuple[str, int]]


class Withheld:
    """What is kept back, by a key for which it is.

    Examples
    --------
    >>> from cloudburst_runtime.messages import PutReply
    >>> withheld = Withheld()
    >>> withheld.add(Kept(Send("c1", PutReply(1, generation=0, seq=7)), [("k", 7)]))
    >>> withheld.keys, len(withheld.take("k")), withheld.keys
    (['k'], 1, [])
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[Kept]] = {}

    def add(self, kept: Kept) -> None:
        """Keep it back for the first of the keys that it shows."""
        self._kept.setdefault(kept.shows[0][0], []).append(kept)

    @property
    def keys(self) -> list[str]:
        """The keys for which something is kept back."""
        return list(self._kept)

    def take(self, key: str) -> list[Kept]:
        """What is kept back for a key, which is not any more."""
        return self._kept.pop(key, [])
