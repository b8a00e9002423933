"""The one door from the magics to the client, so that tests can put a fake behind it.

Law: nothing here starts a runtime; what is called on the other side may.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any


def api() -> Any:
    """The package that users import as ``cb``."""
    return importlib.import_module("cloudburst_nb")


def is_handle(value: object) -> bool:
    """Whether ``value`` is a cloud function or cloud class: it has a name, a version and the raw object.

    Attributes are looked up statically: an object of the user's must not run code for being asked.
    """
    if isinstance(value, type):
        return False
    missing = object()
    parts = ("name", "version", "raw")
    return all(inspect.getattr_static(value, part, missing) is not missing for part in parts)


def is_api(value: object) -> bool:
    """Whether ``value`` is the package, or a client."""
    package = sys.modules.get("cloudburst_nb")
    return package is not None and (value is package or type(value) is package.Client)


def is_node(value: object) -> bool:
    """Whether ``value`` may stand in a DAG expression or be called: anything that the client made."""
    return is_handle(value) or type(value).__module__.partition(".")[0] == "cloudburst_nb"
