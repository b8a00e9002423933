"""What the killer kills: a runtime, and clients at work in it; and how each is brought back.

Law: this file starts, kills and waits; `killing` decides what is killed when, and `judge` what must be there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cloudburst_nb as cb
from cloudburst_nb import runtimes
from cloudburst_nb.client import Client
from cloudburst_nb.errors import RuntimeUnavailable
from cloudburst_runtime import messages
from cloudburst_runtime.shell import arena_file
from tests.processes.chaos.functions import FUNCTIONS
from tests.processes.chaos.ledger import Keeper, Ledger
from tests.processes.chaos.mutants import planted
from tests.processes.chaos.writer import ADDRESS, PIPE
from tests.processes.watching import (
    directory_of,
    eventually,
    nothing_left,
    pid_of,
    processes_of,
    started,
)

SETTLE_SECONDS = 90.0
ENDING_SECONDS = 90.0
"""How long a client may take to finish what it has begun."""
DAGS = {
    "trail": [("plant", "spot"), ("plant", "spot_too"), ("spot", "spotted"), ("spot_too", "spotted")],
    "same": [("first", "second"), ("first", "second_too"), ("second", "third"), ("second_too", "third")],
    "pair": [("put_left", "put_right")],
}
"""The edges of each."""


class Setting(NamedTuple):
    """One configuration.

    Attributes
    ----------
    durable
        Whether the stores have a ``state_dir``; then any of them may be killed at any time, and everything.
    level
        At which the clients work; ``"all"``: each operation at another one.
    mutant
        The defect that is planted into the runtime's processes, by its name in `mutants`; empty: none.
    """

    stores: int
    replication: int
    durable: bool
    level: str
    clients: int = 3
    mutant: str = ""

    def __str__(self) -> str:
        kept = "on disk" if self.durable else "in memory"
        return f"{self.level}, {self.stores} stores {kept}, replication {self.replication}"


class Rig:
    """A runtime with clients at work, and their ledger, in a directory of their own.

    Parameters
    ----------
    setting
        What is started.
    seed
        Of the clients' choices.
    place
        An empty directory.
    """

    def __init__(self, setting: Setting, seed: int, place: Path) -> None:
        self.setting, self.seed, self.place = setting, seed, place
        self.lives = [0] * setting.clients
        self.directories: list[str] = []
        self.troubles: list[str] = []
        self.keeper = Keeper(str(place / PIPE))
        self.client = self._start()
        self._register()
        self.writers = [self._start_writer(slot) for slot in range(setting.clients)]

    # ------------------------------------------------------------ the runtime

    def _start(self) -> Client:
        setting = self.setting
        with planted(setting.mutant, self.place):
            client = cb.up(
                executors=(2, 4),
                stores=setting.stores,
                replication=setting.replication,
                state_dir=self.place / "state" if setting.durable else None,
            )
        self.directories.append(directory_of(client))
        address = self.place / f"{ADDRESS}.new"
        address.write_text(client.address)
        os.replace(address, self.place / ADDRESS)
        return client

    def _register(self) -> None:
        for function in FUNCTIONS:
            self.client.function(function)
        for name, edges in DAGS.items():
            functions = list(dict.fromkeys(step for edge in edges for step in edge))
            self.client.dag(name, functions=functions, edges=edges)
        runtimes.state.known.clear()  # what comes back after a restart is what the runtime has kept

    @property
    def directory(self) -> str:
        """Of the runtime that is up."""
        return directory_of(self.client)

    def executors(self) -> list[str]:
        """The names of those that listen."""
        return self._listening("e")

    def stores(self) -> list[str]:
        """The names of the stores that are processes of their own."""
        return self._listening("s")

    def _listening(self, initial: str) -> list[str]:
        names = os.listdir(self.directory)
        return sorted(name for name in names if name[0] == initial and name[1].isdecimal())

    def kill(self, names: list[str]) -> list[str]:
        """Kill these processes of the runtime; those that were there."""
        pids = {}
        for name in names:
            with contextlib.suppress(OSError):  # it has just ended, or does not listen yet
                pids[name] = pid_of(self.directory, name)
        for pid in pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return list(pids)

    def kill_everything(self, only: str = "") -> None:
        """Kill all processes of the runtime, or ``only`` the one without which it must end; start it again.

        Of all, the supervisor is the last: nobody is to see its end, and write what is left to be written.
        """
        directory = self.directory
        births = {}
        for pid in processes_of(directory):
            with contextlib.suppress(OSError):  # it has just ended
                births[pid] = started(pid)
        supervisor, node, *others = sorted(births, key=births.__getitem__)
        pids = {"supervisor": [supervisor], "node": [node]}.get(only, [*others, node, supervisor])
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not processes_of(directory), what=f"the runtime in {directory} has ended")
        self.client.down()
        self.client = self._start()
        self._check_functions()

    def _check_functions(self) -> None:
        missing = {function.__name__ for function in FUNCTIONS} - set(self.client.functions())
        missing |= set(DAGS) - set(self.client.dags())
        if missing:
            self.troubles.append(f"after a restart there are not: {', '.join(sorted(missing))}")

    def settle(self, without: Sequence[str] = ()) -> None:
        """Wait until these stores are forgotten, all others there, and each key kept as often as need be."""
        try:
            eventually(lambda: self._is_settled(without), SETTLE_SECONDS)
        except AssertionError:
            raise AssertionError(f"the stores have not settled: {self._stores()}") from None

    def _is_settled(self, without: Sequence[str]) -> bool:
        reply = self._stores()
        names = {store.name for store in reply.stores}
        return reply.settled and len(names) == self.setting.stores and names.isdisjoint(without)

    def _stores(self) -> messages.StoresReply:
        reply = self.client._shell.ask(messages.Stores)
        assert isinstance(reply, messages.StoresReply)
        return reply

    # ------------------------------------------------------------ the clients

    def _start_writer(self, slot: int) -> subprocess.Popen[bytes]:
        self.lives[slot] += 1
        name = f"c{slot}.{self.lives[slot]}"
        paths = os.pathsep.join(path for path in sys.path if path)
        with open(self.place / f"{name}.errors", "wb") as errors:
            arguments = (str(self.place), name, self.setting.level, str(self.seed))
            return subprocess.Popen(
                [sys.executable, "-m", "tests.processes.chaos.writer", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": paths},
            )

    def kill_client(self, slot: int) -> None:
        """Kill a client; another takes its place."""
        self._bury(self.writers[slot])
        self.writers[slot] = self._start_writer(slot)

    @staticmethod
    def _bury(writer: subprocess.Popen[bytes]) -> None:
        writer.kill()
        writer.wait()
        assert writer.stdin is not None
        writer.stdin.close()

    def end_clients(self) -> None:
        """Let them finish what they have begun."""
        for writer in self.writers:
            assert writer.stdin is not None
            writer.stdin.close()
        for slot, writer in enumerate(self.writers):
            self._see_out(f"c{slot}.{self.lives[slot]}", writer)

    def _see_out(self, name: str, writer: subprocess.Popen[bytes]) -> None:
        try:
            status = writer.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
            self.troubles.append(f"client {name} did not end within {ENDING_SECONDS:g} s")
            return
        said = (self.place / f"{name}.errors").read_text()
        if status or said:
            self.troubles.append(f"client {name} ended with status {status}: {said[-2000:]}")

    # ------------------------------------------------------------ the end

    def down(self) -> Ledger:
        """End what is left; whatever then is still there is a trouble. The ledger, whole."""
        for writer in self.writers:
            if writer.poll() is None:
                self._bury(writer)
        with contextlib.suppress(RuntimeUnavailable):
            self.client.down()
        for directory in self.directories:
            self._check_nothing_left(directory)
        return self.keeper.close()

    def _check_nothing_left(self, directory: str) -> None:
        try:
            eventually(lambda: nothing_left(directory), what=f"{directory} and its processes are gone")
        except AssertionError as error:
            self.troubles.append(f"{error}: {processes_of(directory)}")
        memory = os.path.join(arena_file.ROOT, arena_file.directory_name(directory))
        if os.path.exists(memory):
            self.troubles.append(f"shared memory is left: {memory}")
