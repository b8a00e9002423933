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
from cloudburst_runtime.executor.outgoing import news
from cloudburst_runtime.executor.runner import Runner
from cloudburst_runtime.executor.tasks import Op, Reply, Task
from cloudburst_runtime.ids import HybridClock, Millis, PeerName
from cloudburst_runtime.messages import Mail
from cloudburst_runtime.values import Value
from cloudburst_runtime.vectors import joined

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

    def read(self, task: Task, op: int, keys: list[str], now: Millis, wait: bool = False) -> Effects:
        """Read keys for a task, and count on it which the cache had."""
        missing = sum(self.cache.peek(key, task.floor) is None for key in keys)
        task.misses += missing
        task.hits += len(keys) - missing
        return self.pass_on(self.cache.read(op, keys, task.floor, now, wait), now)

    def cancel(self, op: int) -> Effects:
        """Nobody waits for this operation any more."""
        self.pending.pop(op, None)
        return list(self.cache.cancel(op))

    def pass_on(self, effects: Effects, now: Millis) -> Effects:
        """Pass the cache's effects on; its answers go to whoever asked."""
        out: Effects = []
        for effect in effects:
            if type(effect) is Answer:
                answered = self.pending.pop(effect.op, None)
                if answered is not None:
                    out += answered(effect.result, now)
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
            op = self.begin(lambda result, later: [Reply(number, result)])
            return self.read(task, op, arguments[0], now)
        op = self.begin(lambda result, later: self._changed(task, number, result))
        if kind == "write":
            return self.pass_on(self.cache.write(op, arguments[0], arguments[1], now), now)
        if kind == "delete":
            return self.pass_on(self.cache.delete(op, arguments[0], now), now)
        raise TypeError(f"the executor core knows no operation {kind!r}")

    def _changed(self, task: Task, number: int, result: Any) -> Effects:
        """A write was answered: what this task reads from now on includes it."""
        task.floor = joined(task.floor, self.cache.floor)
        return [Reply(number, result)]

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
