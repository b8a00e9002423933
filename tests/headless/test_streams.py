"""What cells printed, in one piece and as a terminal shows it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_nb.headless.streams import coalesce, shown


def stream(name: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\n", "plain\n"),
        ("1 %\r2 %\r3 %\n", "3 %\n"),
        ("windows\r\n", "windows\n"),
        ("\r\n", "\n"),
        ("ab\bc", "ac"),
        ("\b\bx", "x"),
        ("héllo wörld. (words)", "héllo wörld. (words)"),
    ],
)
def test_what_was_overwritten_is_not_shown(text: str, seen: str) -> None:
    assert shown(text) == seen


@given(st.text(alphabet="ab\n"))
def test_text_without_controls_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_streams_are_put_together_where_they_began() -> None:
    figure = {"output_type": "display_data", "data": {}}
    outputs = [
        stream("stderr", "e1"),
        stream("stdout", "o1"),
        figure,
        stream("stderr", "e2"),
        stream("stdout", "o2"),
    ]
    assert coalesce(outputs) == [stream("stdout", "o1o2"), stream("stderr", "e1e2"), figure]


def test_a_long_line_takes_no_time() -> None:
    """In the square of its length this would take hours, and the test its limit."""
    text = "x" * 2_000_000
    assert coalesce([stream("stdout", text + "\r"), stream("stdout", text)]) == [stream("stdout", text)]
