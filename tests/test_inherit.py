"""What several stores have left on disk becomes one store's."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from cloudburst_runtime.anna.durable import pack, version_place
from cloudburst_runtime.anna.past import BESIDE
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.stored import Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.errors import StorageError, StorageFull
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import LWW, Max, SetLattice
from cloudburst_runtime.messages import Met
from cloudburst_runtime.shell.disks import open_state, take_over
from cloudburst_runtime.shell.pages import DATA_NAME
from cloudburst_runtime.values import encode
from tests.full_disks import no_room_for_bytes


def leave(config: Config, name: str, records: dict[str, Stored]) -> None:
    """Write what a store has, as if it had ended."""
    disk = open_state(config, name)
    assert disk is not None
    places = {version_place(key, record.seq): record for key, record in records.items()}
    disk.storage.write({place: pack(place, record) for place, record in places.items()})
    disk.storage.close()


def begin(config: Config) -> ReplicaCore:
    disk = open_state(config, NODE)
    assert disk is not None
    replica = ReplicaCore(config, NODE, disk.found)
    take_over(config, disk, replica)
    disk.storage.close()
    return replica


@pytest.mark.parametrize("name", [NODE, "s2"])
def test_a_database_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = tmp_path / name / DATA_NAME
    with lmdb.open(str(path), subdir=False, lock=False) as theirs, theirs.begin(write=True) as transaction:
        transaction.put(b"k", b"not to be touched")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=rf"{name}/data.mdb is a database of something else"):
        begin(Config(state_dir=str(tmp_path)))
    assert path.read_bytes() == before


def test_the_node_takes_over_what_other_stores_have_left(tmp_path: Path) -> None:
    config = Config(state_dir=str(tmp_path))
    large = LWW(9, "c1", encode(bytes(100_000)))
    leave(
        config, NODE, {"max": Stored(Max(3), 0, 1), "gone": Stored(None, 70, 2), "both": Stored(Max(8), 0, 3)}
    )
    theirs = {
        "max": Stored(Max(5), 0, 40, {"node": 1}),
        "gone": Stored(Max(1), 0, 41),
        "both": Stored(Max(7), 0, 42),
        "large": Stored(large, 0, 43, {"s3": 2}, nbytes=large.nbytes, deps={"s4": 84}),
        "type": Stored(SetLattice({b"a": None}), 5, 44, nbytes=1),
    }
    leave(config, "s2", theirs)
    damaged = tmp_path / "s2" / "damaged-1.mdb"
    strangers = [
        damaged,
        tmp_path / "src" / "s1.py",
        tmp_path / "s4" / "notes.txt",
        tmp_path / "s2" / "notes.txt",
    ]
    for stranger in strangers:
        stranger.parent.mkdir(exist_ok=True)
        stranger.write_text("not to be touched")
    for _ in range(2):  # and it stays so
        replica = begin(config)
        assert sorted(tmp_path.rglob("*.*")) == sorted([*strangers, tmp_path / NODE / DATA_NAME])
        entries = {key: replica.records.find(key) for key in (*theirs, "none")}
        assert entries["max"] is not None
        assert (entries["max"].lattice, entries["max"].others) == (Max(5), None)
        assert entries["gone"] is not None
        assert entries["gone"].lattice is None
        assert entries["both"] is not None
        assert entries["both"].lattice == Max(8)
        assert entries["large"] is not None
        assert entries["large"].nbytes == large.nbytes
        assert (entries["large"].others, entries["large"].deps) == (None, None), "no store counts so any more"
        assert entries["type"] is not None
        assert entries["type"].generation == 5


def test_a_key_comes_with_its_history(tmp_path: Path) -> None:
    config = Config(state_dir=str(tmp_path))
    large = LWW(2, "c2", encode(bytes(100_000)))
    met = (Met("over", 2, "c9", 3),)
    versions = {
        41: Stored(LWW(1, "c1", encode("first")), 5, 41, stamp=1, writer="c1", nbytes=5),
        42: Stored(large, 5, 42, {"node": 3}, 2, "c2", large.nbytes, met=met),
        43: Stored(LWW(3, "c3", encode("last")), 5, 43, stamp=3, writer="c3", nbytes=4),
    }
    disk = open_state(config, "s2")
    assert disk is not None
    places = {version_place("k", seq): version for seq, version in versions.items()}
    disk.storage.write({place: pack(place, version) for place, version in places.items()})
    disk.storage.close()
    for _ in range(2):
        replica = begin(config)
        told = [replica.records.describe(each) for each in replica.records.versions("k")]
        assert [(each.writer, each.stamp) for each in told] == [("c3", 3), ("c2", 2), ("c1", 1)]
        assert told[1].met == [*met]
        assert told[1].nbytes == large.nbytes


@pytest.mark.parametrize("largest", [3, 9])
def test_of_a_key_that_both_have_what_is_current_is_merged_and_so_is_the_past(
    tmp_path: Path, largest: int
) -> None:
    config = Config(state_dir=str(tmp_path))
    leave(config, NODE, {"k": Stored(Max(largest), 0, 1, stamp=20, writer="c1", nbytes=8)})
    disk = open_state(config, "s2")
    assert disk is not None
    theirs = {
        7: Stored(Max(2), 0, 7, None, 10, "c2", 8),
        8: Stored(Max(5), 0, 8, {"node": 1}, 30, "c2", 8),
        BESIDE + 9: Stored(Max(1), 0, BESIDE + 9, {"s2": 0, "s3": 4}, 5, "c3", 8),
    }
    for seq, version in theirs.items():
        disk.storage.write({version_place("k", seq): pack(version_place("k", seq), version)})
    disk.storage.close()
    expected = {3: [(5, 30), (3, 20), (2, 10), (1, 5)], 9: [(9, 20), (5, 30), (2, 10), (1, 5)]}
    for _ in range(2):
        records = begin(config).records
        versions = records.versions("k")
        shown = [(each.lattice.value, each.stamp) for each in versions if isinstance(each.lattice, Max)]
        assert shown == expected[largest]
        assert [records.version(each) for each in versions[2:]] == [{}, {}], "no store counts so any more"
        assert all(seq < BESIDE for vector in map(records.version, versions) for seq in vector.values())


def test_of_a_deleted_key_nothing_is_left(tmp_path: Path) -> None:
    config = Config(state_dir=str(tmp_path))
    disk = open_state(config, "s2")
    assert disk is not None
    for seq, version in {7: Stored(Max(2), 0, 7), 8: Stored(None, 9, 8)}.items():
        disk.storage.write({version_place("k", seq): pack(version_place("k", seq), version)})
    disk.storage.close()
    replica = begin(config)
    assert replica.records.versions("k") == []
    assert replica.records.generation("k") == 9


def fill(config: Config, name: str) -> dict[str, Stored]:
    """A store's file that is nearly full: its keys have that name, too."""
    records = {
        f"{name}/{number}": Stored(LWW(number, "c1", encode(bytes(50_000))), 0, number, nbytes=50_000)
        for number in range(1, 16)
    }
    leave(config, name, records)
    return records


