"""The client core by events and effects."""

import pytest

from cloudburst_runtime.client.calls import (
    Answered,
    Ask,
    CancelCall,
    Dispatched,
    Forget,
    Observed,
    OwnedCall,
    Resolve,
    Store,
    Submit,
)
from cloudburst_runtime.client.core import ClientCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, Timer
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import Max
from cloudburst_runtime.messages import (
    Args,
    Astray,
    Call,
    Calls,
    Cancel,
    DagNode,
    Done,
    Due,
    Entry,
    ExecutorLost,
    Failed,
    Failure,
    Get,
    GetReply,
    Gone,
    Keys,
    Lease,
    Moved,
    Place,
    Placed,
    Plan,
    Probe,
    Put,
    PutReply,
    Result,
    Revoke,
    Revoked,
    Running,
    Status,
    Unknown,
)
from cloudburst_runtime.values import decode, encode

FAN = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)]
PLANS = {
    "f": Plan(1, "f", [DagNode("f")], [1], []),
    "slow": Plan(2, "slow", [DagNode("slow")], [1], [], timeout=2.0),
    "p": Plan(3, "p", [DagNode("a"), DagNode("b")], [1, 1], [(0, 1)]),
    "wide": Plan(5, "wide", [DagNode(name) for name in "abcde"], [1] * 5, FAN),
    "two": Plan(4, "two", [DagNode("a"), DagNode("b"), DagNode("c")], [1, 1, 1], [(0, 2), (1, 2)]),
}


class Bench:
    """A client ``c1`` and what it did; ``place`` answers as the scheduler would."""

    def __init__(self):
        self.core = ClientCore(Config(), "c1", HybridClock(0), lambda: 0.5)
        self.core.start(0.0)
        self.now = 0.0
        self.serial = 0

    def take(self, event):
        effects = self.core.handle(event, self.now)
        self.core.validate()
        return effects

    def tell(self, peer, message):
        return self.take(Received(peer, message))

    def tick(self, seconds=1.0):
        self.now += seconds * 1000
        return self.take(Timer("tick"))

    def submit(self, number, target="f", args=None, **options):
        kind = "dag" if target in ("p", "two", "wide") else "function"
        given = {None: Args(encode(((number,), {})))} if args is None else args
        return self.take(Submit(OwnedCall(number, kind, target, given, **options)))

    def place(self, effects, places=("e1",), serial=None):
        """Grant the lease that was asked for."""
        _, place = one(effects, Place)
        self.serial = serial or self.serial + 1
        plan = PLANS[place.target]
        lease = Lease(plan, [list(places)] * len(plan.nodes), "locality", self.serial)
        return self.tell("node", Placed(place.req, lease))

    def running(self, number, target="f", places=("e1",), **options):
        """Submit a call, and place it."""
        return self.place(self.submit(number, target, **options), places)

    def result(self, number, value="v", failure=None, attempt=0, **session):
        given = None if failure else encode(value)
        return self.tell("e1", Result(number, attempt, given, [], failure, **session))


@pytest.fixture
def bench():
    return Bench()


def messages(effects, kind=None):
    """What is sent, and to whom; calls that travel together one by one."""
    sent = [(e.peer, m) for e in effects if isinstance(e, Send) for m in apart(e.message)]
    return [(peer, m) for peer, m in sent if kind is None or isinstance(m, kind)]


def apart(message):
    if not isinstance(message, Calls):
        return [message]
    return [Call(message.header, node, args) for node, args in zip(message.nodes, message.args, strict=True)]


def one(effects, kind):
    [(peer, message)] = messages(effects, kind)
    return peer, message


def outcomes(effects):
    """(number, value or kind of failure) of the calls that ended."""
    ended = [e for e in effects if isinstance(e, Resolve)]
    return [(e.number, e.result.failure.kind if e.result.failure else decode(e.result.value)) for e in ended]


# ---------------------------------------------------------------- leases


