"""What can be drawn: operations, their refusals, undoing; marks; and the code that makes a sketch."""

from __future__ import annotations

import itertools

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_nb.dag import spec_of
from cloudburst_nb.expression import Expression
from cloudburst_nb.widgets.drawing import placing
from cloudburst_nb.widgets.drawing.checking import UNBOUNDED, Known, marks, obstacle, takes
from cloudburst_nb.widgets.drawing.editing import History, Refused, apply, refusals
from cloudburst_nb.widgets.drawing.sketch import Sketch
from cloudburst_nb.widgets.drawing.wording import code_of
from cloudburst_runtime.messages import DagSpec

NAMES = [f"f{index}" for index in range(8)]
KNOWN = dict.fromkeys(NAMES, Known(1, "(*args)"))


def drawn(*edges: tuple[str, str], nodes: tuple[str, ...] = ()) -> Sketch:
    """The sketch of some arrows."""
    names = list(dict.fromkeys([*nodes, *(end for edge in edges for end in edge)]))
    return Sketch.of(spec_of("pipe", functions=names, edges=edges))


def refused(sketch: Sketch, op: str, **given: object) -> str:
    with pytest.raises(Refused) as caught:
        apply(sketch, op, given, KNOWN)
    return str(caught.value)


names = st.sampled_from([*NAMES, "f0_2", "unknown"])
places = st.tuples(st.floats(), st.floats())
operations = st.one_of(
    st.tuples(
        st.just("add"), st.fixed_dictionaries({"function": names, "x": st.floats(), "y": st.integers()})
    ),
    st.tuples(
        st.just("connect"),
        st.fixed_dictionaries({"source": names, "target": names}, optional={"at": st.integers(-2, 4)}),
    ),
    st.tuples(
        st.just("delete"),
        st.fixed_dictionaries(
            {"nodes": st.lists(names, max_size=2), "edges": st.lists(st.tuples(names, names), max_size=2)}
        ),
    ),
    st.tuples(st.just("duplicate"), st.fixed_dictionaries({"nodes": st.lists(names, max_size=3)})),
    st.tuples(
        st.just("move"),
        st.fixed_dictionaries({"places": st.dictionaries(names, places, max_size=2)}),
    ),
    st.tuples(st.just("arguments"), st.fixed_dictionaries({"node": names, "text": st.text(max_size=8)})),
    st.tuples(
        st.just("switch"),
        st.fixed_dictionaries({"nodes": st.lists(names), "option": st.just("gpu"), "value": st.booleans()}),
    ),
    st.tuples(st.sampled_from(["undo", "redo"]), st.just({})),
    st.tuples(st.sampled_from(["order", "options", "nonsense"]), st.dictionaries(st.text(), st.none())),
)


def assert_sound(sketch: Sketch) -> None:
    """What holds of every sketch."""
    graph = sketch.graph
    assert networkx.is_directed_acyclic_graph(graph)
    assert list(graph) == list(sketch.nodes) == list(sketch.inputs)
    edges = list(sketch.edges)
    assert len(edges) == len(set(edges)) == graph.number_of_edges()
    assert Sketch.of(sketch.spec, sketch) == sketch


@settings(max_examples=200, deadline=None)
@given(st.lists(operations, max_size=30))
def test_whatever_is_asked_for_there_is_no_cycle_and_undoing_goes_all_the_way_back(steps: list) -> None:
    history = History(Sketch("pipe"))
    for op, given_to in steps:
        before = history.now
        try:
            if op in ("undo", "redo"):
                getattr(history, op)()
            else:
                history.push(apply(before, op, given_to, KNOWN))
        except Refused:
            assert history.now is before
        else:
            assert_sound(history.now)
    last = history.now
    count = 0
    while history.undo():
        count += 1
    assert history.now == Sketch("pipe")
    for _ in range(count):
        assert history.redo()
    assert history.now == last


# ---------------------------------------------------------------- operations


