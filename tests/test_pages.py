"""LMDB files read without LMDB: whole ones as they are, damaged ones without ever believing them."""

from __future__ import annotations

import random
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.shell.pages import read

PAGE_BYTES = 4096


class Made:
    """A file, kept from the sight of Hypothesis, which would print it; and what is in it."""

    data: bytes
    model: dict[bytes, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A file with some history: several levels, large values, free pages."""
    path = tmp_path_factory.mktemp("pages") / "data.mdb"
    luck = random.Random(3)
    made, model = Made(), {}
    with lmdb.open(str(path), map_size=1 << 28, subdir=False, lock=False) as env:
        for _ in range(120):
            with env.begin(write=True) as transaction:
                for _ in range(luck.randrange(40)):
                    key = b"k%d" % luck.randrange(1500)
                    if luck.random() < 0.3:
                        transaction.delete(key)
                        model.pop(key, None)
                    else:
                        size = luck.choice((10, 1000, 3000, 9000)) if luck.random() < 0.2 else 30
                        model[key] = luck.randbytes(size)
                        transaction.put(key, model[key])
    made.data, made.model = path.read_bytes(), model
    return made


def found(data: bytes | bytearray) -> tuple[dict[bytes, bytes], list[str]]:
    result = read(memoryview(data))
    return {record.key: bytes(record.value) for record in result.records}, result.faults


def test_a_whole_file_is_read_as_lmdb_reads_it(made: Made) -> None:
    data, model = made.data, made.model
    assert found(data) == (model, [])
    assert [record.key for record in read(memoryview(data)).records] == sorted(model)


def test_an_empty_database_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.mdb"
    with (
        lmdb.open(str(path), map_size=1 << 20, subdir=False, lock=False) as env,
        env.begin(write=True) as transaction,
    ):
        transaction.put(b"a", b"b")
        transaction.delete(b"a")
    assert found(path.read_bytes()) == ({}, [])


def test_a_file_is_whole_after_any_transaction(tmp_path: Path) -> None:
    """The free pages are listed by the numbers of transactions, which are not in the order of their bytes."""
    path, luck = tmp_path / "data.mdb", random.Random(4)
    with lmdb.open(str(path), map_size=1 << 22, subdir=False, lock=False, sync=False) as env:
        for number in range(600):
            with env.begin(write=True) as transaction:
                for _ in range(9):
                    transaction.put(b"%d" % luck.randrange(300), bytes(luck.randrange(900)))
            assert read(memoryview(path.read_bytes())).faults == [], number


@given(cut=st.floats(0, 1))
def test_a_file_that_is_cut_off_is_known(made: Made, cut: float) -> None:
    result = read(memoryview(made.data[: int(cut * (len(made.data) - 1))]))
    assert result.faults
    assert all(made.model[record.key] == record.value for record in result.records if record.reached)


@given(places=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=30))
def test_nothing_that_is_read_is_believed(made: Made, places: list[tuple[int, int]]) -> None:
    data = bytearray(made.data)
    for place, byte in places:
        data[place % len(data)] = byte
    found(data)  # it neither raises nor goes on for ever


@pytest.mark.parametrize("what", ["root", "leaf", "head"])
def test_one_damaged_page_costs_little(made: Made, what: str) -> None:
    data, model = bytearray(made.data), made.model
    number = {"head": _newest_head(data), "root": _root(data), "leaf": _a_leaf(data)}[what]
    data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
    records, faults = found(data)
    assert faults
    intact = sum(records.get(key) == value for key, value in model.items())
    assert intact > 0.85 * len(model)


def test_without_both_heads_the_pages_are_looked_for(made: Made) -> None:
    result = read(memoryview(bytes(2 * PAGE_BYTES) + made.data[2 * PAGE_BYTES :]))
    assert result.faults[0] == "neither of its two heads can be read"
    found = {(record.key, bytes(record.value)) for record in result.records}
    assert len(found & made.model.items()) > 0.85 * len(made.model)


def _newest_head(data: bytearray) -> int:
    numbers = [int.from_bytes(data[page * PAGE_BYTES + 144 :][:8], "little") for page in (0, 1)]
    return numbers.index(max(numbers))


def _root(data: bytearray) -> int:
    return int.from_bytes(data[_newest_head(data) * PAGE_BYTES + 128 :][:8], "little")


def _a_leaf(data: bytearray) -> int:
    start = _root(data) * PAGE_BYTES
    assert int.from_bytes(data[start + 10 : start + 12], "little") == 1, "the root is no branch"
    offset = start + int.from_bytes(data[start + 16 : start + 18], "little")
    return int.from_bytes(data[offset : offset + 4], "little")
