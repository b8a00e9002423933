"""Running calls: a program of `programs` in virtual time, and what it asks of its executor.

Law: does what the real sandbox does, one request after the other; each thing asked of the store is a step of
the history, which ends when the program has the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cloudburst_runtime.executor.tasks import Op, Outcome, Ran, Task
from cloudburst_runtime.ids import Millis
from cloudburst_runtime.lattices.wrap import delta, reveal, siblings
from cloudburst_runtime.messages import Failure
from cloudburst_runtime.sim import programs
from cloudburst_runtime.sim.history import Act, Spot
from cloudburst_runtime.values import decode, encode

if TYPE_CHECKING:
    from cloudburst_runtime.sim.processes import ExecutorProcess

STEP_MS = 0.02
"""What a step of user code takes besides what it asks for."""


class UserCode:
    """One running call, or one batched call."""

    def __init__(self, process: ExecutorProcess, tasks: list[Task]) -> None:
        self.process = process
        self.world = process.world
        self.tasks = tasks
        self.spot = spot_of(tasks[0], process.name)
        self.level = process.core.operations.levels.level(tasks[0])
        self.started = self.world.now
        self._steps: programs.Steps | None = None
        self._turn = 0
        self._asked = (0, "")
        self._asking: int | None = None
        self._listening = False
        self._over = False

    def begin(self) -> None:
        """Start the program."""
        address = self.process.core.mail_id(self.tasks[0])
        self._steps = programs.begin(self.tasks, address)
        self._resume(self._turn, None)

    def look(self) -> None:
        """There may be a message now."""
        if self._listening and self.tasks[0].mailbox:
            self._continue(STEP_MS, self._mail)

    def replied(self, op: int, result: Any) -> None:
        """An operation was answered."""
        number, kind = self._asked
        if op == number and not self._over:
            self._asked = (0, "")
            self._continue(STEP_MS, lambda: self._ended(self._shown(kind, result)))

    def interrupt(self) -> None:
        """Some task was cancelled: stop if nobody wants this any more."""
        if not self._over and self.process.alive and all(task.cancelled for task in self.tasks):
            self._finish([(None, Failure("CallCancelled", "the call was cancelled"))] * len(self.tasks))

    # ------------------------------------------------------------ steps

    def _continue(self, span: Millis, answer: Callable[[], Any]) -> None:
        self._listening = False
        self._turn += 1
        self.world.after(span, lambda turn: self._resume(turn, answer()), self._turn)

    def _resume(self, turn: int, answer: Any) -> None:
        if turn != self._turn or self._over or not self.process.alive:
            return
        assert self._steps is not None
        try:
            request = self._steps.send(answer)
        except StopIteration as done:
            self._finish(list(self._outcomes(done.value)))
        except ValueError as error:
            self._finish([(None, programs.failure_of(error))] * len(self.tasks))
        else:
            self._serve(request)

    def _serve(self, request: programs.Request) -> None:
        if isinstance(request, programs.Sleep):
            self._continue(request.span * self.process.pace.uniform(0.8, 1.2), lambda: None)
        elif isinstance(request, programs.Get):
            self._begun(Act("get", request.key, siblings=request.siblings))
            self._get(request)
        elif isinstance(request, programs.Put):
            if request.lattice is None:
                self._begun(Act("put", request.key, request.value))
            self._put(request)
        elif isinstance(request, programs.Tell):
            self._do("send", request.to, encode(request.body))
        else:
            self._listen(request.span)

    def _get(self, request: programs.Get) -> None:
        entry = self.process.core.operations.levels.peek(self.tasks[0], request.key)
        if entry is not None:
            found = [entry.lattice]
            self._continue(STEP_MS, lambda: self._ended(revealed(found, request.siblings)))
        else:
            self._do("siblings" if request.siblings else "read", [request.key])

    def _put(self, request: programs.Put) -> None:
        core = self.process.core
        stamp = core.clock.tick(self.world.now)
        element = delta(request.value, request.lattice, core.name, stamp, self.level)
        self._do("write", request.key, element)

    def _begun(self, act: Act) -> None:
        act = act._replace(level=self.level)
        self.world.history.invoke(self.world.now, self.spot.session, self._turn, act, self.spot)
        self._asking = self._turn

    def _ended(self, answer: Any) -> Any:
        if self._asking is not None:
            failed = isinstance(answer, Failure)
            shown = [answer.kind, answer.message] if failed else answer
            self.world.history.end(
                self.world.now, self.spot.session, self._asking, "fail" if failed else "ok", shown
            )
            self._asking = None
        return answer

    def _do(self, kind: str, *arguments: Any) -> None:
        self._turn += 1
        self.process.ops += 1
        self._asked = (self.process.ops, kind)
        asked = "read" if kind == "siblings" else kind
        self.process.take(Op(self.tasks[0], self.process.ops, asked, arguments))

    @staticmethod
    def _shown(kind: str, result: Any) -> Any:
        return revealed(result, kind == "siblings") if kind in ("read", "siblings") else result

    def _listen(self, span: Millis) -> None:
        if self.tasks[0].mailbox:
            self._continue(STEP_MS, self._mail)
            return
        self._continue(span, self._mail)
        self._listening = True

    def _mail(self) -> list[tuple[str, Any]]:
        mailbox = self.tasks[0].mailbox
        arrived = [(sender, decode(body)) for sender, body in mailbox]
        mailbox.clear()
        return arrived

    # ------------------------------------------------------------ the end

    def _outcomes(self, result: Any) -> Iterator[tuple[Any, Failure | None]]:
        results = result if self.tasks[0].batching else [result]
        for value in results:
            yield value, None

    def _finish(self, results: list[tuple[Any, Failure | None]]) -> None:
        self._over = True
        node = self.tasks[0].node
        invalid = [decode(value) for value in (node.invalid or [])] if node is not None else []
        now = self.world.now
        outcomes = [
            Outcome(
                None if failure is not None else encode(value),
                failure,
                self.started,
                now,
                invalid=failure is None and value in invalid,
            )
            for value, failure in results
        ]
        self.process.code = None
        self.process.take(Ran(self.tasks, outcomes))


def spot_of(task: Task, executor: str) -> Spot:
    """Where a task runs, as the history says it."""
    assert task.known is not None
    preds = task.known.topology.preds
    after: dict[int, None] = {}
    frontier = list(preds[task.id.node])
    while frontier:
        node = frontier.pop()
        if node not in after:
            after[node] = None
            frontier += preds[node]
    return Spot(str(task.id.call), task.id.attempt, task.id.node, tuple(sorted(after)), executor)


def revealed(found: Any, every: bool = False) -> Any:
    """What a read gives of its only key: the value, or ``every`` one as a list; or the failure."""
    if isinstance(found, Failure):
        return found
    [lattice] = found
    if every:
        return [] if lattice is None else siblings(lattice)
    return None if lattice is None else reveal(lattice)
