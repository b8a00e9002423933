"""Times that users give: what counts as a number of seconds, everywhere the same.

Law: nothing is waited for here. How long to *wait* is from 0 on: whoever comes to wait after his deadline has
a number below it, which is no mistake. A *limit* of what something may take is above 0. No number is one that
is not comparable: a wait for it would end at once, or never.
"""

from __future__ import annotations

import math

SECONDS_MAX = 1e9
"""Thirty years are as long as it takes; the system's calls have limits not far above."""


def to_wait(timeout: object) -> float | None:
    """How many seconds to wait at most; None: as long as it takes.

    Raises
    ------
    TypeError
        If that is no number.
    ValueError
        If it is not a number (``nan``).

    Examples
    --------
    >>> to_wait(2), to_wait(-0.1), to_wait(float("inf")), to_wait(None)
    (2, 0.0, None, None)
    """
    if timeout is None:
        return None
    seconds = timeout if type(timeout) is float else _number(timeout, "")
    if 0 <= seconds <= SECONDS_MAX:
        return seconds
    if seconds != seconds:
        raise ValueError(f"timeout is a number of seconds, or None for as long as it takes; not {timeout!r}")
    return 0.0 if seconds < 0 else None


def limit(timeout: object) -> float | None:
    """How many seconds something may take; None: no limit.

    Raises
    ------
    TypeError
        If that is no number.
    ValueError
        If it is not above 0, or no number that can be counted to.

    Examples
    --------
    >>> limit(1.5), limit(None)
    (1.5, None)
    """
    if timeout is None:
        return None
    seconds = _number(timeout, " above 0")
    if not 0 < seconds < math.inf:
        raise ValueError(f"timeout is a number of seconds above 0, or None for no limit; not {timeout!r}")
    return seconds if seconds <= SECONDS_MAX else None


def _number(timeout: object, which: str) -> float:
    if type(timeout) is int:
        return timeout
    from numbers import Real  # numpy's numbers are such, too; nobody else needs the module

    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout is a number of seconds{which}, or None; not {timeout!r:.80}")
    return float(timeout)
