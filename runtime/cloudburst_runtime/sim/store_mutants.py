"""Stores with a planted defect each: replicas, what several of them owe each other, and the disk.

Law: as in `mutants`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cloudburst_runtime.anna.arcs import Lacking
from cloudburst_runtime.anna.commits import committed, publish
from cloudburst_runtime.anna.deltas import Deltas
from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.anna.estates import come_back
from cloudburst_runtime.anna.past import Origin
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.ring import partition_of
from cloudburst_runtime.anna.store import StoreCore
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Persist, Received
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.lattices.compound import family
from cloudburst_runtime.messages import Earlier, Entry, Estate, Put, Want
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.sim.mutant import Mutant
from cloudburst_runtime.vectors import Vector

# ---------------------------------------------------------------- one store


class _Choosing(ReplicaCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._siblings_max = 1


class _Careless(ReplicaCore):
    def _put(self, peer: PeerName, put: Put) -> Any:
        put.once = False
        return super()._put(peer, put)


class _Pretending(ReplicaCore):
    def _put(self, peer: PeerName, put: Put) -> Any:
        if put.req % 5 == 0 and put.key in self.records.live:
            return [self._acknowledge(peer, put.req, self.records.generation(put.key))]
        return super()._put(peer, put)


class _Early(ReplicaCore):
    def handle(self, event: Any, now: Millis) -> Any:
        effects = super().handle(event, now)
        return [_unhurried(effect) if type(effect) is Persist else effect for effect in effects]


def _unhurried(persist: Persist) -> Persist:
    return Persist(persist.place, persist.record, False, persist.undo)


class _Backward(ReplicaCore):
    def __init__(self, config: Config, name: PeerName, found: Recovered | None = None) -> None:
        for versions in [] if found is None else found.versions.values():
            if len(versions) > 1:
                del versions[max(versions)]
        super().__init__(config, name, found)


class _Oblivious(NodeCore):
    def __init__(
        self, config: Config, replica: Any, uniform: Any, found: Any = None, own_store: Any = None
    ) -> None:
        super().__init__(config, replica, uniform, own_store=own_store)


class _Silent(ReplicaCore):
    def _publish(self, key: str, entry: Entry, base: Vector) -> Any:
        effects: Any = super()._publish(key, entry, base)
        for effect in effects[1:]:
            self.watches.peers[effect.peer].pushed -= 1
        return effects[:1]


class _Negligent(ReplicaCore):
    def _put(self, peer: PeerName, put: Put) -> Any:
        put.sync = False
        return super()._put(peer, put)


def _half(replica: ReplicaCore, read: Any) -> Iterator[list[Persist]]:
    """What `commits.finish` does, but for all writes of a record after the first."""
    for record in committed(replica.records):
        persists: list[Persist] = []
        for change in publish(replica.records, read, record):
            persists += replica.keeper.changed(change, True)
            break
        yield [*persists, *replica.keeper.dropped(replica.records.discard(record))]


# ---------------------------------------------------------------- several stores


class _Forgetting(StoreCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        begin = self.reconciler._repair.begin
        self.reconciler._repair.begin = lambda todo: begin({})  # type: ignore[method-assign]


class _Behind(StoreCore):
    def _is_behind(self, store: PeerName, number: int) -> bool:
        return False


class _Trusting(StoreCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.safety.guard = lambda keys, effects, write=None: effects  # type: ignore[method-assign]


class _Omitting(StoreCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        lacking = self.reconciler.lacking

        def most(message: Want) -> Lacking:
            found = lacking(message)
            return found._replace(keys=found.keys[1:])

        self.reconciler.lacking = most  # type: ignore[method-assign]


class _Present(StoreCore):
    def _earlier(self, versions: list[Stored], as_plain: bool) -> list[Earlier]:
        return []


class _Skipping(StoreCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        begin, skipped = self.reconciler._repair.begin, partition_of("k0")
        self.reconciler._repair.begin = lambda todo: begin(  # type: ignore[method-assign]
            {part: sources for part, sources in todo.items() if part != skipped}
        )


class _LastDeltas(Deltas):
    def since(self, key: str, first: int) -> tuple[int, Entry] | None:
        news = super().since(key, first)
        if news is None:
            return None
        return news[0], msgspec.structs.replace(news[1], lattice=self._parts[key][-1].lattice)


class _Dropping(StoreCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deltas.__class__ = _LastDeltas


class _Baseless(StoreCore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deltas.builds_on = lambda *said: True  # type: ignore[method-assign]


class _Deciding(ReplicaCore):
    def absorb(self, key: str, entry: Entry, origin: Origin | None = None, full: Vector | None = None) -> Any:
        mine, theirs = self.records.live.get(key), entry.lattice
        both: Any = (mine and mine.lattice, theirs)
        if all(both) and family(both[0]) != family(both[1]):
            return []
        return super().absorb(key, entry, origin, full)


# ---------------------------------------------------------------- what others have left


def _nothing(*estate: Any) -> Iterator[Any]:
    """What `inherit` does with an estate that is empty."""
    yield from ()


def _none(found: Recovered, name: str, estate: Estate | None, anew: bool) -> list[bytes]:
    """What `come_back` does when nothing is to be kept."""
    return come_back(found, name, None, anew)


class _Hasty(StoreCore):
    def _is_absent(self, event: Received, keys: Iterable[str], now: Millis) -> bool:
        return False


STORE_MUTANTS: dict[str, Mutant] = {
    "level-drops-siblings": Mutant(
        "the store keeps the latest sibling only", replica=_Choosing, scenario="sk"
    ),
    "atomic-twice": Mutant("a call may commit again", replica=_Careless, scenario="atomic"),
    "replica-pretends": Mutant("the store acknowledges some puts without merging", replica=_Pretending),
    "replica-updates-one": Mutant("the store informs only the first reader", replica=_Silent),
    "replica-persists-late": Mutant(
        "the store acknowledges before it persists", replica=_Early, scenario="lww/restarts"
    ),
    "replica-begins-behind": Mutant(
        "the store begins with the versions before the last", replica=_Backward, scenario="lww/restarts"
    ),
    "scheduler-begins-empty": Mutant(
        "the scheduler does not read what was registered", node=_Oblivious, scenario="lww/restarts"
    ),
    "store-forgets-handover": Mutant(
        "a store does not ask for what is its own to keep", store=_Forgetting, scenario="lww/stores"
    ),
    "store-reads-behind": Mutant(
        "a store answers with less than the reader has seen", store=_Behind, scenario="lww/stores"
    ),
    "replica-ignores-disk": Mutant(
        "a put is acknowledged before it is on disk, whatever it asks for",
        replica=_Negligent,
        scenario="lww/restarts",
    ),
    "atomic-half": Mutant(
        "of what a call had committed, half is published at a restart",
        finish=_half,
        scenario="atomic/restarts",
    ),
    "store-acknowledges-alone": Mutant(
        "a store acknowledges before another one has it", store=_Trusting, scenario="lww/ambush"
    ),
    "store-omits-a-key": Mutant(
        "a store does not send all that another one lacks", store=_Omitting, scenario="lww/stores"
    ),
    "handover-without-history": Mutant(
        "a store hands over what is current of a key, and nothing before", store=_Present, scenario="versions"
    ),
    "repair-skips-a-part": Mutant(
        "a store does not compare one part that has lost an owner", store=_Skipping, scenario="lww/stores"
    ),
    "gossip-drops-a-part": Mutant(
        "of several changes to one key only the last is told", store=_Dropping, scenario="calls/stores"
    ),
    "gossip-on-any-base": Mutant(
        "what is new of a key is merged whatever is there", store=_Baseless, scenario="calls/stores"
    ),
    "types-drop-one": Mutant(
        "of two types under one key one is dropped", replica=_Deciding, scenario="calls/stores"
    ),
    "store-comes-back-empty": Mutant(
        "a store on another host comes back with nothing", come_back=_none, scenario="lww/abroad"
    ),
    "store-waits-for-nobody": Mutant(
        "what only a store has that is away is served without it", store=_Hasty, scenario="lww/abroad"
    ),
    "heir-begins-empty": Mutant(
        "who takes a dead store's place has nothing of it", take_over=_nothing, scenario="lww/estates"
    ),
    "heir-serves-early": Mutant(
        "who takes a dead store's place serves before it has read what that left",
        heir_waits_ms=1_000.0,
        scenario="lww/estates",
    ),
}
