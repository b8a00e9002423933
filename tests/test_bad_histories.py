"""Each checker finds a bad history: where nothing else is in it, and amid a larger one that is good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

import pytest

from cloudburst_runtime.sim import checkers, clashes, growing
from cloudburst_runtime.sim.consistency import atomic, causal, guarantees, siblings, survival
from cloudburst_runtime.sim.consistency.judge import PROMISES
from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.repeatable import repeatable
from cloudburst_runtime.sim.consistency.violations import Check, Violation
from cloudburst_runtime.sim.history import Act, History, Operation
from cloudburst_runtime.sim.processes import Execution
from cloudburst_runtime.sim.run import run
from tests.tales import Tale

Story = Callable[[Tale], Iterator[None]]
"""What goes wrong, step by step, with keys that begin with ``bad``."""


def thin_air(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    yield
    tale.get("c2", "bad", "b")


def cyclic(tale: Tale) -> Iterator[None]:
    one, two = tale.begin("c1", Act("get", "bad1")), tale.begin("c2", Act("get", "bad2"))
    tale.end("c1", one, "b")
    yield
    tale.end("c2", two, "a")
    tale.put("c1", "bad2", "a")
    yield
    tale.put("c2", "bad1", "b")


def apart(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    tale.put("c2", "bad", "b")
    yield
    tale.get("final/1", "bad", "a")
    tale.get("final/2", "bad", "b")


def lost(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    yield
    tale.get("final/1", "bad", None)


def own_unseen(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    yield
    tale.get("c1", "bad", None)


def backwards(tale: Tale) -> Iterator[None]:
    tale.put("c2", "bad", "a")
    tale.put("c2", "bad", "b")
    yield
    tale.get("c1", "bad", "b")
    yield
    tale.get("c1", "bad", "a")


def block_backwards(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    tale.call("c2").get(0, "bad", "a").done()
    yield
    tale.get("c2", "bad", None, block="c2#1")


def executions_backwards(tale: Tale) -> Iterator[None]:
    tale.put("c2", "bad", "a")
    tale.put("c2", "bad", "b")
    yield
    tale.call("c1").get(0, "bad", "b", cache="e1").done()
    yield
    tale.call("c1").get(0, "bad", "a", cache="e2").done()


def unrepeated(tale: Tale) -> Iterator[None]:
    call = tale.call("c1").get(0, "bad", None)
    yield
    tale.put("c2", "bad", "a")
    yield
    call.get(1, "bad", "a", after=(0,), cache="e2").done()


def back_to_a_sibling(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    yield
    tale.siblings("c2", "bad", "a")
    tale.put("c2", "bad", "b")
    yield
    tale.siblings("c3", "bad", "a", "b")


def update_lost(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    tale.put("c2", "bad", "b")
    yield
    tale.siblings("final/1", "bad", "b")


def reply_on_one_cache(tale: Tale) -> Iterator[None]:
    tale.call("c1").put(0, "bad post", "a").put(0, "bad reply", "b").done()
    yield
    tale.call("c2").get(0, "bad reply", "b", cache="e2").done()
    yield
    tale.call("c3").get(0, "bad post", None, cache="e2").done()


def reply_without_post(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad post", "a")
    yield
    tale.get("c2", "bad post", "a")
    tale.put("c2", "bad reply", "b")
    yield
    tale.get("c3", "bad reply", "b")
    tale.get("c3", "bad post", None)


def second_without_first(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad 1", "a")
    tale.put("c1", "bad 2", "b")
    yield
    tale.get("c3", "bad 2", "b")
    tale.get("c3", "bad 1", None)


def disagreement(tale: Tale) -> Iterator[None]:
    tale.put("c1", "bad", "a")
    tale.put("c2", "bad", "b")
    for reader, first, second in (("c3", "a", "b"), ("c4", "b", "a")):
        yield
        tale.get(reader, "bad", first)
        tale.get(reader, "bad", second)


def read_in_part(tale: Tale) -> Iterator[None]:
    tale.call("c1").put(0, "bad 1", "a").put(0, "bad 2", "b").done()
    yield
    tale.call("c2").get(0, "bad 1", None).get(1, "bad 2", "b", after=(0,)).done()


def of_a_failed_call(tale: Tale) -> Iterator[None]:
    tale.call("c1").put(0, "bad", "a").done("fail", ["user", "boom"])
    yield
    tale.get("c2", "bad", "a")


def of_another_attempt(tale: Tale) -> Iterator[None]:
    tale.call("c1").put(0, "bad", "a/0").again().put(0, "bad", "a/1").done()
    yield
    tale.get("c2", "bad", "a/0")
    tale.get("c2", "bad", "a/1")


def half_remains(tale: Tale) -> Iterator[None]:
    tale.call("c1").put(0, "bad 1", "a").put(0, "bad 2", "b").done("info")
    yield
    tale.get("c2", "bad 1", "a")
    yield
    tale.get("final/1", "bad 1", "a")
    tale.get("final/1", "bad 2", None)


BAD: dict[Check, Story] = {
    causal.thin_air: thin_air,
    causal.cyclic: cyclic,
    survival.convergence: apart,
    survival.acknowledged: lost,
    guarantees.read_your_writes: own_unseen,
    guarantees.monotonic_reads: backwards,
    guarantees.monotonic_executions: executions_backwards,
    guarantees.monotonic_blocks: block_backwards,
    repeatable: unrepeated,
    siblings.per_key: backwards,
    siblings.superseded: back_to_a_sibling,
    siblings.kept: update_lost,
    causal.cut: reply_on_one_cache,
    guarantees.monotonic_writes: second_without_first,
    guarantees.writes_follow_reads: reply_without_post,
    causal.causal: reply_without_post,
    causal.conflicts: disagreement,
    atomic.fractured: read_in_part,
    atomic.unpublished: of_a_failed_call,
    atomic.twice: of_another_attempt,
    atomic.partial: half_remains,
}
CHECKS = pytest.mark.parametrize("check", BAD, ids=lambda check: check.__name__)


class Good:
    """Clients and calls that see the latest of everything."""

    def __init__(self, tale: Tale, luck: Random) -> None:
        self.tale = tale
        self.luck = luck
        self.latest: dict[str, str | None] = dict.fromkeys(("k1", "k2", "k3"))

    def go_on(self, count: int) -> None:
        for _ in range(count):
            session, key = f"c{self.luck.randint(5, 7)}", self.luck.choice(list(self.latest))
            if self.luck.random() < 0.3:
                self._call(session)
            elif self.luck.random() < 0.5:
                self.tale.get(session, key, self.latest[key])
                self.latest[key] = f"v{self.tale.count}"
                self.tale.put(session, key, f"v{self.tale.count}")
            else:
                self.tale.get(session, key, self.latest[key])

    def _call(self, session: str) -> None:
        one, other = self.luck.sample(list(self.latest), 2)
        call = self.tale.call(session)
        call.get(0, one, self.latest[one], cache="e1").get(1, other, self.latest[other], (0,), "e2")
        for key in (one, other):
            self.latest[key] = f"w{self.tale.count}"
            call.put(1, key, f"w{self.tale.count}", (0,), "e2")
        call.done()

    def end(self) -> None:
        for final in ("final/1", "final/2"):
            for key, value in self.latest.items():
                self.tale.get(final, key, value)


def amid(story: Story | None, seed: int = 0) -> Tale:
    """A good history, and what goes wrong spread over it."""
    tale = Tale()
    good = Good(tale, Random(seed))
    good.go_on(30)
    for _ in story(tale) if story is not None else ():
        good.go_on(15)
    good.go_on(15)
    good.end()
    return tale


def found(check: Check, tale: Tale) -> list[Violation]:
    return list(check(Causality(tale.record)))


def test_each_checker_has_its_bad_histories():
    assert set(BAD) == {check for checks in PROMISES.values() for check in checks}


@CHECKS
def test_a_bad_history_by_itself(check):
    tale = Tale()
    for _ in BAD[check](tale):
        pass
    assert found(check, tale)


@CHECKS
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_history_amid_a_good_one(check, seed):
    assert found(check, amid(None, seed)) == []
    violations = found(check, amid(BAD[check], seed))
    assert violations
    for violation in violations:
        assert all(access.key.startswith("bad") for access in violation.accesses)


def test_what_has_no_end_amid_a_good_history():
    tale = amid(None)
    assert list(survival.liveness(tale.history)) == []
    tale = amid(lambda tale: iter([tale.begin("c1", Act("get", "bad"))]))  # type: ignore[arg-type]
    [violation] = survival.liveness(tale.history)
    assert "c1 began get bad" in violation.reason


# ---------------------------------------------------------------- what really happened, and was changed


Change = Callable[[History], None]


@cache
def real(scenario: str) -> tuple[tuple[Any, ...], tuple[Execution, ...]]:
    """The events of a run in which nothing went wrong."""
    report = run(4, scenario=scenario)
    assert report.violations == []
    return tuple(report.world.history.events), tuple(report.world.executions)


def last(history: History, kind: str, name: str = "", session: str = "") -> Operation:
    """The last operation that went well, of some kind, on some name, by some session."""
    return [
        each
        for each in history.operations()
        if each.kind == "ok" and each.act.kind == kind
        if each.act.name == (name or each.act.name) and each.session == (session or each.session)
    ][-1]


def say(history: History, operation: Operation, value: Any) -> None:
    """Change how an operation ended."""
    assert operation.end is not None
    history.events[operation.end] = history.events[operation.end]._replace(value=value)


def endless(history: History) -> None:
    operation = last(history, "get")
    assert operation.end is not None
    del history.events[operation.end]


def of_another_argument(history: History) -> None:
    operation = last(history, "call", "plain")
    say(history, operation, [*operation.value[:4], ["another"]])


def gone(history: History) -> None:
    say(history, last(history, "get", "k0", "final"), None)


def not_its_own(history: History) -> None:
    say(history, last(history, "get", "own/c1", "final"), "of nobody")


def too_much(history: History) -> None:
    operation = last(history, "count", "n0", "final")
    say(history, operation, operation.value + 100_000)


def forged(history: History) -> None:
    operation = next(
        each
        for each in history.operations()
        if each.act.kind == "call" and each.act.name == "ponger" and each.kind == "ok" and each.value[4][1]
    )
    name, version, accesses, (box, received) = operation.value[1:]
    [(sender, _), *more] = received
    say(history, operation, [operation.value[0], name, version, accesses, [box, [[sender, "forged"], *more]]])


CHANGED: dict[Callable[[History], list[str]], Change] = {
    checkers.ends: endless,
    checkers.results: of_another_argument,
    checkers.orders: gone,
    checkers.owned: not_its_own,
    checkers.counters: too_much,
    checkers.mail: forged,
}


@pytest.mark.parametrize("check", CHANGED, ids=lambda check: check.__name__)
def test_a_lie_in_what_really_happened(check):
    history = History(list(real("calls")[0]))
    assert check(history) == []
    CHANGED[check](history)
    assert check(history)


def test_a_task_that_ran_again_among_all_that_ran():
    _, executions = real("calls")
    assert checkers.once(list(executions)) == []
    assert len(checkers.once([*executions, executions[7]])) == 1


def test_a_type_that_is_lost():
    tale = Tale()
    tale.end("c1", tale.begin("c1", Act("put as", "clash", "set")))
    tale.end("c2", tale.begin("c2", Act("put as", "clash", "max")), ["LatticeMismatch", ""], "fail")
    reading = tale.begin("final", Act("types", "clash"))
    tale.end("final", reading, ["set"])
    assert clashes.lost(tale.history) == []
    say(tale.history, last(tale.history, "types"), ["max"])
    assert len(clashes.lost(tale.history)) == 1


def test_a_set_that_lacks_something_or_has_something_strange():
    tale = Tale()
    tale.end("c1", tale.begin("c1", Act("grow", "grown0", "a")))
    tale.end("c2", tale.begin("c2", Act("grow", "grown0", "b")))
    tale.end("c1", tale.begin("c1", Act("grown", "grown0")), ["a"])
    tale.end("final", tale.begin("final", Act("grown", "grown0")), ["a", "b"])
    assert growing.shrunk(tale.history) == []
    for wrong, words in ((["a"], "lacks b"), (["a", "b", "c"], "has c")):
        say(tale.history, last(tale.history, "grown", session="final"), wrong)
        [said] = growing.shrunk(tale.history)
        assert words in said


def test_a_set_that_shrinks_among_all_that_happened():
    history = History(list(real("calls/stores")[0]))
    assert growing.shrunk(history) == []
    reading = last(history, "grown", session="c1")
    say(history, reading, reading.value[1:])
    [said, *_] = growing.shrunk(history)
    assert reading.value[0] in said


def test_a_type_that_is_lost_among_all_that_was_put():
    history = History(list(real("calls/stores")[0]))
    assert clashes.lost(history) == []
    put = next(each for each in history.operations() if each.act.kind == "put as" and each.kind == "ok")
    reading = last(history, "types", put.act.name, "final")
    say(history, reading, [kind for kind in reading.value if kind != put.act.value])
    assert clashes.lost(history)
