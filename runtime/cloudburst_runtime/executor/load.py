"""What an executor tells the node about how much it has to do: pressure, calm, idleness, and leaving.

Law: this file looks at the runner and at the tasks and changes neither. Pressure is reported when tasks
wait for long, and whether more executors would help; idleness when there was nothing to do for long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Send, SetTimer
from cloudburst_runtime.executor.tasks import Leave, Measure, Measured, Task
from cloudburst_runtime.ids import NODE, Millis, TaskId
from cloudburst_runtime.messages import Doing, Idle, Load, Retire

if TYPE_CHECKING:
    from cloudburst_runtime.executor.runner import Runner

Effects = list[Any]

COMPUTING_SHARE = 0.5
"""An executor that uses more of a processor than this computes rather than waits."""

TINY_CALL_MS = 1.0
"""Calls shorter than this are not helped by more executors than there are cores."""

PRESSURE_TIMER = "pressure"
IDLE_TIMER = "idle"


class LoadWatch:
    """Watches one executor.

    Parameters
    ----------
    config
        For ``pressure_after_ms``, ``drain_ms`` and ``executor_idle_ms``.
    tasks
        All tasks that the executor has, waiting ones included.
    """

    def __init__(self, config: Config, tasks: dict[TaskId, Task]) -> None:
        self._config = config
        self._tasks = tasks
        self._last_busy: Millis = 0.0
        self._idle_due: Millis = 0.0
        self._pressure_armed = False
        self._pressed = False
        self._retiring = False
        self._said_doing = ""

    def start(self, now: Millis) -> Effects:
        """Begin: the idle timer runs from now."""
        self._last_busy = now
        return self._arm_idle(now + self._config.executor_idle_ms)

    # ------------------------------------------------------------ pressure

    def waits(self, now: Millis) -> Effects:
        """A ready task has to wait for the one that runs."""
        if self._pressure_armed:
            return []
        self._pressure_armed = True
        return [SetTimer(PRESSURE_TIMER, now + self._config.pressure_after_ms)]

    def on_pressure(self, runner: Runner, now: Millis) -> Effects:
        """Tasks waited for as long as that: find out whether more executors would help."""
        self._pressure_armed = False
        if not runner.queue:
            return self._calm(runner, now)
        self._pressure_armed = True
        period = self._config.pressure_after_ms
        due = runner.queue[0].ready_at + period
        if now < due:
            return [SetTimer(PRESSURE_TIMER, due)]
        effects: Effects = [SetTimer(PRESSURE_TIMER, now + period)]
        if now - runner.since >= period or runner.mean_run_ms >= TINY_CALL_MS:
            effects.append(Measure())
        return effects

    def on_measured(self, event: Measured, runner: Runner, now: Millis) -> Effects:
        """It is known whether this executor computes: report what waits."""
        queue = runner.queue
        if not queue:
            return self._calm(runner, now)
        self._pressed = True
        names = list(dict.fromkeys(_function_name(task) for task in queue))
        running = _running_name(runner)
        computes = event.share > COMPUTING_SHARE
        return [Send(NODE, Load(len(queue), running, names, self._worth(runner, now), computes))]

    def _worth(self, runner: Runner, now: Millis) -> int:
        """How many more executors what waits here is worth: of short calls, one runs many."""
        waiting = len(runner.queue)
        if now - runner.since >= self._config.pressure_after_ms:
            return waiting
        return min(waiting, math.ceil(waiting * runner.mean_run_ms / self._config.drain_ms))

    def _calm(self, runner: Runner, now: Millis) -> Effects:
        """Nothing waits any more: its tasks went elsewhere, or one of them runs.

        If what runs does so for long, this executor is not free, whatever its queue says: the tasks that
        it gave away would come back to it, and go round for ever among executors that all are blocked.
        """
        if not self._pressed:
            return []
        if not runner.running or now - runner.since < self._config.pressure_after_ms:
            return self._free_again()
        return [Send(NODE, Load(0, _running_name(runner)))]

    def _free_again(self) -> Effects:
        if not self._pressed:
            return []
        self._pressed = False
        return [Send(NODE, Load(0))]

    def doing(self, runner: Runner) -> Effects:
        """A call runs for long: tell the node which, for whoever asks what executors do."""
        return self._say_doing(_running_name(runner))

    def _say_doing(self, name: str) -> Effects:
        if name == self._said_doing:
            return []
        self._said_doing = name
        return [Send(NODE, Doing(name))]

    # ------------------------------------------------------------ idleness

    def at_rest(self, now: Millis) -> Effects:
        """Nothing runs, and nothing is ready."""
        self._last_busy = now
        if self._retiring and not self._tasks:
            return [Leave()]
        effects = self._free_again()
        if self._said_doing:
            effects += self._say_doing("")
        due = now + self._config.executor_idle_ms
        if self._idle_due <= due:
            return effects
        return effects + self._arm_idle(due)

    def on_idle(self, now: Millis) -> Effects:
        """Say that there was nothing to do for long; again after twice as long, should that be lost."""
        period = self._config.executor_idle_ms
        if self._tasks:
            return self._arm_idle(now + period)
        due = self._last_busy + period
        if now < due:
            return self._arm_idle(due)
        return [Send(NODE, Idle()), *self._arm_idle(now + (now - self._last_busy))]

    def _arm_idle(self, due: Millis) -> Effects:
        self._idle_due = due
        return [SetTimer(IDLE_TIMER, due)]

    def on_retire(self, message: Retire, now: Millis) -> Effects:
        """The node says to leave: at once, or when nothing is left to do."""
        self._retiring = True
        return [] if self._tasks else [Leave()]


def _function_name(task: Task) -> str:
    assert task.function is not None, task
    return task.function.name


def _running_name(runner: Runner) -> str:
    return _function_name(runner.running[0]) if runner.running else ""
