"""The executor core by events and effects."""

import msgspec
import pytest

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received, Send, SetTimer, Timer
from cloudburst_runtime.executor.core import ExecutorCore
from cloudburst_runtime.executor.tasks import (
    Execute,
    Interrupt,
    Leave,
    Measure,
    Measured,
    Op,
    Outcome,
    Ran,
    Reply,
    StillRunning,
)
from cloudburst_runtime.ids import HybridClock
from cloudburst_runtime.lattices import Counter, Max
from cloudburst_runtime.messages import (
    Args,
    Call,
    Cancel,
    DagNode,
    Doing,
    Entry,
    ExecutorLost,
    Failure,
    Fetch,
    FunctionSpec,
    Get,
    GetReply,
    Gone,
    Handover,
    Header,
    Idle,
    Load,
    Mail,
    Moved,
    Pin,
    Plan,
    Probe,
    Put,
    PutReply,
    Ref,
    Result,
    Retire,
    Running,
    Shed,
    Trigger,
    Unknown,
)
from cloudburst_runtime.messages import Forget as ForgetRead
from cloudburst_runtime.values import Value, decode, encode

FUNCTIONS = [FunctionSpec(name, 1, b"") for name in ("f", "g", "h", "batch")]
SINGLE, CHAIN, JOIN, RACE, BATCH = 1, 2, 3, 4, 5
INVALID = encode("no good")


def plan(number, names, edges=(), multi=(), batching=False):
    nodes = [DagNode(name, [INVALID] if name in multi else None, batching=batching) for name in names]
    return Plan(number, "p", nodes, [1] * len(nodes), list(edges))


PLANS = [
    plan(SINGLE, ["f"]),
    plan(CHAIN, ["f", "g"], [(0, 1)]),
    plan(JOIN, ["f", "g", "h"], [(0, 2), (1, 2)]),
    plan(RACE, ["f", "g", "h"], [(0, 2), (1, 2)], multi=["h"]),
    plan(BATCH, ["batch"], batching=True),
]


class Bench:
    """An executor ``e1`` that knows everything, and what it did."""

    def __init__(self, **config):
        self.core = ExecutorCore(Config(**config), "e1", HybridClock(0))
        self.now = 0.0
        self.core.start(0.0)
        self.tell("node", Pin(FUNCTIONS, PLANS))

    def take(self, event):
        effects = self.core.handle(event, self.now)
        self.core.validate()
        return effects

    def tell(self, peer, message):
        return self.take(Received(peer, message))

    def call(self, number, plan=SINGLE, schedule=("e1", "e2", "e3"), node=0, args=None, **header):
        head = Header("c1", number, 0, plan, list(schedule), **header)
        return self.tell("c1", Call(head, node, args or Args(encode(((number,), {})))))

    def trigger(self, number, source, target, value="v", plan=JOIN, failure=None, **header):
        head = Header("c1", number, 0, plan, ["e2", "e3", "e1"], **header)
        given = None if failure else encode(value)
        return self.tell("e2", Trigger(head, source, target, given, [], failure))

    def ran(self, value="result", failure=None, invalid=False):
        """The user code that runs has ended."""
        outcome = Outcome(None if failure else encode(value), failure, self.now, self.now, invalid=invalid)
        return self.take(Ran(list(self.core.running), [outcome] * len(self.core.running)))

    def probe(self, number, node=0, plan=SINGLE, schedule=("e1", "e2", "e3"), hops=0):
        return self.tell("c1", Probe(Header("c1", number, 0, plan, list(schedule)), node, hops))


@pytest.fixture
def bench():
    return Bench()


def messages(effects, kind=None):
    sent = [(e.peer, e.message) for e in effects if isinstance(e, Send)]
    return [(peer, m) for peer, m in sent if kind is None or isinstance(m, kind)]


def one(effects, kind):
    [(peer, message)] = messages(effects, kind)
    return peer, message


def executed(effects):
    return [[str(task.id) for task in e.tasks] for e in effects if isinstance(e, Execute)]


# ---------------------------------------------------------------- running


def test_a_call_runs_and_its_result_goes_to_the_client(bench):
    assert executed(bench.call(1)) == [["c1.1.0.0"]]
    peer, result = one(bench.ran(7), Result)
    assert (peer, result.number, decode(result.value)) == ("c1", 1, 7)
    assert [step.executor for step in result.steps] == ["e1"]


