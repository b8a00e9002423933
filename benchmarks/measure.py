"""Figures from samples: percentiles, ratios, and how far the repetitions lie apart.

Law: arithmetic on lists of numbers, and the one loop that takes the time of a call; nothing here knows what
is measured.

A case is measured in rounds, and in each round every contender takes a block of samples in turn, so that a
machine that slows down slows all of them. Ratios are taken within a round, and the median of those is the
ratio; the range over the rounds says how noisy the run was.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

Probe = Callable[[int, float], list[float]]
"""Takes a block of samples: at most so many, in about so many seconds, at least one."""

WARM_UP_SHARE = 0.2


class Figures(NamedTuple):
    """Percentiles over all samples, and the range of the rounds' medians."""

    p50: float
    p95: float
    p99: float
    low: float
    high: float
    samples: int


class Ratio(NamedTuple):
    """The median over the rounds of one contender's median as a multiple of another's, and its range."""

    p50: float
    low: float
    high: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank: the smallest sample that at least ``share`` of all are not above.

    Examples
    --------
    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not ordered:
        raise ValueError("there is no sample")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figures(rounds: Sequence[Sequence[float]]) -> Figures:
    """What is said of one contender in one case.

    Parameters
    ----------
    rounds
        The samples of each round; no round is empty.

    Examples
    --------
    >>> figures([[1.0, 3.0, 2.0], [5.0]])
    Figures(p50=2.0, p95=5.0, p99=5.0, low=2.0, high=5.0, samples=4)
    """
    ordered = sorted(sample for each in rounds for sample in each)
    medians = [statistics.median(each) for each in rounds]
    p50, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
    return Figures(p50, p95, p99, min(medians), max(medians), len(ordered))


def ratio(rounds: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> Ratio | None:
    """One contender as a multiple of another, round by round; None if the other takes no time at all.

    Examples
    --------
    >>> ratio([[4.0], [9.0]], [[2.0], [3.0]])
    Ratio(p50=2.5, low=2.0, high=3.0)
    """
    pairs = [(statistics.median(a), statistics.median(b)) for a, b in zip(rounds, to, strict=False)]
    ratios = [mine / other for mine, other in pairs if other > 0]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def timed(
    call: Callable[[], object],
    *,
    expect: object = None,
    before: Callable[[], object] | None = None,
    each: int = 1,
) -> Probe:
    """A probe that takes the time of a call.

    Parameters
    ----------
    call
        What is timed.
    expect
        What it must return, if that is checked: once, at the first call. A wrong result is no result.
    before
        Called before each sample, outside the timed part.
    each
        How many operations one call is: a sample is the time of one of them.
    """
    unchecked = expect is not None

    def block(count: int, seconds: float) -> list[float]:
        nonlocal unchecked
        samples: list[float] = []
        enough = clock() + seconds
        while len(samples) < count:
            if before is not None:
                before()
            start = clock()
            result = call()
            end = clock()
            samples.append((end - start) / each)
            if unchecked:
                check(result, expect)
                unchecked = False
            if end > enough:
                break
        return samples

    clock = time.perf_counter
    return block


def check(result: object, expected: object) -> None:
    """Raise if a contender computed something else."""
    if result != expected:
        raise ValueError(f"a call returned {result!r:.80}, not {expected!r:.80}")


def warm_up(probe: Probe, count: int, seconds: float) -> None:
    """Samples that nobody keeps: connections are made, caches are filled."""
    probe(max(1, int(count * WARM_UP_SHARE)), seconds * WARM_UP_SHARE)
