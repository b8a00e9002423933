"""Acknowledgements that a store keeps back until another one has what they are for.

Law: an acknowledgement that was kept back is given out once. What was put into a generation that has ended
meanwhile is answered with the one that has begun, and so put again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import Micros
from cloudburst_runtime.messages import PutReply


class _Kept(NamedTuple):
    send: Send
    is_put: bool


class Withheld:
    """The acknowledgements, by key.

    Examples
    --------
    >>> withheld = Withheld()
    >>> withheld.add("k", Send("c1", PutReply(1, generation=0, seq=7)), is_put=True)
    >>> [send] = withheld.release("k", generation=99)
    >>> send.message.generation, withheld.waiting()
    (99, [])
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[_Kept]] = {}

    def add(self, key: str, send: Send, is_put: bool) -> None:
        """Keep an acknowledgement back."""
        self._kept.setdefault(key, []).append(_Kept(send, is_put))

    def waiting(self) -> list[str]:
        """The keys for which some are kept back."""
        return list(self._kept)

    def release(self, key: str, generation: Micros) -> list[Send]:
        """Give out those of a key, which is now in this generation."""
        return list(self._settled(self._kept.pop(key, ()), generation))

    @staticmethod
    def _settled(kept: Iterable[_Kept], generation: Micros) -> Iterable[Send]:
        for send, is_put in kept:
            reply = send.message
            assert isinstance(reply, PutReply)
            if is_put and generation > reply.generation:
                reply.generation = generation
            yield send
