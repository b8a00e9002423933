"""Between Python values and lattices: what ``put(key, value, lattice=…)`` means, and what ``get`` returns.

Law: a name of a lattice is read here and nowhere else. What `delta` builds is a *delta*: for a counter
what to add, not a total (the cache of the writer turns it into that writer's total), and for a causal value a
write without number and context (from the same); every other delta is merged as it is.

Names: those of `MAKERS`, and ``map``, and ``map[…]`` around any of them. A plain ``map`` decides per value:
a set becomes a set, a lattice stays what it is, all else is last-writer-wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from cloudburst_runtime import values
from cloudburst_runtime.errors import LatticeMismatch
from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import AnyLattice
from cloudburst_runtime.lattices.atomic import Atomic
from cloudburst_runtime.lattices.base import Lattice
from cloudburst_runtime.lattices.basic import (
    LWW,
    Bool,
    Max,
    Min,
    Number,
    OrderedSet,
    Priority,
    SetLattice,
)
from cloudburst_runtime.lattices.causal import Causal, Context, draft, is_draft, numbered
from cloudburst_runtime.lattices.compound import FAMILIES, MapLattice, Mixed, called
from cloudburst_runtime.lattices.counters import Counter, Grow, VectorClock
from cloudburst_runtime.lattices.custom import Custom, kind_of
from cloudburst_runtime.levels import CAUSAL
from cloudburst_runtime.values import Value, canonical, encode, from_canonical

DEPTH_MAX = 16
INTEGER_MAX = 2**63 - 1


def delta(
    value: object, lattice: str | None, writer: PeerName, stamp: Micros, level: str = "lww"
) -> AnyLattice:
    """The lattice element that a put of ``value`` merges into its key.

    Parameters
    ----------
    value
        What the user put. An element that is a lattice already passes through.
    lattice
        A name (see `LATTICES`), or None: a set becomes a ``set``, an element of a user's lattice stays that,
        anything else becomes ``lww``, or ``causal`` at a causal level.
    writer, stamp
        Who writes, and when by its hybrid clock, in microseconds.
    level
        The consistency level of the session that writes.

    Raises
    ------
    ValueError
        For an unknown name, and for a number that no lattice can hold (nan, or beyond 64 bits).
    TypeError
        If the value is not what the lattice is made of.
    SerializationError
        If the value cannot travel.

    Examples
    --------
    >>> delta(2, "counter", "c1", 7)
    Counter(totals={'c1': (2, 0)})
    >>> delta({"a"}, None, "c1", 7).reveal()
    {'a'}
    >>> reveal(delta({"seen": 3}, "map[max]", "c1", 7))
    {'seen': 3}
    """
    if isinstance(value, Lattice):
        return cast(AnyLattice, value)
    if lattice is None:
        kind = kind_of(value)
        if kind is not None:
            return Custom(kind, draft(stamp, writer, encode(value)))
        plain_kind = "causal" if level in CAUSAL else "lww"
        lattice = "set" if isinstance(value, set) else plain_kind
    inner = _inner(lattice)
    if lattice == "map" or inner is not None:
        return _map(value, lattice, inner, writer, stamp)
    return MAKERS[lattice](value, lattice, writer, stamp)


def reveal(lattice: AnyLattice, decode: Callable[[Value], Any] = values.decode, key: str = "") -> Any:
    """The Python value of an element, as a user sees it.

    Parameters
    ----------
    lattice
        What the store holds.
    decode
        How to decode the value of a last-writer-wins pair; it gets read-only buffers.
    key
        Where it was found, for the message of an error.

    Raises
    ------
    LatticeMismatch
        If there are elements of two types (see `one_of`).

    Examples
    --------
    >>> reveal(delta([1, 2], "lww", "c1", 7))
    [1, 2]
    """
    if isinstance(lattice, LWW | Atomic):
        return decode(lattice.value.frozen())
    if isinstance(lattice, Causal):
        value = lattice.reveal()
        return None if value is None else decode(value.frozen())
    if isinstance(lattice, Custom):
        return lattice.whole(lambda value: decode(value.frozen()))
    if isinstance(lattice, Priority):
        return lattice.priority, decode(lattice.value.frozen())
    if isinstance(lattice, MapLattice):
        return {from_canonical(k): _part(k, part, decode, key) for k, part in sorted(lattice.entries.items())}
    if isinstance(lattice, Mixed):
        raise LatticeMismatch(lattice.told(f"key {key!r}" if key else "this key"))
    return lattice.reveal()


def _part(name: bytes, part: AnyLattice, decode: Callable[[Value], Any], key: str) -> Any:
    if isinstance(part, Mixed):
        where = f"{from_canonical(name)!r} of the map under " + (f"key {key!r}" if key else "this key")
        raise LatticeMismatch(part.told(where, "map[{}]"))
    return reveal(part, decode, key)


def one_of(lattice: AnyLattice, name: str, key: str) -> AnyLattice:
    """The element of the type that users call ``name``, of those that met under a key, or in a map there.

    Raises
    ------
    LatticeMismatch
        If there is none.

    Examples
    --------
    >>> one_of(Mixed({"bool": Bool(True), "max": Max(3)}), "max", "k")
    Max(value=3)
    """
    parts = list(lattice.parts.values()) if isinstance(lattice, Mixed) else [lattice]
    outer, _, inner = name.partition("[")
    for part in parts:
        if FAMILIES.get(called(part), called(part)) == FAMILIES.get(outer, outer):
            return _inside(part, inner[:-1], key) if isinstance(part, MapLattice) and inner else part
    names = " and ".join(repr(called(part)) for part in parts)
    raise LatticeMismatch(f"key {key!r} holds {names}, and was to be read as {name!r:.80}")


def _inside(lattice: MapLattice, name: str, key: str) -> MapLattice:
    """The same map, with one element wherever two types have met."""
    mixed = (Mixed, MapLattice)
    parts = lattice.entries.items()
    return MapLattice({k: one_of(part, name, key) if isinstance(part, mixed) else part for k, part in parts})


def siblings(lattice: AnyLattice, decode: Callable[[Value], Any] = values.decode, key: str = "") -> list[Any]:
    """All values that lie under a key side by side, the latest first; of any lattice but causal there is one.

    Examples
    --------
    >>> siblings(delta([1, 2], "lww", "c1", 7))
    [[1, 2]]
    """
    if isinstance(lattice, Causal):
        return [decode(value.frozen()) for value in lattice.values]
    return [reveal(lattice, decode, key)]


def newest(lattice: AnyLattice | None) -> Micros:
    """The latest stamp in an element, 0 if there is none: what a hybrid clock must not fall behind."""
    if isinstance(lattice, LWW | Atomic | Priority):
        return lattice.stamp
    if isinstance(lattice, Causal):
        return lattice.newest
    if isinstance(lattice, Custom):
        return lattice.parts.newest
    if isinstance(lattice, MapLattice):
        return max(map(newest, lattice.entries.values()), default=0)
    if isinstance(lattice, Mixed):
        return max(map(newest, lattice.parts.values()))
    return 0


def counts(lattice: AnyLattice) -> bool:
    """Whether there is a counter in an element."""
    if isinstance(lattice, MapLattice):
        return any(map(counts, lattice.entries.values()))
    return isinstance(lattice, Counter | Grow)


def is_causal_draft(lattice: AnyLattice) -> bool:
    """Whether an element is a causal write that has no number yet, or such a part of a user's lattice."""
    causal = lattice.parts if isinstance(lattice, Custom) else lattice
    return isinstance(causal, Causal) and is_draft(causal)