def test_the_scheduler_is_asked_once_and_calls_go_straight_to_executors(bench):
    asked = bench.submit(1)
    assert messages(bench.submit(2), Place) == []
    calls = messages(bench.place(asked), Call)
    assert [(peer, call.header.number) for peer, call in calls] == [("e1", 1), ("e1", 2)]
    assert [type(m) for _, m in messages(bench.submit(3))] == [Call]
    assert outcomes(bench.result(1, 7)) == [(1, 7)]


def test_a_call_goes_to_the_executor_with_the_least_to_do(bench):
    assert one(bench.running(1, places=("e1", "e2")), Call)[0] == "e1"
    assert one(bench.submit(2), Call)[0] == "e2"
    bench.result(1)
    assert one(bench.submit(3), Call)[0] == "e1"


def test_a_placement_that_is_refused_fails_all_that_wait_for_it(bench):
    _, place = one(bench.submit(1), Place)
    bench.submit(2)
    failed = Failed(place.req, Failure("FunctionNotFound", "no f"))
    assert outcomes(bench.tell("node", failed)) == [(1, "FunctionNotFound"), (2, "FunctionNotFound")]


def test_a_revoked_lease_is_acknowledged_and_not_used_any_more(bench):
    bench.running(1)
    assert messages(bench.tell("node", Revoke(8, [1], through=1))) == [("node", Revoked(8))]
    assert [type(m) for _, m in messages(bench.submit(2))] == [Place]


def test_a_lease_that_arrives_after_its_revocation_is_void(bench):
    asked = bench.submit(1)
    bench.tell("node", Revoke(8, [1], through=4))
    effects = bench.place(asked, serial=4)
    assert [type(m) for _, m in messages(effects)] == [Place]
    assert len(messages(bench.place(effects, serial=5), Call)) == 1


def test_an_executor_may_leave_once_no_call_needs_it(bench):
    bench.running(1)
    assert messages(bench.tell("node", Revoke(8, [], leaving=["e1"]))) == []
    assert messages(bench.result(1)) == [("node", Revoked(8))]
    assert messages(bench.tell("node", Revoke(9, [], leaving=["e1"]))) == [("node", Revoked(9))]


# ---------------------------------------------------------------- arguments


def test_each_source_and_each_node_with_fixed_arguments_gets_a_call(bench):
    given = {"a": Args(encode(((1,), {}))), "c": Args(encode(((3,), {})))}
    effects = bench.running(1, "two", args=given)
    assert [call.node for _, call in messages(effects, Call)] == [0, 1, 2]
    assert messages(effects, Call)[0][1].header.fixed == [2]
    assert any(isinstance(e, Dispatched) for e in effects)


def test_arguments_that_fit_no_node_fail_the_call(bench):
    given = {"z": Args(encode(((), {})))}
    assert outcomes(bench.running(1, "two", args=given)) == [(1, "InvalidDag")]
    assert outcomes(bench.submit(2, "two")) == [(2, "InvalidDag")]


def test_a_call_waits_for_the_results_among_its_arguments(bench):
    bench.running(1)
    args = Args(encode(((None,), {})))
    assert bench.submit(2, args={None: args}, depends={1: [(args, 0)]}) == []
    _, call = one(bench.result(1, 7), Call)
    assert [(inline.slot, decode(inline.value)) for inline in call.args.inline] == [(0, 7)]


def test_a_failure_among_the_arguments_is_the_calls_own(bench):
    bench.running(1)
    args = Args(encode(((None,), {})))
    bench.submit(2, args={None: args}, depends={1: [(args, 0)]})
    failed = bench.result(1, failure=Failure("user", "boom"))
    assert outcomes(failed) == [(1, "user"), (2, "user")]


