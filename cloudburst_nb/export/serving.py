"""An exported package, loaded and registered with a runtime, without Jupyter.

Law: what is registered is what the package's modules define; the manifest says under which name and how.
Modules of the package travel by value, so executors and other clients need not have it.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cloudburst_nb.export.package import FORMAT, MANIFEST
from cloudburst_nb.headless.errors import UsageError
from cloudburst_nb.packaging import pack
from cloudburst_runtime.messages import DagNode, DagSpec
from cloudburst_runtime.values import Value

if TYPE_CHECKING:
    from cloudburst_nb.client import Client


class Package(NamedTuple):
    """A loaded package: its manifest, and each function's object by name."""

    manifest: dict[str, Any]
    objects: dict[str, Any]
    modules: list[types.ModuleType]
    inits: dict[str, tuple[tuple[Any, ...], dict[str, Any]]]


def load(directory: str | os.PathLike[str]) -> Package:
    """Load an exported package.

    Raises
    ------
    UsageError
        If it is none, of another format, or a module of it does not load.
    """
    folder = Path(directory).absolute()
    manifest = _manifest(folder)
    package = _import(folder)
    functions = manifest["functions"]
    modules = {
        name: sys.modules[f"{package}.functions.{entry['module']}"] for name, entry in functions.items()
    }
    load_value = sys.modules[f"{package}._values"].load
    return Package(
        manifest,
        {name: getattr(modules[name], entry["attribute"]) for name, entry in functions.items()},
        list(modules.values()),
        {name: load_value(entry["init"]) for name, entry in functions.items() if entry["init"]},
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: no exported package: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: it cannot be read: {error}") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise UsageError(
            f"{path}: format {found}, and this version reads {FORMAT}: export the notebook again"
        )
    return dict(manifest)


def _import(folder: Path) -> str:
    """Import the package and all its modules under the folder's name, whatever ``sys.path`` says."""
    name = folder.name
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise UsageError(f"{folder}: it cannot be imported")
    for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        if _lies_elsewhere(sys.modules[loaded], folder):
            raise UsageError(f"{folder}: another module called {name} is loaded; rename the folder")
        del sys.modules[loaded]
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        importlib.import_module(f"{name}._values")
        for path in sorted((folder / "functions").glob("[!_]*.py")):
            importlib.import_module(f"{name}.functions.{path.stem}")
    except Exception as error:
        raise UsageError(f"{folder}: it does not load here: {type(error).__name__}: {error}") from error
    return name


def _lies_elsewhere(module: types.ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is None or folder not in Path(file).absolute().parents


def register(client: Client, package: Package) -> list[str]:
    """Register the functions and DAGs of a package; their names.

    Examples
    --------
    >>> register(client, load("digits"))  # doctest: +SKIP
    ['preprocess', 'vote', 'digits']
    """
    for name, entry in package.manifest["functions"].items():
        packed = pack(
            package.objects[name],
            name,
            source=entry["source"],
            library=entry["library"],
            init=package.inits.get(name),
            values=package.modules,
            **entry["options"],
        )
        client.register(packed)
    for name, entry in package.manifest["dags"].items():
        client.define_dag(_dag(name, entry))
    return [*package.manifest["functions"], *package.manifest["dags"]]


def _dag(name: str, entry: dict[str, Any]) -> DagSpec:
    nodes = [
        DagNode(
            node["function"],
            None if node["invalid"] is None else [_value(text) for text in node["invalid"]],
            node["gpu"],
            node["batching"],
        )
        for node in entry["nodes"]
    ]
    return DagSpec(name, nodes, [(source, target) for source, target in entry["edges"]], entry["colocated"])


def _value(text: str) -> Value:
    return msgspec.msgpack.decode(base64.b64decode(text), type=Value)
