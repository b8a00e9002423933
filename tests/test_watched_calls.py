"""Calls that are watched, calls that begin in the middle, and what a step says of its inputs."""

from __future__ import annotations

from cloudburst_runtime.client.calls import Observed
from cloudburst_runtime.lattices import Max
from cloudburst_runtime.messages import (
    Args,
    Call,
    Entry,
    Get,
    GetReply,
    Probe,
    Produced,
    Ref,
    Result,
    Step,
    Trigger,
    Unknown,
)
from cloudburst_runtime.values import decode, encode
from tests.test_client_core import Bench as Client
from tests.test_client_core import messages, one
from tests.test_executor_core import CHAIN, JOIN
from tests.test_executor_core import Bench as Executor

STEP = Step(0, "e1", 1.0, 2.0, 3.0)


def sent(effects, kind):
    return [message for _, message in messages(effects, kind)]


# ---------------------------------------------------------------- what a step says


def test_a_step_says_what_its_inputs_were_and_when_they_came():
    bench = Executor()
    bench.now = 5.0
    bench.trigger(1, 0, 2, value="x" * 1000)
    bench.now = 9.0
    bench.trigger(1, 1, 2)
    (result,) = sent(bench.ran(), Result)
    first, second = result.steps[-1].intake.arrivals
    assert (first.source, first.at, second.source, second.at) == (0, 5.0, 1, 9.0)
    assert first.nbytes > 1000 > second.nbytes > 0


def test_a_step_without_inputs_says_nothing_of_them():
    bench = Executor()
    bench.call(1)
    (result,) = sent(bench.ran(), Result)
    assert result.steps[0].intake is None


def test_a_step_counts_the_keys_that_the_cache_had_and_had_not():
    bench = Executor()
    args = Args(encode(((None,), {})), [Ref(0, "k")])
    for number, expected in ((1, (0, 1)), (2, (1, 0))):
        effects = bench.call(number, args=args)
        for get in sent(effects, Get):
            bench.tell("node", GetReply(get.req, [Entry(0, Max(1))], 1, epoch=1))
        (result,) = sent(bench.ran(), Result)
        intake = result.steps[0].intake
        assert (intake.hits, intake.misses) == expected


# ---------------------------------------------------------------- watched


def test_a_watched_call_hears_of_each_task_that_feeds_others():
    bench = Executor()
    bench.call(1, plan=CHAIN, watched=True)
    effects = bench.ran("made")
    assert [type(message) for _, message in messages(effects)] == [Produced, Trigger]
    produced = one(effects, Produced)[1]
    assert (produced.number, produced.node, decode(produced.value)) == (1, 0, "made")
    assert produced.step.executor == "e1"
    assert one(effects, Trigger)[1].header.watched


def test_nobody_else_hears_of_it():
    bench = Executor()
    bench.call(1, plan=CHAIN)
    assert sent(bench.ran(), Produced) == []


def test_what_a_task_gave_is_news_even_after_the_call():
    bench = Client()
    bench.running(1, "p", watched=True)
    produced = Produced(1, 0, 0, "e1", STEP, encode("made"))
    assert bench.tell("e1", produced) == [Observed(1, produced)]
    bench.result(1)
    assert bench.tell("e1", produced) == [Observed(1, produced)]


# ---------------------------------------------------------------- pinned


def begin_behind(**pinned):
    bench = Client()
    return bench, bench.running(
        1, "two", args={"b": Args(encode((("given",), {})))}, pinned={k: encode(v) for k, v in pinned.items()}
    )


def test_what_is_pinned_does_not_run_and_its_result_is_sent_on():
    _, effects = begin_behind(a="old")
    (call,) = sent(effects, Call)
    (trigger,) = sent(effects, Trigger)
    assert (call.node, decode(call.args.value)) == (1, (("given",), {}))
    assert (trigger.source, trigger.target, decode(trigger.value)) == (0, 2, "old")


def test_a_call_with_all_inputs_pinned_starts_with_its_sink():
    _, effects = begin_behind(a="old", b="older")
    assert sent(effects, Call) == []
    assert [(each.source, decode(each.value)) for each in sent(effects, Trigger)] == [
        (0, "old"),
        (1, "older"),
    ]


def test_an_unknown_function_cannot_be_pinned():
    bench, effects = begin_behind(z=1)
    assert "no function 'z' to pin" in str(effects)
    assert bench.core.calls == {}


def test_a_silent_call_has_its_pinned_inputs_sent_again_and_only_what_runs_is_probed():
    bench, _ = begin_behind(a="old")
    effects = bench.tick()
    assert [probe.node for probe in sent(effects, Probe)] == [1]
    (trigger,) = sent(effects, Trigger)
    assert trigger.again
    assert (trigger.source, trigger.target) == (0, 2)


def test_an_executor_that_never_heard_of_a_pinned_task_is_told_again():
    bench, effects = begin_behind(a="old", b="older")
    again = bench.tell("e1", Unknown(1, 0, 2))
    assert len(sent(again, Trigger)) == len(sent(effects, Trigger)) == 2


def test_an_input_that_comes_again_is_taken_once():
    bench = Executor()
    bench.trigger(1, 0, 2, plan=JOIN)
    bench.trigger(1, 0, 2, plan=JOIN)
    assert bench.core.running == []
    bench.trigger(1, 1, 2, plan=JOIN)
    assert len(bench.core.running) == 1
