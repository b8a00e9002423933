"""Atomic function writes: what goes with what, and the publishing of what a call wrote.

Law: a call's plain writes are kept in its session, which reads them back, and travel with it. The last step
publishes them under the name of the call: first, in one write, the *record* of all of them, which is the
commit; then each under its own key, with the record's name and all its keys; then the result goes out. The
record stays until all of it has been published, also where there is no room for some of it at first. So a
call that fails or is tried again has published nothing, and one whose last step was lost is tried again,
finds the record, and publishes that, and no other.

Who reads one of these writes knows what the others are due (`due`): if a key is found to be older than that,
the record has what it is to be, and it is put there before it is shown, for others may read it next. If, the
other way round, a key was read before it was overwritten by the call that made what is read now, the two do
not go together (`fractured`), and the attempt goes astray: another one begins. The reads are after Bailis et
al., "Scalable Atomic Visibility with RAMP Transactions" (SIGMOD 2014), the writes after Sreekanti et al., "A
Fault-Tolerance Shim for Serverless Computing" (EuroSys 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from cloudburst_runtime.anna import sessions
from cloudburst_runtime.anna.cache import CacheCore
from cloudburst_runtime.anna.outbox import Terms
from cloudburst_runtime.anna.transactions import dues, order_of, record_key
from cloudburst_runtime.effects import SetTimer
from cloudburst_runtime.errors import StorageFull
from cloudburst_runtime.executor.tasks import Task
from cloudburst_runtime.ids import HybridClock, Millis, PeerName
from cloudburst_runtime.lattices import LWW, AnyLattice, Atomic, MapLattice
from cloudburst_runtime.lattices.causal import NEVER
from cloudburst_runtime.messages import TAKEN, WAITS, Due, Entry, Failure, Session
from cloudburst_runtime.values import Value, canonical

Effects = list[Any]
Published: TypeAlias = Callable[[Value | Failure, int, Millis], Effects]
"""Gets a call's value, and the attempt whose value and writes these are; or why it cannot be."""

RECORD_KEPT_MS = 30_000.0
"""How long a record outlives the publishing of its writes; after as long the rest is tried again."""

FULL = StorageFull.__name__

TIMER = "records"

RESULT = canonical(("result",))
"""Where a record has the call's result; its stamp is the number of the attempt."""


# ---------------------------------------------------------------- what goes with what


def due(session: Session, others: Iterable[tuple[str, Entry]], key: str, entry: Entry) -> Due | None:
    """What the key is due after what was read, if that is later than the entry."""
    wanted = session.due.get(key)
    for _, read in others:
        found = dues(read).get(key)
        if found is not None and (wanted is None or found.order > wanted.order):
            wanted = found
    return wanted if wanted is not None and wanted.order > order_of(entry) else None


def fractured(session: Session, others: Iterable[tuple[str, Entry]], key: str, entry: Entry) -> bool:
    """Whether the entry's transaction wrote a key that was read as it was before."""
    wrote = dues(entry)
    read = {name: fix.order or NEVER for name, fix in session.fixed.items()}
    read.update((name, order_of(other)) for name, other in others)
    return any(name in read and read[name] < wanted.order for name, wanted in wrote.items() if name != key)


def note(session: Session, entry: Entry) -> None:
    """The session has read this entry."""
    session.due = sessions.latest(session.due, dues(entry))


def _mismatch(keys: list[str], entries: list[Entry]) -> Failure | None:
    """Why plain values cannot be published under these keys."""
    for key, entry in zip(keys, entries, strict=True):
        if not isinstance(entry.lattice, LWW | Atomic | None):
            text = (
                f"key {key!r} holds a {entry.lattice.name!r} lattice, and a call at 'atomic' a plain value: "
                "nothing of the call is published; put it under another key, or delete the key first"
            )
            return Failure("LatticeMismatch", text)
    return None


# ---------------------------------------------------------------- publishing


class _Rest(NamedTuple):
    """What is still to be published of a record, which lies under ``key``; ``sync`` as for any write."""

    key: str
    record: MapLattice
    names: tuple[str, ...]
    sync: bool | None

    def after(self, failures: dict[str, Failure]) -> _Rest:
        """What is left when these went wrong: those for which there may be room later."""
        return self._replace(names=tuple(name for name in failures if failures[name].kind == FULL))


def _incomplete(failure: Failure) -> Failure:
    text = f"the call has committed, and not all of its writes could be published yet: {failure.message}"
    return Failure(failure.kind, text)