@pytest.mark.parametrize(
    ("target", "places", "home"),
    [
        ("wide", ["e1", "e2", "e3", "e3", "e1"], "e3"),
        ("wide", ["e1", "e2", "e3", "e4", "e1"], "e2"),
        ("p", ["e2", "e1"], ""),
    ],
)
def test_parallel_steps_agree_where_most_of_them_run(bench, target, places, home):
    _, place = one(bench.submit(1, target, level="dsrr"), Place)
    lease = Lease(PLANS[target], [[name] for name in places], "locality", 1)
    _, call = one(bench.tell("node", Placed(place.req, lease)), Call)
    assert call.header.session.home == home


@pytest.mark.parametrize(
    ("level", "places", "beside"),
    [
        ("dsrr", ["e1", "e2", "e3", "e3", "e1"], ["e3", "e2"]),
        ("dsrr", ["e1", "e3", "e3", "e3", "e1"], []),
        ("atomic", ["e1", "e2", "e3", "e3", "e1"], []),
    ],
)
def test_parallel_steps_on_several_executors_are_told_what_the_client_knows(bench, level, places, beside):
    bench.running(1)
    bench.result(1, floor={"node": 12})
    _, place = one(bench.submit(2, "wide", level=level), Place)
    lease = Lease(PLANS["wide"], [[name] for name in places], "locality", 2)
    _, call = one(bench.tell("node", Placed(place.req, lease)), Call)
    session = call.header.session
    assert (session.beside, session.start) == (beside, {"node": 12} if beside else {})


@pytest.mark.parametrize(("lost", "kind"), [(True, "ExecutorLost"), (False, "ConsistencyError")])
def test_a_call_that_is_astray_and_may_not_run_again_says_what_it_lacked(bench, lost, kind):
    bench.running(1, "p", places=("e1", "e2"), level="dsrr", retries=0)
    assert outcomes(bench.tell("e2", Astray(1, 0, "e2", "gone", lost=lost))) == [(1, kind)]


# ---------------------------------------------------------------- the session


def test_results_carry_the_session_on(bench):
    bench.running(1)
    bench.result(1, clock=9_000_000, floor={"node": 12})
    _, call = one(bench.submit(2), Call)
    assert (call.header.clock, call.header.floor) == (9_000_000, {"node": 12})


def test_what_the_store_answers_is_part_of_the_session(bench):
    _, put = one(bench.take(Store(100, "write", ("k", Max(1)))), Put)
    assert bench.tell("node", PutReply(put.req, 0, 5)) == [Answered(100, None)]
    _, get = one(bench.take(Store(101, "read", (["k"],))), Get)
    assert bench.tell("node", GetReply(get.req, [Entry(0, Max(1))], 6)) == [Answered(101, [Max(1)])]
    assert one(bench.running(1), Call)[1].header.floor == {"node": 6}


def test_an_attempt_after_one_that_went_astray_knows_what_that_had_lacked(bench):
    """It knew nothing, and came upon the same, as often as there could be attempts."""
    bench.running(1, level="atomic")
    first, second = Due((7, "e1"), "c9.1"), Due((9, "e1"), "c9.2")
    _, call = one(bench.tell("e1", Astray(1, 0, "e1", "why", True, due={"x": first})), Call)
    assert call.header.session.due == {"x": first}
    later = Astray(1, 1, "e1", "why", True, due={"x": second, "y": first})
    _, call = one(bench.tell("e1", later), Call)
    assert call.header.session.due == {"x": second, "y": first}
    assert one(bench.submit(2, level="atomic"), Call)[1].header.session.due == {}


# ---------------------------------------------------------------- losses


def test_a_call_whose_executor_is_lost_runs_again_elsewhere(bench):
    bench.running(1, retries=1)
    effects = bench.tell("node", ExecutorLost("e1", "killed"))
    assert messages(effects, Cancel) == [("e1", Cancel("c1", 1, 0))]
    _, call = one(bench.place(effects, ["e2"]), Call)
    assert call.header.attempt == 1
    assert outcomes(bench.result(1, "late", attempt=0)) == []
    assert outcomes(bench.result(1, "good", attempt=1)) == [(1, "good")]


