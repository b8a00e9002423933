"""What the machine itself allows: processes that do nothing but answer on a unix socket.

Every figure of this project is given as a ratio to one of these, measured in the same run, because
absolute times drift with the machine.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

MESSAGE = b"x" * 64


class PingPong:
    """This process, and others in a ring: a message goes around once per `once`.

    Parameters
    ----------
    hops
        Processes besides this one: 1 is a ping-pong, 2 the limit of a chain of two functions on two
        executors (here → A → B → here).
    """

    def __init__(self, hops: int = 1) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(hops + 1)]
        self._out, self._in = pairs[0][0], pairs[-1][1]
        self._children = []
        for index in range(hops):
            pid = os.fork()
            if pid == 0:
                _answer(pairs[index][1], pairs[index + 1][0], pairs)
            self._children.append(pid)
        for index, (left, right) in enumerate(pairs):
            if index:
                left.close()
            if index < hops:
                right.close()

    def once(self) -> None:
        """One message around the ring."""
        self._out.send(MESSAGE)
        self._in.recv(4096)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._out.close()
        self._in.close()


def _answer(
    incoming: socket.socket, outgoing: socket.socket, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    for pair in pairs:
        for sock in pair:
            if sock not in (incoming, outgoing):
                sock.close()
    receive: Callable[[int], bytes] = incoming.recv
    send: Callable[[bytes], int] = outgoing.send
    while data := receive(4096):
        send(data)
    os._exit(0)
