"""What a value is, whatever bytes it was pickled to: its *content*, and a digest of that.

Law: equal values have equal contents, in every process and under every hash seed; nothing here is executed
but the pickling hooks (``__reduce_ex__``) of the value's own classes. No pickle is ever compared: the order
of a set's elements in it follows the hash seed, and shared references leave marks that say nothing.

A content is a tree of None, bool, int, float, str and tagged lists, which msgpack can hold:

=================================  ====================================================================
``["list", […]]`` ``["tuple", …]`` the elements in order
``["set", […]]`` ``["frozenset"…]`` the elements' contents, sorted by their bytes
``["dict", [[key, value], …]]``    sorted by the bytes of the keys' contents, whatever the order of insertion
``["array", dtype, shape, data]``  little-endian, in C order; of object arrays a list of contents
``["scalar", dtype, value]``       a NumPy scalar
``["bytes", data]``                and where ``data`` is long, ``["blob", digest, length]`` for it
``["object", type, [[label, …]]]`` what ``__reduce_ex__`` says it is made of; attributes under their names
``["name", qualified name]``       a class, module or function that is imported
``["code", name, digest, […]]``    a function that is not: its code, its defaults, its closure
``["int", hex]`` ``["float", nan]`` ``["text", data]``  what msgpack has no form for
``["cycle", depth]``               the container so many levels above
``["opaque", type]``               nothing is known but its type
=================================  ====================================================================
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

import msgspec

from cloudburst_nb.capturing import by_reference
from cloudburst_runtime.imported import imported
from cloudburst_runtime.values import type_name

BLOB_BYTES_MIN = 1024
"""Data of this size and more stands beside the tree, by its digest."""
DEPTH_MAX = 100
INTEGER_MAX = 2**63

Tree: TypeAlias = Any
"""See above."""

_encoder = msgspec.msgpack.Encoder()
pack_tree = _encoder.encode


class Content(NamedTuple):
    """A value's content: its tree, and the long data that the tree names by digest."""

    tree: Tree
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        """Equal for equal contents, and different for different ones."""
        return digest_of(pack_tree(self.tree))


def digest_of(data: bytes | memoryview) -> str:
    """The name of some bytes: 32 hexadecimal digits.

    Examples
    --------
    >>> digest_of(b"")
    'cae66941d9efbd404e4d88758ea67670'
    """
    return blake2b(data, digest_size=16).hexdigest()


def content_of(value: object) -> Content:
    """The content of a value; what cannot be looked into is opaque, and no error.

    Examples
    --------
    >>> content_of({"b": 1, "a": (2.5, None)}).tree
    ['dict', [['a', ['tuple', [2.5, None]]], ['b', 1]]]
    >>> content_of({"x", "y"}).digest == content_of({"y", "x"}).digest
    True
    """
    walk = Walk()
    return Content(walk.tree(value), walk.blobs)


