"""Everything that can go wrong, as one tree; see `cloudburst_runtime.errors` for the drawing.

What a function itself raises arrives as its own type, with the remote traceback (a `RemoteTraceback`) as
its cause. The classes here are for everything else, and ``definite`` says of each whether what was asked for
surely did not happen (True), or may have happened (False). `ErrorKinds` lists them by name.

Examples
--------
Names and definitions:

>>> cb.get_function("squire")
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.FunctionNotFound: ...
>>> cb.get_dag("no such DAG")
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.DagNotFound: ...
>>> cb.put("", 1)
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.InvalidName: a key's name must not be empty
>>> cb.dag("pipe", functions=["square"], edges=[("square", "square")])
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.InvalidDag: ...
>>> pipe = cb.dag("pipe", square)
>>> cb.dag("pipe", square, replace=False)
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.DagExists: ...

The store:

>>> cb.get("no such key")
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.KeyNotFound: there is no key 'no such key' in the store
>>> cb.put("names", {"Ada"})
>>> cb.put("names", 1, lattice="counter")
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.LatticeMismatch: key 'names' holds a 'set' lattice, and a 'counter' value ...
>>> square(3, consistency="strong")
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.ConsistencyError: ...

Calls:

>>> import os, threading, time
>>> square(threading.Lock())
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.SerializationError: argument 'x' of 'square' cannot be sent: ...
>>> nap = cb.function(lambda: time.sleep(60), name="nap")
>>> future = nap()
>>> future.get(timeout=0.01)
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.CallTimeout: 'nap' gave no result within 0.01 s; it goes on
>>> future.cancel()
True
>>> future.get()
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.CallCancelled: the call of 'nap' was cancelled
>>> suicide = cb.function(lambda: os.kill(os.getpid(), 9), name="suicide", retries=0)
>>> suicide().get()
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.ExecutorLost: ...
>>> client = cb.up(executors=2)
>>> cb.function(lambda: None, name="on_gpu", gpu=True)().get()
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.NoResources: ...

A disk without room:

>>> cb.down()
>>> client = cb.up(executors=2, store_memory=10_000_000, disk_limit=10_000_000)
>>> cb.put("too large for both", bytes(30_000_000))
Traceback (most recent call last):
    ...
cloudburst_runtime.errors.StorageFull: there is no room for this in ...

(`StorageFull` is a `StorageError`, as is a value that cannot be read because the disk is damaged.)

And the root of them, `CloudburstError`, catches what is not the function's own:

>>> cb.down()
>>> try:
...     square(3)
... except CloudburstError as error:
...     print(type(error).__name__, error.definite)
RuntimeUnavailable False
"""

from cloudburst_runtime.errors import (
    CallCancelled,
    CallTimeout,
    CloudburstError,
    ConsistencyError,
    DagExists,
    DagNotFound,
    ErrorKinds,
    ExecutorLost,
    FunctionNotFound,
    InvalidDag,
    InvalidName,
    KeyNotFound,
    LatticeMismatch,
    NoResources,
    RemoteTraceback,
    RuntimeUnavailable,
    SerializationError,
    StorageError,
    StorageFull,
)

__all__ = [
    "CallCancelled",
    "CallTimeout",
    "CloudburstError",
    "ConsistencyError",
    "DagExists",
    "DagNotFound",
    "ErrorKinds",
    "ExecutorLost",
    "FunctionNotFound",
    "InvalidDag",
    "InvalidName",
    "KeyNotFound",
    "LatticeMismatch",
    "NoResources",
    "RemoteTraceback",
    "RuntimeUnavailable",
    "SerializationError",
    "StorageError",
    "StorageFull",
]
