"""A runtime in a notebook."""

from __future__ import annotations

import re
from typing import Any

from cloudburst_nb.status import Status
from cloudburst_runtime.messages import ExecutorStatus, StatusReply
from tests.showing import read


def status(executors: int = 2, key_file: str = "", **more: Any) -> Status:
    reply = StatusReply(
        1,
        "local",
        [
            ExecutorStatus(f"e{index}", 100 + index, "h", 0, 3 * index, "square" if index else "", ["square"])
            for index in range(executors)
        ],
        **{"functions": {"square": 2}, "dags": [], "keys": 1, "store_bytes": 1234, "clients": ["c1"], **more},
    )
    return Status(reply, ["unix:/tmp/<x>"], key_file)


def test_a_status_shows_each_executor_and_what_is_registered() -> None:
    html = status()._repr_html_()
    said = read(html)
    assert re.match(
        r"Cloudburst runtime local at \d\d:\d\d:\d\d 2 executors: 1 busy, 3 calls waiting, locality", said
    )
    assert "e0 100 idle 0 square" in said
    assert "e1 101 ● running square 3 square" in said
    assert said.endswith("address unix:/tmp/<x> functions square v2 DAGs none store 1 key, 1.23 KB clients 1")
    assert "<details open>" in html


def test_many_executors_are_folded_and_very_many_are_cut() -> None:
    html = status(100)._repr_html_()
    assert "<details open>" not in html
    assert "… and 36 more" in read(html)


def test_a_runtime_that_listens_names_its_key_file() -> None:
    assert "key file /tmp/key" in read(status(key_file="/tmp/key")._repr_html_())


def test_many_names_are_cut() -> None:
    said = read(status(functions={f"f{index:03}": 1 for index in range(150)})._repr_html_())
    assert "f099 v1 … and 50 more" in said
    assert "f100" not in said


def test_a_runtime_whose_executors_are_not_there_yet_says_so() -> None:
    assert "its executors are starting" in read(status(0)._repr_html_())
