"""What a client does under the killer's eyes: puts, reads, calls and DAGs, each entered in the ledger.

Law: an operation says what it begins before it sends anything, and what it was answered after; what it was
not told it leaves unknown. It judges nothing: an answer that must not be, and an error that nobody's end
explains, go into the ledger like the others.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cloudburst_nb.client import Client
from cloudburst_nb.errors import CallTimeout, ConsistencyError, ExecutorLost, RuntimeUnavailable
from cloudburst_nb.sessions import Session
from tests.processes.chaos.judge import DELETED
from tests.processes.chaos.ledger import ACKNOWLEDGED, BEGUN, ERROR, READ, UNKNOWN, Pen

LEVELS = ("lww", "dsrr", "sk", "mk", "dsc", "atomic")
SESSIONS = ("sk", "mk", "dsc")
"""Levels whose sessions a client's own puts are in: at ``dsrr`` it would read for ever what it read once."""
OUTSIDE = "outside"
"""In the place of a level: what a client has seen of causal keys without a session."""
RETRIES = 8
PATIENCE = 30.0
"""Seconds that anything may take, on a machine that is busy forking what was killed."""
BURST = 8
"""Calls that are under way at once, in an operation of several."""
VALUES = 100
"""Keys of values: most are not written again soon after a store has died."""
NAME_BYTES = 32
LARGE_ROWS = 4_000
"""Times ``NAME_BYTES``: a large value lies in shared memory."""
RENEWAL = 0.05
"""How often a session is begun anew."""


