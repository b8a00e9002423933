"""The scheduler's pure decisions."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.errors import NoResources
from cloudburst_runtime.messages import DagNode, DagSpec, Lease, Plan
from cloudburst_runtime.scheduler.dag import Topology
from cloudburst_runtime.scheduler.policy import (
    Seat,
    assign,
    colocate,
    executors_spare,
    executors_wanted,
    pick,
    place,
    prefer,
)
from tests.scheduling import dag

ALL = ["e1", "e2", "e3", "e4"]


def never() -> float:
    raise AssertionError("no randomness is wanted here")


def schedule(
    spec: DagSpec,
    placement: list[list[str]] | None = None,
    load: dict[str, int] | None = None,
    policy: str = "locality",
    turn: int = 0,
) -> dict[str, str]:
    plan = Plan(1, spec.name, spec.nodes, [1] * len(spec.nodes), spec.edges)
    lease = Lease(plan, placement or [ALL] * len(spec.nodes), policy)
    uniform = Random(1).random if policy == "random" else never
    chosen = assign(lease, Topology.of(plan), load or {}, uniform, turn)
    return {node.function: name for node, name in zip(spec.nodes, chosen, strict=True)}


class TestPick:
    def test_the_least_loaded_wins_and_ties_go_to_the_first(self) -> None:
        assert pick(ALL, {}, "locality", {}, never, 5) == "e1"
        assert pick(ALL, {"e1": 2, "e2": 1, "e3": 1, "e4": 3}, "locality", {}, never, 5) == "e2"

    def test_references_win_over_load_except_for_the_random_share(self) -> None:
        held = {"e3": 2, "e2": 1, "elsewhere": 9}
        assert pick(ALL, {"e3": 7}, "locality", held, lambda: 0.5, 0, random_share=0.2) == "e3"
        draws = iter([0.1, 0.0])
        assert pick(ALL, {}, "locality", held, lambda: next(draws), 0, random_share=0.2) == "e1"

    def test_round_robin_takes_turns(self) -> None:
        assert [pick(ALL, {}, "round-robin", {}, never, turn) for turn in range(5)] == [*ALL, "e1"]

    def test_random_reaches_every_candidate_about_as_often(self) -> None:
        uniform = Random(7).random
        counts = Counter(pick(ALL, {}, "random", {}, uniform, 0) for _ in range(2000))
        assert set(counts) == set(ALL)
        assert min(counts.values()) > 400

    def test_the_largest_draw_stays_in_bounds(self) -> None:
        assert pick(ALL, {}, "random", {}, lambda: 1.0, 0) == "e4"

    def test_what_cannot_be_picked_raises(self) -> None:
        with pytest.raises(ValueError, match="no executor to pick from"):
            pick([], {}, "locality", {}, never, 0)
        with pytest.raises(ValueError, match="no policy 'best'"):
            pick(ALL, {}, "best", {}, never, 0)

    def test_without_holders_nothing_is_preferred_and_nothing_drawn(self) -> None:
        assert prefer(ALL, {"e9": 3}, never, 0.2) == ALL

    def test_all_that_hold_most_are_preferred(self) -> None:
        assert prefer(ALL, {"e2": 2, "e4": 2, "e1": 1}, lambda: 0.9, 0.2) == ["e2", "e4"]

    def test_the_random_share_is_kept(self) -> None:
        uniform = Random(3).random
        chosen = [tuple(prefer(ALL, {"e2": 1}, uniform, 0.2)) for _ in range(2000)]
        assert 230 < sum(names != ("e2",) for names in chosen) < 370  # a fourth of the 20 % draws e2


class TestAssign:
    def test_a_chain_stays_on_one_executor_the_least_loaded(self) -> None:
        chosen = schedule(dag("p", "abc", "ab", "bc"), load={"e1": 1, "e2": 4})
        assert set(chosen.values()) == {"e3"}

    def test_a_chain_hops_only_where_the_placement_demands_it(self) -> None:
        chosen = schedule(dag("p", "abc", "ab", "bc"), [["e1"], ["e2", "e3"], ["e1", "e2"]])
        assert chosen == {"a": "e1", "b": "e2", "c": "e2"}

    def test_parallel_branches_go_apart_and_one_stays_where_its_input_is(self) -> None:
        spec = dag("p", "abcdz", "ab", "ac", "ad", "bz", "cz", "dz")
        chosen = schedule(spec)
        assert len({chosen[name] for name in "bcd"}) == 3
        assert chosen["b"] == chosen["a"]
        assert chosen["z"] in {chosen[name] for name in "bcd"}

    def test_more_branches_than_executors_are_spread_evenly(self) -> None:
        spec = dag("p", "abcdefghz", *(f"{name}z" for name in "abcdefgh"))
        chosen = schedule(spec)
        assert Counter(chosen[name] for name in "abcdefgh") == Counter(dict.fromkeys(ALL, 2))

    def test_branches_avoid_the_load_that_is_there(self) -> None:
        chosen = schedule(dag("p", "abz", "az", "bz"), load={"e1": 5, "e2": 5, "e3": 5})
        assert (chosen["a"], chosen["b"]) == ("e4", "e4")

    def test_round_robin_and_random_pick_each_node_by_itself(self) -> None:
        spec = dag("p", "abc", "ab", "bc")
        assert schedule(spec, policy="round-robin", turn=3) == {"a": "e4", "b": "e1", "c": "e2"}
        chain = dag("p", "abcdefgh", "ab", "bc", "cd", "de", "ef", "fg", "gh")
        assert len(set(schedule(chain, policy="random").values())) > 1

    @given(st.data())
    def test_every_node_runs_where_it_is_placed(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, 6))
        edges = [(i, j) for j in range(1, count) for i in range(j) if data.draw(st.booleans())]
        edges += [(i, count - 1) for i in range(count - 1) if (i, count - 1) not in edges]
        names = st.lists(st.sampled_from(ALL), min_size=1, unique=True)
        placement = [data.draw(names) for _ in range(count)]
        plan = Plan(1, "p", [DagNode(f"f{i}") for i in range(count)], [1] * count, edges)
        policy = data.draw(st.sampled_from(["locality", "random", "round-robin"]))
        load = data.draw(st.dictionaries(st.sampled_from(ALL), st.integers(0, 3)))
        chosen = assign(Lease(plan, placement, policy), Topology.of(plan), load, Random(0).random, 7)
        assert all(name in allowed for name, allowed in zip(chosen, placement, strict=True))


class TestPlace:
    seats = [Seat(name) for name in ALL]  # noqa: RUF012

    def test_a_function_is_pinned_on_all_regular_executors(self) -> None:
        assert place("f", [*self.seats, Seat("e5", regular=False)]) == ALL

    def test_one_that_came_under_load_takes_what_was_brought_to_it(self) -> None:
        seats = [*self.seats, Seat("e5", regular=False, functions={"f": None})]
        assert place("f", seats) == [*ALL, "e5"]
        assert place("g", seats) == ALL

    def test_avoided_executors_are_left_out_unless_nothing_else_is_left(self) -> None:
        busy = [seat._replace(avoided=seat.name != "e3") for seat in self.seats]
        assert place("f", busy) == ["e3"]
        assert place("f", [seat._replace(avoided=True) for seat in busy]) == ALL

    def test_gpu_functions_only_go_where_a_gpu_is(self) -> None:
        seats = [*self.seats, Seat("e5", gpus=1, regular=False)]
        assert place("f", seats, gpu=True) == ["e5"]
        with pytest.raises(NoResources, match="'f' needs a GPU, and none of the 4 executors has one"):
            place("f", self.seats, gpu=True)
        assert place("f", [], gpu=True) == []

    def test_each_batching_function_gets_an_executor_of_its_own_where_there_are_enough(self) -> None:
        batchers = ["x", "y"]
        assert place("x", self.seats, batching=True, batchers=batchers) == ["e4"]
        assert place("y", self.seats, batching=True, batchers=batchers) == ["e3"]
        assert place("f", self.seats, batchers=batchers) == ["e1", "e2"]

    def test_with_too_few_executors_batching_functions_share_them(self) -> None:
        seats, batchers = self.seats[:2], ["x", "y", "z"]
        assert [place(name, seats, batching=True, batchers=batchers) for name in batchers] == [
            ["e2"],
            ["e1"],
            ["e2"],
        ]
        assert place("f", seats, batchers=batchers) == ["e1", "e2"]

    def test_a_group_goes_to_the_roomiest_host_that_takes_all_of_it(self) -> None:
        hosts = {"e1": "a", "e2": "b", "e3": "b", "e4": "c"}
        placement = [ALL, ["e2", "e3", "e4"], ALL]
        assert colocate(placement, [0, 1], hosts) == [["e2", "e3"], ["e2", "e3"], ALL]

    def test_a_group_that_no_host_takes_stays_where_it_is(self) -> None:
        placement = [["e1"], ["e2"]]
        assert colocate(placement, [0, 1], {"e1": "a", "e2": "b"}) == placement


class TestElasticity:
    @pytest.mark.parametrize(
        ("queued", "starting", "current", "maximum", "wanted"),
        [
            (9, 0, 2, 32, 9),
            (9, 9, 2, 32, 0),
            (9, 0, 2, 4, 2),
            (9, 1, 2, 4, 1),
            (0, 0, 2, 4, 0),
            (5, 0, 6, 4, 0),
        ],
    )
    def test_as_many_are_forked_as_tasks_wait_within_the_limit(
        self, queued: int, starting: int, current: int, maximum: int, wanted: int
    ) -> None:
        assert executors_wanted(queued, starting, current, maximum) == wanted

    def test_the_minimum_stays(self) -> None:
        assert executors_spare(["e3", "e4", "e5"], current=4, minimum=2) == ["e4", "e5"]
        assert executors_spare(["e1"], current=2, minimum=2) == []
