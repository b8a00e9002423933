"""What is killed, and when: drawn from a seed.

Law: nothing is killed that the setting does not promise to survive. Without a ``state_dir`` that is one store
at a time, until its keys are kept as often as before; with one it is whatever there is.
"""

from __future__ import annotations

import random
import time
from collections import Counter

from tests.processes.chaos.rig import Rig
from tests.processes.watching import eventually

PAUSE_SECONDS = (0.1, 1.2)
WORK_SECONDS_MAX = 60.0
ACKNOWLEDGED_MIN = 20
"""So much is written between two kills, however slow the machine."""


class Killer:
    """Kills in a rig, and keeps account of it.

    Attributes
    ----------
    told
        When, and what was killed.
    """

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.told: list[tuple[float, str]] = []
        self.counts: Counter[str] = Counter()
        self._luck = random.Random(f"{seed}/killer")

        setting = rig.setting
        self._kinds = ["executor", "client"]
        if setting.stores > 1 and (setting.durable or setting.replication > 1):
            self._kinds.append("stores")
        if setting.durable:
            self._kinds.append("everything")

    def go_on(self, seconds: float) -> None:
        """Kill again and again, for so long; each kind that there is at least once."""
        due = self._luck.sample(self._kinds, len(self._kinds))
        end = time.monotonic() + seconds
        while due or time.monotonic() < end:
            self._let_work()
            self._kill(due.pop() if due else self._luck.choice(self._kinds))
        self._let_work()

    def end(self) -> None:
        """Kill as much as may be killed once more, when nobody is at work who would write it again."""
        if self._kinds[-1] != "client":
            self._kill(self._kinds[-1])

    def _kill(self, kind: str) -> None:
        getattr(self, f"_kill_{kind}")()
        self.counts[kind] += 1

    def _let_work(self) -> None:
        ledger = self.rig.keeper.ledger
        before = ledger.acknowledged
        time.sleep(self._luck.uniform(*PAUSE_SECONDS))
        enough = before + ACKNOWLEDGED_MIN
        eventually(lambda: ledger.acknowledged >= enough, WORK_SECONDS_MAX, "writes are acknowledged")

    def _tell(self, what: str) -> None:
        self.told.append((time.monotonic(), what))

    def _tell_ledger(self, began: float, stores: int) -> None:
        """So many stores were killed; without a disk, not before each key was kept as often again."""
        if self.rig.setting.durable:
            self.rig.keeper.note_kill(began, stores / self.rig.setting.replication)

    def _kill_executor(self) -> None:
        names = eventually(self.rig.executors, what="there is an executor")
        self._tell(f"executor {self.rig.kill([self._luck.choice(names)])}")

    def _kill_stores(self) -> None:
        names = eventually(self.rig.stores, what="there is a store")
        count = self._luck.randint(1, len(names)) if self.rig.setting.durable else 1
        began = time.monotonic()
        stores, executors = self._luck.sample(names, count), self.rig.executors()
        with_them = self._luck.sample(executors, self._luck.randint(0, len(executors) // 2))
        self._tell(f"stores {self.rig.kill([*stores, *with_them])}")
        self._tell_ledger(began, count)
        if not self.rig.setting.durable:
            self.rig.settle(without=stores)

    def _kill_client(self) -> None:
        slot = self._luck.randrange(len(self.rig.writers))
        self._tell(f"client {slot}")
        self.rig.kill_client(slot)

    def _kill_everything(self) -> None:
        only = self._luck.choice(["", "supervisor", "node"]) if self.counts["everything"] else ""
        began = time.monotonic()
        self._tell(f"the {only}" if only else "every process of the runtime")
        self.rig.kill_everything(only)
        self._tell_ledger(began, self.rig.setting.stores)
