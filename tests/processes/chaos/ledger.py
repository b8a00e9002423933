"""The ledger: what was begun, acknowledged, run and read, in the words of those who did it.

Law: who begins something says so *before*, and who was answered says so *after*; from then on the line is in
a pipe that a process holds which nobody kills. So whatever was said counts, however its speaker ended: what
was acknowledged must be found, and what is found must have been begun. What came before what is known by the
machine's one monotonic clock, not by the order in which lines arrive.
"""

from __future__ import annotations

import copy
import math
import os
import select
import threading
import time
from collections import Counter
from typing import Any

import msgspec

BEGUN, ACKNOWLEDGED, UNKNOWN, RAN, READ, ERROR = "begun", "acknowledged", "unknown", "ran", "read", "error"
KILLED, END = "killed", "end"

UNWRITTEN_SECONDS = 2.0
"""After its acknowledgement, a put that did not wait for the disk is there, on however slow a machine."""


class Line(msgspec.Struct, array_like=True):
    """One thing said.

    Attributes
    ----------
    at
        Seconds of the monotonic clock. Of a read: when it began.
    who, number
        The speaker, and which of its operations this is about. A client that lost its runtime, or was
        started again, speaks under another name.
    what
        One of the words above.
    kind, key, value
        What is written, where and which; the other words about a write need not repeat that. ``ran`` and
        ``acknowledged`` have as value what that run wrote, or the call gave back, and ``killed`` when it was
        done, and which share of a key's copies it took from the memory.
    """

    at: float
    who: str
    number: int
    what: str
    kind: str = ""
    key: str = ""
    value: Any = None


class Write:
    """What the ledger knows of one write.

    Attributes
    ----------
    ended
        After this nothing of it can happen any more; infinity if nobody knows.
    runs
        What each run of it by an executor was about to write.
    """

    def __init__(self, line: Line) -> None:
        self.who, self.number = line.who, line.number
        self.kind, self.key, self.value = line.kind, line.key, line.value
        self.begun = line.at
        self.ended = math.inf
        self.acknowledged = False
        self.result: Any = None
        self.runs: list[Any] = []

    @property
    def name(self) -> str:
        """The identity of what it writes."""
        return f"{self.who}:{self.number}"

    def taken_back(self) -> Write:
        """The same without its acknowledgement."""
        same = copy.copy(self)
        same.acknowledged = False
        return same


class Ledger:
    """All that was said, write by write.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.note(Line(1.0, "a", 1, BEGUN, "value", "k", "a:1"))
    >>> ledger.note(Line(2.0, "a", 1, ACKNOWLEDGED))
    >>> [(write.name, write.acknowledged, write.ended) for write in ledger.keys()["value", "k"]]
    [('a:1', True, 2.0)]
    """

    def __init__(self) -> None:
        self.writes: dict[tuple[str, int], Write] = {}
        self.reads: list[Line] = []
        self.errors: list[Line] = []
        self.kills: list[Line] = []
        self.unknown: Counter[str] = Counter()
        self.acknowledged = 0

    def note(self, line: Line) -> None:
        """Take down what was said."""
        if line.what == BEGUN:
            self.writes[line.who, line.number] = Write(line)
        elif line.what == READ:
            self.reads.append(line)
        elif line.what == ERROR:
            self.errors.append(line)
        elif line.what == KILLED:
            self.kills.append(line)
        else:
            self._follow(line)

    def _follow(self, line: Line) -> None:
        write = self.writes[line.who, line.number]  # its begin was said first, through the same pipe
        if line.what == RAN:
            write.runs.append(line.value)
        elif line.what == ACKNOWLEDGED:
            self.acknowledged += 1
            write.acknowledged, write.ended, write.result = True, line.at, line.value
        else:
            assert line.what == UNKNOWN, line
            self.unknown[line.kind] += 1
            if line.value == "put":  # its stamp is of before, whenever it arrives
                write.ended = line.at

    def outlived(self, write: Write) -> bool:
        """Whether a copy of it was left in memory until it surely was on disk."""
        until = write.ended + UNWRITTEN_SECONDS
        killed = (kill.value[1] for kill in self.kills if write.begun <= kill.value[0] and kill.at <= until)
        return sum(killed) < 1.0

    def keys(self) -> dict[tuple[str, str], list[Write]]:
        """All writes, by kind and key, in the order in which they began."""
        found: dict[tuple[str, str], list[Write]] = {}
        for write in sorted(self.writes.values(), key=lambda write: write.begun):
            found.setdefault((write.kind, write.key), []).append(write)
        return found


class Pen:
    """Writes lines into the pipe at ``path``; each is there whole, or not at all."""

    def __init__(self, path: str, who: str) -> None:
        self.who = who
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # an error if nobody keeps the ledger
        os.set_blocking(self._file, True)

    def say(self, number: int, what: str, kind: str = "", key: str = "", value: Any = None) -> None:
        """Say it now."""
        self.say_of(time.monotonic(), number, what, kind, key, value)

    def say_of(
        self, at: float, number: int, what: str, kind: str = "", key: str = "", value: Any = None
    ) -> None:
        """Say it of an earlier time."""
        data = msgspec.json.encode(Line(at, self.who, number, what, kind, key, value)) + b"\n"
        assert len(data) <= select.PIPE_BUF, f"{len(data)} bytes may be torn: {data[:200]!r}"
        os.write(self._file, data)

    def close(self) -> None:
        """Say no more."""
        os.close(self._file)


class Keeper:
    """Keeps a ledger: reads the pipe at ``path``, which it makes, until it is told to close."""

    def __init__(self, path: str) -> None:
        os.mkfifo(path, 0o600)
        self.ledger = Ledger()
        self.failure: BaseException | None = None
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._reading, True)
        self._own = Pen(path, "keeper")
        self._thread = threading.Thread(target=self._keep, name="ledger", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        try:
            rest = b""
            while True:
                *lines, rest = (rest + os.read(self._reading, 1 << 20)).split(b"\n")
                for data in lines:
                    line = msgspec.json.decode(data, type=Line)
                    if line.what == END:
                        return
                    self.ledger.note(line)
        except BaseException as error:
            self.failure = error

    def note_kill(self, began: float, share: float) -> None:
        """This share of each key's copies was killed, at some moment since it ``began``."""
        self._own.say_of(began, 0, KILLED, value=(time.monotonic(), share))

    def close(self) -> Ledger:
        """All that was said, once nobody is left to say more."""
        self._own.say(0, END)
        self._thread.join()
        self._own.close()
        os.close(self._reading)
        if self.failure is not None:
            raise self.failure
        return self.ledger
