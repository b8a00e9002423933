"""The supervisor: forks the node at once, then imports what executors need, then forks them when told, and
stores besides the node's own.

A fork of a process that has NumPy takes 6 ms, a new interpreter 223 ms; so this process imports everything
once and stays single-threaded, which is what makes forking it safe. What node and executors both need it
imports before it forks the node, so that they share the memory; the node imports the rest of its own while
this process goes on with that of the executors. It is also the parent of all others:
it reports each exit, and when its owner is gone (the pipe on its standard input closes, even if the owner
was killed) it ends them all, with whatever they have started, and removes the runtime's directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import importlib
import io
import os
import resource
import shutil
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

import msgspec

from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import PeerLost, Received
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import GATEWAY, NODE, SUPERVISOR, is_store
from cloudburst_runtime.launch.children import (
    adopt_orphans,
    become_child,
    describe,
    end_adopted,
    kill_group,
    run_child,
)
from cloudburst_runtime.messages import Exited, Hello, Kill, Spawn, Stop
from cloudburst_runtime.shell import arena_file
from cloudburst_runtime.shell.names import CONFIG_NAME, LOCK_NAME, LOG_NAME
from cloudburst_runtime.shell.ticket import LISTENING
from cloudburst_runtime.shell.transport import Hub, bind

OWNER = "owner"
SHARED = (
    "random",
    "cloudburst_runtime.anna.shelf",
    "cloudburst_runtime.lattices.wrap",
    "cloudburst_runtime.runs",
    "cloudburst_runtime.scheduler.dag",
    "cloudburst_runtime.shell.arena",
    "cloudburst_runtime.shell.loop",
)
"""Modules with all that node and executors both import, besides what this one does."""
PRELOADED = ("numpy", "cloudpickle", "asyncio", "cloudburst_runtime.shell.executor")
"""Modules with all that executors import."""
STORES = "cloudburst_runtime.shell.store"
"""What stores run, besides the node's own."""
EXIT_MILLISECONDS_MAX = 20
"""How long a process that closed its sockets takes to be gone."""
SEE_OUT_MILLISECONDS_MAX = 1_000
"""How long the gateway may take to send what it has, or stores to write it."""


