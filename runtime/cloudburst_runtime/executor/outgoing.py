"""What an executor says about a task: results, triggers, handovers, probes, news.

Law: pure functions from a task to messages and whom they are for. The session (``clock``, ``floor``) that
goes out with an outcome is what its step has seen of the store, so that whoever goes on sees no less.
"""

from __future__ import annotations

from typing import TypeAlias

from cloudburst_runtime.effects import Send
from cloudburst_runtime.executor.tasks import Known, Outcome, Task
from cloudburst_runtime.ids import Micros, Millis, PeerName
from cloudburst_runtime.levels import REPEATABLE
from cloudburst_runtime.messages import (
    Arrival,
    Failure,
    Gone,
    Handover,
    Header,
    Intake,
    Message,
    Probe,
    Produced,
    Result,
    Running,
    Session,
    Step,
    Trigger,
    Witness,
)
from cloudburst_runtime.values import Value
from cloudburst_runtime.vectors import Vector

Outputs: TypeAlias = list[tuple[PeerName, Message]]
"""Messages, and whom each is for; that may be this very executor."""


# ---------------------------------------------------------------- outcomes


def outputs(
    task: Task,
    value: Value | None,
    failure: Failure | None,
    targets: tuple[int, ...],
    clock: Micros,
    floor: Vector,
) -> Outputs:
    """An outcome: an input for each target, or without targets the result of the call."""
    if not targets:
        number, attempt = task.id.number, task.id.attempt
        session = _told(task.session)
        result = Result(number, attempt, value, task.steps, failure, clock, floor, session, task.published)
        return [(task.id.client, result)]
    header = _onward(task.header, clock, floor, task.session)
    node, steps = task.id.node, task.steps
    triggers: Outputs = [
        (header.schedule[target], Trigger(header, node, target, value, steps, failure)) for target in targets
    ]
    return [*_produced(task, value, failure), *triggers] if header.watched else triggers


def plain_result(task: Task, outcome: Outcome, executor: PeerName, clock: Micros, floor: Vector) -> Result:
    """What comes of a `Task.plain` task: the same as of others, without detours."""
    number, attempt = task.id.number, task.id.attempt
    step = step_of(task, outcome, executor, None)
    return Result(number, attempt, outcome.value, [step], outcome.failure, clock, floor)


def _produced(task: Task, value: Value | None, failure: Failure | None) -> Outputs:
    """To whoever watches: before the triggers, so that it is mostly there before the result is."""
    own = next((step for step in task.steps if step.node == task.id.node), None)
    if own is None:  # it failed before it ran
        return []
    number, attempt, node = task.id.number, task.id.attempt, task.id.node
    return [(task.id.client, Produced(number, attempt, node, own.executor, own, value, failure))]


def _told(session: Session | None) -> Session | None:
    """What a client gets back of a session: what its own next writes replace, what the call wrote, and at
    ``atomic`` what its reads and writes make due."""
    if session is None or not (session.seen or session.wrote or session.due):
        return None
    return Session(session.level, "", session.seen, {}, session.wrote, due=session.due)


def keepers(task: Task) -> list[PeerName]:
    """All executors that may keep something for the task's attempt."""
    session = task.session
    if session is None or session.level not in REPEATABLE:
        return []
    names = dict.fromkeys(task.header.schedule)
    for fix in session.fixed.values():
        names[fix.holder] = None
    if session.home:
        names[session.home] = None
    return list(names)


def _onward(header: Header, clock: Micros, floor: Vector, session: Session | None) -> Header:
    if clock == header.clock and floor == header.floor and session is None:
        return header
    return Header(
        header.client,
        header.number,
        header.attempt,
        header.plan,
        header.schedule,
        header.fixed,
        clock,
        floor,
        header.output_key,
        header.record,
        header.watched,
        session,
    )


def step_of(task: Task, outcome: Outcome, executor: PeerName, witness: Witness | None) -> Step:
    """What a task did, now that it has run."""
    told = task.inputs or task.hits or task.misses or task.header.watched
    return Step(
        task.id.node,
        executor,
        task.ready_at,
        outcome.started,
        outcome.ended,
        outcome.stdout,
        outcome.stderr,
        witness,
        _intake(task, outcome) if told else None,
        version=0 if task.function is None else task.function.version,
    )


def _intake(task: Task, outcome: Outcome) -> Intake:
    arrivals = [_arrival(trigger, task.arrived[trigger.source]) for trigger in task.inputs]
    return Intake(outcome.decode_ms, arrivals, task.hits, task.misses)


def _arrival(trigger: Trigger, at: Millis) -> Arrival:
    return Arrival(trigger.source, 0 if trigger.value is None else trigger.value.nbytes, at)


def steps(task: Task, step: Step) -> list[Step]:
    """The steps that led to this task's outcome, each once, and ``step``, its own."""
    if not task.inputs and not task.steps:
        return [step]
    if len(task.inputs) == 1 and not task.steps:
        # A chain's story is a copy, not a merge: its length would cost at every link.
        return [*task.inputs[0].steps, step]
    seen = {known.node: known for known in task.steps}
    for trigger in task.inputs:
        for known in trigger.steps:
            seen.setdefault(known.node, known)
    seen[step.node] = step
    return list(seen.values())


# ---------------------------------------------------------------- on the way


def handover(task: Task) -> Handover:
    """A queued task, for another executor."""
    unused = {trigger.source for trigger in task.unused}
    return Handover(
        task.header,
        task.id.node,
        task.args,
        list(task.triggers.values()),
        task.steps,
        task.hops + 1,
        [source for source in task.triggers if source not in unused],
    )


def probes_behind(header: Header, node: int, known: Known | None) -> Outputs:
    """Ask after the tasks that a task feeds which was probably finished here, rather than run it again."""
    targets = () if known is None else known.topology.succs[node]
    if not targets:
        return [(header.client, Gone(header.number, header.attempt, node))]
    return [(header.schedule[target], Probe(header, target)) for target in targets]


def news(task: Task, executor: PeerName) -> Send:
    """How far a task is, for its caller; who does not want it answers with a `Cancel`."""
    number, attempt, node = task.id.number, task.id.attempt, task.id.node
    waits = task.state == "waiting"
    return Send(
        task.id.client, Running(number, attempt, node, executor, *task.progress, *task.printed, waits)
    )