class Walk:
    """One pass over a value."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self._above: list[int] = []

    def tree(self, value: Any) -> Tree:
        """The tree of one part; a container that contains itself is cut where it does."""
        simple = _SIMPLE.get(type(value))
        if simple is not None:
            return simple(value)
        if id(value) in self._above:
            return ["cycle", len(self._above) - self._above.index(id(value))]
        if len(self._above) >= DEPTH_MAX:
            return self._opaque(value)
        self._above.append(id(value))
        try:
            look_into = _CONTAINERS.get(type(value))
            return self._other(value) if look_into is None else look_into(self, value)
        finally:
            self._above.pop()

    def _list(self, value: list[Any]) -> Tree:
        return ["list", [self.tree(part) for part in value]]

    def _tuple(self, value: tuple[Any, ...]) -> Tree:
        return ["tuple", [self.tree(part) for part in value]]

    def _set(self, value: set[Any] | frozenset[Any]) -> Tree:
        return [type(value).__name__, sorted((self.tree(part) for part in value), key=pack_tree)]

    def _dict(self, value: dict[Any, Any]) -> Tree:
        pairs = [[self.tree(key), self.tree(part)] for key, part in value.items()]
        return ["dict", sorted(pairs, key=lambda pair: pack_tree(pair[0]))]

    def _bytes(self, value: bytes | bytearray) -> Tree:
        return [type(value).__name__, self._data(bytes(value))]

    def _data(self, data: bytes) -> Tree:
        if len(data) < BLOB_BYTES_MIN:
            return data
        digest = digest_of(data)
        self.blobs[digest] = data
        return ["blob", digest, len(data)]

    # ------------------------------------------------------------ all else

    def _other(self, value: Any) -> Tree:
        numpy = imported("numpy", "ndarray")
        if numpy is not None and type(value) is numpy.ndarray:
            return self._array(value)
        if numpy is not None and isinstance(value, numpy.generic):
            return ["scalar", value.dtype.str, self.tree(value.item())]
        if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            return ["name", _name(value)]
        if isinstance(value, types.FunctionType):
            return ["name", _name(value)] if by_reference(value) else self._function(value)
        return self._object(value)

    def _array(self, value: Any) -> Tree:
        shape = list(value.shape)
        if value.dtype.hasobject:
            return ["array", value.dtype.str, shape, [self.tree(part) for part in value.ravel().tolist()]]
        ordered = value.astype(value.dtype.newbyteorder("<"), copy=False)
        described = ordered.dtype.str if ordered.dtype.names is None else str(ordered.dtype)
        return ["array", described, shape, self._data(ordered.tobytes())]

    def _function(self, value: types.FunctionType) -> Tree:
        cells = [self._cell(cell) for cell in value.__closure__ or ()]
        made = [self.tree(value.__defaults__), self.tree(value.__kwdefaults__), *cells]
        return ["code", value.__qualname__, code_digest(value.__code__), made]

    def _cell(self, cell: types.CellType) -> Tree:
        try:
            return self.tree(cell.cell_contents)
        except ValueError:  # it is empty
            return None

    def _object(self, value: Any) -> Tree:
        try:
            made = value.__reduce_ex__(4)
            if isinstance(made, str):
                return ["name", f"{type(value).__module__}.{made}"]
            return ["object", type_name(value), self._parts(*made)]
        except Exception:  # it cannot be pickled, or its hook fails
            return self._opaque(value)

    def _opaque(self, value: Any) -> Tree:
        return ["opaque", type_name(value)]

    def _parts(
        self, maker: Any, args: Any, state: Any = None, items: Any = None, pairs: Any = None, _: Any = None
    ) -> list[list[Tree]]:
        parts: list[list[Tree]] = []
        if getattr(maker, "__name__", "") != "__newobj__":
            parts.append(["made by", self.tree(maker)])
        given = [part for part in args if not isinstance(part, type)]
        if given:
            parts.append(["args", self.tree(tuple(given))])
        slots = state[1] if isinstance(state, tuple) and len(state) == 2 and _is_dict(state[1]) else None
        if slots is not None:
            state = {**(state[0] or {}), **slots}
        if _is_dict(state) and all(isinstance(name, str) for name in state):
            parts += [[f".{name}", self.tree(state[name])] for name in sorted(state)]
        elif state is not None:
            parts.append(["state", self.tree(state)])
        if items is not None:
            parts.append(["items", self.tree(list(items))])
        if pairs is not None:
            parts.append(["pairs", self.tree(dict(pairs))])
        return parts


def code_digest(code: types.CodeType) -> str:
    """A digest of what some code does: not of where it stands, or of the file that it came from."""
    constants = [
        code_digest(part) if isinstance(part, types.CodeType) else content_of(part).tree
        for part in code.co_consts
    ]
    return digest_of(pack_tree([code.co_code, list(code.co_names), list(code.co_varnames), constants]))


def _name(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    name = getattr(value, "__qualname__", type(value).__name__)
    module = getattr(value, "__module__", None)
    return name if module in (None, "builtins") else f"{module}.{name}"


def _is_dict(value: object) -> bool:
    return type(value) is dict


# ---------------------------------------------------------------- what msgpack holds itself, or nearly


def _as_it_is(value: Any) -> Tree:
    return value


def _int(value: int) -> Tree:
    return value if -INTEGER_MAX <= value < INTEGER_MAX else ["int", hex(value)]


def _float(value: float) -> Tree:
    return value + 0.0 if math.isfinite(value) else ["float", str(value)]  # one zero, and one nan


def _str(value: str) -> Tree:
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates
        return ["text", value.encode("utf-8", "surrogatepass")]
    return value


_SIMPLE: dict[type, Callable[[Any], Tree]] = {
    type(None): _as_it_is,
    bool: _as_it_is,
    int: _int,
    float: _float,
    str: _str,
    complex: lambda value: ["complex", _float(value.real), _float(value.imag)],
}
_CONTAINERS: dict[type, Callable[[Walk, Any], Tree]] = {
    list: Walk._list,
    tuple: Walk._tuple,
    set: Walk._set,
    frozenset: Walk._set,
    dict: Walk._dict,
    bytes: Walk._bytes,
    bytearray: Walk._bytes,
}
