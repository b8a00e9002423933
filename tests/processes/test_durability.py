"""State that outlives its runtime, whatever ends the processes.

How long the processes are killed again and again: 5 seconds, or as ``CLOUDBURST_NB_CRASH_SECONDS`` says.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest

import cloudburst_nb as cb
from cloudburst_nb.errors import RuntimeUnavailable, StorageError, StorageFull
from cloudburst_runtime.launch import local
from cloudburst_runtime.shell.storage import LOCK_NAME, claim
from tests.full_disks import no_room_for_bytes
from tests.processes.watching import (
    DEADLINE,
    Script,
    directory_of,
    eventually,
    nothing_left,
    processes_of,
    supervisor_of,
)

pytestmark = pytest.mark.usefixtures("alone")

CRASH_SECONDS = float(os.environ.get("CLOUDBURST_NB_CRASH_SECONDS", "5"))
WRITERS = 4

LOAD = """
import threading
import cloudburst_nb as cb

client = cb.up(executors=1, state_dir={state_dir!r})
print(client.address, flush=True)
said = threading.Lock()

def write(writer):
    number = {begin}
    while True:
        number += 1
        cb.put(f"last/{{writer}}", number)
        cb.put(f"all/{{writer}}/{{number}}", bytes([number % 256]) * (number % 2000))
        cb.put("count", 1, lattice="counter")
        with said:
            print(writer, number, flush=True)