def test_an_arrow_that_closes_a_cycle_is_refused_and_shows_it() -> None:
    sketch = drawn(("f0", "f1"), ("f1", "f2"))
    assert refused(sketch, "connect", source="f2", target="f0") == "a cycle: f0 → f1 → f2 → f0"
    assert refused(sketch, "connect", source="f1", target="f1") == "'f1' cannot feed itself: that is a cycle"
    assert refusals(sketch, "f2").keys() == {"f0", "f1", "f2"}


def test_a_long_cycle_is_shown_without_its_middle() -> None:
    sketch = drawn(*itertools.pairwise(NAMES))
    assert refusals(sketch, "f7")["f0"] == "a cycle: f0 → f1 → f2 → … → f5 → f6 → f7 → f0"


def test_an_arrow_can_be_drawn_once() -> None:
    assert "already" in refused(drawn(("f0", "f1")), "connect", source="f0", target="f1")


def test_an_unknown_function_is_refused_with_what_comes_close() -> None:
    assert refused(Sketch("pipe"), "add", function="f00").startswith(
        "there is no function 'f00': did you mean f0"
    )
    assert "register it" in refused(Sketch("pipe"), "add", function="zebra")
    assert "must" in refused(Sketch("pipe"), "add", function="") or refused(
        Sketch("pipe"), "add", function=""
    )


def test_a_function_is_one_node_and_its_copy_another_function() -> None:
    sketch = drawn(("f0", "f1"))
    assert "duplicate" in refused(sketch, "add", function="f0")
    made = apply(sketch, "duplicate", {"nodes": ["f0", "f1"]}, KNOWN)
    assert list(made.nodes) == ["f0", "f1", "f0_2", "f1_2"]
    assert made.inputs["f1_2"] == ("f0_2",)
    assert made.nodes["f1_2"].copy_of == "f1"
    again = apply(made, "duplicate", {"nodes": ["f1_2"]}, KNOWN)
    assert again.nodes["f1_3"].copy_of == "f1"


def test_an_arrow_goes_where_among_the_arguments_it_is_drawn_to() -> None:
    sketch = drawn(("f0", "f3"), ("f1", "f3"), nodes=("f2",))

    def inputs(op: str, **given_to: object) -> tuple[str, ...]:
        return apply(sketch, op, given_to, KNOWN).inputs["f3"]

    assert inputs("connect", source="f2", target="f3", at=0) == ("f2", "f0", "f1")
    assert inputs("connect", source="f2", target="f3") == ("f0", "f1", "f2")
    assert inputs("order", target="f3", sources=["f1", "f0"]) == ("f1", "f0")
    assert "inputs of 'f3' are f0, f1" in refused(sketch, "order", target="f3", sources=["f0"])


def test_what_is_gone_cannot_be_changed() -> None:
    assert "no node 'f5' any more" in refused(drawn(("f0", "f1")), "delete", nodes=["f5"])
    assert "no arrow from 'f1' to 'f0' any more" in refused(
        drawn(("f0", "f1")), "delete", edges=[["f1", "f0"]]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 +", "cannot be read"),
        ("x=1", "by position"),
        ("1) + f(2", "cannot be read"),
        ("\n" * 20_000, "put the value into the store"),
    ],
)
def test_arguments_that_are_none_are_refused(text: str, reason: str) -> None:
    assert reason in refused(drawn(("f0", "f1")), "arguments", node="f0", text=text)


def test_comments_among_arguments_are_left_out() -> None:
    sketch = apply(drawn(("f0", "f1")), "arguments", {"node": "f0", "text": "1, # one\n'#2'"}, KNOWN)
    assert sketch.nodes["f0"].arguments == "1, '#2'"


def test_options_of_a_call_are_checked() -> None:
    sketch = drawn(("f0", "f1"))
    made = apply(sketch, "options", {"consistency": "LWW", "retries": 3, "timeout": 2.5}, KNOWN)
    assert vars(made.options) == {"consistency": "lww", "retries": 3, "timeout": 2.5}
    assert "no consistency level" in refused(sketch, "options", consistency="strong")
    assert "retries" in refused(sketch, "options", retries=-1)
    assert "timeout" in refused(sketch, "options", timeout=0)
    assert "no option" in refused(sketch, "options", colour="red")


