"""Repeatable reads: which version of a key a call reads, who keeps it, and how the others get it.

Law: one version per attempt, key and own writes before it, on whichever executor. Once it is fixed, its
holder keeps the entry until the attempt is over; the call carries version and holder along. Whoever
reads the key later uses an entry of that version if one is at hand, else recalls it from the holder.

A step that may run beside another one cannot know what the other fixes. So the call's *home*, an executor
that has such a step, fixes for all of them, unless the key is as it was when the attempt began (`agreement`);
a step that is before or after all others fixes for itself.

What is kept is released when the call's last step ends; when it is cancelled, as after a failure; when its
client is gone. Should all that be lost, the client is asked now and then whether the call is under way. One
that never answers is gone too: an executor that it never spoke with is not told of its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor import atomic
from cloudburst_runtime.executor.agreement import ATTEMPTS_KEPT_MIN, BACKOFF_MAX, Claims, unchanged
from cloudburst_runtime.executor.bounded import BoundedDict
from cloudburst_runtime.executor.tasks import Attempt, Task
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices import Atomic
from cloudburst_runtime.messages import (
    Astray,
    Claim,
    Claimed,
    Due,
    Entry,
    Failure,
    Fix,
    Kept,
    Recall,
    Recalled,
    Session,
    UnderWay,
)
from cloudburst_runtime.scheduler.dag import alone
from cloudburst_runtime.vectors import Vector

Effects = list[Any]
Place: TypeAlias = tuple[str, tuple[tuple[int, int], ...]]
"""A key, and the call's own writes of it before the read."""

NO_WRITES: dict[int, int] = {}
NO_FLOOR: Vector = {}
NOTHING: dict[Place, Entry] = {}

WANTED_AFTER = 10
"""After so many resend intervals it is asked whether what is kept is still wanted."""

NOTHING_DUE: Mapping[str, Due] = {}

RECALL_TIMER = "recall"
WANTED_TIMER = "kept"


class _Reading(msgspec.Struct):
    """A read of several keys by a task: what has been found so far."""

    task: Task
    keys: list[str]
    wait: bool
    found: dict[str, Entry] = {}
    parts: list[int] = []
    """Operations of the cache that it waits for."""
    astray: bool = False
    """Whether it is never answered, because its attempt is to be given up."""


class _Recalling(msgspec.Struct):
    """An entry that was asked for, for the reading ``op``."""

    op: int
    holder: PeerName
    message: Recall
    interval: Millis
    due: Millis


