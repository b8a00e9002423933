"""What a put under a key makes of a value, and what it says if it cannot.

Law: whoever puts several keys learns which one was wrong; `wrap` knows values, this file their keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cloudburst_runtime import values
from cloudburst_runtime.errors import SerializationError
from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.causal import addition
from cloudburst_runtime.lattices.custom import DELTA, PARTS_MAX, Custom, kind_of
from cloudburst_runtime.lattices.wrap import delta, reveal
from cloudburst_runtime.values import Value


def element(
    key: str, value: object, lattice: str | None, writer: PeerName, stamp: Micros, level: str = "lww"
) -> AnyLattice:
    """`wrap.delta` of a value that is put under ``key``.

    Raises
    ------
    ValueError, TypeError, SerializationError
        As of that, with the key.

    Examples
    --------
    >>> element("visits", "many", "counter", "c1", 7)
    Traceback (most recent call last):
        ...
    TypeError: key 'visits': lattice='counter' takes an amount to add, an int or float, not str
    """
    try:
        return delta(value, lattice, writer, stamp, level)
    except SerializationError as error:
        raise SerializationError(f"the value for key {key!r} cannot be stored: {error}") from None
    except TypeError as error:
        raise TypeError(f"key {key!r}: {error}") from None
    except ValueError as error:
        raise ValueError(f"key {key!r}: {error}") from None


class Grown(NamedTuple):
    """What is to be put of a user's lattice; ``adds``: beside what is there, not in its place."""

    value: Any
    adds: bool = False


def grown(
    key: str, value: Any, found: AnyLattice | None, decode: Callable[[Value], Any] = values.decode
) -> Grown:
    """An element of a user's lattice, merged with what was found under its key: what to put there.

    Raises
    ------
    TypeError
        If merging them, or telling what is new, does not give an element of that lattice.
    """
    kind = kind_of(value)
    if not isinstance(found, Custom) or found.kind != kind or not found.parts.values:
        return Grown(value)
    before = reveal(found, decode)
    merged = before.merge(value)
    _check(key, kind, "merge", merged)
    if not callable(getattr(type(value), DELTA, None)) or len(found.parts.contents) >= PARTS_MAX:
        return Grown(merged)
    news = merged.delta(before)
    _check(key, kind, DELTA, news)
    return Grown(news, adds=True)


def _check(key: str, kind: str, method: str, made: Any) -> None:
    if kind_of(made) != kind:
        raise TypeError(
            f"key {key!r}: {method} of lattice {kind!r} returned {type(made).__name__}: {made!r:.40}; "
            f"it is to return another {kind!r}"
        )


def added(draft: AnyLattice) -> AnyLattice:
    """The same draft of a user's lattice, to be put beside what is there."""
    assert isinstance(draft, Custom), draft
    return Custom(draft.kind, addition(draft.parts))
