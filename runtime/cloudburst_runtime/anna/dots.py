"""The dots of one writer: which number its next causal write of each key has.

Law: a dot is given out once. Numbers count per key and generation, without gaps as far as possible, because
a context without gaps is a number per writer. After a write that was refused, and after its tally was
dropped to make room, a key's next dots are under a fresh writer's name.
"""

from __future__ import annotations

from typing import NamedTuple

from cloudburst_runtime.ids import Micros, PeerName

DOTS_MAX = 100_000
"""Keys whose numbers one writer keeps."""


class Dot(NamedTuple):
    """A write among those of its key."""

    writer: PeerName
    number: int


class Dots:
    """The numbers of one writer.

    Parameters
    ----------
    writer
        The writer's name; no other process may ever write to the same store under it.

    Examples
    --------
    >>> dots = Dots("e1")
    >>> dots.next("k", 0), dots.next("k", 0)
    (Dot(writer='e1', number=1), Dot(writer='e1', number=2))
    >>> dots.abandon("k")
    >>> dots.next("k", 0)
    Dot(writer='e1~1', number=1)
    """

    def __init__(self, writer: PeerName, keys_max: int = DOTS_MAX) -> None:
        self._writer = writer
        self._lives = 0
        self._keys_max = keys_max
        self._last: dict[str, tuple[Micros, Dot]] = {}

    def generation(self, key: str) -> Micros:
        """The generation of the key's latest dot; 0 if none is known."""
        return self._last[key][0] if key in self._last else 0

    def next(self, key: str, generation: Micros) -> Dot:
        """The dot of another write of the key in that generation."""
        known, last = self._last.pop(key, (generation, None))
        if last is None or known != generation:
            last = Dot(f"{self._writer}~{self._lives}" if self._lives else self._writer, 0)
        dot = Dot(last.writer, last.number + 1)
        self._last[key] = (generation, dot)
        if len(self._last) > self._keys_max:
            self._last = dict(list(self._last.items())[self._keys_max // 2 :])  # half at once: names are few
            self._lives += 1
        return dot

    def abandon(self, key: str) -> None:
        """A write of the key was refused: its number is left out, and the key's next dots are new."""
        if self._last.pop(key, None) is not None:
            self._lives += 1
