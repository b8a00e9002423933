"""What the machine itself allows: processes that do nothing but answer on a unix socket, and plain memory.

Law: every limit is what Python processes need for the same messages or bytes if they do nothing else.

Two processes that answer each other are often put on one core by the kernel, which is several times faster
than a wake-up across cores; but an executor that computes is on another core than its client. So a limit has
a form for either, with the processes pinned: ``"two cores"``, to which ratios are given, and ``"one core"``.
Only the limit's own processes are pinned, and the asking one only for a block.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import pickle
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy

from benchmarks import work
from benchmarks.contender import Contender
from benchmarks.measure import Probe, timed

MESSAGE = b"x" * 64
CHUNK_MESSAGES = 1024
READ_BYTES = 65_536


class Machine(Contender):
    """The limits; its children live as long as its station."""

    label: ClassVar[str] = "the machine's limit"
    how: ClassVar[str] = (
        "processes that only answer on a unix stream socket, pinned to cores; or the same bytes in memory"
    )
    life: ClassVar[str] = """
import os, signal, time
start = time.time()
ask, told = os.pipe()
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        os.write(told, b"1")
        signal.pause()
    children.append(child)
os.read(ask, 1)
say(start, start)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""

    def __init__(self) -> None:
        self._children: list[int] = []
        self._kept: list[Any] = []

    def stop(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for each in self._kept:
            each.close()

    # ------------------------------------------------------------ messages

    def ping_pong(self, cores: str) -> Probe:
        """There and back."""
        return self.ring(1, cores)

    def ring(self, hops: int, cores: str) -> Probe:
        """A message through so many processes, one after the other, and back."""
        first, incoming = socket.socketpair()
        out = first
        for hop in range(hops):
            left, right = socket.socketpair()
            self._fork(partial(relay, [incoming], [left], 1), _core(cores, hop + 1))
            incoming.close()
            left.close()
            incoming = right
        self._kept += [out, incoming]
        return pinned(timed(lambda: (out.send(MESSAGE), incoming.recv(READ_BYTES))), cores)

    def scatter(self, width: int, cores: str) -> Probe:
        """So many messages to two processes, sent as one to each; one collects the answers."""
        half = width // 2
        to_one, at_one = socket.socketpair()
        to_two, at_two = socket.socketpair()
        from_two, at_one_too = socket.socketpair()
        self._fork(partial(relay, [at_one, at_one_too], [at_one], half), _core(cores, 1))
        self._fork(partial(relay, [at_two], [from_two], width - half), _core(cores, 0))
        for sock in (at_one, at_two, from_two, at_one_too):
            sock.close()
        self._kept += [to_one, to_two]

        def once() -> None:
            to_one.send(MESSAGE * half)
            to_two.send(MESSAGE * (width - half))
            receive(to_one, half)

        return pinned(timed(once), cores)

    def flood(self, count: int, cores: str) -> Probe:
        """So many messages there and back, many of them in each system call; the time of one.

        Either side takes the messages apart and puts them together again.
        """
        here, there = socket.socketpair()
        self._fork(partial(relay, [there], [there], 1), _core(cores, 1))
        there.close()
        self._kept.append(here)

        def once() -> int:
            back = 0
            for sent in range(0, count, CHUNK_MESSAGES):
                here.sendall(b"".join([MESSAGE] * min(CHUNK_MESSAGES, count - sent)))
                back += receive(here, min(CHUNK_MESSAGES, count - sent))
            return back

        return pinned(timed(once, expect=count, each=count), cores)

    def _fork(self, serve: Callable[[], None], core: int | None) -> None:
        pid = os.fork()
        if pid:
            self._children.append(pid)
            return
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if core is not None:
                os.sched_setaffinity(0, {core})
            serve()
        finally:
            os._exit(0)

    # ------------------------------------------------------------ memory

    def copy(self, size: int) -> Probe:
        """One copy of so many bytes into memory that is there already, into two places in turn.

        What a put replaces stays whole until then, so that the new value has to be written beside it.
        """
        source = numpy.ones(max(1, size // 8))
        targets = itertools.cycle((numpy.zeros_like(source), numpy.zeros_like(source)))
        return timed(lambda: numpy.copyto(next(targets), source))

    def look_up(self, size: int) -> Probe:
        """A value out of a dict: unpickled, or as a view."""
        value = work.value_of(size)
        if isinstance(value, bytes):
            kept = {"key": pickle.dumps(value, 5)}
            return timed(lambda: pickle.loads(kept["key"]), expect=value)
        raw = {"key": value.tobytes()}
        return timed(lambda: numpy.frombuffer(raw["key"]))

    def in_process(self, size: int, state: str) -> Probe:
        """The sum of ten arrays in this process: kept ones, or ones in memory that is mapped for each sum."""
        expected = work.sum_of_arrays(size)
        if state == "hot":
            kept = work.new_arrays(size)
            return timed(lambda: work.total(*kept), expect=expected)
        where = "/dev/shm" if os.path.isdir("/dev/shm") else None
        file = tempfile.TemporaryFile(dir=where)  # noqa: SIM115  it is mapped for each sum
        self._kept.append(file)
        for array in work.new_arrays(size):
            file.write(array.tobytes())
        file.flush()
        return timed(lambda: _sum_mapped(file.fileno(), size), expect=expected)


def _sum_mapped(file: int, size: int) -> float:
    whole = numpy.frombuffer(mmap.mmap(file, size * work.ARRAYS, prot=mmap.PROT_READ))
    return work.total(*whole.reshape(work.ARRAYS, size // 8))


def relay(incoming: list[socket.socket], outgoing: list[socket.socket], messages: int) -> None:
    """What a child does: once there are so many messages from everybody, as many to everybody."""
    while True:
        if messages == 1 and len(incoming) == 1:
            data = incoming[0].recv(READ_BYTES)
            answer = b"".join(split(data)) if len(data) > len(MESSAGE) else data
        else:
            received = [receive(each, messages) for each in incoming]
            answer = b"".join([MESSAGE] * messages) if all(received) else b""
        if not answer:
            return
        for each in outgoing:
            each.sendall(answer)


def receive(sock: socket.socket, count: int) -> int:
    """Read so many messages, and take them apart; 0 if the other side is gone."""
    left = count * len(MESSAGE)
    found = 0
    while left > 0:
        data = sock.recv(min(READ_BYTES, left))
        if not data:
            return 0
        found += len(split(data))
        left -= len(data)
    return count if found >= count else 0


def split(data: bytes) -> list[bytes]:
    """A message each (the last one may be cut short by the end of a read)."""
    return [data[start : start + len(MESSAGE)] for start in range(0, len(data), len(MESSAGE))]


def _core(cores: str, turn: int) -> int | None:
    """The core of a limit's process: 0 is the asking one's; None where nothing can be pinned."""
    usable = available()
    if len(usable) < 2:
        return None
    return usable[turn % 2] if cores == "two cores" else usable[0]


def available() -> list[int]:
    """The cores that this process may use, if the system can say so."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def pinned(probe: Probe, cores: str) -> Probe:
    """The same probe, measured from the first core; the thread's cores are restored after each block."""

    def block(count: int, seconds: float) -> list[float]:
        with on_core(_core(cores, 0)):
            return probe(count, seconds)

    return block


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Pin the calling thread within the block."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
