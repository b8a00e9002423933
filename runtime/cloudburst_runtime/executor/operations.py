"""What is asked of the store and of other tasks, by user code or for a task, and who gets which answer.

Law: each operation is answered once, unless it is cancelled; what the answer means is the asker's
business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudburst_runtime.anna.cache import Answer, CacheCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send
from cloudburst_runtime.executor.atomic import Publishing
from cloudburst_runtime.executor.leftovers import Leftovers
from cloudburst_runtime.executor.outgoing import news
from cloudburst_runtime.executor.runner import Runner
from cloudburst_runtime.executor.session import Levels
from cloudburst_runtime.executor.snapshots import Snapshots
from cloudburst_runtime.executor.tasks import Op, Reply, Task
from cloudburst_runtime.ids import HybridClock, Millis, PeerName
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.levels import REPEATABLE
from cloudburst_runtime.messages import Failure, Mail
from cloudburst_runtime.values import Value

Effects = list[Any]


class Operations:
    """The operations of one executor.

    Parameters
    ----------
    config, name, clock
        As of the executor's core; the cache is made with them.
    runner
        Whose running tasks get mail.
    """

    def __init__(self, config: Config, name: PeerName, clock: HybridClock, runner: Runner) -> None:
        self.cache = CacheCore(config, name, clock, caching=True, next_req=self.next_req)
        self.pending: dict[int, Callable[[Any, Millis], Effects]] = {}
        self._name = name
        self._clock = clock
        self._runner = runner
        self._req = 0
        self.snapshots = Snapshots(
            name,
            self.cache,
            config.resend_ms,
            config.unanswered_max,
            self.next_req,
            self.begin,
            self.pass_on,
            self.conclude,
            self.cancel,
        )
        self.levels = Levels(self.cache, self.snapshots)
        self.publishing = Publishing(name, clock, self.cache, self.begin, self.pass_on)
        self.leftovers = Leftovers(
            config.resend_ms, self.cache, self.publishing, self.begin, self.cancel, self.pass_on
        )

    def next_req(self) -> int:
        """A fresh number for a request or an operation."""
        self._req += 1
        return self._req

    # ------------------------------------------------------------ the store

    def begin(self, answered: Callable[[Any, Millis], Effects]) -> int:
        """A new operation for the cache; ``answered`` gets its result."""
        op = self.next_req()
        self.pending[op] = answered
        return op

    def read(
        self,
        task: Task,
        keys: list[str],
        answered: Callable[[list[AnyLattice | None] | Failure, Millis], Effects],
        now: Millis,
        wait: bool = False,
    ) -> Effects:
        """Read keys for a task as its level wants it, and count on it which the cache had.

        While it is under way, ``task.reading`` is its number.
        """

        def seen(result: Any, later: Millis) -> Effects:
            task.reading = 0
            if isinstance(result, Failure):
                return answered(result, later)
            result = self.snapshots.own(task, keys, result)
            for key, entry in zip(keys, result, strict=True):
                self.levels.see(task, key, entry)
            return answered([entry.lattice for entry in result], later)

        op = task.reading = self.begin(seen)
        floor = self.levels.floor(task)
        missing = sum(self.cache.peek(key, floor) is None for key in keys)
        task.misses += missing
        task.hits += len(keys) - missing
        if self.levels.level(task) in REPEATABLE:
            return self.snapshots.read(task, op, keys, wait, now)
        return self.pass_on(self.cache.read(op, keys, floor, now, wait), now)

    def cancel(self, op: int) -> Effects:
        """Nobody waits for this operation any more."""
        self.pending.pop(op, None)
        return [*self.snapshots.forget(op), *self.cache.cancel(op)]

    def conclude(self, op: int, result: Any, now: Millis) -> Effects:
        """An operation has its answer."""
        answered = self.pending.pop(op, None)
        return [] if answered is None else answered(result, now)

    def pass_on(self, effects: Effects, now: Millis) -> Effects:
        """Pass the cache's effects on; its answers go to whoever asked."""
        out: Effects = []
        for effect in effects:
            if type(effect) is Answer:
                out += self.conclude(effect.op, effect.result, now)
            else:
                out.append(effect)
        return out

    # ------------------------------------------------------------ user code

    def on_op(self, event: Op, now: Millis) -> Effects:
        """User code asks for something."""
        task, number, kind, arguments = event.task, event.number, event.kind, event.arguments
        if kind == "send":
            return [*self._send_mail(task, arguments[0], arguments[1], now), Reply(number, None)]
        if kind == "progress":
            task.progress = arguments
            return [news(task, self._name), Reply(number, None)]
        if kind == "read":
            return self.read(task, arguments[0], lambda result, later: [Reply(number, result)], now)
        if kind in ("write", "delete"):
            return self._change(task, number, *arguments, now=now)
        raise TypeError(f"the executor core knows no operation {kind!r}")

    def _change(
        self,
        task: Task,
        number: int,
        key: str,
        lattice: AnyLattice | None = None,
        sync: bool | None = None,
        *,
        now: Millis,
    ) -> Effects:
        """User code writes a key, or without a lattice deletes it; ``sync`` as `CacheCore.write` takes it."""
        if self.levels.level(task) == "atomic":
            return [Reply(number, self.levels.buffer(task, key, lattice, sync))]
        op = self.begin(lambda result, later: self._changed(task, number, key, result))
        if lattice is None:
            return self.pass_on(self.cache.delete(op, key, now), now)
        terms = self.levels.terms(task, key)
        return self.pass_on(self.cache.write(op, key, lattice, now, sync, terms), now)

    def _changed(self, task: Task, number: int, key: str, result: Any) -> Effects:
        """A write or deletion was answered."""
        if isinstance(result, Failure):
            return [Reply(number, result)]
        self.levels.wrote(task, key, result)
        return [Reply(number, None)]

    def mail_id(self, task: Task) -> str:
        """Where direct messages to this task are sent."""
        return f"{self._name}/{task.id}"

    def _send_mail(self, task: Task, to: str, body: Value, now: Millis) -> Effects:
        mail = Mail(to, self.mail_id(task), body, self._clock.last)
        place = to.partition("/")[0]
        return self.on_mail(mail, now) if place == self._name else [Send(place, mail)]

    def on_mail(self, message: Mail, now: Millis) -> Effects:
        """Mail for a task that runs is put into its mailbox, other mail is dropped."""
        self._clock.observe(message.clock)
        for task in self._runner.running:
            if self.mail_id(task) == message.to:
                task.mailbox.append((message.sender, message.body))
        return []
