"""What the tests of displays show: futures with outcomes of any kind, without a runtime.

Law: nothing here waits; a future that waits is resolved by the test's own `Shell`.
"""

from __future__ import annotations

import html.parser
import re
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from cloudburst_nb.future import CloudburstFuture
from cloudburst_nb.journal import Journal
from cloudburst_runtime.messages import Failure, Result, Running, Step
from cloudburst_runtime.values import encode

VOID = {"img", "br", "hr", "col", "input"}


class Shell:
    """What a future needs of a client's shell; each wait ends some of the calls that it was given."""

    def __init__(self) -> None:
        self.loop = SimpleNamespace(lock=threading.Lock())
        self.script: list[Callable[[], object]] = []
        self.waits: list[float | None] = []
        self.cancelled: list[int] = []
        self.trace: Any = None

    def wait(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if self.script:
            self.script.pop(0)()
        return done()

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def check(self) -> None:
        """It is never closed."""


def future(
    target: str = "square", nodes: list[str] | None = None, shell: Shell | None = None, number: int = 1
) -> CloudburstFuture:
    """A future without an outcome, of a call that was made at 1000 ms."""
    client: Any = SimpleNamespace(name="c1", _shell=shell or Shell(), _journal=Journal())
    return CloudburstFuture(client, number, target, nodes or [], 1000.0)


def step(node: int = 0, executor: str = "e1", at: float = 1001.0, run: float = 2.0, **printed: str) -> Step:
    """Ready at ``at``, begun a millisecond later."""
    return Step(node, executor, at, at + 1.0, at + 1.0 + run, **printed)


def done(
    value: object = 9, target: str = "square", steps: list[Step] | None = None, **more: Any
) -> CloudburstFuture:
    """A future with a value, five milliseconds after its call."""
    made = future(target, **more)
    made.resolve(Result(1, 0, encode(value), [step()] if steps is None else steps), 1005.0)
    return made


def failed(failure: Failure, target: str = "broken", steps: list[Step] | None = None) -> CloudburstFuture:
    made = future(target)
    made.resolve(Result(1, 0, None, steps or [], failure), 1005.0)
    return made


def running(made: CloudburstFuture, **news: Any) -> CloudburstFuture:
    made.observe(Running(1, 0, 0, "e3", **news))
    return made


class _Reader(html.parser.HTMLParser):
    """Checks that what opens closes, and collects what a front end would have to fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs), attrs
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> str:
    """The words of some HTML, which must be well-formed, and need no script, no request and no trust."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    assert not reader.tags & {"script", "style", "svg", "link", "iframe", "object"}
    assert all(source.startswith("data:image/") for source in reader.sources)
    return re.sub(r"\s+", " ", " ".join(reader.words)).strip()


def pictures(text: str) -> list[ElementTree.Element]:
    """The SVG pictures in some HTML."""
    import base64

    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', text)
    return [ElementTree.fromstring(base64.b64decode(data)) for data in found]


def named(picture: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    """The elements of that name, without their namespace."""
    return [each for each in picture.iter() if each.tag.rpartition("}")[2] == tag]
