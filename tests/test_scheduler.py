"""The scheduler by events and effects: registration, placement, questions, repetition."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from cloudburst_runtime.anna.durable import Recovered
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Persist, Received, Send, Unwritten
from cloudburst_runtime.messages import (
    DagNode,
    DagSpec,
    DefineDag,
    DeleteDag,
    Describe,
    Description,
    Doing,
    Done,
    Failed,
    Failure,
    Fetch,
    FunctionSpec,
    Get,
    Hello,
    Idle,
    Load,
    Pin,
    Place,
    Placed,
    Ran,
    Register,
    Registered,
    Resync,
    Revoke,
    Runs,
    Shutdown,
    Status,
    StatusReply,
    Unpin,
)
from cloudburst_runtime.node import NodeCore
from cloudburst_runtime.scheduler import registry
from cloudburst_runtime.scheduler.core import Stop
from cloudburst_runtime.values import encode
from tests.scheduling import World, dag, fn, receivers, sent


@pytest.fixture
def world() -> Iterator[World]:
    world = World(executors_min=2)
    world.hello("e1", "e2")
    world.join("c1")
    yield world
    world.core.validate()


def failure(effects: list[Any]) -> tuple[str, str]:
    (failed,) = sent(effects, Failed)
    return failed.failure.kind, failed.failure.message


@pytest.fixture
def second_life() -> World:
    """Version 4 of a function was found on disk."""
    found = Recovered()
    found.functions["f"] = FunctionSpec("f", 4, b"as it was", made="digest")
    world = World(found=found, executors_min=2, state_dir="somewhere")
    world.hello("e1", "e2")
    world.join("c1")
    return world


def version_of(effects: list[Any]) -> int:
    (registered,) = sent(effects, Registered)
    return registered.version


class TestRegisterAfterARestart:
    def test_what_is_unchanged_keeps_its_version(self, second_life: World) -> None:
        effects = second_life.register("c1", fn("f", made="digest"))
        assert version_of(effects) == 4
        assert sorted(receivers(effects, Pin)) == ["e1", "e2"]
        assert {pin.functions[0].payload for pin in sent(effects, Pin)} == {b"payload of f"}
        assert [effect.record.version for effect in effects if isinstance(effect, Persist)] == [4]
        assert version_of(second_life.register("c1", fn("f", made="digest"))) == 5, "once"

    @pytest.mark.parametrize("made", ["other", ""])
    def test_what_is_changed_or_not_known_does_not(self, second_life: World, made: str) -> None:
        assert version_of(second_life.register("c1", fn("f", made=made))) == 5

    def test_what_is_not_known_of_both_does_not(self) -> None:
        found = Recovered()
        found.functions["f"] = FunctionSpec("f", 4, b"")
        world = World(found=found)
        world.join("c1")
        assert version_of(world.register("c1", fn("f"))) == 5

    def test_what_may_have_run_does_not(self, second_life: World) -> None:
        second_life.lease("c1", "f")
        effects = second_life.register("c1", fn("f", made="digest"))
        assert version_of(effects + second_life.acknowledge(effects)) == 5

    def test_what_cannot_be_written_is_as_it_was(self, second_life: World) -> None:
        register = Received("c1", Register(9, fn("f", made="digest")))
        effects = second_life.event(register)
        persists = [effect for effect in effects if isinstance(effect, Persist)]
        full = Failure("StorageFull", "no room")
        assert failure(second_life.event(Unwritten(register, persists, full))) == ("StorageFull", "no room")
        assert second_life.core.registry.latest("f").payload == b"as it was"
        assert version_of(second_life.register("c1", fn("f", made="digest"))) == 4


class TestRegister:
    def test_versions_count_per_name(self, world: World) -> None:
        versions = [m.version for m in sent(world.register("c1", fn("f"), fn("g"), fn("f")), Registered)]
        assert versions == [1, 1, 2]

    def test_a_repetition_is_answered_alike_and_registers_nothing(self, world: World) -> None:
        first = world.say("c1", Register(7, fn("f")))
        again = world.say("c1", Register(7, fn("f")))
        assert sent(again, Registered) == sent(first, Registered) == [Registered(7, 1)]
        assert not sent(again, Pin)
        assert list(world.core.registry.functions["f"]) == [1]

    def test_equal_request_numbers_of_two_clients_are_two_requests(self, world: World) -> None:
        world.say("c1", Register(7, fn("f")))
        assert sent(world.say("c2", Register(7, fn("f"))), Registered) == [Registered(7, 2)]

    def test_it_is_pinned_before_it_is_confirmed(self, world: World) -> None:
        effects = world.register("c1", fn("f"))
        assert [type(effect.message) for effect in effects] == [Pin, Pin, Registered]
        assert receivers(effects, Pin) == ["e1", "e2"]
        assert sent(effects, Pin)[0].functions[0].payload == b"payload of f"

    def test_the_version_before_may_be_forgotten_where_it_was_sent(self, world: World) -> None:
        world.register("c1", fn("f"))
        effects = world.register("c1", fn("f"))
        assert sent(effects, Unpin) == [Unpin([("f", 1)])] * 2

    @pytest.mark.parametrize(
        ("name", "message"), [("", "must not be empty"), ("é" * 128, "this one has 256")]
    )
    def test_a_bad_name_is_refused(self, world: World, name: str, message: str) -> None:
        kind, text = failure(world.register("c1", fn(name)))
        assert kind == "InvalidName"
        assert message in text

    def test_old_versions_are_kept_for_calls_in_flight(self, world: World) -> None:
        world.register("c1", *[fn("f") for _ in range(10)])
        (pin,) = sent(world.say("e1", Fetch([("f", 2), ("f", 3), ("f", 10), ("g", 1)], [99])), Pin)
        assert [spec.version for spec in pin.functions] == [2, 3, 10]
        assert pin.missing == ["g@1", "#99"]

    def test_of_large_functions_the_last_eight_versions_are_kept(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "VERSIONS_KEPT_BYTES_MAX", 1)
        world.register("c1", *[fn("f") for _ in range(10)])
        (pin,) = sent(world.say("e1", Fetch([("f", 2), ("f", 3), ("f", 10)], [])), Pin)
        assert [spec.version for spec in pin.functions] == [3, 10]
        assert pin.missing == ["f@2"]


class TestDags:
    def test_a_dag_is_pinned_and_confirmed(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        effects = world.define("c1", dag("p", "ab", "ab"))
        assert sent(effects, Done)
        assert receivers(effects, Pin) == ["e1", "e2"]
        assert [node.function for node in sent(effects, Pin)[0].plans[0].nodes] == ["a", "b"]

    def test_what_is_no_dag_is_refused(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        kind, text = failure(world.define("c1", dag("p", "ab", "ab", "ba")))
        assert (kind, text) == ("InvalidDag", "DAG 'p' has a cycle: a → b → a")
        assert failure(world.define("c1", dag("p", "ac", "ac")))[0] == "FunctionNotFound"
        assert failure(world.define("c1", dag("", "a")))[0] == "InvalidName"
        assert world.core.registry.dags == {}

    def test_one_that_exists_is_replaced_or_refused(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        world.define("c1", dag("p", "ab", "ab"))
        kind, text = failure(world.define("c1", dag("p", "ba", "ba"), replace=False))
        assert kind == "DagExists"
        assert "'p' exists already" in text
        before = world.lease("c1", "p", "dag").plan
        world.acknowledge(world.define("c1", dag("p", "ba", "ba")))
        after = world.lease("c1", "p", "dag").plan
        assert before.number != after.number
        assert [node.function for node in after.nodes] == ["b", "a"]

    def test_a_refusal_is_remembered_too(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        world.say("c1", DefineDag(50, dag("p", "ab", "ab"), replace=False))
        refused = world.say("c1", DefineDag(51, dag("p", "ba", "ba"), replace=False))
        world.say("c1", DeleteDag(52, "p"))
        assert world.say("c1", DefineDag(51, dag("p", "ba", "ba"), replace=False)) == refused
        assert world.core.registry.dags == {}

    def test_an_equal_definition_changes_nothing(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        world.define("c1", dag("p", "ab", "ab"))
        lease = world.lease("c1", "p", "dag")
        effects = world.define("c1", dag("p", "ab", "ab"))
        assert not sent(effects, Revoke)
        assert world.lease("c1", "p", "dag").plan == lease.plan

    def test_a_deleted_dag_is_gone_and_its_functions_stay(self, world: World) -> None:
        world.register("c1", fn("a"))
        world.define("c1", dag("p", "a"))
        assert sent(world.say("c1", DeleteDag(80, "p")), Done)
        assert failure(world.say("c1", DeleteDag(81, "p")))[0] == "DagNotFound"
        assert failure(world.place("c1", "p", "dag"))[0] == "DagNotFound"
        assert world.lease("c1", "a").plan.target == "a"


class TestPlace:
    def test_a_single_function_is_a_dag_of_one_node(self, world: World) -> None:
        world.register("c1", fn("f", retries=3, timeout=2.5, batching=True))
        lease = world.lease("c1", "f")
        assert lease.plan.nodes == [DagNode("f", batching=True)]
        assert (lease.plan.versions, lease.plan.edges) == ([1], [])
        assert (lease.plan.retries, lease.plan.timeout) == (3, 2.5)

    def test_all_executors_of_a_node_are_in_the_lease(self, world: World) -> None:
        world.register("c1", fn("f"))
        assert world.lease("c1", "f").placement == [["e1", "e2"]]

    def test_the_plan_is_at_the_executors_before_the_client_has_its_lease(self, world: World) -> None:
        world.register("c1", fn("f"))
        effects = world.place("c1", "f")
        assert [type(effect.message) for effect in effects] == [Pin, Pin, Placed]
        assert not sent(world.place("c1", "f"), Pin)

    def test_a_plan_is_reused_until_a_version_changes(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        world.define("c1", dag("p", "ab", "ab"))
        first, second = world.lease("c1", "p", "dag"), world.lease("c1", "p", "dag")
        assert first.plan == second.plan
        assert first.serial < second.serial
        world.acknowledge(world.register("c1", fn("b")))
        third = world.lease("c1", "p", "dag")
        assert third.plan.number != first.plan.number
        assert third.plan.versions == [1, 2]

    def test_old_plans_are_kept_for_calls_in_flight(self, world: World) -> None:
        world.register("c1", fn("f"))
        old = world.lease("c1", "f").plan
        world.acknowledge(world.register("c1", fn("f")))
        (pin,) = sent(world.say("e1", Fetch([], [old.number])), Pin)
        assert pin.plans == [old]

    def test_a_dag_takes_what_its_functions_need(self, world: World) -> None:
        world.register("c1", fn("a", retries=0, timeout=1.0), fn("b", batching=True, timeout=2.0))
        world.define("c1", dag("p", "ab", "ab"))
        plan = world.lease("c1", "p", "dag").plan
        assert [node.batching for node in plan.nodes] == [False, True]
        assert (plan.retries, plan.timeout) == (0, 3.0)

    def test_multiexec_lists_are_in_the_plan(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"))
        spec = DagSpec("p", [DagNode("a"), DagNode("b", invalid=[encode(None)])], [(0, 1)])
        world.define("c1", spec)
        assert world.lease("c1", "p", "dag").plan.nodes[1].invalid == [encode(None)]

    def test_a_continuation_is_composed(self, world: World) -> None:
        world.register("c1", fn("a"), fn("b"), fn("c"))
        world.define("c1", dag("p", "ab", "ab"))
        world.define("c1", dag("q", "c"))
        for kind, target, edges in (("dag", "p", [(0, 1), (1, 2)]), ("function", "a", [(0, 1)])):
            plan = world.lease("c1", target, kind, continuation="q").plan
            assert (plan.target, plan.edges) == (f"{target} >> q", edges)
        assert world.lease("c1", "a", continuation="b").plan.edges == [(0, 1)]
        assert failure(world.place("c1", "a", continuation="z"))[0] == "DagNotFound"

    @pytest.mark.parametrize(
        ("target", "kind", "expected"),
        [
            ("squre", "function", "no function 'squre' is registered; did you mean 'square'?"),
            ("zzz", "function", "no function 'zzz' is registered; there are 'square', 'cube'"),
            ("pip", "dag", "no DAG 'pip' is registered; did you mean 'pipe'?"),
            ("pipe", "function", "no function 'pipe' is registered, but there is a DAG of that name"),
            ("cube", "dag", "no DAG 'cube' is registered, but there is a function of that name"),
        ],
    )
    def test_what_is_not_found_is_named_with_what_was_meant(
        self, world: World, target: str, kind: str, expected: str
    ) -> None:
        world.register("c1", fn("square"), fn("cube"))
        world.define("c1", DagSpec("pipe", [DagNode("square")]))
        assert failure(world.place("c1", target, kind))[1] == expected

    def test_nothing_registered_is_said(self, world: World) -> None:
        assert failure(world.place("c1", "f"))[1] == "no function 'f' is registered; there are none yet"

    def test_plans_are_bounded_and_a_dropped_one_is_revoked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry.Registry.__init__, "__defaults__", (2,))
        world = World(executors_min=1)
        world.hello("e1")
        world.register("c1", fn("a"), fn("b"), fn("c"))
        first = world.lease("c1", "a").plan.number
        world.place("c1", "b")
        (revoke,) = sent(world.place("c1", "c"), Revoke)
        assert revoke.plans == [first]
        assert len(world.core.registry.plans) == 2
        world.core.validate()


class TestLocality:
    def test_references_draw_the_sources_to_the_executors_that_hold_most(self) -> None:
        world = World(executors_min=3, held={"x": ["e2", "c1"], "y": ["e2", "e3"]})
        world.hello("e1", "e2", "e3")
        world.register("c1", fn("a"), fn("b"))
        world.define("c1", dag("p", "ab", "ab"))
        everywhere = ["e1", "e2", "e3"]
        assert world.lease("c1", "p", "dag", refs=["x", "y"]).placement == [["e2"], everywhere]
        assert world.lease("c1", "p", "dag", refs=["y"]).placement == [["e2", "e3"], everywhere]
        assert world.lease("c1", "p", "dag", refs=["z"]).placement == [everywhere, everywhere]
        world.draws = [0.1, 0.0]
        assert world.lease("c1", "a", refs=["x"]).placement == [["e1"]]

    @pytest.mark.parametrize("policy", ["random", "round-robin"])
    def test_other_policies_do_not_look_at_references(self, policy: str) -> None:
        world = World(executors_min=2, policy=policy, held={"x": ["e2"]})
        world.hello("e1", "e2")
        world.register("c1", fn("f"))
        lease = world.lease("c1", "f", refs=["x"])
        assert (lease.placement, lease.policy) == ([["e1", "e2"]], policy)


class TestPlacement:
    def test_gpu_functions_need_an_executor_with_a_gpu(self, world: World) -> None:
        world.register("c1", fn("train", gpu=True))
        assert failure(world.place("c1", "train"))[0] == "NoResources"
        assert sent(world.define("c1", DagSpec("p", [DagNode("train")])), Done)
        world.hello("e7", gpus=1)
        assert world.lease("c1", "p", "dag").placement == [["e7"]]

    def test_they_wait_for_one_that_is_starting_where_there_are_gpus(self) -> None:
        world = World(executors_min=2, gpus=1)
        world.hello("e1")
        world.register("c1", fn("train", gpu=True))
        assert not sent(world.place("c1", "train"), Failed)
        effects = world.hello("e2", gpus=1)
        assert sent(effects, Placed)[0].lease.placement == [["e2"]]

    def test_a_new_batching_function_takes_its_executor_from_the_others(self) -> None:
        world = World(executors_min=3)
        world.hello("e1", "e2", "e3")
        world.register("c1", fn("f"))
        assert world.lease("c1", "f").placement == [["e1", "e2", "e3"]]
        effects = world.register("c1", fn("predict", batching=True))
        assert receivers(effects, Revoke) == ["c1"]
        assert world.lease("c1", "f").placement == [["e1", "e2"]]
        assert world.lease("c1", "predict").placement == [["e3"]]

    def test_colocated_functions_share_a_host(self) -> None:
        world = World(executors_min=3)
        world.hello("e1", host="x")
        world.hello("e2", "e3", host="y")
        world.register("c1", fn("a"), fn("b"), fn("c"))
        world.define("c1", dag("p", "abc", "ab", "bc", colocated=("a", "c")))
        assert world.lease("c1", "p", "dag").placement == [["e2", "e3"], ["e1", "e2", "e3"], ["e2", "e3"]]


class TestQuestions:
    def test_functions_and_dags_are_described(self, world: World) -> None:
        world.register("c1", fn("f", source="def f(): ..."), fn("a"))
        world.define("c1", dag("p", "a"))

        def ask(what: str, name: str = "") -> Description:
            return sent(world.say("c1", Describe(world.next_req(), what, name)), Description)[0]

        described = ask("function", "f").function
        assert described is not None
        assert (described.source, described.version, described.payload) == ("def f(): ...", 1, b"")
        assert ask("dag", "p").dag == dag("p", "a")
        assert (ask("functions").names, ask("dags").names) == (["a", "f"], ["p"])
        assert failure(world.say("c1", Describe(1, "function", "g")))[0] == "FunctionNotFound"
        assert failure(world.say("c1", Describe(1, "world")))[0] == "CloudburstError"
        assert world.core.registry.latest("f").payload == b"payload of f"

    def test_earlier_versions_are_kept_with_their_code(self, world: World) -> None:
        world.register("c1", fn("f", source="one"), fn("f", source="two"))

        def ask(what: str, version: int = 0) -> Description:
            message = Describe(world.next_req(), what, "f", version)
            return sent(world.say("c1", message), Description)[0]

        assert [(spec.version, spec.source, spec.payload) for spec in ask("versions").versions] == [
            (1, "one", b""),
            (2, "two", b""),
        ]
        first = ask("version", 1).function
        assert first is not None
        assert (first.version, first.source, first.payload) == (1, "one", b"payload of f")
        kind, message = failure(world.say("c1", Describe(1, "version", "f", 7)))
        assert kind == "FunctionNotFound"
        assert "version 7 of 'f' is not kept" in message
        assert "v1, v2" in message
        assert failure(world.say("c1", Describe(1, "versions", "g")))[0] == "FunctionNotFound"

    def test_the_status_says_what_runs_for_long(self, world: World) -> None:
        world.register("c1", fn("f"))

        def runs() -> str:
            return sent(world.say("c1", Status(world.next_req())), StatusReply)[0].executors[0].running

        before = world.lease("c1", "f").placement
        assert world.say("e1", Doing("f")) == []
        assert runs() == "f"
        assert world.lease("c1", "f").placement == before
        world.say("e1", Doing())
        assert runs() == ""

    def test_what_executors_have_counted_is_added_up_for_whoever_asks(self, world: World) -> None:
        world.register("c1", fn("f"), fn("never"))

        def runs(name: str) -> Runs | None:
            return sent(world.say("c1", Describe(world.next_req(), "runs", name)), Description)[0].runs

        assert world.say("e1", Ran([Runs("f", 2, 1, {5: 2}), Runs("gone", 1)])) == []
        world.say("e2", Ran([Runs("f", 1, 0, {5: 1})]))
        assert runs("f") == Runs("f", 3, 1, {5: 3})
        assert runs("never") == Runs("never")
        assert sent(world.say("c1", Describe(world.next_req(), "runs", "gone")), Failed)

    def test_the_status_has_it_all(self, world: World) -> None:
        world.register("c1", fn("f"), fn("f"), fn("a"))
        world.define("c1", dag("p", "a"))
        world.say("e2", Load(3, "f", ["a"], 3))
        (status,) = sent(world.say("c1", Status(9)), StatusReply)
        assert (status.functions, status.dags, status.clients) == ({"f": 2, "a": 1}, ["p"], ["c1"])
        assert (status.keys, status.store_bytes, status.policy) == (3, 99, "locality")
        first, second = status.executors
        assert (first.name, first.pid, first.host, first.pinned) == ("e1", 7, "here", ["a", "f"])
        assert second.running == "f"

    def test_shutdown_answers_and_stops(self, world: World) -> None:
        effects = world.say("c1", Shutdown(5))
        assert effects[0] == Send("c1", Done(5))
        assert isinstance(effects[1], Stop)

    def test_messages_of_strangers_are_not_acted_on(self, world: World) -> None:
        assert world.say("e9", Load(5)) == world.say("e9", Idle()) == world.say("c1", Get(1, ["k"])) == []


class TestClients:
    def test_a_lost_client_is_forgotten_and_late_messages_of_it_are_dropped(self, world: World) -> None:
        world.say("c1", Register(7, fn("f")))
        world.lease("c1", "f")
        world.lose("c1")
        assert world.say("c1", Place(8, "f")) == []
        assert not sent(world.register("c2", fn("f")), Revoke)
        world.join("c1")
        assert sent(world.say("c1", Register(7, fn("f"))), Registered) == [Registered(7, 3)]

    def test_replies_are_bounded_per_client(self, world: World) -> None:
        for req in range(1, 1_002):
            world.say("c1", Register(req, fn("f")))
        assert sent(world.say("c1", Register(2, fn("f"))), Registered) == [Registered(2, 2)]
        assert sent(world.say("c1", Register(1, fn("f"))), Registered) == [Registered(1, 1_002)]


class FakeReplica(ReplicaCore):
    """A replica of two keys that takes note of what it is told."""

    key_count, nbytes = 2, 20

    def __init__(self) -> None:
        super().__init__(Config())
        self.events: list[object] = []

    def handle(self, event: object, now: float) -> list[Any]:
        self.events.append(event)
        return [Send("c1", Done(1))]

    def holders(self, key: str) -> list[str]:
        return ["e2"] if key == "k" else []


class TestNode:
    def test_keys_go_to_the_store_and_the_rest_to_the_scheduler(self) -> None:
        replica = FakeReplica()
        node = NodeCore(Config(executors_min=2), replica, uniform=lambda: 0.9)
        assert [effect.name for effect in node.start(0.0)[::2]] == ["e1", "e2"]
        for name in ("e1", "e2"):
            node.handle(Received(name, Hello(name, "executor")), 0.0)
        asked = Received("c1", Get(1, ["k"]))
        assert node.handle(asked, 0.0) == [Send("c1", Done(1))]
        node.handle(Received("c1", Register(2, fn("f"))), 0.0)
        (placed,) = sent(node.handle(Received("c1", Place(3, "f", refs=["k"])), 0.0), Placed)
        assert placed.lease.placement == [["e2"]]
        (status,) = sent(node.handle(Received("c1", Status(4)), 0.0), StatusReply)
        assert (status.keys, status.store_bytes) == (2, 20)
        late = Received("e1", Resync(3))
        node.handle(late, 0.0)
        lost = PeerLost("c1")
        node.handle(lost, 0.0)
        assert replica.events == [asked, late, lost]
        assert node.scheduler.clients == {}
        node.validate()


@pytest.mark.parametrize("module", ["dag", "policy", "names", "replies", "core"])
def test_the_examples_in_the_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"cloudburst_runtime.scheduler.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
