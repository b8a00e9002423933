"""A notebook's functions and DAGs as a Python package: what lies in which file, and how it is written.

Law: the package is whole or not there: it is made in a folder beside the target, which then takes its
place. Modules and data are named in one manifest, which `serving` reads.

::

    digits/
      __init__.py          the functions, importable; plain Python, no runtime needed
      manifest.json        functions with signature, version, options; DAGs; where it all comes from
      functions/square.py  one module a function, with all that the function captured
      data/…               what could not be written as text, pickled, each value once, by its hash
      _values.py           how the modules load that
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import keyword
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cloudburst_nb import runtimes
from cloudburst_nb.export.text import FUTURE, LOADER, Module, module_of
from cloudburst_nb.headless.errors import UsageError
from cloudburst_nb.pickling import dump
from cloudburst_runtime import values
from cloudburst_runtime.messages import DagSpec

if TYPE_CHECKING:
    from cloudburst_nb.function import CloudFunction

FORMAT = 1
MANIFEST = "manifest.json"

_VALUES = '''"""What functions of this package captured and no text can say: pickles, by their hash."""

import pickle
from pathlib import Path

_FOLDER = Path(__file__).parent / "data"


def load(digest):
    """The value with that hash."""
    with open(_FOLDER / f"{digest}.pickle", "rb") as file:
        return pickle.load(file)
'''


def write(directory: str | os.PathLike[str], origin: str = "") -> list[str]:
    """Write the functions and DAGs of this process as a package; its runtime may have ended.

    Parameters
    ----------
    directory
        The package; its name is what is imported. An earlier export in its place is replaced.
    origin
        Where the functions come from, for people: a notebook's name.

    Returns
    -------
    list of str
        A line for each thing that a reader should know: what had to be kept pickled, and why.

    Raises
    ------
    UsageError
        If the directory cannot be such a package, or there is nothing to write.
    """
    target = Path(directory).absolute()
    check(target)
    functions = {name: made for name, made in sorted(runtimes.state.known.items()) if made.raw is not None}
    if not functions:
        raise UsageError(f"{origin or 'the notebook'} registers no function: there is nothing to export")
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        notes = _Writing(made).all(functions, dict(sorted(runtimes.state.dags.items())), origin)
        _replace(target, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return notes


def attempt(directory: str, origin: str) -> str:
    """`write`, for a process that waits for a word on it: JSON with what it says, or why it was refused."""
    try:
        return json.dumps({"notes": write(directory, origin), "refused": []})
    except OSError as error:
        return json.dumps({"notes": [], "refused": [f"{directory}: not written: {error.strerror or error}"]})
    except UsageError as error:
        return json.dumps({"notes": [], "refused": [str(error)]})


def check(target: Path) -> None:
    """Refuse a target that is no place for a package."""
    name = target.name
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{target}: a package is imported by its folder's name, and {name!r} is no name")
    if target.exists() and not (target / MANIFEST).is_file() and not _is_empty(target):
        raise UsageError(f"{target}: it exists, and is no earlier export; choose another folder")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _replace(target: Path, made: Path) -> None:
    old = made.with_name(made.name + ".old")
    with contextlib.suppress(FileNotFoundError):
        os.rename(target, old)
    made.chmod(0o755)
    os.rename(made, target)
    shutil.rmtree(old, ignore_errors=True)


class _Writing:
    """One package being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self.modules: dict[str, str] = {}

    def all(self, functions: dict[str, CloudFunction], dags: dict[str, DagSpec], origin: str) -> list[str]:
        for part in ("functions", "data"):
            (self.folder / part).mkdir()
        described = {name: self.function(made) for name, made in functions.items()}
        missing = {node.function for spec in dags.values() for node in spec.nodes} - functions.keys()
        if missing:
            raise UsageError(f"the code of {', '.join(sorted(missing))} is not in this notebook")
        manifest = {
            "format": FORMAT,
            "origin": origin,
            "python": platform.python_version(),
            "packages": _packages(self.modules),
            "functions": described,
            "dags": {name: self.dag(spec) for name, spec in dags.items()},
        }
        self._file(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        self._file("_values.py", _VALUES)
        self._file("functions/__init__.py", '"""One module a function."""\n')
        self._file("__init__.py", _front(manifest))
        return self.notes

    def function(self, made: CloudFunction) -> dict[str, Any]:
        """Write a function's module; its entry in the manifest."""
        spec = made._current_packed().spec
        loaded = _loads(spec.payload)
        raw, *init = loaded if spec.kind == "class" else (loaded,)
        module = module_of(raw, made.source)
        if module.reason:
            self.notes.append(f"{spec.name} is kept pickled: {module.reason}")
        stem = self._stem(spec.name)
        self.modules[stem] = module.text
        self._file(f"functions/{stem}.py", self._module(spec.name, module))
        return {
            "module": stem,
            "attribute": module.attribute,
            "kind": spec.kind,
            "signature": spec.signature,
            "version": made._version,
            "source": spec.source,
            "source_sha256": hashlib.sha256(spec.source.encode()).hexdigest(),
            "pickled": module.reason,
            "library": spec.library,
            "init": self._keep(tuple(init)) if init else None,
            "options": {
                "retries": spec.retries,
                "timeout": spec.timeout,
                "batching": spec.batching,
                "gpu": spec.gpu,
            },
        }

    def _module(self, name: str, module: Module) -> str:
        about = f'"""The function {name!r}'
        if module.reason:
            about += f", kept as a pickle: {module.reason}"
        text = module.text
        for kept, value in module.kept.items():
            text = text.replace(f"{LOADER}({kept!r})", f"{LOADER}({self._keep(value)!r})")
        loader = f"from .._values import load as {LOADER}\n\n" if module.kept else ""
        head = f'{about}."""\n\n' + (FUTURE if module.future else "") + loader
        return head + text.removeprefix("\n") if head.endswith("\n\n") else head + text

    def _keep(self, value: object) -> str:
        """Write a value as data, once; its hash."""
        data = dump(value)
        digest = hashlib.sha256(data).hexdigest()[:32]
        self._file(f"data/{digest}.pickle", data)
        return digest

    def _stem(self, name: str) -> str:
        """A module's name for a function's, which may be any string."""
        stem = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
        stem = stem if stem.isidentifier() and not keyword.iskeyword(stem) else f"f_{stem}"
        while stem in self.modules:
            stem += "_"
        return stem

    @staticmethod
    def dag(spec: DagSpec) -> dict[str, Any]:
        """A DAG's entry in the manifest."""
        return {
            "nodes": [
                {
                    "function": node.function,
                    "gpu": node.gpu,
                    "batching": node.batching,
                    "invalid": None
                    if node.invalid is None
                    else [base64.b64encode(msgspec.msgpack.encode(value)).decode() for value in node.invalid],
                }
                for node in spec.nodes
            ],
            "edges": [list(edge) for edge in spec.edges],
            "colocated": spec.colocated,
        }

    def _file(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(data)


def _loads(payload: bytes) -> Any:
    return values.decode(values.Value(payload))


def _front(manifest: dict[str, Any]) -> str:
    """The package's ``__init__``: its functions by name."""
    plain = {
        name: entry
        for name, entry in manifest["functions"].items()
        if name.isidentifier() and not keyword.iskeyword(name)
    }
    imports = "".join(
        f"from .functions.{entry['module']} import {entry['attribute']}"
        + ("" if entry["attribute"] == name else f" as {name}")
        + "\n"
        for name, entry in plain.items()
    )
    dags = ", ".join(manifest["dags"]) or "none"
    return (
        f'"""Functions of {manifest["origin"] or "a notebook"}, exported by cloudburst-nb.\n\n'
        f"They are plain Python here. As cloud functions, with the DAGs ({dags}):\n\n"
        f'    cloudburst-nb serve DIRECTORY\n"""\n\n'
        f"{imports}\n__all__ = {sorted(plain)!r}\n"
    )


def _packages(modules: dict[str, str]) -> dict[str, str]:
    """The installed distributions that the modules import, with their versions."""
    import ast
    from importlib import metadata

    names = set()
    for text in modules.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").partition(".")[0])
    providers = metadata.packages_distributions()
    found = sorted(
        {provider for name in names - sys.stdlib_module_names for provider in providers.get(name, [])}
    )
    return {provider: metadata.version(provider) for provider in found}
