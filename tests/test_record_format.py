"""The format of records: what is written is read, and what is damaged is said to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudburst_nb.records.errors import RecordError
from cloudburst_nb.records.folder import Draft, Files, loosened, squeezed
from cloudburst_nb.records.format import (
    MAGIC,
    Called,
    Cell,
    Damaged,
    Environment,
    Head,
    Kept,
    KeptArgs,
    KeptFailure,
    KeptLattice,
    KeptSeen,
    KeptStep,
    Shown,
    Stored,
    block,
    entries_of,
    read_head,
    write_head,
)
from cloudburst_nb.records.record import read
from tests.full_disks import no_room_for_bytes

names = st.text(max_size=5)
parts = st.binary(max_size=9) | names
kept = st.builds(Kept, names, st.lists(parts, max_size=3))
failures = st.builds(KeptFailure, names, names, names, st.none() | kept)
lattices = st.builds(KeptLattice, names, kept, parts, st.integers(0, 9), names, st.just({"node": 3}))
seen = st.builds(
    KeptSeen,
    st.sampled_from(["get", "put"]),
    st.lists(names, max_size=2),
    st.lists(st.none() | lattices, max_size=2),
    st.lists(st.tuples(names, kept), max_size=2),
    st.floats(0, 9),
    names,
    st.none() | failures,
)
steps = st.builds(
    KeptStep, st.integers(0, 3), names, *[st.floats(0, 9)] * 3, names, st.integers(1, 3),
    seen=st.lists(seen, max_size=2), value=st.none() | kept, failure=st.none() | failures,
)  # fmt: skip
arguments = st.builds(KeptArgs, kept, st.lists(st.tuples(st.integers(0, 3) | names, names), max_size=2))
calls = st.builds(
    Called,
    *[st.integers(0, 99)] * 3,
    st.just("function"),
    names,
    *[st.floats(0, 9)] * 2,
    st.lists(st.tuples(st.none() | names, arguments), max_size=2),
    st.lists(st.tuples(names, st.integers(1, 3), st.none() | st.lists(kept, max_size=1), st.booleans())),
    value=st.none() | kept,
    steps=st.lists(steps, max_size=2),
)
shown = st.builds(Shown, st.sampled_from(["text", "value"]), names, parts)
cells = st.builds(Cell, st.integers(1, 9), names, names, outputs=st.lists(shown, max_size=2))
stored = st.builds(
    Stored, st.just(0), st.just("write"), st.floats(0, 9), st.lists(names), st.lists(st.none() | lattices)
)
environments = st.builds(Environment, names, names, st.just({"a": "1"}))
entries = st.lists(calls | cells | stored | environments, max_size=4)
logs = st.lists(entries, max_size=3)


def written(blocks: list[list[Any]]) -> bytes:
    return MAGIC + b"".join(map(block, blocks))


@given(logs)
@settings(max_examples=50)
def test_what_is_written_is_read(blocks: list[list[Any]]) -> None:
    assert entries_of(written(blocks)) == [entry for each in blocks for entry in each]


@given(logs, st.data())
@settings(max_examples=50)
def test_a_log_that_was_cut_short_gives_the_blocks_before_the_cut(
    blocks: list[list[Any]], data: st.DataObject
) -> None:
    whole = written(blocks)
    ends = [len(written(blocks[:count])) for count in range(len(blocks) + 1)]
    cut = data.draw(st.integers(0, len(whole) - 1))
    if cut in ends:
        assert entries_of(whole[:cut]) == [entry for each in blocks[: ends.index(cut)] for entry in each]
        return
    with pytest.raises(Damaged, match="cut short") as told:
        entries_of(whole[:cut])
    before = blocks[: max(0, sum(end <= cut for end in ends) - 1)]
    assert told.value.entries == [entry for each in before for entry in each]
    assert told.value.good == max((end for end in ends if end <= cut), default=0)


@given(st.lists(entries.filter(bool), min_size=1, max_size=2), st.data())
@settings(max_examples=50)
def test_a_log_that_was_changed_is_not_read(blocks: list[list[Any]], data: st.DataObject) -> None:
    whole = bytearray(written(blocks))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        entries_of(bytes(whole))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"cloudburst-record 7\nwhatever", "it is of version 7, and this program reads version 1"),
        (b"PK\x03\x04", "does not begin as a log does"),
        (b"", "cut short"),
        (MAGIC + block([Environment("a", "b", {})]).replace(b"x", b"x")[:9], "cut short"),
    ],
)
def test_what_is_no_log_of_this_version_is_said_to_be_none(data: bytes, told: str) -> None:
    with pytest.raises(Damaged, match=told):
        entries_of(data)


def test_a_head_is_read_as_it_was_written() -> None:
    head = Head(notebook="a.ipynb", parameters={"n": [1, None]}, arguments={"m": "-1"}, executors=(1, 4))
    assert read_head(write_head(head)) == head


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "cut short, or no JSON"),
        (b'{"format": "cloudburst-record", "ver', "cut short, or no JSON"),
        (b"[1]", "not that of a cloudburst-record"),
        (b'{"format": "other", "version": 1}', "not that of a cloudburst-record"),
        (b'{"format": "cloudburst-record", "version": 2}', "of version 2, and this program reads version 1"),
        (b'{"format": "cloudburst-record", "version": 1, "calls": "many"}', "damaged"),
    ],
)
def test_a_head_that_cannot_be_read_is_told_in_one_line(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        read_head(data)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=3000))
def test_a_file_of_a_value_gives_its_data_back(data: bytes) -> None:
    assert loosened(squeezed(data)) == data


# ---------------------------------------------------------------- folders


@pytest.fixture
def record(tmp_path: Path) -> Path:
    draft = Draft(tmp_path / "r")
    long = draft.log.keep(bytes(range(256)) * 20)
    draft.log.append([Cell(1, "x", "d", outputs=[Shown("value", "x", long)])])
    draft.finish(Head(calls=0), "{}")
    return tmp_path / "r"


def test_a_draft_becomes_the_record_and_leaves_nothing_beside_it(record: Path) -> None:
    assert [path.name for path in record.parent.iterdir()] == ["r"]
    [cell] = read(record).cells
    assert cell.outputs[0].kind == "value"
    assert shown_in(record) == bytes(range(256)) * 20
    assert Files(record).notebook() == "{}"


def test_a_record_is_replaced_as_a_whole(record: Path) -> None:
    draft = Draft(record)
    draft.log.append([Environment("3", "here", {})])
    assert read(record).cells, "the old one stands until the new one is whole"
    draft.finish(Head(notebook="new.ipynb"))
    assert read(record).head.notebook == "new.ipynb"
    assert [path.name for path in record.parent.iterdir()] == ["r"]


def test_what_is_no_record_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("1")
    for target in (tmp_path / "thesis", tmp_path / "thesis" / "chapter"):
        with pytest.raises(RecordError, match="exists and is no record"):
            Draft(target)
    assert (tmp_path / "thesis" / "chapter").read_text() == "1"


def test_a_draft_whose_process_is_gone_is_removed_by_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f".r.{gone.pid}.part"
    others = tmp_path / f".r.{os.getppid()}.part"
    left.mkdir()
    others.mkdir()
    Draft(tmp_path / "r").drop()
    assert [path.name for path in tmp_path.iterdir()] == [others.name]


def test_a_draft_for_which_the_disk_has_no_byte_leaves_nothing(tmp_path: Path) -> None:
    with no_room_for_bytes(), pytest.raises(RecordError, match="r: the record cannot be written: "):
        Draft(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_was_not_finished_is_taken_off(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "r")
    draft.log.append([Environment("3", "here", {})])
    with (draft.folder / "log").open("ab") as file:
        file.write(block([Environment("4", "there", {})])[:-3])
    draft.log.mend()
    draft.log.append([Cell(1, "x", "d")])
    draft.finish(Head())
    found = read(tmp_path / "r")
    assert (found.environment, len(found.cells)) == (Environment("3", "here", {}), 1)


def shown_in(record: Path) -> bytes:
    found = read(record)
    return found.files.data(found.cells[0].outputs[0].content)


def damage(record: Path, how: str) -> None:
    [value] = (record / "values").iterdir()
    if how == "log cut":
        os.truncate(record / "log", (record / "log").stat().st_size - 5)
    elif how == "log cut between blocks":
        os.truncate(record / "log", len(MAGIC))
    elif how == "log gone":
        (record / "log").unlink()
    elif how == "head gone":
        (record / "record.json").unlink()
    elif how == "head cut":
        os.truncate(record / "record.json", 20)
    elif how == "version":
        head = (record / "record.json").read_text()
        (record / "record.json").write_text(head.replace('"version": 1', '"version": 99'))
    elif how == "value cut":
        os.truncate(value, 5)
    elif how == "value changed":
        value.write_bytes(squeezed(b"other"))
    elif how == "value gone":
        value.unlink()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("log cut", "cut short: its log has"),
        ("log cut between blocks", "cut short: its log has"),
        ("log gone", "cut short: log is missing"),
        ("head gone", "not a record: it has no record.json"),
        ("head cut", "cut short"),
        ("version", "of version 99, and this program reads version 1: make it again"),
        ("value cut", "damaged: values/"),
        ("value changed", "damaged: values/"),
        ("value gone", "cut short: values/"),
    ],
)
def test_a_damaged_record_is_told_in_one_line(record: Path, how: str, told: str) -> None:
    damage(record, how)
    with pytest.raises(RecordError, match=told) as caught:
        shown_in(record)
    assert "\n" not in str(caught.value)
    assert str(record) in str(caught.value)


def test_there_is_no_record_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, told in ((tmp_path / "nowhere", "no such record"), (tmp_path / "file", "a record is a folder")):
        with pytest.raises(RecordError, match=told):
            read(path)
