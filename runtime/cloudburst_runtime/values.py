"""Python values as bytes: what travels in messages and lies in the store.

Law: what is decoded never aliases what is stored, and a value is encoded once however often it moves.

A `Value` is a pickle (protocol 5) and its large buffers beside it, so that an array is not copied into
the pickle. ``pickle`` does it where it can (1.5 µs for a small call), ``cloudpickle`` where it must: for
lambdas, closures, and what is defined in ``__main__`` or in a module that lies beside the notebook. Plain
pickle would write those *by name*, and the name means nothing in another process; so the stream is
searched for such names, and encoded again by value if one turns up.

*Canonical* bytes are for what a lattice compares (elements of a set, keys of a map): equal values of the
supported types give equal bytes, in every process and under every hash seed, which no pickle promises.
"""

from __future__ import annotations

import contextlib
import io
import math
import pickle
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cloudpickle
import msgspec

from . import inplace, structs
from .errors import SerializationError
from .shared import Shared

OUT_OF_BAND_BYTES_MIN = 4096
"""A buffer below this is copied into the pickle: cheaper than a frame of its own."""

MAIN = b"__main__"
STRUCT = type(msgspec.Struct)
"""The class of classes that `structs` takes apart."""
_ATOMS = frozenset((type(None), bool, int, float))
"""Types whose pickle has neither names nor buffers."""
_NO_BUFFERS: list[memoryview] = []
"""Of the many values that have none: one list, which nobody changes."""


class Value(msgspec.Struct, array_like=True, gc=False):
    """An encoded Python value.

    Attributes
    ----------
    data
        The pickle stream.
    buffers
        The stream's out-of-band buffers, in order; decoded arrays are views of them.
    shared
        Where the buffers lie instead, if they lie in shared memory; ``buffers`` is empty then.
    """

    data: bytes
    buffers: list[memoryview] = []
    shared: Shared | None = None

    @property
    def nbytes(self) -> int:
        """Size of the stream and its buffers, in bytes."""
        size = len(self.data)
        if self.buffers:
            size += sum(buffer.nbytes for buffer in self.buffers)
        return size if self.shared is None else size + self.shared.nbytes

    def frozen(self) -> Value:
        """The same value over read-only buffers: what may be handed out many times."""
        if all(buffer.readonly for buffer in self.buffers):
            return self
        return Value(self.data, [buffer.toreadonly() for buffer in self.buffers])

    def copied(self) -> Value:
        """The same value over buffers of its own: no view of anybody's memory."""
        buffers = self.buffers if self.shared is None else self.shared.views()
        return Value(self.data, [memoryview(bytes(buffer)) for buffer in buffers])


class ByValueModules:
    """The modules that travel by value, because they lie beside the notebook and change with it."""

    def __init__(self) -> None:
        self.names: dict[str, types.ModuleType] = {}
        self.marks: tuple[bytes, ...] = (MAIN,)

    def set(self, modules: Iterable[types.ModuleType]) -> None:
        """Replace the modules that travel by value."""
        self.names = {module.__name__: module for module in modules}
        self.marks = (MAIN, *(name.encode() for name in self.names))

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        """Within this block cloudpickle takes these modules by value."""
        added = [m for n, m in self.names.items() if n not in cloudpickle.list_registry_pickle_by_value()]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


BY_VALUE = ByValueModules()


def encode(value: object) -> Value:
    """Encode one value.

    Raises
    ------
    SerializationError
        If it cannot travel; the message names the type. `explain` finds the part that is to blame.

    Examples
    --------
    >>> decode(encode({"x": [1, 2]}))
    {'x': [1, 2]}
    """
    if type(value) in _ATOMS:
        return Value(pickle.dumps(value, 5), _NO_BUFFERS)
    buffers: list[memoryview] = []
    try:
        data = pickle.dumps(value, 5, buffer_callback=_collector(buffers))
    except Exception:  # lambdas, closures, anything that pickle finds no name for
        return encode_by_value(value)
    for mark in BY_VALUE.marks:
        if mark in data:
            return encode_by_value(value)
    return Value(data, buffers or _NO_BUFFERS)


def encode_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """``encode((args, kwargs))``, in half the time if all that is given are numbers, as it often is.

    Examples
    --------
    >>> decode(encode_call((1, 2.5), {}))
    ((1, 2.5), {})
    """
    if not kwargs and _ATOMS.issuperset(map(type, args)):
        return Value(pickle.dumps((args, kwargs), 5), _NO_BUFFERS)
    return encode((args, kwargs))


def encode_by_value(value: object) -> Value:
    """Encode with cloudpickle: functions and classes of the notebook travel with their code."""
    buffers: list[memoryview] = []
    try:
        with BY_VALUE.registered():
            data = dumps_by_value(value, _collector(buffers))
    except Exception as error:
        if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
            raise SerializationError(f"{type_name(value)} is nested too deeply to be sent") from error
        raise SerializationError(f"{type_name(value)} cannot be sent to another process: {error}") from error
    return Value(data, buffers)


