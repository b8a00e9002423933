"""What is wrong with a sketch as it stands, in words that stand beside the node.

Law: pure. An *error* keeps the DAG from being run (a second sink, a function that is not there, too many
inputs); a *warning* may turn out well: a predecessor that returns a tuple supplies several arguments.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from cloudburst_nb.widgets.drawing.editing import parsed
from cloudburst_nb.widgets.drawing.sketch import Sketch

Level = Literal["error", "warning"]
UNBOUNDED = 1_000_000
NAMES_SHOWN_MAX = 4


class Mark(NamedTuple):
    """Something that is to be mended, and why."""

    level: Level
    text: str


class Known(NamedTuple):
    """A registered function, as the palette has it."""

    version: int
    signature: str = ""


class Takes(NamedTuple):
    """How many positional arguments a function takes, and what they are called."""

    least: int
    most: int
    names: tuple[str, ...]


@lru_cache(maxsize=4096)
def takes(signature: str) -> Takes | None:
    """Read a signature; None if it cannot be read.

    Examples
    --------
    >>> takes("(x, y=1) -> int")
    Takes(least=1, most=2, names=('x', 'y'))
    >>> takes("(first, *rest)").most == UNBOUNDED
    True
    """
    try:
        (function,) = ast.parse(f"def f{signature}: pass").body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    arguments = function.args
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    if positional[:1] == ["cloudburst"]:  # the executor supplies the library
        positional = positional[1:]
    least = max(0, len(positional) - len(arguments.defaults))
    return Takes(least, UNBOUNDED if arguments.vararg else len(positional), tuple(positional))


def marks(sketch: Sketch, known: Mapping[str, Known]) -> dict[str, list[Mark]]:
    """By node, all that is wrong with it."""
    found: dict[str, list[Mark]] = {name: [] for name in sketch.nodes}
    _mark_sinks(sketch, found)
    for name, node in sketch.nodes.items():
        function = known.get(node.copy_of or name)
        if function is None:
            found[name].append(Mark("error", f"no function {node.copy_of or name!r} is registered"))
            continue
        mark = _mismatch(sketch, name, function)
        if mark is not None:
            found[name].append(mark)
    return {name: wrong for name, wrong in found.items() if wrong}


def _mark_sinks(sketch: Sketch, found: dict[str, list[Mark]]) -> None:
    sinks = sketch.sinks
    if len(sinks) < 2:
        return
    for sink in sinks:
        others = [other for other in sinks if other != sink]
        shown = ", ".join(others[:NAMES_SHOWN_MAX]) + (", …" if len(others) > NAMES_SHOWN_MAX else "")
        found[sink].append(
            Mark("error", f"{len(sinks)} sinks, and a DAG has one: its result. Others are {shown}")
        )


def _mismatch(sketch: Sketch, name: str, function: Known) -> Mark | None:
    """Whether the function gets as many arguments as it takes."""
    needs = takes(function.signature)
    inputs = len(sketch.inputs[name])
    written = parsed(sketch.nodes[name].arguments).elts
    if needs is None or any(isinstance(argument, ast.Starred) for argument in written):
        return None
    if sketch.nodes[name].invalid is not None:  # it runs once per input
        inputs = min(inputs, 1)
    given = inputs + len(written)
    call = f"{name}{function.signature}"
    if given > needs.most:
        much = f"{given} arguments: {len(written)} fixed and {inputs} by arrows" if written else f"{given}"
        return Mark("error", f"{call} takes at most {needs.most}, and gets {much}")
    if given >= needs.least or not sketch.inputs[name]:  # a source gets its arguments with the call
        return None
    return Mark("warning", f"{call} needs {needs.least}, and gets {given}, unless a tuple comes")


def obstacle(sketch: Sketch, found: Mapping[str, list[Mark]]) -> str:
    """Why the DAG cannot be defined as it is; empty if it can.

    Examples
    --------
    >>> obstacle(Sketch("pipe"), {})
    'the DAG has no function yet'
    """
    if not sketch.nodes:
        return "the DAG has no function yet"
    for name, wrong in found.items():
        for mark in wrong:
            if mark.level == "error":
                return f"{name}: {mark.text}"
    return ""
