"""How often functions ran, how often they failed, and how long they took: counted where they run.

Law: pure; counts only grow, and adding up those of several executors gives what one would have counted. Times
go into classes that are an eighth of an octave wide, so a percentile is known to 6 %, in bounded space.
"""

from __future__ import annotations

from cloudburst_runtime.ids import Millis
from cloudburst_runtime.messages import Runs

PERIOD_MS: Millis = 1000.0
"""While calls go on, an executor tells no more often than this what it has counted."""
PAUSE_MS: Millis = 50.0
"""And when there was no call for as long as this."""
UNITS = 10_000
"""Of a millisecond: what is shorter than one has a class of its own."""
_FINE = 8  # classes of an octave


def klass(run_ms: Millis) -> int:
    """The class of a duration.

    Examples
    --------
    >>> klass(0.007), klass(1.0), klass(1.05), klass(2.0)
    (32, 89, 90, 97)
    """
    units = max(0, int(run_ms * UNITS))
    shift = max(0, units.bit_length() - 4)
    return shift * _FINE + (units >> shift)


def middle_ms(of: int) -> Millis:
    """The middle of a class.

    Examples
    --------
    >>> middle_ms(klass(1000.0))
    996.1472
    """
    if of < 2 * _FINE:
        return of / UNITS
    shift = of // _FINE - 1
    return (((of - shift * _FINE) << shift) + (1 << shift) / 2) / UNITS


def quantile_ms(runs: Runs, share: float) -> Millis | None:
    """The run time that this share of the runs did not exceed; None if there were none.

    Examples
    --------
    >>> quantile_ms(Runs("f", 3, 0, {7: 2, 9: 1}), 0.5), quantile_ms(Runs("f"), 0.5)
    (0.0007, None)
    """
    left = share * sum(runs.classes.values())
    for of, count in sorted(runs.classes.items()):
        left -= count
        if left <= 1e-9:
            return middle_ms(of)
    return None


def add(runs: Runs, more: Runs) -> None:
    """Count all that ``more`` has counted, too."""
    runs.count += more.count
    runs.failed += more.failed
    for of, count in more.classes.items():
        runs.classes[of] = runs.classes.get(of, 0) + count


class Counter:
    """What one executor has counted and not told yet.

    Attributes
    ----------
    due
        When it is to be told; None: there is nothing to tell.

    Examples
    --------
    >>> counter = Counter()
    >>> counter.note("f", 1.0, False, now=5000.0)
    >>> counter.due, counter.take(5050.0)
    (5000.0, [Runs(name='f', count=1, failed=0, classes={89: 1})])
    """

    def __init__(self) -> None:
        self.due: Millis | None = None
        self._told = 0.0
        self._runs: dict[str, Runs] = {}

    def note(self, name: str, run_ms: Millis, failed: bool, now: Millis) -> None:
        """A function has run."""
        runs = self._runs.get(name)
        if runs is None:
            runs = self._runs[name] = Runs(name)
        runs.count += 1
        runs.failed += failed
        of = klass(run_ms)
        runs.classes[of] = runs.classes.get(of, 0) + 1
        self.due = min(now + PAUSE_MS, max(self._told + PERIOD_MS, now))

    def take(self, now: Millis) -> list[Runs]:
        """What is to be told now."""
        taken, self._runs = list(self._runs.values()), {}
        self.due, self._told = None, now
        return taken
