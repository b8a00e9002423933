"""What the supervisor's children begin and end with, and how those are ended that it did not fork.

Law: processes and what the system says of them; nothing here knows what a child is for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import traceback
from collections.abc import Callable
from typing import NoReturn

EXIT_ERROR, EXIT_MEMORY = 70, 71
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHANS_MAX = 10_000


def adopt_orphans() -> None:
    """Become the parent of what executors leave behind in sessions of its own, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_adopted() -> None:
    """End the children that we did not fork, and theirs, which then are ours."""
    for _ in range(ORPHANS_MAX):
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                pids = file.read().split()
            if not pids:
                return
            os.kill(int(pids[0]), signal.SIGKILL)
            os.waitpid(int(pids[0]), 0)
        except OSError:  # no /proc; or a process of another user's, which is not ours to end
            return


def kill_group(pid: int) -> None:
    """End what a child has started and not put into a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def describe(status: int) -> str:
    """Why a process ended, in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = "; the system may have run out of memory" if number == signal.SIGKILL else ""
        return f"killed by {signal.Signals(number).name}{hint}"
    code = os.waitstatus_to_exitcode(status)
    if code == EXIT_MEMORY:
        return "it ran out of the memory that it may have"
    return f"exited with status {code}"


def become_child(mortal: bool) -> None:
    """Begin as a child: a session of its own, so that no interrupt meant for the notebook arrives.

    An executor dies with its parent. The node notices by itself, and clears up what is left.
    """
    os.setsid()
    if mortal:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def run_child(body: Callable[[], object]) -> NoReturn:
    """Run a child's main function; nothing of the parent's stack may run in it."""
    status = EXIT_ERROR
    try:
        log = os.dup(2)
        try:
            body()
            status = 0
        except MemoryError:
            status = EXIT_MEMORY
            raise
        except BaseException:
            os.write(log, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)