def test_spent_retries_end_the_call_with_the_reason(bench):
    bench.running(1, retries=0)
    [resolve] = [e for e in bench.tell("node", ExecutorLost("e1", "killed")) if isinstance(e, Resolve)]
    assert resolve.result.failure.kind == "ExecutorLost"
    assert "killed" in resolve.result.failure.message


def test_a_retired_executor_costs_no_retry(bench):
    bench.running(1, retries=0)
    effects = bench.tell("node", ExecutorLost("e1", "retired", retired=True))
    assert [type(m) for _, m in messages(effects)] == [Cancel, Place]


def test_a_task_on_its_way_to_an_executor_that_had_retired_costs_no_retry(bench):
    """It left with nothing to do, so the task has not run; the word that it moved came after all else."""
    bench.running(1, retries=0)
    [timer] = bench.take(PeerLost("e2"))
    assert outcomes(bench.tell("node", ExecutorLost("e2", "retired", retired=True))) == []
    bench.tell("e1", Moved(1, 0, 0, "e2", 1))
    effects = bench.take(Timer(timer.key))
    assert outcomes(effects) == []
    assert one(effects, Call)[1].header.attempt == 1


def test_a_broken_connection_waits_for_the_schedulers_word(bench):
    bench.running(1, retries=0)
    [timer] = bench.take(PeerLost("e1"))
    assert outcomes(bench.take(Timer(timer.key))) == [(1, "ExecutorLost")]


def test_a_result_that_is_no_longer_kept_is_made_again(bench):
    bench.running(1, retries=1)
    assert one(bench.tell("e1", Gone(1, 0, 0)), Call)[1].header.attempt == 1


def test_without_a_runtime_everything_fails_at_once_and_later(bench):
    bench.running(1)
    bench.submit(2, "slow")
    bench.take(Ask(Status(bench.core.next_req())))
    effects = bench.take(PeerLost("node", "killed"))
    assert outcomes(effects) == [(1, "RuntimeUnavailable"), (2, "RuntimeUnavailable")]
    assert sum(isinstance(e, Answered) for e in effects) >= 1
    assert outcomes(bench.submit(3)) == [(3, "RuntimeUnavailable")]
    [answered] = bench.take(Store(100, "read", (["k"],)))
    assert answered.answer.kind == "RuntimeUnavailable"


def test_store_operations_under_way_end_with_the_runtime(bench):
    ops = {"read": (["k"],), "write": ("k", Max(1)), "delete": ("gone",)}
    numbers = []
    for kind, arguments in ops.items():
        numbers.append(bench.core.next_req())
        bench.take(Store(numbers[-1], kind, arguments))
    effects = bench.take(PeerLost("node", "killed"))
    answered = {effect.req: effect.answer for effect in effects if type(effect) is Answered}
    assert list(answered) == numbers
    assert {answer.kind for answer in answered.values()} == {"RuntimeUnavailable"}
    assert bench.take(PeerLost("node", "killed")) == []


# ---------------------------------------------------------------- probes


def test_an_unanswered_call_is_probed_ever_less_often(bench):
    bench.running(1)
    probed = [bool(messages(bench.tick(), Probe)) for _ in range(7)]
    assert probed == [True, False, True, False, False, False, True]


def test_a_call_that_never_arrived_is_sent_again(bench):
    bench.running(1)
    bench.tick()
    peer, call = one(bench.tell("e1", Unknown(1, 0, 0)), Call)
    assert (peer, call.header.attempt) == ("e1", 0)


def test_a_task_that_moved_is_asked_for_where_it_went(bench):
    bench.running(1)
    effects = bench.tell("e1", Moved(1, 0, 0, "e4", 1))
    assert effects == [Dispatched(1, ["e4"])]
    assert bench.core.load == {"e1": 0, "e4": 1}
    assert bench.tell("e1", Moved(1, 0, 0, "e3", 1)) == []
    peer, probe = one(bench.tick(), Probe)
    assert (peer, probe.hops) == ("e4", 1)