threads = [threading.Thread(target=write, args=(writer,), daemon=True) for writer in range({writers})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


class Acknowledged:
    """What the writers were told is in the store."""

    def __init__(self) -> None:
        self.last = dict.fromkeys(range(WRITERS), 0)
        self.all: list[tuple[int, int]] = []

    def note(self, lines: str) -> None:
        for line in lines.splitlines():
            if line.count(" ") == 1 and line.endswith(tuple("0123456789")):
                writer, number = map(int, line.split())
                self.last[writer] = number
                self.all.append((writer, number))

    def check(self, runs: int) -> None:
        """All of it is there: nothing is older, and nothing was counted twice.

        In each run, each writer was interrupted once at most.
        """
        kept = set(cb.keys("all/"))
        assert not {f"all/{writer}/{number}" for writer, number in self.all} - kept
        for writer, number in self.last.items():
            assert cb.get(f"last/{writer}", 0) >= number
        for writer, number in self.all:
            assert cb.get(f"all/{writer}/{number}") == bytes([number % 256]) * (number % 2000)
        assert len(self.all) <= cb.get("count", 0) <= len(self.all) + runs * WRITERS


def kill_everything(load: Script, directory: str, luck: random.Random) -> None:
    """End processes at once, or one of them, on which the others must end by themselves."""
    pids = [load.pid, *processes_of(directory)]
    if luck.random() < 0.5:
        pids = [luck.choice(pids)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has noticed the end of one before
            os.kill(pid, signal.SIGKILL)


def test_every_acknowledged_put_survives_kill_9_of_any_process(tmp_path: Path) -> None:
    luck = random.Random(7)
    acknowledged = Acknowledged()
    begin, runs = 0, 0
    end = time.monotonic() + CRASH_SECONDS
    while time.monotonic() < end or runs < 2:
        runs += 1
        text = LOAD.format(state_dir=str(tmp_path / "state"), begin=begin, writers=WRITERS)
        with Script(text) as load:
            directory = load.line().removeprefix("unix:")
            time.sleep(luck.uniform(0.05, 1.5))
            kill_everything(load, directory, luck)
            acknowledged.note(load.end(signal.SIGKILL))
            eventually(lambda directory=directory: not processes_of(directory))
        local._remove(directory)
        begin += 100_000
        cb.up(executors=1, state_dir=tmp_path / "state")
        acknowledged.check(runs)
        cb.down()
    assert acknowledged.all


def test_functions_dags_and_state_come_back(tmp_path: Path) -> None:
    cb.up(executors=1, state_dir=tmp_path)
    cb.dag("twice", cb.function(lambda x: 2 * x, name="double"))
    cb.dag("gone", cb.get_function("double"))
    cb.delete_dag("gone")
    cb.put("array", np.arange(100_000))
    cb.put("names", {"Ada"})
    cb.function(lambda cloudburst: cloudburst.put("calls", 1, lattice="counter"), name="count")().get()
    cb.put("deleted", 1)
    cb.delete("deleted")
    cb.get_function("double")(1).get()
    cb.down()
    cb.runtimes.state.known.clear()
    cb.up(executors=1, state_dir=tmp_path)
    assert (cb.functions(), cb.dags(), cb.keys()) == (
        ["count", "double"],
        ["twice"],
        ["array", "calls", "names"],
    )
    assert cb.get_dag("twice")(4).get() == 8
    assert np.array_equal(cb.get("array"), np.arange(100_000))
    cb.get_function("count")().get()
    assert cb.get("calls") == 2, "an executor counts under a name that none before it had"
    assert cb.function(lambda x: 3 * x, name="double")(4).get() == 12
    assert cb.status().functions == {"count": 1, "double": 2}


def test_a_function_that_is_registered_again_unchanged_keeps_its_version(tmp_path: Path) -> None:
    def register(factor: int) -> int:
        scaled = cb.function(lambda x: factor * x, name="scaled")
        assert scaled(2).get(timeout=30) == 2 * factor
        return scaled.version

    versions = []
    for factor in (3, 3, 4, 4):
        cb.up(executors=1, state_dir=tmp_path)
        versions.append(register(factor))
        cb.down()
        cb.runtimes.state.known.clear()
    assert versions == [1, 1, 2, 2]
    cb.up(executors=1, state_dir=tmp_path)
    assert [register(4), register(4)] == [2, 3]


def test_a_state_dir_in_use_is_refused_with_the_pid(tmp_path: Path) -> None:
    client = cb.up(executors=1, state_dir=tmp_path)
    pid = supervisor_of(directory_of(client))
    with Script(f"import cloudburst_nb as cb\ncb.up(state_dir={str(tmp_path)!r})") as other:
        other.end()
    assert f"in use by the runtime of process {pid}" in other.errors
    cb.put("still", "here")
    assert cb.get("still") == "here"


def test_a_full_disk_is_told_as_the_reason_why_state_dir_cannot_be_used(tmp_path: Path) -> None:
    with no_room_for_bytes(), pytest.raises(StorageError, match=r"state_dir .* cannot be used: .*too large"):
        claim(str(tmp_path / "state"))
    with claim(str(tmp_path / "state")):
        pass


def test_a_state_dir_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeUnavailable, match=r"state_dir .*file cannot be used"):
        cb.up(executors=1, state_dir=tmp_path / "file")


@pytest.mark.parametrize("text", ["mine", "9" * 21, "4711\n"])
def test_a_file_of_the_users_is_not_taken_for_the_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text("mine")
    with claim(str(tmp_path)):
        pass
    (tmp_path / LOCK_NAME).write_text(text)
    with pytest.raises(StorageError, match=rf"has a file '{LOCK_NAME}' that no runtime has written"):
        claim(str(tmp_path))
    assert (tmp_path / LOCK_NAME).read_text() == text
    assert (tmp_path / "lock").read_text() == "mine"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The file of a runtime that has ended."""
    cb.up(executors=1, state_dir=tmp_path)
    for number in range(300):
        cb.put(f"key/{number}", f"value {number} " * 5, durability="memory")
    cb.put("large", np.full(50_000, 7))
    cb.down()
    return tmp_path / "node" / "data.mdb"


def test_damage_is_said_and_what_is_intact_is_there(filled: Path) -> None:
    data = filled.read_bytes()
    for number in (b"7", b"8"):  # wherever it is: a page that was written anew leaves the old one behind
        data = data.replace(b"value " + number + b" value", b"valve " + number + b" value")
    filled.write_bytes(data)
    with pytest.warns(UserWarning, match="part of the state is damaged") as warned:
        client = cb.up(executors=1, state_dir=filled.parent.parent)
    assert "key 'key/7'" in str(warned[0].message)
    assert len(client.status().damage) == 2
    with pytest.raises(cb.errors.StorageError, match="key 'key/7' is damaged"):
        cb.get("key/7")
    assert cb.get("key/9") == "value 9 " * 5
    cb.put("key/7", "new")
    assert cb.get("key/7") == "new"


def test_a_torn_file_is_said_and_what_is_intact_is_there(filled: Path) -> None:
    data = filled.read_bytes()
    filled.write_bytes(data[: len(data) * 3 // 4])
    with pytest.warns(UserWarning, match="cut off"):
        cb.up(executors=1, state_dir=filled.parent.parent)
    assert cb.keys("key/")
    assert (filled.parent / "damaged-1.mdb").exists()
    cb.put("more", 1)
    cb.down()
    cb.up(executors=1, state_dir=filled.parent.parent)
    assert cb.get("more") == 1


def test_an_empty_file_is_said(filled: Path) -> None:
    filled.write_bytes(b"")
    with pytest.warns(UserWarning, match="is empty"):
        cb.up(executors=1, state_dir=filled.parent.parent)
    cb.put("more", 1)
    assert cb.keys() == ["more"]


def test_what_else_lies_in_a_state_dir_stays(tmp_path: Path) -> None:
    strangers = [tmp_path / name / "notes.txt" for name in ("src", "s2", "data")]
    for stranger in strangers:
        stranger.parent.mkdir()
        stranger.write_text("not to be touched")
    with pytest.raises(ValueError, match="names no directory"):
        cb.up(executors=1, state_dir="")
    cb.up(executors=1, state_dir=tmp_path)
    cb.put("k", 1)
    cb.down()
    assert [stranger.read_text() for stranger in strangers] == ["not to be touched"] * 3


def test_a_full_disk_is_an_error_to_the_writer(tmp_path: Path) -> None:
    client = cb.up(executors=1, state_dir=tmp_path, disk_limit=1_000_000)
    cb.put("small", "first")
    with pytest.raises(StorageFull, match="no room"):
        cb.put("small", np.zeros(2_000_000, np.uint8))
    assert cb.get("small") == "first"
    cb.put("small", "second")
    assert cb.get("small") == "second"
    directory = directory_of(client)
    cb.down()
    eventually(lambda: nothing_left(directory), DEADLINE)


def test_a_limit_below_what_is_there_lets_keys_be_deleted(tmp_path: Path) -> None:
    cb.up(executors=1, state_dir=tmp_path)
    for number in range(10):
        cb.put(f"key/{number}", "x" * 30_000)
    cb.put("count", 1, lattice="counter")
    cb.down()
    cb.up(executors=1, state_dir=tmp_path, disk_limit=150_000)
    with pytest.raises(StorageFull):
        cb.put("more", "x" * 30_000)
    for key in cb.keys("key/"):
        cb.delete(key)
    cb.put("more", "x" * 30_000)
    assert cb.keys() == ["count", "more"]


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("stores", "3"),
        ("stores", (1, 2, 3)),
        ("stores", (1, True)),
        ("replication", "x"),
        ("replication", 1.5),
    ],
)
def test_numbers_of_stores_are_whole_numbers(option: str, wrong: object) -> None:
    with pytest.raises(TypeError, match=f"{option} is a whole number"):
        cb.up(**{option: wrong})


def test_a_state_dir_is_a_path() -> None:
    with pytest.raises(ValueError, match="a path has no NUL in it"):
        cb.up(state_dir="a\0b")


@pytest.mark.parametrize("option", ["history", "store_memory", "disk_limit"])
def test_limits_are_whole_numbers(option: str) -> None:
    for wrong in ("5", 1.5, True):
        with pytest.raises(TypeError, match=f"{option} is .* a whole number"):
            cb.up(**{option: wrong})
    for wrong in (-1, 2**70):
        with pytest.raises(ValueError, match=f"{option} is .* not {wrong}"):
            cb.up(**{option: wrong})


def test_values_larger_than_memory_are_on_disk_until_they_are_asked_for(tmp_path: Path) -> None:
    cb.up(executors=1, store_memory=3_000_000)
    for number in range(8):
        cb.put(f"large/{number}", np.full(1_000_000, number, np.uint8))
    assert [int(cb.get(f"large/{number}").max()) for number in range(8)] == list(range(8))
    total = cb.function(lambda large: int(large.sum()), name="total")
    assert total(cb.ref("large/1")).get() == 1_000_000
    cb.put("large/3", 0)
    cb.delete("large/4")
    assert cb.get("large/3") == 0
    assert cb.keys("large/") == [f"large/{number}" for number in range(8) if number != 4]


def test_durability_is_asked_for_per_put_and_per_client(tmp_path: Path) -> None:
    client = cb.up(executors=1)
    with pytest.raises(ValueError, match="needs a runtime with a state_dir"):
        cb.put("k", 1, durability="disk")
    with pytest.raises(ValueError, match="one of disk, memory"):
        cb.put("k", 1, durability="tape")
    cb.down()
    client = cb.up(executors=1, state_dir=tmp_path, durability="memory")
    for number in range(50):
        cb.put("k", number)
    assert cb.connect(client.address, durability="disk").get("k") == 49
    cb.put("k", 50)
    cb.connect(client.address, durability="memory").put("k", 51)
    cb.down()
    with lmdb.open(str(tmp_path / "node" / "data.mdb"), subdir=False, lock=False, readonly=True) as env:
        assert env.info()["last_txnid"] < 50, "each put was waited for"
    cb.up(executors=1, state_dir=tmp_path)
    assert cb.get("k") == 51, "an orderly end writes what was not waited for"


def test_a_function_says_of_each_put_whether_it_waits_for_the_disk(tmp_path: Path) -> None:
    @cb.function
    def put(cloudburst, key: str, durability: str | None) -> object:  # type: ignore[no-untyped-def]
        return cloudburst.put(key, key, durability=durability)

    cb.up(executors=1)
    with pytest.raises(ValueError, match="needs a runtime with a state_dir"):
        put("k", "disk").get(timeout=30)
    with pytest.raises(ValueError, match="one of disk, memory"):
        put("k", "tape").get(timeout=30)
    cb.down()
    directory = directory_of(cb.up(executors=1, state_dir=tmp_path, durability="memory"))
    pids = processes_of(directory)
    put("warm", None).get(timeout=30)
    assert put("disk", "disk").get(timeout=30)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended with another
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes_of(directory))
    cb.down()
    cb.up(executors=1, state_dir=tmp_path)
    assert cb.get("disk") == "disk"
    assert put("more", "memory").get(timeout=30)
    assert put.local("here", "memory")
    assert cb.get("here") == "here"


def test_what_executors_add_and_keep_side_by_side_goes_on_after_a_restart(tmp_path: Path) -> None:
    """No two executors that ever wrote to one store may have one name."""

    def note(cloudburst, number) -> None:
        cloudburst.put("count", 1, lattice="counter")
        cloudburst.put("notes", number, lattice="causal")

    for run in range(3):
        with cb.up(executors=(1, 1), state_dir=str(tmp_path)) as client:
            noted = client.function(note, name="note")
            cb.gather([noted(10 * run + number) for number in range(5)], timeout=DEADLINE)
            assert client.get("count") == 5 * (run + 1)
            assert len(client.get("notes", siblings=True)) == 5 * (run + 1)
