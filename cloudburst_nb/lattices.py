"""Lattices of users: classes whose values merge, and the laws that they must keep.

Law: the store runs no user code. A class becomes a lattice by a mark; what the store keeps of its instances
and who merges them is `cloudburst_runtime.lattices.custom`'s business.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeVar, overload

from cloudburst_runtime.errors import check_name
from cloudburst_runtime.lattices.custom import DELTA, MARK
from cloudburst_runtime.values import decode, encode

T = TypeVar("T", bound=type)

ELEMENTS_MAX = 20
"""Elements that one check takes: it looks at every three of them."""


@overload
def lattice(cls: T, /) -> T: ...
@overload
def lattice(cls: None = None, /, *, name: str | None = None) -> Callable[[T], T]: ...
def lattice(cls: Any = None, /, *, name: str | None = None) -> Any:
    """Make a class a lattice: concurrent puts of its instances under one key are merged, none is lost.

    The class has a method ``merge(self, other)`` that returns their least upper bound as a new instance, and
    that keeps the laws of `check_laws`. ``cb.put(key, instance)`` merges, ``cb.get(key)`` gives an instance.
    Where two write at once the store keeps both, and whoever reads merges them.

    It may have a method ``delta(self, since)`` besides, which returns what ``since`` lacks of it: an element,
    small if little is new, for which ``since.merge(self.delta(since)) == since.merge(self)``. Then of a large
    value only what a put adds is sent, to the store, between stores and to caches.

    Parameters
    ----------
    cls
        The class; without it, a decorator is returned.
    name
        What the lattice is called where another one meets it; the class's own name if not given.

    Returns
    -------
    type
        The class.

    Raises
    ------
    TypeError
        If it is no class with a ``merge``.
    InvalidName
        If that is no name.

    Examples
    --------
    >>> @cb.lattice
    ... class Longest:
    ...     def __init__(self, text):
    ...         self.text = text
    ...     def merge(self, other):
    ...         return max(self, other, key=lambda one: (len(one.text), one.text))
    >>> cb.check_laws([Longest("a"), Longest("bb"), Longest("cc")])
    >>> cb.put("longest", Longest("lattice"))
    >>> cb.put("longest", Longest("law"))
    >>> cb.get("longest").text
    'lattice'

    One that says what is new:

    >>> @cb.lattice
    ... class Seen:
    ...     def __init__(self, names=()):
    ...         self.names = frozenset(names)
    ...     def merge(self, other):
    ...         return Seen(self.names | other.names)
    ...     def delta(self, since):
    ...         return Seen(self.names - since.names)
    >>> cb.check_laws([Seen(), Seen(["ada"]), Seen(["ada", "alan"]), Seen(["grace"])])
    >>> for name in ("ada", "grace"):
    ...     cb.put("seen", Seen([name]))
    >>> sorted(cb.get("seen").names)
    ['ada', 'grace']
    """
    if cls is None:
        return lambda given: _marked(given, name)
    return _marked(cls, name)


def _marked(cls: T, name: str | None) -> T:
    if not isinstance(cls, type) or not callable(getattr(cls, "merge", None)):
        raise TypeError(f"a lattice is a class with a method merge(self, other), which {cls!r:.80} is not")
    setattr(cls, MARK, check_name(cls.__name__ if name is None else name, "lattice"))
    return cls


def check_laws(elements: Sequence[Any]) -> None:
    """Check that elements of a lattice keep its laws, for the tests of your own.

    Merging is associative, commutative and idempotent; it leaves its inputs as they are; and elements
    survive the way to another process. If there is a ``delta``, nothing that is new is missing in what it
    returns. Elements are compared by ``==``, or by their attributes if their class does not say what that
    means.

    Parameters
    ----------
    elements
        Up to 20 elements, the more different the better.

    Raises
    ------
    AssertionError
        Naming the law that fails, and showing for what.
    TypeError
        If that is no list of elements.
    ValueError
        If there are no elements, or too many.

    Examples
    --------
    >>> class Latest:
    ...     def __init__(self, value):
    ...         self.value = value
    ...     def __repr__(self):
    ...         return f"Latest({self.value})"
    ...     def merge(self, other):
    ...         return other
    >>> cb.check_laws([Latest(1), Latest(2)])
    Traceback (most recent call last):
        ...
    AssertionError: merging is not commutative, a.merge(b) = b.merge(a): for a, b = Latest(1), Latest(2)...
    """
    if not isinstance(elements, list | tuple) or not all(hasattr(type(each), "merge") for each in elements):
        raise TypeError(f"give a list of elements that have a merge(self, other), not {elements!r:.80}")
    if not 1 <= len(elements) <= ELEMENTS_MAX:
        raise ValueError(f"give from 1 to {ELEMENTS_MAX} elements, not {len(elements)}")
    for a in elements:
        _require(a.merge(a), a, "idempotent, a.merge(a) = a", a)
        _require(decode(encode(a)), a, "of any use: a does not survive the way to another process", a)
    for a, b in product(elements, repeat=2):
        before = copy.deepcopy((a, b))
        _require(a.merge(b), b.merge(a), "commutative, a.merge(b) = b.merge(a)", a, b)
        if callable(getattr(type(a), DELTA, None)):
            law = "told by its delta, b.merge(a.delta(b)) = b.merge(a)"
            _require(b.merge(a.delta(b)), b.merge(a), law, a, b)
        for element, was in zip((a, b), before, strict=True):
            _require(element, was, "allowed to change its inputs", *before)
    for a, b, c in product(elements, repeat=3):
        law = "associative, a.merge(b).merge(c) = a.merge(b.merge(c))"
        _require(a.merge(b).merge(c), a.merge(b.merge(c)), law, a, b, c)


def _require(left: Any, right: Any, law: str, *elements: Any) -> None:
    if not _same(left, right):
        names = ", ".join("abc"[: len(elements)])
        shown = ", ".join(map(repr, elements))
        raise AssertionError(f"merging is not {law}: for {names} = {shown}: {left!r} and {right!r} differ")


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    says = any("__eq__" in vars(kind) for kind in type(left).__mro__[:-1])
    return bool(left == right if says or not hasattr(left, "__dict__") else vars(left) == vars(right))
