"""Two tiers, memory and disk: which values leave memory when there are too many, and which come back.

Law: pure functions over sizes; where a value is, and how it gets there, is the keeper's business.

A value comes back when somebody asks for it. When memory is over its limit, values leave until it is well
below it (so that this is not done at each put): first the earlier versions of keys, then those current values
that nobody has used for longest, as far as is known: uses are noted only once memory is half full. A small
value stays: what is kept of its key in any case takes as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

DEMOTED_BYTES_MIN = 256
"""A value smaller than this is not worth a place on disk alone."""

NOTED_FROM_SHARE = 0.5
"""Uses are noted from here on, as a share of the limit."""

LOWERED_TO_SHARE = 0.8
"""Values leave until memory is below this share of the limit."""


def excess(warm_bytes: int, bytes_max: int | None) -> int:
    """How many bytes have to leave memory.

    Examples
    --------
    >>> excess(900, 1000), excess(1100, 1000), excess(1100, None)
    (0, 300, 0)
    """
    if bytes_max is None or warm_bytes <= bytes_max:
        return 0
    return warm_bytes - int(LOWERED_TO_SHARE * bytes_max)


def coldest(values: Iterable[tuple[str, int]], used: Mapping[str, None], wanted: int) -> list[str]:
    """The keys whose values leave memory, until they have ``wanted`` bytes together, or there are no more.

    Parameters
    ----------
    values
        Keys and the sizes of their values in memory, in the order of their age.
    used
        The keys that were used of late, the latest last.

    Examples
    --------
    >>> coldest([("a", 500), ("b", 500), ("c", 500), ("d", 20)], {"a": None}, 800)
    ['b', 'c']
    >>> coldest([("a", 500), ("b", 500)], {"b": None, "a": None}, 400)
    ['b']
    """
    sizes = {key: size for key, size in values if size >= DEMOTED_BYTES_MIN}
    leaving: list[str] = []
    for key in [*(key for key in sizes if key not in used), *(key for key in used if key in sizes)]:
        if wanted <= 0:
            break
        leaving.append(key)
        wanted -= sizes[key]
    return leaving
