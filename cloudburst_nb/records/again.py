"""``cb.replay``: one past call again, here and now, from what it saw.

Law: reads records; asks no runtime and changes nothing in one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from cloudburst_nb.future import CloudburstFuture, exception_of
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.record import Record, read, read_draft
from cloudburst_nb.records.recording import RECORDINGS
from cloudburst_nb.records.replaying import Replay, Replayed, undisturbed
from cloudburst_runtime.values import decode_own


def replay(future: CloudburstFuture, *, node: str | None = None, pdb: bool = False) -> Any:
    """Run a recorded call again in this process, from the arguments, reads and messages that it saw then.

    Whatever it writes or sends goes nowhere; the time and its random numbers (of a seeded runtime) are those
    of then.

    Parameters
    ----------
    future
        Of a call that was made while `record` was on.
    node
        Of a DAG: run this function only. Without it, all of them run, each from what it got then.
    pdb
        Stop at the first line of each function, in a debugger.

    Returns
    -------
    object
        What the (last) function returns now.

    Raises
    ------
    RecordError
        If the call was not recorded, has not ended yet, or asks for something else than it did then; or if
        its record is gone.
    TypeError
        If ``future`` is none.
    Exception
        What the function raises now, as its own type.

    Examples
    --------
    >>> import tempfile
    >>> area = cb.function(lambda cloudburst: cloudburst.get("side") ** 2, name="area")
    >>> cb.put("side", 4)
    >>> with cb.record(tempfile.mkdtemp()):
    ...     future = area()
    >>> cb.put("side", 100)
    >>> cb.replay(future)
    16
    """
    if not isinstance(future, CloudburstFuture):
        raise TypeError(f"replay takes the future of a recorded call; not {future!r:.80}")
    record, index = _found(future)
    steps = [(call, step) for call in record.calls if call.index == index for step in call.steps]
    wanted = [each for each in steps if node in (None, each[1].function)]
    if not wanted:
        raise RecordError(_nothing(future, node, [step.function for _, step in steps]))
    with undisturbed():
        replayed = list(Replay(record, wrap=debugged if pdb else None).steps(wanted))
    return _value(replayed[-1])


def _found(future: CloudburstFuture) -> tuple[Record, int]:
    """The newest record of a call, and which of its calls that is."""
    for recording in reversed(RECORDINGS):
        place = recording.find(future)
        if place is None:
            continue
        folder, index = place
        record = read(folder) if recording.digest or (folder / "record.json").exists() else read_draft(folder)
        if recording.digest not in ("", record.head.log_digest):
            raise RecordError(f"{folder}: another record took the place of the one of this call")
        return record, index
    raise RecordError(
        f"the call of {future._target!r} was not recorded: make it while cb.record(directory) is on"
    )


def _nothing(future: CloudburstFuture, node: str | None, functions: list[str]) -> str:
    if functions:
        return f"{future._target!r} has no function {node!r}; it has {', '.join(functions)}"
    state = "has not ended yet" if not future.done() else "ended before it ran"
    return f"the call of {future._target!r} {state}: there is nothing to run again"


def _value(last: Replayed) -> Any:
    if last.outcome is None:
        raise RecordError(f"{last.step.function!r} cannot be run again: {last.why_not}")
    if last.strayed:
        raise RecordError(f"{last.step.function!r} went another way than then: {last.strayed}")
    if last.outcome.failure is not None:
        raise exception_of(last.outcome.failure)
    assert last.outcome.value is not None
    return decode_own(last.outcome.value)


def debugged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be run in a debugger that stops at its first line."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return debugger().runcall(function, *args, **kwargs)

    return run


def debugger() -> Any:
    """IPython's where that runs, else Python's own."""
    module = sys.modules.get("IPython")
    if module is not None and module.get_ipython() is not None:
        from IPython.core.debugger import Pdb

        return Pdb()
    import pdb

    return pdb.Pdb()
