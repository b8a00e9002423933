"""The operations on a sketch: each makes another sketch, or is refused with the reason.

Law: pure. Whatever comes in, what comes out has no cycle, names each function once, and says no arrow twice;
what is wrong but can be mended by drawing on (a second sink, a missing function) is for `checking` to mark.
`History` goes back and forth between sketches; it is the one thing here that changes.
"""

from __future__ import annotations

import ast
import difflib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cloudburst_nb.enums import Consistency
from cloudburst_nb.errors import ConsistencyError
from cloudburst_nb.widgets.drawing.sketch import Edge, Node, Sketch
from cloudburst_runtime.errors import InvalidName, check_name
from cloudburst_runtime.seconds import limit

HISTORY_MAX = 200
NODES_MAX = 2_000
TEXT_CHARACTERS_MAX = 10_000
PATH_SHOWN_MAX = 6
COPY_OFFSET = 28.0
POSITION_MAX = 1e6
SWITCHES = ("gpu", "batching", "colocated")


class Refused(Exception):
    """An operation that is not carried out; the message says why."""


def apply(sketch: Sketch, op: str, arguments: Mapping[str, Any], known: Collection[str]) -> Sketch:
    """Carry out one operation.

    Parameters
    ----------
    op, arguments
        A name of `OPERATIONS`, and what its function takes.
    known
        The registered functions.

    Raises
    ------
    Refused
        If it cannot be; the sketch is as it was.

    Examples
    --------
    >>> made = apply(Sketch("pipe"), "add", {"function": "load"}, ["load"])
    >>> list(made.nodes)
    ['load']
    >>> apply(made, "connect", {"source": "load", "target": "load"}, ["load"])
    Traceback (most recent call last):
        ...
    cloudburst_nb.widgets.drawing.editing.Refused: 'load' cannot feed itself: that is a cycle
    """
    operation = OPERATIONS.get(op)
    if operation is None:
        raise Refused(f"there is no operation {op!r:.40}")
    try:
        return operation(sketch, known, **arguments)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise Refused(f"{op} is not told what it needs: {error}") from error


# ---------------------------------------------------------------- nodes


def _add(sketch: Sketch, known: Collection[str], function: str, x: float = 0.0, y: float = 0.0) -> Sketch:
    _check_function(function, known)
    if function in sketch.nodes:
        raise Refused(f"{function!r} is in the DAG already: a function is one node of it; duplicate that")
    if len(sketch.nodes) >= NODES_MAX:
        raise Refused(f"a drawing has at most {NODES_MAX:,} nodes: define larger DAGs in Python")
    node = Node(_coordinate(x), _coordinate(y))
    return sketch.having(nodes={**sketch.nodes, function: node}, inputs={**sketch.inputs, function: ()})


def _check_function(function: str, known: Collection[str]) -> None:
    try:
        check_name(function, "function")
    except InvalidName as error:
        raise Refused(str(error)) from None
    if function not in known:
        close = difflib.get_close_matches(function, sorted(known), 3)
        hint = f"did you mean {', '.join(close)}?" if close else "register it with @cb.function"
        raise Refused(f"there is no function {function!r:.60}: {hint}")


def _delete(
    sketch: Sketch,
    known: Collection[str],
    nodes: Sequence[str] = (),
    edges: Sequence[Sequence[str]] = (),
) -> Sketch:
    gone, cut = set(_present(sketch, nodes)), {_present_edge(sketch, edge) for edge in edges}
    return sketch.having(
        nodes={name: node for name, node in sketch.nodes.items() if name not in gone},
        inputs={
            target: tuple(source for source in sources if source not in gone and (source, target) not in cut)
            for target, sources in sketch.inputs.items()
            if target not in gone
        },
    )


