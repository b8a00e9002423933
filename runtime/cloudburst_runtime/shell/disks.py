"""Which disk a store has: the one in its ``state_dir``, or, once memory is full, one that ends with it.

LMDB is imported only by who needs it: a runtime without a ``state_dir`` starts without.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import msgspec

from cloudburst_runtime.anna.durable import FORMAT, Recovered, is_whole, recover
from cloudburst_runtime.anna.journal import Storage
from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import PeerName

SCRATCH_NAME = "scratch"
MEMORY_SHARE = 0.5
"""Of the memory there is, for the values of a store that was not told how much it may take."""
CGROUP_LIMIT = "/sys/fs/cgroup/memory.max"


class Disk(NamedTuple):
    """A store's disk, and what was found on it."""

    storage: Storage
    found: Recovered


def open_state(config: Config, name: PeerName) -> Disk | None:
    """Open what the store ``name`` has in the runtime's ``state_dir``; None if there is none.

    Raises
    ------
    StorageError
        If it cannot be opened, or was written by another version of this package.
    """
    if not config.state_dir:
        return None
    from cloudburst_runtime.shell.storage import LmdbStorage

    directory = os.path.join(config.state_dir, name)
    storage = LmdbStorage(directory, config.disk_bytes_max, is_whole=is_whole)
    found = recover(storage.records())
    if found.here is not None and found.here.format != FORMAT:
        raise StorageError(
            f"the store in {directory} has format {found.here.format}, and this version of cloudburst-nb "
            f"reads format {FORMAT}: use the version that wrote it, or another state_dir"
        )
    found.said[:0] = storage.faults
    return Disk(storage, found)


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