class Work:
    """The operations of one client, connected once.

    Parameters
    ----------
    client
        Connected to the runtime.
    pen
        Writes into the ledger, under this connection's name.
    level
        A consistency level, or ``"all"``: another one for each operation.
    luck
        Draws what is done next.
    """

    def __init__(self, client: Client, pen: Pen, level: str, luck: random.Random) -> None:
        self.client, self.pen, self.luck = client, pen, luck
        self.levels = LEVELS if level == "all" else (level,)
        self.level = self.levels[0]
        self.who = pen.who
        self._number = 0
        self._chain = 0  # of the calls that count on each other
        self._sessions: dict[str, Session] = {}
        self._seen: dict[str, dict[str, list[str]]] = {OUTSIDE: {}}  # of causal keys, in each session

    def step(self) -> None:
        """One operation, at one level."""
        self.level = self.luck.choice(self.levels)
        operations = [self.put, self.put_own, self.put_large, self.add, self.count, self.maximum]
        operations += [self.add_soon, self.put_again, self.put_beside, self.read_own, self.read_large]
        operations += [self.assign, self.burst]
        if self.level == "atomic":
            operations += [self.pair, self.pair, self.read_pair, self.next_number, self.next_number]
        else:
            operations += [self.insert, self.increase]
        if self.level in SESSIONS:
            operations += [self.write_beside, self.trail]
        if self.level in ("dsrr", "atomic"):
            operations += [self.read_same]
        operation = self.luck.choice(operations)
        if self.level not in SESSIONS:
            operation()
            return
        with self._session():
            operation()

    def _session(self) -> Session:
        if self.level not in self._sessions or self.luck.random() < RENEWAL:
            self._sessions[self.level] = self.client.session(self.level)
            self._seen[self.level] = {}
        return self._sessions[self.level]

    # ------------------------------------------------------------ the ledger

    def _name(self) -> str:
        """Of the next write."""
        self._number += 1
        return f"{self.who}:{self._number}"

    def _write(self, kind: str, key: str, value: Any, act: Callable[[], Any], by: str = "put") -> Any:
        """Write, and say so; ``act`` gives what the acknowledgement is to have, as does this."""
        number = self._number
        self.pen.say(number, BEGUN, kind, key, value)
        return self._end(number, key, act, by)

    def _end(self, number: int, key: str, act: Callable[[], Any], by: str) -> Any:
        try:
            result = act()
        except Exception as error:
            self.pen.say(number, UNKNOWN, type(error).__name__, key, by)
            self._explain(error, key)
            return None
        self.pen.say(number, ACKNOWLEDGED, value=result)
        return result

    def _read(self, kind: str, key: str, act: Callable[[], Any]) -> None:
        at = time.monotonic()
        try:
            value = act()
        except Exception as error:
            self._explain(error, key)
        else:
            self.pen.say_of(at, 0, READ, kind, key, value)

    def _explain(self, error: Exception, key: str) -> None:
        """An error that the end of a process does not explain is one."""
        if isinstance(error, RuntimeUnavailable) or self.client.lost:
            raise RuntimeUnavailable(str(error)) from error
        explained = isinstance(error, ExecutorLost) or (
            isinstance(error, ConsistencyError) and self.level in ("dsrr", "atomic")
        )
        if not explained or isinstance(error, CallTimeout):
            self.pen.say(0, ERROR, "", key, f"{type(error).__name__} at {self.level}: {error}"[:2000])

    def _call(self, name: str, *args: Any, kind: str = "function") -> Any:
        return self.client.call(
            name, args, kind=kind, consistency=self.level, retries=RETRIES, timeout=PATIENCE
        )

    def _page(self) -> tuple[str, str, int]:
        return self.pen.path, self.who, self._number

    # ------------------------------------------------------------ by the client itself

    def put(self) -> None:
        """A value of many writers, of which the latest wins."""
        self._put("value", f"value/{self.luck.randrange(VALUES)}", self._name())

    def put_own(self) -> None:
        """A value of this writer alone, and what it then reads."""
        self._put("own", f"own/{self.who}", self._name())
        self.read_own()

    def _put(self, kind: str, key: str, name: str) -> None:
        self._write(kind, key, name, lambda: self.client.put(key, name, lattice="lww", timeout=PATIENCE))

    def put_large(self) -> None:
        """A large value of many writers."""
        key, name = f"large/{self.luck.randrange(4)}", self._name()
        self._write("large", key, name, lambda: self.client.put(key, large(name), "lww", timeout=PATIENCE))

    def add(self) -> None:
        """An element of a set."""
        key, name = f"set/{self.luck.randrange(6)}", self._name()
        self._write("add", key, name, lambda: self.client.put(key, {name}, timeout=PATIENCE))

    def add_soon(self) -> None:
        """An element of a set, which does not wait for the disk."""
        key, name = f"soon/{self.luck.randrange(6)}", self._name()
        put = functools.partial(self.client.put, key, {name}, durability="memory", timeout=PATIENCE)
        self._write("soon", key, name, put)

    def count(self) -> None:
        """Something for a counter."""
        self._name()
        key, amount = f"count/{self.luck.randrange(4)}", self.luck.randrange(1, 4)
        self._write("count", key, amount, lambda: self.client.put(key, amount, "counter", timeout=PATIENCE))

    def maximum(self) -> None:
        """A number, the greatest of which stays."""
        self._name()
        key, number = f"max/{self.luck.randrange(4)}", self.luck.randrange(1 << 40)
        self._write("max", key, number, lambda: self.client.put(key, number, "max", timeout=PATIENCE))

    def put_again(self) -> None:
        """A key that comes and goes: of this writer alone, which then reads it, or of many."""
        own = self.luck.random() < 0.7
        key, name = f"again/{self.who if own else self.luck.randrange(4)}", self._name()
        if self.luck.random() < 0.5:
            self._put("again", key, name)
        else:
            self._write("again", key, DELETED, lambda: self.client.delete(key, timeout=PATIENCE))
        if own:
            self._read("again", key, lambda: self.client.get(key, None, timeout=PATIENCE))

    def put_beside(self) -> None:
        """A causal write, which replaces what was read before and no more."""
        key, seen = self._causal()
        if self.luck.random() < 0.5:
            try:
                seen[key] = [one[0] for one in self.client.get(key, [], siblings=True, timeout=PATIENCE)]
            except Exception as error:
                self._explain(error, key)
                return
        made = (self._name(), seen.get(key, []))

        def act() -> str:
            self.client.put(key, made, lattice="causal", timeout=PATIENCE)
            return made[0]

        self._written(key, self._write("causal", key, made, act))

    def _causal(self) -> tuple[str, dict[str, list[str]]]:
        """A key of many causal writers, and what of all such keys has been seen where the next write is."""
        return f"causal/{self.luck.randrange(3)}", self._seen.get(self.level, self._seen[OUTSIDE])

    def _written(self, key: str, name: str | None) -> None:
        """A causal write, if acknowledged, has replaced all that was seen."""
        if name is not None:
            self._causal()[1][key] = [name]

    # ------------------------------------------------------------ by functions and DAGs

    def assign(self) -> None:
        """A function writes a value: of this client alone, which then reads it, or of many."""
        own = self.luck.random() < 0.5
        key = f"own/{self.who}" if own else f"value/{self.luck.randrange(VALUES)}"
        name, page = self._name(), self._page()
        kind = "own" if own else "value"
        self._write(kind, key, name, lambda: self._call("assign", page, key, name).get(), "call")
        if own:
            self.read_own()

    def insert(self) -> None:
        """A function adds to a set."""
        key, name, page = f"set/{self.luck.randrange(6)}", self._name(), self._page()
        self._write("add", key, name, lambda: self._call("insert", page, key, name).get(), "call")

    def increase(self) -> None:
        """A function adds to a counter."""
        self._name()
        key, amount, page = f"count/{self.luck.randrange(4)}", self.luck.randrange(1, 4), self._page()
        self._write("count", key, amount, lambda: self._call("increase", page, key, amount).get(), "call")

    def burst(self) -> None:
        """Several calls that are under way together."""
        begun = []
        for _ in range(BURST):
            key, name, page = f"value/{self.luck.randrange(VALUES)}", self._name(), self._page()
            self.pen.say(self._number, BEGUN, "value", key, name)
            begun.append((self._number, key, self._call("assign", page, key, name)))
        for number, key, future in begun:
            self._end(number, key, future.get, "call")

    def write_beside(self) -> None:
        """A function makes a causal write."""
        (key, seen), name, page = self._causal(), self._name(), self._page()
        known = seen.get(key, [])

        def act() -> str:
            return str(self._call("write_beside", page, key, known).get())

        self._written(key, self._write("causal", key, (name, []), act, "call"))

    def trail(self) -> None:
        """Steps of a DAG look for what the first of them has written."""
        (key, seen), name, page = self._causal(), self._name(), self._page()
        known = seen.get(key, [])
        spotted: list[Any] = []

        def act() -> str:
            spotted[:] = self._call("trail", page, key, known, kind="dag").get()
            return str(spotted[0])

        self._written(key, self._write("causal", key, (name, []), act, "call"))
        if not spotted:
            return
        seen[key] = list(dict.fromkeys(each for names in ([spotted[0]], *spotted[1:]) for each in names))
        if self.level != "mk":  # at which each cache has a past of its own
            self._read("trail", key, lambda: spotted)

    def pair(self) -> None:
        """Two keys are written all or none, by two steps."""
        key, name, page = f"pair/{self.luck.randrange(5)}", self._name(), self._page()
        self._write("pair", key, name, lambda: self._call("pair", page, key, name, kind="dag").get(), "call")

    def next_number(self) -> None:
        """A call that reads and writes what the one before has written."""
        self._name()
        key, page = f"once/{self.who}.{self._chain}", self._page()
        if self._write("once", key, 1, lambda: self._call("next_number", page, key).get(), "call") is None:
            self._chain += 1  # it may still happen, so no other may count on it

    # ------------------------------------------------------------ reads

    def read_own(self) -> None:
        """What this client has written, read by itself or by a function."""
        key = f"own/{self.who}"
        if self.luck.random() < 0.5:
            self._read("own", key, lambda: self._call("look", key).get())
        else:
            self._read("own", key, lambda: self.client.get(key, None, timeout=PATIENCE))

    def read_large(self) -> None:
        """A large value, whole."""
        key = f"large/{self.luck.randrange(4)}"
        self._read("large", key, lambda: name_of(self.client.get(key, None, timeout=PATIENCE)))

    def read_pair(self) -> None:
        """Both halves of what is written all or none."""
        key = f"pair/{self.luck.randrange(5)}"
        self._read("pair", key, lambda: self._call("both", key).get())

    def read_same(self) -> None:
        """One key in each step of a DAG."""
        key = f"value/{self.luck.randrange(VALUES)}"
        self._read("same", key, lambda: self._call("same", key, kind="dag").get())


def large(name: str) -> np.ndarray[Any, Any]:
    """A large value that has the name in each row."""
    row = np.frombuffer(name.encode().ljust(NAME_BYTES), np.uint8)
    return np.tile(row, (LARGE_ROWS, 1))


def name_of(value: np.ndarray[Any, Any] | None) -> str | None:
    """The name that a large value has, if it has the same in each row."""
    if value is None:
        return None
    if value.shape != (LARGE_ROWS, NAME_BYTES) or not (value == value[0]).all():
        return f"torn, beginning with {value.reshape(-1)[:NAME_BYTES].tobytes()!r}"
    return str(value[0].tobytes(), "ascii").rstrip()
