"""The loop that every process runs: wait, read, let the core decide, carry out what it says.

Law: *whoever waits, reads.* A thread that waits for something (``future.get()``, an executor between two
calls) polls the sockets itself: a hop through a reader thread costs half a round trip more. While no
thread waits, and user code runs, a background thread reads instead, so that a busy process still answers.

Two locks: the *role* is held by the one thread that polls; the *lock* guards core and hub and is held only
while an event is handled, never while waiting. The background thread takes the role when the foreground
has been away for `AWAY_MS`, gives it back as soon as a foreground thread waits, or has glanced in vain
`REFUSED_MAX` times, and sleeps for good while nothing happens: an idle process has no wake-ups but its
timers'.

An interrupt (SIGINT) must not cut a core's transition in two: `interrupts` has it wait.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from cloudburst_runtime.effects import Core, Send, SetTimer, Timer
from cloudburst_runtime.shell.clock import now_ms
from cloudburst_runtime.shell.holding import HOLDING
from cloudburst_runtime.shell.interrupts import Interrupts
from cloudburst_runtime.shell.transport import Hub

AWAY_MS = 25.0
"""How long the foreground is away before the background thread reads in its place."""

REPORT_MS = 100.0
"""How often the background thread reports of user code that still runs."""

REFUSED_MAX = 8
"""After so many glances that found the background thread reading, it leaves that to whoever glances."""


class _Waiter:
    """A foreground thread that waits for the role, or for its condition."""

    __slots__ = ("done", "gate")

    def __init__(self, done: Callable[[], bool]) -> None:
        self.done = done
        self.gate = threading.Lock()
        self.gate.acquire()

    def release(self) -> None:
        if self.gate.locked():
            self.gate.release()


class Loop:
    """Drives one core over one hub.

    Parameters
    ----------
    core
        What decides.
    hub
        What sends and receives.
    carry
        How to carry out the effects that are this process's own, by type.
    on_away
        Called by the background thread, with the lock held, about every 100 ms while the foreground is in
        user code: what an executor reports of a long call.
    interrupts
        Given in a process whose user may press ^C.
    together
        Takes all events that are there at once, in place of the core: what is to be done for them goes
        together too.
    """

    def __init__(
        self,
        core: Core,
        hub: Hub,
        carry: dict[type, Callable[[Any], None]],
        on_away: Callable[[], list[Any]] | None = None,
        interrupts: Interrupts | None = None,
        together: Callable[[list[Any], float], list[Any]] | None = None,
    ) -> None:
        self.core = core
        self._together = together
        self.hub = hub
        self.lock = threading.Lock()
        self.on_away = on_away
        self.closed = False
        self.afterwards: deque[Callable[[], None]] = deque()
        """Users' callbacks: appended to with the lock held, called by the background thread."""
        self._carry: dict[type, Callable[[Any], None]] = {SetTimer: self.set_timer, **carry}
        self._timers: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._role = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._entries = 0
        self.read_at = 0.0  # when the sockets were last looked at
        self._inside = False
        self._dormant = False
        self._eager = False
        self._polling = False
        self._refused = 0
        self._reads = False
        self._unwanted = False
        self._nudge = threading.Event()
        self._background: threading.Thread | None = None
        self.interrupts = interrupts
        self.before_waiting: Callable[[], None] | None = None
        """Called, without the lock, by a thread that is about to wait or to look."""

    def start(self) -> None:
        """Bring the core to life."""
        with self.lock:
            self.perform(self.core.start(now_ms()))

    # ------------------------------------------------------------ events in, effects out

    def post(self, *events: Any) -> None:
        """Let the core take events, from any thread, and carry out what it says to all of them."""
        guarded = self.interrupts is not None and self.interrupts.begin()
        try:
            with self.lock:
                now = now_ms()
                effects: list[Any] = []
                for event in events:
                    effects += self.core.handle(event, now)
                self.perform(effects)
        finally:
            if guarded:
                assert self.interrupts is not None
                self.interrupts.end()
        if self.afterwards:
            self._nudge.set()

    def perform(self, effects: list[Any]) -> None:
        """Carry out effects, in order; the lock is held."""
        if len(effects) > 2:
            self._perform_many(effects)
            return
        for effect in effects:
            if type(effect) is Send:
                self.hub.send(effect.peer, effect.message)
            else:
                self._act(effect)

    def _perform_many(self, effects: list[Any]) -> None:
        """The same; messages in a row that go to one peer go in one piece."""
        hub, begun = self.hub, False
        try:
            for effect in effects:
                if type(effect) is Send:
                    if not begun:
                        hub.begin_batch()
                        begun = True
                    hub.send(effect.peer, effect.message)
                else:
                    if begun:
                        hub.end_batch()  # for this effect may end the process
                        begun = False
                    self._act(effect)
        finally:
            if begun:
                hub.end_batch()

    def _act(self, effect: Any) -> None:
        self._carry[type(effect)](effect)
        if self._polling:  # it may be what the polling thread waits for
            self.hub.wake()

    def set_timer(self, effect: SetTimer) -> None:
        """Set a timer; the lock is held."""
        self._due[effect.key] = effect.due
        heapq.heappush(self._timers, (effect.due, effect.key))

    def fire_due(self) -> None:
        """Fire the timers that are due, from any thread."""
        with self.lock:
            if not self.closed:
                self._fire_timers()

    def _fire_timers(self) -> None:
        now = now_ms()
        while self._timers and self._timers[0][0] <= now:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self.perform(self.core.handle(Timer(key), now))

    def _timeout_ms(self, deadline: float | None) -> float | None:
        due = self._timers[0][0] if self._timers else None
        if deadline is not None and (due is None or deadline < due):
            due = deadline
        return None if due is None else max(0.0, due - now_ms())

    def _step(self, deadline: float | None, guarded: bool = False, eager: bool = False) -> None:
        """Wait once, at most until ``deadline``, and handle what came. The caller has the role.

        ``guarded``: this is the main thread in a section that interrupts do not cut; the wait is open.
        ``eager``: nothing else is to be done meanwhile, so it may spin before it sleeps (`shell.spinning`).
        """
        if self.before_waiting is not None:
            self.before_waiting()
        self._polling = True  # before the time-out is computed, so that a timer set from now on wakes us
        try:
            if guarded:
                assert self.interrupts is not None
                self.interrupts.open()
            ready = self.hub.wait(self._timeout_ms(deadline), eager)
        finally:
            if guarded:
                assert self.interrupts is not None
                self.interrupts.opened = False
            self._polling = False
        with self.lock:
            if self.closed:
                return
            now = self.read_at = now_ms()
            events = self.hub.collect(ready)
            if self._together is not None:
                effects = self._together(events, now) if events else []
                if HOLDING.ended:
                    HOLDING.settle()
                self.perform(effects)
            else:
                for event in events:
                    now = now_ms()
                    effects = self.core.handle(event, now)
                    if HOLDING.ended:  # whom this tells of a new value is to find the old one's memory free
                        HOLDING.settle()
                    self.perform(effects)
            if self._timers and self._timers[0][0] <= now:
                self._fire_timers()
            if HOLDING.ended:
                HOLDING.settle()
        if self.afterwards:
            self._nudge.set()

    # ------------------------------------------------------------ waiting in the foreground

    def wait(self, done: Callable[[], bool], deadline: float | None = None) -> bool:
        """Wait until ``done()``, reading the sockets meanwhile.

        Parameters
        ----------
        done
            Tested after each batch of events.
        deadline
            On the monotonic clock, in milliseconds; None waits for ever.

        Returns
        -------
        bool
            What ``done()`` says; False if the deadline passed.
        """
        if done():
            return True
        guarded = self.interrupts is not None and self.interrupts.guard()
        try:
            while not self._role.acquire(blocking=False):
                if self._wait_for_role(done, deadline, guarded):
                    return done()
            try:
                self._entries += 1
                self._inside = True
                while not done() and not self.closed:
                    self._step(deadline, guarded, eager=True)
                    if self._waiters:
                        self._release_finished()
                    if deadline is not None and now_ms() >= deadline:
                        break
            finally:
                self._entries += 1
                self._inside = False
                if self._dormant:
                    self._nudge.set()
                self._role.release()
                if self._waiters:
                    self._promote()
        finally:
            if guarded:
                assert self.interrupts is not None
                self.interrupts.end()
        return done()

    def glance(self, eager: bool = False) -> None:
        """Handle what is there, unless another thread is about to.

        It does not sleep; ``eager``, it may spin (`shell.spinning`).
        """
        guarded = self.interrupts is not None and self.interrupts.guard()
        try:
            if not self._role.acquire(blocking=False):
                self._refuse()
                return
            try:
                self._refused = 0
                self._entries += 1
                self._step(0.0, eager=eager)
                if self._waiters:
                    self._release_finished()
            finally:
                self._role.release()
                if self._waiters:
                    self._promote()
        finally:
            if guarded:
                assert self.interrupts is not None
                self.interrupts.end()

    def _refuse(self) -> None:
        """Another thread reads. Of two that are busy with the same, one would wait for the interpreter each
        time: so the background thread is sent away by a thread that has looked again and again."""
        self._refused += 1
        if self._refused >= REFUSED_MAX and self._reads:
            self._refused = 0
            self._unwanted = True
            self.hub.wake()

    def _wait_for_role(self, done: Callable[[], bool], deadline: float | None, guarded: bool) -> bool:
        """Wait until the role may be had (False), or there is no more to wait for (True)."""
        waiter = _Waiter(done)
        self._waiters.append(waiter)
        try:
            if not self._role.locked():  # it was given up between the caller's try and now
                return False
            self.hub.wake()
            timeout = -1.0 if deadline is None else max(0.0, deadline - now_ms()) / 1000
            try:
                if guarded:
                    assert self.interrupts is not None
                    self.interrupts.open()
                in_time = waiter.gate.acquire(timeout=timeout)
            finally:
                if guarded:
                    assert self.interrupts is not None
                    self.interrupts.opened = False
            return done() or self.closed or not in_time
        finally:
            self._waiters.remove(waiter)
            if self._waiters and not self._role.locked():
                self._promote()  # the turn may have come to a thread that no longer wants it

    def _release_finished(self) -> None:
        for waiter in list(self._waiters):
            if waiter.done():
                waiter.release()

    def _promote(self) -> None:
        for waiter in self._waiters[:1]:
            waiter.release()

    # ------------------------------------------------------------ the background thread

    def start_background(self, name: str) -> None:
        """Start the thread that reads while no foreground thread does."""
        self._background = threading.Thread(target=self._run_background, name=name, daemon=True)
        self._background.start()

    def nudge(self) -> None:
        """Have the background thread read at once: somebody waits for a callback, not in `wait`."""
        self._eager = True
        self._nudge.set()

    def _run_background(self) -> None:
        while not self.closed:
            if self.afterwards:
                self.afterwards.popleft()()
            elif self._inside:
                self._doze()
            elif self._is_away() and self._role.acquire(blocking=False):
                try:
                    self._reads = True
                    self._read_in_background()
                finally:
                    self._reads = self._unwanted = False
                    self._role.release()
                    self._promote()

    def _doze(self) -> None:
        """The foreground reads. Look again in a while; if nothing happened at all, sleep until it leaves."""
        entries = self._entries
        if not self._nudge.wait(AWAY_MS / 1000) and self._inside and self._entries == entries:
            self._dormant = True
            if self._inside and self._entries == entries and not self.afterwards:
                self._nudge.wait()
            self._dormant = False
        self._nudge.clear()

    def _is_away(self) -> bool:
        """True once the foreground has been outside for a while, or somebody is eager."""
        entries = self._entries
        if not self._eager:
            self._nudge.wait(AWAY_MS / 1000)
        self._nudge.clear()
        away = not self._inside and not self.closed and (self._eager or self._entries == entries)
        self._eager = False
        return away

    def _read_in_background(self) -> None:
        report_at = now_ms()
        while not (self._waiters or self._unwanted or self.afterwards or self.closed):
            if self.on_away is None:
                self._step(None)
                continue
            if now_ms() >= report_at:
                with self.lock:
                    self.perform(self.on_away())
                report_at = now_ms() + REPORT_MS
            self._step(report_at)

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Stop reading; threads that wait return."""
        self.closed = True
        self.hub.wake()
        self._nudge.set()
        for waiter in list(self._waiters):
            waiter.release()
        if self._background is not None and self._background is not threading.current_thread():
            self._background.join(timeout=5)
        with self._role, self.lock:
            self.hub.close()
