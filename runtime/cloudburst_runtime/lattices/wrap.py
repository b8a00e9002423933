"""Between Python values and lattices: what ``put(key, value, lattice=…)`` means, and what ``get`` returns.

Law: a name of a lattice is read here and nowhere else. What `delta` builds is a *delta*: for a counter
what to add, not a total (the cache of the writer turns it into that writer's total); every other delta
is merged as it is.

Names: those of `MAKERS`, and ``map``, and ``map[…]`` around any of them. A plain ``map`` decides per value:
a set becomes a set, a lattice stays what it is, all else is last-writer-wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

from cloudburst_runtime import values
from cloudburst_runtime.errors import ConsistencyError
from cloudburst_runtime.ids import Micros, PeerName
from cloudburst_runtime.lattices import AnyLattice
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
from cloudburst_runtime.lattices.compound import MapLattice
from cloudburst_runtime.lattices.counters import Counter, Grow, VectorClock
from cloudburst_runtime.values import Value, canonical, encode, from_canonical

CAUSAL = ("causal", "sk", "mk", "dsc", "single", "multi")
DEPTH_MAX = 16
INTEGER_MAX = 2**63 - 1


def delta(value: object, lattice: str | None, writer: PeerName, stamp: Micros) -> AnyLattice:
    """The lattice element that a put of ``value`` merges into its key.

    Parameters
    ----------
    value
        What the user put. An element that is a lattice already passes through.
    lattice
        A name (see `LATTICES`), or None: a set becomes a ``set``, anything else ``lww``.
    writer, stamp
        Who writes, and when by its hybrid clock, in microseconds.

    Raises
    ------
    ValueError
        For an unknown name, and for a number that no lattice can hold (nan, or beyond 64 bits).
    TypeError
        If the value is not what the lattice is made of.
    ConsistencyError
        For the causal lattices, which are not available yet.
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
        lattice = "set" if isinstance(value, set) else "lww"
    inner = _inner(lattice)
    if lattice == "map" or inner is not None:
        return _map(value, lattice, inner, writer, stamp)
    return MAKERS[lattice](value, lattice, writer, stamp)


def reveal(lattice: AnyLattice, decode: Callable[[Value], Any] = values.decode) -> Any:
    """The Python value of an element, as a user sees it.

    Parameters
    ----------
    lattice
        What the store holds.
    decode
        How to decode the value of a last-writer-wins pair; it gets read-only buffers.

    Examples
    --------
    >>> reveal(delta([1, 2], "lww", "c1", 7))
    [1, 2]
    """
    if isinstance(lattice, LWW):
        return decode(lattice.value.frozen())
    if isinstance(lattice, Priority):
        return lattice.priority, decode(lattice.value.frozen())
    if isinstance(lattice, MapLattice):
        return {from_canonical(key): reveal(part, decode) for key, part in sorted(lattice.entries.items())}
    return lattice.reveal()


def newest(lattice: AnyLattice | None) -> Micros:
    """The latest stamp in an element, 0 if there is none: what a hybrid clock must not fall behind."""
    if isinstance(lattice, LWW | Priority):
        return lattice.stamp
    if isinstance(lattice, MapLattice):
        return max(map(newest, lattice.entries.values()), default=0)
    return 0


def counts(lattice: AnyLattice) -> bool:
    """Whether there is a counter in an element."""
    if isinstance(lattice, MapLattice):
        return any(map(counts, lattice.entries.values()))
    return isinstance(lattice, Counter | Grow)


def detached(lattice: AnyLattice) -> AnyLattice:
    """The same element without a view of anybody's memory: later changes of an array do not reach it."""
    if isinstance(lattice, LWW) and lattice.value.buffers:
        return LWW(lattice.stamp, lattice.writer, lattice.value.copied())
    if isinstance(lattice, Priority) and lattice.value.buffers:
        return Priority(lattice.priority, lattice.stamp, lattice.writer, lattice.value.copied())
    if isinstance(lattice, MapLattice):
        return MapLattice({key: detached(part) for key, part in lattice.entries.items()})
    return lattice


def is_shared(lattice: AnyLattice | None) -> bool:
    """Whether an element's value lies in shared memory. Values inside maps never do."""
    return type(lattice) is LWW and lattice.value.shared is not None


def is_lost(lattice: AnyLattice | None) -> bool:
    """Whether an element's value lies in shared memory that has it no longer, or cannot be reached."""
    return type(lattice) is LWW and lattice.value.shared is not None and lattice.value.shared.held is None


def plain(lattice: AnyLattice) -> AnyLattice:
    """The same element with its value in the message, for whoever cannot reach the shared memory."""
    if type(lattice) is LWW and lattice.value.shared is not None:
        return LWW(lattice.stamp, lattice.writer, lattice.value.copied())
    return lattice


def private_bytes(lattice: AnyLattice) -> int:
    """How many bytes an element takes in the memory of the process that keeps it."""
    if type(lattice) is LWW and lattice.value.shared is not None:
        return len(lattice.value.data)
    return lattice.nbytes


def _inner(name: str) -> str | None:
    """``"max"`` of ``"map[max]"``, None of a name without brackets; unknown names raise."""
    if not isinstance(name, str):
        raise TypeError(f"lattice= takes a name ({', '.join(LATTICES)}), not {type(name).__name__}")
    if name.lower() in CAUSAL:
        raise ConsistencyError(
            f"lattice={name!r}: the causal levels are not available yet; use one of {', '.join(LATTICES)}"
        )
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
    return MapLattice(dict(sorted(parts.items())))


def _lww(value: object, name: str, writer: PeerName, stamp: Micros) -> LWW:
    return LWW(stamp, writer, encode(value))


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
