"""Which disk a store has: the one in its ``state_dir``, or, once memory is full, one that ends with it.

LMDB is imported only by who needs it: a runtime without a ``state_dir`` starts without.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from cloudburst_runtime.anna.commits import finish
from cloudburst_runtime.anna.durable import FORMAT, Damaged, Recovered, is_whole, pack, recover, unpack
from cloudburst_runtime.anna.inherit import begin_anew, inherit, written
from cloudburst_runtime.anna.journal import Storage
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Persist
from cloudburst_runtime.errors import StorageError, StorageFull
from cloudburst_runtime.ids import NODE, PeerName
from cloudburst_runtime.shell.pages import DATA_NAME

SCRATCH_NAME = "scratch"
FAR_NAME = "store"
"""Of what a store on another host has, whatever name it has in the runtime."""
STORE = re.compile(r"s\d+")
"""The names of stores that are processes of their own."""
BATCH_MAX = 1_000
"""Records that are written together when a store takes over another's."""
MEMORY_SHARE = 0.5
"""Of the memory there is, for the values of a store that was not told how much it may take."""
CGROUP_LIMIT = "/sys/fs/cgroup/memory.max"


class Disk(NamedTuple):
    """A store's disk, and what was found on it."""

    storage: Storage
    found: Recovered


def open_state(config: Config, name: PeerName, anew: bool = True) -> Disk | None:
    """Open what the store ``name`` has in the runtime's ``state_dir``; None if there is none.

    Parameters
    ----------
    anew
        Whether another runtime wrote it: one that is gone, and with it the names that it counted under.

    Raises
    ------
    StorageError
        If it cannot be opened, or was written by another version of this package, or by something else.
    """
    if not config.state_dir:
        return None
    from cloudburst_runtime.shell.storage import LmdbStorage

    directory = os.path.join(config.state_dir, name)
    _check_place(config.state_dir, name)
    storage = LmdbStorage(directory, config.disk_bytes_max, is_whole=is_whole)
    found = recover(storage.records())
    if found.here is not None and found.here.format != FORMAT:
        raise StorageError(
            f"the store in {directory} has format {found.here.format}, and this version of cloudburst-nb "
            f"reads format {FORMAT}: use the version that wrote it, or another state_dir"
        )
    if found.is_strange and not storage.faults:
        storage.close()
        raise StorageError(
            f"{os.path.join(directory, DATA_NAME)} is a database of something else: use another state_dir"
        )
    found.said[:0] = storage.faults
    if anew:
        begin_anew(found)
    return Disk(storage, found)


def _check_place(state_dir: str, name: PeerName) -> None:
    """Say what is in the way of a store's directory."""
    if name == NODE and os.path.lexists(os.path.join(state_dir, FAR_NAME, DATA_NAME)):
        raise StorageError(
            f"{state_dir} is the --state-dir of a store on another host than its runtime (cloudburst-nb "
            "store): a runtime needs one of its own"
        )
    directory = os.path.join(state_dir, name)
    for path, fits, what in (
        (directory, os.path.isdir, "a directory"),
        (os.path.join(directory, DATA_NAME), os.path.isfile, "a file"),
    ):
        if os.path.lexists(path) and not fits(path):
            raise StorageError(
                f"{path} is {_kind(path)}, where {what} is wanted for what a store keeps there: move it "
                "away, or use another state_dir"
            )


def _kind(path: str) -> str:
    """What there is, for people."""
    if os.path.islink(path):
        broken = "" if os.path.exists(path) else ", which is not there"
        return f"a symbolic link to {os.readlink(path)}{broken}"
    return "a directory" if os.path.isdir(path) else "a file"


def take_over(
    config: Config, disk: Disk, replica: ReplicaCore, estates: Iterable[PeerName] | None = None
) -> None:
    """Give a store what others have left in the ``state_dir``.

    It may be more than the store's file may have: others will have their share of it, or keys are deleted.

    Parameters
    ----------
    estates
        Stores of this runtime that have died; None: all stores but the node's, of an earlier runtime.

    Raises
    ------
    StorageError
        If it cannot be read, or written; then all is where it was.
    """
    left_behind = _left_behind(config.state_dir)
    for name in left_behind if estates is None else [name for name in estates if name in left_behind]:
        left = open_state(config, name, anew=estates is None)
        assert left is not None
        disk.found.said += left.found.said
        read, read_left = functools.partial(_read, disk), functools.partial(_read, left)
        changes = inherit(replica.records, read, left.found, read_left)
        try:
            _write(disk, written(replica, changes), beyond=True)
        except StorageFull as error:
            raise StorageFull(f"what the store {name} has left cannot be taken over: {error}") from error
        finally:
            left.storage.close()
        remove_state(config, name)


def publish_rest(disk: Disk, replica: ReplicaCore) -> None:
    """Publish what atomic calls had committed when the runtime before ended, and forget their records.

    Where there is no room for that, it is left to the next start.
    """
    with contextlib.suppress(StorageFull):
        _write(disk, finish(replica, functools.partial(_read, disk)))


def _write(disk: Disk, pieces: Iterable[list[Persist]], beyond: bool = False) -> None:
    """Write what a store has taken over, many pieces at a time; ``beyond``: its limit, if need be."""
    changes: dict[bytes, bytes | None] = {}
    for piece in pieces:
        for each in piece:
            changes[each.place] = None if each.record is None else pack(each.place, each.record)
        if len(changes) >= BATCH_MAX:
            disk.storage.write(changes, beyond)
            changes = {}
    if changes:
        disk.storage.write(changes, beyond)


def _left_behind(state_dir: str) -> list[PeerName]:
    """The stores but the node's that have left something; whatever else is there is not ours.

    Raises
    ------
    StorageError
        If something else is where a store of such a name will want to keep what it has.
    """
    names = [name for name in sorted(os.listdir(state_dir)) if STORE.fullmatch(name)]
    for name in names:
        _check_place(state_dir, name)
    return [name for name in names if os.path.isfile(os.path.join(state_dir, name, DATA_NAME))]


def remove_state(config: Config, name: PeerName) -> None:
    """A store has handed over all that it had: its file goes, and its directory if nothing else is in it."""
    if config.state_dir:
        directory = os.path.join(config.state_dir, name)
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(directory, DATA_NAME))
            os.rmdir(directory)


def _read(disk: Disk, place: bytes) -> Stored | None:
    data = disk.storage.read(place)
    try:
        record = None if data is None else unpack(place, data)
    except Damaged:
        return None
    return record if isinstance(record, Stored) else None


def open_scratch(directory: str, config: Config, name: PeerName) -> Storage:
    """A disk for what does not fit into memory, in the runtime's own directory."""
    from cloudburst_runtime.shell.storage import LmdbStorage

    return LmdbStorage(os.path.join(directory, SCRATCH_NAME, name), config.disk_bytes_max, sync=False)


def within_memory(config: Config) -> Config:
    """The configuration with a limit on memory in it."""
    if config.memory_bytes_max is not None:
        return config
    bytes_max = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError), open(CGROUP_LIMIT) as file:
        bytes_max = min(bytes_max, int(file.read()))
    return msgspec.structs.replace(config, memory_bytes_max=int(MEMORY_SHARE * bytes_max))
