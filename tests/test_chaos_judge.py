"""The judge of the chaos runs accepts good ledgers, and names what is wrong with bad ones."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes.chaos.judge import DELETED, Found, Violation, closure, judge
from tests.processes.chaos.ledger import ACKNOWLEDGED, BEGUN, ERROR, KILLED, RAN, READ, UNKNOWN, Ledger, Line


class Told:
    """Writes a ledger, one thing after the other."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._clock = itertools.count(1)
        self._numbers = itertools.count(1)

    def say(self, who: str, number: int, what: str, *rest: Any) -> None:
        self.ledger.note(Line(float(next(self._clock)), who, number, what, *rest))

    def begin(self, kind: str, key: str, value: Any = None, who: str = "a") -> int:
        number = next(self._numbers)
        self.say(who, number, BEGUN, kind, key, f"{who}:{number}" if value is None else value)
        return number

    def write(self, kind: str, key: str, value: Any = None, who: str = "a", result: Any = None) -> str:
        number = self.begin(kind, key, value, who)
        self.say(who, number, ACKNOWLEDGED, "", "", result)
        return f"{who}:{number}"

    def read(self, kind: str, key: str, value: Any, who: str = "a") -> None:
        self.say(who, 0, READ, kind, key, value)

    def judged(self, found: Found | None = None) -> list[Violation]:
        return judge(self.ledger, found or {})


@pytest.fixture
def told() -> Told:
    return Told()


def only(violations: list[Violation], *words: str) -> Violation:
    assert len(violations) == 1, violations
    for word in words:
        assert word in violations[0].text
    return violations[0]


@pytest.mark.parametrize("kind", ["value", "large", "own"])
def test_the_latest_writer_wins(told: Told, kind: str) -> None:
    first, second = told.write(kind, "k"), told.write(kind, "k", who="b")
    assert not told.judged({(kind, "k"): second})
    violation = only(told.judged({(kind, "k"): first}), second, first, "older")
    assert [write.name for write in violation.writes] == [first, second]
    only(told.judged({(kind, "k"): None}), second, "nothing is there")
    only(told.judged({(kind, "k"): "b:77"}), "nobody ever wrote")


def test_of_writes_at_the_same_time_either_may_win(told: Told) -> None:
    one, other = told.begin("value", "k"), told.begin("value", "k", who="b")
    told.say("b", other, ACKNOWLEDGED)
    told.say("a", one, ACKNOWLEDGED)
    assert not told.judged({("value", "k"): f"a:{one}"})
    assert not told.judged({("value", "k"): f"b:{other}"})


def test_what_is_not_acknowledged_may_be_there_or_not(told: Told) -> None:
    first = told.write("value", "k")
    killed = told.begin("value", "k")
    assert not told.judged({("value", "k"): first})
    assert not told.judged({("value", "k"): f"a:{killed}"})


@pytest.mark.parametrize(("by", "end"), [("put", 5.0), ("call", math.inf)])
def test_a_call_that_failed_may_still_run_and_a_put_keeps_its_stamp(told: Told, by: str, end: float) -> None:
    told.write("value", "k")
    failed = told.begin("value", "k")
    told.say("a", failed, UNKNOWN, "RuntimeUnavailable", "k", by)
    assert told.ledger.writes["a", failed].ended == (4.0 if by == "put" else end)
    later = told.write("value", "k", who="b")
    found = told.judged({("value", "k"): f"a:{failed}"})
    assert not found if by == "call" else only(found, later)


def test_what_was_deleted_stays_away_and_what_was_put_after_it_stays(told: Told) -> None:
    name = told.write("again", "k")
    assert not told.judged({("again", "k"): name})
    only(told.judged({("again", "k"): None}), name, "nothing is there")
    number = told.begin("again", "k", DELETED)
    assert not told.judged({("again", "k"): name})
    assert not told.judged({("again", "k"): None})
    told.say("a", number, ACKNOWLEDGED)
    assert not told.judged({("again", "k"): None})
    only(told.judged({("again", "k"): name}), f"the deletion a:{number} was acknowledged, and {name!r}")
    after = told.write("again", "k")
    assert not told.judged({("again", "k"): after})
    only(told.judged({("again", "k"): None}), after, "nothing is there")
    told.read("again", "k", None)
    only(told.judged({("again", "k"): after}), after)


def test_a_set_has_what_was_acknowledged(told: Told) -> None:
    first, second = told.write("add", "k"), told.write("add", "k")
    killed = f"a:{told.begin('add', 'k')}"
    assert not told.judged({("add", "k"): {first, second}})
    assert not told.judged({("add", "k"): {first, second, killed}})
    only(told.judged({("add", "k"): {first}}), second)
    only(told.judged({("add", "k"): {first, second, "b:9"}}), "nobody ever added")


def test_what_does_not_wait_for_the_disk_may_go_with_all_its_copies_and_with_no_fewer(told: Told) -> None:
    safe = told.write("soon", "k")
    told.say("killer", 0, KILLED, "", "", (3.0, 0.75))
    assert not told.judged({("soon", "k"): {safe}})
    only(told.judged({("soon", "k"): set()}), safe)
    told.say("killer", 0, KILLED, "", "", (4.0, 0.25))
    assert not told.judged({("soon", "k"): set()})
    only(told.judged({("soon", "k"): {"b:9"}}), "nobody ever added")
    told.write("add", "j")
    only(told.judged({("add", "j"): set(), ("soon", "k"): set()}))