def dotted(element: AnyLattice, writer: PeerName, number: int, seen: Context) -> AnyLattice:
    """A causal draft (see `is_causal_draft`) with its dot; it replaces all that is in ``seen``."""
    if isinstance(element, Custom):
        return Custom(element.kind, numbered(element.parts, writer, number, seen))
    assert isinstance(element, Causal), element
    return numbered(element, writer, number, seen)


def seen_of(lattice: AnyLattice | None) -> Context | None:
    """The context of a causal write by whoever has read this, or written it; None of other types."""
    if isinstance(lattice, LWW | Atomic):
        return Context(plain=(lattice.stamp, lattice.writer))
    if isinstance(lattice, Custom):
        return lattice.parts.seen
    return lattice.seen if isinstance(lattice, Causal) else None


def bounded(lattice: AnyLattice, siblings_max: int) -> AnyLattice:
    """The same element, of a causal value with so many siblings at most."""
    return lattice.bounded(siblings_max) if isinstance(lattice, Causal) else lattice


def brought(part: AnyLattice, whole: AnyLattice, merged: AnyLattice) -> AnyLattice | None:
    """What made ``merged`` of a value, if ``whole``, its join with ``part``, was `bounded` to that.

    None if only ``merged`` itself says so.
    """
    if merged is whole:
        return part
    assert isinstance(whole, Causal), whole
    assert isinstance(merged, Causal), merged
    return whole.brought(part, merged) if isinstance(part, Causal) else None


