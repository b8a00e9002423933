"""The judge: what the store must show after all that the ledger says, and nothing else.

Law: pure, and ignorant of how the store works; from a ledger and what was found it says what contradicts it.

==========  ================================================================================================
``value``   the latest writer wins: something begun, and no write that began after its end was acknowledged;
            also ``large``, ``own`` and ``pair``, of which both halves are the same
``again``   the same with deletions among the writes
``add``     all that was acknowledged, and nothing that was not begun
``soon``    the same of puts that do not wait for the disk, but those that were killed in all copies before
``count``   what was acknowledged once each, and at most each run that began
``max``     at least the greatest acknowledged, and something begun
``causal``  each acknowledged write, or one that had seen it; nothing beside a write that had seen it
``once``    each acknowledged call has added one, however often it was tried
==========  ================================================================================================

Reads are judged by what the same client had been answered before they began.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from tests.processes.chaos.ledger import Ledger, Line, Write

Found: TypeAlias = dict[tuple[str, str], Any]
"""What is there in the end, by kind and key."""

DELETED = "deleted"
"""The value of a write that is a deletion."""


class Violation(NamedTuple):
    """Something that must not be.

    Attributes
    ----------
    text
        What is there, and why it must not be.
    writes
        Those that show it: as few as there can be.
    at
        When it was seen, if before the end.
    """

    kind: str
    key: str
    text: str
    writes: tuple[Write, ...] = ()
    at: float | None = None


def judge(ledger: Ledger, found: Found) -> list[Violation]:
    """All that contradicts the ledger, in the order of the keys."""
    keys = ledger.keys()
    violations = [
        violation
        for (kind, key), writes in sorted(keys.items())
        if (kind, key) in found
        for violation in RULES[kind](kind, key, _promised(ledger, kind, writes), found[kind, key])
    ]
    for read in ledger.reads:
        violations += [each._replace(at=read.at) for each in READS[read.kind](read, keys)]
    return violations + _errors(ledger)


def _promised(ledger: Ledger, kind: str, writes: list[Write]) -> list[Write]:
    """The writes, of which those that were acknowledged and might go with all their copies were not."""
    return [write if kind != "soon" or ledger.outlived(write) else write.taken_back() for write in writes]


def _errors(ledger: Ledger) -> list[Violation]:
    """Each error that nothing explains, once."""
    counts = Counter(line.value for line in ledger.errors)
    first = {line.value: line for line in reversed(ledger.errors)}
    return [
        Violation("error", first[text].key, f"{first[text].who}, one of {number}: {text}", at=first[text].at)
        for text, number in counts.items()
    ]


# ---------------------------------------------------------------- the latest writer wins


def _made(write: Write) -> str | None:
    """What a write leaves: its name, or nothing."""
    return None if write.value == DELETED else write.name


def superseded(shown: Any, writes: list[Write], before: float = math.inf) -> Write | None:
    """A write, acknowledged ``before``, that began only after all had ended which explains what is shown."""
    ended = max((write.ended for write in writes if _made(write) == shown), default=-math.inf)
    later = [write for write in writes if write.acknowledged and write.begun > ended and write.ended < before]
    return max(later, key=lambda write: write.begun, default=None)


def latest(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """What is shown was begun, and is not older than what was acknowledged."""
    own = tuple(write for write in writes if _made(write) == shown)[-1:]
    if shown is not None and not own:
        return [Violation(kind, key, f"{shown!r} is there, which nobody ever wrote")]
    lost = superseded(shown, writes)
    if lost is None:
        return []
    what = "nothing is there" if shown is None else f"{shown!r} is there, which is older"
    deed = "the deletion " if _made(lost) is None else ""
    return [Violation(kind, key, f"{deed}{lost.name} was acknowledged, and {what}", (*own, lost))]


def pair(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """Both halves are of the same call."""
    left, right = shown
    if left != right:
        own = tuple(write for write in writes if write.name in (left, right))
        return [Violation(kind, key, f"half of one call beside half of another: {left!r}, {right!r}", own)]
    return latest(kind, key, writes, left)


# ---------------------------------------------------------------- what adds up


def add(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """A set has all that was acknowledged, and nothing that was not begun."""
    lost = [write for write in writes if write.acknowledged and write.name not in shown]
    invented = sorted(set(shown) - {write.name for write in writes})
    violations = []
    if lost:
        text = f"{len(lost)} acknowledged elements are not there, the first is {lost[0].name}"
        violations.append(Violation(kind, key, text, (lost[0],)))
    if invented:
        violations.append(Violation(kind, key, f"{invented[0]!r} is there, which nobody ever added"))
    return violations


def count(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """A counter has what was acknowledged once each, and no more than all that was begun."""
    least = sum(write.value for write in writes if write.acknowledged)
    most = sum(sum(write.runs) if write.runs else write.value for write in writes)
    if least <= shown <= most:
        return []
    several = tuple(write for write in writes if len(write.runs) > 1 or not write.acknowledged)[-5:]
    text = f"{shown} is there: {least} were acknowledged, and {most} begun, all runs by executors included"
    return [Violation(kind, key, text, several or tuple(writes[-1:]))]


def greatest(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """A maximum is at least the greatest that was acknowledged."""
    if shown not in (None, *(write.value for write in writes)):
        return [Violation(kind, key, f"{shown} is there, which nobody ever put")]
    lost = max((write for write in writes if write.acknowledged), key=lambda write: write.value, default=None)
    if lost is None or (shown is not None and shown >= lost.value):
        return []
    return [Violation(kind, key, f"{lost.value} was acknowledged, and {shown} is there", (lost,))]


def once(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """Calls that follow each other have each added one to what the one before had left."""
    done = [write for write in writes if write.acknowledged]
    results = [write.result for write in done]
    if results != list(range(1, len(done) + 1)):
        place = next(index for index, result in enumerate(results) if result != index + 1)
        text = f"the call {done[place].name} was number {place + 1}, and found {results[place] - 1} before it"
        return [Violation(kind, key, text, tuple(done[max(0, place - 1) : place + 1]))]
    if len(done) <= shown <= len(writes):
        return []
    text = f"{shown} is there: {len(done)} calls were acknowledged, and {len(writes)} begun"
    return [Violation(kind, key, text, tuple(writes[-2:]))]


# ---------------------------------------------------------------- what has seen what


def _seen(writes: list[Write]) -> tuple[dict[str, list[str]], dict[str, Write]]:
    """What each write of a key had seen, by the name of what was written; and whose it is."""
    seen: dict[str, list[str]] = {}
    whose: dict[str, Write] = {}
    for write in writes:
        for made in write.runs or [write.value]:
            name, replaced = made
            seen[name], whose[name] = replaced, write
    return seen, whose


def closure(names: Iterable[str], seen: dict[str, list[str]]) -> set[str]:
    """These, what they had seen, what that had seen, and so on."""
    reached: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += seen.get(name, ())
    return reached


def causal(kind: str, key: str, writes: list[Write], shown: Any) -> list[Violation]:
    """Nothing is lost that nobody had seen, and nothing comes back that somebody had."""
    seen, whose = _seen(writes)
    for name in shown:
        if name not in seen:
            return [Violation(kind, key, f"{name!r} is there, which nobody ever wrote")]
        others = [other for other in shown if other != name]
        after = next((other for other in others if name in closure([other], seen)), None)
        if after is not None:
            text = f"{name} is there beside {after}, which had seen and replaced it"
            return [Violation(kind, key, text, (whose[name], whose[after]))]
    reached = closure(shown, seen)
    for write in writes:
        name = write.result or write.value[0]
        if write.acknowledged and name not in reached:
            text = f"{name} was acknowledged; there are {shown}, and none of them had seen it"
            return [Violation(kind, key, text, (write,))]
    return []


RULES: dict[str, Callable[[str, str, list[Write], Any], list[Violation]]] = {
    "value": latest,
    "large": latest,
    "own": latest,
    "pair": pair,
    "again": latest,
    "add": add,
    "soon": add,
    "count": count,
    "max": greatest,
    "once": once,
    "causal": causal,
}


# ---------------------------------------------------------------- reads

Keys: TypeAlias = dict[tuple[str, str], list[Write]]


def read_own(read: Line, keys: Keys) -> list[Violation]:
    """A client finds what it was told is there, with its own reads and in its functions."""
    writes = [write for write in keys.get((read.kind, read.key), []) if write.who == read.who]
    lost = superseded(read.value, writes, read.at)
    if lost is None:
        return read_any(read, keys)
    text = f"{read.who} had {lost.name} acknowledged, then asked, and was shown {read.value!r}"
    return [Violation("read", read.key, text, (lost,))]


def read_any(read: Line, keys: Keys) -> list[Violation]:
    """A value is one that somebody wrote, whole."""
    if read.value in (None, *(write.name for write in keys.get((read.kind, read.key), []))):
        return []
    return [Violation("read", read.key, f"{read.who} read {read.value!r}, which nobody ever wrote")]


def read_pair(read: Line, keys: Keys) -> list[Violation]:
    """No reader at ``atomic`` sees a half."""
    left, right = read.value
    if left == right:
        return []
    own = tuple(write for write in keys.get((read.kind, read.key), []) if write.name in (left, right))
    text = f"{read.who} read half of one call beside half of another: {left!r}, {right!r}"
    return [Violation("read", read.key, text, own)]


def read_same(read: Line, keys: Keys) -> list[Violation]:
    """The steps of one call read one version."""
    if len(set(read.value)) == 1:
        return []
    return [Violation("read", read.key, f"the steps of one call of {read.who} read {read.value}")]


def read_trail(read: Line, keys: Keys) -> list[Violation]:
    """The later steps of a call see what an earlier one has written, or what has replaced it."""
    seen, whose = _seen(keys["causal", read.key])
    written, *shown = read.value
    for names in shown:
        if written not in closure(names, seen):
            text = f"a call of {read.who} wrote {written}, and a later step of it saw {names}"
            return [Violation("read", read.key, text, (whose[written],))]
    return []


READS: dict[str, Callable[[Line, Keys], list[Violation]]] = {
    "own": read_own,
    "again": read_own,
    "large": read_any,
    "pair": read_pair,
    "same": read_same,
    "trail": read_trail,
}
