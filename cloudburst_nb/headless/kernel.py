"""One kernel: which interpreter, in which surroundings, how it starts and how it surely ends.

The kernel talks over unix sockets in a private folder, runs in a session of its own, and is given Jupyter
and IPython folders that can be written even where HOME cannot. For Python notebooks it is this very
interpreter, whatever kernelspecs are registered: what is installed beside this program is what the notebook
sees. Ending is bounded: the kernel is asked, then its process group is killed, then what it left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from cloudburst_nb import overrides

from . import private, streams
from .errors import UsageError

NATIVE = {"python3": "ipykernel_launcher", "python": "ipykernel_launcher", "cloudburst": "cloudburst_kernel"}
"""The kernels that are this interpreter, and the module that each of them runs."""
DEFAULT = "python3"
START_S = 60
ENDING_S = 6.0
"""How long a kernel may take to end by itself after its last cell (``atexit`` functions run then)."""
HURRIED_S = 2.0
"""The same once the run was interrupted."""
FINISH_S = 60.0
"""How long a recording may take to write what is left of it."""
POLL_S = 0.2
LOG_TAIL_BYTES = 2_000

quiet = logging.getLogger("cloudburst_nb.headless")
quiet.addHandler(logging.NullHandler())
quiet.propagate = False


class KernelFailed(Exception):
    """The kernel did not start.

    Parameters
    ----------
    reason
        One line.
    words
        The last that its process wrote.
    """

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(reason)
        self.words = words


class ThisInterpreter(KernelSpecManager):
    """Kernelspecs as installed, except that Python is the interpreter that runs this program."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name in NATIVE:
            argv = [sys.executable, "-m", NATIVE[kernel_name], "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name=kernel_name, language="python")
        return super().get_kernel_spec(kernel_name)


class Kernel:
    """A kernel for one notebook.

    Parameters
    ----------
    notebook
        Its cells are executed in place.
    name
        The kernelspec; None takes the notebook's own.
    folder
        The kernel's working directory.
    asked
        Further variables of its environment.
    around
        Code that is run in it unseen: before the first cell, and after the last one.

    Raises
    ------
    UsageError
        If no kernel of that name is installed.
    """

    def __init__(
        self,
        notebook: Any,
        name: str | None,
        folder: Path,
        asked: Mapping[str, str] | None = None,
        around: tuple[str, str] | None = None,
    ) -> None:
        self.name = name or notebook.metadata.get("kernelspec", {}).get("name") or DEFAULT
        specs = ThisInterpreter()
        check_installed(specs, self.name)
        self.folder = folder
        self.asked = dict(asked or {})
        self.around = around
        self.complaint = ""
        self.private, self._owner = private.make()
        self.log = self.private / "kernel.log"
        self.tally = self.private / "tally.json"
        self.manager = AsyncKernelManager(
            kernel_name=self.name,
            kernel_spec_manager=specs,
            transport="ipc",
            ip=str(self.private / "k"),
            connection_file=str(self.private / "kernel.json"),
            log=quiet,
        )
        self.client = NotebookClient(
            notebook,
            km=self.manager,
            kernel_name=self.name,
            startup_timeout=START_S,
            store_widget_state=False,
            log=quiet,
        )
        self.group: int | None = None
        self.ready = asyncio.Event()

    async def start(self) -> None:
        """Start it and wait until it answers; `KernelFailed` if it does not."""
        with self.log.open("wb") as log:
            try:
                await self.client.async_start_new_kernel(
                    cwd=str(self.folder),
                    env={**surroundings(self.private), overrides.TALLY: str(self.tally), **self.asked},
                    stdout=log,
                    stderr=log,
                )
                self.group = getattr(self.manager.provisioner, "pgid", None)
                await self.client.async_start_new_kernel_client()
                if self.around is not None:
                    self.complaint = await self._unseen(self.around[0], START_S)
                self.ready.set()
            except (RuntimeError, OSError) as error:
                raise KernelFailed(str(error), self.last_words()) from None

    async def started_and_died(self) -> None:
        """Return once it answered and, after that, its process is gone."""
        await self.ready.wait()
        while await self.manager.is_alive():
            await asyncio.sleep(POLL_S)

    def calls(self) -> dict[str, int]:
        """How many calls of each function and DAG have ended, as far as it has said."""
        try:
            counts: dict[str, int] = json.loads(self.tally.read_bytes())
        except (OSError, ValueError):  # it has said nothing yet
            return {}
        return counts

    def cause(self) -> str:
        """What the operating system says of the end of its process."""
        code = getattr(getattr(self.manager.provisioner, "process", None), "returncode", None)
        if code is None:
            return "its process is gone"
        if code >= 0:
            return f"its process ended with exit status {code}"
        hint = " (as when memory runs out)" if code == -signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"

    async def execute(self, index: int) -> None:
        """Execute the cell at ``index``; outputs land in it. Raises what nbclient raises."""
        cell = self.client.nb.cells[index]
        assert self.client.kc is not None, "execute() before start()"
        self.client.kc.session.metadata["cellId"] = cell.id
        try:
            await self.client.async_execute_cell(cell, index)
        finally:
            cell.outputs = streams.coalesce(cell.get("outputs", []))

    async def finish(self) -> None:
        """Run what is to be run after the last cell; what it complains of is in ``complaint``."""
        if self.around is not None and self.ready.is_set() and not self.complaint:
            self.complaint = await self._unseen(self.around[1], FINISH_S)

    async def _unseen(self, code: str, patience: float) -> str:
        """Run some code that no cell shows; returns what it raised, as a line."""
        client: Any = self.client.kc
        try:
            reply = await client.execute(code, silent=True, reply=True, timeout=patience)
        except (TimeoutError, RuntimeError):
            return "the kernel gave no answer"
        content = reply["content"]
        return (
            "" if content["status"] == "ok" else str(content.get("evalue") or content.get("ename", "failed"))
        )

    async def interrupt(self) -> None:
        """As the stop button: KeyboardInterrupt in the cell."""
        with contextlib.suppress(RuntimeError, OSError):
            await self.manager.interrupt_kernel()

    async def end(self, hurried: bool = False) -> None:
        """End it, and remove its folder.

        Parameters
        ----------
        hurried
            Allow it `HURRIED_S` rather than `ENDING_S`, and end also what it started in other sessions.
        """
        left = descendants(self._pid()) if hurried else []
        patience = HURRIED_S if hurried else ENDING_S
        self.manager.shutdown_wait_time = patience
        try:
            if self.client.kc is not None:
                self.client.kc.stop_channels()
            async with asyncio.timeout(patience + 0.5):
                await self.manager.shutdown_kernel(now=self.client.kc is None)
        except (TimeoutError, RuntimeError, OSError, asyncio.CancelledError):
            quiet.debug("the kernel did not end in time")
        finally:
            self.kill(left)
            private.remove(self.private, self._owner)

    def kill(self, left: Sequence[psutil.Process] = ()) -> None:
        """Kill the kernel's process group, and the processes ``left``."""
        if self.group is not None and self.group != os.getpgrp():
            with contextlib.suppress(OSError):
                os.killpg(self.group, signal.SIGKILL)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def last_words(self) -> str:
        """The end of what the kernel process itself wrote, outside of any cell."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return ""

    def _pid(self) -> int | None:
        return getattr(self.manager.provisioner, "pid", None)


def check_installed(specs: KernelSpecManager, name: str) -> None:
    """Raise `UsageError` with the names that there are if ``name`` is none of them."""
    try:
        specs.get_kernel_spec(name)
    except NoSuchKernel:
        names = ", ".join(sorted({DEFAULT, "cloudburst", *specs.find_kernel_specs()}))
        raise UsageError(
            f"no kernel {name!r} is installed; there is {names} (choose with --kernel)"
        ) from None


def surroundings(folder: Path) -> dict[str, str]:
    """The kernel's environment: ours, with folders of its own wherever the user's cannot be written."""
    environment = dict(os.environ)
    environment["CLOUDBURST_NB_HEADLESS"] = "1"  # progress is shown once, at its end, without widgets
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # no remark about frozen modules on every start
    for variable, below_home in (
        ("IPYTHONDIR", ".ipython"),
        ("JUPYTER_CONFIG_DIR", ".jupyter"),
        ("JUPYTER_DATA_DIR", ".local/share/jupyter"),
        ("JUPYTER_RUNTIME_DIR", ".local/share/jupyter/runtime"),
        ("MPLCONFIGDIR", ".config/matplotlib"),
    ):
        if not _can_write(os.environ.get(variable) or os.path.expanduser(f"~/{below_home}")):
            own = folder / variable.lower()
            own.mkdir(exist_ok=True)
            environment[variable] = str(own)
    return environment


def _can_write(folder: str) -> bool:
    """True if ``folder`` is, or can be made, a folder that we can write to."""
    path = Path(folder)
    for candidate in (path, *path.parents):
        if candidate.exists():
            return candidate.is_dir() and os.access(candidate, os.W_OK | os.X_OK)
    return False


def descendants(pid: int | None) -> list[psutil.Process]:
    """All processes below ``pid``, in whatever session they are."""
    if pid is None:
        return []
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []
