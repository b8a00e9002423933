"""Stateful functions-as-a-service for the Jupyter notebook.

    >>> import cloudburst_nb as cb
    >>> @cb.function
    ... def square(x):
    ...     return x * x
    >>> square(3).get()                                   # doctest: +SKIP
    9

The first use starts a runtime on this machine; `up` starts one with other settings, `connect` uses one that
runs already, `down` ends it. Every function here that concerns a runtime is also a method of `Client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudburst_nb import errors
from cloudburst_nb.client import Client
from cloudburst_nb.enums import Consistency, ErrorCode
from cloudburst_nb.function import CloudClass, CloudFunction
from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.latency import Summary, summary
from cloudburst_nb.lattices import check_laws, lattice
from cloudburst_nb.making import function
from cloudburst_nb.module import (
    add_store,
    as_completed,
    browse,
    builder,
    dag,
    dags,
    delete,
    delete_dag,
    functions,
    gather,
    get,
    get_dag,
    get_function,
    history,
    keys,
    progress,
    put,
    ref,
    remove_store,
    replicate,
    session,
    status,
    stores,
    wait,
)
from cloudburst_nb.pipeline import Dag
from cloudburst_nb.reference import CloudburstReference
from cloudburst_nb.runtimes import running
from cloudburst_nb.sessions import Session
from cloudburst_nb.starting import connect, down, up

if TYPE_CHECKING:
    from cloudburst_nb import plots as plots
    from cloudburst_nb.compat import CloudburstConnection
    from cloudburst_nb.records.again import replay
    from cloudburst_nb.records.recording import record

__version__ = "0.1.0"

__all__ = [
    "Client",
    "CloudClass",
    "CloudFunction",
    "CloudburstConnection",
    "CloudburstFuture",
    "CloudburstReference",
    "Consistency",
    "Dag",
    "ErrorCode",
    "Session",
    "Summary",
    "add_store",
    "as_completed",
    "browse",
    "builder",
    "check_laws",
    "connect",
    "dag",
    "dags",
    "delete",
    "delete_dag",
    "down",
    "errors",
    "function",
    "functions",
    "gather",
    "get",
    "get_dag",
    "get_function",
    "history",
    "keys",
    "lattice",
    "progress",
    "put",
    "record",
    "ref",
    "remove_store",
    "replay",
    "replicate",
    "running",
    "session",
    "status",
    "stores",
    "summary",
    "up",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name == "CloudburstConnection":
        from cloudburst_nb.compat import CloudburstConnection

        return CloudburstConnection
    if name in ("record", "replay"):
        import importlib

        module = {"record": "recording", "replay": "again"}[name]
        return getattr(importlib.import_module(f"cloudburst_nb.records.{module}"), name)
    if name == "plots":  # with matplotlib, which need not be loaded for anything else
        import importlib

        return importlib.import_module("cloudburst_nb.plots")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext cloudburst_nb``: the magics."""
    from cloudburst_kernel.magics import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext cloudburst_nb``."""
    from cloudburst_kernel.magics import unload_ipython_extension as unload

    unload(ipython)
