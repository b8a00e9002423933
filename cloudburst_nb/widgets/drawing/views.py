"""What front ends get to see, as plain data.

Law: reads sketches, runs and figures; changes nothing. The names of the fields are those that
``static/dag.js`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudburst_nb.display.html import duration
from cloudburst_nb.display.layout import NODE_HEIGHT
from cloudburst_nb.display.preview import preview
from cloudburst_nb.widgets.drawing import placing
from cloudburst_nb.widgets.drawing.arguments import namespace
from cloudburst_nb.widgets.drawing.checking import Known, Mark, marks, obstacle, takes
from cloudburst_nb.widgets.drawing.editing import History, parsed
from cloudburst_nb.widgets.drawing.measuring import Book
from cloudburst_nb.widgets.drawing.running import Run
from cloudburst_nb.widgets.drawing.sketch import Sketch
from cloudburst_nb.widgets.drawing.wording import code_of
from cloudburst_runtime.values import decode

PORTS_MAX = 12
PRINTED_CHARACTERS_MAX = 20_000


def words(sketch: Sketch, known: Mapping[str, Known]) -> dict[str, str]:
    """What stands below each name: its version and how it is run."""
    return {name: _words(sketch, name, known) for name in sketch.nodes}


def _words(sketch: Sketch, name: str, known: Mapping[str, Known]) -> str:
    node, function = sketch.nodes[name], known.get(name)
    parts = [
        f"v{function.version}" if function is not None else "",
        f"copy of {node.copy_of}" if node.copy_of else "",
        "once per input" if node.invalid is not None else "",
        "batching" if node.batching else "",
        "GPU" if node.gpu else "",
        "one host" if node.colocated else "",
    ]
    return " · ".join(part for part in parts if part)


def graph(sketch: Sketch, known: Mapping[str, Known], history: History, rev: int) -> dict[str, Any]:
    """The drawing."""
    below, found = words(sketch, known), marks(sketch, known)
    widths = placing.widths(sketch, below)
    nodes = [
        _node(sketch, name, known, below[name], round(widths[name], 1), found.get(name, []))
        for name in sketch.nodes
    ]
    return {
        "rev": rev,
        "name": sketch.name,
        "nodes": nodes,
        "sources": sketch.sources,
        "obstacle": obstacle(sketch, found),
        "undo": history.can(-1),
        "redo": history.can(1),
        "options": dict(vars(sketch.options)),
        "code": code_of(sketch, _variables(sketch)),
    }


def _node(
    sketch: Sketch, name: str, known: Mapping[str, Known], below: str, wide: float, wrong: list[Mark]
) -> dict[str, Any]:
    """One node; what is empty is left out, since front ends get all nodes after each operation."""
    node = sketch.nodes[name]
    function = known.get(node.copy_of or name)
    needs = takes(function.signature) if function is not None else None
    fixed = len(parsed(node.arguments).elts)  # these come first
    bends = [sketch.bends.get((source, name), ()) for source in sketch.inputs[name]]
    shown = {
        "id": name,
        "x": node.x,
        "y": node.y,
        "w": wide,
        "h": NODE_HEIGHT,
        "words": below,
        "arguments": node.arguments,
        "gpu": node.gpu,
        "batching": node.batching,
        "colocated": node.colocated,
        "signature": function.signature if function is not None else "",
        "names": list(needs.names[fixed:]) if needs is not None else [],
        "inputs": list(sketch.inputs[name]),
        "bends": bends if any(bends) else [],
        "ports": _ports(sketch, name, needs.most if needs is not None else None),
        "marks": [[mark.level, mark.text] for mark in wrong],
    }
    return {field: value for field, value in shown.items() if value or field in ("x", "y")}


def _ports(sketch: Sketch, name: str, most: int | None) -> int:
    """How many inputs can be drawn to: one for each arrow, and one more while another can be taken."""
    used, fixed = len(sketch.inputs[name]), len(parsed(sketch.nodes[name].arguments).elts)
    if most is None or most > PORTS_MAX:
        return used + 1
    return max(1, used, most - fixed)


def _variables(sketch: Sketch) -> set[str]:
    """The functions that the notebook has under their own names."""
    space = namespace()
    return {name for name in sketch.nodes if getattr(space.get(name), "name", None) == name}


# ---------------------------------------------------------------- the last run


def status(
    sketch: Sketch, known: Mapping[str, Known], runs: Sequence[Run], book: Book, left: int
) -> dict[str, Any]:
    """The last run and what went before, node by node and arrow by arrow."""
    last = runs[-1] if runs else None
    found: dict[str, Any] = {
        "run": 0 if last is None else last.number,
        "state": "" if last is None else last.state,
        "left": left,
        "runs": [_headline(run) for run in runs],
        "nodes": {} if last is None else _nodes(sketch, known, last),
        "latency": book.nodes(),
        "edges": [[*edge, figures] for edge, figures in book.edges().items()],
        "counted": len(book),
    }
    return found


def _headline(run: Run) -> dict[str, Any]:
    return {
        "run": run.number,
        "at": run.began,
        "state": run.state,
        "ms": round(run.total_ms, 3),
        "took": duration(run.total_ms / 1000) if run.state == "done" else "",
        "begin": run.begin,
        "reason": run.reason[:500],
        "failed": run.failed_at,
    }


def _nodes(sketch: Sketch, known: Mapping[str, Known], run: Run) -> dict[str, dict[str, Any]]:
    states, steps = run.states(), run.steps()
    stale = stale_in(sketch, known, run)
    nodes: dict[str, dict[str, Any]] = {}
    for name in sketch.nodes:
        if name not in states:
            continue
        each: dict[str, Any] = {"state": states[name]}
        if name in steps:
            each["ms"] = round(steps[name].ended - steps[name].started, 3)
            each["executor"] = steps[name].executor
        if name in stale:
            each["stale"] = stale[name]
        if states[name] == "failed":
            each["traceback"] = run.traceback(name)
        nodes[name] = each
    return nodes


def stale_in(sketch: Sketch, known: Mapping[str, Known], run: Run) -> dict[str, str]:
    """Whose result in this run is not what it would be now, and why."""
    if run.state == "running":
        return {}
    stale: dict[str, str] = {}
    for name in _in_order(sketch):
        function, version = known.get(name), run.versions.get(name)
        if version is None or name not in run.sketch.nodes:
            continue
        before, now = run.sketch.nodes[name], sketch.nodes[name]
        if function is not None and function.version != version:
            stale[name] = f"stale: {name} is v{function.version} now, the last run used v{version}"
        elif before.arguments != now.arguments:
            stale[name] = "stale: its arguments have changed since the last run"
        elif run.sketch.inputs[name] != sketch.inputs[name]:
            stale[name] = "stale: its inputs have changed since the last run"
        else:
            above = next((source for source in sketch.inputs[name] if source in stale), None)
            if above is not None:
                stale[name] = f"stale, because {above} is"
    return stale


def _in_order(sketch: Sketch) -> list[str]:
    import networkx

    return list(networkx.topological_sort(sketch.graph))


def before(sketch: Sketch, begin: str) -> set[str]:
    """All that does not run again in a run from here."""
    import networkx

    return set(sketch.nodes) - {begin, *networkx.descendants(sketch.graph, begin)}


# ---------------------------------------------------------------- questions


def details(name: str, run: Run | None) -> dict[str, Any]:
    """What one function did in a run: its value, what it printed, where it ran."""
    if run is None or name not in run.sketch.nodes:
        return {"node": name, "run": 0}
    value, step = run.value(name), run.steps().get(name)
    stdout, stderr = run.printed(name)
    return {
        "node": name,
        "run": run.number,
        "state": run.states()[name],
        "version": run.versions.get(name, 0),
        "value": "" if value is None else _shown(value),
        "nbytes": 0 if value is None else value.nbytes,
        "stdout": stdout[-PRINTED_CHARACTERS_MAX:],
        "stderr": stderr[-PRINTED_CHARACTERS_MAX:],
        "executor": "" if step is None else step.executor,
        "hits": 0 if step is None or step.intake is None else step.intake.hits,
        "misses": 0 if step is None or step.intake is None else step.intake.misses,
        "traceback": run.traceback(name),
    }


def _shown(value: Any) -> str:
    try:
        return preview(decode(value))
    except Exception as error:  # a class that is not here, a __setstate__ that raises: anyone's code
        return preview(error)


def comparison(first: Run, second: Run) -> dict[str, Any]:
    """Two runs side by side: of each function the time, the version and how it ended."""
    rows = []
    runs = (first, second)
    steps, states = [run.steps() for run in runs], [run.states() for run in runs]
    for name in dict.fromkeys([*first.names, *second.names]):
        times = [_ms(each.get(name)) for each in steps]
        rows.append(
            {
                "node": name,
                "ms": times,
                "versions": [run.versions.get(name, 0) for run in runs],
                "states": [each.get(name, "") for each in states],
            }
        )
    return {"runs": [_headline(first), _headline(second)], "rows": rows}


def _ms(step: Any) -> float | None:
    return None if step is None else round(step.ended - step.started, 3)
