"""What a block of an atomic session is shown of a key: something that goes with all that it has read.

Law: what `Block` calls late or torn is not shown. Where the store has something older than what is due, the
record of the transaction has what is to be read; it is put there before it is shown, for others read it next.
Where what the store has is torn, the key's history may have a version from before; or the record may, if
that one came too late for the history. Else the read fails, and the block is to begin again.

As `executor/admission.py` does for calls, whose attempts begin again by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from cloudburst_runtime.anna import transactions
from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.client.blocks import PLAIN
from cloudburst_runtime.client.calls import Answered
from cloudburst_runtime.client.session import ClientSession
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.messages import (
    Due,
    Entry,
    Failure,
    GetVersion,
    History,
    HistoryReply,
    Version,
    VersionReply,
)

Effects = list[Any]
Follows: TypeAlias = Callable[[Any, Millis], Effects]


class Reading(msgspec.Struct, eq=False):
    """A read of a block: what the store has of its keys, and what is shown of the first of them.

    ``again``: the next key was read once more already.
    """

    op: int
    session: ClientSession
    keys: list[str]
    entries: list[Entry]
    shown: list[Entry] = []
    again: bool = False

    @property
    def key(self) -> str:
        """The key that is next."""
        return self.keys[len(self.shown)]

    @property
    def entry(self) -> Entry:
        """What the store has of it."""
        return self.entries[len(self.shown)]

    def show(self, entry: Entry) -> None:
        """This is what the next key is read as."""
        self.shown.append(self.session.read(self.key, entry))
        self.again = False


class _Part(NamedTuple):
    """A request or store operation that a reading waits for."""

    op: int
    follows: Follows


class Admission:
    """The reads of one client's blocks.

    Parameters
    ----------
    store
        The client's end of the store.
    next_req
        A fresh number.
    ask
        Sends a request, and repeats it until it is answered.
    done
        Answers a read: what is shown of its keys.
    """

    def __init__(
        self,
        store: CacheCore,
        next_req: Callable[[], int],
        ask: Callable[[Any, Millis], Any],
        done: Callable[[int, list[str], list[Entry]], Answered],
    ) -> None:
        self._store = store
        self._next_req = next_req
        self._ask = ask
        self._done = done
        self._parts: dict[int, _Part] = {}

    def admit(self, reading: Reading, now: Millis) -> Effects:
        """Show what goes, key after key; ask further where what the store has does not."""
        while len(reading.shown) < len(reading.keys):
            late = reading.session.late(reading.key, reading.entry)
            if late is not None and late.transaction != PLAIN:
                return self._read_record(reading, late, now)
            if reading.session.torn(reading.key, reading.entry) is not None:
                return self._read_history(reading, now)
            reading.show(reading.entry)
        return [self._done(reading.op, reading.keys, reading.shown)]

    def told(self, number: int, result: Any, now: Millis) -> Effects | None:
        """What was asked for here has come, or failed; None if it was asked for elsewhere."""
        part = self._parts.pop(number, None)
        if part is None:
            return None
        return [Answered(part.op, result)] if isinstance(result, Failure) else part.follows(result, now)

    def forget(self, op: int) -> list[int]:
        """Nobody waits for this read any more; the numbers of what it waited for."""
        numbers = [number for number, part in self._parts.items() if part.op == op]
        for number in numbers:
            del self._parts[number]
        return numbers

    def _begin(self, reading: Reading, follows: Follows) -> int:
        number = self._next_req()
        self._parts[number] = _Part(reading.op, follows)
        return number

    # ------------------------------------------------------------ what is due

    def _read_record(self, reading: Reading, due: Due, now: Millis) -> Effects:
        def found(result: list[Entry], later: Millis) -> Effects:
            recorded = transactions.from_record(reading.key, result[0])
            if recorded is None:
                return self._read_again(reading, later)
            entry = Entry(0, recorded.lattice)
            if reading.session.torn(reading.key, entry) is not None:
                return self._give_up(reading)
            return self._publish(reading, entry, later)

        return self._read(reading, transactions.record_key(due.transaction), found, now)

    def _publish(self, reading: Reading, entry: Entry, now: Millis) -> Effects:
        assert entry.lattice is not None, entry
        key, number = reading.key, self._begin(reading, lambda result, later: self.admit(reading, later))
        reading.show(entry)
        return list(self._store.write(number, key, entry.lattice, now))

    def _read_again(self, reading: Reading, now: Millis) -> Effects:
        """The record is gone: then what it had is in the store."""
        if reading.again:
            return self._give_up(reading)
        reading.again = True

        def found(result: list[Entry], later: Millis) -> Effects:
            reading.entries[len(reading.shown)] = result[0]
            return self.admit(reading, later)

        return self._read(reading, reading.key, found, now)

    def _read(self, reading: Reading, key: str, found: Follows, now: Millis) -> Effects:
        return list(self._store.read(self._begin(reading, found), [key], self._store.floor, now))

    # ------------------------------------------------------------ what was before

    def _read_history(self, reading: Reading, now: Millis) -> Effects:
        def found(reply: HistoryReply, later: Millis) -> Effects:
            torn = reading.entry.version
            return self._go_back(reading, [each for each in reply.versions if each.clock != torn], later)

        return [self._ask(History(self._begin(reading, found), reading.key), now)]

    def _go_back(self, reading: Reading, versions: list[Version], now: Millis) -> Effects:
        """Show the latest of these versions that goes."""
        if not versions:
            return self._end_of_history(reading, now)

        def found(reply: VersionReply, later: Millis) -> Effects:
            entry, key, session = reply.entry, reading.key, reading.session
            if entry is None or session.torn(key, entry) is not None or session.late(key, entry) is not None:
                return self._go_back(reading, versions[1:], later)
            self._store.observe(key, entry)
            reading.show(entry)
            return self.admit(reading, later)

        req, latest = self._begin(reading, found), versions[0]
        return [self._ask(GetVersion(req, reading.key, latest.number, latest.writer), now)]

    def _end_of_history(self, reading: Reading, now: Millis) -> Effects:
        due = reading.session.due(reading.key)
        if due is None or due.transaction == PLAIN:
            return self._give_up(reading)
        return self._read_record(reading, due, now)

    # ------------------------------------------------------------ nothing goes

    @staticmethod
    def _give_up(reading: Reading) -> Effects:
        key, other = reading.key, reading.session.torn(reading.key, reading.entry)
        if other is None:
            reading.session.excuse(key)  # or no block of this session could read the key again
            text = (
                f"key {key!r} is older than what was published with others that were read, and that is lost"
            )
        else:
            text = (
                f"key {key!r} was published together with key {other!r}, which this session has read as it "
                f"was before, and no version of {key!r} from then is kept"
            )
        hint = "leave the session's with block and begin it again"
        return [Answered(reading.op, Failure("ConsistencyError", f"{text}: {hint}"))]
