"""One call in a notebook: its state, its value, where its time went, what it printed, why it failed.

Law: reads a future, and never waits for it; the value of a call that is done is decoded to be shown.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from cloudburst_nb.display.html import (
    LINE,
    QUEUED,
    RETURN,
    RUN,
    STATES,
    TRANSFER,
    badge,
    bold,
    card,
    code,
    duration,
    faint,
    folded,
    line,
    printed,
    spans,
    table,
)
from cloudburst_nb.display.preview import preview
from cloudburst_nb.display.tracebacks import marked

if TYPE_CHECKING:
    from cloudburst_nb.future import CloudburstFuture
    from cloudburst_runtime.messages import Failure

NODES_SHOWN_MAX = 60
STAGES = {"queued": QUEUED, "transfer": TRANSFER, "run": RUN}
WAYS = {**STAGES, "return": RETURN}
"""For one call, the way back is told from the way there."""


def html(future: CloudburstFuture) -> str:
    """A future as it is now."""
    state, timings = future._state(), future.timings
    parts = [line(badge(state), bold(future._target), faint(_when(future, state, timings)))]
    if state == "done":
        parts.append(f'<div style="margin:4px 0">{_value(future)}</div>')
    elif future._result is not None and future._result.failure is not None:
        parts.append(_failure(future._result.failure))
    parts += [_split(timings, future.executor), _nodes(future)]
    parts += [printed("stdout", future.stdout), printed("stderr", future.stderr)]
    return card(STATES[state], *parts)


def _when(future: CloudburstFuture, state: str, timings: dict[str, Any]) -> str:
    if state == "waiting":
        return "not done yet: get() waits for it"
    if state == "running":
        fraction, text = future.progress
        progress = f", {fraction:.0%} {text}" if fraction or text else ""
        return f"on {future.executor}{progress}"
    verb = "in" if state == "done" else "after"
    return f"{verb} {duration(timings['total'])}" if timings else ""


def _value(future: CloudburstFuture) -> str:
    error = future.exception(0)  # decodes; there is an outcome, so nobody waits
    return faint(str(error)) if error is not None else preview(future._value)


def _failure(failure: Failure) -> str:
    if not failure.traceback:
        return line(escape(f"{failure.kind}: {failure.message}"))
    last = failure.traceback.strip().splitlines()[-1]
    return folded(code(last[:300]), marked(failure.traceback.strip()), opened=True)


def _split(timings: dict[str, Any], executor: str) -> str:
    """One bar: how the latency splits, stage after stage."""
    if not timings:
        return ""
    back = timings.get("return")
    spent = {stage: timings[stage] for stage in STAGES}
    if back is not None:
        spent = {**spent, "transfer": spent["transfer"] - back, "return": back}
    parts, at = [], 0.0
    for stage, seconds in spent.items():
        parts.append((at, at + seconds, WAYS[stage]))
        at += seconds
    bar = spans(parts, at, ", ".join(f"{stage} {duration(value)}" for stage, value in spent.items()))
    return line(bar, *(_stage(stage, value) for stage, value in spent.items()), faint(f"on {executor}"))


def _stage(stage: str, value: float) -> str:
    mark = f'<span style="color:{WAYS[stage]}">■</span>'
    return f'<span style="white-space:nowrap;margin-left:8px">{mark} {stage} {duration(value)}</span>'


def _nodes(future: CloudburstFuture) -> str:
    """One row for each function of a DAG, with its time on the call's own line of time."""
    states = future.node_states
    if len(states) < 2:
        return ""
    steps = _steps(future)
    total = max(future._ended - future._submitted, 1e-9)
    rows = []
    for name, state in list(states.items())[:NODES_SHOWN_MAX]:
        ready, started, ended, executor = steps.get(name, (0.0, 0.0, 0.0, ""))
        words = f"queued {duration((started - ready) / 1000)}, run {duration((ended - started) / 1000)}"
        bar = spans([(ready, started, QUEUED), (started, ended, RUN)], total, words) if executor else ""
        rows.append([badge(state), code(name), bar, faint(words if executor else ""), faint(executor)])
    hidden = len(states) - len(rows)
    rest = line(faint(f"… and {hidden:,} more functions")) if hidden > 0 else ""
    return f'<div style="border-top:1px solid {LINE};margin-top:4px">{table(rows)}{rest}</div>'


def _steps(future: CloudburstFuture) -> dict[str, tuple[float, float, float, str]]:
    """By function, when it was ready, started and ended, in milliseconds since the call was made."""
    if future._result is None:
        return {}
    names, zero = future._node_names(), future._submitted
    return {
        names[step.node]: (step.ready - zero, step.started - zero, step.ended - zero, step.executor)
        for step in future._result.steps
    }