def test_a_task_that_was_lost_on_its_way_is_made_again(bench):
    bench.running(1, retries=1)
    bench.tell("e1", Moved(1, 0, 0, "e4", 1))
    effects = bench.tell("e4", Unknown(1, 0, 0))
    assert one(effects, Call)[1].header.attempt == 1


def test_an_input_that_never_arrived_starts_the_call_again(bench):
    bench.running(1, "p", retries=1)
    assert one(bench.tell("e1", Unknown(1, 0, 1)), Call)[1].header.attempt == 1


# ---------------------------------------------------------------- cancelling and time


def test_a_cancelled_call_ends_and_its_executors_are_told(bench):
    bench.running(1, "p")
    effects = bench.take(CancelCall(1))
    assert outcomes(effects) == [(1, "CallCancelled")]
    assert messages(effects) == [("e1", Cancel("c1", 1, 0))]
    assert outcomes(bench.result(1)) == []
    assert bench.take(CancelCall(1)) == []


def test_a_call_cancelled_before_it_was_placed_is_not_sent(bench):
    asked = bench.submit(1)
    assert outcomes(bench.take(CancelCall(1))) == [(1, "CallCancelled")]
    assert messages(bench.place(asked)) == []


@pytest.mark.parametrize("news", [Running(1, 0, 0, "e1"), Moved(1, 0, 0, "e1")])
def test_who_works_on_an_unwanted_call_is_told_again(bench, news):
    assert messages(bench.tell("e4", news)) == [("e1", Cancel("c1", 1, 0))]


def test_news_of_a_call_are_passed_on(bench):
    bench.running(1)
    assert bench.tell("e1", Running(1, 0, 0, "e1", waits=True)) == [], "it is wanted, but does not run"
    news = Running(1, 0, 0, "e1", 0.5, "half")
    assert bench.tell("e1", news) == [Observed(1, news)]


def test_a_call_that_takes_too_long_ends(bench):
    bench.running(1, timeout=0.5)
    bench.now = 499.0
    assert outcomes(bench.take(Timer("deadline"))) == []
    bench.now = 500.0
    effects = bench.take(Timer("deadline"))
    assert outcomes(effects) == [(1, "CallTimeout")]
    assert "0.5 s" in next(e for e in effects if isinstance(e, Resolve)).result.failure.message


def test_a_functions_own_timeout_counts_from_the_submission(bench):
    asked = bench.submit(1, "slow")
    bench.now = 1500.0
    bench.place(asked)
    bench.now = 2000.0
    assert outcomes(bench.take(Timer("deadline"))) == [(1, "CallTimeout")]


# ---------------------------------------------------------------- requests


def test_a_request_is_repeated_until_it_is_answered(bench):
    req = bench.core.next_req()
    bench.take(Ask(Keys(req)))
    assert [bool(messages(bench.tick(), Keys)) for _ in range(3)] == [True, False, True]
    assert bench.tell("node", Done(req)) == [Answered(req, Done(req))]
    assert bench.tell("node", Done(req)) == []
    assert bench.tick() == []


def test_a_refused_request_is_answered_with_the_failure(bench):
    req = bench.core.next_req()
    bench.take(Ask(Keys(req)))
    failure = Failure("InvalidName", "no")
    assert bench.tell("node", Failed(req, failure)) == [Answered(req, failure)]


def test_a_request_that_nobody_waits_for_is_not_repeated(bench):
    req = bench.core.next_req()
    bench.take(Ask(Keys(req)))
    bench.take(Forget(req))
    assert bench.tick() == []


def test_an_unknown_event_is_refused(bench):
    with pytest.raises(TypeError, match="no event"):
        bench.take("what")
