"""The journal: what cores persist is on disk before anything that depends on it is sent.

Law: *all persistence of a batch precedes its sends.* A core says `Persist` among its effects and need not
know when that happens; the journal takes a batch of events, gathers what is to be written, writes it in one
transaction (*group commit*), and gives out the effects only then. What need not be waited for is written
with the next batch that is, or after `flush_ms`.

If the transaction cannot be written, each event's part is tried by itself. Where that fails too, what the
event was to send is dropped, as if the network had lost it, and the core hears `Unwritten`: it takes the
change back and refuses the request. What was answered already, since nobody waited, is *refused*: it is
kept and tried again, and until the disk has it, everybody waits, so that who writes hears of a full disk.
A read that lets values leave memory is answered also if there is no room for them: they stay.

A `Journal` wraps a core and is one. What it asks of the disk is `Storage`, real or simulated; without one, it
makes one when it is first needed (for values that do not fit into memory).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from cloudburst_runtime.anna.durable import Damaged, key_of, pack, unpack
from cloudburst_runtime.effects import Core, Load, Loaded, Persist, Send, SetTimer, Timer, Unwritten
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.messages import Failure

TIMER = "journal:flush"
RETRY_FLUSHES = 10
"""What was refused is tried again after so many times ``flush_ms``."""
LOADS_MAX = 10
"""How often one event may ask to load: what it needs is there after the first time."""

_JOURNALED = (Persist, Load)


class Storage(Protocol):
    """What lies on disk, by place."""

    def write(self, changes: dict[bytes, bytes | None], beyond: bool = False) -> None:
        """Write all of this, or, with an exception, nothing; it is on disk when this returns.

        ``beyond``: also if that is more than it is to have.

        Raises
        ------
        StorageFull, StorageError
            If it cannot be done.
        """
        ...

    def read(self, place: bytes) -> bytes | None:
        """What was written under a place."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Group(NamedTuple):
    """What one event has led to."""

    event: Any
    effects: list[Any]
    persists: list[Persist]


