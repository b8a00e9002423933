"""The report of a run: one page with all that is asked for, which asks nobody for anything."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

import pytest

from cloudburst_nb.cli import main
from cloudburst_nb.records.folder import Draft
from cloudburst_nb.records.format import (
    Called,
    Cell,
    Dag,
    Environment,
    Function,
    Head,
    Kept,
    KeptArgs,
    KeptFailure,
    KeptStep,
    LogEntry,
    Runtime,
    Shown,
)
from cloudburst_nb.records.page import html as page_of
from cloudburst_nb.records.record import read
from cloudburst_runtime.values import encode

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HOSTILE = "</pre><script src='https://evil.example/x.js'></script>"


def kept(value: object) -> Kept:
    return Kept("d", [encode(value).data])


def called(index: int, **more: Any) -> Called:
    step = KeptStep(0, "e1", 1.0, 2.0, 4.0, "scale", 2)
    args: list[tuple[str | None, KeptArgs]] = [(None, KeptArgs(kept(((HOSTILE,), {}))))]
    nodes: list[tuple[str, int, list[Kept] | None, bool]] = [("scale", 2, None, False)]
    return Called(index, 0, index + 1, "function", "scale", 0.0, 5.0, args, nodes, steps=[step], **more)


def output(**data: str) -> dict[str, Any]:
    return {
        "output_type": "display_data",
        "data": {kind.replace("_", "/"): text for kind, text in data.items()},
    }


ENTRIES: list[LogEntry] = [
    Runtime(0, 7, 2, 32, "locality"),
    Function(
        0,
        "scale",
        2,
        "abc",
        f"def scale(x):\n    return '{HOSTILE}'",
        "function",
        kept(0),
        [("factor", "e", "3")],
    ),
    Dag(0, "pipe", [("load", False, False, False), ("scale", True, False, True)], [(0, 1)]),
    called(0, value=kept(HOSTILE)),
    called(1, failure=KeptFailure("user", HOSTILE)),
    Cell(1, "plot()", "d", ["slow"], 0.5, [Shown("text", "x")], count=1),
    Cell(2, "1 / 0", "d", error="ZeroDivisionError", count=2, outputs=[Shown("error", HOSTILE)]),
    Environment("3.11.2", "Linux on x86_64", {"numpy": "1.26.0"}),
]
NOTEBOOK = {
    "cells": [
        {
            "execution_count": 1,
            "outputs": [
                output(image_png=PNG, text_plain="<Figure>"),
                output(text_html="<b>bold</b>", text_plain="plain"),
                output(text_html=HOSTILE, text_plain="in its place"),
                output(text_html="<img src=x onerror = 'go()'>", text_plain="instead"),
                {"output_type": "stream", "name": "stdout", "text": [HOSTILE]},
            ],
        }
    ]
}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    draft = Draft(tmp_path / "r")
    draft.log.append(ENTRIES)
    head = Head(
        notebook="nb.ipynb", made="2026-01-02T03:04:05", seed=7, arguments={"size": "5"}, complete=False
    )
    draft.finish(head, json.dumps(NOTEBOOK))
    return tmp_path / "r"


class Tags(html.parser.HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_page_asks_nobody_for_anything(record: Path) -> None:
    page = Tags(page_of(read(record)))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = [
        attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes
    ]
    assert sources
    assert all(source is not None and source.startswith(("#", "data:image/")) for source in sources)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_a_page_has_what_is_asked_for(record: Path) -> None:
    text = page_of(read(record))
    words = " ".join(Tags(text).words)
    for told in ("nb.ipynb", "2 calls, of which 1 failed", "the run did not reach its end", "pipe", "scale"):
        assert told in words
    for told in (
        "Python",
        "3.11.2",
        "numpy",
        "1.26.0",
        "size = 5",
        "factor",
        "version 2",
        "2 to 32 executors",
    ):
        assert told in words
    assert "in its place" in words, "HTML that asks elsewhere is shown as text"
    assert "instead" in words
    assert "plain" not in words.split(), "other HTML is shown as such"
    assert PNG in text
    for anchor in ("timings", "dags", "functions", "cells", "calls", "environment"):
        assert f'href="#{anchor}"' in text
        assert f'id="{anchor}"' in text


def test_the_command_writes_the_page_beside_the_record(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(record)]) == 0
    assert capsys.readouterr().out == f"page: {record}.html\n"
    assert record.with_name("r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert main(["report", str(record / "log")]) == 2
    assert "a record is a folder" in capsys.readouterr().err


def test_an_empty_record_has_a_page_too(tmp_path: Path) -> None:
    Draft(tmp_path / "empty").finish(Head())
    assert "empty" in page_of(read(tmp_path / "empty"))