def test_one_call_runs_at_a_time_and_the_others_in_order(bench):
    bench.call(1)
    assert executed(bench.call(2)) == []
    bench.call(3)
    assert executed(bench.ran()) == [["c1.2.0.0"]]
    assert executed(bench.ran()) == [["c1.3.0.0"]]


def test_a_repeated_call_runs_once_and_has_its_outcome_sent_again(bench):
    bench.call(1)
    assert bench.call(1) == []
    result = one(bench.ran(7), Result)
    assert messages(bench.call(1)) == [result]


def test_what_is_not_known_is_fetched_once_and_asked_for_again():
    bench = Bench()
    effects = bench.call(1, plan=9)
    assert one(effects, Fetch) == ("node", Fetch([], [9]))
    assert messages(bench.call(2, plan=9)) == []
    assert one(bench.take(Timer("fetch")), Fetch)[1].plans == [9]
    assert executed(bench.tell("node", Pin([], [plan(9, ["f"])]))) == [["c1.1.0.0"]]


def test_a_call_of_what_is_no_longer_kept_fails(bench):
    bench.call(1, plan=9)
    _, result = one(bench.tell("node", Pin(missing=["#9"])), Result)
    assert result.failure.kind == "DagNotFound"


def test_a_join_waits_for_all_its_inputs_in_the_order_of_the_edges(bench):
    assert executed(bench.trigger(1, 1, 2, "right")) == []
    assert bench.trigger(1, 1, 2, "right") == []
    effects = bench.trigger(1, 0, 2, "left")
    [task] = next(e for e in effects if isinstance(e, Execute)).tasks
    assert [decode(trigger.value) for trigger in task.inputs] == ["left", "right"]


def test_a_node_with_fixed_arguments_waits_for_them_too(bench):
    bench.trigger(1, 0, 2, fixed=[2])
    assert executed(bench.trigger(1, 1, 2, fixed=[2])) == []
    assert executed(bench.call(1, JOIN, ["e2", "e3", "e1"], node=2, fixed=[2])) == [["c1.1.0.2"]]


def test_the_next_node_on_this_executor_runs_without_a_message(bench):
    bench.call(1, CHAIN, ["e1", "e1"])
    effects = bench.ran()
    assert executed(effects) == [["c1.1.0.1"]]
    assert messages(effects) == []
    one(bench.ran(), Result)
    assert [m for _, m in messages(bench.probe(1, 0, CHAIN, ["e1", "e1"]))] == [
        m for _, m in messages(bench.call(1, CHAIN, ["e1", "e1"]))
    ]


def test_a_failure_ends_the_call(bench):
    bench.call(1, CHAIN)
    peer, result = one(bench.ran(failure=Failure("user", "boom")), Result)
    assert (peer, result.failure.message) == ("c1", "boom")


def test_the_session_goes_along_with_each_step(bench):
    bench.call(1, CHAIN, clock=5_000_000, floor={"node": 3})
    bench.core.cache._sources.fresh["node"].hear(9)
    _, trigger = one(bench.ran(), Trigger)
    assert (trigger.header.clock, trigger.header.floor) == (5_000_000, {"node": 9})


def test_the_output_key_is_written_before_the_result_is_sent(bench):
    bench.call(1, output_key="k")
    _, put = one(bench.ran(7), Put)
    assert (put.key, decode(put.lattice.value)) == ("k", 7)
    assert one(bench.tell("node", PutReply(put.req, 0, 1)), Result)[0] == "c1"


def test_waiting_requests_of_a_batching_function_run_together():
    bench = Bench(batch_max=3)
    for number in range(1, 6):
        bench.call(number, BATCH)
    assert executed(bench.ran()) == [["c1.2.0.0", "c1.3.0.0", "c1.4.0.0"]]
    effects = bench.ran()
    assert [result.number for _, result in messages(effects, Result)] == [2, 3, 4]
    assert executed(effects) == [["c1.5.0.0"]]


# ---------------------------------------------------------------- MULTIEXEC


def test_the_first_valid_result_of_a_race_counts(bench):
    assert executed(bench.trigger(1, 0, 2, "a", RACE)) == [["c1.1.0.2"]]
    assert messages(bench.ran(invalid=True)) == []
    assert executed(bench.trigger(1, 1, 2, "b", RACE)) == [["c1.1.0.2"]]
    assert decode(one(bench.ran("good"), Result)[1].value) == "good"


