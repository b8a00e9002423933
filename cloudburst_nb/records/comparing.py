"""Two records of one notebook, compared: what each cell has shown, and which call was the first to differ.

Law: records in, a `Report` out; nothing runs. Cells are compared by content: values and the data of figures
as trees, text as text, numbers with the tolerance that is asked for. A cell that is tagged `TAG` in either
is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, Literal, TypeAlias

from cloudburst_nb.content import Tree
from cloudburst_nb.records.difference import EXACT, Difference, Tolerance, differences
from cloudburst_nb.records.divergence import Divergence, result_of, where_of
from cloudburst_nb.records.format import Called, Cell, Kept, KeptFailure, KeptStep, Shown
from cloudburst_nb.records.record import Record
from cloudburst_nb.records.replaying import args_of, results_of

TAG = "nondeterministic"
"""A cell with this tag may show something else each time."""
INJECTED_TAG = "injected-parameters"
"""Papermill's, of the cell that sets what a run was given."""
DIFFERENCES_SHOWN_MAX = 5
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
WORDS = {"value": "value", "figure": "figure", "text": "text", "error": "error"}

State: TypeAlias = Literal["same", "different", "skipped", "missing", "new"]


@dataclass(frozen=True)
class Row:
    """What became of one cell.

    Attributes
    ----------
    number
        Among the code cells, from 1.
    source
        Its source now (then, if it is missing now).
    state
        ``same``, ``different``, ``skipped``, ``missing`` or ``new``.
    details
        What is different, one place a line.
    """

    number: int
    source: str
    state: State
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The outcome of a verification.

    Attributes
    ----------
    rows
        A row a cell.
    divergence
        The first call that was the same and came out otherwise, if there is one.
    functions
        Functions whose code or captured variables are others now, each with what is.
    """

    rows: list[Row] = field(default_factory=list)
    divergence: Divergence | None = None
    functions: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no cell is different, missing or new."""
        return all(row.state in ("same", "skipped") for row in self.rows)

    def lines(self) -> Iterator[str]:
        """The report as a table, and what explains a difference."""
        counts = {row.state: 0 for row in self.rows}
        for row in self.rows:
            counts[row.state] += 1
            head = next((line.strip() for line in row.source.splitlines() if line.strip()), "")
            yield f"[{row.number:>2}] {row.state:<10} {head[:80]}".rstrip()
            yield from (f"     {detail}" for detail in row.details)
        if not self.ok:
            yield from (f"function {each}" for each in self.functions)
            if self.divergence is not None:
                yield f"first call that differs: {self.divergence}"
        yield ", ".join(f"{count} {state}" for state, count in counts.items()) or "no cell was compared"


def compare(then: Record, now: Record, tolerance: Tolerance = EXACT) -> Report:
    """Compare what two records of one notebook say of its cells.

    Parameters
    ----------
    then, now
        The records.
    tolerance
        How far numbers may be apart, in values, figures and texts.
    """
    rows = [_row(then, now, *pair, tolerance) for pair in _pairs(then.cells, now.cells)]
    report = Report(rows)
    if report.ok:
        return report
    return Report(rows, first_divergence(then, now, tolerance), list(_functions(then, now)))


def _pairs(then: list[Cell], now: list[Cell]) -> Iterator[tuple[Cell | None, Cell | None]]:
    """Each cell with the one in its place; a cell of parameters that one run alone was given has none."""
    if any(INJECTED_TAG in cell.tags for cell in then) != any(INJECTED_TAG in cell.tags for cell in now):
        then, now = ([cell for cell in cells if INJECTED_TAG not in cell.tags] for cells in (then, now))
    return zip_longest(then, now)


def _row(then: Record, now: Record, old: Cell | None, new: Cell | None, tolerance: Tolerance) -> Row:
    if old is None or new is None:
        cell = old or new
        assert cell is not None
        return Row(cell.number, cell.source, "new" if old is None else "missing")
    if TAG in old.tags or TAG in new.tags:
        return Row(new.number, new.source, "skipped")
    details = tuple(islice(_cells(then, now, old, new, tolerance), DIFFERENCES_SHOWN_MAX))
    return Row(new.number, new.source, "different" if details else "same", details)


def _cells(then: Record, now: Record, old: Cell, new: Cell, tolerance: Tolerance) -> Iterator[str]:
    for index, (one, other) in enumerate(zip_longest(old.outputs, new.outputs), 1):
        place = f"output {index}, " if max(len(old.outputs), len(new.outputs)) > 1 else ""
        if one is None or other is None:
            shown = one or other
            assert shown is not None
            yield f"{place}{WORDS[shown.kind]}: {'new' if one is None else 'missing'}: {shown.text[:100]!r}"
        else:
            for difference in _shown(then, now, one, other, tolerance):
                yield f"{place}{WORDS[other.kind]} {difference}"


