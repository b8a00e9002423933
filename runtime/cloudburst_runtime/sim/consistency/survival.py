"""What holds once the world has healed: replicas agree, and nothing that was acknowledged is lost.

Law: compares the last reads, of the sessions called ``final…``, with each other and with what was
acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Access
from cloudburst_runtime.sim.consistency.violations import Violation, missing, where
from cloudburst_runtime.sim.history import History

HEALED = "healed"
"""The note in a history from which on nothing goes wrong any more."""


def convergence(causality: Causality) -> Iterator[Violation]:
    """All last reads of a key agree, whichever store or cache they asked."""
    first: dict[str, Access] = {}
    for access in causality.record:
        if access.kind == "read" and access.final:
            before = first.setdefault(access.key, access)
            if set(before.values) != set(access.values):
                reason = f"{where(access)} {access}, and {where(before)} {before}"
                yield Violation("convergence", reason, (access, before))


def acknowledged(causality: Causality) -> Iterator[Violation]:
    """No acknowledged write is lost: the last reads show it, or something that is not older."""
    sure = causality.bits(w for w in causality.writes if causality.record.accesses[w].acknowledged)
    due = [sure if access.final else 0 for access in causality.record]
    yield from missing("acknowledged", causality, due, "which was acknowledged")


def liveness(history: History) -> Iterator[Violation]:
    """What a client began has an end, and what it began after healing has succeeded, unless it crashed."""
    crashed = {event.session for event in history.events if event.kind == "crash"}
    healed = next((index for index, event in enumerate(history.events) if event.kind == HEALED), None)
    for each in history.operations():
        if each.session in crashed:
            continue
        if each.end is None:
            yield Violation(
                "liveness", f"{each.session} began {each.act.kind} {each.act.name}, without end", ()
            )
        elif each.kind != "ok" and healed is not None and each.begin > healed:
            yield Violation("liveness", f"{each}, though all had healed", ())
