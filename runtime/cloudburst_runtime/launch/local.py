"""Starting a runtime on this machine, finding those that run, and sweeping up after those that died.

Each runtime has a directory of its own below one that only the user can enter: its sockets, its
configuration, its log, and a lock file that its supervisor holds locked for as long as it lives. A
directory whose lock can be taken belongs to a dead runtime, and the next start removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time

import msgspec

from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import RuntimeUnavailable
from cloudburst_runtime.shell import arena_file
from cloudburst_runtime.shell.names import CONFIG_NAME, LOCK_NAME, LOG_NAME

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 5.0
SOCKET_PATH_BYTES_MAX = 100
"""A unix socket's path has at most 107 bytes; the longest name in a runtime's directory has 7."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


class LocalRuntime:
    """A runtime that this process has started.

    Attributes
    ----------
    directory
        Where its sockets are; ``"unix:" + directory`` is its address.
    """

    def __init__(self, directory: str, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self._process = process

    def stop(self) -> None:
        """End it and wait until nothing of it is left."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(timeout=STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _remove(self.directory)

    def let_go(self) -> None:
        """In a forked child: be no owner, whose end the runtime would wait for."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.returncode = 0  # it is no child of this process


def start(config: Config, detached: bool = False) -> LocalRuntime:
    """Start a runtime: its node listens when this returns, its executors are being forked.

    Parameters
    ----------
    config
        The runtime's configuration.
    detached
        False: it ends with this process, however this process ends. True: it runs until it is told to stop.

    Raises
    ------
    RuntimeUnavailable
        If it does not come up; the message has the end of its log.
    """
    base = base_directory()
    sweep(base)
    directory = tempfile.mkdtemp(prefix="r", dir=base)
    with open(os.path.join(directory, CONFIG_NAME), "wb") as file:
        file.write(msgspec.json.encode(config))
    environment = {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(config.threads)),
        "PYTHONHASHSEED": "0",
    }
    code = (  # what imports make stays: to collect garbage among it takes a tenth of the time, and finds none
        f"import gc, sys; gc.disable(); sys.path[:] = {sys.path!r}; "
        "from cloudburst_runtime.launch.zygote import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, directory, "detached" if detached else "owned"],
        stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        _await_ready(process, directory)
    except BaseException:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        _remove(directory)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return LocalRuntime(directory, process)


def _await_ready(process: subprocess.Popen[bytes], directory: str) -> None:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS_MAX)
    line = process.stdout.readline() if ready else b""
    if line == b"ready\n":
        return
    said = f"it did not answer within {START_SECONDS_MAX:g} s" if not ready else "it ended at once"
    said = line.decode(errors="replace").strip() or said
    raise RuntimeUnavailable(
        f"the runtime in {directory} did not start: {said}.\n{_end_of_log(process, directory)}"
    )


def _end_of_log(process: subprocess.Popen[bytes], directory: str) -> str:
    process.kill()
    assert process.stderr is not None
    text = process.stderr.read().decode(errors="replace")
    with contextlib.suppress(OSError), open(os.path.join(directory, LOG_NAME), errors="replace") as log:
        text += log.read()
    return text[-4000:]


# ---------------------------------------------------------------- directories


def base_directory() -> str:
    """The directory of all this user's runtimes: ours, mode 0700, with a path short enough for sockets.

    Raises
    ------
    RuntimeUnavailable
        If it cannot be made, or belongs to somebody else.
    """
    candidates = [os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp"]
    reason = ""
    for parent in dict.fromkeys(filter(None, candidates)):
        base = os.path.join(parent, f"cloudburst-nb-{os.getuid()}")
        if len(os.fsencode(base)) + 20 > SOCKET_PATH_BYTES_MAX:
            reason = f"{base} is too long a path for a socket"
            continue
        try:
            os.makedirs(base, mode=0o700, exist_ok=True)
            info = os.lstat(base)
        except OSError as error:
            reason = str(error)
            continue
        if stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid():
            os.chmod(base, 0o700)
            return base
        reason = f"{base} belongs to another user"
    raise RuntimeUnavailable(f"there is no directory for the runtime's sockets: {reason}; set TMPDIR to one")


def runtimes() -> list[str]:
    """The directories of this user's runtimes that are alive, the newest last."""
    base = base_directory()
    found = [os.path.join(base, name) for name in os.listdir(base)]
    alive = [directory for directory in found if _is_alive(directory)]
    return sorted(alive, key=lambda directory: os.stat(directory).st_mtime)


def sweep(base: str) -> None:
    """Remove what dead runtimes have left."""
    for name in os.listdir(base):
        directory = os.path.join(base, name)
        if not _is_alive(directory) and not _is_starting(directory):
            _remove(directory)
    arena_file.sweep()


def _remove(directory: str) -> None:
    """Remove a dead runtime: its shared memory first, for its name follows from the directory's."""
    arena_file.remove_directory(directory)
    shutil.rmtree(directory, ignore_errors=True)


def _is_alive(directory: str) -> bool:
    """Whether a supervisor holds the directory's lock."""
    try:
        with open(os.path.join(directory, LOCK_NAME)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_starting(directory: str) -> bool:
    try:
        return time.time() - os.stat(directory).st_mtime < START_SECONDS_MAX
    except OSError:
        return False
