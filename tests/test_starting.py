"""What `up` is asked for is checked before anything starts, and named when it makes no sense."""

from __future__ import annotations

import math
from typing import Any

import pytest

import cloudburst_nb as cb


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [({"executors": True}, TypeError, "executors is a whole number"),
     ({"executors": 2.5}, TypeError, "executors is a whole number"),
     ({"executors": ("a", "b")}, TypeError, "executors is a whole number"),
     ({"executors": (1, 2, 3)}, TypeError, "executors is a whole number"),
     ({"executors": 0}, ValueError, "executors must be from 1"),
     ({"executors": (3, 2)}, ValueError, "min not above max"),
     ({"threads": "x"}, TypeError, "threads is how many"),
     ({"threads": None}, TypeError, "threads is how many"),
     ({"threads": 0}, ValueError, "threads is how many .* from 1"),
     ({"gpus": 0.5}, TypeError, "gpus is how many"),
     ({"gpus": -1}, ValueError, "gpus is how many"),
     ({"memory_limit": "1 GB"}, TypeError, "memory_limit is how many bytes"),
     ({"memory_limit": math.nan}, TypeError, "memory_limit is how many bytes"),
     ({"memory_limit": 100}, ValueError, "memory_limit is how many bytes"),
     ({"history": math.nan}, TypeError, "history is how many versions"),
     ({"history": None}, TypeError, "history is how many versions"),
     ({"disk_limit": math.inf}, TypeError, "disk_limit is how many bytes"),
     ({"stores": math.nan}, TypeError, "stores is a whole number"),
     ({"replication": "2"}, TypeError, "replication is a whole number"),
     ({"seed": 1.5}, TypeError, "seed is a whole number"),
     ({"preload": "torch"}, TypeError, "preload is a list of names"),
     ({"preload": 5}, TypeError, "preload is a list of names"),
     ({"preload": [math]}, TypeError, "preload is a list of names"),
     ({"state_dir": 5}, TypeError, "state_dir is the path"),
     ({"listen": 7000}, TypeError, "listen is an address"),
     ({"name": 5}, TypeError, "name is what status shows"),
     ({"policy": 5}, ValueError, "no policy 5"),
     ({"durability": 5}, ValueError, "durability is one of")],
)  # fmt: skip
def test_what_makes_no_sense_is_told_and_starts_nothing(
    options: dict[str, Any], kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a runtime was started")

    monkeypatch.setattr("cloudburst_runtime.launch.local.start", start)
    with pytest.raises(kind, match=message):
        cb.up(**options)
