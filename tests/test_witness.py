"""What an executor reports of a call that is recorded, and that it reports nothing of any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.errors import InvalidName
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.tasks import Outcome, Ran, Task
from cloudburst_runtime.executor.witness import WitnessLibrary
from cloudburst_runtime.ids import HybridClock, TaskId
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.messages import (
    Args,
    Call,
    DagNode,
    Failure,
    FunctionSpec,
    Header,
    Pin,
    Plan,
    Result,
    Trigger,
)
from cloudburst_runtime.values import decode, encode

CHAIN = Plan(1, "pipe", [DagNode("f"), DagNode("g")], [3, 1], [(0, 1)])
FUNCTIONS = [FunctionSpec("f", 3, b""), FunctionSpec("g", 1, b"")]


class Served(WitnessLibrary):
    """A library over a dict."""

    def __init__(self, task: Task) -> None:
        self.store: dict[str, Any] = {}
        self.answer: Any = None
        core = ExecutorCore(Config(), "e1", HybridClock(0))
        super().__init__(core, self.carry_out, lambda done, timeout: done())
        self._for(task)

    def carry_out(self, kind: str, arguments: tuple[Any, ...]) -> Any:
        if kind == "read":
            return [self.store.get(key) for key in arguments[0]]
        if kind == "write" and self.answer is None:
            self.store[arguments[0]] = arguments[1]
        return self.answer


@pytest.fixture
def task() -> Task:
    return Task(TaskId("c1", 1, 0, 0), Header("c1", 1, 0, 1, ["e1"], record=True))


@pytest.mark.parametrize("wrong", [None, 5, b"key", [5]])
def test_what_is_no_key_is_said(task: Task, wrong: Any) -> None:
    with pytest.raises(InvalidName, match="must be a string"):
        Served(task).get(wrong)


def test_the_library_notes_what_it_is_asked_and_what_it_answers(task: Task) -> None:
    library = Served(task)
    library.store["a"] = delta(7, None, "c1", 1)
    task.mailbox.append(("e2/x", encode("hello")))
    assert library.get(["a", "b"]) == {"a": 7, "b": None}
    library.put("c", 3, lattice="counter")
    library.delete("a")
    library.send("e2/x", [1])
    assert library.recv() == [("e2/x", "hello")]
    at, own = library.now(), library.getid()
    kinds = [seen.kind for seen in task.seen]
    assert kinds == ["get", "put", "delete", "send", "recv", "now", "getid"]
    read, put, deleted, sent, received, now, named = task.seen
    assert read.keys == ["a", "b"]
    assert [None if found is None else reveal(found) for found in read.lattices] == [7, None]
    assert put.keys == ["c"]
    assert put.lattices[0] is not None
    assert reveal(put.lattices[0]) == 3
    assert deleted.keys == ["a"]
    assert (sent.keys, decode(sent.mail[0][1])) == (["e2/x"], [1])
    assert decode(received.mail[0][1]) == "hello"
    assert (now.at, named.text) == (at, own)


def test_what_is_noted_of_a_put_does_not_change_with_the_array(task: Task) -> None:
    library, array = Served(task), np.zeros(5000)
    library.put("a", array)
    array[:] = 1
    noted = task.seen[0].lattices[0]
    assert noted is not None
    assert not reveal(noted).any()


def test_a_refused_operation_is_noted_with_its_failure(task: Task) -> None:
    library = Served(task)
    library.answer = Failure("LatticeMismatch", "it holds a set")
    with pytest.raises(Exception, match="it holds a set"):
        library.put("a", 1)
    assert task.seen[0].failure == library.answer


def outcome(value: object) -> Outcome:
    return Outcome(encode(value), None, 1.0, 2.0)


def witnesses(record: bool) -> list[Any]:
    """What is reported of both nodes of a chain that runs on one executor."""
    core = ExecutorCore(Config(), "e1", HybridClock(0))
    core.handle(Received("node", Pin(FUNCTIONS, [CHAIN])), 0.0)
    header = Header("c1", 1, 0, 1, ["e1", "e1"], record=record)
    core.handle(Received("c1", Call(header, 0, Args(encode(((3,), {}))))), 0.0)
    core.handle(Ran(list(core.running), [outcome("half")]), 1.0)
    effects = core.handle(Ran(list(core.running), [outcome("whole")]), 2.0)
    [result] = [effect.message for effect in effects if isinstance(effect, Send)]
    assert isinstance(result, Result)
    return [step.witness for step in result.steps]


def test_each_step_of_a_recorded_call_has_a_witness() -> None:
    first, second = witnesses(record=True)
    assert (first.function, first.version, first.inputs) == ("f", 3, [])
    assert decode(first.value) == "half"
    assert (second.function, second.version, second.inputs) == ("g", 1, [0])
    assert second.value is None, "the result has it"


def test_a_call_that_is_not_recorded_has_none() -> None:
    assert witnesses(record=False) == [None, None]


def test_a_trigger_to_another_executor_carries_the_witness_and_the_wish() -> None:
    core = ExecutorCore(Config(), "e1", HybridClock(0))
    core.handle(Received("node", Pin(FUNCTIONS, [CHAIN])), 0.0)
    header = Header("c1", 1, 0, 1, ["e1", "e2"], record=True)
    core.handle(Received("c1", Call(header, 0, Args(encode(((3,), {}))))), 0.0)
    core.clock.observe(99)
    effects = core.handle(Ran(list(core.running), [outcome("half")]), 1.0)
    [trigger] = [effect.message for effect in effects if isinstance(effect, Send)]
    assert isinstance(trigger, Trigger)
    assert trigger.header.record
    assert trigger.steps[0].witness is not None