def _duplicate(sketch: Sketch, known: Collection[str], nodes: Sequence[str]) -> Sketch:
    """Copies under names of their own: each function is one node of a DAG, so a copy is another function."""
    if len(sketch.nodes) + len(nodes) > NODES_MAX:
        raise Refused(f"a drawing has at most {NODES_MAX:,} nodes")
    named: dict[str, str] = {}
    for name in _present(sketch, nodes):
        origin = sketch.nodes[name].copy_of or name
        if origin not in known:
            raise Refused(f"{origin!r} is not registered, so there is nothing to copy")
        named[name] = _fresh_name(origin, {*sketch.nodes, *known, *named.values()})
    new_nodes, new_inputs = dict(sketch.nodes), dict(sketch.inputs)
    for name, copied in named.items():
        node = sketch.nodes[name]
        made = {"x": node.x + COPY_OFFSET, "y": node.y + COPY_OFFSET, "copy_of": node.copy_of or name}
        new_nodes[copied] = Node(**{**vars(node), **made})
        # Arrows among what is copied are copied; those from outside stay with the original.
        new_inputs[copied] = tuple(named[source] for source in sketch.inputs[name] if source in named)
    return sketch.having(nodes=new_nodes, inputs=new_inputs)


def _fresh_name(name: str, taken: Collection[str]) -> str:
    return next(made for count in itertools.count(2) if (made := f"{name}_{count}") not in taken)


def _move(sketch: Sketch, known: Collection[str], places: Mapping[str, Sequence[float]]) -> Sketch:
    _present(sketch, list(places))
    nodes = dict(sketch.nodes)
    for name, (x, y) in places.items():
        nodes[name] = Node(**{**vars(nodes[name]), "x": _coordinate(x), "y": _coordinate(y)})
    bends = {edge: points for edge, points in sketch.bends.items() if not places.keys() & set(edge)}
    return sketch.having(nodes=nodes, bends=bends)


def _coordinate(value: float) -> float:
    number = round(float(value), 1)
    if not abs(number) <= POSITION_MAX:
        raise Refused(f"{value!r} is no place in the drawing")
    return number


# ---------------------------------------------------------------- arrows


def _connect(
    sketch: Sketch, known: Collection[str], source: str, target: str, at: int | None = None
) -> Sketch:
    _present(sketch, [source, target])
    reason = refusals(sketch, source).get(target)
    if reason:
        raise Refused(reason)
    sources = list(sketch.inputs[target])
    sources.insert(len(sources) if at is None else max(0, int(at)), source)
    return sketch.feeding(target, sources)


def refusals(sketch: Sketch, source: str) -> dict[str, str]:
    """The nodes that an arrow from ``source`` cannot go to, and why.

    Examples
    --------
    >>> refusals(Sketch("pipe", {"a": Node(), "b": Node()}, {"a": (), "b": ("a",)}), "b")
    {'b': "'b' cannot feed itself: that is a cycle", 'a': 'a cycle: a → b → a'}
    """
    _present(sketch, [source])
    graph = sketch.graph
    refused = {source: f"{source!r} cannot feed itself: that is a cycle"}
    onward: dict[str, str] = {}  # of each ancestor, the next node on a shortest way to the source
    ahead = [source]
    for node in ahead:
        for before in graph.pred[node]:
            if before not in onward and before != source:
                onward[before] = node
                ahead.append(before)
    for ancestor in onward:
        refused[ancestor] = f"a cycle: {_cycle(ancestor, onward)}"
    for target in graph.succ[source]:
        refused[target] = f"there is an arrow from {source!r} to {target!r} already"
    return refused


