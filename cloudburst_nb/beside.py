"""The modules that lie beside the notebook: they travel by value, as the file says now.

Law: this module finds them, and brings an edited one up to date; it does not know what is packed.

Executors live longer than an edit of ``helpers.py``, so a module that the user edits must not be imported
there once and for all. What lies under the working directory, or beside the notebook or script, and is
not installed (standard library, site-packages, a virtual environment, this project) is taken along.

When a function is registered, each such module that it reaches, and whose file changed since the import,
is executed again, in place, in the way of ``importlib.reload``; but from the source, as the bytecode
cache cannot tell two versions of one size and second. Then each name in the notebook or in another such
module that was bound to a function or class of the old version is bound to the new one, so that
``from helpers import f`` follows the edit too. Constants that were imported by name do not.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
import types
from collections.abc import Iterable
from typing import Any, NamedTuple

from cloudburst_runtime.errors import SerializationError
from cloudburst_runtime.values import BY_VALUE

from .capturing import survey

OURS = ("cloudburst_nb", "cloudburst_runtime", "cloudburst_kernel")
INSTALLED_PARTS = ("site-packages", "dist-packages")
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


class _Stamp(NamedTuple):
    """What the file of a module looked like when the module was last executed."""

    mtime_ns: int
    size: int
    digest: bytes


_stamps: dict[str, _Stamp] = {}
_asked_for: dict[str, types.ModuleType] = {}


def refresh(target: Any, modules: Iterable[types.ModuleType] = ()) -> Any:
    """Find the modules that travel by value, bring them up to date, and make them known to `BY_VALUE`.

    Parameters
    ----------
    target
        What is about to be packed.
    modules
        Further modules that shall travel by value from now on.

    Returns
    -------
    object
        The target, or what stands in its place in a module that was executed again.

    Raises
    ------
    SerializationError
        If an edited module cannot be executed; it then is as it was before.
    """
    for module in modules:
        if not isinstance(module, types.ModuleType):
            raise TypeError(f"only modules can be made to travel by value, not {type(module).__name__}")
        _asked_for[module.__name__] = module
    found = beside_modules()
    BY_VALUE.set(found)
    edited = [module for module in found if _was_edited(module)]
    # The last imported comes first: a module is executed before those that import it.
    for module in reversed(_reached(target, found) if edited else []):
        if module not in edited:
            continue
        replaced = _execute_again(module)
        _rebind(replaced, _namespaces(target, found))
        target = replaced.get(id(target), (target, target))[1]
    return target


def beside_modules() -> list[types.ModuleType]:
    """The loaded modules that travel by value, in the order of their import.

    Examples
    --------
    >>> import json
    >>> json in beside_modules()
    False
    """
    roots, installed = _roots(), _installed()
    found = []
    for name, module in list(sys.modules.items()):
        if name == "__main__" or _fact(module, "__name__") != name:
            continue
        if name in _asked_for or (name.partition(".")[0] not in OURS and _lies_in(module, roots, installed)):
            found.append(module)
    return found


def _fact(module: object, name: str) -> Any:
    """An attribute that a module surely has by now: asking a lazy module would import it."""
    return (
        object.__getattribute__(module, "__dict__").get(name)
        if isinstance(module, types.ModuleType)
        else None
    )


def _lies_in(module: types.ModuleType, roots: list[str], installed: list[str]) -> bool:
    path = _fact(module, "__file__")
    if not isinstance(path, str) or not path.endswith(".py"):
        return False
    path = os.path.abspath(path)
    root = next((root for root in roots if path.startswith(root)), None)
    if root is None or any(part in path.split(os.sep) for part in INSTALLED_PARTS):
        return False
    if any(path.startswith(prefix) for prefix in installed if not root.startswith(prefix)):
        return False
    return not _in_environment(os.path.dirname(path), root)


def _in_environment(folder: str, root: str) -> bool:
    """True if a virtual environment lies between the root and this folder of it."""
    while len(folder) + 1 > len(root):
        if any(os.path.exists(os.path.join(folder, mark)) for mark in ENVIRONMENT_MARKS):
            return True
        folder = os.path.dirname(folder)
    return False


def _roots() -> list[str]:
    """The folders, each with a closing separator, that count as beside the notebook."""
    main = sys.modules.get("__main__")
    folders = []
    with contextlib.suppress(FileNotFoundError):  # the working directory was removed
        folders.append(os.getcwd())
    callers = _fact(main, "__file__"), _fact(main, "__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")
    folders += [os.path.dirname(c) for c in callers if isinstance(c, str) and os.path.isabs(c)]
    folders += [os.path.realpath(folder) for folder in folders]
    roots = dict.fromkeys(os.path.join(folder, "") for folder in folders)
    libraries = _libraries()  # where a launcher lies (python -m ipykernel)
    return [root for root in roots if not any(root.startswith(library) for library in libraries)]


@functools.cache
def _libraries() -> list[str]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [os.path.join(path, "") for path in dict.fromkeys([*paths, *site.getsitepackages()]) if path]


def _installed() -> list[str]:
    return [*_libraries(), os.path.join(sys.prefix, ""), os.path.join(sys.base_prefix, "")]


# ---------------------------------------------------------------- edits


def _reached(target: object, found: list[types.ModuleType]) -> list[types.ModuleType]:
    """Those of the modules that what ``target`` carries along comes from, in the order of ``found``."""
    modules = {module.__name__: module for module in found}
    pending = [target, *(variable.value for variable in survey(target).variables)]
    reached: dict[str, None] = {}
    while pending:
        part = pending.pop()
        name = _home(part)
        if name in modules and name not in reached:
            reached[name] = None
            pending.extend(vars(modules[name]).values())
    return [module for module in found if module.__name__ in reached]


def _home(part: object) -> str:
    """The module that a module, function, class or instance comes from."""
    if isinstance(part, types.ModuleType):
        return part.__name__
    owner = part if isinstance(part, types.FunctionType | type) else type(part)
    return str(owner.__module__)


def _was_edited(module: types.ModuleType) -> bool:
    # Only what the plain loader made: a test runner's or a debugger's loader makes other code of it.
    if type(getattr(_fact(module, "__spec__"), "loader", None)) is not importlib.machinery.SourceFileLoader:
        return False
    path = str(module.__file__)
    known = _stamps.get(module.__name__)
    try:
        status = os.stat(path)
        if known is not None and known[:2] == (status.st_mtime_ns, status.st_size):
            return False
        stamp = _stamp(path, status)
    except OSError:  # the file is gone: what was imported is all there is
        return False
    edited = known.digest != stamp.digest if known is not None else _bytecode_is_older(module, status)
    if not edited:
        _stamps[module.__name__] = stamp
    return edited


def _stamp(path: str, status: os.stat_result) -> _Stamp:
    with open(path, "rb") as file:
        return _Stamp(status.st_mtime_ns, status.st_size, hashlib.blake2b(file.read()).digest())


def _bytecode_is_older(module: types.ModuleType, status: os.stat_result) -> bool:
    """True if the bytecode that the import left behind was made from another version of the file."""
    try:
        with open(str(module.__cached__), "rb") as file:
            header = file.read(16)
    except (OSError, AttributeError):
        return False
    if len(header) < 16 or int.from_bytes(header[4:8], "little"):  # named by hash, not by time
        return False
    made_of = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return made_of != (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)


def _execute_again(module: types.ModuleType) -> dict[int, tuple[Any, Any]]:
    """Execute a module's file in place; return its old functions and classes by id, with the new ones."""
    path = str(module.__file__)
    before = dict(vars(module))
    try:
        stamp = _stamp(path, os.stat(path))
        with open(path, "rb") as file:
            source = importlib.util.decode_source(file.read())
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        vars(module).clear()
        vars(module).update(before)
        if not isinstance(error, Exception):
            raise
        raise SerializationError(
            f"module {module.__name__!r} ({path}) was edited since it was imported, and cannot be "
            f"imported again: {type(error).__name__}: {error}"
        ) from error
    _stamps[module.__name__] = stamp
    return {
        id(old): (old, vars(module)[name])
        for name, old in before.items()
        if isinstance(old, types.FunctionType | type)
        and old.__module__ == module.__name__
        and vars(module).get(name, old) is not old
    }


def _rebind(replaced: dict[int, tuple[Any, Any]], namespaces: list[dict[str, Any]]) -> None:
    for namespace in namespaces:
        for name, value in list(namespace.items()):
            if id(value) in replaced:
                namespace[name] = replaced[id(value)][1]


def _namespaces(target: Any, modules: list[types.ModuleType]) -> list[dict[str, Any]]:
    """Where names may be bound to functions of an edited module: the notebook, and modules beside it."""
    parts = [target, *(variable.value for variable in survey(target).variables)]
    parts += [member for part in parts if isinstance(part, type) for member in vars(part).values()]
    spaces = [part.__globals__ for part in parts if isinstance(part, types.FunctionType)]
    spaces += [vars(module) for module in (sys.modules.get("__main__"), *modules) if module is not None]
    return list({id(space): space for space in spaces if _is_ours(space, modules)}.values())


def _is_ours(space: dict[str, Any], modules: list[types.ModuleType]) -> bool:
    name = space.get("__name__")
    return name == "__main__" or any(name == module.__name__ for module in modules)