class Supervisor:
    """Parent of the node and of all executors.

    Parameters
    ----------
    directory
        The runtime's directory, made by the client; mode 0700.
    owned
        Whether to end when standard input closes.
    """

    def __init__(self, directory: str, owned: bool) -> None:
        self.directory = directory
        self.owned = owned
        with open(os.path.join(directory, CONFIG_NAME), "rb") as file:
            self.config = msgspec.json.decode(file.read(), type=Config)
        self.lock = open(os.path.join(directory, LOCK_NAME), "w")  # noqa: SIM115  (held for life)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.lock.write(str(os.getpid()))
        self.lock.flush()
        self.state_lock: io.FileIO | None = None
        self.children: dict[int, str] = {}
        self.pids: dict[str, int] = {}
        self.reasons: dict[str, str] = {}
        self.hub = Hub(directory, Hello(SUPERVISOR, SUPERVISOR, os.getpid()))
        self.wakeup_r, self.wakeup_w = os.pipe()
        os.set_blocking(self.wakeup_w, False)

    # ------------------------------------------------------------ life

    def run(self) -> NoReturn:
        """Fork the node, import, serve, clean up."""
        try:
            self._claim_state()
            arena_file.make_directory(self.directory)
            for name in SHARED:
                importlib.import_module(name)
            self._start_node()
            if self.config.listen:
                self._start_gateway()
            self._report_ready()
            self._preload()
            self._serve()
        finally:
            self._end()
        os._exit(0)

    def _claim_state(self) -> None:
        """Nobody else uses the ``state_dir`` as long as the node or this process lives."""
        if self.config.state_dir:
            from cloudburst_runtime.shell.storage import claim  # LMDB: nobody else pays for it

            try:
                self.state_lock = claim(self.config.state_dir)
            except StorageError as error:
                self._refuse(str(error))

    def _start_node(self) -> None:
        """The node's socket is bound here, so that the client may connect before the node runs."""
        listener = bind(os.path.join(self.directory, NODE))
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        told, tell = os.pipe()
        pid = self._fork(NODE)
        if pid == 0:
            mine.close()
            os.close(told)
            self._let_go(state=False)
            run_child(lambda: self._run_node(listener, theirs, tell))
        theirs.close()
        listener.close()
        os.close(tell)
        with open(told) as lines:
            trouble = lines.read() if self.config.state_dir else ""
        if trouble:
            self._refuse(trouble)
        self.hub.adopt(mine, NODE)

    def _run_node(self, listener: socket.socket, supervisor: socket.socket, tell: int) -> NoReturn:
        from cloudburst_runtime.shell.node import run_node  # while the supervisor imports something else

        run_node(self.directory, self.config, listener, supervisor, functools.partial(_report, tell))

    def _refuse(self, why: str) -> NoReturn:
        """Tell whoever started us why there will be no runtime."""
        os.write(1, " ".join(why.split()).encode())
        sys.exit(why)

    def _start_gateway(self) -> None:
        """Wait until it listens: whoever starts a runtime that listens may ask at once where."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = self._fork(GATEWAY)
        if pid == 0:
            mine.close()
            self._let_go()
            run_child(lambda: self._run_gateway(theirs))
        theirs.close()
        with mine.makefile() as lines:
            said = lines.readline()
        if said != LISTENING:
            self._refuse(said)
        self.hub.adopt(mine, GATEWAY)

    def _run_gateway(self, supervisor: socket.socket) -> NoReturn:
        from cloudburst_runtime.shell.gateway import run_gateway  # ZeroMQ: nobody else pays for it

        run_gateway(self.directory, self.config, supervisor)

    def _report_ready(self) -> None:
        """Tell whoever started us, then let go of the pipe."""
        with contextlib.suppress(OSError):
            os.write(1, b"ready\n")
        os.dup2(2, 1)

    def _preload(self) -> None:
        stores = (STORES,) if self.config.stores_max > 1 else ()
        for name in (*PRELOADED, *stores, *self.config.preload):
            try:
                importlib.import_module(name)
            except Exception:  # a preload that fails must not end the runtime: calls that need it will say so
                traceback.print_exc()
        gc.freeze()  # else a collection would look at all of that now
        gc.enable()

    def _serve(self) -> None:
        signal.set_wakeup_fd(self.wakeup_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        if self.owned:
            self.hub.watch(0, OWNER)
        self.hub.watch_readable(self.wakeup_r)
        while True:
            self._reap()
            for event in self.hub.collect(self.hub.wait(None)):
                if not self._handle(event):
                    return

    def _handle(self, event: Any) -> bool:
        if type(event) is PeerLost:
            return event.peer == GATEWAY  # without the owner or the node there is nothing to do
        assert type(event) is Received
        message = event.message
        if type(message) is Spawn:
            self._spawn(message)
        elif type(message) is Kill:
            self._end_executor(message.name, message.reason)
        elif type(message) is Exited:  # of a store on another host, by the gateway
            self.hub.send(NODE, message)
        elif type(message) is Stop:
            return False
        return True

    # ------------------------------------------------------------ children

    def _fork(self, name: str) -> int:
        gc.freeze()  # a collection writes to each object that it looks at: the child's would copy our memory
        pid = os.fork()
        if pid == 0:
            gc.enable()  # while the supervisor imports, it collects none
            become_child(mortal=name != NODE)
            return 0
        self.children[pid] = name
        self.pids[name] = pid
        return pid

    def _spawn(self, message: Spawn) -> None:
        name = message.name
        pid = self._fork(name)
        if pid:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._let_go(state=not is_store(name))
        run_child(lambda: self._run_store(message) if is_store(name) else self._run_executor(name))

    def _let_go(self, state: bool = True) -> None:
        """In a child: close what is the supervisor's alone; only stores keep the hold on the state."""
        self.hub.close()
        self.lock.close()
        if state and self.state_lock is not None:
            self.state_lock.close()
        os.close(self.wakeup_r)
        os.close(self.wakeup_w)

    def _run_store(self, message: Spawn) -> NoReturn:
        from cloudburst_runtime.shell.store import run_store

        run_store(self.directory, message.name, self.config, message.estates)

    def _run_executor(self, name: str) -> NoReturn:
        from cloudburst_runtime.shell.executor import ExecutorProcess

        if self.config.executor_memory_bytes:
            limit = self.config.executor_memory_bytes
            resource.setrlimit(getattr(resource, "RLIMIT_DATA", resource.RLIMIT_AS), (limit, limit))
        ExecutorProcess(self.directory, name, self.config).run()

    def _reap(self) -> None:
        """Report the children that have ended, and end what they left running."""
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self.wakeup_r, False)
            os.read(self.wakeup_r, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self.children.pop(pid, "")
            if not name:
                continue
            self.pids.pop(name, None)
            kill_group(pid)
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.directory, name))
            if name != NODE:
                reason = self.reasons.pop(name, "") or describe(status)
                self.hub.send(NODE, Exited(name, reason))

    def _end_executor(self, name: str, reason: str) -> None:
        """Kill it, unless it ends by itself: the node notices that by its socket, and only we learn why."""
        for _ in range(EXIT_MILLISECONDS_MAX):
            self._reap()
            if name not in self.pids:
                return
            time.sleep(0.001)
        self.reasons[name] = reason
        self._kill(self.pids[name])

    def _kill(self, pid: int) -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self) -> None:
        """Leave nothing behind: no process, no socket, no file."""
        self._see_out(GATEWAY)  # it hands on to remote clients what was said to them last
        if self.config.state_dir:
            self._see_out(NODE)  # it writes what nobody waited for; so do the other stores, once it has ended
            self._wait_for([name for name in self.pids if is_store(name)])
        for pid in list(self.children):
            self._kill(pid)
            kill_group(pid)
        for pid in list(self.children):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        end_adopted()
        arena_file.remove_directory(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _see_out(self, name: str) -> None:
        """Let a process end by itself, on the end of our connection to it, if it does so soon."""
        connection = self.hub.peers.get(name)
        if connection is not None:
            connection.sock.close()
            self._wait_for([name])

    def _wait_for(self, names: list[str]) -> None:
        for _ in range(SEE_OUT_MILLISECONDS_MAX):
            self._reap()
            if not any(name in self.pids for name in names):
                return
            time.sleep(0.001)


def _report(pipe: int, trouble: str) -> None:
    """What the node has to say to the supervisor that waits for it."""
    with contextlib.suppress(OSError):
        os.write(pipe, trouble.encode())
    os.close(pipe)


def main() -> NoReturn:
    """``python -m cloudburst_runtime.launch.zygote DIRECTORY owned|detached``."""
    directory, mode = sys.argv[1:3]
    log = os.open(os.path.join(directory, LOG_NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    Supervisor(directory, mode == "owned").run()


if __name__ == "__main__":
    main()
