"""Where two contents differ.

Law: contents in (`content`), differences out; nothing is executed, and no value is needed. Numbers may be
compared with a tolerance, and then a whole number and a fraction may be the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple, TypeAlias

from cloudburst_nb.content import Tree, pack_tree
from cloudburst_nb.records.showing import MISSING, SHOWN_CHARACTERS_MAX, SHOWN_PARTS_MAX, kind_name, show

CONTEXT_CHARACTERS = 24
Blobs: TypeAlias = Callable[[str], bytes]
"""The long data of a digest."""


class Tolerance(NamedTuple):
    """How far two numbers may be apart: ``absolute + relative * max(|a|, |b|)``.

    Examples
    --------
    >>> Tolerance(relative=0.01).allows(100, 100.5), Tolerance().allows(1, 1.5)
    (True, False)
    """

    relative: float = 0.0
    absolute: float = 0.0

    def allows(self, old: float, new: float) -> bool:
        """Whether both count as one number; two nans do."""
        if old == new or (old != old and new != new):
            return True
        if not (math.isfinite(old) and math.isfinite(new)):
            return False
        return abs(old - new) <= self.absolute + self.relative * max(abs(old), abs(new))

    def __bool__(self) -> bool:
        return self.relative > 0 or self.absolute > 0


EXACT = Tolerance()


class Difference(NamedTuple):
    """One place where two contents differ: the path to it, and what stands there in the one and the other."""

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path + ': ' if self.path else ''}{self.old} → {self.new}"


def differences(
    old: Tree,
    new: Tree,
    tolerance: Tolerance = EXACT,
    blobs: tuple[Blobs, Blobs] | None = None,
    path: str = "",
) -> Iterator[Difference]:
    """The places where two contents differ, in order; none if they are equal.

    Parameters
    ----------
    old, new
        Trees of `content.content_of`.
    tolerance
        How far numbers may be apart.
    blobs
        Where the long data of each is found; without it, long data is compared by its digest alone.
    path
        What stands before the paths of the differences.

    Examples
    --------
    >>> [str(each) for each in differences(["list", [1, 2]], ["list", [1, 3, 4]])]
    ['[1]: 2 → 3', '[2]: nothing → 4']
    """
    return _Comparison(tolerance, blobs).between(old, new, path)


class _Comparison:
    def __init__(self, tolerance: Tolerance, blobs: tuple[Blobs, Blobs] | None) -> None:
        self.tolerance = tolerance
        self.blobs = blobs

    def between(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        if pack_tree(old) == pack_tree(new):
            return
        mine, theirs = _number(old), _number(new)
        if mine is not None and theirs is not None and (self.tolerance or _alike(old, new)):
            if not self.tolerance.allows(mine, theirs):
                yield Difference(path, show(old), show(new))
            return
        tag = old[0] if isinstance(old, list) else None
        if tag is None or not isinstance(new, list) or new[0] != tag or tag not in _WAYS:
            yield _plain(old, new, path)
            return
        yield from _WAYS[tag](self, old, new, path)

    def _sequences(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        for index, (one, other) in enumerate(zip_longest(old[1], new[1], fillvalue=MISSING)):
            yield from self.between(one, other, f"{path}[{index}]")

    def _sets(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        mine = {pack_tree(part) for part in old[1]}
        theirs = {pack_tree(part) for part in new[1]}
        gone = [show(part) for part in old[1] if pack_tree(part) not in theirs]
        came = [show(part) for part in new[1] if pack_tree(part) not in mine]
        yield Difference(path, _listed(gone), _listed(came))

    def _dicts(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        yield from self._labelled(old[1], new[1], lambda key: f"{path}[{show(key)}]")

    def _objects(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        if old[1] != new[1]:
            yield Difference(path, show(old), show(new))
            return
        yield from self._labelled(
            old[2], new[2], lambda label: f"{path}{label}" if label[0] == "." else f"{path}({label})"
        )

    def _labelled(self, old: list[Any], new: list[Any], name: Callable[[Any], str]) -> Iterator[Difference]:
        mine = {pack_tree(label): (label, part) for label, part in old}
        theirs = {pack_tree(label): (label, part) for label, part in new}
        for key in dict.fromkeys([*mine, *theirs]):
            label = (mine.get(key) or theirs[key])[0]
            one, other = (each.get(key, (None, MISSING))[1] for each in (mine, theirs))
            yield from self.between(one, other, name(label))

    def _arrays(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        if old[1:3] != new[1:3]:
            yield Difference(path, show(old), show(new))
        elif isinstance(old[3], list) and isinstance(new[3], list) and "O" in old[1]:
            yield from self._sequences(["list", old[3]], ["list", new[3]], path)
        else:
            yield from self._elements(old, new, path)

    def _elements(self, old: Tree, new: Tree, path: str) -> Iterator[Difference]:
        import numpy as np

        found = [self._data(tree[3], which) for which, tree in enumerate((old, new))]
        try:
            mine, theirs = (np.frombuffer(data or b"", old[1]) for data in found)
        except TypeError:  # a structured array: compared as a whole
            found = [None]
        if None in found:
            yield Difference(path, show(old), show(new))
            return
        apart = self._apart(np, mine, theirs)
        if apart.any():
            yield _first_apart(np, mine, theirs, apart, old[2], path)

    def _apart(self, np: Any, mine: Any, theirs: Any) -> Any:
        same = mine == theirs
        if mine.dtype.kind in "fc":
            same |= np.isnan(mine) & np.isnan(theirs)
        if self.tolerance and mine.dtype.kind in "fciu":
            wide = [each.astype(complex if mine.dtype.kind == "c" else float) for each in (mine, theirs)]
            with np.errstate(invalid="ignore"):
                limit = self.tolerance.absolute + self.tolerance.relative * np.maximum(*map(np.abs, wide))
                same |= (np.abs(wide[0] - wide[1]) <= limit) & np.isfinite(limit)
        return ~same

    def _data(self, data: Any, which: int) -> bytes | None:
        if isinstance(data, bytes):
            return data
        return None if self.blobs is None else self.blobs[which](data[1])


_WAYS: dict[str, Callable[[_Comparison, Tree, Tree, str], Iterator[Difference]]] = {
    "list": _Comparison._sequences,
    "tuple": _Comparison._sequences,
    "set": _Comparison._sets,
    "frozenset": _Comparison._sets,
    "dict": _Comparison._dicts,
    "object": _Comparison._objects,
    "array": _Comparison._arrays,
}


def _first_apart(np: Any, mine: Any, theirs: Any, apart: Any, shape: list[int], path: str) -> Difference:
    """The first element that differs, and how many do."""
    first = int(np.flatnonzero(apart)[0])
    place = [int(step) for step in np.unravel_index(first, shape)] if shape else ""
    count = f"{int(apart.sum()):,} of {len(mine):,} elements differ"
    told = "" if len(mine) == 1 else f" ({count}{_most(np, mine, theirs)})"
    return Difference(f"{path}{place}", str(mine[first].item()), f"{theirs[first].item()}{told}")


def _most(np: Any, mine: Any, theirs: Any) -> str:
    if mine.dtype.kind not in "fiu":
        return ""
    with np.errstate(all="ignore"):
        return f", by at most {float(np.nanmax(np.abs(mine.astype(float) - theirs.astype(float)))):.3g}"


def _number(tree: Tree) -> float | None:
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return float(tree)
    if isinstance(tree, list) and tree[0] == "float":
        return float(tree[1])
    if isinstance(tree, list) and tree[0] == "scalar" and not isinstance(tree[2], bool):
        return _number(tree[2])
    return None


def _alike(old: Tree, new: Tree) -> bool:
    """Whether two numbers are of one type."""
    if isinstance(old, list) and isinstance(new, list):
        return bool(old[:-1] == new[:-1])
    return type(old) is type(new)


def _plain(old: Tree, new: Tree, path: str) -> Difference:
    if isinstance(old, str) and isinstance(new, str):
        return Difference(path, *_texts(old, new))
    shown = show(old), show(new)
    if shown[0] == shown[1]:  # 1 and 1.0 read differently; an array and a list of the same may not
        shown = f"{shown[0]} ({kind_name(old)})", f"{shown[1]} ({kind_name(new)})"
    return Difference(path, *shown)


def _texts(old: str, new: str) -> tuple[str, str]:
    """Two texts from a little before where they part."""
    if max(len(old), len(new)) <= SHOWN_CHARACTERS_MAX and "\n" not in old + new:
        return repr(old), repr(new)
    parted = next((i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(old), len(new)) if parted is None else parted
    start = max(old.rfind("\n", 0, at) + 1, at - CONTEXT_CHARACTERS)
    return _excerpt(old, start), _excerpt(new, start)


def _excerpt(text: str, start: int) -> str:
    line = text[start : start + SHOWN_CHARACTERS_MAX // 2].split("\n")[0]
    return f"{'…' if start else ''}{line!r}{'…' if start + len(line) < len(text) else ''}"


def _listed(parts: list[str]) -> str:
    if not parts:
        return "nothing"
    more = f" and {len(parts) - SHOWN_PARTS_MAX} more" if len(parts) > SHOWN_PARTS_MAX else ""
    return ", ".join(parts[:SHOWN_PARTS_MAX]) + more
