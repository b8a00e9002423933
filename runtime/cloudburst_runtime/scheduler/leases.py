"""Who holds which placement, and how it is taken back.

Law: whatever waits for a revocation waits here, as a list of effects behind a gate; nothing here knows
what a plan is or where it runs.

A client calls executors directly, on a *lease*; so a change takes effect "from the next call on" only
when every holder of an affected lease knows that it is void. A *notice* tells one client, and is repeated
until the client acknowledges it or is lost. A *gate* holds back the answer to whoever asked for the change
until all notices that matter to it are acknowledged, or its deadline passes (a client may be stopped).

A *drain* is a notice that an executor is leaving: the client acknowledges it once no unfinished call of
its own has that executor in its schedule, and its gate has no deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.ids import Millis, PeerName
from cloudburst_runtime.messages import Revoke
from cloudburst_runtime.scheduler.events import Effect

TIMER = "revoke"
REVOKES_MAX = 30
"""A client that lets so many repetitions go by is not told any more."""

Placement: TypeAlias = list[list[PeerName]]


@dataclass(slots=True)
class Grant:
    """The leases on one plan: the placement that they were cut from, and their holders."""

    basis: Placement
    clients: dict[PeerName, None] = field(default_factory=dict)


@dataclass(slots=True)
class Notice:
    """A revocation that one client has not acknowledged."""

    revoke: Revoke
    due: Millis
    interval: Millis
    sent: int = 1


@dataclass(slots=True)
class Gate:
    """What is to be done once these (client, req) are acknowledged."""

    waits: dict[tuple[PeerName, int], None]
    then: list[Effect]
    deadline: Millis | None


class Leases:
    """The leases of one runtime."""

    def __init__(self, config: Config) -> None:
        self._wait_ms = config.revoke_wait_ms
        self._first_ms = config.revoke_wait_ms / 5
        self._longest_ms = 10 * config.resend_ms
        self.granted: dict[int, Grant] = {}
        self.notices: dict[PeerName, dict[int, Notice]] = {}
        self.gates: dict[Hashable, Gate] = {}
        self._serial = 0
        self._req = 0
        self._armed: Millis | None = None

    def grant(self, client: PeerName, plan: int, basis: Placement) -> int:
        """Note a lease of ``client`` on ``plan``; return its serial."""
        grant = self.granted.get(plan)
        if grant is None:
            grant = self.granted[plan] = Grant(basis)
        grant.clients[client] = None
        self._serial += 1
        return self._serial

    def holds_back(self, key: Hashable) -> bool:
        """Whether what was given to `revoke` under ``key`` has still to wait."""
        return key in self.gates

    def forget_gate(self, key: Hashable) -> None:
        """What was given to `revoke` under ``key`` is not to be done."""
        self.gates.pop(key, None)

    # ------------------------------------------------------------ taking back

    def revoke(
        self,
        affected: Callable[[int], bool],
        now: Millis,
        key: Hashable = None,
        then: Sequence[Effect] = (),
    ) -> list[Effect]:
        """Take back the leases on affected plans.

        Parameters
        ----------
        affected
            Whether the plan of that number is. Also asked for plans that were taken back before and whose
            holders have not all acknowledged it: ``then`` waits for them too.
        key, then
            What to do when all holders know, under a name for `holds_back`.
        """
        pending = [
            (client, req)
            for client, notices in self.notices.items()
            for req, notice in notices.items()
            if any(affected(plan) for plan in notice.revoke.plans)
        ]
        effects: list[Effect] = []
        for client, plans in self._take(affected).items():
            pending.append((client, self._notify(client, plans, [], now, effects)))
        effects += self._gate(key, pending, then, now + self._wait_ms)
        return effects + self._arm(now)

    def drain(
        self, executor: PeerName, clients: Iterable[PeerName], now: Millis, then: Sequence[Effect]
    ) -> list[Effect]:
        """Do ``then`` once none of the clients has use for the executor any more.

        That includes the acknowledgement of what was taken back before: those leases may name it.
        """
        effects: list[Effect] = []
        waits = [
            (client, req)
            for client, notices in self.notices.items()
            for req, notice in notices.items()
            if not notice.revoke.leaving
        ]
        waits += [(client, self._notify(client, [], [executor], now, effects)) for client in clients]
        effects += self._gate(("drain", executor), waits, then, None)
        return effects + self._arm(now)

    def acknowledged(self, client: PeerName, req: int) -> list[Effect]:
        """A client confirmed a notice: open the gates that waited only for this."""
        if self.notices.get(client, {}).pop(req, None) is None:
            return []
        if not self.notices[client]:
            del self.notices[client]
        return self._settle([(client, req)])

    def forget(self, client: PeerName) -> list[Effect]:
        """A client is lost: nobody waits for it."""
        for plan, grant in list(self.granted.items()):
            grant.clients.pop(client, None)
            if not grant.clients:
                del self.granted[plan]
        return self._settle([(client, req) for req in self.notices.pop(client, {})])

    def undrain(self, executor: PeerName) -> None:
        """The executor is gone, its drain is void."""
        self.gates.pop(("drain", executor), None)
        for client, notices in list(self.notices.items()):
            for req, notice in list(notices.items()):
                if executor in notice.revoke.leaving:
                    del notices[req]
            if not notices:
                del self.notices[client]

    def due(self, now: Millis) -> list[Effect]:
        """The timer: open the gates whose deadline passed, and say again what was not acknowledged."""
        self._armed = None
        effects: list[Effect] = []
        for key, gate in list(self.gates.items()):
            if gate.deadline is not None and gate.deadline <= now:
                effects += self.gates.pop(key).then
        for client, notices in list(self.notices.items()):
            for req, notice in list(notices.items()):
                if notice.due <= now:
                    effects += self._repeat(client, req, notice, now)
        return effects + self._arm(now)

    # ------------------------------------------------------------ parts

    def _take(self, affected: Callable[[int], bool]) -> dict[PeerName, list[int]]:
        plans_of: dict[PeerName, list[int]] = {}
        for plan in [plan for plan in self.granted if affected(plan)]:
            for client in self.granted.pop(plan).clients:
                plans_of.setdefault(client, []).append(plan)
        return plans_of

    def _notify(
        self, client: PeerName, plans: list[int], leaving: list[PeerName], now: Millis, effects: list[Effect]
    ) -> int:
        if not leaving:
            plans = self._absorb(client, plans)
        self._req += 1
        revoke = Revoke(self._req, plans, self._serial, leaving)
        notice = Notice(revoke, now + self._first_ms, self._first_ms)
        self.notices.setdefault(client, {})[self._req] = notice
        effects.append(Send(client, revoke))
        return self._req

    def _absorb(self, client: PeerName, plans: list[int]) -> list[int]:
        """Take over the plans of unanswered notices that no gate waits for, so that they stay few."""
        notices = self.notices.get(client, {})
        merged = dict.fromkeys(plans)
        for req, notice in list(notices.items()):
            awaited = any((client, req) in gate.waits for gate in self.gates.values())
            if not notice.revoke.leaving and not awaited:
                merged.update(dict.fromkeys(notice.revoke.plans))
                del notices[req]
        return list(merged)

    def _gate(
        self,
        key: Hashable,
        waits: list[tuple[PeerName, int]],
        then: Sequence[Effect],
        deadline: Millis | None,
    ) -> list[Effect]:
        if not then:
            return []
        open_waits = [(client, req) for client, req in waits if req in self.notices.get(client, {})]
        if not open_waits:
            return list(then)
        self.gates[key] = Gate(dict.fromkeys(open_waits), list(then), deadline)
        return []

    def _settle(self, answered: list[tuple[PeerName, int]]) -> list[Effect]:
        effects: list[Effect] = []
        for key, gate in list(self.gates.items()):
            for wait in answered:
                gate.waits.pop(wait, None)
            if not gate.waits:
                effects += self.gates.pop(key).then
        return effects

    def _repeat(self, client: PeerName, req: int, notice: Notice, now: Millis) -> list[Effect]:
        if notice.sent >= REVOKES_MAX and not notice.revoke.leaving:
            return self.acknowledged(client, req)
        notice.sent += 1
        notice.interval = min(2 * notice.interval, self._longest_ms)
        notice.due = now + notice.interval
        return [Send(client, notice.revoke)]

    def _arm(self, now: Millis) -> list[Effect]:
        times = [notice.due for notices in self.notices.values() for notice in notices.values()]
        times += [gate.deadline for gate in self.gates.values() if gate.deadline is not None]
        if not times or (self._armed is not None and now < self._armed <= min(times)):
            return []
        self._armed = min(times)
        return [SetTimer(TIMER, self._armed)]

    def validate(self) -> None:
        """Assert what must hold between events."""
        for grant in self.granted.values():
            assert grant.clients, "a grant without a holder is never revoked"
        for key, gate in self.gates.items():
            assert gate.waits, f"gate {key} waits for nobody"
            assert gate.then, f"gate {key} holds nothing back"
            for client, req in gate.waits:
                assert req in self.notices.get(client, {}), f"gate {key} waits for an unknown notice"
        if self.notices or any(gate.deadline is not None for gate in self.gates.values()):
            assert self._armed is not None, "notices are open and no timer is set"
