"""What travels together: calls of one client, results, inputs of one task. By events, effects and laws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_runtime.client.calls import CancelCall, Held, OwnedCall, Resolve, SendNow, Submit, SubmitAll
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.client.gathering import TOGETHER_BYTES_MAX
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.departures import OUTCOME_BYTES_MAX, REMINDER_MS, TIMER
from cloudburst_runtime.executor.tasks import Interrupt, Outcome, Ran
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.messages import (
    Args,
    Call,
    Calls,
    Cancel,
    DagNode,
    ExecutorLost,
    Failure,
    FunctionSpec,
    Header,
    Lease,
    Pin,
    Plan,
    Probe,
    Result,
    Results,
    Shed,
    Trigger,
    Triggers,
    pack,
    unpack,
)
from cloudburst_runtime.values import Value, decode, encode

F, G, JOIN, RACE = 1, 2, 3, 4
INVALID = encode("no good")
FUNCTIONS = [FunctionSpec(name, 1, b"") for name in ("f", "g", "a", "b", "c", "join")]
SOURCES = ("a", "b", "c")
EDGES = [(0, 3), (1, 3), (2, 3)]
PLANS = {
    F: Plan(F, "f", [DagNode("f")], [1], []),
    G: Plan(G, "g", [DagNode("g")], [1], []),
    JOIN: Plan(JOIN, "join", [DagNode(name) for name in (*SOURCES, "join")], [1] * 4, EDGES),
    RACE: Plan(RACE, "race", [*map(DagNode, SOURCES), DagNode("join", [INVALID])], [1] * 4, EDGES),
}


def sent(effects, kind=None):
    return [
        (e.peer, e.message)
        for e in effects
        if isinstance(e, Send) and (kind is None or type(e.message) is kind)
    ]


def shapes(effects):
    """Whom something is sent to, what, and the numbers of the calls in it."""
    return [(peer, type(message).__name__, numbers(message)) for peer, message in sent(effects)]


def numbers(message):
    if isinstance(message, Calls):
        return message.numbers
    if isinstance(message, Results):
        return [result.number for result in message.results]
    return [message.header.number if isinstance(message, Call) else message.number]


def own(number, argument=None, target="f"):
    value = encode(((number if argument is None else argument,), {}))
    return OwnedCall(number, "function", target, {None: Args(value)})


class Client:
    """A client ``c1`` that holds leases on all plans, on the executors given."""

    def __init__(self, places=("e1",), **config):
        self.core = ClientCore(Config(**config), "c1", HybridClock(0), lambda: 0.5)
        self.now = 0.0
        for plan in PLANS.values():
            kind = "function" if len(plan.nodes) == 1 else "dag"
            lease = Lease(plan, [list(places)] * len(plan.nodes), "locality", 1)
            self.core.leases.held[(kind, plan.target, None, ())] = Held.of(lease)

    def take(self, event):
        effects = self.core.handle(event, self.now)
        self.core.validate()
        return effects

    def submit(self, *numbers, target="f"):
        return [effect for number in numbers for effect in self.take(Submit(own(number, target=target)))]

    def result(self, number, **session):
        return self.take(Received("e1", Result(number, 0, encode(number), [], **session)))


class Executor:
    """An executor ``e1`` that knows all plans."""

    def __init__(self, name="e1", **config):
        self.core = ExecutorCore(Config(**config), name, HybridClock(0))
        self.now = 0.0
        self.core.start(0.0)
        self.tell(Pin(FUNCTIONS, list(PLANS.values())), "node")

    def take(self, event):
        effects = self.core.handle(event, self.now)
        self.core.validate()
        return effects

    def tell(self, message, peer="c1"):
        return self.take(Received(peer, message))

    def calls(self, *numbers, plan=F, client="c1"):
        head = Header(client, numbers[0], 0, plan, [self.core.name])
        args = [Args(encode(((number,), {}))) for number in numbers]
        return self.tell(Calls(head, list(numbers), [0] * len(numbers), args), client)

    def join(self, plan=JOIN, sink="e2", nodes=(0, 1, 2)):
        """The three sources of a DAG run here, its sink elsewhere."""
        schedule = [self.core.name] * 3 + [sink]
        args = [Args(encode(((node,), {}))) for node in nodes]
        return self.tell(Calls(Header("c1", 1, 0, plan, schedule), [1] * len(nodes), list(nodes), args))

    def ran(self, run_ms=0.01, value="v", failure=None):
        """What runs has ended."""
        self.now += run_ms
        given = None if failure else value if isinstance(value, Value) else encode(value)
        return self.take(Ran(list(self.core.running), [Outcome(given, failure, self.now, self.now)]))

    def settled(self, **config):
        """Forty calls wait, and enough of them have run shortly for results to wait."""
        self.calls(*range(1, 41))
        for _ in range(self.core.config.together_after):
            self.ran()
        return self


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def executor():
    return Executor().settled()


# ---------------------------------------------------------------- a client's calls at once


def test_calls_that_are_submitted_at_once_go_to_each_executor_in_one_message():
    client = Client(places=("e1", "e2"))
    effects = client.take(SubmitAll([own(number) for number in range(1, 6)]))
    assert shapes(effects) == [("e1", "Calls", [1, 3, 5]), ("e2", "Calls", [2, 4])]
    (_, calls), _ = sent(effects)
    assert [decode(args.value) for args in calls.args] == [((1,), {}), ((3,), {}), ((5,), {})]


def test_a_message_has_a_size_and_large_arguments_go_alone(client):
    large = b"x" * (TOGETHER_BYTES_MAX // 3)
    effects = client.take(SubmitAll([own(1), own(2, b"y" * 100_000), *(own(n, large) for n in range(3, 8))]))
    assert shapes(effects) == [
        ("e1", "Call", [1]),
        ("e1", "Call", [2]),
        ("e1", "Calls", [3, 4]),
        ("e1", "Calls", [5, 6]),
        ("e1", "Call", [7]),
    ]


def test_without_a_lease_they_wait_for_one(client):
    client.core.leases.held.clear()
    effects = client.take(SubmitAll([own(1), own(2)]))
    assert [type(message).__name__ for _, message in sent(effects)] == ["Place"]


def test_of_a_lost_executor_each_unfinished_call_is_made_again_elsewhere():
    client = Client(places=("e1", "e2"))
    client.take(SubmitAll([own(number) for number in range(1, 7)]))
    client.result(1)
    client.core.leases.held[("function", "f", None, ())] = Held.of(Lease(PLANS[F], [["e2"]], "locality", 2))
    again = client.take(Received("node", ExecutorLost("e1", "it crashed")))
    assert [(peer, m.header.number, m.header.attempt) for peer, m in sent(again, Call)] == [
        ("e2", 3, 1),
        ("e2", 5, 1),
    ]


def test_a_lost_message_is_made_good_call_by_call(client):
    client.take(SubmitAll([own(1), own(2)]))
    client.now += 5_000.0
    probes = sent(client.take(Timer("tick")), Probe)
    assert [probe.header.number for _, probe in probes] == [1, 2]


# ---------------------------------------------------------------- a client's calls one after the other


def test_the_first_calls_leave_at_once_and_those_behind_them_together(client):
    assert len(sent(client.submit(*range(1, 9)), Call)) == 8
    effects = client.submit(9, 10, 11)
    assert sent(effects) == []
    assert [e for e in effects if isinstance(e, SetTimer)] == [SetTimer("together", client.now + REMINDER_MS)]
    assert shapes(client.take(SendNow())) == [("e1", "Calls", [9, 10, 11])]
    assert client.take(SendNow()) == []


def test_they_leave_by_themselves_when_they_are_many_or_time_has_passed(client):
    client.submit(*range(1, 9))
    client.submit(9, 10)
    assert shapes(client.take(Timer("together"))) == [("e1", "Calls", [9, 10])]
    client.submit(11)
    client.now += client.core.config.together_ms
    assert shapes(client.submit(12)) == [("e1", "Calls", [11, 12])]
    assert shapes(client.submit(*range(13, 13 + 32))) == [("e1", "Calls", list(range(13, 13 + 32)))]


def test_what_has_options_leaves_at_once_and_after_what_waits(client):
    client.submit(*range(1, 10))
    call = own(10)
    call.output_key = "k"
    assert shapes(client.take(Submit(call))) == [("e1", "Call", [9]), ("e1", "Call", [10])]


def test_only_calls_with_one_session_and_one_plan_share_a_header(client):
    client.submit(*range(1, 10))
    client.result(1, floor={"node": 5})
    client.submit(10, 11)
    client.submit(12, target="g")
    effects = client.take(SendNow())
    assert shapes(effects) == [("e1", "Call", [9]), ("e1", "Calls", [10, 11]), ("e1", "Call", [12])]
    assert [message.header.floor for _, message in sent(effects)] == [{}, {"node": 5}, {"node": 5}]


def test_a_call_that_is_cancelled_while_it_waits_is_not_run(client):
    client.submit(*range(1, 11))
    effects = client.take(CancelCall(9)) + client.take(SendNow())
    executor = Executor()
    for _, message in sent(effects):
        executor.tell(message)
    assert [task.id.number for task in executor.core.tasks.values()] == [10]


# ---------------------------------------------------------------- an executor's results


def test_results_wait_once_several_short_runs_make_it_likely_that_the_next_is_short():
    executor = Executor()
    executor.calls(*range(1, 12))
    at_once = [shapes(executor.ran()) for _ in range(8)]
    assert at_once == [[("c1", "Result", [number])] for number in range(1, 9)]
    assert [shapes(executor.ran()) for _ in range(2)] == [[], []]
    assert shapes(executor.ran()) == [("c1", "Results", [9, 10, 11])]


def test_they_leave_when_the_next_run_takes_long(executor):
    reminder = [e for e in executor.ran() if isinstance(e, SetTimer)]
    assert reminder == [SetTimer(TIMER, executor.now + REMINDER_MS)]
    assert shapes(executor.ran()) == []
    assert shapes(executor.take(Timer(TIMER))) == [("c1", "Results", [9, 10])]
    assert shapes(executor.ran(500.0)) == [("c1", "Result", [11])]
    assert shapes(executor.ran()) == [("c1", "Result", [12])]


def test_they_leave_when_they_have_waited_for_long_or_another_function_is_next(executor):
    executor.ran()
    waited = [shapes(executor.ran(0.09)) for _ in range(4)]
    assert waited == [[], [], [], [("c1", "Results", [9, 10, 11, 12, 13])]]
    executor.calls(50, plan=G)
    while executor.core.runner.queue[0].id.number != 50:
        executor.ran()
    assert shapes(executor.ran()) == [("c1", "Results", list(range(14, 41)))]


def test_a_large_result_waits_for_nothing(executor):
    executor.ran()
    large = executor.ran(value=encode(b"x" * (OUTCOME_BYTES_MAX + 1)))
    assert shapes(large) == [("c1", "Result", [9]), ("c1", "Result", [10])]


def test_a_failure_keeps_its_place_among_the_results(executor):
    executor.ran()
    executor.ran(failure=Failure("user", "no"))
    executor.ran()
    [(_, results)] = sent(executor.take(Timer(TIMER)))
    assert [(r.number, r.failure is not None) for r in results.results] == [
        (9, False),
        (10, True),
        (11, False),
    ]


def test_one_of_many_that_is_cancelled_has_no_result_and_the_others_have(executor):
    executor.ran()
    assert executor.tell(Cancel("c1", 12, 0)) == []
    [interrupt] = executor.tell(Cancel("c1", 10, 0))
    assert isinstance(interrupt, Interrupt)
    assert shapes(executor.ran(failure=Failure("CallCancelled", "cancelled"))) == [("c1", "Result", [9])]
    executor.ran()
    assert shapes(executor.take(Timer(TIMER))) == [("c1", "Result", [11])]
    assert [task.id.number for task in executor.core.running] == [13]


def test_a_repetition_runs_nothing_twice_and_a_probe_is_answered_though_the_result_waits(executor):
    executor.ran()
    effects = executor.calls(9, 10, 11)
    assert shapes(effects) == [("c1", "Result", [9])]
    assert shapes(executor.tell(Probe(Header("c1", 9, 0, F, ["e1"]), 0))) == [("c1", "Result", [9])]
    assert [task.id.number for task in executor.core.tasks.values()] == list(range(10, 41))


def test_of_several_clients_each_gets_its_own_and_one_that_is_gone_none():
    executor = Executor(together_after=0)
    executor.calls(1, 2)
    executor.calls(1, 2, client="c2")
    executor.calls(1, 2, client="c3")
    for _ in range(5):
        assert shapes(executor.ran()) == []
    executor.take(PeerLost("c2"))
    assert shapes(executor.take(Timer(TIMER))) == [("c1", "Results", [1, 2]), ("c3", "Result", [1])]


def test_tasks_behind_can_still_be_given_away(executor):
    executor.ran()
    effects = executor.tell(Shed(["e2", "e2"]), "node")
    assert [m.header.number for _, m in sent(effects) if type(m).__name__ == "Handover"] == [11, 12]


# ---------------------------------------------------------------- inputs of one task


def test_inputs_of_one_task_go_in_one_message_with_the_last_of_them():
    executor = Executor()
    executor.join()
    assert [shapes_of_triggers(executor.ran(value=v)) for v in "xyz"] == [[], [], [("e2", [0, 1, 2])]]


def shapes_of_triggers(effects):
    found = []
    for peer, message in sent(effects):
        if isinstance(message, Triggers):
            found.append((peer, [each.source for each in message.inputs]))
        elif isinstance(message, Trigger):
            found.append((peer, [message.source]))
    return found


def test_the_executor_of_the_task_takes_them_as_if_each_had_come_alone():
    executor, sink = Executor(), Executor("e2")
    executor.join()
    for value in "xyz":
        effects = executor.ran(value=value)
    for _, message in sent(effects):
        effects = sink.tell(unpack(pack(message)), "e1")
    [task] = sink.core.running
    assert [decode(trigger.value) for trigger in task.inputs] == ["x", "y", "z"]
    assert [step.node for step in task.inputs[1].steps] == [1]


@pytest.mark.parametrize("large", [True, False])
def test_an_input_that_can_be_used_or_is_large_goes_at_once(large):
    executor = Executor()
    executor.join(JOIN if large else RACE)
    value = encode(b"x" * (OUTCOME_BYTES_MAX + 1)) if large else "v"
    assert shapes_of_triggers(executor.ran(value=value)) == [("e2", [0])]


def test_inputs_leave_when_the_one_that_they_wait_for_is_cancelled_or_fails_or_another_call_is_next():
    executor = Executor()
    executor.join()
    executor.ran()
    executor.tell(Cancel("c1", 1, 0))
    assert shapes_of_triggers(executor.ran(failure=Failure("CallCancelled", ""))) == [("e2", [0])]
    executor = Executor()
    executor.join()
    executor.ran()
    failed = executor.ran(failure=Failure("user", "no"))
    assert [type(message) for _, message in sent(failed)] == [Trigger, Result]
    executor = Executor()
    executor.join(nodes=(0,))
    executor.calls(7)
    assert shapes_of_triggers(executor.ran()) == [("e2", [0])]


# ---------------------------------------------------------------- laws


class World:
    """A client and two executors, whose messages arrive in order and cross the codec."""

    def __init__(self, **config):
        self.client = Client(("e1", "e2"), **config)
        self.executors = {name: Executor(name, **config) for name in ("e1", "e2")}
        self.on_the_way = []
        self.outcomes = {}
        self.runs = []

    def client_does(self, event):
        for effect in self.client.take(event):
            if isinstance(effect, Send):
                self.on_the_way.append(("c1", effect.peer, pack(effect.message)))
            elif isinstance(effect, Resolve):
                assert effect.number not in self.outcomes
                result = effect.result
                self.outcomes[effect.number] = result.failure.kind if result.failure else decode(result.value)

    def executor_does(self, name, effects):
        for effect in effects:
            if isinstance(effect, Send) and effect.peer != "node":
                self.on_the_way.append((name, effect.peer, pack(effect.message)))

    def deliver(self):
        source, target, data = self.on_the_way.pop(0)
        if target == "c1":
            self.client_does(Received(source, unpack(data)))
        else:
            self.executor_does(target, self.executors[target].tell(unpack(data), source))

    def run(self, name, run_ms):
        executor = self.executors[name]
        if not executor.core.running:
            return
        [task] = executor.core.running
        self.runs.append(task.id)
        (argument,), _ = decode(task.args.value)
        failure = Failure("user", "odd") if isinstance(argument, int) and argument % 5 == 4 else None
        self.executor_does(name, executor.ran(run_ms, encode([task.id.number, argument]), failure))

    def finish(self):
        self.client_does(SendNow())
        while self.on_the_way or any(each.core.running for each in self.executors.values()):
            if self.on_the_way:
                self.deliver()
            for name in self.executors:
                self.run(name, 0.01)


arguments = st.one_of(st.integers(0, 30), st.binary(max_size=50), st.just(b"x" * 5_000))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("one"), arguments),
        st.tuples(st.just("all"), st.lists(arguments, min_size=1, max_size=12)),
        st.tuples(st.sampled_from(["deliver", "now", "timer"]), st.none()),
        st.tuples(st.just("run"), st.sampled_from([0.01, 0.2])),
        st.tuples(st.just("cancel"), st.integers(1, 30)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([0, 1, 3]), st.sampled_from([0.0, 0.3, 50.0]))
def test_whatever_travels_together_each_call_runs_once_and_has_the_outcome_that_it_would_have_alone(
    steps, after, span
):
    world = World(together_after=after, together_ms=span, short_run_ms=0.1)
    asked, cancelled = {}, set()
    for kind, what in steps:
        if kind in ("one", "all"):
            rows = [what] if kind == "one" else what
            calls = [own(len(asked) + 1 + place, argument) for place, argument in enumerate(rows)]
            asked.update(zip((call.number for call in calls), rows, strict=True))
            world.client_does(Submit(calls[0]) if kind == "one" else SubmitAll(calls))
        elif kind == "deliver" and world.on_the_way:
            world.deliver()
        elif kind == "run":
            for name in world.executors:
                world.run(name, what)
        elif kind == "now":
            world.client_does(SendNow())
        elif kind == "timer":
            for name, executor in world.executors.items():
                world.executor_does(name, executor.take(Timer(TIMER)))
        elif kind == "cancel" and what in asked and what not in world.outcomes:
            cancelled.add(what)
            world.client_does(CancelCall(what))
    world.finish()
    assert len(set(world.runs)) == len(world.runs)
    assert set(world.outcomes) == set(asked)
    for number, argument in asked.items():
        fails = isinstance(argument, int) and argument % 5 == 4
        alone = "user" if fails else [number, argument]
        assert world.outcomes[number] == ("CallCancelled" if number in cancelled else alone)
