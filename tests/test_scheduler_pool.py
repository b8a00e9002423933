"""The life of executors: start, loss, load, elasticity, retirement."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudburst_runtime.effects import Send
from cloudburst_runtime.messages import (
    ExecutorLost,
    Failed,
    Hello,
    Idle,
    Load,
    Pin,
    Placed,
    Retire,
    Revoke,
    Revoked,
    Shed,
)
from tests.scheduling import World, dag, fn, killed, receivers, sent, spawned


@pytest.fixture
def world() -> Iterator[World]:
    world = World(executors_min=2, executors_max=6)
    world.hello("e1", "e2")
    world.join("c1")
    world.register("c1", fn("f"), fn("g"))
    yield world
    world.core.validate()


class TestStart:
    def test_the_minimum_is_started(self) -> None:
        assert spawned(World(executors_min=3).effects) == ["e1", "e2", "e3"]

    def test_there_is_always_at_least_one(self) -> None:
        assert spawned(World(executors_min=0).effects) == ["e1"]

    def test_a_placement_waits_for_the_first_executor_and_knows_the_others_later(self) -> None:
        world = World(executors_min=2)
        world.register("c1", fn("f"))
        assert not sent(world.place("c1", "f"), Placed)
        effects = world.hello("e1")
        (placed,) = sent(effects, Placed)
        assert placed.lease.placement == [["e1"]]
        assert [type(e.message) for e in effects if isinstance(e, Send)] == [Pin, Placed]
        assert sent(world.hello("e2"), Revoke)
        assert world.lease("c1", "f").placement == [["e1", "e2"]]

    def test_a_repeated_request_that_waits_is_answered_once(self) -> None:
        world = World(executors_min=1)
        world.register("c1", fn("f"))
        world.place("c1", "f")
        world.req -= 1
        world.place("c1", "f")
        assert len(sent(world.hello("e1"), Placed)) == 1

    def test_a_placement_does_not_wait_for_ever(self) -> None:
        world = World(executors_min=1)
        world.register("c1", fn("f"))
        world.place("c1", "f")
        assert not sent(world.wait(9_000), Failed)
        world.place("c1", "f")
        (failed,) = sent(world.wait(1_500), Failed)
        assert failed.failure.kind == "RuntimeUnavailable"
        assert failed.failure.message == "no executor of runtime 'local' became ready within 10 s"
        assert len(sent(world.wait(10_000), Failed)) == 1

    def test_a_function_that_vanished_while_it_waited_is_said(self) -> None:
        world = World(executors_min=1)
        world.register("c1", fn("f"))
        world.define("c1", dag("p", "f"))
        world.place("c1", "p", "dag")
        world.core.registry.delete("p")
        assert sent(world.hello("e1"), Failed)[0].failure.kind == "DagNotFound"

    def test_a_waiting_client_that_is_lost_is_forgotten(self) -> None:
        world = World(executors_min=1)
        world.register("c1", fn("f"))
        world.place("c1", "f")
        world.lose("c1")
        assert not sent(world.hello("e1"), Placed)
        world.core.validate()

    def test_a_hello_brings_all_functions_and_the_plans_in_use(self, world: World) -> None:
        plan = world.lease("c1", "f").plan
        world.exit("e1")
        (pin,) = sent(world.hello("e3"), Pin, to="e3")
        assert [spec.name for spec in pin.functions] == ["f", "g"]
        assert pin.plans == [plan]
        assert not sent(world.hello("e3"), Pin)

    def test_one_that_is_never_ready_is_ended_and_replaced(self) -> None:
        world = World(executors_min=1)
        effects = world.wait(30_000)
        assert killed(effects) == ["e1"]
        assert spawned(effects) == ["e2"]
        assert not sent(effects, ExecutorLost)


class TestLoss:
    def test_everybody_is_told_and_another_is_started(self, world: World) -> None:
        effects = world.exit("e1", "killed by signal 9")
        assert sent(effects, ExecutorLost, to="c1") == [ExecutorLost("e1", "killed by signal 9", heir="e2")]
        assert sent(effects, ExecutorLost, to="e2") == [ExecutorLost("e1", "killed by signal 9", heir="e2")]
        assert spawned(effects) == ["e3"]

    def test_the_loss_is_told_again_a_few_times(self, world: World) -> None:
        world.exit("e1")
        world.hello("e3")
        effects = world.wait(60_000)
        assert receivers(effects, ExecutorLost) == ["c1", "e2", "e3"] * 3
        assert {loss.heir for loss in sent(effects, ExecutorLost)} == {""}, "there is one, who knows"

    def test_the_first_that_comes_is_the_heir_of_all_if_none_was_left(self, world: World) -> None:
        world.exit("e1")
        assert {loss.heir for loss in sent(world.exit("e2"), ExecutorLost)} == {""}
        world.hello("e3")
        heirs = [(loss.name, loss.heir) for loss in sent(world.wait(60_000), ExecutorLost, to="e3")]
        assert heirs.count(("e2", "e3")) == 1

    def test_a_broken_connection_ends_the_process_and_the_supervisor_says_why(self, world: World) -> None:
        effects = world.lose("e1", "reset by peer")
        assert killed(effects) == ["e1"]
        assert not sent(effects, ExecutorLost)
        assert world.lease("c1", "f").placement == [["e2"]]
        effects = world.exit("e1", "killed by signal 11 (segmentation fault)")
        assert sent(effects, ExecutorLost, to="c1")[0].reason == "killed by signal 11 (segmentation fault)"
        assert world.exit("e1") == world.lose("e1") == []

    def test_without_a_word_of_the_supervisor_the_connection_is_the_reason(self, world: World) -> None:
        world.lose("e1", "reset by peer")
        effects = world.wait(100)
        assert sent(effects, ExecutorLost, to="c1") == [ExecutorLost("e1", "reset by peer", heir="e2")]
        assert spawned(effects) == ["e3"]
        assert world.exit("e1") == []

    def test_a_name_that_was_given_up_is_not_taken_back(self, world: World) -> None:
        world.exit("e1")
        assert killed(world.hello("e1")) == ["e1"]
        assert "e1" not in world.core.pool.executors

    def test_one_that_says_hello_while_it_is_doubted_gets_nothing(self, world: World) -> None:
        world.lose("e1")
        assert world.hello("e1") == []

    def test_a_stranger_is_taken_in_and_its_name_not_used_again(self, world: World) -> None:
        world.hello("e9", "gpu-host")
        assert spawned(world.exit("e1")) == []
        assert spawned(world.exit("e2")) == []
        assert spawned(world.exit("e9")) == ["e10"]


class TestFailingStarts:
    def fail(self, world: World) -> None:
        """End whatever is starting until nothing is started any more."""
        for _ in range(50):
            starting = [e.name for e in world.core.pool.executors.values() if e.phase == "starting"]
            if not starting:
                return
            world.exit(starting[0], "exit status 1: no module named 'torch'")
        raise AssertionError("starts are repeated without end")

    def test_starts_are_repeated_five_times(self) -> None:
        world = World(executors_min=1)
        self.fail(world)
        assert spawned(world.effects) == ["e1", "e2", "e3", "e4", "e5", "e6"]

    def test_then_placements_fail_with_the_reason(self) -> None:
        world = World(executors_min=2)
        world.register("c1", fn("f"))
        world.place("c1", "f")
        self.fail(world)
        (waited,) = sent(world.effects, Failed)
        (asked,) = sent(world.place("c1", "f"), Failed)
        assert waited.failure == asked.failure
        assert asked.failure.kind == "RuntimeUnavailable"
        assert asked.failure.message.endswith("the last one: exit status 1: no module named 'torch'")
        world.core.validate()

    def test_a_placement_later_tries_again(self) -> None:
        world = World(executors_min=1)
        world.register("c1", fn("f"))
        self.fail(world)
        world.wait(10_000)
        assert spawned(world.place("c1", "f")) == ["e7"]
        assert sent(world.hello("e7"), Placed)

    def test_a_hello_in_between_starts_the_count_afresh(self) -> None:
        world = World(executors_min=1)
        for number in range(1, 20):
            world.hello(f"e{number}")
            world.exit(f"e{number}")
        assert spawned(world.effects)[-1] == "e20"

    def test_executors_that_end_soon_after_their_hello_are_not_restarted_in_a_hot_loop(self) -> None:
        world = World(executors_min=1)
        for number in range(1, 40):
            world.hello(f"e{number}")
            world.exit(f"e{number}")
        assert len(spawned(world.effects)) < 30
        assert len(spawned(world.wait(10_000))) == 1


class TestLoad:
    def test_a_loaded_executor_is_avoided_for_a_while(self, world: World) -> None:
        lease = world.lease("c1", "f")
        effects = world.say("e1", Load(1, "f", ["f"], 1))
        assert [m.plans for m in sent(effects, Revoke)] == [[lease.plan.number]]
        assert world.lease("c1", "f").placement == [["e2"]]
        assert sent(world.wait(5_000), Revoke)
        assert world.lease("c1", "f").placement == [["e1", "e2"]]

    def test_reports_that_go_on_change_nothing_more(self, world: World) -> None:
        world.lease("c1", "f")
        world.acknowledge(world.say("e1", Load(1, "f", ["f"], 1)))
        world.lease("c1", "f")
        world.wait(1_000)
        assert not sent(world.say("e1", Load(1, "f", ["f"], 1)), Revoke)
        assert not sent(world.wait(4_500), Revoke), "avoided from the last report on"
        assert sent(world.wait(1_000), Revoke)

    def test_a_report_of_no_queue_and_no_call_ends_it(self, world: World) -> None:
        world.say("e1", Load(1, "f", ["f"], 1))
        world.say("e1", Load(0))
        assert world.lease("c1", "f").placement == [["e1", "e2"]]
        assert world.core.pool.executors["e1"].running == ""

    def test_one_that_gave_its_tasks_away_and_is_still_in_a_call_is_not_free(self, world: World) -> None:
        world.say("e1", Load(1, "f", ["f"], 1))
        world.say("e1", Load(0, "f"))
        assert world.core.pool.executors["e1"].running == "f"
        world.wait(300)
        effects = world.say("e2", Load(1, "f", ["f"], 1))
        assert not sent(effects, Shed, to="e2"), "else the task goes round between two that are blocked"
        assert spawned(effects) == ["e3"]

    def test_waiting_tasks_go_to_a_free_executor_first_and_the_rest_to_new_ones(self, world: World) -> None:
        effects = world.say("e1", Load(3, "f", ["f"], 3))
        assert sent(effects, Shed, to="e1") == [Shed(["e2"])]
        assert spawned(effects) == ["e3", "e4"]
        assert [sent(world.hello(name), Shed, to="e1") for name in ("e3", "e4")] == [
            [Shed(["e3"])],
            [Shed(["e4"])],
        ]

    def test_a_function_is_pinned_before_its_task_is_sent(self, world: World) -> None:
        world.say("e1", Load(3, "f", ["f"], 3))
        effects = world.hello("e3")
        kinds = [(e.peer, type(e.message)) for e in effects if isinstance(e, Send)]
        assert kinds[:2] == [("e3", Pin), ("e1", Shed)]
        assert [spec.name for spec in sent(effects, Pin)[0].functions] == ["f"]

    def test_new_executors_take_only_what_waited_and_clients_learn_of_them(self, world: World) -> None:
        world.lease("c1", "f")
        world.acknowledge(world.say("e1", Load(3, "f", ["f"], 3)))
        world.acknowledge(world.say("e2", Load(1, "f", ["f"], 1)))
        world.lease("c1", "f")
        effects = world.hello("e3", "e4", "e5")
        effects += world.wait(20)
        assert sent(effects, Revoke, to="c1")
        world.acknowledge(effects)
        assert world.lease("c1", "f").placement == [["e3", "e4", "e5"]]
        assert world.lease("c1", "g").placement == [["e1", "e2"]], "nothing else is left"

    def test_tasks_of_two_loaded_executors_are_taken_evenly(self, world: World) -> None:
        world.say("e1", Load(2, "f", ["f"], 2))
        world.say("e2", Load(3, "g", ["g"], 3))
        effects = world.hello("e3", "e4", "e5", "e6")
        assert receivers(effects, Shed) == ["e2", "e2", "e1", "e2"]
        assert world.core.pool.executors["e5"].functions == {"f": None}

    def test_no_more_than_the_maximum_are_started(self, world: World) -> None:
        world.say("e1", Load(50, "f", ["f"], 50))
        world.say("e2", Load(50, "f", ["f"], 50))
        assert spawned(world.effects) == ["e1", "e2", "e3", "e4", "e5", "e6"]

    def test_those_on_their_way_are_counted(self, world: World) -> None:
        world.say("e1", Load(3, "f", ["f"], 3))
        assert spawned(world.say("e1", Load(2, "f", ["f"], 2))) == []

    def test_an_executor_that_was_given_a_task_is_not_taken_for_free_at_once(self, world: World) -> None:
        world.say("e1", Load(1, "f", ["f"], 1))
        world.wait(100)
        assert not sent(world.say("e1", Load(1, "f", ["f"], 1)), Shed)

    def test_waiting_gpu_tasks_go_only_where_a_gpu_is(self, world: World) -> None:
        world.register("c1", fn("train", gpu=True))
        world.hello("e3", gpus=1)
        world.hello("e4", gpus=1)
        effects = world.say("e3", Load(2, "train", ["train"], 2))
        assert sent(effects, Shed) == [Shed(["e4"])]
        assert spawned(effects) == [], "a new one would have no GPU"

    def test_ten_functions_that_wait_for_each_other_all_get_to_run(self) -> None:
        world = World(executors_min=2, executors_max=32)
        world.hello("e1", "e2")
        world.register("c1", fn("f"))
        queued = {"e1": 4, "e2": 4}
        running = 2
        for _ in range(40):
            effects = [effect for name in queued for effect in self.report(world, queued, name)]
            while effects:
                effect = effects.pop(0)
                if isinstance(effect, Send) and isinstance(effect.message, Shed):
                    for target in effect.message.to[: queued[effect.peer]]:
                        queued[effect.peer] -= 1
                        if target in ("e1", "e2") or queued.get(target) is not None:
                            queued[target] += 1
                        else:
                            queued[target] = 0
                            running += 1
                for name in spawned([effect]):
                    effects += world.hello(name)
            world.wait(100)
        assert running == 10
        assert not any(queued.values())
        world.core.validate()

    def report(self, world: World, queued: dict[str, int], name: str) -> list[object]:
        return world.say(name, Load(queued[name], "f", ["f"], queued[name])) if queued[name] else []


class TestRetirement:
    @pytest.fixture
    def grown(self, world: World) -> World:
        world.say("e1", Load(2, "f", ["f"], 2))
        world.hello("e3")
        world.wait(10_000)
        return world

    def test_an_idle_executor_above_the_minimum_leaves_when_nobody_needs_it(self, grown: World) -> None:
        lease = grown.lease("c1", "f")
        assert lease.placement == [["e1", "e2", "e3"]]
        effects = grown.say("e3", Idle())
        assert not sent(effects, Retire)
        voided, leaving = sent(effects, Revoke, to="c1")
        assert (voided.plans, leaving.leaving) == ([lease.plan.number], ["e3"])
        assert grown.lease("c1", "f").placement == [["e1", "e2"]]
        assert grown.say("c1", Revoked(leaving.req)) == []
        assert receivers(grown.say("c1", Revoked(voided.req)), Retire) == ["e3"]
        effects = grown.exit("e3", "exit status 0")
        assert sent(effects, ExecutorLost, to="c1") == [
            ExecutorLost("e3", "retired", retired=True, heir="e1")
        ]
        assert spawned(effects) == []

    def test_a_client_with_an_unfinished_call_there_is_waited_for_without_limit(self, grown: World) -> None:
        (leaving,) = sent(grown.say("e3", Idle()), Revoke)
        assert not sent(grown.wait(3_600_000), Retire)
        assert sent(grown.say("c1", Revoked(leaving.req)), Retire)

    def test_a_lost_client_is_not_waited_for(self, grown: World) -> None:
        grown.say("e3", Idle())
        assert receivers(grown.lose("c1"), Retire) == ["e3"]

    def test_the_word_to_leave_is_repeated(self, grown: World) -> None:
        grown.acknowledge(grown.say("e3", Idle()))
        assert sent(grown.wait(20_000), Retire, to="e3")
        grown.exit("e3")
        assert not sent(grown.wait(60_000), Retire)

    def test_one_that_dies_before_it_was_told_to_leave_is_lost(self, grown: World) -> None:
        grown.say("e3", Idle())
        effects = grown.exit("e3", "killed by signal 9")
        assert sent(effects, ExecutorLost, to="c1")[0].reason == "killed by signal 9"
        assert grown.core.leases.notices == {}

    def test_one_whose_connection_ends_as_it_leaves_is_retired(self, grown: World) -> None:
        grown.acknowledge(grown.say("e3", Idle()))
        grown.lose("e3")
        assert sent(grown.exit("e3"), ExecutorLost, to="c1")[0].reason == "retired"

    def test_the_minimum_does_not_leave(self, world: World) -> None:
        assert not sent(world.say("e1", Idle()), Revoke)
        assert world.core.pool.executors["e1"].phase == "ready"

    def test_an_elastic_executor_takes_the_place_of_a_lost_one(self, grown: World) -> None:
        effects = grown.exit("e1")
        assert spawned(effects) == []
        assert grown.lease("c1", "g").placement == [["e2", "e3"]]
        assert not sent(grown.say("e3", Idle()), Retire)


def test_a_new_client_learns_nothing_of_the_past(world: World) -> None:
    world.exit("e1")
    assert world.say("c2", Hello("c2", "client")) == []