def detached(lattice: AnyLattice) -> AnyLattice:
    """The same element without a view of anybody's memory: later changes of an array do not reach it."""
    if isinstance(lattice, MapLattice):
        return MapLattice({key: detached(part) for key, part in lattice.entries.items()})
    return _with_values(lattice, lambda value: value.copied() if value.buffers else value)


def is_shared(lattice: AnyLattice | None) -> bool:
    """Whether a value of an element lies in shared memory. Values inside maps never do."""
    return any(value.shared is not None for value in _values(lattice))


def is_lost(lattice: AnyLattice | None) -> bool:
    """Whether a value of an element lies in shared memory that has it no longer, or cannot be reached."""
    if type(lattice) is LWW:
        return lattice.value.shared is not None and lattice.value.shared.held is None
    return any(value.shared is not None and value.shared.held is None for value in _values(lattice))


def plain(lattice: AnyLattice) -> AnyLattice:
    """The same element with its values in the message, for whoever cannot reach the shared memory."""
    if not is_shared(lattice):
        return lattice
    return _with_values(lattice, lambda value: value if value.shared is None else value.copied())


def private_bytes(lattice: AnyLattice) -> int:
    """How many bytes an element takes in the memory of the process that keeps it."""
    return lattice.nbytes - shared_bytes(lattice)


def shared_bytes(lattice: AnyLattice) -> int:
    """How many bytes of an element lie in shared memory."""
    return sum(value.shared.nbytes for value in _values(lattice) if value.shared is not None)


def _values(lattice: AnyLattice | None) -> list[Value]:
    """The values of an element that may lie in shared memory."""
    if isinstance(lattice, LWW | Atomic):
        return [lattice.value]
    if isinstance(lattice, Mixed):
        return [value for part in lattice.parts.values() for value in _values(part)]
    return lattice.contents if isinstance(lattice, Causal) else []


def _with_values(lattice: AnyLattice, change: Callable[[Value], Value]) -> AnyLattice:
    """The same element with its values changed by ``change``."""
    if isinstance(lattice, LWW):
        return LWW(lattice.stamp, lattice.writer, change(lattice.value))
    if isinstance(lattice, Atomic):
        return msgspec.structs.replace(lattice, value=change(lattice.value))
    if isinstance(lattice, Priority):
        return Priority(lattice.priority, lattice.stamp, lattice.writer, change(lattice.value))
    if isinstance(lattice, Custom):
        return Custom(lattice.kind, lattice.parts.changed(change))
    if isinstance(lattice, Mixed):
        return Mixed({kind: _with_values(part, change) for kind, part in lattice.parts.items()})
    return lattice.changed(change) if isinstance(lattice, Causal) else lattice


def _inner(name: str) -> str | None:
    """``"max"`` of ``"map[max]"``, None of a name without brackets; unknown names raise."""
    if not isinstance(name, str):
        raise TypeError(f"lattice= takes a name ({', '.join(LATTICES)}), not {type(name).__name__}")
    if name in LATTICES:
        return None
    depth = name.count("map[")
    base = name[4 * depth : len(name) - depth]
    if depth < 1 or depth > DEPTH_MAX or base not in LATTICES or name != "map[" * depth + base + "]" * depth:
        raise ValueError(f"lattice={name!r:.80} is none of {', '.join(LATTICES)}, map[counter], …")
    return name[4:-1]


def _map(value: object, name: str, inner: str | None, writer: PeerName, stamp: Micros) -> MapLattice:
    if not isinstance(value, dict):
        raise TypeError(f"lattice={name!r} takes a dict, not {type(value).__name__}")
    parts = {canonical(key): delta(part, inner, writer, stamp) for key, part in value.items()}
    if any(map(is_causal_draft, parts.values())):
        raise ValueError("a map holds no causal values and none of your own lattices: put it as a whole")
    return MapLattice(dict(sorted(parts.items())))


