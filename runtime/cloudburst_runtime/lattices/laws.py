"""The laws that every lattice keeps, as one function over any three elements of one type.

Law: this file knows no lattice; it only merges, compares and encodes. Elements are compared by a
deterministic text and not by ``==``, because to Python ``1 == 1.0`` and to replicas that is a
difference; the text also shows whether a merge changed what it was given.

The laws are those of a join semilattice: with them, replicas that have received the same writes are
equal, however often and in whatever order each of them arrived.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cloudburst_runtime.lattices.base import Lattice
from cloudburst_runtime.lattices.compound import below, lub

T = TypeVar("T", bound=Lattice)


def exact(element: object) -> str:
    """A text that is equal exactly if two elements are: dict order aside, types included."""
    return repr(_ordered(msgspec.msgpack.decode(msgspec.msgpack.encode(element))))


def _ordered(plain: Any) -> Any:
    if isinstance(plain, dict):
        return [(key, _ordered(part)) for key, part in sorted(plain.items())]
    return [_ordered(part) for part in plain] if isinstance(plain, list) else plain


def check_all(a: T, b: T, c: T) -> None:
    """Check every law on three elements.

    Parameters
    ----------
    a, b, c
        Elements that can be merged with each other: of one lattice type, or of types that may meet.

    Raises
    ------
    AssertionError
        Naming the law and showing both sides.

    Examples
    --------
    >>> from cloudburst_runtime.lattices import Max
    >>> check_all(Max(1), Max(3), Max(2.5))
    """
    before = [exact(a), exact(b), exact(c)]
    for x, y in ((a, b), (b, c), (c, a)):
        _join(x, y)
    for old, x in zip(before, (a, b, c), strict=True):
        _require(exact(x) == old, "merge leaves its inputs alone", x, old)
    _equal("associativity, (a | b) | c = a | (b | c)", _join(_join(a, b), c), _join(a, _join(b, c)))
    for x, y in ((a, b), (b, c), (a, c)):
        _equal("commutativity, a | b = b | a", _join(x, y), _join(y, x))
        _check_order(x, y)
        _check_order(y, x)
    for x in (a, b, c):
        _equal("idempotence, a | a = a", _join(x, x), x)
    _check_monotone(a, b, c)


def _join(x: T, y: T) -> T:
    merged: T = lub(x, y)
    return merged


def _check_order(x: T, y: T) -> None:
    joined = _join(x, y)
    _require(below(x, joined) and below(y, joined), "a ≤ a | b and b ≤ a | b", x, y)
    _require(below(x, y) is (exact(joined) == exact(y)), "a ≤ b exactly if a | b = b", x, y)


def _check_monotone(a: T, b: T, c: T) -> None:
    lower, upper = _join(a, c), _join(_join(a, b), c)
    _require(below(lower, upper), "monotonicity, a ≤ b gives a | c ≤ b | c", lower, upper)


def _equal(law: str, left: Lattice, right: Lattice) -> None:
    _require(type(left) is type(right) and exact(left) == exact(right), law, left, right)


def _require(holds: bool, law: str, left: object, right: object) -> None:
    if not holds:
        raise AssertionError(f"{law}, fails:\n  {left!r}\n  {right!r}")
