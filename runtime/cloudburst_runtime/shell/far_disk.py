"""The directory of a store on another host: what it has, and who it is.

Law: one process at a time uses it, and it is one store's of one runtime for as long as that knows the store.
What is in it when the store comes back is there to be read in the parts that the node names, and dropped in
all others: there, others have what it has, and have gone on since.
"""

from __future__ import annotations

import contextlib
import os
import uuid

import msgspec

from cloudburst_runtime.anna.estates import come_back
from cloudburst_runtime.anna.journal import Storage
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.messages import Enlisted, Papers
from cloudburst_runtime.shell.disks import FAR_NAME, Disk, open_state, remove_state, within_memory
from cloudburst_runtime.shell.pages import DATA_NAME
from cloudburst_runtime.shell.storage import ASIDE_PREFIX, claim

REMOVALS_MAX = 10_000
"""Records that are removed together."""


class FarDisk:
    """A directory that this process holds.

    Parameters
    ----------
    directory
        Is made if it is not there.
    config
        The runtime's configuration, as it holds on this host.

    Raises
    ------
    StorageError
        If another process uses it, it cannot be used, or it is something else's.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     disk = FarDisk(directory, Config(state_dir=directory))
    ...     disk.papers.runtime, disk.said
    ...     disk.close()
    ('', [])
    """

    def __init__(self, directory: str, config: Config) -> None:
        self._config = config
        with contextlib.ExitStack() as opened:
            self._lock = opened.enter_context(claim(directory, "store"))
            if os.path.lexists(os.path.join(directory, NODE)):
                raise StorageError(
                    f"{directory} is the state_dir of a runtime: a store on another host needs one of its own"
                )
            before = _left_in(os.path.join(directory, FAR_NAME))
            disk = open_state(config, FAR_NAME, anew=False)
            assert disk is not None
            self._disk: Disk = disk
            opened.callback(disk.storage.close)
            self.papers = self._read_papers(directory, before)
            opened.pop_all()  # it stays open

    def _read_papers(self, directory: str, before: list[str]) -> Papers:
        """Who this was; somebody new if there is nothing here yet."""
        found = self._disk.found
        if found.here is not None and found.here.papers is not None and found.versions:
            return found.here.papers
        known = None if found.here is None else found.here.papers
        if found.versions or (known is None and (found.said or before)):
            raise StorageError(
                f"what is on disk in {directory} does not say which store it is: "
                f"{'; '.join(found.said or before)}. Nothing was lost by this; use another --state-dir, and "
                "give the former store up with cb.remove_store in the runtime"
            )
        return Papers(uuid.uuid4().hex if known is None else known.identity)

    @property
    def said(self) -> list[str]:
        """What was found to be damaged."""
        return self._disk.found.said

    @property
    def storage(self) -> Storage:
        """Where to write."""
        return self._disk.storage

    def replica(self, enlisted: Enlisted) -> ReplicaCore:
        """What this store begins with under its new name, once all that is not to be kept was removed."""
        found, storage = self._disk.found, self._disk.storage
        anew = (self.papers.runtime, self.papers.start) != (enlisted.runtime, enlisted.start)
        places = come_back(found, enlisted.name, enlisted.estate, anew)
        for start in range(0, len(places), REMOVALS_MAX):
            storage.write(dict.fromkeys(places[start : start + REMOVALS_MAX]))
        replica = ReplicaCore(within_memory(self._config), enlisted.name, found)
        self.papers = msgspec.structs.replace(self.papers, runtime=enlisted.runtime, start=enlisted.start)
        replica.keeper.papers = self.papers
        return replica

    def close(self, remove: bool = False) -> None:
        """Let go of it; ``remove``: nothing in it is this store's any more."""
        self._disk.storage.close()
        if remove:
            remove_state(self._config, FAR_NAME)
        self._lock.close()


def _left_in(directory: str) -> list[str]:
    """The damaged files that a store which is still here has put aside; one that has handed over is not."""
    if not os.path.lexists(os.path.join(directory, DATA_NAME)):
        return []
    names = sorted(name for name in os.listdir(directory) if name.startswith(ASIDE_PREFIX))
    return [f"the damaged file is kept as {os.path.join(directory, name)}" for name in names]