def _lww(value: object, name: str, writer: PeerName, stamp: Micros) -> LWW:
    return LWW(stamp, writer, encode(value))


def _causal(value: object, name: str, writer: PeerName, stamp: Micros) -> Causal:
    return draft(stamp, writer, encode(value))


def _priority(value: object, name: str, writer: PeerName, stamp: Micros) -> Priority:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"lattice='priority' takes a pair (priority, value), not {_shown(value)}")
    return Priority(_number(value[0], name, "a priority that is"), stamp, writer, encode(value[1]))


def _set(value: object, name: str, writer: PeerName, stamp: Micros) -> SetLattice:
    return SetLattice(_elements(value, name))


def _ordered_set(value: object, name: str, writer: PeerName, stamp: Micros) -> OrderedSet:
    return OrderedSet(_elements(value, name))


def _elements(value: object, name: str) -> dict[bytes, None]:
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        raise TypeError(f"lattice={name!r} takes a set or list of elements, not {type(value).__name__}")
    return dict.fromkeys(sorted(canonical(element) for element in value))


def _max(value: object, name: str, writer: PeerName, stamp: Micros) -> Max:
    return Max(_number(value, name))


def _min(value: object, name: str, writer: PeerName, stamp: Micros) -> Min:
    return Min(_number(value, name))


def _bool(value: object, name: str, writer: PeerName, stamp: Micros) -> Bool:
    value = _item(value)
    if not isinstance(value, bool):
        raise TypeError(f"lattice='bool' takes True or False, not {_shown(value)}")
    return Bool(value)


def _grow(value: object, name: str, writer: PeerName, stamp: Micros) -> Grow:
    amount = _amount(value, name)
    if amount < 0:
        raise ValueError(f"lattice='grow' only goes up, and {amount} is negative: use lattice='counter'")
    return Grow({writer: amount})


def _counter(value: object, name: str, writer: PeerName, stamp: Micros) -> Counter:
    amount = _amount(value, name)
    return Counter({writer: (amount, 0) if amount >= 0 else (0, -amount)})


def _clock(value: object, name: str, writer: PeerName, stamp: Micros) -> VectorClock:
    if not isinstance(value, dict):
        raise TypeError(f"lattice='clock' takes a dict of counts by name, not {type(value).__name__}")
    for process, count in value.items():
        count = _item(count)
        if not isinstance(process, str) or isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(
                f"lattice='clock' takes strings and whole numbers, not {process!r}: {count!r:.40}"
            )
        if not 0 <= count <= INTEGER_MAX:
            raise ValueError(f"lattice='clock' takes counts from 0 to 2**63 - 1, not {count:#x}")
    return VectorClock({process: int(value[process]) for process in sorted(value)})


MAKERS: dict[str, Callable[[object, str, PeerName, Micros], AnyLattice]] = {
    "lww": _lww,
    "causal": _causal,
    "set": _set,
    "ordered-set": _ordered_set,
    "max": _max,
    "min": _min,
    "bool": _bool,
    "grow": _grow,
    "counter": _counter,
    "priority": _priority,
    "clock": _clock,
}
"""What makes a delta of a value, by the name of the lattice."""

LATTICES = (*MAKERS, "map")
"""What ``lattice=`` may say; ``map[…]`` around any of them nests up to `DEPTH_MAX`."""


def _amount(value: object, name: str) -> Number:
    amount = _number(value, name, "an amount to add,")
    if math.isinf(amount):
        raise ValueError(f"lattice={name!r} takes a finite amount to add")
    return amount


def _number(value: object, name: str, what: str = "") -> Number:
    value = _item(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        takes = f"{what} an int or float".lstrip()
        raise TypeError(f"lattice={name!r} takes {takes}, not {type(value).__name__}")
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError(f"lattice={name!r} cannot hold nan: it compares with nothing")
        return float(value) + 0.0  # -0.0 and 0.0 are one number
    if abs(value) > INTEGER_MAX:
        raise ValueError(f"lattice={name!r} holds integers of 64 bits; {value:#x} has more")
    return int(value)


def _item(value: object) -> object:
    """The Python value that a NumPy scalar holds."""
    if not isinstance(value, int | float) and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    return value


def _shown(value: object) -> str:
    return f"{type(value).__name__}: {value!r:.40}"
