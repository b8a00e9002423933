"""Tasks on their way to executors, put together so that what goes to one of them goes in few messages.

Law: to each executor the tasks go in the order in which they were added, and a task that goes together with
others is what it would be by itself. A message is bounded, so that an executor begins with the first tasks
while the last are still on their way, and large arguments travel alone, where they are not copied.
"""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import PeerName
from cloudburst_runtime.messages import Args, Call, Calls, Header

TOGETHER_BYTES_MAX = 8_192
"""How large the arguments in one message become; larger ones go by themselves."""


class Gathered:
    """First attempts of a client's calls of one node, at ``lww``; or the nodes of one attempt of one call.

    Attributes
    ----------
    sends
        The messages so far.
    count
        How many tasks are in them.

    Examples
    --------
    >>> from cloudburst_runtime.values import encode
    >>> gathered, args = Gathered(), Args(encode(((), {})))
    >>> for number in (1, 2, 3):
    ...     gathered.add("e1", Header("c1", number, 0, 1, ["e1"]), 0, args)
    >>> [(send.peer, send.message.numbers) for send in gathered.sends]
    [('e1', [1, 2, 3])]
    """

    def __init__(self) -> None:
        self.sends: list[Send] = []
        self.count = 0
        self._open: dict[PeerName, _Open] = {}

    def add(self, peer: PeerName, header: Header, node: int, args: Args) -> None:
        """One more task, for ``peer``."""
        self.count += 1
        size = _size(args)
        opened = self._open.get(peer)
        if opened is None or opened.size + size > TOGETHER_BYTES_MAX or not _alike(opened.header, header):
            self._open[peer] = _Open(len(self.sends), size, header)
            self.sends.append(Send(peer, Call(header, node, args)))
            return
        opened.size += size
        message: Any = self.sends[opened.place].message
        if type(message) is Call:
            message = Calls(message.header, [message.header.number], [message.node], [message.args])
            self.sends[opened.place] = Send(peer, message)
        message.numbers.append(header.number)
        message.nodes.append(node)
        message.args.append(args)

    def take(self) -> list[Send]:
        """The messages, which leave now."""
        sends, self.sends = self.sends, []
        self.count = 0
        self._open.clear()
        return sends


class _Open:
    """The message to which the next task of an executor is added: where it is, its size, its first header."""

    __slots__ = ("header", "place", "size")

    def __init__(self, place: int, size: int, header: Header) -> None:
        self.place = place
        self.size = size
        self.header = header


def _alike(first: Header, header: Header) -> bool:
    """Whether they differ in the number at most."""
    return header is first or (
        header.plan == first.plan
        and header.clock == first.clock
        and header.floor == first.floor
        and header.record == first.record
        and header.schedule == first.schedule
    )


def _size(args: Args) -> int:
    value = args.value
    if value.buffers or args.inline:
        return value.nbytes + sum(inline.value.nbytes for inline in args.inline)
    return len(value.data)
