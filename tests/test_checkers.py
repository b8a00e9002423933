"""Each checker accepts a good history and names what is wrong with a bad one."""

import pytest

from cloudburst_runtime.ids import TaskId
from cloudburst_runtime.sim import checkers
from cloudburst_runtime.sim.history import Access, Act, History, term
from cloudburst_runtime.sim.processes import Execution
from cloudburst_runtime.sim.workload import Given


class Story:
    """Writes a history: one operation after the other unless they are begun and ended apart."""

    def __init__(self):
        self.history = History()
        self.count = 0

    def begin(self, session, act):
        self.count += 1
        self.history.invoke(float(self.count), session, self.count, act)
        return self.count

    def end(self, session, op, value=None, kind="ok", attempt=0):
        self.history.end(float(op), session, op, kind, value, attempt)

    def did(self, session, act, value=None, kind="ok", attempt=0):
        op = self.begin(session, act)
        self.end(session, op, value, kind, attempt)
        return op

    def put(self, session, key, value, kind="ok"):
        return self.did(session, Act("put", key, value), kind=kind)

    def get(self, session, key, value):
        return self.did(session, Act("get", key), value)

    def call(self, session, name, args, value=None, kind="ok", dag=False, attempt=0):
        return self.did(session, Act("call", name, args, dag), value, kind, attempt)

    def touch(self, session, *steps, attempt=0):
        """A call of ``touch`` that did these (kind, key, value)."""
        script = [[kind, key, value if kind in ("put", "add") else None] for kind, key, value in steps]
        did = [Access(k, key, f"{v}/{attempt}" if k == "put" else v) for k, key, v in steps]
        return self.call(session, "touch", {None: [script]}, term("touch", 1, did, [script]), attempt=attempt)


@pytest.fixture
def story():
    return Story()


def only(violations, *words):
    assert len(violations) == 1, violations
    for word in words:
        assert word in violations[0]


# ---------------------------------------------------------------- ends


def test_an_operation_that_never_ends(story):
    story.begin("c1", Act("get", "k0"))
    only(checkers.ends(story.history), "ended 0 times")


def test_an_operation_that_ends_twice(story):
    op = story.get("c1", "k0", None)
    story.end("c1", op)
    only(checkers.ends(story.history), "ended 2 times")


@pytest.mark.parametrize("kind", ["CallTimeout", "CallCancelled", "ExecutorLost", "user", "DagNotFound"])
def test_a_failure_that_cannot_be_the_calls_own(story, kind):
    story.call("c1", "plain", {None: ["a"]}, [kind, "why"], "fail")
    only(checkers.ends(story.history), "must not fail", kind)


def test_failures_that_have_a_reason(story):
    story.did("c1", Act("call", "plain", {None: []}, timeout=1.0), ["CallTimeout", ""], "fail")
    op = story.begin("c1", Act("call", "plain", {None: []}))
    story.history.note(2.0, "c1", "cancel", op)
    story.end("c1", op, ["CallCancelled", ""], "fail")
    story.call("c1", "left", {None: [Given("future", op)]}, ["CallCancelled", ""], "fail")
    story.call("c1", "raises", {None: []}, ["user", "boom"], "fail")
    story.history.note(3.0, "e1", "crash")
    story.call("c1", "plain", {None: []}, ["ExecutorLost", ""], "fail")
    assert checkers.ends(story.history) == []


def test_a_read_that_does_not_go_with_what_its_block_had_done_may_fail(story):
    read = Act("get", "k0", level="atomic", block="c1#1")
    story.did("c1", read, ["ConsistencyError", ""], "fail")
    only(checkers.ends(story.history), "must not fail")
    story.did("c1", read._replace(block="c1#2"), "a")
    story.did("c1", read._replace(block="c1#2"), ["ConsistencyError", ""], "fail")
    only(checkers.ends(story.history), "must not fail")


def test_what_a_crashed_client_had_under_way_is_unknown(story):
    op = story.begin("c3", Act("put", "k0", "a"))
    story.end("c3", op, kind="info")
    assert checkers.ends(story.history) == []


# ---------------------------------------------------------------- results

DIAMOND = [
    ["plain", "left", "right", "join"],
    [("plain", "left"), ("plain", "right"), ("left", "join"), ("right", "join")],
    ["pick"],
]
RACE = [["wins", "loses", "pick"], [("wins", "pick"), ("loses", "pick")], ["pick"]]


def pure(name, *args, version=1):
    return term(name, version, [], list(args))


def diamond(x, version=1):
    source = pure("plain", x)
    return pure("join", pure("left", source, version=version), pure("right", source))


def defined(story, name, graph):
    story.did("c1", Act("define", name, graph))


def test_a_result_that_follows_from_its_arguments(story):
    defined(story, "diamond", DIAMOND)
    story.call("c1", "diamond", {None: ["x"]}, diamond("x"), dag=True)
    first = story.call("c1", "plain", {None: ["x"]}, pure("plain", "x"))
    story.call("c1", "left", {None: [Given("future", first)]}, pure("left", pure("plain", "x")))
    assert checkers.results(story.history) == []