class Snapshots:
    """What one executor keeps for calls at ``dsrr``, and recalls from others.

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
        self.kept: BoundedDict[Attempt, dict[Place, Entry]] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._name = name
        self._cache = cache
        self._resend_ms = resend_ms
        self._unanswered_max = unanswered_max
        self._unanswered: dict[Attempt, int] = {}
        self._next_req = next_req
        self._begin = begin
        self._pass_on = pass_on
        self._conclude = conclude
        self._cancel = cancel
        self.claims = Claims(name, resend_ms, next_req)
        self._over: BoundedDict[Attempt, bool] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._gone: BoundedDict[PeerName, bool] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._readings: dict[int, _Reading] = {}
        self._recalls: dict[int, _Recalling] = {}
        self._served: dict[Attempt, dict[tuple[PeerName, int], int]] = {}
        self._alone: BoundedDict[int, tuple[bool, ...]] = BoundedDict(ATTEMPTS_KEPT_MIN)
        self._armed: dict[str, None] = {}
        self._astray: dict[Attempt, Astray] = {}

    @property
    def pending(self) -> int:
        """Recalls and claims that were not answered, and recalls of others that wait here."""
        return len(self._recalls) + self.claims.pending + sum(map(len, self._served.values()))

    # ------------------------------------------------------------ a task reads

    def peek(self, task: Task, key: str) -> Entry | None:
        """What the task reads of a key, if that can be said, or fixed, here and at once."""
        session, attempt = task.session, task.id[:3]
        assert session is not None, task
        if session.writes and key in session.writes:
            return Entry(0, session.writes[key])
        kept = self.kept.get(attempt)
        found = None if kept is None else kept.get(_place(key, session) if session.wrote else (key, ()))
        fix = session.fixed.get(key)
        if fix is not None:
            if found is None:
                held = self._cache.peek(key, NO_FLOOR)
                return held if held is not None and held.version == fix.version else None
            return found
        entry = found or self._cache.peek(key, task.floor)
        if entry is None or (session.home and found is None and self._asks(task, session, key, entry)):
            return None
        if session.level == "atomic" and not self._goes(session, attempt, key, entry):
            return None
        fixed = self._fix(task, key, entry, self._name)
        if session.beside and found is None and self._has_given(task, key):
            self._unfix(task, key)
            return None
        return fixed

    def _unfix(self, task: Task, key: str) -> None:
        """The home claims the key in this very moment: user code reads in one thread, sockets in another.

        Either it was told of what was fixed, or it was seen here that it asked.
        """
        session = _session(task)
        self.kept.get(_attempt(task), {}).pop(_place(key, session), None)
        session.fixed.pop(key, None)

    def _has_given(self, task: Task, key: str) -> bool:
        return self.claims.is_given(_attempt(task), key)

    def _asks(self, task: Task, session: Session, key: str, entry: Entry) -> bool:
        """Whether a task is to ask others before it reads this entry of a key that is not fixed yet."""
        if self._decides(task):
            contested = _is_contested(entry, session.start, key in session.wrote)
            return contested and session.home == self._name and not self._is_alone(task)
        return not (self._is_free(task, key) and unchanged(entry, session.start))

    def _is_free(self, task: Task, key: str) -> bool:
        """Whether a step that does not decide may read the key by itself, should it be unchanged."""
        session = _session(task)
        return self._name in session.beside and key not in session.wrote and not self._has_given(task, key)

    def read(self, task: Task, op: int, keys: list[str], wait: bool, now: Millis) -> Effects:
        """Read keys for the operation ``op``; with ``wait``, once all of them exist."""
        reading = self._readings[op] = _Reading(task, keys, wait)
        effects: Effects = []
        for key in dict.fromkeys(keys):
            entry = self.peek(task, key)
            absent = entry is not None and entry.lattice is None
            if entry is not None and not (wait and absent):
                reading.found[key] = entry
            else:
                effects += self._look_further(op, reading, key, now, anew=absent)
        return effects + self._finish(op, now)

    def _look_further(self, op: int, reading: _Reading, key: str, now: Millis, anew: bool = False) -> Effects:
        """``anew``: what is fixed is the key's absence, and the task waits for its existence."""
        session = _session(reading.task)
        fix = None if anew else session.fixed.get(key)
        if fix is not None and fix.holder == self._name:
            return self._go_astray(op, f"the version of key {key!r} that it reads is no longer kept", now)
        if fix is not None:
            return self._recall(op, reading, key, fix.holder, now)
        if not self._decides(reading.task) and not self._looks(reading.task, key):
            return self._recall(op, reading, key, session.home, now, fix=True)
        part = self._begin(lambda result, later: self._found_here(op, key, result, later))
        reading.parts.append(part)
        read = self._cache.read(part, [key], reading.task.floor, now, reading.wait)
        return self._pass_on(read, now)

    def _looks(self, task: Task, key: str) -> bool:
        """Whether a step that does not decide is to look first whether the key is unchanged."""
        return self._is_free(task, key) and self._cache.peek(key, task.floor) is None

    def _found_here(self, op: int, key: str, result: Any, now: Millis) -> Effects:
        reading = self._readings.get(op)
        if reading is None:
            return []
        if isinstance(result, Failure):
            return self._fail(op, result, now)
        task = reading.task

        def admitted(entry: Entry | None, later: Millis) -> Effects:
            if op not in self._readings:
                return []
            if entry is None:
                why = f"what was read does not go with key {key!r}"
                return self._go_astray(op, why, later, atomic.dues(result[0]))
            if not (_session(task).home and self._asks(task, _session(task), key, entry)):
                return fixed(entry, later)
            if not self._decides(task):
                return self._recall(op, reading, key, _session(task).home, later, fix=True)
            return self._claim(_attempt(task), key, _session(task).beside, entry, fixed, later)

        def fixed(entry: Entry, later: Millis) -> Effects:
            if op not in self._readings:
                return []
            reading.found[key] = self._fix(task, key, entry, self._name, reading.wait)
            return self._finish(op, later)

        return self._admit(_session(task), _attempt(task), key, result[0], admitted, now)

    def _fix(self, task: Task, key: str, entry: Entry, holder: PeerName, waited: bool = False) -> Entry:
        session = task.session
        assert session is not None, task
        wrote = session.wrote.get(key, NO_WRITES)
        place = _placed(key, wrote) if wrote else (key, ())
        kept = self._keep(task.id[:3], place, entry, waited)
        session.fixed[key] = fix = Fix(kept.version, holder, wrote)
        if session.level == "atomic":
            fix.order = atomic.order_of(kept)
            atomic.note(session, kept)
        return kept

    def _finish(self, op: int, now: Millis) -> Effects:
        reading = self._readings.get(op)
        if reading is None or reading.astray or any(key not in reading.found for key in reading.keys):
            return []
        del self._readings[op]
        return self._conclude(op, [reading.found[key] for key in reading.keys], now)

    def _fail(self, op: int, failure: Failure, now: Millis) -> Effects:
        return [*self.forget(op), *self._conclude(op, failure, now)]

    def forget(self, op: int) -> Effects:
        """Nobody waits for this reading any more."""
        reading = self._readings.pop(op, None)
        self._recalls = {req: recall for req, recall in self._recalls.items() if recall.op != op}
        parts = [] if reading is None else reading.parts
        return [effect for part in parts for effect in self._cancel(part)]

    def _decides(self, task: Task) -> bool:
        """Whether what this task reads first may be fixed here."""
        return _session(task).home in ("", self._name) or self._is_alone(task)

    def _is_alone(self, task: Task) -> bool:
        """Whether every other step is before this one or after it."""
        assert task.known is not None
        number = task.known.plan.number
        if number not in self._alone:
            self._alone[number] = alone(task.known.topology)
        return self._alone[number][task.id.node]

    # ------------------------------------------------------------ recalls

    def _recall(
        self, op: int, reading: _Reading, key: str, holder: PeerName, now: Millis, fix: bool = False
    ) -> Effects:
        task = reading.task
        session, attempt = _session(task), _attempt(task)
        req, wait = self._next_req(), fix and reading.wait
        recall = Recall(req, self._name, *attempt, key, session.wrote.get(key, {}), fix, task.floor, wait)
        recall.session = _read(task)
        if fix and session.start:
            recall.start, recall.beside = session.start, session.beside
            self.claims.give(attempt, key)
        self._recalls[req] = _Recalling(op, holder, recall, self._resend_ms, now + self._resend_ms)
        return [Send(holder, recall), *self._arm(RECALL_TIMER, now + self._resend_ms)]

    def on_recalled(self, message: Recalled, now: Millis) -> Effects:
        """An entry that was asked for has come."""
        recall = self._recalls.pop(message.req, None)
        if recall is None:
            return []
        reading, key = self._readings[recall.op], recall.message.key
        if message.entry is None:
            why = f"the version of key {key!r} that it reads is no longer kept, or does not go with others"
            return self._go_astray(recall.op, why, now, message.due)
        if reading.wait and message.entry.lattice is None:
            return self._look_further(recall.op, reading, key, now, anew=True)
        self._cache.observe(key, atomic.stored(message.entry))
        reading.found[key] = self._fix(reading.task, key, message.entry, recall.holder, reading.wait)
        return self._finish(recall.op, now)

    def lose(self, holder: PeerName, now: Millis) -> Effects:
        """An executor is gone, with all that it kept: who waits for it waits in vain."""
        effects = self.claims.lose(holder, now)
        waiting = {
            recall.op: recall.message.key for recall in self._recalls.values() if recall.holder == holder
        }
        for op, key in waiting.items():
            why = f"executor {holder!r}, which kept the version of key {key!r} that it reads, is lost"
            effects += self._go_astray(op, why, now, lost=True)
        return effects

    def _go_astray(
        self, op: int, why: str, now: Millis, due: Mapping[str, Due] = NOTHING_DUE, lost: bool = False
    ) -> Effects:
        """The attempt cannot be what its level promises: ask its client for another one, until it is over."""
        reading = self._readings[op]
        reading.astray = True
        task = reading.task
        free = _session(task).level == "atomic"
        number, attempt = task.id.number, task.id.attempt
        self._astray[_attempt(task)] = Astray(number, attempt, self._name, why, free, lost, dict(due))
        timers = [
            *self._arm(RECALL_TIMER, now + self._resend_ms),
            *self._arm(WANTED_TIMER, now + self._wanted_after),
        ]
        return [*self._say_astray(), *timers]

    def _say_astray(self) -> Effects:
        return [Send(client, message) for (client, _, _), message in self._astray.items()]

    def on_recall_timer(self, now: Millis) -> Effects:
        """Send again what was not answered."""
        del self._armed[RECALL_TIMER]
        effects: Effects = []
        wanted = [recall for recall in self._recalls.values() if not self._readings[recall.op].astray]
        for recall in wanted:
            if recall.due <= now:
                recall.interval = min(2 * recall.interval, BACKOFF_MAX * self._resend_ms)
                recall.due = now + recall.interval
                effects.append(Send(recall.holder, recall.message))
        effects += self._say_astray()
        dues = [recall.due for recall in wanted]
        dues += [now + BACKOFF_MAX * self._resend_ms] if self._astray else []
        return [*effects, *(self._arm(RECALL_TIMER, min(dues)) if dues else [])]

    def on_recall(self, message: Recall, now: Millis) -> Effects:
        """Another executor asks for what is kept here, or is to be fixed here."""
        attempt = (message.client, message.number, message.attempt)
        entry = self.kept.get(attempt, NOTHING).get(_placed(message.key, message.wrote))
        if entry is not None and not (message.wait and entry.lattice is None):
            return [Send(message.sender, Recalled(message.req, entry))]
        if not message.fix or attempt in self._over or message.client in self._gone:
            return [Send(message.sender, Recalled(message.req, None))]
        served = self._served.setdefault(attempt, {})
        who = (message.sender, message.req)
        if who in served:
            return []
        part = served[who] = self._begin(lambda result, later: self._serve(message, result, later))
        read = self._cache.read(part, [message.key], message.floor, now, message.wait)
        return [*self._arm(WANTED_TIMER, now + self._wanted_after), *self._pass_on(read, now)]

    def _serve(self, message: Recall, result: Any, now: Millis) -> Effects:
        attempt = (message.client, message.number, message.attempt)

        def admitted(entry: Entry | None, later: Millis) -> Effects:
            if entry is None or not _is_contested(entry, message.start, bool(message.wrote)):
                return settled(entry, later)
            others = [name for name in message.beside if name != message.sender]
            return self._claim(attempt, message.key, others, entry, settled, later)

        def settled(entry: Entry | None, later: Millis) -> Effects:
            served = self._served.get(attempt, {})
            served.pop((message.sender, message.req), None)
            if not served:
                self._served.pop(attempt, None)
            if entry is not None and attempt not in self._over:
                entry = self._keep(attempt, _placed(message.key, message.wrote), entry, message.wait)
            due = {} if entry is not None or isinstance(result, Failure) else atomic.dues(result[0])
            return [Send(message.sender, Recalled(message.req, entry, due))]

        if isinstance(result, Failure):
            return settled(None, now)
        return self._admit(message.session, attempt, message.key, result[0], admitted, now)

    def _claim(
        self,
        attempt: Attempt,
        key: str,
        others: list[PeerName],
        entry: Entry,
        then: Callable[[Entry, Millis], Effects],
        now: Millis,
    ) -> Effects:
        """What all read of a key that has changed: what another one has read already, else ``entry``."""
        return self.claims.ask(
            attempt, key, others, lambda read, later: then(entry if read is None else read, later), now
        )

    def on_claim(self, message: Claim, now: Millis) -> Effects:
        """A home asks what was read of a key here, and decides on it from now on."""
        attempt = (message.client, message.number, message.attempt)
        if attempt in self._over or message.client in self._gone:
            return [Send(message.sender, Claimed(message.req, None))]
        self.claims.give(attempt, message.key)
        read = self.kept.get(attempt, NOTHING).get(_placed(message.key, NO_WRITES))
        if read is not None and read.lattice is None:
            read = None  # that the key does not exist, none but its home has said
        answer = Send(message.sender, Claimed(message.req, read))
        return [answer, *self._arm(WANTED_TIMER, now + self._wanted_after)]

    # ------------------------------------------------------------ what goes with what was read

    def _others(self, attempt: Attempt) -> list[tuple[str, Entry]]:
        return [(key, entry) for (key, _), entry in self.kept.get(attempt, {}).items()]

    def _goes(self, session: Session | None, attempt: Attempt, key: str, entry: Entry) -> bool:
        """Whether an entry may be read after what the attempt has read, as it is."""
        if session is None or session.level != "atomic":
            return True
        others = self._others(attempt)
        late = atomic.due(session, others, key, entry) is not None
        return not late and not atomic.fractured(session, others, key, entry)

    def _admit(
        self,
        session: Session | None,
        attempt: Attempt,
        key: str,
        entry: Entry,
        then: Callable[[Entry | None, Millis], Effects],
        now: Millis,
        again: bool = True,
    ) -> Effects:
        """What is read of a key where ``entry`` was found: that, or what is due; None if nothing goes."""
        if session is None or self._goes(session, attempt, key, entry):
            return then(entry, now)
        wanted = atomic.due(session, self._others(attempt), key, entry)
        if wanted is None:
            return then(None, now)

        def found(result: Any, later: Millis) -> Effects:
            recorded = None
            if not isinstance(result, Failure):
                recorded = atomic.from_record(key, result[0])
            if recorded is not None and self._goes(session, attempt, key, recorded):
                return self._publish(key, entry, recorded, then, later)
            if recorded is not None:
                return then(None, later)
            return self._read_again(session, attempt, key, then, later) if again else then(None, later)

        record = atomic.record_key(wanted.transaction)
        return self._pass_on(self._cache.read(self._begin(found), [record], self._cache.floor, now), now)

    def _publish(
        self,
        key: str,
        entry: Entry,
        recorded: Entry,
        then: Callable[[Entry | None, Millis], Effects],
        now: Millis,
    ) -> Effects:
        """Put what a record has where ``entry`` was found, and only then show it: others read it later."""
        part = recorded.lattice
        if not isinstance(part, Atomic) or entry.generation > part.stamp:  # it was deleted since
            return then(recorded, now)
        op = self._begin(lambda result, later: then(recorded, later))
        return self._pass_on(self._cache.write(op, key, part, now), now)

    def _read_again(
        self,
        session: Session,
        attempt: Attempt,
        key: str,
        then: Callable[[Entry | None, Millis], Effects],
        now: Millis,
    ) -> Effects:
        """The record is gone: then what it had is in the store."""

        def found(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return then(None, later)
            return self._admit(session, attempt, key, result[0], then, later, again=False)

        return self._pass_on(self._cache.read(self._begin(found), [key], self._cache.floor, now), now)

    # ------------------------------------------------------------ what is kept

    def _keep(self, attempt: Attempt, place: Place, entry: Entry, waited: bool) -> Entry:
        """Keep an entry unless one is kept already: of a key that did not exist, what was ``waited`` for."""
        kept = self.kept.get(attempt)
        if kept is None:
            kept = self.kept.setdefault(attempt, {})
        found = kept.setdefault(place, entry)
        if waited and found.lattice is None and entry.lattice is not None:
            found = kept[place] = entry
        return found

    def release(self, attempt: Attempt) -> Effects:
        """This attempt is over: keep nothing for it, and wait for nothing."""
        self.kept.pop(attempt, None)
        self.claims.release(attempt)
        self._over[attempt] = True
        if not (self._astray or self._served or self._readings):
            return []
        self._astray.pop(attempt, None)
        effects: Effects = []
        for part in self._served.pop(attempt, {}).values():
            effects += self._cancel(part)
        for op in [op for op, reading in self._readings.items() if _attempt(reading.task) == attempt]:
            effects += [*self.forget(op), *self._cancel(op)]
        return effects

    def release_all(self, client: PeerName) -> Effects:
        """This client is gone; what others still ask for its calls is not kept."""
        self._gone[client] = True
        attempts = [
            *self.kept,
            *self._served,
            *self._astray,
            *self.claims.attempts,
            *(_attempt(each.task) for each in self._readings.values()),
        ]
        gone = [attempt for attempt in dict.fromkeys(attempts) if attempt[0] == client]
        return [effect for attempt in gone for effect in self.release(attempt)]

    def watch(self, now: Millis) -> Effects:
        """See to it that what is kept is asked after, should nobody release it."""
        if not self.kept or WANTED_TIMER in self._armed:
            return []
        return self._arm(WANTED_TIMER, now + self._wanted_after)

    def unwanted(self) -> list[Attempt]:
        """The attempts whose clients were asked in vain for too long."""
        return [attempt for attempt, asked in self._unanswered.items() if asked >= self._unanswered_max]

    def on_under_way(self, message: UnderWay, now: Millis) -> Effects:
        """A caller wants what is kept."""
        self._unanswered.pop((message.client, message.number, message.attempt), None)
        return []

    def on_wanted_timer(self, now: Millis) -> Effects:
        """Ask the callers of what is kept whether they still want it."""
        del self._armed[WANTED_TIMER]
        attempts = list(dict.fromkeys([*self.kept, *self._served, *self._astray, *self.claims.attempts]))
        self._unanswered = {attempt: self._unanswered.get(attempt, 0) + 1 for attempt in attempts}
        asked = [Send(client, Kept(number, attempt, self._name)) for client, number, attempt in attempts]
        return [*asked, *(self._arm(WANTED_TIMER, now + self._wanted_after) if attempts else [])]

    @property
    def _wanted_after(self) -> Millis:
        return WANTED_AFTER * self._resend_ms

    def _arm(self, timer: str, due: Millis) -> Effects:
        if timer in self._armed:
            return []
        self._armed[timer] = None
        return [SetTimer(timer, due)]


def _is_contested(entry: Entry, start: Vector, wrote: bool) -> bool:
    """Whether others may have read another version by themselves, unless the call ``wrote`` the key."""
    return bool(start) and not wrote and not unchanged(entry, start)


def _attempt(task: Task) -> Attempt:
    return task.id[:3]


def _session(task: Task) -> Session:
    assert task.session is not None, task
    return task.session


def _read(task: Task) -> Session | None:
    """At ``atomic``, what the task has read so far."""
    session = _session(task)
    if session.level != "atomic":
        return None
    return Session("atomic", fixed=session.fixed, due=session.due)


def _place(key: str, session: Session) -> Place:
    wrote = session.wrote.get(key)
    return _placed(key, wrote) if wrote else (key, ())


def _placed(key: str, wrote: dict[int, int]) -> Place:
    return (key, tuple(sorted(wrote.items())))