def _cycle(ancestor: str, onward: Mapping[str, str]) -> str:
    way = [ancestor]
    while way[-1] in onward:
        way.append(onward[way[-1]])
    if len(way) > PATH_SHOWN_MAX:
        way = [*way[: PATH_SHOWN_MAX // 2], "…", *way[-PATH_SHOWN_MAX // 2 :]]
    return " → ".join([*way, ancestor])


def _order(sketch: Sketch, known: Collection[str], target: str, sources: Sequence[str]) -> Sketch:
    _present(sketch, [target])
    if sorted(sources) != sorted(sketch.inputs[target]):
        raise Refused(f"the inputs of {target!r} are {', '.join(sketch.inputs[target]) or 'none'}")
    return sketch.feeding(target, sources)


# ---------------------------------------------------------------- how it is run


def _switch(sketch: Sketch, known: Collection[str], nodes: Sequence[str], option: str, value: bool) -> Sketch:
    if option not in SWITCHES:
        raise Refused(f"there is no switch {option!r:.40}: there are {', '.join(SWITCHES)}")
    return sketch.changing(_present(sketch, nodes), **{option: bool(value)})


def _arguments(sketch: Sketch, known: Collection[str], node: str, text: str) -> Sketch:
    _present(sketch, [node])
    written = parsed(text).elts
    if "#" in text or "\n" in text:  # a comment would swallow what follows it in the code
        text = ", ".join(map(ast.unparse, written))
    return sketch.changing([node], arguments=text.strip())


def parsed(text: str) -> ast.List:
    """Fixed arguments, as they are written between the brackets of a call, as a list's syntax tree.

    Raises
    ------
    Refused
        If they are none.

    Examples
    --------
    >>> len(parsed("0.5, 'label'").elts)
    2
    """
    if not text:
        return ast.List(elts=[], ctx=ast.Load())
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Refused(
            f"arguments of more than {TEXT_CHARACTERS_MAX:,} characters: put the value into the store"
        )
    try:
        call = ast.parse(f"f(\n{text}\n)", mode="eval").body
    except (SyntaxError, ValueError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise Refused(f"{text!r:.60} cannot be read as arguments: {said}") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise Refused(f"{text!r:.60} cannot be read as arguments")
    if call.keywords:
        raise Refused("the arguments of a DAG's functions are given by position, without names")
    return ast.List(elts=call.args, ctx=ast.Load())


def _options(sketch: Sketch, known: Collection[str], **changed: Any) -> Sketch:
    options = {**vars(sketch.options), **changed}
    if set(options) != set(vars(sketch.options)):
        raise Refused(f"a call of a DAG has no option {', '.join(set(options) - set(vars(sketch.options)))}")
    try:
        level = options["consistency"] and Consistency.parse(options["consistency"]).value
    except ConsistencyError as error:
        raise Refused(str(error)) from None
    retries, timeout = options["retries"], options["timeout"]
    if retries is not None and not (isinstance(retries, int) and 0 <= retries <= 1000):
        raise Refused(f"retries is a number from 0 to 1,000, not {retries!r}")
    try:
        limit(timeout)
    except (TypeError, ValueError) as error:
        raise Refused(str(error)) from None
    return sketch.having(options=type(sketch.options)(level or None, retries, timeout))


# ---------------------------------------------------------------- common


def _present(sketch: Sketch, names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in sketch.nodes:
            raise Refused(f"there is no node {name!r:.60} any more")
    return names


def _present_edge(sketch: Sketch, edge: Sequence[str]) -> Edge:
    source, target = edge
    if source not in sketch.inputs.get(target, ()):
        raise Refused(f"there is no arrow from {source!r:.60} to {target!r:.60} any more")
    return source, target


OPERATIONS: dict[str, Callable[..., Sketch]] = {
    "add": _add,
    "delete": _delete,
    "duplicate": _duplicate,
    "move": _move,
    "connect": _connect,
    "order": _order,
    "switch": _switch,
    "arguments": _arguments,
    "options": _options,
}


class History:
    """The sketches so far, and where one is among them.

    Examples
    --------
    >>> history = History(Sketch("pipe"))
    >>> history.push(apply(history.now, "add", {"function": "f"}, ["f"]))
    >>> history.undo(), len(history.now.nodes), history.redo(), len(history.now.nodes)
    (True, 0, True, 1)
    """

    def __init__(self, first: Sketch) -> None:
        self._sketches = [first]
        self._at = 0

    @property
    def now(self) -> Sketch:
        """The sketch that is seen."""
        return self._sketches[self._at]

    def push(self, sketch: Sketch) -> None:
        """A new sketch; what was undone before is forgotten. One that changes nothing is none."""
        if sketch == self.now:
            return
        self._sketches = [*self._sketches[: self._at + 1][-HISTORY_MAX:], sketch]
        self._at = len(self._sketches) - 1

    def undo(self) -> bool:
        """Back by one, if there is one."""
        return self._go(-1)

    def redo(self) -> bool:
        """Forth by one, if there is one."""
        return self._go(1)

    def _go(self, by: int) -> bool:
        if not self.can(by):
            return False
        self._at += by
        return True

    def can(self, by: int) -> bool:
        """Whether there is a sketch so far back or forth."""
        return 0 <= self._at + by < len(self._sketches)
