"""How a client comes to a placement: leases cut from the present placement, and requests that wait for one.

Law: a lease is granted only on executors that are ready, after its plan and functions were sent there;
whenever the placement is no longer the one a lease was cut from, the lease is taken back.
"""

from __future__ import annotations

from collections import OrderedDict

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.errors import CloudburstError, NoResources, RuntimeUnavailable
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Lease, Place, Placed
from cloudburst_runtime.scheduler.events import Effect
from cloudburst_runtime.scheduler.leases import Leases, Placement
from cloudburst_runtime.scheduler.placing import Placing
from cloudburst_runtime.scheduler.pool import Pool
from cloudburst_runtime.scheduler.registry import Planned, Registry
from cloudburst_runtime.scheduler.replies import refusal

TIMER = "places"
WAIT_MS = 10_000.0
"""How long a request waits for an executor."""
WAITING_MAX = 10_000


class Grants:
    """Answers to `Place`."""

    def __init__(
        self, config: Config, registry: Registry, pool: Pool, leases: Leases, placing: Placing
    ) -> None:
        self._config = config
        self._registry = registry
        self._pool = pool
        self._leases = leases
        self._placing = placing
        self.waiting: OrderedDict[tuple[PeerName, int], tuple[Place, Millis]] = OrderedDict()

    def place(
        self, client: PeerName, message: Place, now: Millis, deadline: Millis | None = None
    ) -> list[Effect]:
        """Grant a lease, or keep the request until an executor is ready.

        Raises
        ------
        FunctionNotFound, DagNotFound, NoResources, RuntimeUnavailable
            What the client is to be told instead.
        """
        planned = self._registry.plan(message.kind, message.target, message.continuation)
        dropped = self.drop_plans(now)
        basis = self._basis(planned)
        if not all(basis):
            return dropped + self._wait(client, message, now, deadline or now + WAIT_MS)
        self.waiting.pop((client, message.req), None)
        pins = self._placing.pin_plan(planned, basis)
        serial = self._leases.grant(client, planned.plan.number, basis)
        placement = self._placing.toward(planned, basis, message.refs)
        lease = Lease(planned.plan, placement, self._config.policy, serial)
        return [*dropped, *pins, Send(client, Placed(message.req, lease))]

    def refresh(self, now: Millis) -> list[Effect]:
        """The placement may have changed: take back what was cut from another, place what waits."""
        self._placing.moved()
        stale = {
            number: None
            for number, grant in self._leases.granted.items()
            if self._present(self._registry.plans[number]) != grant.basis
        }
        effects = self._leases.revoke(stale.__contains__, now) if stale else []
        for (client, _), (message, deadline) in list(self.waiting.items()):
            effects += self._place_waiting(client, message, now, deadline)
        return effects

    def give_up(self, now: Millis) -> list[Effect]:
        """The timer: answer those that waited too long."""
        effects: list[Effect] = []
        for (client, req), (_, deadline) in list(self.waiting.items()):
            if deadline > now:
                return [*effects, SetTimer(TIMER, deadline)]
            del self.waiting[client, req]
            last = f"; the last one that ended: {self._pool.last_reason}" if self._pool.last_reason else ""
            error = RuntimeUnavailable(
                f"no executor of runtime {self._config.name!r} became ready "
                f"within {WAIT_MS / 1000:.0f} s{last}"
            )
            effects.append(Send(client, refusal(req, error)))
        return effects

    def forget(self, client: PeerName) -> None:
        """The client is lost."""
        for key in [key for key in self.waiting if key[0] == client]:
            del self.waiting[key]

    def drop_plans(self, now: Millis) -> list[Effect]:
        """Take back the leases on plans that the registry drops to stay within its bound."""
        dropped = dict.fromkeys(self._registry.trim())
        return self._leases.revoke(dropped.__contains__, now) if dropped else []

    def _basis(self, planned: Planned) -> Placement:
        try:
            return self._placing.of_plan(planned)
        except NoResources:
            if self._config.gpus and self._pool.starting():
                return [[]]
            raise

    def _present(self, planned: Planned) -> Placement:
        try:
            return self._placing.of_plan(planned)
        except NoResources:
            return []

    def _wait(self, client: PeerName, message: Place, now: Millis, deadline: Millis) -> list[Effect]:
        effects = self._pool.replenish(now)
        if self._pool.broken(now) and not self._pool.starting():
            raise RuntimeUnavailable(
                f"executors of runtime {self._config.name!r} end before they are ready, and are not started "
                f"again for now; the last one: {self._pool.last_reason}"
            )
        if len(self.waiting) >= WAITING_MAX:
            raise RuntimeUnavailable(f"{WAITING_MAX} requests wait already for an executor")
        if not self.waiting:
            effects.append(SetTimer(TIMER, deadline))
        self.waiting.setdefault((client, message.req), (message, deadline))
        return effects

    def _place_waiting(self, client: PeerName, message: Place, now: Millis, deadline: Millis) -> list[Effect]:
        try:
            return self.place(client, message, now, deadline)
        except CloudburstError as error:
            self.waiting.pop((client, message.req), None)
            return [Send(client, refusal(message.req, error))]
