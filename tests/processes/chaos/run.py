"""A run: load, kills, healing, and the reckoning.

Law: the course of things, and how it is told; what is done in it stands in the other files.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from cloudburst_nb.errors import CloudburstError
from tests.processes.chaos.judge import Found, Violation, judge
from tests.processes.chaos.killing import Killer
from tests.processes.chaos.ledger import Ledger, Write
from tests.processes.chaos.readback import disagreements, found_by
from tests.processes.chaos.rig import Rig, Setting

KILLS_SHOWN = 6
KILLED_BEFORE_SECONDS = 2.0
VIOLATIONS_SHOWN = 10
TROUBLES_SHOWN = 20


class Report(NamedTuple):
    """What came of a run.

    Attributes
    ----------
    violations
        What contradicts the ledger.
    troubles
        All else that must not be: stores that do not agree, processes that are left, clients that failed.
    """

    setting: Setting
    seed: int
    began: float
    seconds: float
    kills: Counter[str]
    told: list[tuple[float, str]]
    ledger: Ledger
    violations: list[Violation]
    troubles: list[str]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations and not self.troubles

    def summary(self) -> str:
        """One line."""
        kills = ", ".join(f"{number} {kind}" for kind, number in sorted(self.kills.items()))
        unknown = sum(self.ledger.unknown.values())
        return (
            f"{self.setting}, seed {self.seed}: {self.seconds:.0f} s, {self.kills.total()} kills ({kills}), "
            f"{self.ledger.acknowledged} writes acknowledged, {unknown} unknown, "
            f"{len(self.ledger.reads)} reads judged, "
            f"{len(self.violations) + len(self.troubles)} violations"
        )

    def text(self) -> str:
        """The summary, and each violation with what shows it."""
        lines = [self.summary()]
        for violation in self.violations[:VIOLATIONS_SHOWN]:
            lines += ["", *self._explained(violation)]
        if len(self.violations) > VIOLATIONS_SHOWN:
            lines += ["", f"… and {len(self.violations) - VIOLATIONS_SHOWN} more"]
        if self.troubles:
            kills = [(at, f"killed: {what}") for at, what in self.told[-KILLS_SHOWN:]]
            lines += ["", *self.troubles[:TROUBLES_SHOWN], *self._timed(kills)]
        return "\n".join(lines)

    def _timed(self, events: list[tuple[float, str]]) -> list[str]:
        return [f"  {at - self.began:9.4f} s  {text}" for at, text in sorted(events)]

    def _explained(self, violation: Violation) -> list[str]:
        lines = [f"{violation.kind} {violation.key!r}: {violation.text}"]
        events = [line for write in violation.writes for line in self._story(write)]
        kills = [(at, f"killed: {what}") for at, what in self.told]
        if violation.at is None:
            since = min((at for at, _ in events), default=math.inf) - KILLED_BEFORE_SECONDS
            events += [kill for kill in kills if kill[0] >= since][:KILLS_SHOWN]
        else:
            events += [kill for kill in kills if kill[0] <= violation.at][-KILLS_SHOWN:]
            events.append((violation.at, "this is seen"))
        return [*lines, *self._timed(events)]

    @staticmethod
    def _story(write: Write) -> list[tuple[float, str]]:
        events = [(write.begun, f"{write.name} begins: {write.value!r}")]
        if write.acknowledged:
            events.append((write.ended, f"{write.name} is acknowledged"))
        return events


def run(setting: Setting, seed: int, seconds: float) -> Report:
    """Load and kills for so many seconds, then healing; what is there is compared with the ledger."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos") as place:
        rig = Rig(setting, seed, Path(place))
        killer = Killer(rig, seed)
        found: Found = {}
        try:
            killer.go_on(seconds)
            found = _what_is_left(rig, killer)
        except (AssertionError, CloudburstError) as error:  # it did not go on, heal or answer
            rig.troubles.append(f"{type(error).__name__}: {error}")
        finally:
            ledger = rig.down()
    took = time.monotonic() - began
    violations = judge(ledger, found)
    return Report(setting, seed, began, took, killer.counts, killer.told, ledger, violations, rig.troubles)


def _what_is_left(rig: Rig, killer: Killer) -> Found:
    """Heal, and read everything back: as a client, and from each store."""
    rig.end_clients()
    killer.end()
    rig.settle()
    keys = sorted(rig.keeper.ledger.keys())
    found = found_by(rig.client, keys)
    names = [name for kind, key in keys for name in _stored(kind, key)]
    rig.troubles += disagreements(rig.client, names, rig.setting.replication)
    return found


def _stored(kind: str, key: str) -> list[str]:
    return [f"{key}/left", f"{key}/right"] if kind == "pair" else [key]
