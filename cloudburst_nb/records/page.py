"""The report of a run: a record as one HTML page that asks nobody for anything.

Law: a record in, text out; nothing runs, and nothing is drawn again. Pictures are those of the executed
notebook, inside the page; of what else a cell has shown, HTML is taken if it has no script and no address.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from cloudburst_nb.display.code import source
from cloudburst_nb.display.html import code, counted, duration, faint, folded, image, pre, table
from cloudburst_nb.display.picture import drawing
from cloudburst_nb.display.summaries import html as summary_html
from cloudburst_nb.latency import Measured, Summary
from cloudburst_nb.records.divergence import shown, where_of
from cloudburst_nb.records.format import Called, Cell, Dag, Function
from cloudburst_nb.records.record import Record
from cloudburst_nb.records.speed import timings_of

CALLS_SHOWN_MAX = 500
ASKS_ELSEWHERE = re.compile(
    r"<\s*(script|iframe|object|embed|link|style|meta)\b|https?:|\bon\w+\s*=|@import", re.I
)
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
pre, code { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 13px }
pre { overflow-x: auto } img { max-width: 100%; background: #fff }
nav a { margin-right: 1rem } summary { cursor: pointer } td, th { vertical-align: top !important }
.cell { border-left: 3px solid #8884; padding-left: 12px; margin: 1rem 0 } .failed { border-color: #D55E00 }
"""


def html(record: Record) -> str:
    """The page.

    Parameters
    ----------
    record
        What it tells of.
    """
    sections = [
        ("timings", "Timings", "".join(_timings(record))),
        ("dags", "DAGs", "".join(map(_dag, _latest(record), [record] * len(record.dags)))),
        ("functions", "Functions", "".join(map(_function, record.functions.values()))),
        ("cells", "Cells", "".join(_cells(record))),
        ("calls", "Calls", _calls(record)),
        ("environment", "Environment", _environment(record)),
    ]
    kept = [(anchor, title, body) for anchor, title, body in sections if body]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in kept)
    bodies = "".join(f'<h2 id="{anchor}">{title}</h2>{body}' for anchor, title, body in kept)
    name = record.head.notebook or record.files.folder.name
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(name)}: a run</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(name)}</h1><p>{_told(record)}</p><nav>{links}</nav>{bodies}</body></html>\n"
    )


def _told(record: Record) -> str:
    failed = sum(call.failure is not None for call in record.calls)
    parts = [
        f"recorded {record.head.made.replace('T', ' ')}",
        counted(len(record.cells), "cell"),
        counted(len(record.calls), "call") + (f", of which {failed} failed" if failed else ""),
        "" if record.head.complete else "the run did not reach its end",
    ]
    return faint(" · ".join(part for part in parts if part))


# ---------------------------------------------------------------- timings, DAGs, functions


def _timings(record: Record) -> Iterator[str]:
    by_target: dict[str, list[Measured]] = {}
    for call in record.calls:
        if call.steps:
            by_target.setdefault(call.target, []).append(Measured(call.target, timings_of(call)))
    for _, calls in sorted(by_target.items()):
        yield summary_html(Summary(calls))


def _latest(record: Record) -> list[Dag]:
    """Each DAG as it was defined last."""
    return list({dag.name: dag for dag in record.dags}.values())


def _dag(dag: Dag, record: Record) -> str:
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(name for name, *_ in dag.nodes)
    graph.add_edges_from((dag.nodes[start][0], dag.nodes[end][0]) for start, end in dag.edges)
    words = {name: _options(record, dag, name, flags) for name, *flags in dag.nodes}
    picture = image(drawing(graph, words).encode(), "image/svg+xml", f"the DAG {dag.name}")
    return f"<h3>{escape(dag.name)}</h3>{picture}"


def _options(record: Record, dag: Dag, name: str, flags: list[bool]) -> str:
    versions = [
        version for client, known, version in record.functions if (client, known) == (dag.client, name)
    ]
    told = zip(flags, ("once per input", "GPU", "batching"), strict=True)
    parts = [f"v{max(versions)}" if versions else "", *(text for flag, text in told if flag)]
    return " · ".join(part for part in parts if part)