class Journal:
    """A core whose effects wait for the disk.

    Parameters
    ----------
    core
        What decides.
    storage
        Where to write.
    open_storage
        Makes a storage when there is none and one is needed.
    flush_ms
        How long something that is not waited for may not be on disk.

    Examples
    --------
    >>> from cloudburst_runtime.anna.replica import ReplicaCore
    >>> from cloudburst_runtime.config import Config
    >>> from cloudburst_runtime.effects import Received
    >>> from cloudburst_runtime.lattices import Max
    >>> from cloudburst_runtime.messages import Put
    >>> class Disk(dict):
    ...     read, close = dict.get, dict.clear
    ...     def write(self, changes, beyond=False):
    ...         self.update(changes)
    >>> disk = Disk()
    >>> journal = Journal(ReplicaCore(Config(state_dir="somewhere")), disk)
    >>> [acknowledgement] = journal.handle(Received("c1", Put(1, "k", Max(7))), 0.0)
    >>> len(disk)
    1
    """

    def __init__(
        self,
        core: Core,
        storage: Storage | None = None,
        open_storage: Callable[[], Storage] | None = None,
        flush_ms: Millis = 100.0,
    ) -> None:
        self.core = core
        self.storage = storage
        self.unwritten = 0
        """How often something could not be written."""
        self._open_storage = open_storage
        self._flush_ms = flush_ms
        self._staged: dict[bytes, Any] = {}  # what is not on disk yet, the newest of each place
        self._refused: dict[bytes, Any] = {}  # what was acknowledged, and then could not be written
        self._armed = False

    def start(self, now: Millis) -> list[Any]:
        """Bring the core to life."""
        return self._settle([self._group(None, self.core.start(now), now)], now)

    def handle(self, event: Any, now: Millis) -> list[Any]:
        """Take one event; return what is to be done once what it persists is on disk."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Iterable[Any], now: Millis) -> list[Any]:
        """Take events; return what is to be done, in order, once all that they persist is on disk."""
        groups: list[_Group] = []
        flush = False
        for event in events:
            if type(event) is Timer and event.key == TIMER:
                flush, self._armed = True, False
            else:
                groups.append(self._group(event, self.core.handle(event, now), now))
        return self._settle(groups, now, flush)

    def flush(self) -> None:
        """Write what nobody waits for, as far as there is room: this is the end."""
        self._write_most(_by_key({**self._refused, **self._staged}))

    # ------------------------------------------------------------ before the disk

    def _group(self, event: Any, effects: Sequence[Any], now: Millis) -> _Group:
        """Sort an event's effects; what it must load is loaded, and the event taken again."""
        sent: list[Any] = []
        persists: list[Persist] = []
        for _ in range(LOADS_MAX):
            loads = []
            for effect in effects:
                if type(effect) not in _JOURNALED:
                    sent.append(effect)
                elif type(effect) is Load:
                    loads.append(effect)
                else:
                    persists.append(effect)
                    self._staged[effect.place] = effect.record
            if not loads:
                break
            effects = [again for load in loads for again in self._loaded(load, now)]
        return _Group(event, sent, persists)

    def _loaded(self, load: Load, now: Millis) -> list[Any]:
        found = {place: self._read(place) for place in load.places}
        return [*self.core.handle(Loaded(found), now), *self.core.handle(load.event, now)]

    def _read(self, place: bytes) -> Any:
        for unwritten in (self._staged, self._refused):
            if place in unwritten:
                return unwritten[place]
        try:
            data = self._disk().read(place)
            return None if data is None else unpack(place, data)
        except (Damaged, StorageError) as error:
            return f"the value of key {key_of(place)!r} cannot be read from disk: {error}"

    def _disk(self) -> Storage:
        if self.storage is None:
            assert self._open_storage is not None, "nothing to write to"
            self.storage = self._open_storage()
        return self.storage

    # ------------------------------------------------------------ the disk, and after

    def _settle(self, groups: list[_Group], now: Millis, flush: bool = False) -> list[Any]:
        if flush and self._refused:
            self._write_most(_by_key(self._refused))
        if self._staged:
            persists = [persist for group in groups for persist in group.persists]
            if flush or any(persist.sync or self._refused for persist in persists):
                if self._write(self._staged) is not None:
                    return self._one_by_one(groups, now)
                self._staged.clear()
        if (self._staged or self._refused) and not self._armed:
            groups.append(self._later(now))
        if len(groups) == 1:
            return groups[0].effects
        return [effect for group in groups for effect in group.effects]

    def _later(self, now: Millis) -> _Group:
        self._armed = True
        soon = self._flush_ms * (RETRY_FLUSHES if self._refused else 1)
        return _Group(None, [SetTimer(TIMER, now + soon)], [])

    def _write(self, changes: dict[bytes, Any], beyond: bool = False) -> Failure | None:
        packed = {place: None if record is None else pack(place, record) for place, record in changes.items()}
        try:
            self._disk().write(packed, beyond)
        except StorageError as error:
            return Failure(type(error).__name__, str(error))
        if self._refused:
            for place in changes:  # what is written of a place is later than what was refused
                self._refused.pop(place, None)
        return None

    def _write_most(self, units: list[dict[bytes, Any]]) -> dict[bytes, Any]:
        """Write as many of these as there is room for, each whole or not at all; the others come back."""
        together = {place: record for unit in units for place, record in unit.items()}
        if not together or self._write(together) is None:
            return {}
        if len(units) == 1:
            return together
        half = len(units) // 2
        return {**self._write_most(units[:half]), **self._write_most(units[half:])}

    def _one_by_one(self, groups: list[_Group], now: Millis) -> list[Any]:
        """The batch cannot be written: write what can be, in order; the rest is taken back, in reverse."""
        failed: list[tuple[int, Unwritten]] = []
        ours = {persist.place for group in groups for persist in group.persists}
        waiting = {place: record for place, record in self._staged.items() if place not in ours}
        self._staged = {}
        self._refused.update(self._write_most(_by_key(waiting)))
        for index, group in enumerate(groups):
            if not group.persists:
                continue
            moved = any(persist.moved for persist in group.persists)
            failure = self._write({persist.place: persist.record for persist in group.persists}, moved)
            if failure is not None:
                event = None if all(persist.spare for persist in group.persists) else group.event
                failed.append((index, Unwritten(event, group.persists, failure)))
        for index, unwritten in reversed(failed):
            self.unwritten += 1
            kept = groups[index].effects
            if unwritten.event is not None:
                kept = [effect for effect in kept if type(effect) is not Send]
            groups[index] = groups[index]._replace(effects=[*kept, *self.core.handle(unwritten, now)])
        if self._refused and not self._armed:
            groups.append(self._later(now))
        return [effect for group in groups for effect in group.effects]


def _by_key(changes: dict[bytes, Any]) -> list[dict[bytes, Any]]:
    """Changes in pieces that belong together: a version may go only if the one after it is there."""
    units: dict[str, dict[bytes, Any]] = {}
    for place, record in changes.items():
        units.setdefault(key_of(place), {})[place] = record
    return list(units.values())