@pytest.mark.parametrize(
    "value",
    [
        diamond("y"),
        pure("join", pure("right", pure("plain", "x")), pure("left", pure("plain", "x"))),
        pure("join", pure("left", pure("plain", "x"))),
        pure("left", pure("plain", "x")),
        None,
    ],
    ids=["another argument", "inputs exchanged", "an input missing", "not the sink", "nothing"],
)
def test_a_wrong_result(story, value):
    defined(story, "diamond", DIAMOND)
    story.call("c1", "diamond", {None: ["x"]}, value, dag=True)
    only(checkers.results(story.history), "diamond")


def test_a_result_of_another_calls_argument(story):
    first = story.call("c1", "plain", {None: ["x"]}, pure("plain", "x"))
    story.call("c1", "left", {None: [Given("future", first)]}, pure("left", pure("plain", "z")))
    only(checkers.results(story.history), "left got")


def test_a_version_older_than_one_acknowledged_to_anybody(story):
    story.did("c2", Act("register", "left"), 1)
    op = story.begin("c1", Act("call", "left", {None: ["x"]}))
    story.did("c2", Act("register", "left"), 2)
    story.end("c1", op, pure("left", "x"))
    assert checkers.results(story.history) == []
    story.call("c1", "left", {None: ["x"]}, pure("left", "x"))
    only(checkers.results(story.history), "version 1", "2 was acknowledged")


def test_a_dag_that_had_been_replaced(story):
    defined(story, "p", [["plain", "left"], [("plain", "left")], []])
    story.call("c1", "p", {None: ["x"]}, pure("left", pure("plain", "x")), dag=True)
    defined(story, "p", [["plain", "right"], [("plain", "right")], []])
    assert checkers.results(story.history) == []
    story.call("c2", "p", {None: ["x"]}, pure("left", pure("plain", "x")), dag=True)
    only(checkers.results(story.history), "no result of right")


def test_a_race_won_by_the_loser(story):
    defined(story, "race", RACE)
    args = {"wins": ["a"], "loses": ["b"]}
    story.call("c1", "race", args, pure("pick", pure("wins", "a")), dag=True)
    assert checkers.results(story.history) == []
    story.call("c1", "race", args, pure("pick", pure("loses", "b")), dag=True)
    only(checkers.results(story.history), "race")


def test_a_script_that_was_not_followed(story):
    script = [["get", "k0", None], ["get", "k1", None]]
    done = term("touch", 1, [Access("get", "k0", None)], [script])
    story.call("c1", "touch", {None: [script]}, done)
    only(checkers.results(story.history), "was to do")


# ---------------------------------------------------------------- orders


def test_sessions_that_only_move_forward(story):
    story.put("c1", "k0", "a")
    story.get("c2", "k0", "a")
    story.put("c2", "k0", "b")
    story.get("c1", "k0", "b")
    story.touch("c1", ("put", "k0", "c"), ("get", "k0", "c/0"))
    story.get("final", "k0", "c/0")
    assert checkers.orders(story.history) == []


def test_concurrent_writes_may_come_in_either_order(story):
    one, two = story.begin("c1", Act("put", "k0", "a")), story.begin("c2", Act("put", "k0", "b"))
    story.end("c1", one)
    story.end("c2", two)
    story.get("c1", "k0", "b")
    story.get("c2", "k0", "b")
    assert checkers.orders(story.history) == []


def test_a_session_that_does_not_read_its_own_write(story):
    story.get("c1", "k0", None)
    story.put("c1", "k0", "a")
    story.get("c1", "k0", None)
    only(checkers.orders(story.history), "saw", "'a'")


def test_a_session_that_reads_backwards(story):
    story.put("c1", "k0", "a")
    story.get("c1", "k0", "a")
    story.put("c1", "k0", "b")
    story.get("c2", "k0", "b")
    story.get("c2", "k0", "a")
    only(checkers.orders(story.history), "which is newer")


def test_sessions_that_disagree_about_which_write_is_newer(story):
    for session, first, second in (("c1", "a", "b"), ("c2", "b", "a")):
        story.put(session, "k0", first)
        story.get(session, "k0", second)
    only(checkers.orders(story.history), "which is newer")


def test_a_function_that_does_not_see_what_its_caller_wrote(story):
    story.put("c1", "k0", "a")
    story.put("c1", "k0", "b")
    story.touch("c1", ("get", "k0", "a"))
    only(checkers.orders(story.history), "which is newer")


def test_a_lost_write_shows_in_the_last_reads(story):
    story.put("c1", "k0", "a")
    story.put("c2", "k0", "b")
    story.get("c2", "k0", "b")
    story.put("c2", "k0", "c")
    story.get("final", "k0", "b")
    only(checkers.orders(story.history), "final")


def test_a_write_that_nobody_can_have_lost_is_missing_in_the_end(story):
    story.touch("c1", ("put", "k0", "a"))
    story.get("final", "k0", None)
    only(checkers.orders(story.history), "final", "(nothing)")


