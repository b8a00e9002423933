"""Everything that can go wrong, as one tree.

::

    CloudburstError
    ├── FunctionNotFound        no function of that name is registered
    ├── DagNotFound             no DAG of that name is registered
    ├── DagExists               a DAG of that name exists and replace=False
    ├── InvalidName             empty, not a string, or over 255 bytes of UTF-8
    ├── InvalidDag              a cycle, a second sink, no node, an unknown node, a function named twice
    ├── KeyNotFound             (a KeyError) the store has no such key
    ├── SerializationError      a value cannot travel; the message names it, and its type
    ├── CallTimeout             (a TimeoutError) no result within the time asked for
    ├── CallCancelled           the call was cancelled
    ├── ExecutorLost            the executor died, and the retries are spent
    ├── NoResources             nothing here can run this (a GPU function, and no GPU)
    ├── ConsistencyError        the level is unknown, or cannot be kept
    ├── LatticeMismatch         (a TypeError) a put with another lattice type than the key has
    ├── StorageError            what is on disk cannot be written or read
    │   └── StorageFull         there is no room on the disk, or no more than was allowed
    └── RuntimeUnavailable      no runtime answers; the message has the address and what to do

``definite`` says what a caller may conclude: ``True`` means that what was asked for surely did *not*
take effect, ``False`` that it may have (the writes of a call that timed out may be in the store).
"""

from __future__ import annotations

from typing import ClassVar

NAME_BYTES_MAX = 255


class CloudburstError(Exception):
    """The root of this project's errors.

    Attributes
    ----------
    definite
        True if the failed operation surely had no effect; False if it may have had.
    """

    definite: bool = True


class FunctionNotFound(CloudburstError):
    """No function of that name is registered."""


class DagNotFound(CloudburstError):
    """No DAG of that name is registered."""


class DagExists(CloudburstError):
    """A DAG of that name is registered already, and it was not to be replaced."""


class InvalidName(CloudburstError):
    """A name of a function, DAG or key that is empty, not a string, or over 255 bytes of UTF-8."""


class InvalidDag(CloudburstError):
    """The functions and edges do not make a DAG with one sink; the message shows why."""


class KeyNotFound(CloudburstError, KeyError):
    """The store has no value under that key."""

    def __str__(self) -> str:  # KeyError would print the repr
        return Exception.__str__(self)


class SerializationError(CloudburstError):
    """A value cannot travel between processes; the message names it and its type."""


class CallTimeout(CloudburstError, TimeoutError):
    """No result within the time asked for. The call may have run."""

    definite = False


class CallCancelled(CloudburstError):
    """The call was cancelled. It may have run in part."""

    definite = False


class ExecutorLost(CloudburstError):
    """The executor that ran the call died, and the retries are spent. The call may have run."""

    definite = False


class NoResources(CloudburstError):
    """No executor here has what the function needs."""


class ConsistencyError(CloudburstError):
    """The consistency level is unknown or cannot be kept."""


class LatticeMismatch(CloudburstError, TypeError):
    """A value of one lattice type was put under a key that holds another."""


class StorageError(CloudburstError):
    """What is on disk cannot be written or read. A change that could not be written may show for a moment."""

    definite = False


class StorageFull(StorageError):
    """There is no room for this on the disk, or ``disk_limit`` allows no more. What was there is intact."""


class RuntimeUnavailable(CloudburstError):
    """No runtime answers; the message has the address and what to do about it."""

    definite = False


class RemoteTraceback(Exception):
    """The traceback of an exception in another process: the ``__cause__`` of the exception raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


class ErrorKinds:
    """The classes by name: how an error of this tree crosses the wire."""

    by_name: ClassVar[dict[str, type[CloudburstError]]] = {
        kind.__name__: kind
        for kind in (
            CloudburstError,
            FunctionNotFound,
            DagNotFound,
            DagExists,
            InvalidName,
            InvalidDag,
            KeyNotFound,
            SerializationError,
            CallTimeout,
            CallCancelled,
            ExecutorLost,
            NoResources,
            ConsistencyError,
            LatticeMismatch,
            StorageError,
            StorageFull,
            RuntimeUnavailable,
        )
    }

    @classmethod
    def revive(cls, kind: str, message: str) -> CloudburstError:
        """The exception for a failure that crossed the wire as (kind, message)."""
        return cls.by_name.get(kind, CloudburstError)(message)


def check_name(name: object, what: str) -> str:
    """Return ``name`` if it may name a function, DAG or key (``what``), else raise `InvalidName`.

    Examples
    --------
    >>> check_name("square", "function")
    'square'
    >>> check_name("", "function")
    Traceback (most recent call last):
        ...
    cloudburst_runtime.errors.InvalidName: a function's name must not be empty
    """
    if not isinstance(name, str):
        raise InvalidName(f"a {what}'s name must be a string, not {type(name).__name__}: {name!r:.80}")
    if not name:
        raise InvalidName(f"a {what}'s name must not be empty")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName(f"a {what}'s name must be valid Unicode: {name!r:.80}") from None
    if size > NAME_BYTES_MAX:
        raise InvalidName(
            f"a {what}'s name may have {NAME_BYTES_MAX} bytes; this one has {size}: {name:.40}…"
        )
    return name
