"""The Python that makes a sketch: what is drawn can be kept as code.

Law: pure. Executed where the names mean these functions, the text defines the same DAG: the same functions
and options, and for each function the same inputs in the same order. An expression is preferred where it says
it all; other shapes are written as lists.
"""

from __future__ import annotations

import keyword
from collections.abc import Collection
from typing import NamedTuple

from cloudburst_nb.widgets.drawing.sketch import Node, Sketch
from cloudburst_runtime.values import decode

LINE_CHARACTERS_MAX = 88


def variable(name: str) -> str:
    """A Python name for a DAG or function.

    Examples
    --------
    >>> variable("my-pipe"), variable("class"), variable("pipe")
    ('my_pipe', 'class_', 'pipe')
    """
    made = "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)
    made = made if made.isidentifier() else f"dag_{made}"
    return f"{made}_" if keyword.iskeyword(made) else made


def code_of(sketch: Sketch, variables: Collection[str]) -> str:
    """The definition, and the call with its arguments and options if it has any.

    Parameters
    ----------
    variables
        The functions that can be written as Python names where the code is to run; others are quoted.

    Examples
    --------
    >>> from cloudburst_nb.widgets.drawing.sketch import Node
    >>> made = Sketch("pipe", {"a": Node(arguments="1"), "b": Node()}, {"a": (), "b": ("a",)})
    >>> print(code_of(made, {"a", "b"}))
    pipe = cb.dag("pipe", a >> b)
    pipe(1)
    """
    if not sketch.nodes:
        return f"{variable(sketch.name)} = cb.builder({_text(sketch.name)})"
    parts = [*_copies(sketch), *_definition(sketch, variables)]
    call = _call(sketch)
    return "\n".join([*parts, call] if call else parts)


def _copies(sketch: Sketch) -> list[str]:
    return [
        f"{variable(name)} = cb.function(cb.get_function({_text(node.copy_of)}).raw, name={_text(name)})"
        for name, node in sketch.nodes.items()
        if node.copy_of
    ]


def _definition(sketch: Sketch, variables: Collection[str]) -> list[str]:
    what = _expression(sketch, variables)
    shape = [what] if what else [_functions(sketch), _edges(sketch)]
    parts: list[str | _List] = [_text(sketch.name), *shape]
    for option in ("colocated", "gpu", "batching"):
        names = [name for name, node in sketch.nodes.items() if getattr(node, option)]
        if names:
            parts.append(_List(option, [_text(name) for name in names]))
    begin = f"{variable(sketch.name)} = cb.dag("
    line = f"{begin}{', '.join(map(str, parts))})"
    if len(line) <= LINE_CHARACTERS_MAX:
        return [line]
    folded = [part.folded() if isinstance(part, _List) else part for part in parts]
    return [begin, *(f"    {part}," for part in folded), ")"]


class _List(NamedTuple):
    """An argument that is a list, in one line or in several."""

    name: str
    items: list[str]

    def __str__(self) -> str:
        return f"{self.name}=[{', '.join(self.items)}]"

    def folded(self) -> str:
        """Over several lines, if it is long."""
        if len(str(self)) <= LINE_CHARACTERS_MAX:
            return str(self)
        lines = [""]
        for item in self.items:
            if lines[-1] and len(lines[-1]) + len(item) > LINE_CHARACTERS_MAX - 10:
                lines.append("")
            lines[-1] += f"{item}, "
        inner = "\n".join(f"        {line.rstrip()}" for line in lines)
        return f"{self.name}=[\n{inner}\n    ]"


# ---------------------------------------------------------------- shapes


def _expression(sketch: Sketch, variables: Collection[str]) -> str:
    """``a >> [b, c] >> d``, if the sketch has this shape, in this order; else nothing."""
    if any(node.invalid is not None for node in sketch.nodes.values()):
        return ""
    names = set(sketch.nodes)
    if not all(name in variables or sketch.nodes[name].copy_of for name in names):
        return ""
    rows = [sketch.sources]
    while True:
        row = [name for name in sketch.nodes if sketch.inputs[name] == tuple(rows[-1])]
        if not row or len(rows) > len(names):
            break
        rows.append(row)
    flat = [name for row in rows for name in row]
    if flat != list(sketch.nodes) and sorted(flat) != sorted(names):
        return ""
    if len(flat) != len(set(flat)):
        return ""
    return " >> ".join(_row(row) for row in rows)


def _row(row: list[str]) -> str:
    words = [variable(name) for name in row]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


def _functions(sketch: Sketch) -> _List:
    return _List("functions", [_function(name, node) for name, node in sketch.nodes.items()])


def _function(name: str, node: Node) -> str:
    if node.invalid is None:
        return _text(name)
    return f"({_text(name)}, {[decode(result) for result in node.invalid]!r})"


def _edges(sketch: Sketch) -> _List:
    return _List("edges", [f"({_text(source)}, {_text(target)})" for source, target in sketch.edges])


def _text(text: str) -> str:
    """A text in double quotes."""
    quoted = repr(text)
    return f'"{quoted[1:-1]}"' if quoted.startswith("'") and '"' not in quoted else quoted


# ---------------------------------------------------------------- the call


def _call(sketch: Sketch) -> str:
    """The call with the fixed arguments, if there are arguments or options to be given."""
    given = {name: node.arguments for name, node in sketch.nodes.items() if node.arguments}
    sources = sketch.sources
    if list(given) == sources[:1] and len(sources) == 1:
        parts = [given[sources[0]]]
    elif all(name.isidentifier() and not keyword.iskeyword(name) for name in given):
        parts = [f"{name}=[{text}]" for name, text in given.items()]
    else:
        inner = ", ".join(f"{_text(name)}: [{text}]" for name, text in given.items())
        parts = [f"**{{{inner}}}"]
    for option, value in vars(sketch.options).items():
        if value is not None:
            parts.append(f"{option}={_text(value) if isinstance(value, str) else value}")
    return f"{variable(sketch.name)}({', '.join(parts)})" if parts else ""