def test_a_value_out_of_thin_air(story):
    story.put("c1", "k0", "a")
    story.get("c1", "k0", "ab")
    only(checkers.orders(story.history), "nobody wrote")


def test_the_result_under_an_output_key_is_the_result(story):
    act = Act("call", "plain", {None: ["x"]}, output_key="out/1")
    story.did("c1", act, pure("plain", "x"))
    story.get("final", "out/1", pure("plain", "x"))
    assert checkers.orders(story.history) == []
    story.get("final", "out/1", None)
    only(checkers.orders(story.history), "out/1")


# ---------------------------------------------------------------- keys of one session


def test_a_key_of_ones_own(story):
    story.put("c1", "own/c1", "a")
    story.get("c1", "own/c1", "a")
    story.did("c1", Act("delete", "own/c1"))
    story.get("c1", "own/c1", None)
    story.put("c1", "own/c1", "b", kind="info")
    story.get("final", "own/c1", "b")
    assert checkers.owned(story.history) == []


@pytest.mark.parametrize("session", ["c1", "final"])
def test_a_deleted_key_comes_back(story, session):
    story.put("c1", "own/c1", "a")
    story.did("c1", Act("delete", "own/c1"))
    story.get(session, "own/c1", "a")
    only(checkers.owned(story.history), "read 'a'")


def test_a_function_reads_an_old_value_of_ones_own_key(story):
    story.put("c1", "own/c1", "a")
    story.put("c1", "own/c1", "b")
    story.touch("c1", ("get", "own/c1", "a"))
    only(checkers.owned(story.history), "wrote 'b' before")


# ---------------------------------------------------------------- counters


def test_a_counter_that_adds_up(story):
    story.did("c1", Act("add", "n0", 3))
    story.touch("c2", ("add", "n0", 4))
    story.did("c1", Act("count", "n0"), 7)
    story.did("final", Act("count", "n0"), 7)
    assert checkers.counters(story.history) == []


def test_an_addition_of_unknown_fate_may_count(story):
    story.did("c1", Act("add", "n0", 3))
    script = [["add", "n0", 10]]
    story.call("c2", "touch", {None: [script]}, ["CallTimeout", ""], "fail")
    for value in (3, 13, 23):
        story.did("final", Act("count", "n0"), value)
    assert checkers.counters(story.history) == []


def test_an_acknowledged_addition_is_lost(story):
    story.did("c1", Act("add", "n0", 3))
    story.did("c2", Act("add", "n0", 4))
    story.did("final", Act("count", "n0"), 4)
    only(checkers.counters(story.history), "there are 7 to 7")


def test_an_addition_counts_twice(story):
    story.touch("c1", ("add", "n0", 3))
    story.did("c1", Act("count", "n0"), 6)
    only(checkers.counters(story.history), "there are 3 to 3")


def test_a_retried_call_may_have_added_twice(story):
    story.touch("c1", ("add", "n0", 3), attempt=1)
    story.did("c1", Act("count", "n0"), 6)
    assert checkers.counters(story.history) == []


def test_a_session_does_not_see_its_own_addition(story):
    story.did("c1", Act("add", "map0", 3))
    story.touch("c1", ("count", "map0", 0))
    only(checkers.counters(story.history), "counted 0")


def test_a_session_counts_backwards(story):
    op = story.begin("c2", Act("add", "n0", 5))
    story.did("c1", Act("count", "n0"), 5)
    story.did("c1", Act("count", "n0"), 0)
    story.end("c2", op)
    only(checkers.counters(story.history), "counted fewer")


# ---------------------------------------------------------------- messages and tasks


def test_a_message_that_nobody_sent(story):
    story.call("c1", "pinger", {None: ["box/1", "hello"]}, pure("pinger", "box/1", "hello"))
    story.call("c1", "ponger", {None: ["box/1"]}, pure("ponger", "box/1", [["e1/x", "hello"]]))
    assert checkers.mail(story.history) == []
    story.call("c1", "ponger", {None: ["box/2"]}, pure("ponger", "box/2", [["e1/x", "hello"]]))
    only(checkers.mail(story.history), "nobody sent there")


def test_a_task_that_ran_twice():
    task, other = TaskId("c1", 1, 0, 0), TaskId("c1", 1, 1, 0)
    good = [Execution("e1", task, -1), Execution("e2", other, -1), Execution("e1", TaskId("c1", 2, 0, 2), 0)]
    good.append(Execution("e1", TaskId("c1", 2, 0, 2), 1))
    assert checkers.once(good) == []
    only(checkers.once([*good, Execution("e3", task, -1)]), "c1.1.0.0", "e1", "e3")


def test_all_checkers_are_asked(story):
    story.begin("c1", Act("get", "k0"))
    story.did("c1", Act("count", "n0"), 5)
    task = TaskId("c1", 1, 0, 0)
    found = checkers.check(story.history, [Execution("e1", task, -1)] * 2)
    assert [violation.split(":")[0] for violation in found] == ["ends", "counters", "once"]