@pytest.mark.parametrize(
    ("began", "ended", "promised"),
    [(4.0, 4.9, True), (4.0, 5.1, False), (5.5, 5.6, False), (7.9, 9.0, False), (8.1, 9.0, True)],
)
def test_only_while_it_may_not_be_on_disk(began: float, ended: float, promised: bool) -> None:
    ledger = Ledger()
    ledger.note(Line(5.0, "a", 1, BEGUN, "soon", "k", "a:1"))
    ledger.note(Line(6.0, "a", 1, ACKNOWLEDGED))
    ledger.note(Line(began, "killer", 0, KILLED, "", "", (ended, 1.0)))
    assert bool(judge(ledger, {("soon", "k"): set()})) is promised


def test_a_counter_counts_each_acknowledged_once(told: Told) -> None:
    told.write("count", "k", 2)
    told.begin("count", "k", 3)
    assert [bool(told.judged({("count", "k"): count})) for count in (1, 2, 5, 6)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_counter_may_have_each_run_of_a_call(told: Told) -> None:
    number = told.begin("count", "k", 2)
    told.say("a", number, RAN, "", "", 2)
    told.say("a", number, RAN, "", "", 2)
    told.say("a", number, ACKNOWLEDGED, "", "", 2)
    assert [bool(told.judged({("count", "k"): count})) for count in (1, 2, 4, 5)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_maximum(told: Told) -> None:
    told.write("max", "k", 7)
    told.write("max", "k", 5)
    told.begin("max", "k", 9)
    assert [bool(told.judged({("max", "k"): most})) for most in (None, 5, 7, 8, 9)] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_calls_that_count_on_each_other_count_once(told: Told) -> None:
    for result in (1, 2):
        told.write("once", "k", 1, result=result)
    assert not told.judged({("once", "k"): 2})
    only(told.judged({("once", "k"): 1}), "2 calls were acknowledged")
    only(told.judged({("once", "k"): 3}), "2 begun")
    told.begin("once", "k", 1)
    assert not told.judged({("once", "k"): 3})


def test_a_call_that_was_made_twice_is_seen_by_the_next(told: Told) -> None:
    told.write("once", "k", 1, result=1)
    twice = told.write("once", "k", 1, result=3)
    only(told.judged({("once", "k"): 3}), twice, "number 2, and found 2")


def test_causal_writes_are_there_or_were_seen(told: Told) -> None:
    told.write("causal", "k", ["a:1", []])
    told.write("causal", "k", ["a:2", ["a:1"]])
    told.write("causal", "k", ["b:3", []], who="b")
    assert not told.judged({("causal", "k"): ["a:2", "b:3"]})
    only(told.judged({("causal", "k"): ["a:2"]}), "b:3 was acknowledged")
    only(told.judged({("causal", "k"): ["a:1", "b:3"]}), "a:2 was acknowledged")
    only(told.judged({("causal", "k"): ["a:1", "a:2", "b:3"]}), "a:1 is there beside a:2")
    only(told.judged({("causal", "k"): ["a:2", "b:3", "c:1"]}), "nobody ever wrote")


def test_of_a_call_that_wrote_twice_the_acknowledged_run_counts(told: Told) -> None:
    number = told.begin("causal", "k", ["a:1", []])
    for run in ("a:1:x", "a:1:y"):
        told.say("a", number, RAN, "", "", [run, []])
    told.say("a", number, ACKNOWLEDGED, "", "", "a:1:y")
    assert not told.judged({("causal", "k"): ["a:1:y"]})
    assert not told.judged({("causal", "k"): ["a:1:x", "a:1:y"]})
    only(told.judged({("causal", "k"): ["a:1:x"]}), "a:1:y was acknowledged")


def test_two_keys_are_written_all_or_none(told: Told) -> None:
    first, second = told.write("pair", "k"), told.write("pair", "k")
    assert not told.judged({("pair", "k"): [second, second]})
    only(told.judged({("pair", "k"): [first, second]}), "half of one call")
    only(told.judged({("pair", "k"): [first, first]}), second)
    told.read("pair", "k", [first, second])
    only(told.judged(), "half of one call")


def test_a_client_reads_what_it_was_told_is_there(told: Told) -> None:
    first = told.write("own", "k")
    told.read("own", "k", first)
    second = told.write("own", "k")
    assert not told.judged()
    told.read("own", "k", first)
    only(told.judged(), second, first)


@pytest.mark.parametrize("shown", [None, "b:9"])
def test_a_client_reads_nothing_else(told: Told, shown: str | None) -> None:
    told.write("own", "k")
    told.read("own", "k", shown)
    only(told.judged())


def test_a_value_that_is_torn_is_none(told: Told) -> None:
    name = told.write("large", "k")
    told.read("large", "k", name)
    told.read("large", "k", None)
    assert not told.judged()
    told.read("large", "k", "torn, beginning with …")
    only(told.judged(), "torn")


def test_the_steps_of_a_call_read_one_version(told: Told) -> None:
    told.read("same", "k", ["a:1", "a:1", "a:1"])
    assert not told.judged()
    told.read("same", "k", ["a:1", "a:2", "a:1"])
    only(told.judged(), "a:2")


def test_later_steps_see_what_earlier_ones_wrote(told: Told) -> None:
    told.write("causal", "k", ["a:1", []])
    told.write("causal", "k", ["b:2", ["a:1"]], who="b")
    told.read("trail", "k", ["a:1", ["b:2"], ["a:1"]])
    assert not told.judged()
    told.read("trail", "k", ["b:2", ["b:2"], ["a:1"]])
    only(told.judged(), "b:2")


def test_an_error_that_nothing_explains_is_one(told: Told) -> None:
    told.say("a", 0, ERROR, "", "k", "KeyNotFound: k")
    only(told.judged(), "KeyNotFound")


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3)))
def test_a_closure_is_closed(seen: dict[str, list[str]]) -> None:
    reached = closure(["a"], seen)
    assert "a" in reached
    assert all(set(seen.get(name, ())) <= reached for name in reached)