def _function(function: Function) -> str:
    heading = f"{escape(function.name)}{code(function.signature)} {faint(f'version {function.version}')}"
    rows = [[code(name), code(text)] for name, _, text in function.captured]
    carried = folded(f"carries along {len(rows)}", table(rows, ["variable", "value"])) if rows else ""
    text = source(function.source) if function.source else faint("its source text is not in the record")
    return f"<h3>{heading}</h3>{text}{carried}{faint(f'digest {function.digest}')}"


# ---------------------------------------------------------------- cells and calls


def _cells(record: Record) -> Iterator[str]:
    outputs = _outputs(record)
    for cell in record.cells:
        head = f"[{cell.number}] {faint(duration(cell.seconds))} {faint(' '.join(cell.tags))}"
        failed = " failed" if cell.error else ""
        found = outputs.get(cell.count) if cell.count else None
        body = "".join(map(_output, found)) if found is not None else _texts(cell)
        yield f'<div class="cell{failed}">{head}{source(cell.source)}{body}</div>'


def _outputs(record: Record) -> dict[int, list[dict[str, Any]]]:
    """The outputs of the executed notebook's cells, by execution count."""
    text = record.files.notebook()
    cells = [] if text is None else json.loads(text).get("cells", [])
    return {cell["execution_count"]: cell["outputs"] for cell in cells if cell.get("execution_count")}


def _texts(cell: Cell) -> str:
    return "".join(pre(escape(each.text)) for each in cell.outputs if each.text)


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return pre(escape(_joined(output["text"])))
    if output["output_type"] == "error":
        return pre(escape(f"{output['ename']}: {output['evalue']}"))
    data = output.get("data", {})
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return image(base64.b64decode(_joined(data[kind])), kind, "figure")
    if "image/svg+xml" in data:
        return image(_joined(data["image/svg+xml"]).encode(), "image/svg+xml", "figure")
    page = _joined(data.get("text/html", ""))
    if page and not ASKS_ELSEWHERE.search(page):
        return f'<div style="overflow:auto">{page}</div>'
    text = _joined(data.get("text/plain", ""))
    return pre(escape(text)) if text else ""


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _calls(record: Record) -> str:
    rows = [_call(record, call) for call in record.calls[:CALLS_SHOWN_MAX]]
    if not rows:
        return ""
    left = len(record.calls) - len(rows)
    more = faint(f"and {left:,} more calls") if left > 0 else ""
    return folded(
        counted(len(record.calls), "call"), table(rows, ["call", "result", "executors", "time"]) + more
    )


def _call(record: Record, call: Called) -> list[str]:
    first = call.steps[0] if call.steps else None
    told = f"call {call.index + 1}: {call.target}" if first is None else where_of(record, call, first)
    if call.failure is not None:
        message = escape(f"{call.failure.kind}: {call.failure.message[:200]}")
        result = f'<span style="color:#D55E00">{message}</span>'
    else:
        result = code(shown(record, call.value)) if call.value is not None else ""
    executors = ", ".join(dict.fromkeys(step.executor for step in call.steps))
    return [code(told), result, executors, duration(max(0.0, call.ended - call.submitted) / 1000)]


# ---------------------------------------------------------------- environment


def _environment(record: Record) -> str:
    head, found = record.head, record.environment
    asked = {**head.parameters, **head.arguments}
    rows = [
        ("Python", found.python if found else ""),
        ("machine", found.platform if found else ""),
        ("seed", "none" if head.seed is None else str(head.seed)),
        *((f"runtime {each.client + 1}", _runtime(each)) for each in record.runtimes),
        ("parameters", ", ".join(f"{name} = {value}" for name, value in asked.items())),
        ("cells", head.cells or ""),
    ]
    packages = sorted(found.packages.items()) if found else []
    listed = table([[code(name), escape(version)] for name, version in packages], ["package", "version"])
    told = table([[faint(name), escape(text)] for name, text in rows if text])
    return told + (folded(counted(len(packages), "package"), listed) if packages else "")


def _runtime(runtime: Any) -> str:
    return f"{runtime.executors_min} to {runtime.executors_max} executors, {runtime.policy}"
