"""Vectors of change numbers: which changes of which stores something includes, or must include.

Law: a store numbers its changes 1, 2, 3, …; a vector says, for each store that it names, "all of that
store's changes up to this one". Stores that it does not name count as 0. Vectors form a lattice under
`joined`, and are never changed once they were handed on.

They are what versions, session floors and dependencies are made of (cf. the stable vectors of Akkoorath
et al., "Cure: Strong Semantics Meets High Availability and Low Latency", ICDCS 2016): their size is
bounded by the number of stores, whatever the number of keys.
"""

from __future__ import annotations

from typing import TypeAlias

from cloudburst_runtime.ids import PeerName

Vector: TypeAlias = dict[PeerName, int]


def covers(vector: Vector, other: Vector) -> bool:
    """Whether ``vector`` includes all that ``other`` includes.

    Examples
    --------
    >>> covers({"a": 3, "b": 1}, {"a": 2}), covers({"a": 3}, {"b": 1}), covers({}, {})
    (True, False, True)
    """
    for store, number in other.items():  # noqa: SIM110  (each call asks several times)
        if vector.get(store, 0) < number:
            return False
    return True


def joined(vector: Vector, other: Vector) -> Vector:
    """The least vector that covers both; one of the two themselves where that is one of them.

    Examples
    --------
    >>> joined({"a": 3, "b": 1}, {"a": 2, "c": 4})
    {'a': 3, 'b': 1, 'c': 4}
    """
    if not other or other is vector or covers(vector, other):
        return vector
    if not vector or covers(other, vector):
        return other
    both = dict(vector)
    for store, number in other.items():
        if number > both.get(store, 0):
            both[store] = number
    return both