# ---------------------------------------------------------------- marks


def test_second_sinks_are_marked_and_named() -> None:
    found = marks(drawn(("f0", "f1"), ("f0", "f2")), KNOWN)
    assert [mark.level for mark in found["f1"]] == ["error"]
    assert "2 sinks" in found["f1"][0].text
    assert found["f1"][0].text.endswith("Others are f2")
    assert obstacle(drawn(("f0", "f1"), ("f0", "f2")), found).startswith("f1: 2 sinks")


@pytest.mark.parametrize(
    ("signature", "level", "words"),
    [
        ("(x)", "error", "at most 1, and gets 2"),
        ("(x, y)", None, ""),
        ("(x, y=1, *more)", None, ""),
        ("(x, y, z)", "warning", "needs 3, and gets 2, unless a tuple comes"),
        ("(cloudburst, x)", "error", "at most 1"),
        ("<unreadable>", None, ""),
    ],
)
def test_arguments_that_do_not_fit_are_marked(signature: str, level: str | None, words: str) -> None:
    found = marks(drawn(("f0", "f2"), ("f1", "f2")), {**KNOWN, "f2": Known(1, signature)}).get("f2", [])
    assert [mark.level for mark in found] == ([level] if level else [])
    assert all(words in mark.text for mark in found)


def test_fixed_arguments_count() -> None:
    sketch = apply(drawn(("f0", "f1")), "arguments", {"node": "f1", "text": "1, [2, 3]"}, KNOWN)
    (mark,) = marks(sketch, {**KNOWN, "f1": Known(1, "(a, b)")})["f1"]
    assert mark.text == "f1(a, b) takes at most 2, and gets 3 arguments: 2 fixed and 1 by arrows"
    starred = apply(sketch, "arguments", {"node": "f1", "text": "*values"}, KNOWN)
    assert marks(starred, {**KNOWN, "f1": Known(1, "(a, b)")}) == {}


def test_a_function_that_is_not_registered_any_more_is_marked() -> None:
    found = marks(drawn(("f0", "gone")), KNOWN)
    assert found["gone"][0].text == "no function 'gone' is registered"


def test_signatures_are_read() -> None:
    assert takes("()") == (0, 0, ())
    assert takes("(a, /, b, *, c)") == (2, 2, ("a", "b"))
    assert takes("(*args)") == (0, UNBOUNDED, ())
    assert takes("(x=<object object at 0x7f>)") is None


# ---------------------------------------------------------------- code


class Functions(dict):
    """Names in code that are cloud functions of that name."""

    def __missing__(self, name: str) -> Expression:
        return Expression.of(name)


def executed(code: str) -> DagSpec:
    """The definition that some code makes."""
    made: list[DagSpec] = []

    class cb:
        @staticmethod
        def dag(name: str, *what: object, **options: object) -> object:
            made.append(spec_of(name, *what, **options))
            return lambda *args, **kwargs: None

        @staticmethod
        def function(raw: object, name: str) -> Expression:
            return Expression.of(name)

        @staticmethod
        def get_function(name: str) -> object:
            return type("Function", (), {"raw": None})

    exec(code, Functions(cb=cb))
    return made[0]


def same(one: DagSpec, other: DagSpec) -> bool:
    """Whether two definitions are of one DAG, whatever the order of its nodes."""

    def told(spec: DagSpec) -> dict[str, object]:
        found = [node.function for node in spec.nodes]
        return {
            node.function: (
                [found[source] for source, target in spec.edges if target == index],
                node.gpu,
                node.batching,
                node.function in spec.colocated,
                [result.data for result in node.invalid or ()],
            )
            for index, node in enumerate(spec.nodes)
        }

    return one.name == other.name and told(one) == told(other)


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=30), st.booleans())
def test_the_code_makes_what_is_drawn(steps: list, named: bool) -> None:
    sketch = Sketch("pipe")
    for op, given_to in steps:
        try:
            sketch = apply(sketch, op, {k: v for k, v in given_to.items() if k != "text"}, KNOWN)
        except Refused:
            continue
    if sketch.nodes:
        assert same(executed(code_of(sketch, set(sketch.nodes) if named else set())), sketch.spec)


