"""Leases and their revocation: when may a change be called done?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudburst_runtime.effects import Send
from cloudburst_runtime.messages import (
    DefineDag,
    DeleteDag,
    Done,
    Register,
    Registered,
    Revoke,
    Revoked,
)
from cloudburst_runtime.scheduler.leases import REVOKES_MAX
from tests.scheduling import World, dag, fn, receivers, sent


@pytest.fixture
def world() -> Iterator[World]:
    world = World(executors_min=2)
    world.hello("e1", "e2")
    world.join("c1", "c2", "c3")
    world.register("c1", fn("f"), fn("g"))
    world.define("c1", dag("p", "fg", "fg"))
    yield world
    world.core.validate()


def test_a_registration_is_answered_when_every_holder_knows(world: World) -> None:
    plans = {client: world.lease(client, "f").plan.number for client in ("c1", "c2")}
    world.lease("c3", "g")
    effects = world.say("c1", Register(90, fn("f")))
    assert receivers(effects, Revoke) == ["c1", "c2"]
    assert {tuple(m.plans) for m in sent(effects, Revoke)} == {(plans["c1"],)}
    assert not sent(effects, Registered)
    first, second = sent(effects, Revoke)
    assert world.say("c1", Revoked(first.req)) == []
    assert sent(world.say("c2", Revoked(second.req)), Registered) == [Registered(90, 2)]


def test_one_revocation_names_all_plans_of_a_function(world: World) -> None:
    plans = [world.lease("c1", "f").plan.number, world.lease("c1", "p", "dag").plan.number]
    world.lease("c1", "g")
    (revoke,) = sent(world.register("c2", fn("f")), Revoke)
    assert revoke.plans == plans


def test_without_holders_the_answer_is_immediate(world: World) -> None:
    assert sent(world.register("c1", fn("f")), Registered)


def test_repeating_the_request_meanwhile_neither_answers_nor_acts(world: World) -> None:
    world.lease("c2", "f")
    effects = world.say("c1", Register(90, fn("f")))
    assert world.say("c1", Register(90, fn("f"))) == []
    world.acknowledge(effects)
    assert sent(world.say("c1", Register(90, fn("f"))), Registered) == [Registered(90, 2)]


def test_a_changed_dag_and_a_deleted_dag_are_revoked(world: World) -> None:
    number = world.lease("c2", "p", "dag").plan.number
    effects = world.say("c1", DefineDag(90, dag("p", "gf", "gf")))
    assert [m.plans for m in sent(effects, Revoke)] == [[number]]
    assert sent(world.acknowledge(effects), Done) == [Done(90)]
    number = world.lease("c2", "p", "dag").plan.number
    effects = world.say("c1", DeleteDag(91, "p"))
    assert [m.plans for m in sent(effects, Revoke)] == [[number]]
    assert sent(world.acknowledge(effects), Done) == [Done(91)]


def test_a_changed_continuation_is_revoked(world: World) -> None:
    number = world.lease("c2", "g", continuation="p").plan.number
    effects = world.say("c1", DefineDag(90, dag("p", "gf", "gf")))
    assert [m.plans for m in sent(effects, Revoke)] == [[number]]


def test_a_lost_holder_is_not_waited_for(world: World) -> None:
    world.lease("c2", "f")
    world.say("c1", Register(90, fn("f")))
    assert sent(world.lose("c2"), Registered) == [Registered(90, 2)]


def test_a_silent_holder_is_told_again_and_waited_for_only_so_long(world: World) -> None:
    world.lease("c2", "f")
    world.say("c1", Register(90, fn("f")))
    effects = world.wait(950)
    assert len(sent(effects, Revoke, to="c2")) >= 2
    assert not sent(effects, Registered)
    assert sent(world.wait(100), Registered) == [Registered(90, 2)]
    effects = world.wait(30_000)
    assert sent(effects, Revoke, to="c2"), "it may still hold the lease"
    world.say("c2", Revoked(sent(effects, Revoke)[0].req))
    assert not sent(world.wait(30_000), Revoke)


def test_a_late_acknowledgement_and_its_repetition_are_harmless(world: World) -> None:
    world.lease("c2", "f")
    effects = world.register("c1", fn("f"))
    (revoke,) = sent(effects, Revoke)
    world.wait(2_000)
    assert world.say("c2", Revoked(revoke.req)) == []
    assert world.say("c2", Revoked(revoke.req)) == []
    assert world.say("c3", Revoked(12345)) == []


def test_a_client_that_never_answers_is_told_a_bounded_number_of_times(world: World) -> None:
    world.lease("c2", "f")
    world.register("c1", fn("f"))
    assert len(sent(world.wait(3_600_000), Revoke)) == REVOKES_MAX - 1
    assert not world.timers or "revoke" not in world.timers


def test_a_second_change_waits_for_the_revocation_that_the_first_one_sent(world: World) -> None:
    world.lease("c2", "f")
    first = world.say("c1", Register(90, fn("f")))
    second = world.say("c3", Register(91, fn("f")))
    assert not sent(second, Revoke), "nothing new is held"
    assert not sent(second, Registered), "c2 may still call version 1"
    answers = world.acknowledge(first)
    assert sent(answers, Registered) == [Registered(90, 2), Registered(91, 3)]


def test_an_unrelated_change_does_not_wait(world: World) -> None:
    world.lease("c2", "f")
    world.register("c1", fn("f"))
    assert sent(world.register("c3", fn("h")), Registered)


def test_a_lease_granted_after_the_change_is_on_the_new_version(world: World) -> None:
    world.lease("c2", "f")
    effects = world.register("c1", fn("f"))
    newer = world.lease("c2", "f").plan
    assert newer.versions == [2]
    world.acknowledge(effects)
    (revoke,) = sent(world.register("c1", fn("f")), Revoke)
    assert revoke.plans == [newer.number]


def test_serials_say_which_leases_a_revocation_reaches(world: World) -> None:
    old = world.lease("c2", "f")
    (revoke,) = sent(world.register("c1", fn("f")), Revoke)
    new = world.lease("c2", "f")
    assert old.serial <= revoke.through < new.serial


def test_unanswered_notices_of_placement_are_merged_into_the_latest(world: World) -> None:
    plans = [world.lease("c2", "f").plan.number]
    world.exit("e1")
    plans.append(world.lease("c2", "g").plan.number)
    (revoke,) = sent(world.hello("e3"), Revoke, to="c2")
    assert sorted(revoke.plans) == plans
    assert list(world.core.leases.notices["c2"]) == [revoke.req]
    assert {tuple(sorted(m.plans)) for m in sent(world.wait(5_000), Revoke)} == {tuple(plans)}
    world.say("c2", Revoked(revoke.req))
    assert world.core.leases.notices == {}


def test_a_lease_is_revoked_when_an_executor_is_lost_or_comes(world: World) -> None:
    lease = world.lease("c1", "f")
    effects = world.exit("e1")
    assert [m.plans for m in sent(effects, Revoke)] == [[lease.plan.number]]
    world.acknowledge(effects)
    again = world.lease("c1", "f")
    assert (again.plan, again.placement) == (lease.plan, [["e2"]])
    effects = world.hello("e3")
    assert [m.plans for m in sent(effects, Revoke)] == [[lease.plan.number]]
    world.acknowledge(effects)
    assert world.lease("c1", "f").placement == [["e2", "e3"]]


def test_what_is_sent_names_only_clients_that_hold_something(world: World) -> None:
    world.lease("c3", "g")
    effects = world.register("c1", fn("f"))
    assert all(not isinstance(e.message, Revoke) for e in effects if isinstance(e, Send))