def test_a_race_can_do_without_an_input_that_failed(bench):
    bench.trigger(1, 0, 2, plan=RACE, failure=Failure("user", "boom"))
    assert executed(bench.trigger(1, 1, 2, plan=RACE)) == [["c1.1.0.2"]]


def test_a_race_that_nobody_wins_fails_with_the_last_failure(bench):
    bench.trigger(1, 0, 2, plan=RACE)
    bench.ran(invalid=True)
    _, result = one(bench.trigger(1, 1, 2, plan=RACE, failure=Failure("user", "boom")), Result)
    assert result.failure.message == "boom"


def test_a_source_that_fails_leaves_the_race_to_the_other(bench):
    bench.call(1, RACE, ["e1", "e2", "e3"])
    peer, trigger = one(bench.ran(failure=Failure("user", "boom")), Trigger)
    assert (peer, trigger.value, trigger.failure.message) == ("e3", None, "boom")


# ---------------------------------------------------------------- references


def referring(bench, number=1):
    return bench.call(number, args=Args(encode(((None,), {})), [Ref(0, "k")]))


def test_a_reference_is_waited_for_and_occupies_nothing(bench):
    effects = referring(bench)
    _, get = one(effects, Get)
    assert (get.keys, get.wait) == (["k"], True)
    assert executed(bench.call(2)) == [["c1.2.0.0"]]
    bench.ran()
    effects = bench.tell("node", GetReply(get.req, [Entry(0, Max(3))], 1))
    [task] = next(e for e in effects if isinstance(e, Execute)).tasks
    assert task.resolved == {0: Max(3)}


def test_a_cancelled_call_does_not_go_on_reading(bench):
    _, get = one(referring(bench), Get)
    assert messages(bench.tell("c1", Cancel("c1", 1, 0))) == [("node", ForgetRead(get.req))]
    assert bench.core.tasks == {}
    assert bench.core.cache.outstanding == 0


def test_it_is_asked_whether_a_task_that_waits_long_is_still_wanted(bench):
    timers = [e for e in referring(bench) if isinstance(e, SetTimer) and e.key == "wanted"]
    assert len(timers) == 1
    assert [(type(m), m.waits) for _, m in messages(bench.take(Timer("wanted")))] == [(Running, True)]
    bench.tell("c1", Cancel("c1", 1, 0))
    assert bench.take(Timer("wanted")) == []


# ---------------------------------------------------------------- cancelling and losses


def test_a_cancelled_call_that_waits_does_not_run(bench):
    bench.call(1)
    bench.call(2)
    bench.tell("c1", Cancel("c1", 2, 0))
    assert executed(bench.ran()) == []


def test_a_cancelled_call_that_runs_is_interrupted_and_gives_nothing(bench):
    bench.call(1)
    [interrupt] = bench.tell("c1", Cancel("c1", 1, 0))
    assert isinstance(interrupt, Interrupt)
    assert messages(bench.ran(failure=Failure("CallCancelled", ""))) == []


def test_a_call_that_comes_after_its_cancellation_does_not_run(bench):
    bench.tell("c1", Cancel("c1", 1, 0))
    assert bench.call(1) == []


def test_a_client_that_is_gone_wants_nothing_any_more(bench):
    bench.trigger(1, 0, 2)
    bench.take(PeerLost("c1"))
    assert bench.core.tasks == {}
    assert bench.trigger(1, 1, 2) == []
    assert bench.core.tasks == {}


def test_without_the_node_there_is_nothing_to_do(bench):
    assert bench.take(PeerLost("node")) == [Leave()]


# ---------------------------------------------------------------- probes


def test_a_probe_of_what_never_came_and_of_what_lives(bench):
    assert messages(bench.probe(1)) == [("c1", Unknown(1, 0, 0))]
    bench.call(1)
    assert bench.probe(1) == []


def test_a_probe_finds_out_that_a_trigger_came_and_the_call_did_not(bench):
    bench.trigger(1, 0, 2, fixed=[2])
    head = Header("c1", 1, 0, JOIN, ["e2", "e3", "e1"], [2])
    assert messages(bench.tell("c1", Probe(head, 2))) == [("c1", Unknown(1, 0, 2))]


def test_a_probe_of_what_ended_has_the_outcome_sent_again(bench):
    bench.call(1, CHAIN)
    peer, trigger = one(bench.ran(), Trigger)
    assert messages(bench.probe(1, 0, CHAIN)) == [(peer, msgspec.structs.replace(trigger, again=True))]


