"""Repeatable reads: which version of a key a call reads, who keeps it, and how the others get it.

Law: one version per attempt, key and own writes before it, on whichever executor. Once it is fixed, its
holder keeps the entry until the attempt is over; the call carries version and holder along. Whoever
reads the key later uses an entry of that version if one is at hand, else recalls it from the holder.

A step that may run beside another one cannot know what the other fixes. So the call's *home*, an executor
that has such a step, fixes for all of them; a step that is before or after all others fixes for itself.

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
from cloudburst_runtime.executor.bounded import BoundedDict
from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices import Atomic
from cloudburst_runtime.messages import (
    Astray,
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

Effects = list[Any]
Attempt: TypeAlias = tuple[PeerName, int, int]
Place: TypeAlias = tuple[str, tuple[tuple[int, int], ...]]
"""A key, and the call's own writes of it before the read."""

ATTEMPTS_KEPT_MIN = 1024
"""Attempts for which something is kept, at least."""

BACKOFF_MAX = 10
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
        """Recalls that were not answered, and those of others that wait here."""
        return len(self._recalls) + sum(map(len, self._served.values()))

    # ------------------------------------------------------------ a task reads

    def peek(self, task: Task, key: str) -> Entry | None:
        """What the task reads of a key, if that can be said, or fixed, here and at once."""
        session = _session(task)
        wrote = session.wrote.get(key, {})
        if key in session.writes:
            return Entry(0, session.writes[key])
        kept = self._kept(_attempt(task), key, wrote)
        fix = session.fixed.get(key)
        if fix is not None:
            if kept is None:
                held = self._cache.peek(key, {})
                return held if held is not None and held.version == fix.version else None
            return kept
        if not self._decides(task):
            return None
        entry = self._cache.peek(key, task.floor) if kept is None else kept
        if entry is None or not self._goes(session, _attempt(task), key, entry):
            return None
        return self._fix(task, key, entry, self._name)

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
        if not self._decides(reading.task):
            return self._recall(op, reading, key, session.home, now, fix=True)
        part = self._begin(lambda result, later: self._found_here(op, key, result, later))
        reading.parts.append(part)
        read = self._cache.read(part, [key], reading.task.floor, now, reading.wait)
        return self._pass_on(read, now)

    def _found_here(self, op: int, key: str, result: Any, now: Millis) -> Effects:
        reading = self._readings.get(op)
        if reading is None:
            return []
        if isinstance(result, Failure):
            return self._fail(op, result, now)

        def admitted(entry: Entry | None, later: Millis) -> Effects:
            if op not in self._readings:
                return []
            if entry is None:
                why = f"what was read does not go with key {key!r}"
                return self._go_astray(op, why, later, atomic.dues(result[0]))
            reading.found[key] = self._fix(reading.task, key, entry, self._name, reading.wait)
            return self._finish(op, later)

        return self._admit(_session(reading.task), _attempt(reading.task), key, result[0], admitted, now)

    def _fix(self, task: Task, key: str, entry: Entry, holder: PeerName, waited: bool = False) -> Entry:
        session = _session(task)
        wrote = session.wrote.get(key, {})
        kept = self._keep(_attempt(task), key, wrote, entry, waited)
        if session.level == "atomic":
            session.fixed[key] = Fix(kept.version, holder, wrote, atomic.order_of(kept))
            atomic.note(session, kept)
        else:
            session.fixed[key] = Fix(kept.version, holder, wrote)
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
        home = _session(task).home
        if home in ("", self._name):
            return True
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
        wrote = _session(task).wrote.get(key, {})
        req, wait = self._next_req(), fix and reading.wait
        recall = Recall(req, self._name, *_attempt(task), key, wrote, fix, task.floor, wait, _read(task))
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
        waiting = {
            recall.op: recall.message.key for recall in self._recalls.values() if recall.holder == holder
        }
        effects: Effects = []
        for op, key in waiting.items():
            why = f"executor {holder!r}, which kept the version of key {key!r} that it reads, is lost"
            effects += self._go_astray(op, why, now)
        return effects

    def _go_astray(self, op: int, why: str, now: Millis, due: Mapping[str, Due] = NOTHING_DUE) -> Effects:
        """The attempt cannot be what its level promises: ask its client for another one, until it is over."""
        reading = self._readings[op]
        reading.astray = True
        task = reading.task
        free = _session(task).level == "atomic"
        number, attempt = task.id.number, task.id.attempt
        self._astray[_attempt(task)] = Astray(number, attempt, self._name, why, free, dict(due))
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
        entry = self._kept(attempt, message.key, message.wrote)
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
            served = self._served.get(attempt, {})
            served.pop((message.sender, message.req), None)
            if not served:
                self._served.pop(attempt, None)
            if entry is not None and attempt not in self._over:
                entry = self._keep(attempt, message.key, message.wrote, entry, message.wait)
            due = {} if entry is not None or isinstance(result, Failure) else atomic.dues(result[0])
            return [Send(message.sender, Recalled(message.req, entry, due))]

        if isinstance(result, Failure):
            return admitted(None, now)
        return self._admit(message.session, attempt, message.key, result[0], admitted, now)

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

    def _kept(self, attempt: Attempt, key: str, wrote: dict[int, int]) -> Entry | None:
        kept = self.kept.get(attempt)
        return None if kept is None else kept.get(_place(key, wrote))

    def _keep(self, attempt: Attempt, key: str, wrote: dict[int, int], entry: Entry, waited: bool) -> Entry:
        """Keep an entry unless one is kept already: of a key that did not exist, what was ``waited`` for."""
        if attempt not in self.kept:
            self.kept[attempt] = {}
        kept, place = self.kept[attempt], _place(key, wrote)
        if place not in kept or (waited and kept[place].lattice is None and entry.lattice is not None):
            kept[place] = entry
        return kept[place]

    def release(self, attempt: Attempt) -> Effects:
        """This attempt is over: keep nothing for it, and wait for nothing."""
        self.kept.pop(attempt, None)
        self._astray.pop(attempt, None)
        self._over[attempt] = True
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
            *(_attempt(each.task) for each in self._readings.values()),
        ]
        gone = [attempt for attempt in dict.fromkeys(attempts) if attempt[0] == client]
        return [effect for attempt in gone for effect in self.release(attempt)]

    def watch(self, now: Millis) -> Effects:
        """See to it that what is kept is asked after, should nobody release it."""
        return self._arm(WANTED_TIMER, now + self._wanted_after) if self.kept else []

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
        attempts = list(dict.fromkeys([*self.kept, *self._served, *self._astray]))
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


def _place(key: str, wrote: dict[int, int]) -> Place:
    return key, tuple(sorted(wrote.items())) if wrote else ()
