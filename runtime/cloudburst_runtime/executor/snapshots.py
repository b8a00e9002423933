"""Repeatable reads: which version of a key a task reads, and who says so.

Law: one version per attempt, key and own writes before it, on whichever executor. Once it is fixed, its
holder keeps the entry until the attempt is over; the call carries version and holder along. Whoever
reads the key later uses an entry of that version if one is at hand, else recalls it from the holder.

A step that is before or after all others reads by itself what those before it have not read. That is its own
business while it runs, and fixed for those that follow when it ends. A step that may run beside another one
cannot know what the other reads. So the call's *home*, an executor that has such a step, fixes for all of
them, unless the key is as it was when the attempt began (`agreement`).

This file reads for the tasks of its executor. What it fixes or recalls is `kept`; `recalls` asks holders for
it, `holder` is asked by others; at ``atomic``, `admission` says what goes with what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cloudburst_runtime.anna import transactions
from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.executor import atomic
from cloudburst_runtime.executor.admission import Admission
from cloudburst_runtime.executor.agreement import Agreement, Claims
from cloudburst_runtime.executor.holder import Holder
from cloudburst_runtime.executor.kept import KeptEntries, place
from cloudburst_runtime.executor.recalls import NOTHING_DUE, Reading, Recalls
from cloudburst_runtime.executor.tasks import Attempt, Task
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices.wrap import is_lost
from cloudburst_runtime.messages import Due, Entry, Failure, Fix, Recalled
from cloudburst_runtime.vectors import Vector

Effects = list[Any]

NO_FLOOR: Vector = {}


class Snapshots:
    """What calls at ``dsrr`` and ``atomic`` read at one executor.

    Parameters
    ----------
    name
        The executor's name.
    cache
        Where versions come from.
    resend_ms
        The first interval after which an unanswered recall is sent again.
    unanswered_max
        How often a client is asked in vain whether what is kept is still wanted.
    next_req, begin, pass_on, conclude, cancel
        Of the executor's operations: a number; a new one; the cache's effects; the answer of one; its end.

    Attributes
    ----------
    keeping, kept
        What is kept here, and its entries by attempt and place.
    claims, agreement, admission
        What is asked about keys as a home, who says what is read, and what goes with what was read.
    recalls, holder
        What is asked of holders, and what others ask here.
    """

    def __init__(
        self,
        name: PeerName,
        cache: CacheCore,
        resend_ms: Millis,
        unanswered_max: int,
        next_req: Callable[[], int],
        begin: Callable[[Callable[[Any, Millis], Effects]], int],
        pass_on: Callable[[Effects, Millis], Effects],
        conclude: Callable[[int, Any, Millis], Effects],
        cancel: Callable[[int], Effects],
    ) -> None:
        self._name = name
        self._cache = cache
        self._begin = begin
        self._pass_on = pass_on
        self._conclude = conclude
        self._cancel = cancel
        self.keeping = KeptEntries(name, resend_ms, unanswered_max)
        self.kept = self.keeping.entries
        self.claims = Claims(name, resend_ms, next_req)
        self.agreement = Agreement(name, self.claims)
        self.recalls = Recalls(name, resend_ms, next_req, self.claims)
        self.admission = Admission(cache, self.keeping, begin, pass_on)
        self.holder = Holder(cache, self.keeping, self.claims, self.admission, begin, pass_on, cancel)
        self._readings: dict[int, Reading] = {}

    @property
    def pending(self) -> int:
        """Recalls and claims that were not answered, and recalls of others that wait here."""
        return self.recalls.pending + self.claims.pending + self.holder.pending

    # ------------------------------------------------------------ what is at hand

    def peek(self, task: Task, key: str) -> Entry | None:
        """What the task reads of a key, if that can be said, or fixed, here and at once."""
        session, own = task.session, task.own
        assert session is not None, task
        if own is not None and key not in session.fixed:
            entry = own.get(key) or self._cache.peek(key, task.floor)
            return None if entry is None else own.setdefault(key, entry)
        attempt = task.id[:3]
        if session.writes and key in session.writes:
            return Entry(0, session.writes[key])
        kept = self.kept.get(attempt)
        found = None if kept is None else kept.get(place(key, session) if session.wrote else (key, ()))
        fix = session.fixed.get(key)
        if fix is not None:
            if found is None:
                held = self._cache.peek(key, NO_FLOOR)
                return held if held is not None and held.version == fix.version else None
            return found
        entry = found or self._cache.peek(key, task.floor)
        if entry is None:
            return None
        if session.home and found is None and self.agreement.asks(task, session, key, entry):
            return None
        if session.level == "atomic" and not self.admission.goes(session, attempt, key, entry):
            return None
        fixed = self._fix(task, key, entry, self._name)
        if session.beside and found is None and self.claims.is_given(attempt, key):
            self._unfix(task, key)
            return None
        return fixed

    def _fix(self, task: Task, key: str, entry: Entry, holder: PeerName, waited: bool = False) -> Entry:
        session = task.session
        assert session is not None, task
        where = place(key, session) if session.wrote else (key, ())
        kept = self.keeping.keep(task.id[:3], where, entry, waited)
        session.fixed[key] = fix = Fix(kept.version, holder)
        if session.level == "atomic":
            fix.order = transactions.order_of(kept)
            atomic.note(session, kept)
        return kept

    def _unfix(self, task: Task, key: str) -> None:
        """The home claims the key in this very moment: user code reads in one thread, sockets in another.

        Either it was told of what was fixed, or it was seen here that it asked.
        """
        session = task.session
        assert session is not None, task
        self.keeping.drop(task.id[:3], place(key, session))
        session.fixed.pop(key, None)

    # ------------------------------------------------------------ what a step reads by itself

    @staticmethod
    def own(task: Task, keys: list[str], entries: list[Entry]) -> list[Entry]:
        """What the task reads where these entries were found: what it has read of a key already stays."""
        if task.own is None:
            return entries
        return [task.own.setdefault(key, entry) for key, entry in zip(keys, entries, strict=True)]

    def hand_on(self, task: Task) -> None:
        """The task ends: what it has read by itself is fixed for the steps that follow, and kept for them."""
        session = task.session
        if session is None or not task.own:
            return
        entries = self.keeping.of(task.id[:3])
        for key, entry in task.own.items():
            if key not in session.fixed:
                entries[place(key, session) if session.wrote else (key, ())] = entry
                session.fixed[key] = Fix(entry.version, self._name)

    # ------------------------------------------------------------ what is looked for

    def read(self, task: Task, op: int, keys: list[str], wait: bool, now: Millis) -> Effects:
        """Read keys for the operation ``op``; with ``wait``, once all of them exist."""
        assert task.session is not None, task
        if task.own is not None and not any(key in task.session.fixed for key in keys):
            return self._pass_on(self._cache.read(op, keys, task.floor, now, wait), now)
        reading = self._readings[op] = Reading(op, task, keys, wait)
        effects: Effects = []
        for key in dict.fromkeys(keys):
            entry = self.peek(task, key)
            absent = entry is not None and entry.lattice is None
            if entry is not None and not (wait and absent):
                reading.found[key] = entry
            else:
                effects += self._look_further(reading, key, now, anew=absent)
        return effects + self._finish(reading, now)

    def _look_further(self, reading: Reading, key: str, now: Millis, anew: bool = False) -> Effects:
        """``anew``: what is fixed is the key's absence, and the task waits for its existence."""
        session, task = reading.session, reading.task
        fix = None if anew else session.fixed.get(key)
        if fix is not None and fix.holder == self._name:
            why = f"the version of key {key!r} that it reads is no longer kept"
            return self._go_astray(reading, why, now)
        if fix is not None:
            return self.recalls.ask(reading, key, fix.holder, now)
        if not self.agreement.decides(task) and not self._looks(task, key):
            return self.recalls.ask(reading, key, session.home, now, fix=True)
        part = self._begin(lambda result, later: self._found_here(reading, key, result, later))
        reading.parts.append(part)
        return self._pass_on(self._cache.read(part, [key], task.floor, now, reading.wait), now)

    def _looks(self, task: Task, key: str) -> bool:
        """Whether a step that does not decide is to look first whether the key is unchanged."""
        return self.agreement.is_free(task, key) and self._cache.peek(key, task.floor) is None

    def _found_here(self, reading: Reading, key: str, result: Any, now: Millis) -> Effects:
        if reading.op not in self._readings:
            return []
        if isinstance(result, Failure):
            return [*self.forget(reading.op), *self._conclude(reading.op, result, now)]
        task, attempt = reading.task, reading.attempt

        def admitted(entry: Entry | None, later: Millis) -> Effects:
            if reading.op not in self._readings:
                return []
            if entry is None:
                why = f"what was read does not go with key {key!r}"
                return self._go_astray(reading, why, later, transactions.dues(result[0]))
            session = reading.session
            if not (session.home and self.agreement.asks(task, session, key, entry)):
                return fixed(entry, later)
            if not self.agreement.decides(task):
                return self.recalls.ask(reading, key, session.home, later, fix=True)
            return self.claims.decide(attempt, key, session.beside, entry, fixed, later)

        def fixed(entry: Entry, later: Millis) -> Effects:
            if reading.op not in self._readings:
                return []
            return self._take(reading, key, entry, self._name, later)

        return self.admission.admit(reading.session, attempt, key, result[0], admitted, now)

    def on_recalled(self, message: Recalled, now: Millis) -> Effects:
        """An entry that was asked for has come."""
        asked = self.recalls.take(message.req)
        if asked is None:
            return []
        reading, key, entry = asked.reading, asked.message.key, message.entry
        if entry is not None and is_lost(entry.lattice):
            return self.recalls.ask_plain(asked, now)
        if entry is None:
            why = f"the version of key {key!r} that it reads is no longer kept, or does not go with others"
            return self._go_astray(reading, why, now, message.due)
        if reading.wait and entry.lattice is None:
            return self._look_further(reading, key, now, anew=True)
        self._cache.observe(key, entry)
        return self._take(reading, key, entry, asked.peer, now)

    def _take(self, reading: Reading, key: str, entry: Entry, holder: PeerName, now: Millis) -> Effects:
        """The reading has one key more."""
        task = reading.task
        if task.own is not None and key not in reading.session.fixed:
            reading.found[key] = task.own.setdefault(key, entry)
        else:
            reading.found[key] = self._fix(task, key, entry, holder, reading.wait)
        return self._finish(reading, now)

    def _finish(self, reading: Reading, now: Millis) -> Effects:
        op, complete = reading.op, all(key in reading.found for key in reading.keys)
        if op not in self._readings or reading.astray or not complete:
            return []
        del self._readings[op]
        return self._conclude(op, [reading.found[key] for key in reading.keys], now)

    # ------------------------------------------------------------ what comes to nothing

    def _go_astray(
        self,
        reading: Reading,
        why: str,
        now: Millis,
        due: Mapping[str, Due] = NOTHING_DUE,
        lost: bool = False,
    ) -> Effects:
        """The attempt cannot be what its level promises, and its client is asked for another one."""
        return [*self.recalls.go_astray(reading, why, now, due, lost), *self.keeping.watch(now)]

    def lose(self, holder: PeerName, now: Millis) -> Effects:
        """An executor is gone, with all that it kept: who waits for it waits in vain."""
        effects = self.claims.lose(holder, now)
        for reading, key in self.recalls.at(holder):
            why = f"executor {holder!r}, which kept the version of key {key!r} that it reads, is lost"
            effects += self._go_astray(reading, why, now, lost=True)
        return effects

    def forget(self, op: int) -> Effects:
        """Nobody waits for this reading any more."""
        reading = self._readings.pop(op, None)
        self.recalls.forget(op)
        parts = [] if reading is None else reading.parts
        return [effect for part in parts for effect in self._cancel(part)]

    # ------------------------------------------------------------ the end

    def release(self, attempt: Attempt) -> Effects:
        """This attempt is over: keep nothing for it, and wait for nothing."""
        self.keeping.end(attempt)
        self.claims.release(attempt)
        self.recalls.release(attempt)
        effects = self.holder.release(attempt)
        if not self._readings:
            return effects
        for op in [op for op, reading in self._readings.items() if reading.attempt == attempt]:
            effects += [*self.forget(op), *self._cancel(op)]
        return effects

    def release_all(self, client: PeerName) -> Effects:
        """This client is gone; what others still ask for its calls is not kept."""
        self.keeping.lose(client)
        attempts = [*self._attempts(), *(reading.attempt for reading in self._readings.values())]
        gone = [attempt for attempt in dict.fromkeys(attempts) if attempt[0] == client]
        return [effect for attempt in gone for effect in self.release(attempt)]

    def watch(self, now: Millis) -> Effects:
        """See to it that what is kept is asked after, should nobody release it."""
        return self.keeping.watch(now) if self.kept else []

    def on_wanted_timer(self, now: Millis) -> Effects:
        """Ask the clients of what is kept whether they still want it."""
        return self.keeping.ask(self._attempts(), now)

    def _attempts(self) -> list[Attempt]:
        """Those for which something is kept here."""
        return [*self.kept, *self.holder.attempts, *self.recalls.astray, *self.claims.attempts]
