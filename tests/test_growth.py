"""What a call costs does not grow with how much there is: bytecodes are counted, no time is taken.

The benchmarks show the same in microseconds, which depend on which processes share a processor as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from cloudburst_runtime.client.calls import OwnedCall, Resolve, SendNow, Submit
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received, Send
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.tasks import Execute, Outcome, Ran
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.messages import (
    Args,
    Call,
    DagNode,
    FunctionSpec,
    Header,
    Lease,
    Message,
    Pin,
    Place,
    Placed,
    Plan,
    Result,
)
from cloudburst_runtime.values import encode

ROW = 64
"""Calls that are counted together: what comes once in many calls is in it in the same share."""
EXTRA = 1.1
"""How much more a call may take among many: of the order of what the row does not divide evenly."""


def bytecodes(action: Callable[[], object]) -> int:
    """How many bytecodes an action executes, in all Python functions that it calls."""
    count = 0

    def local(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return local

    before = sys.gettrace()
    sys.settrace(local)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def plan(number: int) -> Plan:
    """That of function ``f0``, ``f1``, …"""
    return Plan(number, f"f{number}", [DagNode(f"f{number}")], [1], [])


def sent(effects: list[Any]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


class Caller:
    """A client that has leases on so many functions, and calls under way."""

    def __init__(self, functions: int = 1) -> None:
        self.core = ClientCore(Config(), "c1", HybridClock(0), lambda: 0.5)
        self.core.start(0.0)
        self.submitted = self.ended = 0
        for number in range(functions):
            (place,) = sent(self.submit(number))
            assert isinstance(place, Place)
            self.tell("node", Placed(place.req, Lease(plan(number), [["e1"]], "locality", number + 1)))
            self.end()

    def tell(self, peer: str, message: Message) -> list[Any]:
        return self.core.handle(Received(peer, message), 0.0)

    def submit(self, function: int = 0) -> list[Any]:
        self.submitted += 1
        args = {None: Args(encode(((1,), {})))}
        return self.core.handle(Submit(OwnedCall(self.submitted, "function", f"f{function}", args)), 0.0)

    def end(self) -> None:
        """The call that has been under way longest has its result."""
        self.ended += 1
        effects = self.tell("e1", Result(self.ended, 0, encode(1), [], None))
        assert [effect.number for effect in effects if isinstance(effect, Resolve)] == [self.ended]

    def go_on(self) -> None:
        """As many further calls as end."""
        for _ in range(ROW):
            self.submit()
        self.core.handle(SendNow(), 0.0)
        for _ in range(ROW):
            self.end()


class Runner:
    """An executor that has so many functions, and calls that wait."""

    def __init__(self, functions: int = 1) -> None:
        self.core = ExecutorCore(Config(), "e1", HybridClock(0))
        self.core.start(0.0)
        numbers = range(functions)
        specs = [FunctionSpec(f"f{number}", 1, b"") for number in numbers]
        self.tell("node", Pin(specs, [plan(number) for number in numbers]))
        self.called = 0

    def tell(self, peer: str, message: Message) -> list[Any]:
        return self.core.handle(Received(peer, message), 0.0)

    def call(self) -> list[Any]:
        self.called += 1
        return self.tell("c1", Call(Header("c1", self.called, 0, 0, ["e1"]), 0, Args(encode(((1,), {})))))

    def ran(self) -> None:
        outcome = Outcome(encode(1), None, 0.0, 0.0)
        self.core.handle(Ran(list(self.core.running), [outcome]), 0.0)

    def go_on(self) -> None:
        """As many further calls as run."""
        for _ in range(ROW):
            self.call()
        for _ in range(ROW):
            assert self.core.running
            self.ran()


def test_bytecodes_are_counted_in_all_that_is_called() -> None:
    def loop(times: int) -> None:
        for _ in range(times):
            abs(times)

    few, many = bytecodes(lambda: loop(10)), bytecodes(lambda: loop(1_000))
    assert 50 < many / few < 100


@pytest.mark.parametrize("side", [Caller, Runner])
def test_a_call_costs_the_same_among_ten_thousand_functions(side: type[Caller | Runner]) -> None:
    one, hundred, many = (bytecodes(side(functions).go_on) for functions in (1, 100, 10_000))
    assert one <= hundred * EXTRA
    assert hundred <= one * EXTRA
    assert many <= one * EXTRA


def test_a_call_costs_the_client_the_same_while_a_hundred_thousand_are_under_way() -> None:
    costs = []
    for flight in (0, 1_000, 100_000):
        caller = Caller()
        for _ in range(flight):
            caller.submit()
        caller.core.handle(SendNow(), 0.0)
        costs.append(bytecodes(caller.go_on))
    assert max(costs) <= costs[0] * EXTRA


def test_a_call_costs_the_executor_the_same_while_a_hundred_thousand_wait() -> None:
    costs = []
    for waiting in (0, 1_000, 100_000):
        runner = Runner()
        begun = [runner.call() for _ in range(waiting)]
        assert sum(isinstance(effect, Execute) for effects in begun for effect in effects) == min(waiting, 1)
        costs.append(bytecodes(runner.go_on))
    assert max(costs) <= costs[0] * EXTRA
