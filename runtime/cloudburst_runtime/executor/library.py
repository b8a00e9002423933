"""What a function sees as ``cloudburst``: the store, direct messages, and progress.

A function whose first parameter is named ``cloudburst`` gets one of these. Operations on the store that
the executor's cache can answer take microseconds; the others wait for Anna while the executor goes on
serving its sockets.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, overload

from cloudburst_runtime.config import waits_for_disk
from cloudburst_runtime.errors import ErrorKinds, SerializationError, check_name
from cloudburst_runtime.executor.printed import sendable
from cloudburst_runtime.lattices.custom import kind_of
from cloudburst_runtime.lattices.puts import added, element, grown
from cloudburst_runtime.lattices.wrap import reveal
from cloudburst_runtime.lattices.wrap import siblings as all_values
from cloudburst_runtime.messages import Failure
from cloudburst_runtime.seconds import to_wait
from cloudburst_runtime.values import Value, decode, decode_own, encode

if TYPE_CHECKING:
    from cloudburst_runtime.executor.core import ExecutorCore
    from cloudburst_runtime.executor.tasks import Task


class UserLibrary:
    """The user library of one running call.

    Parameters
    ----------
    core
        The executor's core; its cache is looked into directly, which is what makes a hot read cheap.
    perform
        Carries out an operation of ``(kind, arguments)`` and returns its result: blocks user code.
    pump
        Serves the executor's sockets until a condition holds, or for some seconds.

    Examples
    --------
    >>> def count(cloudburst, label):               # doctest: +SKIP
    ...     cloudburst.put("counts", {label: 1}, lattice="map[counter]")
    ...     return cloudburst.get("counts")
    """

    def __init__(
        self,
        core: ExecutorCore,
        perform: Callable[[str, tuple[Any, ...]], Any],
        pump: Callable[[Callable[[], bool], float | None], bool],
    ) -> None:
        self._core = core
        self._perform = perform
        self._pump = pump
        self._task: Task | None = None

    def _for(self, task: Task) -> UserLibrary:
        """This library, now serving ``task``."""
        self._task = task
        return self

    @property
    def _current(self) -> Task:
        if self._task is None:
            raise RuntimeError("the user library serves a function while it runs, not afterwards")
        return self._task

    # ------------------------------------------------------------ the store

    @overload
    def get(self, key: str, deserialize: bool = True, siblings: bool = False) -> Any: ...
    @overload
    def get(self, key: list[str], deserialize: bool = True, siblings: bool = False) -> dict[str, Any]: ...
    def get(self, key: str | list[str], deserialize: bool = True, siblings: bool = False) -> Any:
        """The value under a key, or a dict of values for a list of keys; None for a key that is missing.

        An array comes as a read-only view of what the cache holds.

        Parameters
        ----------
        key
            One key, or several.
        deserialize
            False gives the pickled bytes instead.
        siblings
            All values that were written side by side at a causal level, as a list, the latest first; the
            empty list for a key that is missing.

        Raises
        ------
        RuntimeUnavailable
            If the store is gone.
        ConsistencyError
            If the version that the call must read is no longer kept anywhere.
        """
        show = self._reveal_all if siblings else self._reveal
        if isinstance(key, str | bytes) or not isinstance(key, Iterable):
            return show(self._lookup([check_name(key, "key")])[0], deserialize, key)
        keys = [check_name(each, "key") for each in key]
        found = zip(keys, self._lookup(keys), strict=True)
        return {each: show(lattice, deserialize, each) for each, lattice in found}

    def _lookup(self, keys: list[str]) -> list[Any]:
        task, levels = self._current, self._core.operations.levels
        found = []
        for key in keys:
            entry = levels.peek(task, key)
            if entry is None:
                return list(self._do("read", keys))
            found.append(entry.lattice)
        task.hits += len(found)
        return found

    @staticmethod
    def _reveal(lattice: Any, deserialize: bool, key: str) -> Any:
        if lattice is None:
            return None
        return reveal(lattice, decode if deserialize else _as_pickle, key)

    @staticmethod
    def _reveal_all(lattice: Any, deserialize: bool, key: str) -> list[Any]:
        return [] if lattice is None else all_values(lattice, decode if deserialize else _as_pickle, key)

    def put(
        self, key: str, value: object, lattice: str | None = None, *, durability: str | None = None
    ) -> bool:
        """Merge a value into a key; it is in the store when this returns True.

        Parameters
        ----------
        key
            1 to 255 bytes of UTF-8.
        value
            Wrapped in a lattice: a set becomes a set lattice, an instance of a class that was made a
            lattice stays one, anything else is last-writer-wins, or causal at a causal level.
        lattice
            How writes merge: ``"lww" "causal" "set" "ordered-set" "max" "min" "bool" "grow" "counter"
            "priority" "clock" "map"``, or nested, as ``"map[counter]"``.
        durability
            ``"disk"``: return when it is on disk, which needs a runtime with a ``state_dir``; ``"memory"``:
            when the store has it; None: as the runtime was told. At ``"atomic"`` all that a call writes is
            published at once, so the most that one of its puts asks for goes for all.

        Raises
        ------
        LatticeMismatch
            If the key holds another type of lattice.
        ConsistencyError
            In a call at ``"atomic"``, for anything but a plain value: it is published when the call ends.
        SerializationError
            If the value cannot travel.
        StorageFull
            If there is no room for it on disk.
        """
        check_name(key, "key")
        sync = None if durability is None else self._waits(durability)
        adds = False
        if lattice is None and kind_of(value) is not None:
            value, adds = grown(key, value, self._lookup([key])[0])
        now = time.monotonic() * 1000
        stamp = self._core.clock.tick(now)
        made = element(key, value, lattice, self._core.name, stamp, self.consistency)
        made = added(made) if adds else made
        self._do("write", (key, made) if sync is None else (key, made, sync))
        return True

    def _waits(self, durability: str) -> bool:
        return waits_for_disk(durability, self._core.config.state_dir)

    def delete(self, key: str) -> None:
        """Delete a key. A write that was made without knowing of the deletion does not revive it."""
        self._do("delete", (check_name(key, "key"),))

    get_object = get
    put_object = put

    # ------------------------------------------------------------ direct messages

    def getid(self) -> str:
        """This running call's address for direct messages: pass it on, as an argument or in the store."""
        return self._core.mail_id(self._current)

    get_id = getid

    def send(self, id: str, msg: object) -> bool:
        """Send a message to the call of that id. If that call has ended, the message is dropped."""
        if not isinstance(id, str) or "/" not in id or sendable(id) != id:
            raise ValueError(f"{id!r} is no id: use what cloudburst.getid() gave the receiver")
        self._do("send", (id, encode(msg)))
        return True

    def recv(self, timeout: float | None = 0) -> list[tuple[str, Any]]:
        """The messages that have arrived, as ``(sender's id, message)``.

        Parameters
        ----------
        timeout
            Seconds to wait if there is none yet; None waits for ever; 0 does not wait.
        """
        task = self._current
        self._pump(lambda: bool(task.mailbox), to_wait(timeout))
        arrived = list(task.mailbox)
        del task.mailbox[: len(arrived)]
        return self._received(arrived)

    def _received(self, mail: list[tuple[str, Value]]) -> list[tuple[str, Any]]:
        return [(sender, decode_own(body)) for sender, body in mail]

    # ------------------------------------------------------------ about the call

    def now(self) -> float:
        """Seconds since the epoch, as ``time.time()``; in a replay, what it was when it was recorded."""
        return time.time()

    @property
    def consistency(self) -> str:
        """The consistency level of the call."""
        session = self._current.session
        return "lww" if session is None else session.level

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell the caller how far this call is: a fraction from 0 to 1, and a few words."""
        self._do("progress", (float(fraction), sendable(str(text))))

    def close(self) -> None:
        """Nothing to close; for code that was written for the original."""

    def _do(self, kind: str, arguments: Any) -> Any:
        result = self._perform(kind, (arguments,) if kind == "read" else arguments)
        if isinstance(result, Failure):
            raise ErrorKinds.revive(result.kind, result.message)
        return result

    def __reduce__(self) -> Any:
        raise SerializationError("the user library belongs to one running call; it cannot be sent or stored")


def _as_pickle(value: Value) -> bytes:
    """One pickle of a value, with its large buffers in it: what ``pickle.loads`` takes."""
    if not value.buffers and value.shared is None:
        return value.data
    return pickle.dumps(decode(value), 5)
