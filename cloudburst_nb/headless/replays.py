"""`cloudburst-nb replay`: the calls of a record again, and where they first come out otherwise.

Law: this file reads a record, has it executed and tells; what diverges is decided by
`cloudburst_nb.records.divergence`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from cloudburst_nb.records import speed
from cloudburst_nb.records.difference import EXACT, Tolerance
from cloudburst_nb.records.divergence import Divergence, divergence_of
from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.record import Record, read
from cloudburst_nb.records.recording import packages
from cloudburst_nb.records.replaying import Replay, undisturbed
from cloudburst_runtime.config import Config
from cloudburst_runtime.executor.printed import Streams

from .errors import UsageError
from .run import DIFFERS, OK

CHANGES_SHOWN_MAX = 10


@dataclass
class Outcome:
    """What came of a replay.

    Attributes
    ----------
    steps
        How many functions were executed again.
    skipped
        Why some could not be, and how many for each reason.
    divergences
        Those that came out otherwise, in the order of their calls.
    instead
        Classes that were taken as they were built then, and why they could not be built now.
    """

    steps: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    divergences: list[Divergence] = field(default_factory=list)
    instead: dict[str, str] = field(default_factory=dict)


def replay(directory: Path, tolerance: Tolerance = EXACT) -> Outcome:
    """Execute every step of a record again.

    Parameters
    ----------
    directory
        The record.
    tolerance
        How far numbers may be apart.

    Raises
    ------
    RecordError
        If there is no such record, or it cannot be read.

    Examples
    --------
    >>> replay(Path("nowhere.record"))
    Traceback (most recent call last):
        ...
    cloudburst_nb.records.errors.RecordError: nowhere.record: no such record
    """
    return replay_of(read(directory), tolerance)


def replay_of(record: Record, tolerance: Tolerance = EXACT) -> Outcome:
    """As `replay`, of a record that was read."""
    outcome = Outcome()
    with undisturbed(), _captured(Config().printed_bytes_max) as streams:
        replay = Replay(record, streams)
        for replayed in replay.all():
            if replayed.outcome is None:
                reason = f"{replayed.step.function}: {replayed.why_not}"
                outcome.skipped[reason] = outcome.skipped.get(reason, 0) + 1
                continue
            outcome.steps += 1
            found = divergence_of(record, replayed, tolerance)
            if found is not None:
                outcome.divergences.append(found)
    outcome.instead = replay.instead
    outcome.divergences.sort(key=lambda divergence: divergence.call)
    return outcome


@contextlib.contextmanager
def _captured(bytes_max: int) -> Iterator[Streams]:
    """What functions print is kept, as in an executor, and does not show here."""
    stdout, stderr = sys.stdout, sys.stderr
    stdout.flush()
    stderr.flush()
    descriptors = os.dup(1), os.dup(2)
    streams = Streams(bytes_max)
    streams.install()
    try:
        yield streams
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        for number, kept in enumerate(descriptors, 1):
            os.dup2(kept, number)
            os.close(kept)


# ---------------------------------------------------------------- the command


HASH_SEED, OF_EXECUTORS = "PYTHONHASHSEED", "0"


def replay_command(arguments: argparse.Namespace) -> int:
    """`cloudburst-nb replay`."""
    if os.environ.get(HASH_SEED) != OF_EXECUTORS:
        _begin_again()
    try:
        record = read(arguments.record)
    except RecordError as error:
        raise UsageError(str(error)) from None
    if arguments.speed:
        return _speed(record, arguments.json)
    outcome = replay_of(record, Tolerance(arguments.rtol, arguments.atol))
    if arguments.json:
        print(json.dumps(_told(outcome)))
    else:
        print("\n".join(_lines(record, outcome, arguments.all)))
    return DIFFERS if outcome.divergences else OK


def _begin_again() -> NoReturn:
    """As a program that hashes as executors do: the order of a set shows it."""
    sys.stdout.flush()
    os.environ[HASH_SEED] = OF_EXECUTORS
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _speed(record: Record, as_json: bool) -> int:
    """Latencies then and now: information, and no reason to fail."""
    compared = speed.compare(record, speed.measure(record))
    if as_json:
        print(json.dumps({"speed": [row.told() for row in compared.rows], "left_out": compared.left_out}))
    else:
        print("\n".join([*changes(record), *compared.lines()]))
    return OK


def _told(outcome: Outcome) -> dict[str, object]:
    return {
        "steps": outcome.steps,
        "skipped": outcome.skipped,
        "divergences": [
            {**each._asdict(), "call": each.call + 1, "details": list(each.details)}
            for each in outcome.divergences
        ],
    }


def _lines(record: Record, outcome: Outcome, every: bool) -> Iterator[str]:
    found = outcome.divergences
    if found:
        yield from changes(record)
        yield from map(str, found if every else found[:1])
    for reason, count in outcome.skipped.items():
        yield f"not executed, {count} times: {reason}"
    for name, why in outcome.instead.items():
        yield f"{name} was taken as it was built then, since it cannot be built now: {why}"
    same = outcome.steps - len(found)
    told = f"{len(record.calls)} calls, {outcome.steps} functions executed: {same} came out as they did"
    yield told + (f", {len(found)} did not" if found else "")


def changes(record: Record) -> Iterator[str]:
    """What this process runs with that is another version than when the record was made."""
    then = record.environment
    if then is None:
        return
    if then.python != platform.python_version():
        yield f"Python was {then.python} then and is {platform.python_version()} now"
    now = packages()
    changed = [(name, then.packages[name], now[name]) for name in then.packages if name in now]
    for name, old, new in [each for each in changed if each[1] != each[2]][:CHANGES_SHOWN_MAX]:
        yield f"{name} was {old} then and is {new} now"
