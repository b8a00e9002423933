"""Classes derived from `msgspec.Struct` on their way to another process, by value.

Law: pickles refer to the functions below, so they stay where they are. Of a class there is one in a process,
however often it arrives: the one that it left, where it was defined.

cloudpickle makes a class empty and fills it later, for its methods may refer to it. The fields of a struct
are fixed when it is made, so what decides about them goes ahead: annotations, defaults, options. The rest is
filled in, as in any class.
"""

from __future__ import annotations

import inspect
import uuid
import weakref
from typing import Any

import msgspec

AT_BIRTH = ("__module__", "__qualname__", "__doc__", "__orig_bases__", "__post_init__")
"""What a class is to have when it is made, besides its fields."""
MADE = ("__slots__", "__dict__", "__weakref__")
"""What it has by being made."""

_names: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_known: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()


def reduced(cls: Any) -> tuple[Any, ...]:
    """A struct class as pickle takes objects apart.

    Examples
    --------
    >>> class Point(msgspec.Struct):
    ...     x: int
    ...     y: int = 0
    >>> make, arguments, *_ = reduced(Point)
    >>> arguments[2], arguments[4]["__annotations__"], arguments[5]
    ('Point', {'x': 'int', 'y': 'int'}, {'y': {'default': 0}})
    >>> make(*arguments) is Point
    True
    """
    annotations = inspect.get_annotations(cls)
    namespace = {name: value for name, value in vars(cls).items() if name in AT_BIRTH}
    namespace |= {"__qualname__": cls.__qualname__, "__annotations__": annotations}
    later = {name: value for name, value in vars(cls).items() if _is_filled_in(name, value, namespace)}
    fields = {name: default for name, default in _defaults(cls).items() if name in annotations}
    what = (_name_of(cls), type(cls), cls.__name__, cls.__bases__, namespace)
    return made, (*what, fields, _options(cls, annotations)), later, None, None, fill


def made(
    name: str,
    meta: Any,
    title: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    fields: dict[str, dict[str, Any]],
    options: dict[str, Any],
) -> Any:
    """The class of that name, which is made unless it is here."""
    found = _known.get(name)
    if found is None:
        defaults = {field: msgspec.field(**default) for field, default in fields.items()}
        found = meta(title, bases, namespace | defaults, **options)
        _names[found], _known[name] = name, found
    return found


def fill(cls: type, later: dict[str, Any]) -> None:
    """Give a class what it lacks: nothing, if it was here already."""
    for name, value in later.items():
        if name not in vars(cls):
            setattr(cls, name, value)


def _name_of(cls: type) -> str:
    name = _names.get(cls)
    if name is None:
        name = _names[cls] = uuid.uuid4().hex
        _known[name] = cls
    return name


def _is_filled_in(name: str, value: object, namespace: dict[str, Any]) -> bool:
    if name in namespace or name in MADE or name.startswith("__annot"):
        return False
    return not inspect.ismemberdescriptor(value)


def _defaults(cls: Any) -> dict[str, dict[str, Any]]:
    """The default of each field that has one, as `msgspec.field` takes it."""
    fields, defaults = cls.__struct_fields__, cls.__struct_defaults__
    pairs = zip(fields[len(fields) - len(defaults) :], defaults, strict=True)
    return {name: _default(value) for name, value in pairs if value is not msgspec.NODEFAULT}


def _default(value: Any) -> dict[str, Any]:
    """Where a class body says how to make a default, the class has an object with a ``factory``."""
    if type(value).__module__.startswith("msgspec.") and hasattr(value, "factory"):
        return {"default_factory": value.factory}
    return {"default": value}


def _options(cls: Any, annotations: dict[str, Any]) -> dict[str, Any]:
    config = cls.__struct_config__
    options = {name: getattr(config, name) for name in dir(config) if not name.startswith("_")}
    if options["tag"] is None:
        options["tag"] = False
    renamed = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    options["rename"] = {name: other for name, other in renamed if name in annotations}
    by_name = set(cls.__struct_fields__) - set(cls.__match_args__)
    return {**options, "kw_only": not by_name.isdisjoint(annotations)}