def dumps_by_value(value: object, collect: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    """The pickle of a value, its code by value where need be; large buffers go to ``collect``, if given."""
    file = io.BytesIO()
    Pickler(file, 5, buffer_callback=collect).dump(value)
    return file.getvalue()


def decode(value: Value) -> Any:
    """The Python value. Arrays are views of the buffers: read-only where those are."""
    if value.shared is not None:
        return pickle.loads(value.data, buffers=value.shared.views())
    if value.buffers:
        return pickle.loads(value.data, buffers=value.buffers)
    return pickle.loads(value.data)


def decode_own(value: Value) -> Any:
    """The Python value, for one owner: its arrays are writable, whatever the buffers are.

    Examples
    --------
    >>> import numpy
    >>> sent = encode(numpy.zeros(1000)).frozen()
    >>> decode(sent).flags.writeable, decode_own(sent).flags.writeable
    (False, True)
    """
    buffers = value.buffers if value.shared is None else value.shared.views()
    if not buffers:
        return pickle.loads(value.data)
    own = [bytearray(buffer) if buffer.readonly else buffer for buffer in buffers]
    return pickle.loads(value.data, buffers=own)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, keeping the file that code came from (since 3.1.3 it leaves that out); also of structs."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is types.CodeType:
            _, parts = self.dispatch_table[types.CodeType](obj)
            return inplace.code, (obj.co_filename, *parts)
        reduced = super().reducer_override(obj)
        if reduced is not NotImplemented and isinstance(obj, STRUCT):
            return structs.reduced(obj)
        return reduced


def _collector(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    def collect(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: the pickle takes a copy
            return True
        if raw.nbytes < OUT_OF_BAND_BYTES_MIN:
            return True
        buffers.append(raw)
        return False

    return collect


def explain(value: object, name: str) -> str:
    """Which part of ``value`` cannot travel, as a path from ``name``, with its type.

    Examples
    --------
    >>> import threading
    >>> explain({"a": 1, "lock": threading.Lock()}, "config")
    "config['lock'], of type _thread.lock"
    """
    for _ in range(8):
        for path, part in _parts(value, name):
            if not _travels(part):
                value, name = part, path
                break
        else:
            break
    return f"{name}, of type {type_name(value)}"


def _parts(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f"{name}[{key!r:.40}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{name}[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f"an element of {name}", part) for part in value)
    elif isinstance(value, types.FunctionType):
        yield from captured(value)
    elif hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType):
        yield from ((f"{name}.{key}", part) for key, part in vars(value).items())


def captured(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    """The variables that a function carries along: (name, value) of its closure and its globals."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # an empty cell
            yield name, cell.cell_contents
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _global_names(code: types.CodeType) -> Iterator[str]:
    seen: dict[str, None] = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            seen.update(dict.fromkeys(_global_names(constant)))
    yield from seen


def _travels(value: object) -> bool:
    try:
        encode_by_value(value)
    except SerializationError:
        return False
    return True


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless it is a builtin.

    Examples
    --------
    >>> from fractions import Fraction
    >>> type_name(3), type_name(Fraction(1, 3))
    ('int', 'fractions.Fraction')
    """
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# ---------------------------------------------------------------- canonical bytes

_canonical_encoder = msgspec.msgpack.Encoder()
_canonical_decoder = msgspec.msgpack.Decoder()


def canonical(value: object) -> bytes:
    """Bytes that are equal exactly if the values are equal and of one type, in every process.

    Parameters
    ----------
    value
        None, a bool, int, float, str or bytes, a NumPy scalar (taken as the Python number it holds), or
        a tuple or frozenset of these.

    Raises
    ------
    SerializationError
        For any other type.

    Notes
    -----
    ``0.0`` and ``-0.0`` are one value, and so are all nans; ``1``, ``1.0`` and ``True`` are three.

    Examples
    --------
    >>> from_canonical(canonical(("digit", 3)))
    ('digit', 3)
    """
    try:
        return _canonical_encoder.encode(_tagged(value))
    except UnicodeEncodeError as error:
        raise SerializationError(
            f"a string that a lattice compares must be valid Unicode: {value!r:.80}"
        ) from error
    except RecursionError as error:
        raise SerializationError("a value that a lattice compares is nested too deeply") from error


def from_canonical(data: bytes) -> Any:
    """The value of `canonical` bytes.

    Raises
    ------
    SerializationError
        If they are none.
    """
    try:
        return _untagged(_canonical_decoder.decode(data))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError(f"not the canonical bytes of a value: {data!r:.80}") from error


def _tagged(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else ["i", hex(value)]
    if isinstance(value, float):
        return float(value) + 0.0 if value == value else math.nan  # one zero, one nan
    if isinstance(value, str):
        return str.__str__(value)  # a subclass may print itself otherwise
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, tuple):
        return ["t", *(_tagged(part) for part in value)]
    if isinstance(value, frozenset):
        return ["s", *sorted(canonical(part) for part in value)]
    return _tagged(_scalar(value))


def _scalar(value: object) -> object:
    """The Python number that a NumPy scalar holds."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        held: object = value.item()
        if type(held) is not type(value):  # a longdouble holds itself
            return held
    raise SerializationError(
        f"a lattice compares None, bool, int, float, str, bytes, tuples and frozensets of these; "
        f"{type_name(value)} is none of them (lattice='lww' stores any picklable value as a whole)"
    )


def _untagged(tagged: Any) -> Any:
    if tagged is None or isinstance(tagged, bool | int | float | str | bytes):
        return tagged
    kind, *parts = tagged
    if kind == "i":
        return int(parts[0], 16)
    if kind == "t":
        return tuple(_untagged(part) for part in parts)
    if kind == "s":
        return frozenset(from_canonical(part) for part in parts)
    raise ValueError(kind)
