"""The directory of a store on another host: what is in it comes back, and what is not its own is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudburst_runtime.anna.journal import Journal
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.config import Config
from cloudburst_runtime.effects import Received
from cloudburst_runtime.errors import StorageError
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import Max
from cloudburst_runtime.messages import Enlisted, Estate, Get, GetReply, Put
from cloudburst_runtime.shell.disks import open_state, take_over
from cloudburst_runtime.shell.far_disk import FarDisk
from cloudburst_runtime.shell.pages import DATA_NAME
from cloudburst_runtime.shell.storage import claim

KEYS = [f"key/{number}" for number in range(50)]
ALL = Estate("bee", list(range(1024)))


def begin(path: Path) -> FarDisk:
    return FarDisk(str(path), Config(state_dir=str(path)))


def serve(disk: FarDisk, estate: Estate = ALL, start: str = "first") -> Journal:
    core = Journal(disk.replica(Enlisted("s2", "", "runtime", start, estate)), disk.storage)
    core.start(0.0)
    return core


def read(core: Journal) -> dict[str, int]:
    found = {}
    for number, key in enumerate(KEYS):
        [effect] = core.handle(Received("c1", Get(number + 100, [key])), 0.0)
        if isinstance(effect.message, GetReply) and (entry := effect.message.entries[0]) is not None:
            found[key] = entry.lattice.value
    return found


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    disk = begin(tmp_path)
    core = serve(disk)
    for number, key in enumerate(KEYS):
        core.handle(Received("c1", Put(number, key, Max(number))), 0.0)
    disk.close()
    return tmp_path


@pytest.mark.parametrize("start", ["first", "second"])
def test_what_nobody_else_has_comes_back_and_all_else_goes(filled: Path, start: str) -> None:
    disk = begin(filled)
    assert (disk.papers.runtime, disk.papers.start) == ("runtime", "first")
    assert read(serve(disk, Estate("bee", ["key/7"], ["key/8"]), start)) == {"key/7": 7, "key/8": 8}
    disk.close()
    again = begin(filled)
    assert (again.papers.identity, again.papers.start) == (disk.papers.identity, start)
    assert read(serve(again)) == {"key/7": 7, "key/8": 8}
    again.close()


def test_one_that_has_nothing_may_be_anybodys(tmp_path: Path) -> None:
    disk = begin(tmp_path)
    serve(disk)
    disk.close()
    again = begin(tmp_path)
    assert (again.papers.identity, again.papers.runtime) == (disk.papers.identity, "")
    again.close(remove=True)
    assert [path.name for path in tmp_path.iterdir()] == ["cloudburst-nb.lock"]


def test_damage_is_said_and_what_is_intact_is_there(filled: Path) -> None:
    path = filled / "store" / DATA_NAME
    data = path.read_bytes()
    path.write_bytes(data.replace(b"key/7\0", b"key/6\0"))
    disk = begin(filled)
    assert any("key/6" in line or "damaged" in line for line in disk.said)
    there = read(serve(disk))
    disk.close()
    assert there == {key: number for number, key in enumerate(KEYS) if key in there}
    assert len(KEYS) - 3 < len(there) < len(KEYS)


def test_a_file_that_is_cut_off_is_said_and_what_is_intact_is_there(filled: Path) -> None:
    path = filled / "store" / DATA_NAME
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    disk = begin(filled)
    assert "cut off" in disk.said[0]
    there = read(serve(disk))
    disk.close()
    assert there
    assert there == {key: number for number, key in enumerate(KEYS) if key in there}


def test_one_that_does_not_say_who_it_is_is_refused_with_all_that_it_has(filled: Path) -> None:
    path = filled / "store" / DATA_NAME
    data = path.read_bytes()
    path.write_bytes(data.replace(b"runtime", b"runtimf"))
    before = path.read_bytes()
    with pytest.raises(StorageError, match="does not say which store it is"):
        begin(filled)
    assert path.read_bytes() == before


def test_one_of_which_nothing_can_be_read_is_refused_each_time(filled: Path) -> None:
    path = filled / "store" / DATA_NAME
    data = path.read_bytes()
    path.write_bytes(data[:5000])
    for _ in range(2):
        with pytest.raises(StorageError, match=r"does not say which store it is: .*damaged"):
            begin(filled)
    assert (filled / "store" / "damaged-1.mdb").read_bytes() == data[:5000]


def test_a_directory_whose_store_has_handed_over_may_be_anybodys_also_after_damage(filled: Path) -> None:
    path = filled / "store" / DATA_NAME
    path.write_bytes(path.read_bytes()[:-4096])
    disk = begin(filled)
    assert disk.papers.runtime == "runtime"
    disk.close(remove=True)
    assert (filled / "store" / "damaged-1.mdb").exists()
    again = begin(filled)
    assert (again.said, again.papers.runtime) == ([], "")
    again.close()


def test_a_directory_is_one_process_of_one_kind_at_a_time(filled: Path) -> None:
    with claim(str(filled)), pytest.raises(StorageError, match="in use by a runtime or another store"):
        begin(filled)
    with pytest.raises(StorageError, match="is the --state-dir of a store on another host"):
        open_state(Config(state_dir=str(filled)), NODE)
    assert not (filled / NODE).exists()


def test_the_state_of_a_runtime_is_none_of_a_store(tmp_path: Path) -> None:
    disk = open_state(Config(state_dir=str(tmp_path)), NODE)
    assert disk is not None
    disk.storage.close()
    with pytest.raises(StorageError, match="is the state_dir of a runtime"):
        begin(tmp_path)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("link", "s2 is a symbolic link to nowhere, which is not there, where a directory is wanted"),
        ("file", "s2 is a file, where a directory is wanted"),
        ("directory", f"s2/{DATA_NAME} is a directory, where a file is wanted"),
    ],
)
def test_what_is_where_a_store_would_keep_what_it_has_is_named(tmp_path: Path, kind: str, what: str) -> None:
    config, path = Config(state_dir=str(tmp_path)), tmp_path / "s2"
    disk = open_state(config, NODE)
    assert disk is not None
    if kind == "link":
        path.symlink_to("nowhere")
    elif kind == "file":
        path.touch()
    else:
        (path / DATA_NAME).mkdir(parents=True)
    replica = ReplicaCore(config)
    for attempt in (lambda: take_over(config, disk, replica), lambda: open_state(config, "s2")):
        with pytest.raises(StorageError, match=f"{what} .*: move it away, or use another state_dir"):
            attempt()
    disk.storage.close()


def test_a_link_to_a_directory_on_another_disk_is_as_good_as_one(tmp_path: Path) -> None:
    config = Config(state_dir=str(tmp_path / "state"))
    (tmp_path / "large").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "s2").symlink_to(tmp_path / "large")
    disk = open_state(config, "s2")
    assert disk is not None
    disk.storage.close()
    assert (tmp_path / "large" / DATA_NAME).exists()