def test_a_large_outcome_is_not_kept():
    bench = Bench(output_kept_bytes_max=100)
    bench.call(1)
    bench.ran("x" * 200)
    assert messages(bench.probe(1)) == [("c1", Gone(1, 0, 0))]


def test_a_task_whose_outcome_was_dropped_is_not_run_again():
    bench = Bench(outputs_kept_max=2)
    bench.call(1, CHAIN)
    for number in range(2, 7):
        bench.ran()
        bench.call(number)
    bench.ran()
    [(peer, probe)] = messages(bench.probe(1, 0, CHAIN))
    assert (peer, probe.node) == ("e2", 1)
    assert messages(bench.probe(2)) == [("c1", Gone(2, 0, 0))]
    assert messages(bench.probe(99)) == [("c1", Unknown(99, 0, 0))]


def test_a_repeated_trigger_of_a_task_whose_outcome_was_dropped_is_not_run_again():
    bench = Bench(outputs_kept_max=2)
    for number in range(1, 7):
        bench.call(number)
        bench.ran()
    head = Header("c1", 1, 0, CHAIN, ["e2", "e1"])
    assert messages(bench.tell("e2", Trigger(head, 0, 1, encode(1), [], again=True))) == [
        ("c1", Gone(1, 0, 1))
    ]
    assert executed(bench.tell("e2", Trigger(head, 0, 1, encode(1), []))) == [["c1.1.0.1"]]


# ---------------------------------------------------------------- handing over


def shed(bench, *to):
    return bench.tell("node", Shed(list(to)))


def test_waiting_tasks_are_handed_over_and_the_client_is_told(bench):
    for number in (1, 2, 3):
        bench.call(number)
    effects = shed(bench, "e4", "e5")
    assert [(peer, m.header.number) for peer, m in messages(effects, Handover)] == [("e4", 2), ("e5", 3)]
    assert [(m.number, m.executor, m.hops) for _, m in messages(effects, Moved)] == [
        (2, "e4", 1),
        (3, "e5", 1),
    ]
    assert messages(bench.call(2)) == [("c1", Moved(2, 0, 0, "e4", 1))]
    assert executed(bench.ran()) == []


def test_a_task_may_come_back_and_its_repetition_is_not_taken_for_that(bench):
    bench.call(1)
    bench.call(2)
    _, given = one(shed(bench, "e2"), Handover)
    assert executed(bench.tell("e2", given)) == []
    assert len(bench.core.tasks) == 1
    bench.tell("e2", msgspec.structs.replace(given, hops=2))
    assert executed(bench.ran()) == [["c1.2.0.0"]]
    assert bench.core.past.moved == {}


def test_a_handover_back_that_was_lost_is_noticed_by_a_probe(bench):
    bench.call(1)
    bench.call(2)
    shed(bench, "e2")
    assert messages(bench.probe(2, hops=1)) == [("c1", Moved(2, 0, 0, "e2", 1))]
    assert messages(bench.probe(2, hops=2)) == [("c1", Unknown(2, 0, 0))]


def test_a_race_takes_its_failed_and_rejected_inputs_along_as_such(bench):
    bench.call(9)
    bench.trigger(1, 0, 2, "a", RACE)
    assert messages(shed(bench, "e2"), Handover) == []
    bench.trigger(1, 1, 2, plan=RACE, failure=Failure("user", "boom"))
    _, given = one(shed(bench, "e2"), Handover)
    other = Bench()
    assert executed(other.tell("e1", given)) == [["c1.1.0.2"]]
    assert one(other.ran(invalid=True), Result)[1].failure.message == "boom"


def test_a_task_that_went_to_a_lost_executor_is_gone(bench):
    bench.call(1)
    bench.call(2)
    shed(bench, "e2")
    bench.tell("node", ExecutorLost("e2", "killed"))
    assert messages(bench.probe(2)) == [("c1", Gone(2, 0, 0))]


# ---------------------------------------------------------------- coming to rest


def test_idleness_is_reported_again_after_twice_as_long():
    bench = Bench(executor_idle_ms=100.0)
    bench.now = 100.0
    assert bench.take(Timer("idle")) == [Send("node", Idle()), SetTimer("idle", 200.0)]
    bench.now = 200.0
    assert bench.take(Timer("idle")) == [Send("node", Idle()), SetTimer("idle", 400.0)]
    bench.call(1)
    assert SetTimer("idle", 300.0) in bench.ran()