def test_what_others_have_left_is_taken_over_though_it_is_more_than_one_file_may_have(tmp_path: Path) -> None:
    config = Config(state_dir=str(tmp_path), disk_bytes_max=1_000_000)
    there = [key for name in (NODE, "s2", "s3") for key in fill(config, name)]
    for _ in range(2):
        disk = open_state(config, NODE)
        assert disk is not None
        replica = ReplicaCore(config, NODE, disk.found)
        take_over(config, disk, replica)
        assert sorted(replica.records.live) == sorted(there)
        with pytest.raises(StorageFull, match="it may have 1000000 bytes"):
            disk.storage.write({b"more": bytes(50_000)})
        disk.storage.write({version_place("s2/1", replica.records.live["s2/1"].seq): None})
        there.remove("s2/1")
        disk.storage.close()
        leave(config, "s2", {"s2/1": Stored(Max(1), 0, 1)})
        there.append("s2/1")


def test_without_room_on_the_disk_all_stays_where_it_is(tmp_path: Path) -> None:
    config = Config(state_dir=str(tmp_path))
    fill(config, NODE)
    fill(config, "s2")
    with no_room_for_bytes(), pytest.raises(StorageFull, match="what the store s2 has left cannot be taken"):
        begin(config)
    assert len(begin(config).records.live) == 30
