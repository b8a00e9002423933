"""The leases that a client holds, those that it has asked for, and those that it must not use any more.

Law: a lease is used from the answer that brought it until it is revoked or one of its executors is lost;
an answer that a revocation has overtaken is void. Calls without a lease wait here in their order, and the
scheduler is asked once for all of them. What a call does with its lease is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.client.calls import Held, LeaseKey, OwnedCall
from cloudburst_runtime.effects import Send
from cloudburst_runtime.ids import NODE, PeerName
from cloudburst_runtime.messages import Lease, Place, Revoke, Revoked

Effects = list[Any]


class Leases:
    """The leases of one client.

    Attributes
    ----------
    held
        Leases in use.
    placing
        Calls that wait for the answer to a `Place`.
    place_reqs
        The requests under way, and what each is for.
    drains
        Revocations to acknowledge once no unfinished call needs the executors that are leaving.

    Examples
    --------
    >>> leases = Leases()
    >>> call = OwnedCall(1, "function", "f", {})
    >>> leases.wait(call.lease_key, call), leases.wait(call.lease_key, call)
    (True, False)
    >>> leases.place(call.lease_key, req=7).target
    'f'
    """

    def __init__(self) -> None:
        self.held: dict[LeaseKey, Held] = {}
        self.placing: dict[LeaseKey, list[OwnedCall]] = {}
        self.place_reqs: dict[int, LeaseKey] = {}
        self.drains: dict[int, list[PeerName]] = {}
        self.revoked_until: dict[int, int] = {}

    # ------------------------------------------------------------ asking

    def wait(self, key: LeaseKey, call: OwnedCall) -> bool:
        """Let a call wait for a lease; True if it is the first, so that the scheduler is to be asked."""
        waiting = self.placing.get(key)
        if waiting is None:
            self.placing[key] = [call]
            return True
        waiting.append(call)
        return False

    def leave(self, call: OwnedCall) -> None:
        """Take a call out; not the last, which stands for the answer that is still to come."""
        waiting = self.placing.get(call.lease_key)
        if waiting is not None and call in waiting and len(waiting) > 1:
            waiting.remove(call)

    def place(self, key: LeaseKey, req: int) -> Place:
        """The question for the scheduler."""
        self.place_reqs[req] = key
        kind, target, continuation, refs = key
        return Place(req, target, kind, continuation, list(refs))

    def accept(self, key: LeaseKey, lease: Lease) -> Held | None:
        """Hold a lease; None if a revocation overtook it."""
        if self._void(lease):
            return None
        held = self.held[key] = Held.of(lease)
        return held

    # ------------------------------------------------------------ taking back

    def revoke(self, message: Revoke, uses: Callable[[PeerName], bool]) -> Effects:
        """Give leases back; acknowledged at once, unless a call ``uses`` an executor that is leaving."""
        for plan in message.plans:
            self.revoked_until[plan] = max(message.through, self.revoked_until.get(plan, 0))
        self.held = {key: held for key, held in self.held.items() if not self._void(held.lease)}
        if any(map(uses, message.leaving)):
            self.drains[message.req] = message.leaving
            return []
        self.drains.pop(message.req, None)
        return [Send(NODE, Revoked(message.req))]

    def drained(self, uses: Callable[[PeerName], bool]) -> Effects:
        """Acknowledge the revocations that waited for calls which are done now."""
        done = [req for req, leaving in self.drains.items() if not any(map(uses, leaving))]
        for req in done:
            del self.drains[req]
        return [Send(NODE, Revoked(req)) for req in done]

    def _void(self, lease: Lease) -> bool:
        return lease.serial <= self.revoked_until.get(lease.plan.number, -1)

    # ------------------------------------------------------------ losses

    def lose_executor(self, name: PeerName) -> None:
        """Drop the leases that have this executor."""
        self.held = {
            key: held
            for key, held in self.held.items()
            if not any(name in places for places in held.lease.placement)
        }

    def lose_node(self) -> None:
        """No answer will come."""
        self.placing.clear()
        self.place_reqs.clear()

    def validate(self) -> None:
        """Assert what must hold between events."""
        for key, waiting in self.placing.items():
            assert waiting, key
            assert key in self.place_reqs.values(), key
