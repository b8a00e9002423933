"""Concurrent writes kept side by side: siblings, each with a dot, and the context that replaces them.

Law: a write replaces exactly the writes that its writer's session had seen of the key; all others stay beside
it. So no write is ever lost to one that did not know of it, in whatever order replicas learn of them.

A *dot* is (writer, number): each writer numbers its writes of a key 1, 2, 3, … A *context* is a set of dots,
as a version vector and, exactly, the dots beyond its gaps. An element has a context, of all that it has heard
of, and the siblings among these that nothing has replaced. Merging keeps a sibling if both sides have it,
or if one has it and the other has never heard of its dot. After Almeida, Shoker and Baquero, "Delta State
Replicated Data Types" (JPDC 2018), sections 7.2 and 9. A clock of the whole value instead of dots, as the
original's, is no lattice: it cannot tell a sibling that was replaced from one that never arrived.

A last-writer-wins pair may meet such an element: it becomes the element's `Causal.plain` part, of which the
latest by (stamp, writer) counts, and which a causal write replaces if its session had seen it. This is a
homomorphism, so the laws hold for mixed types too, and a key that was filled with plain puts can be
used in causal calls, and the other way round. An atomic write is to a causal value as a plain one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from heapq import nsmallest
from typing import ClassVar, TypeAlias

import msgspec

from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.values import Value

from .atomic import Atomic
from .base import LIFTS, Lattice
from .basic import LWW

Order: TypeAlias = tuple[Micros, PeerName]
"""The order of plain writes, and that in which siblings are shown."""

NEVER: Order = (0, "")

ADDS = -1
"""The number of a write that has none yet, and is to replace nothing."""


class Context(msgspec.Struct, array_like=True, frozen=True):
    """A set of writes of one key.

    Attributes
    ----------
    upto
        Per writer: all its dots up to this number.
    beyond
        Per writer: the numbers of its further dots, in order; none of them continues ``upto``.
    plain
        All plain writes up to this one.

    Examples
    --------
    >>> Context().plus("e1", 2).plus("e1", 1)
    Context(upto={'e1': 2}, beyond={}, plain=(0, ''))
    """

    upto: dict[PeerName, int] = {}
    beyond: dict[PeerName, list[int]] = {}
    plain: Order = NEVER

    def has(self, writer: PeerName, number: int) -> bool:
        """Whether a dot is in it."""
        return number <= self.upto.get(writer, 0) or number in self.beyond.get(writer, ())

    def plus(self, writer: PeerName, number: int) -> Context:
        """The same with one dot more."""
        return self.joined(Context({writer: 1}) if number == 1 else Context(beyond={writer: [number]}))

    def joined(self, other: Context) -> Context:
        """The union; one of the two themselves where it is one of them."""
        if other is self or other == self or other <= self:
            return self
        if self <= other:
            return other
        upto: dict[PeerName, int] = {}
        beyond: dict[PeerName, list[int]] = {}
        parts = (self.upto, other.upto, self.beyond, other.beyond)
        for writer in sorted({writer: None for part in parts for writer in part}):
            top = max(self.upto.get(writer, 0), other.upto.get(writer, 0))
            for number in sorted({*self.beyond.get(writer, ()), *other.beyond.get(writer, ())}):
                if number == top + 1:
                    top = number
                elif number > top:
                    beyond.setdefault(writer, []).append(number)
            if top:
                upto[writer] = top
        return Context(upto, beyond, max(self.plain, other.plain))

    def __le__(self, other: Context) -> bool:
        # asked at each read: plain loops, they cost less than generators
        upto = other.upto
        for writer, number in self.upto.items():
            if number > upto.get(writer, 0):
                return False
        for writer, more in self.beyond.items():
            for number in more:
                if not other.has(writer, number):
                    return False
        return self.plain <= other.plain

    @property
    def nbytes(self) -> int:
        """About how many bytes it takes."""
        names = sum(len(writer) + 8 for writer in self.upto)
        return names + sum(len(writer) + 8 * len(more) for writer, more in self.beyond.items()) + 16


EMPTY = Context()


class Sibling(msgspec.Struct, array_like=True, frozen=True):
    """One write: its dot, when it was made, and its value."""

    writer: PeerName
    number: int
    stamp: Micros
    value: Value


class Causal(Lattice, tag="causal", frozen=True, array_like=True):
    """Siblings in the order of their dots, the latest plain write beside them, and the context."""

    name: ClassVar[str] = "causal"

    siblings: tuple[Sibling, ...] = ()
    plain: LWW | None = None
    context: Context = EMPTY

    def merge(self, other: Causal) -> Causal:
        upto, beyond = other.context.upto, other.context.beyond
        theirs = {(one.writer, one.number): one for one in other.siblings}
        kept = []
        for one in self.siblings:  # there may be many, and mostly one comes: nothing is sorted again
            writer, number = one.writer, one.number
            if number > upto.get(writer, 0) and number not in beyond.get(writer, ()):
                kept.append(one)
                continue
            twin = theirs.pop((writer, number), None)
            if twin is not None:
                kept.append(max(twin, one, key=_content))
        for dot, new in theirs.items():
            if not self.context.has(*dot):
                insort(kept, new, key=_dot)
        context = self.context.joined(other.context)
        plain = _alive(_later(self.plain, other.plain), context)
        merged = Causal(tuple(kept), plain, context)
        return self if merged == self else merged

    def __le__(self, other: Causal) -> bool:
        if not self.context <= other.context:
            return False
        mine = {(one.writer, one.number): one for one in self.siblings}
        for one in other.siblings:
            dot = (one.writer, one.number)
            if dot not in mine:
                if self.context.has(*dot):
                    return False
            elif _content(mine[dot]) > _content(one):
                return False
        if not all(other.context.has(*dot) for dot in mine):
            return False
        plain = _alive(_later(self.plain, other.plain), other.context)
        return plain is None or plain is other.plain or plain == other.plain

    @property
    def values(self) -> list[Value]:
        """The values of all writes that nothing has replaced, the latest first."""
        return [one.value for one in sorted(self._all(), key=_order, reverse=True)]

    def _all(self) -> list[Sibling | LWW]:
        return [*self.siblings] if self.plain is None else [*self.siblings, self.plain]

    @property
    def contents(self) -> list[Value]:
        """The same values, in no order that means anything."""
        return [one.value for one in self._all()]

    @property
    def newest(self) -> Micros:
        """The latest stamp in it."""
        return max([one.stamp for one in self._all()], default=0)

    @property
    def seen(self) -> Context:
        """The context of a write by whoever has read this."""
        if self.plain is None:
            return self.context
        return self.context.joined(Context(plain=(self.plain.stamp, self.plain.writer)))

    def reveal(self) -> Value | None:
        """The latest of the values; None if all were replaced."""
        return self.values[0] if self.siblings or self.plain is not None else None

    @property
    def nbytes(self) -> int:
        return self.context.nbytes + sum([value.nbytes + 24 for value in self.contents])

    def bounded(self, siblings_max: int) -> Causal:
        """The same, with the oldest siblings replaced where there are too many: a write of nothing.

        It is above this element in the order of the lattice, so replicas may do so independently.
        """
        excess = len(self.siblings) - siblings_max
        if excess <= 0:
            return self
        last = _order(nsmallest(excess, self.siblings, key=_order)[-1])
        kept = tuple([one for one in self.siblings if (one.stamp, one.writer) > last])
        return Causal(kept, self.plain, self.context)

    def brought(self, part: Causal, merged: Causal) -> Causal:
        """What made ``merged`` of a value: ``part``, and that some siblings are too many.

        ``merged`` is this element, the value's join with ``part``, as `bounded` has left it. The value's join
        with what is returned is ``merged`` too.
        """
        if merged is self:
            return part
        kept = {(one.writer, one.number) for one in merged.siblings}
        context = part.context
        for one in self.siblings:
            if (one.writer, one.number) not in kept:
                context = context.plus(one.writer, one.number)
        siblings = tuple(one for one in part.siblings if (one.writer, one.number) in kept)
        return Causal(siblings, part.plain, context)

    def changed(self, change: Callable[[Value], Value]) -> Causal:
        """The same element with each value replaced by an equal one, as one that lies elsewhere."""
        siblings = tuple(
            Sibling(one.writer, one.number, one.stamp, change(one.value)) for one in self.siblings
        )
        plain = self.plain
        if plain is not None:
            plain = LWW(plain.stamp, plain.writer, change(plain.value))
        return Causal(siblings, plain, self.context)


def lifted(plain: LWW) -> Causal:
    """A last-writer-wins pair as a causal element."""
    return Causal(plain=plain)


LIFTS[LWW, Causal] = lifted
LIFTS[Atomic, Causal] = lambda one: lifted(LWW(one.stamp, one.writer, one.value))


def draft(stamp: Micros, writer: PeerName, value: Value) -> Causal:
    """A write that has no number and no context yet."""
    return Causal((Sibling(writer, 0, stamp, value),))


def addition(element: Causal) -> Causal:
    """A `draft` that is to replace nothing, whatever its session has seen."""
    [one] = element.siblings
    return Causal((msgspec.structs.replace(one, number=ADDS),))


def is_draft(element: Causal) -> bool:
    """Whether an element is a `draft`."""
    return len(element.siblings) == 1 and element.siblings[0].number <= 0


def numbered(element: Causal, writer: PeerName, number: int, seen: Context) -> Causal:
    """A `draft` with its dot, that replaces all in ``seen``, unless it is an `addition`."""
    [one] = element.siblings
    if one.number == ADDS:
        seen = EMPTY
    return Causal((Sibling(writer, number, one.stamp, one.value),), None, seen.plus(writer, number))


def _later(mine: LWW | None, theirs: LWW | None) -> LWW | None:
    if mine is None or theirs is None:
        return mine or theirs
    return mine.merge(theirs)


def _alive(plain: LWW | None, context: Context) -> LWW | None:
    return None if plain is None or (plain.stamp, plain.writer) <= context.plain else plain


def _order(one: Sibling | LWW) -> Order:
    return (one.stamp, one.writer)


def _dot(one: Sibling) -> tuple[PeerName, int]:
    return (one.writer, one.number)


def _content(one: Sibling) -> tuple[Micros, bytes]:
    return (one.stamp, one.value.data)