def test_an_executor_with_a_waiting_task_is_not_idle_and_looks_again():
    bench = Bench(executor_idle_ms=100.0)
    referring(bench)
    bench.now = 100.0
    assert bench.take(Timer("idle")) == [SetTimer("idle", 200.0)]


def test_a_retired_executor_leaves_when_it_has_nothing_left_to_do(bench):
    bench.call(1)
    assert bench.tell("node", Retire()) == []
    assert bench.ran()[-1] == Leave()
    assert Bench().tell("node", Retire()) == [Leave()]


# ---------------------------------------------------------------- what user code asks for


def test_operations_on_the_store_are_answered_when_it_has_done_them(bench):
    bench.call(1)
    [task] = bench.core.running
    _, put = one(bench.take(Op(task, 5, "write", ("k", Max(1)))), Put)
    assert bench.tell("node", PutReply(put.req, 0, 1)) == [Reply(5, None)]
    _, get = one(bench.take(Op(task, 6, "read", (["k"],))), Get)
    effects = bench.tell("node", GetReply(get.req, [Entry(0, Max(1))], 1))
    assert Reply(6, [Max(1)]) in effects


@pytest.mark.parametrize("lattice", [Max(1), Counter({"e1": (1, 0)})])
@pytest.mark.parametrize(("waits", "sync"), [((), True), ((True,), True), ((False,), False)])
def test_a_put_waits_for_the_disk_as_user_code_says(bench, lattice, waits, sync):
    bench.call(1)
    [task] = bench.core.running
    _, put = one(bench.take(Op(task, 5, "write", ("k", lattice, *waits))), Put)
    assert put.sync is sync


def test_mail_goes_to_the_task_that_runs_and_is_dropped_otherwise(bench):
    bench.call(1)
    [task] = bench.core.running
    address = bench.core.mail_id(task)
    bench.tell("e2", Mail(address, "e2/x", encode("hello")))
    bench.tell("e2", Mail("e1/other", "e2/x", encode("no")))
    assert [(sender, decode(body)) for sender, body in task.mailbox] == [("e2/x", "hello")]
    effects = bench.take(Op(task, 7, "send", ("e2/y", encode("back"))))
    peer, mail = one(effects, Mail)
    assert (peer, mail.to, mail.sender) == ("e2", "e2/y", address)
    assert effects[-1] == Reply(7, None)


def test_an_unknown_event_and_operation_are_refused(bench):
    bench.call(1)
    with pytest.raises(TypeError, match="no event"):
        bench.take("what")
    with pytest.raises(TypeError, match="no operation 'fly'"):
        bench.take(Op(bench.core.running[0], 1, "fly", ()))


def test_a_value_that_is_kept_is_the_one_that_was_sent(bench):
    bench.call(1)
    sent = one(bench.ran([1, 2]), Result)[1].value
    assert isinstance(sent, Value)
    assert one(bench.probe(1), Result)[1].value is sent


def test_an_executor_in_a_long_call_says_so_also_when_it_gave_its_queue_away(bench):
    """Else it counts as free, and what it gave away goes round among executors that all are blocked."""
    bench.call(1)
    bench.call(2)
    bench.now = 100.0
    assert [type(effect) for effect in bench.take(Timer("pressure"))] == [SetTimer, Measure]
    _, load = one(bench.take(Measured(0.0)), Load)
    assert (load.queued, load.worth, load.computing) == (1, 1, False)
    shed(bench, "e2")
    bench.now = 200.0
    peer, occupied = one(bench.take(Timer("pressure")), Load)
    assert (peer, occupied.queued, occupied.running) == ("node", 0, load.running)
    assert occupied.running
    assert one(bench.ran(), Load)[1] == Load(0)


def test_the_node_is_told_once_of_a_long_call_and_once_of_its_end(bench):
    bench.call(1)
    told = one(bench.take(StillRunning("a", "")), Doing)
    assert told == ("node", Doing(bench.core.running[0].function.name))
    assert not [e for e in bench.take(StillRunning("ab", "")) if isinstance(e.message, Doing)]
    assert one(bench.ran(), Doing)[1] == Doing("")
    bench.call(2)
    assert not [e for e in bench.ran() if isinstance(getattr(e, "message", None), Doing)]
