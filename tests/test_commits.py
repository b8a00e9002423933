"""What atomic calls had committed when a runtime ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudburst_runtime.anna.durable import pack, unpack, version_place
from cloudburst_runtime.anna.replica import ReplicaCore
from cloudburst_runtime.anna.stored import Cold, Stored
from cloudburst_runtime.config import Config
from cloudburst_runtime.ids import NODE
from cloudburst_runtime.lattices import LWW, Atomic, MapLattice, Max
from cloudburst_runtime.lattices.atomic import RECORDS_PREFIX
from cloudburst_runtime.shell.disks import Disk, open_state, publish_rest
from cloudburst_runtime.values import canonical, decode, encode

KEYS = ("a", "b", "large")
RECORD = RECORDS_PREFIX + "c1.7"


def atomic(key: str, stamp: int = 50) -> Atomic:
    size = 200_000 if key == "large" else 0
    return Atomic(stamp, "e1", encode((key, bytes(size))), "c1.7", KEYS)


def plain(text: str, stamp: int) -> LWW:
    return LWW(stamp, "c9", encode((text, b"")))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(state_dir=str(tmp_path))


def leave(config: Config, **records: Stored) -> None:
    """A runtime has ended when it had committed, and published what is given."""
    parts: dict[bytes, Any] = {canonical(key): atomic(key) for key in KEYS}
    parts[canonical(("result",))] = LWW(0, "e1", encode(None))
    record = MapLattice(dict(sorted(parts.items())))
    left = {RECORD: Stored(record, 0, 99, nbytes=record.nbytes), **records}
    disk = open_state(config, NODE)
    assert disk is not None
    places = {version_place(key, stored.seq): stored for key, stored in left.items()}
    disk.storage.write({place: pack(place, stored) for place, stored in places.items()})
    disk.storage.close()


def begin(config: Config) -> tuple[Disk, ReplicaCore]:
    disk = open_state(config, NODE)
    assert disk is not None
    return disk, ReplicaCore(config, NODE, disk.found)


def found(replica: ReplicaCore, disk: Disk, key: str) -> Any:
    stored = replica.records.find(key)
    if stored is not None and isinstance(stored.lattice, Cold):
        place = version_place(key, stored.seq)
        data = disk.storage.read(place)
        assert data is not None
        stored = unpack(place, data)
    if stored is None or stored.lattice is None:
        return None
    return decode(stored.lattice.value)[0] if isinstance(stored.lattice, LWW | Atomic) else stored.lattice


def after(config: Config) -> dict[str, Any]:
    """What is there after two starts, of which the second finds nothing more to do."""
    seen = []
    for _ in range(2):
        disk, replica = begin(config)
        publish_rest(disk, replica)
        assert not [key for key in replica.records.live if key.startswith(RECORDS_PREFIX)]
        seen.append({key: found(replica, disk, key) for key in KEYS})
        disk.storage.close()
    assert seen[0] == seen[1]
    return seen[0]


def test_what_was_not_published_yet_is(config: Config) -> None:
    leave(config, a=Stored(atomic("a"), 0, 1), b=Stored(plain("old", 40), 0, 2))
    assert after(config) == {"a": "a", "b": "b", "large": "large"}


def test_what_came_later_stays(config: Config) -> None:
    gone, other = Stored(None, 60, 2), Stored(Max(3), 0, 3)
    leave(config, a=Stored(plain("new", 60), 0, 1), b=gone, large=other)
    assert after(config) == {"a": "new", "b": None, "large": Max(3)}


def test_what_was_deleted_before_is_written_anew(config: Config) -> None:
    leave(config, a=Stored(None, 30, 1))
    assert after(config)["a"] == "a"


def test_without_room_it_is_left_to_the_next_start(config: Config, tmp_path: Path) -> None:
    leave(config)
    tight = Config(state_dir=str(tmp_path), disk_bytes_max=4096)
    disk, replica = begin(tight)
    publish_rest(disk, replica)
    disk.storage.close()
    assert after(config) == {"a": "a", "b": "b", "large": "large"}