class Publishing:
    """Publishes what calls have written, for one executor.

    Parameters
    ----------
    name, clock, cache
        The executor's.
    begin, pass_on
        Of its operations: a new one, and the cache's effects.
    """

    def __init__(
        self,
        name: PeerName,
        clock: HybridClock,
        cache: CacheCore,
        begin: Callable[[Callable[[Any, Millis], Effects]], int],
        pass_on: Callable[[Effects, Millis], Effects],
    ) -> None:
        self._name = name
        self._clock = clock
        self._cache = cache
        self._begin = begin
        self._pass_on = pass_on
        self._kept: list[tuple[Millis, _Rest]] = []  # records, and when they may go, in this order

    def publish(self, task: Task, value: Value, then: Published, now: Millis) -> Effects:
        """Publish a call's writes, unless a key of theirs holds what plain values cannot meet."""
        assert task.session is not None
        keys = sorted(task.session.writes)

        def found(result: Any, later: Millis) -> Effects:
            failure = result if isinstance(result, Failure) else _mismatch(keys, result)
            if failure is not None:
                return then(failure, task.id.attempt, later)
            return self._commit(task, value, then, later)

        return self._pass_on(self._cache.read(self._begin(found), keys, task.floor, now), now)

    def _commit(self, task: Task, value: Value, then: Published, now: Millis) -> Effects:
        assert task.session is not None
        key = record_key(str(task.id.call))
        record = self._record(task, task.session.writes, value, now)

        def committed(result: Any, later: Millis) -> Effects:
            if not isinstance(result, Failure):
                return self._spread(task, key, record, then, later)
            if result.kind != TAKEN:
                return then(result, task.id.attempt, later)
            return self._look(task, key, value, then, later)

        op = self._begin(committed)
        terms = Terms({}, once=True)
        return self._pass_on(self._cache.write(op, key, record, now, self._sync(task), terms), now)

    @staticmethod
    def _sync(task: Task) -> bool | None:
        assert task.session is not None
        return WAITS[task.session.waits]

    def _record(self, task: Task, writes: dict[str, LWW], value: Value, now: Millis) -> MapLattice:
        stamp, name, keys = self._clock.tick(now), str(task.id.call), tuple(sorted(writes))
        parts: dict[bytes, AnyLattice] = {
            canonical(key): Atomic(stamp, self._name, writes[key].value, name, keys) for key in keys
        }
        parts[RESULT] = LWW(task.id.attempt, self._name, value)
        return MapLattice(dict(sorted(parts.items())))

    def _look(self, task: Task, key: str, value: Value, then: Published, now: Millis) -> Effects:
        """The call has committed before: publish that, if it has not been."""

        def found(result: Any, later: Millis) -> Effects:
            if isinstance(result, Failure):
                return then(result, task.id.attempt, later)
            record = result[0].lattice
            if not isinstance(record, MapLattice):
                return then(value, task.id.attempt, later)
            return self._spread(task, key, record, then, later)

        return self._pass_on(self._cache.read(self._begin(found), [key], self._cache.floor, now), now)

    def _spread(self, task: Task, key: str, record: MapLattice, then: Published, now: Millis) -> Effects:
        """Write each key; once all are acknowledged, the call is over."""
        result = record.entries[RESULT]
        assert isinstance(result, LWW)
        some = next((part for part in record.entries.values() if isinstance(part, Atomic)), None)
        rest = _Rest(key, record, () if some is None else some.keys, self._sync(task))
        if task.session is not None and some is not None:
            note(task.session, Entry(0, some))

        def done(failures: dict[str, Failure], later: Millis) -> Effects:
            told = next(map(_incomplete, failures.values()), result.value)
            return [*self._keep(rest.after(failures), later), *then(told, result.stamp, later)]

        return self._write(rest, done, now)

    def _write(
        self, rest: _Rest, done: Callable[[dict[str, Failure], Millis], Effects], now: Millis
    ) -> Effects:
        """Write the keys that are left of a record; ``done`` gets what went wrong, by key."""
        left = dict.fromkeys(rest.names)
        failures: dict[str, Failure] = {}

        def written(name: str) -> Callable[[Any, Millis], Effects]:
            def one(answer: Any, later: Millis) -> Effects:
                del left[name]
                if isinstance(answer, Failure):
                    failures[name] = answer
                return [] if left else done(failures, later)

            return one

        effects: Effects = []
        for name in rest.names:
            op = self._begin(written(name))
            part = rest.record.entries[canonical(name)]
            effects += self._pass_on(self._cache.write(op, name, part, now, rest.sync), now)
        return effects

    # ------------------------------------------------------------ records that are not needed any more

    def _keep(self, rest: _Rest, now: Millis) -> Effects:
        self._kept.append((now + RECORD_KEPT_MS, rest))
        return [SetTimer(TIMER, self._kept[0][0])] if len(self._kept) == 1 else []

    def on_timer(self, now: Millis) -> Effects:
        """Delete the records whose time is over; of those that are not published in full, try the rest."""
        effects: Effects = []
        while self._kept and self._kept[0][0] <= now:
            _, rest = self._kept.pop(0)
            effects += self._try_rest(rest, now) if rest.names else self._delete(rest.key, now)
        return [*effects, *([SetTimer(TIMER, self._kept[0][0])] if self._kept else [])]

    def kept(self) -> dict[str, None]:
        """The records that this executor sees to; not those of which it is writing the keys."""
        return {rest.key: None for _, rest in self._kept}

    def finish(self, key: str, record: MapLattice, names: list[str], now: Millis) -> Effects:
        """See to a record of which these keys are left to be written."""
        rest = _Rest(key, record, tuple(names), None)
        return self._try_rest(rest, now) if names else self._keep(rest, now)

    def _try_rest(self, rest: _Rest, now: Millis) -> Effects:
        return self._write(rest, lambda failures, later: self._keep(rest.after(failures), later), now)

    def _delete(self, key: str, now: Millis) -> Effects:
        op = self._begin(lambda result, later: [])
        return self._pass_on(self._cache.delete(op, key, now), now)
