"""What a function is made of, as a digest: whether one that is registered again is unchanged.

Law: equal digests mean that the two do the same; where that cannot be known, there is none. So nothing of
what travels is passed over: code, and all that it refers to and that travels with it. Pickles are not
compared (see `content`), and what says only where code stands, as line numbers and file names do, does not
count.

What is imported on the other side counts by its name, as it travels.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from cloudburst_nb.capturing import GLOBAL_READS, beside, by_reference, global_names, raw_of
from cloudburst_nb.content import Tree, Walk, digest_of, pack_tree
from cloudburst_nb.packaging import Packed

PARTS_MAX = 100_000
"""Of more parts than this, to look at which takes a second, nothing is known."""

OF_THE_PLACE = (
    "__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__",
    "_abc_impl",
)  # fmt: skip
"""What a class has that says nothing of what it does."""


def fingerprint(packed: Packed) -> str:
    """Equal for equal functions, with equal options; empty if not all that travels can be looked into.

    Examples
    --------
    >>> from cloudburst_nb.packaging import pack
    >>> def made(by):
    ...     def scale(x): return by * x
    ...     return fingerprint(pack(scale))
    >>> made(2) == made(2), made(2) == made(3)
    (True, False)
    """
    spec = packed.spec
    if packed.raw is None:  # only its pickle is here
        return ""
    walk = _Thorough()
    options = [
        spec.kind,
        spec.library,
        spec.library_init,
        spec.retries,
        spec.timeout,
        spec.batching,
        spec.gpu,
    ]
    try:
        tree = [options, spec.source, walk.tree(packed.raw), walk.tree(packed.init)]
    except (_Unknown, Exception):
        return ""
    return digest_of(pack_tree(tree))


class _Unknown(BaseException):
    """Something cannot be looked into; no ``except Exception`` of a pickling hook catches it."""


class _Thorough(Walk):
    """A pass that looks into all code that travels by value, and gives up where it cannot."""

    def __init__(self) -> None:
        super().__init__()
        self._met: dict[int, tuple[int, object]] = {}  # the object too: no other may get its identity
        self._count = 0

    def tree(self, value: Any) -> Tree:
        """The tree of one part; what was met before is named by when that was."""
        self._count += 1
        if self._count > PARTS_MAX:
            raise _Unknown
        if type(value) is float:
            return ["float", value.hex()]  # a zero with its sign
        if isinstance(value, str | bytes | int | tuple | None):
            return super().tree(value)
        value = raw_of(value)
        met = self._met.get(id(value))
        if met is not None:
            return ["again", met[0]]
        self._met[id(value)] = (len(self._met), value)
        return self._in_order(value) if type(value) is dict else super().tree(value)

    def _opaque(self, value: Any) -> Tree:
        raise _Unknown

    def _other(self, value: Any) -> Tree:
        special = next((look for kind, look in _LOOKS.items() if isinstance(value, kind)), None)
        return super()._other(value) if special is None else special(self, value)

    def _in_order(self, value: Any) -> Tree:
        return ["dict", [[self.tree(key), self.tree(part)] for key, part in value.items()]]

    def _function(self, value: types.FunctionType) -> Tree:
        names = [name for name in global_names(value.__code__, GLOBAL_READS) if name in value.__globals__]
        carried = {name: value.__globals__[name] for name in names}
        around = [self._named(each) for each in (carried, vars(value), value.__annotations__)]
        return [*super()._function(value), self._code(value.__code__), *around]

    def _code(self, code: types.CodeType) -> Tree:
        """What the digest of code leaves out."""
        inner = [self._code(each) for each in code.co_consts if isinstance(each, types.CodeType)]
        counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
        return [counts, list(code.co_freevars), list(code.co_cellvars), code.co_exceptiontable, inner]

    def _object(self, value: Any) -> Tree:
        return [super()._object(value), self.tree(type(value))]

    def _parts(self, maker: Any, args: Any, *state: Any) -> list[list[Tree]]:
        classes = [self.tree(part) for part in args if isinstance(part, type)]
        return [*super()._parts(maker, args, *state), ["classes", classes]]

    def _class(self, value: type) -> Tree:
        if by_reference(value):
            return super()._other(value)
        members = {name: part for name, part in vars(value).items() if name not in OF_THE_PLACE}
        bases = [self.tree(base) for base in (type(value), *value.__bases__)]
        return ["class", value.__qualname__, bases, self._named(members)]

    def _module(self, value: types.ModuleType) -> Tree:
        if not beside(value.__name__):
            return super()._other(value)
        return [
            "module",
            value.__name__,
            self._named({k: v for k, v in vars(value).items() if k[:2] != "__"}),
        ]

    def _member(self, value: Any) -> Tree:
        """A property, a static or class method, a cached function: its functions."""
        if by_reference(value):
            return super()._other(value)
        functions = [getattr(value, name, None) for name in ("fget", "fset", "fdel", "func", "__wrapped__")]
        limits = value.cache_parameters() if isinstance(value, functools._lru_cache_wrapper) else None
        return [type(value).__name__, [self.tree(each) for each in functions], self.tree(limits)]

    def _view(self, value: types.MappingProxyType[Any, Any]) -> Tree:
        return self._in_order(value)

    def _slot(self, value: Any) -> Tree:
        return ["slot", value.__name__]

    def _named(self, parts: Any) -> Tree:
        return [[name, self.tree(parts[name])] for name in sorted(parts)]


_LOOKS: dict[Any, Callable[[_Thorough, Any], Tree]] = {
    type: _Thorough._class,
    types.ModuleType: _Thorough._module,
    property | staticmethod | classmethod | functools.cached_property: _Thorough._member,
    functools._lru_cache_wrapper: _Thorough._member,
    types.MappingProxyType: _Thorough._view,
    types.MemberDescriptorType | types.GetSetDescriptorType: _Thorough._slot,
}
