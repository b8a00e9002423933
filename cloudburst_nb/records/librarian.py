"""The user library of a replay: it answers what was answered when the call was recorded.

Law: it knows no store and no other call. What user code asks for must be what it asked for then, in the
same order; the first thing that is not ends the call (`Strayed`), and stays to be told.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cloudburst_nb.content import content_of
from cloudburst_nb.records.difference import differences
from cloudburst_nb.records.format import KeptSeen
from cloudburst_nb.records.record import Record
from cloudburst_nb.records.showing import show
from cloudburst_runtime.errors import ErrorKinds
from cloudburst_runtime.executor.library import UserLibrary
from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import LWW, Causal
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.values import decode, decode_own

WORDS = {
    "get": "read {}",
    "put": "put {}",
    "delete": "delete {}",
    "send": "send a message to {}",
    "recv": "receive messages",
    "now": "ask for the time",
    "getid": "ask for its own id",
}


PLAIN = (LWW.__name__, Causal.__name__)
"""What a plain value becomes, by the call's consistency level, which a replay does not have."""


class Strayed(BaseException):
    """The call asks for something else than it did; no ``except Exception`` of user code catches it."""


class Librarian(UserLibrary):
    """Answers one call after the other from a record.

    Parameters
    ----------
    record
        Where the answers are.

    Attributes
    ----------
    strayed
        How the present call left the way that it took then; empty as long as it has not.
    """

    def __init__(self, record: Record) -> None:
        core: Any = SimpleNamespace(name="replay", clock=HybridClock(0))
        super().__init__(core, self._refuse, lambda done, timeout: done())
        self._record = record
        self._left: list[KeptSeen] = []
        self._level = "lww"
        self.strayed = ""

    @staticmethod
    def _refuse(kind: str, arguments: tuple[Any, ...]) -> Any:
        raise AssertionError("a replay asks no store")

    def begin(self, seen: list[KeptSeen], level: str) -> None:
        """The next call asked for these, at this level of consistency."""
        self._left = list(seen)
        self._level = level
        self.strayed = ""

    def end(self) -> str:
        """How the call strayed, if it did; also if it did not ask for all that it asked for then."""
        if not self.strayed and self._left:
            self.strayed = f"it did not {_worded(self._left[0].kind, self._left[0].keys)}, as it did then"
        return self.strayed

    def _next(self, kind: str, keys: list[str]) -> KeptSeen:
        then = self._left[0] if self._left else None
        if then is None or (then.kind, then.keys) != (kind, keys):
            did = "nothing more" if then is None else _worded(then.kind, then.keys)
            self._stray(f"it wants to {_worded(kind, keys)}, where it did {did} then")
        assert then is not None
        self._left.pop(0)
        return then

    def _stray(self, why: str) -> None:
        self.strayed = self.strayed or why
        raise Strayed(why)

    # ------------------------------------------------------------ the library

    def _for(self, task: Task) -> Librarian:
        self._task = task
        return self

    def _lookup(self, keys: list[str]) -> list[Any]:
        return [self._record.lattice(kept) for kept in self._next("get", keys).lattices]

    def _waits(self, durability: str) -> bool:
        return False  # nothing is written

    def _do(self, kind: str, arguments: Any) -> Any:
        if kind == "progress":
            return None
        if kind == "write":
            then = self._next("put", [arguments[0]])
            self._check_put(arguments[0], arguments[1], then)
        elif kind == "delete":
            then = self._next("delete", [arguments[0]])
        else:
            then = self._next("send", [arguments[0]])
            self._check(
                f"it sends to {arguments[0]}", self._record.content(then.mail[0][1]).tree,
                content_of(decode(arguments[1])).tree,
            )  # fmt: skip
        if then.failure is not None:
            raise ErrorKinds.revive(then.failure.kind, then.failure.message)
        return None

    def _check_put(self, key: str, lattice: Any, then: KeptSeen) -> None:
        kind = then.lattices[0].kind if then.lattices[0] is not None else "nothing"
        made = type(lattice).__name__
        if made != kind and not (made in PLAIN and kind in PLAIN):
            self._stray(f"it puts a {made} into {key!r}, where it put a {kind} then")
        before = content_of(self._record.revealed(then.lattices[0])).tree
        self._check(f"it puts into {key!r}", before, content_of(reveal(lattice)).tree)

    def _check(self, what: str, before: Any, now: Any) -> None:
        for difference in differences(before, now):
            self._stray(f"{what} something else: {difference}")

    @property
    def consistency(self) -> str:
        """The level that the call had then."""
        return self._level

    def recv(self, timeout: float | None = 0) -> list[tuple[str, Any]]:
        """The messages that it was given then."""
        mail = self._next("recv", []).mail
        return [(sender, decode_own(self._record.value(body))) for sender, body in mail]

    def getid(self) -> str:
        """The id that it had then."""
        return self._next("getid", []).text

    get_id = getid

    def now(self) -> float:
        """The time that it was then."""
        return self._next("now", []).at


def _worded(kind: str, keys: list[str]) -> str:
    return WORDS[kind].format(", ".join(show(key) for key in keys))
