"""A request that the runtime could not read is refused before it is sent, and no bytes are copied for it."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from cloudburst_runtime.messages import DagNode, DagSpec, DefineDag, Describe, FunctionSpec, Keys, Register
from cloudburst_runtime.shell.client import check_readable
from cloudburst_runtime.values import encode


@pytest.mark.parametrize(
    "message",
    [
        Keys(1, 5),  # type: ignore[arg-type]
        Keys(1, "\ud800"),
        Describe(1, "version", "f", 2**80),
        Register(1, FunctionSpec("f", 1, "no bytes")),  # type: ignore[arg-type]
        Register(1, FunctionSpec("f", 1, b"code", retries="many")),  # type: ignore[arg-type]
        Register(1, FunctionSpec(b"f", 1, b"code")),  # type: ignore[arg-type]
        Register(1, FunctionSpec("f", 1, b"code", cells={"cell": object()})),  # type: ignore[dict-item]
        DefineDag(1, DagSpec("d", [DagNode("f", [b"no value"])])),  # type: ignore[list-item]
    ],
)
def test_what_cannot_be_read_is_refused(message: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{type(message).__name__} cannot be asked for with this: "):
        check_readable(message)


def test_what_can_be_read_is_left_as_it_is() -> None:
    nodes = [DagNode("f", [encode(bytes(100)), encode(None)])]
    message = DefineDag(1, DagSpec("d", nodes))
    before = repr(message)
    check_readable(message)
    assert repr(message) == before


def test_a_large_function_is_not_copied_for_it() -> None:
    message = Register(1, FunctionSpec("f", 1, bytes(20_000_000)))
    tracemalloc.start()
    try:
        check_readable(message)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
