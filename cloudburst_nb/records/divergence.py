"""Whether a step that was executed again came out as it did then, and if not, how.

Law: outcomes in, sentences out; values are compared by content, so that neither a hash seed nor a shared
reference counts. Pure but for the decoding of values.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from cloudburst_nb.content import content_of
from cloudburst_nb.records.difference import EXACT, Tolerance, differences
from cloudburst_nb.records.format import Called, Kept, KeptFailure, KeptStep
from cloudburst_nb.records.record import Record
from cloudburst_nb.records.replaying import Replayed, args_of, results_of
from cloudburst_nb.records.showing import show
from cloudburst_runtime.messages import Failure
from cloudburst_runtime.values import Value, decode

DIFFERENCES_SHOWN_MAX = 5
ARGUMENT_CHARACTERS_MAX = 60


class Divergence(NamedTuple):
    """A step that came out otherwise.

    Attributes
    ----------
    call
        Which call, counted from 0 in the order of submission.
    function, version
        What ran.
    where
        The call as it was written, such as ``square(3)``, and where in a DAG.
    what
        A sentence.
    details
        Where the values differ, one place a line.
    """

    call: int
    function: str
    version: int
    where: str
    what: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.where}: {self.what}", *self.details])


def divergence_of(
    record: Record, replayed: Replayed, tolerance: Tolerance = EXACT, printed: bool = True
) -> Divergence | None:
    """How a step came out otherwise than then; None if it did not, or was not executed.

    Parameters
    ----------
    record
        Where its outcome is.
    replayed
        What came of it now.
    tolerance
        How far numbers may be apart.
    printed
        Whether what it printed counts.
    """
    if replayed.outcome is None:
        return None
    what, details = _judged(record, replayed, tolerance, printed)
    if not what:
        return None
    call, step = replayed.call, replayed.step
    return Divergence(call.index, step.function, step.version, where_of(record, call, step), what, details)


def _judged(
    record: Record, replayed: Replayed, tolerance: Tolerance, printed: bool
) -> tuple[str, tuple[str, ...]]:
    step, outcome = replayed.step, replayed.outcome
    assert outcome is not None
    if replayed.strayed:
        return replayed.strayed, ()
    then, now = step.failure, outcome.failure
    if now is not None:
        if then is None:
            return f"it raised {_raised(now)}, and returned {_returned(record, replayed)} then", ()
        if (_type_of(record, then), then.message) != (_type_of(record, now), now.message):
            return f"it raised {_raised(now)}, and {_raised(record.failure(then))} then", ()
    elif then is not None:
        assert outcome.value is not None
        told = show(content_of(decode(outcome.value)).tree)
        return f"it returned {told}, and raised {_raised(record.failure(then))} then", ()
    else:
        details = tuple(_between(record, replayed, outcome.value, tolerance))
        if details:
            return "it returned something else (then → now)", details
    if printed and (outcome.stdout, outcome.stderr) != (step.stdout, step.stderr):
        return "it printed something else (then → now)", tuple(_printed(step, outcome))
    return "", ()


def _between(record: Record, replayed: Replayed, value: Value | None, tolerance: Tolerance) -> Iterator[str]:
    kept = result_of(replayed.call, replayed.step)
    if kept is None or value is None:
        return
    now = content_of(decode(value))
    if now.digest == kept.digest:
        return
    then = record.content(kept)
    found = differences(then.tree, now.tree, tolerance, (then.blobs.__getitem__, now.blobs.__getitem__))
    yield from map(str, islice(found, DIFFERENCES_SHOWN_MAX))


def _printed(step: KeptStep, outcome: Any) -> Iterator[str]:
    for name in ("stdout", "stderr"):
        yield from map(str, differences(getattr(step, name), getattr(outcome, name), path=name))


def result_of(call: Called, step: KeptStep) -> Kept | None:
    """What a step returned then: the sink's value is the call's."""
    is_sink = all(source != step.node for source, _ in call.edges)
    return step.value or (call.value if is_sink else None)


def _returned(record: Record, replayed: Replayed) -> str:
    kept = result_of(replayed.call, replayed.step)
    return "nothing" if kept is None else shown(record, kept)


def shown(record: Record, kept: Kept) -> str:
    """How a kept value reads."""
    try:
        return show(record.content(kept).tree, ARGUMENT_CHARACTERS_MAX)
    except Exception:  # it needs something that is not here
        return f"<a value that cannot be read here, {kept.digest[:8]}>"


def _raised(failure: Failure | None) -> str:
    if failure is None:
        return "nothing"
    name = failure.kind
    if failure.exception is not None:
        name = type(_exception(failure)).__name__
    return f"{name}: {failure.message}" if failure.message else name


def _exception(failure: Failure) -> Any:
    assert failure.exception is not None
    try:
        return pickle.loads(failure.exception.data)
    except Exception as error:
        return error


def _type_of(record: Record, failure: KeptFailure | Failure) -> str:
    made = record.failure(failure) if isinstance(failure, KeptFailure) else failure
    if made is None or made.exception is None:
        return failure.kind
    return type(_exception(made)).__qualname__


def where_of(record: Record, call: Called, step: KeptStep) -> str:
    """The call of a step as it was written, with where it stands.

    The numbers count from 1, as a reader does.
    """
    given = arguments_of(record, call, step)
    place = f"call {call.index + 1}"
    if call.cell:
        place += f" (cell [{call.cell}])"
    inside = f" in {call.target!r}" if call.target != step.function else ""
    return f"{place}: {step.function}({', '.join(given)}) version {step.version}{inside}"


def arguments_of(record: Record, call: Called, step: KeptStep) -> list[str]:
    """The arguments of a step as they read: fixed ones, then its predecessors' results."""
    kept, given, named = args_of(call, step.node), [], {}
    if kept is not None:
        try:
            args, kwargs = decode(record.value(kept.value))
        except Exception:  # they need something that is not here
            return ["…"]
        holes = {slot: f"ref({key!r})" for slot, key in kept.refs}
        holes.update({slot: shown(record, value) for slot, value in kept.inline})
        given = [holes.get(index) or _short(arg) for index, arg in enumerate(args)]
        named = {name: holes.get(name) or _short(arg) for name, arg in kwargs.items()}
    values = results_of(call)
    inputs = [values.get(source) for source in step.inputs]
    given += [shown(record, value) for value in inputs if value is not None]
    return given + [f"{name}={text}" for name, text in named.items()]


def _short(value: object) -> str:
    return show(content_of(value).tree, ARGUMENT_CHARACTERS_MAX)
