"""A counter-example is minimal, drawn as a table, and says why."""

from random import Random

import pytest

from cloudburst_runtime.sim.consistency import atomic, causal, guarantees, siblings, survival
from cloudburst_runtime.sim.consistency.counterexample import explained, shrunk
from cloudburst_runtime.sim.consistency.judge import PROMISES
from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Record
from tests.tales import Tale

CHECKS = sorted({check for checks in PROMISES.values() for check in checks}, key=lambda check: check.__name__)


def first(record, check):
    return next(check(Causality(record)))


def noise(tale, luck, count):
    """Reads and writes of other keys by everybody."""
    for _ in range(count):
        session, key = f"c{luck.randint(1, 4)}", f"other{luck.randint(1, 3)}"
        tale.put(session, key, f"n{tale.count}")


def post_and_reply():
    tale, luck = Tale(), Random("noise")
    noise(tale, luck, 40)
    tale.put("c1", "post", "a")
    noise(tale, luck, 40)
    tale.get("c2", "post", "a")
    tale.put("c2", "reply", "b")
    noise(tale, luck, 40)
    call = tale.call("c3")
    call.get(0, "reply", "b", cache="e1")
    noise(tale, luck, 40)
    call.get(1, "post", None, after=(0,), cache="e2").done()
    return tale


def test_of_a_long_history_only_what_contradicts_itself_is_left():
    record = post_and_reply().record
    few = shrunk(record, causal.causal, first(record, causal.causal))
    assert len(record) == 165
    assert [str(access) for access in few] == [
        "write post = a",
        "read post → a",
        "write reply = b",
        "read reply → b",
        "read post → nothing",
    ]


def test_a_counter_example_is_a_table_with_its_reason():
    tale = post_and_reply()
    shown = explained(tale.record, causal.causal, first(tale.record, causal.causal)).splitlines()
    call = "c3.124"
    assert shown == [
        f"causal: {call}.0/1 on e2 read post → nothing and misses a of c1, on which it depends",
        "",
        f" c1             │ c2              │ {call}.0/0 on e1 │ {call}.0/1 on e2",
        "────────────────┼─────────────────┼──────────────────┼───────────────────────",
        " write post = a │                 │                  │",
        "                │ read post → a   │                  │",
        "                │ write reply = b │                  │",
        "                │                 │ read reply → b   │",
        "                │                 │                  │ read post → nothing ◄",
        "",
        "dependence: write post = a ⟶ read post → a ⟶ write reply = b ⟶ read reply → b ⟶ read post → nothing",
    ]


def test_taking_away_makes_no_other_violation():
    """Without c2's read, its write would not have seen the first one: that is no reason to keep it."""
    tale = Tale()
    tale.put("c1", "x", "a")
    tale.get("c2", "x", "a")
    tale.put("c2", "x", "b")
    tale.put("c3", "x", "c")
    tale.siblings("final", "x", "b")
    record = tale.record
    [violation] = siblings.kept(Causality(record))
    few = shrunk(record, siblings.kept, violation)
    assert [str(access) for access in few] == ["write x = b", "write x = c", "read x → b"]


def test_a_violation_of_no_access_is_a_sentence():
    tale = Tale()
    tale.put("c1", "x", "a", "fail")
    tale.history.note(0.0, "net", survival.HEALED)
    tale.put("c1", "x", "b", "fail")
    [violation] = survival.liveness(tale.history)
    assert explained(tale.record, atomic.twice, violation) == str(violation)


def wild(seed, size=14):
    """A history in which stores answer whatever they like."""
    tale, luck = Tale(), Random(seed)
    values = {"x": [], "y": []}
    calls = [tale.call("c1"), tale.call("c2"), None]
    for number in range(size):
        key, node, call = luck.choice("xy"), luck.randint(0, 2), luck.choice(calls)
        where = {"after": tuple(range(node)), "cache": f"e{node % 2}"}
        write = luck.random() < 0.5
        values[key] += [f"v{number}"] if write else []
        value = f"v{number}" if write else luck.choice([None, *values[key]])
        if call is None:
            (tale.put if write else tale.get)("c3", key, value)
        else:
            (call.put if write else call.get)(node, key, value, **where)
    for call in calls[:2]:
        call.done()
    for final in ("final/1", "final/2"):
        for key in "xy":
            tale.get(final, key, luck.choice([None, *values[key]]))
    return tale.record


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_can_be_taken_away_from_a_counter_example(check):
    found = [(record, violation) for record in map(wild, range(8)) for violation in check(Causality(record))]
    for record, violation in found[:8]:
        few = shrunk(record, check, violation)
        assert few.accesses
        assert any(each.accesses[:2] == violation.accesses[:2] for each in check(Causality(few)))
        for spared in set(few) - set(violation.accesses):
            rest = Record(tuple(access for access in few if access is not spared))
            assert not any(each.accesses[:2] == violation.accesses[:2] for each in check(Causality(rest)))
        assert violation.reason in explained(record, check, violation)


def test_wild_histories_break_every_promise_that_they_can():
    broken = {check for seed in range(60) for check in CHECKS if next(check(Causality(wild(seed))), None)}
    never = {causal.thin_air, causal.cyclic, siblings.superseded, atomic.unpublished, atomic.twice}
    assert set(CHECKS) - broken <= never
    assert guarantees.monotonic_writes in broken
