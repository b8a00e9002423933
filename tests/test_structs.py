"""Struct classes of a notebook travel by value: they work elsewhere, and come back as themselves."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloudburst_runtime.values import dumps_by_value


def elsewhere(tmp_path: Path, value: object, expression: str) -> Any:
    """What an expression about ``value`` gives in another process, which knows none of its classes."""
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(dumps_by_value(value))
    program = f"""
import pickle, msgspec
from cloudburst_runtime.values import dumps_by_value
data = open({str(sent)!r}, "rb").read()
value, again = pickle.loads(data), pickle.loads(data)

def raised(act):
    try:
        act()
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

open({str(back)!r}, "wb").write(dumps_by_value(({expression})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise RuntimeError(done.stderr)
    return pickle.loads(back.read_bytes())


@pytest.fixture(autouse=True)
def in_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook: classes below are of ``__main__``, which is another one elsewhere."""
    monkeypatch.setattr(sys.modules[__name__], "__name__", "__main__")


def test_methods_properties_and_what_refers_to_the_class_work_elsewhere(tmp_path: Path) -> None:
    class Point(msgspec.Struct):
        """A point."""

        x: float
        y: float = 0.5
        marks: list[str] = []
        scale: typing.ClassVar[int] = 7

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError(Point.__name__)

        def moved(self) -> Point:
            return Point(self.x + 1, self.y)

        @classmethod
        def made(cls) -> Point:
            return cls(5)

        @property
        def scaled(self) -> float:
            return self.x * self.scale

    expression = """(
        (value.moved(), type(value).made(), value.scaled, type(value).__doc__, value == again),
        (type(value)(1).marks is type(value)(1).marks, type(value) is type(again), type(value)),
        raised(lambda: type(value)(-1)),
    )"""
    used, kinds, error = elsewhere(tmp_path, Point(2, marks=["a"]), expression)
    assert used == (Point(3), Point(5), 14, "A point.", True)
    assert type(used[0]) is type(used[1]) is Point
    assert kinds == (False, True, Point)
    assert error == "ValueError: Point"


def test_all_that_a_class_says_of_its_fields_goes_along(tmp_path: Path) -> None:
    class Base(msgspec.Struct, tag_field="kind", tag=True):
        first: int
        second: int = 2

        def total(self) -> int:
            return self.first + self.second

    class Derived(Base, kw_only=True, rename="camel", order=True, forbid_unknown_fields=True):
        third_one: NoSuchType  # type: ignore[name-defined]  # noqa: F821
        fourth: dict[str, int] = msgspec.field(default_factory=lambda: {"a": 1})
        second: int = 20

        def total(self) -> int:
            return super().total() + sum(self.fourth.values())

    sent = Derived(1, third_one=3)
    expression = """(
        (value, value.total(), value <= again, msgspec.json.encode(value)),
        (type(value).__struct_fields__, type(value).__match_args__, type(value).__mro__[1]),
        raised(lambda: type(value)(1)),
    )"""
    used, kinds, error = elsewhere(tmp_path, sent, expression)
    assert used == (sent, 22, True, msgspec.json.encode(sent))
    assert b'"thirdOne":3' in used[3]
    assert b'"kind":"Derived"' in used[3]
    assert kinds == (Derived.__struct_fields__, ("first",), Base)
    assert error == "TypeError: Missing required argument 'third_one'"


def test_generic_frozen_and_untagged_ones(tmp_path: Path) -> None:
    T = typing.TypeVar("T")

    class Pair(msgspec.Struct, typing.Generic[T], frozen=True, array_like=True, tag="pair"):
        left: T
        right: T

        def __repr__(self) -> str:
            return f"<{self.left} {self.right}>"

    class Bare(Pair[int], tag=False, weakref=True, dict=True): ...

    expression = """tuple(
        ({one: 1}[other], repr(one), msgspec.json.encode(one), type(one).__struct_config__.tag)
        for one, other in zip(value[:2], again)
    ) + (value[2][int](1, 2), value[2])"""
    pair, bare, *found = elsewhere(tmp_path, (Pair(1, 2), Bare(1, 2), Pair), expression)
    assert pair == (1, "<1 2>", b'["pair",1,2]', "pair")
    assert bare == (1, "<1 2>", b"[1,2]", None)
    assert found == [Pair(1, 2), Pair]


def test_a_struct_that_can_be_imported_goes_by_its_name() -> None:
    from cloudburst_runtime.messages import Hello

    assert len(dumps_by_value(Hello)) < 100
    assert pickle.loads(dumps_by_value(Hello)) is Hello
