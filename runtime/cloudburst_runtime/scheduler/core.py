"""The scheduler core: takes what clients, executors and the supervisor say, and answers.

Law: the scheduler places, it does not relay: no call and no result passes through here. This file only
routes; what is registered is in `registry`, which processes there are in `pool`, what is kept where in
`placing`, who holds which placement in `leases`, and who still wants one in `grants`.

=====================  ============================================================================
Register, DefineDag,   change the registry; take back the leases on what changed; answer when every
DeleteDag              holder knows, so that "from the next call on" holds for every client
Place                  grant a lease, after pinning its plan and functions where they may run
Hello, Load, Idle,     change the pool, and with it the placement: leases that were cut from another
Exited, PeerLost       placement than the present one are taken back
=====================  ============================================================================

A request that changes something is remembered with its answer, so that a repetition acts only once; the
others may be repeated as they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from cloudburst_runtime.anna.durable import Recovered, dag_place, function_place
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Persist, Received, Send, SetTimer, Timer, Unwritten
from cloudburst_runtime.errors import CloudburstError, NoResources
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import (
    DagSpec,
    DefineDag,
    DeleteDag,
    Describe,
    Doing,
    Done,
    ExecutorLost,
    Failed,
    Fetch,
    FunctionSpec,
    Hello,
    Idle,
    Load,
    Message,
    Place,
    Ran,
    Register,
    Registered,
    Retire,
    Revoked,
    Shed,
    Shutdown,
    Status,
)
from cloudburst_runtime.scheduler.events import Effect, Event, Exited, Kill, Spawn, Stop
from cloudburst_runtime.scheduler.grants import TIMER as PLACES_TIMER
from cloudburst_runtime.scheduler.grants import Grants
from cloudburst_runtime.scheduler.leases import TIMER as REVOKE_TIMER
from cloudburst_runtime.scheduler.leases import Leases
from cloudburst_runtime.scheduler.placing import Holders, Placing
from cloudburst_runtime.scheduler.policy import Uniform
from cloudburst_runtime.scheduler.pool import DOUBTED, LEAVING, READY, STARTING, Pool
from cloudburst_runtime.scheduler.questions import Stored, describe, status
from cloudburst_runtime.scheduler.registry import Planned, Registry
from cloudburst_runtime.scheduler.replies import Replies, refusal

__all__ = ["Effect", "Event", "Exited", "Kill", "SchedulerCore", "Spawn", "Stop"]

SETTLE_MS = 20.0
"""New executors that come one after the other within this time are made known to clients together."""
RETELL_MAX = 3
"""How often the loss of an executor is told again: the message has no acknowledgement."""
LOST_CLIENTS_MAX = 1_000
RETIRED = "retired"
"""The reason that is given when an executor left with nothing to do."""


class _Gone(msgspec.Struct):
    """Why an executor is gone, how often that was told again, and whether somebody was named its heir."""

    reason: str
    times: int = 0
    has_heir: bool = False


class SchedulerCore:
    """The scheduler of one runtime.

    Parameters
    ----------
    holders
        Who has a key cached, for locality.
    uniform
        A source of numbers in [0, 1).
    store_stats
        Keys in the store, their bytes, and the stores on other hosts, for `Status`.
    found
        The functions and DAGs that are on disk.

    Examples
    --------
    >>> scheduler = SchedulerCore(Config(executors_min=1), holders=lambda key: [], uniform=lambda: 0.5)
    >>> scheduler.start(0.0)[0]
    Spawn(name='e1', estates=())
    """

    def __init__(
        self,
        config: Config,
        holders: Holders,
        uniform: Uniform,
        store_stats: Callable[[], Stored] = lambda: (0, 0, {}),
        found: Recovered | None = None,
    ) -> None:
        self.config = config
        self.registry = Registry()
        if found is not None:
            self.registry.restore(found)
        self.pool = Pool(config, 1 if found is None else found.life)
        self.leases = Leases(config)
        self.placing = Placing(config, self.registry, self.pool, holders, uniform)
        self.grants = Grants(config, self.registry, self.pool, self.leases, self.placing)
        self.clients: dict[PeerName, None] = {}
        self._replies = Replies()
        self._store_stats = store_stats
        self._lost_clients: OrderedDict[PeerName, None] = OrderedDict()
        self._retell: dict[PeerName, _Gone] = {}

    def start(self, now: Millis) -> list[Effect]:
        """Start the executors that there are at least."""
        return self.pool.replenish(now)

    def handle(self, event: Event, now: Millis) -> list[Effect]:
        """Take one event; return what is to be done, in order."""
        if isinstance(event, Received):
            return self._received(event.peer, event.message, now)
        if isinstance(event, Timer):
            return self._timer(event.key, now)
        if isinstance(event, Exited):
            return self._executor_gone(event.name, event.reason, now)
        if isinstance(event, Unwritten):
            return self._unwritten(event, now)
        if event.peer in self.pool.executors:
            return self.pool.doubt(event.peer, event.reason, now) + self.grants.refresh(now)
        return self._client_lost(event.peer)

    @staticmethod
    def takes(message: Message) -> bool:
        """Whether a message is for the scheduler."""
        kind = type(message)
        return kind is Hello or kind in _FROM_CLIENTS or kind in _FROM_EXECUTORS

    # ------------------------------------------------------------ routing

    def _received(self, peer: PeerName, message: Message, now: Millis) -> list[Effect]:
        kind = type(message)
        if isinstance(message, Hello):
            return self._hello(peer, message, now)
        if kind in _FROM_EXECUTORS:
            known = self.pool.executors.get(peer)
            if known is None or known.phase not in (READY, LEAVING):
                return []
            return _FROM_EXECUTORS[kind](self, peer, message, now)
        if peer in self._lost_clients or kind not in _FROM_CLIENTS:
            return []
        if peer not in self.pool.executors:
            self.clients[peer] = None
        if kind in _CHANGES:
            return self._once(peer, message, now)
        return self._guarded(peer, message, now)

    def _once(self, client: PeerName, message: Any, now: Millis) -> list[Effect]:
        reply = self._replies.of(client, message.req)
        if reply is None:
            return self._guarded(client, message, now)
        if self.leases.holds_back((client, message.req)):
            return []
        return [Send(client, reply)]

    def _guarded(self, client: PeerName, message: Any, now: Millis) -> list[Effect]:
        try:
            return _FROM_CLIENTS[type(message)](self, client, message, now)
        except CloudburstError as error:
            failed = refusal(message.req, error)
            if type(message) in _CHANGES:
                self._replies.keep(client, message.req, failed)
            return [Send(client, failed)]

    def _timer(self, key: str, now: Millis) -> list[Effect]:
        what, _, name = key.partition(" ")
        if name:
            return self._executor_timer(what, name, now)
        if what == REVOKE_TIMER:
            return self.leases.due(now)
        if what == PLACES_TIMER:
            return self.grants.give_up(now)
        if what == "retell":
            return self._tell_again(now)
        if what == "avoid":
            return self.pool.calm(now) + self.grants.refresh(now)
        if what == "respawn":
            return self.pool.replenish(now)
        return self.grants.refresh(now)

    def _executor_timer(self, what: str, name: PeerName, now: Millis) -> list[Effect]:
        executor = self.pool.executors.get(name)
        if executor is None:
            return []
        if what == "start" and executor.phase == STARTING:
            reason = "it was not ready in time"
            return [Kill(name, reason), *self._executor_gone(name, reason, now)]
        if what == "doubt" and executor.phase == DOUBTED:
            return self._executor_gone(name, executor.doubt, now)
        if what == "retire" and executor.phase == LEAVING:
            return self._retire(name, now)
        return []

    # ------------------------------------------------------------ changes

    def _register(self, client: PeerName, message: Register, now: Millis) -> list[Effect]:
        before = self.registry.found(message.function.name)
        spec = self.registry.register(message.function)
        self.placing.moved()
        outdated = self.placing.unpin(spec.name, spec.version - 1)
        self.placing.forget(spec)
        pins = self.placing.pin_function(spec)
        reply = Registered(message.req, spec.version)
        effects = self._change(
            client, reply, lambda planned: spec.name in planned.functions, now, [*outdated]
        )
        written = self._persist(function_place(spec.name), spec, before)
        return written + pins + effects + self.grants.refresh(now)

    def _define(self, client: PeerName, message: DefineDag, now: Millis) -> list[Effect]:
        name, reply = message.dag.name, Done(message.req)
        before = self.registry.dags.get(name)
        if not self.registry.define(message.dag, message.replace):
            return self._change(client, reply, lambda planned: False, now)
        effects = self._change(client, reply, lambda planned: name in planned.dags, now)
        planned = self.registry.plan("dag", name)
        try:
            pins = self.placing.pin_plan(planned, self.placing.of_plan(planned))
        except NoResources:  # said to whoever calls it, if there is no GPU then either
            pins = []
        written = self._persist(dag_place(name), message.dag, before)
        return written + pins + effects + self.grants.drop_plans(now)

    def _delete(self, client: PeerName, message: DeleteDag, now: Millis) -> list[Effect]:
        before = self.registry.dags.get(message.name)
        self.registry.delete(message.name)
        written = self._persist(dag_place(message.name), None, before)
        return written + self._change(
            client, Done(message.req), lambda planned: message.name in planned.dags, now
        )

    def _persist(
        self, place: bytes, record: Any, before: DagSpec | FunctionSpec | None = None
    ) -> list[Effect]:
        return [Persist(place, record, undo=before)] if self.config.state_dir else []

    def _unwritten(self, event: Unwritten, now: Millis) -> list[Effect]:
        """A change of the registry could not be written: take it back, and refuse it."""
        client, message = event.event.peer, event.event.message
        if isinstance(message, Register):
            self.registry.withdraw(message.function.name, event.persists[0].undo)
        else:
            name = message.dag.name if isinstance(message, DefineDag) else message.name
            self.registry.reset(name, event.persists[0].undo)
        failed = Failed(message.req, event.failure)
        self._replies.keep(client, message.req, failed)
        self.leases.forget_gate((client, message.req))
        return [Send(client, failed), *self.grants.refresh(now)]

    def _change(
        self,
        client: PeerName,
        reply: Registered | Done,
        outdated: Callable[[Planned], bool],
        now: Millis,
        then: Sequence[Effect] = (),
    ) -> list[Effect]:
        """Answer once nobody holds a lease on an outdated plan."""
        plans = self.registry.plans
        self._replies.keep(client, reply.req, reply)
        return self.leases.revoke(
            lambda number: number not in plans or outdated(plans[number]),
            now,
            key=(client, reply.req),
            then=[Send(client, reply), *then],
        )

    # ------------------------------------------------------------ leases

    def _place(self, client: PeerName, message: Place, now: Millis) -> list[Effect]:
        return self.grants.place(client, message, now)

    def _revoked(self, client: PeerName, message: Revoked, now: Millis) -> list[Effect]:
        return self.leases.acknowledged(client, message.req)

    # ------------------------------------------------------------ executors

    def _hello(self, peer: PeerName, message: Hello, now: Millis) -> list[Effect]:
        if message.role != "executor":
            self._lost_clients.pop(peer, None)
            self.clients[peer] = None
            return []
        executor = self.pool.hello(message)
        if executor is None:
            return [Kill(peer, "it was given up")]
        if executor.phase != READY:
            return []
        self.placing.moved()
        effects = self._relieve(now)
        pins = self.placing.welcome(executor)
        if self.pool.starting() and not self.grants.waiting:
            return [*pins, *effects, SetTimer("settle", now + SETTLE_MS)]
        return pins + effects + self.grants.refresh(now)

    def _load(self, peer: PeerName, message: Load, now: Millis) -> list[Effect]:
        return self.pool.loaded(message, peer, now) + self._relieve(now) + self.grants.refresh(now)

    def _doing(self, peer: PeerName, message: Doing, now: Millis) -> list[Effect]:
        self.pool.executors[peer].doing = message.running
        return []

    def _ran(self, peer: PeerName, message: Ran, now: Millis) -> list[Effect]:
        self.registry.count(message.runs)
        return []

    def _relieve(self, now: Millis) -> list[Effect]:
        """Move waiting tasks, after pinning their functions where they go."""
        effects = self.pool.relieve(now, self.registry.gpu_only())
        pins: list[Effect] = []
        self.placing.moved()
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Shed):
                for name in effect.message.to:
                    pins += self.placing.welcome(self.pool.executors[name])
        return pins + effects

    def _idle(self, peer: PeerName, message: Idle, now: Millis) -> list[Effect]:
        if not self.pool.idle(peer):
            return self.grants.refresh(now)
        effects = self.grants.refresh(now)
        effects += self.leases.drain(peer, self.clients, now, then=[Send(peer, Retire())])
        return [*effects, SetTimer(f"retire {peer}", now + 10 * self.config.resend_ms)]

    def _retire(self, name: PeerName, now: Millis) -> list[Effect]:
        """Say it again to one that was told to leave and is still there."""
        told = not self.leases.holds_back(("drain", name))
        again = SetTimer(f"retire {name}", now + 10 * self.config.resend_ms)
        return [Send(name, Retire()), again] if told else [again]

    def _executor_gone(self, name: PeerName, reason: str, now: Millis) -> list[Effect]:
        executor = self.pool.executors.get(name)
        if executor is None:
            return []
        if executor.retiring and not self.leases.holds_back(("drain", name)):
            reason = RETIRED
        self.leases.undrain(name)
        self.grants.forget(name)
        effects = self.leases.forget(name) + self.pool.remove(name, reason, now)
        if executor.seen:
            self._retell[name] = _Gone(reason)
            effects += self._tell(name, self._retell[name])
            effects.append(SetTimer("retell", now + self.config.resend_ms))
        return effects + self.grants.refresh(now)

    def _tell(self, name: PeerName, gone: _Gone) -> list[Effect]:
        """Tell all; one executor, once, that it is the heir."""
        heir = "" if gone.has_heir else next((executor.name for executor in self.pool.ready()), "")
        gone.has_heir = gone.has_heir or bool(heir)
        message = ExecutorLost(name, gone.reason, gone.reason == RETIRED, heir)
        return [Send(peer, message) for peer in [*self.clients, *self.pool.listening()]]

    def _tell_again(self, now: Millis) -> list[Effect]:
        effects: list[Effect] = []
        for name, gone in list(self._retell.items()):
            effects += self._tell(name, gone)
            gone.times += 1
            if gone.times >= RETELL_MAX:
                del self._retell[name]
        if self._retell:
            effects.append(SetTimer("retell", now + self.config.resend_ms))
        return effects

    def _client_lost(self, client: PeerName) -> list[Effect]:
        if client not in self.clients:
            return []
        del self.clients[client]
        self._lost_clients[client] = None
        while len(self._lost_clients) > LOST_CLIENTS_MAX:
            self._lost_clients.popitem(last=False)
        self._replies.forget(client)
        self.grants.forget(client)
        return self.leases.forget(client)

    # ------------------------------------------------------------ questions

    def _fetch(self, peer: PeerName, message: Fetch, now: Millis) -> list[Effect]:
        return self.placing.fetch(peer, message)

    def _describe(self, client: PeerName, message: Describe, now: Millis) -> list[Effect]:
        return [Send(client, describe(self.registry, message))]

    def _status(self, client: PeerName, message: Status, now: Millis) -> list[Effect]:
        store, clients = self._store_stats(), list(self.clients)
        reply = status(message.req, self.config, self.registry, self.pool, store, clients)
        return [Send(client, reply)]

    def _shutdown(self, client: PeerName, message: Shutdown, now: Millis) -> list[Effect]:
        return [Send(client, Done(message.req)), Stop()]

    def validate(self) -> None:
        """Assert what must hold between events; the tests ask after each of theirs."""
        self.pool.validate()
        self.leases.validate()
        for number, grant in self.leases.granted.items():
            assert number in self.registry.plans, f"a lease on plan {number}, which is dropped"
            for client in grant.clients:
                assert client in self.clients or client in self.pool.executors, f"{client} is gone"
        for client, _ in self.grants.waiting:
            assert client in self.clients or client in self.pool.executors, f"{client} waits, and is gone"


Method = Callable[[SchedulerCore, PeerName, Any, Millis], list[Effect]]

_CHANGES: dict[type, Method] = {
    Register: SchedulerCore._register,
    DefineDag: SchedulerCore._define,
    DeleteDag: SchedulerCore._delete,
}
_FROM_CLIENTS: dict[type, Method] = {
    **_CHANGES,
    Place: SchedulerCore._place,
    Revoked: SchedulerCore._revoked,
    Describe: SchedulerCore._describe,
    Status: SchedulerCore._status,
    Shutdown: SchedulerCore._shutdown,
}
_FROM_EXECUTORS: dict[type, Method] = {
    Fetch: SchedulerCore._fetch,
    Load: SchedulerCore._load,
    Idle: SchedulerCore._idle,
    Doing: SchedulerCore._doing,
    Ran: SchedulerCore._ran,
}