def test_a_shape_that_an_expression_says_is_written_as_one() -> None:
    race = spec_of("pipe", Expression.of("a") >> ["b", "c"] >> "d")
    assert code_of(Sketch.of(race), {"a", "b", "c", "d"}) == 'pipe = cb.dag("pipe", a >> [b, c] >> d)'
    skipping = spec_of("pipe", functions=["a", "b", "c"], edges=[("a", "b"), ("b", "c"), ("a", "c")])
    assert "edges=[" in code_of(Sketch.of(skipping), {"a", "b", "c"})


def test_names_that_are_not_pythons_and_results_that_are_dropped_are_written_too() -> None:
    spec = spec_of('my "pipe"', functions=["a-b", ("c", [None, 0])], edges=[("a-b", "c")], gpu=["c"])
    sketch = apply(Sketch.of(spec), "arguments", {"node": "a-b", "text": "1"}, [])
    assert same(executed(code_of(sketch, set())), spec)


def test_a_long_definition_is_folded() -> None:
    spec = spec_of("pipe", functions=[f"a_rather_long_name_{index}" for index in range(9)], edges=[])
    code = code_of(Sketch.of(spec), set())
    assert max(map(len, code.splitlines())) <= 90
    assert same(executed(code), spec)


def test_a_call_is_written_with_its_arguments_and_options() -> None:
    sketch = drawn(("f0", "f2"), ("f1", "f2"))
    for node, text in (("f0", "1"), ("f2", "'x'")):
        sketch = apply(sketch, "arguments", {"node": node, "text": text}, KNOWN)
    sketch = apply(sketch, "options", {"retries": 2, "consistency": "lww"}, KNOWN)
    assert code_of(sketch, set(NAMES)).endswith("pipe(f0=[1], f2=['x'], consistency=\"lww\", retries=2)")


# ---------------------------------------------------------------- places


def test_boxes_laid_out_do_not_overlap_and_stand_right_of_what_feeds_them() -> None:
    sketch = placing.arranged(drawn(("f0", "f1"), ("f1", "f2"), ("f0", "f2"), ("f0", "f3"), ("f3", "f2")), {})
    for source, target in sketch.edges:
        assert sketch.nodes[source].x < sketch.nodes[target].x
    assert len({(node.x, node.y) for node in sketch.nodes.values()}) == 4
    assert list(sketch.bends) == [("f0", "f2")]
    moved = apply(sketch, "move", {"places": {"f2": [0, 0]}}, KNOWN)
    assert moved.bends == {}


def test_copies_stand_together_and_cover_no_box() -> None:
    sketch = placing.arranged(drawn(("f0", "f1"), ("f0", "f2"), ("f1", "f3"), ("f2", "f3")), {})
    copied = apply(sketch, "duplicate", {"nodes": ["f0", "f1"]}, sketch.nodes)
    fresh = copied.nodes.keys() - sketch.nodes.keys()
    placed = placing.apart(copied, fresh, {})
    wide = placing.widths(placed, {})
    for name, other in itertools.combinations(placed.nodes, 2):
        one, two = placed.nodes[name], placed.nodes[other]
        assert abs(one.y - two.y) > 42 or abs(one.x - two.x) > (wide[name] + wide[other]) / 2, (name, other)
    moved = {round(placed.nodes[name].y - copied.nodes[name].y, 1) for name in fresh}
    assert len(moved) == 1
    assert all(placed.nodes[name] == copied.nodes[name] for name in sketch.nodes)


def test_a_box_that_is_added_without_a_place_stands_free() -> None:
    sketch = Sketch("pipe")
    for name in NAMES:
        x, y = placing.free_place(sketch, 100.0)
        sketch = apply(sketch, "add", {"function": name, "x": x, "y": y}, KNOWN)
    places = [(node.x, node.y) for node in sketch.nodes.values()]
    for index, (x, y) in enumerate(places):
        for other_x, other_y in places[:index]:
            assert abs(x - other_x) >= 100 or abs(y - other_y) >= 42
