"""The client's methods as functions of the package, on the runtime of this process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

from cloudburst_nb import runtimes
from cloudburst_nb.client import Client
from cloudburst_nb.reference import CloudburstReference

T = TypeVar("T")


def _bound(method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> T:
        return method(runtimes.ensure(), *args, **kwargs)

    call.__wrapped__ = MethodType(method, Client)  # its signature has no self
    return call


def ref(key: str) -> CloudburstReference:
    """A reference: as an argument it becomes the value of its key, once that exists.

    Raises
    ------
    InvalidName
        If that is no name of a key.

    Examples
    --------
    >>> cb.put("side", 9)
    >>> square(cb.ref("side")).get()
    81
    """
    return CloudburstReference(key)


add_store = _bound(Client.add_store)
replicate = _bound(Client.replicate)
as_completed = _bound(Client.as_completed)
builder = _bound(Client.builder)
browse = _bound(Client.browse)
dag = _bound(Client.dag)
dags = _bound(Client.dags)
delete = _bound(Client.delete)
delete_dag = _bound(Client.delete_dag)
functions = _bound(Client.functions)
gather = _bound(Client.gather)
get = _bound(Client.get)
get_dag = _bound(Client.get_dag)
get_function = _bound(Client.get_function)
history = _bound(Client.history)
keys = _bound(Client.keys)
progress = _bound(Client.progress)
put = _bound(Client.put)
remove_store = _bound(Client.remove_store)
session = _bound(Client.session)
status = _bound(Client.status)
stores = _bound(Client.stores)
wait = _bound(Client.wait)
