"""The private folder of a run: made, locked while its run lives, removed with it.

A run that is ended by SIGKILL leaves its folder behind. Whoever makes the next one removes it, and knows by
the lock, which the system gives up with its process, that nobody uses it any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

PREFIX = "cbnb-"
OWNER = "owner"
SOCKET_PATH_MAX = 90
"""Unix socket paths end at 104 bytes on macOS; jupyter appends a number."""


def make() -> tuple[Path, IO[bytes]]:
    """Make a folder that only the user can enter, with a path short enough for unix sockets.

    Returns
    -------
    tuple
        The folder, and the open lock file that marks it as in use.
    """
    home = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(home)) > SOCKET_PATH_MAX - 20:
        home = Path("/tmp").resolve()
    sweep(home)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
        owner = _lock(folder)
        if owner is not None:
            return folder, owner


def remove(folder: Path, owner: IO[bytes]) -> None:
    """Remove a folder that `make` made."""
    shutil.rmtree(folder, ignore_errors=True)
    owner.close()


def sweep(home: Path) -> None:
    """Remove the user's folders in ``home`` whose runs are gone."""
    for folder in home.glob(f"{PREFIX}*"):
        if not (folder / OWNER).is_file() or folder.stat().st_uid != os.getuid():
            continue
        owner = _lock(folder)
        if owner is not None:
            remove(folder, owner)


def _lock(folder: Path) -> IO[bytes] | None:
    """The lock file of ``folder``, locked; None if another process has it, or the folder is gone."""
    try:
        owner = (folder / OWNER).open("ab")
    except OSError:
        return None
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner.close()
        return None
    return owner