def _shown(then: Record, now: Record, old: Shown, new: Shown, tolerance: Tolerance) -> Iterator[Difference]:
    if old.kind != new.kind:
        yield Difference("", f"{old.kind} {old.text[:60]!r}", f"{new.kind} {new.text[:60]!r}")
    elif old.content and new.content:
        trees = then.tree(old.content), now.tree(new.content)
        yield from differences(*trees, tolerance, (then.blob, now.blob))
    elif not same_text(old.text, new.text, tolerance):
        yield from differences(old.text, new.text)


def same_text(old: str, new: str, tolerance: Tolerance = EXACT) -> bool:
    """Whether two texts are equal, but for numbers that are within the tolerance.

    Examples
    --------
    >>> same_text("loss 0.501", "loss 0.502", Tolerance(relative=0.01))
    True
    >>> same_text("loss 0.501", "gain 0.501", Tolerance(relative=0.01))
    False
    """
    if old == new:
        return True
    if not tolerance or NUMBER.split(old) != NUMBER.split(new):
        return False
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return all(tolerance.allows(float(one), float(other)) for one, other in pairs)


# ---------------------------------------------------------------- why: functions and calls


def _functions(then: Record, now: Record) -> Iterator[str]:
    """The functions that are others now, and what of them is."""
    for key, function in now.functions.items():
        former = then.functions.get(key)
        if former is None or former.digest == function.digest:
            continue
        known = {name: (digest, text) for name, digest, text in former.captured}
        changed = [
            f"{name}: {known[name][1]} → {text}"
            for name, digest, text in function.captured
            if name in known and known[name][0] != digest
        ]
        if former.source != function.source:
            [difference] = differences(former.source, function.source)
            changed.insert(0, f"its source: {difference}")
        yield f"{function.name} version {function.version} is another: {'; '.join(changed) or 'its code'}"


def first_divergence(then: Record, now: Record, tolerance: Tolerance = EXACT) -> Divergence | None:
    """The first step that differs between two runs: in what it was given, or in what it made of it."""
    for old, new in zip(then.calls, now.calls, strict=False):
        steps = {step.node: step for step in old.steps}
        for step in sorted(new.steps, key=lambda each: each.started):
            former = steps.get(step.node)
            if former is None or (old.target, former.function) != (new.target, step.function):
                return _diverged(now, new, step, "another function was called here then")
            found = _step(then, now, (old, former), (new, step), tolerance)
            if found is not None:
                return found
    return None


Pair: TypeAlias = tuple[Called, KeptStep]


def _step(then: Record, now: Record, old: Pair, new: Pair, tolerance: Tolerance) -> Divergence | None:
    for what, mine, theirs in (
        ("an argument is another (then → now)", _given(*old), _given(*new)),
        ("it returned something else (then → now)", [result_of(*old)], [result_of(*new)]),
    ):
        for one, other in zip_longest(mine, theirs):
            details = tuple(islice(_values(then, now, one, other, tolerance), DIFFERENCES_SHOWN_MAX))
            if details:
                return _diverged(now, *new, what, details)
    failures = old[1].failure, new[1].failure
    if _told(failures[0]) != _told(failures[1]):
        return _diverged(now, *new, f"{_told(failures[0])} → {_told(failures[1])}")
    return None


def _given(call: Called, step: KeptStep) -> list[Kept]:
    """What a step was given: the fixed arguments, references, and its predecessors' results."""
    args = args_of(call, step.node)
    values = results_of(call)
    given = [] if args is None else [args.value, *(value for _, value in args.inline)]
    given += [each.value for each in step.refs if each is not None]
    return given + [value for source in step.inputs if (value := values.get(source)) is not None]


def _values(
    then: Record, now: Record, old: Kept | None, new: Kept | None, tolerance: Tolerance
) -> Iterator[str]:
    if old is None or new is None:
        if old is not new:
            yield "there is one value more" if old is None else "there is one value less"
        return
    if old.digest == new.digest:
        return
    trees = _tree(then, old), _tree(now, new)
    found = list(islice(differences(*trees, tolerance), DIFFERENCES_SHOWN_MAX))
    yield from map(str, found)


def _tree(record: Record, kept: Kept) -> Tree:
    try:
        return record.content(kept).tree
    except Exception:  # it needs something that is not here
        return ["opaque", kept.digest]


def _told(failure: KeptFailure | None) -> str:
    return "no failure" if failure is None else f"{failure.kind}: {failure.message}"


def _diverged(
    record: Record, call: Called, step: KeptStep, what: str, details: tuple[Any, ...] = ()
) -> Divergence:
    return Divergence(call.index, step.function, step.version, where_of(record, call, step), what, details)
