"""Whether a function is unchanged: by all that travels with it, in any process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from typing import Any

import pytest

from cloudburst_nb.packaging import Packed, pack
from cloudburst_nb.sameness import fingerprint

PROGRAM = """
import abc, collections, dataclasses, enum, functools, json
import numpy as np
from cloudburst_nb.packaging import pack
from cloudburst_nb.sameness import fingerprint

NAMES = {{"Ada", "Grace", "Alan"}}
WEIGHTS = np.arange(2_000) * {factor}
TABLE = collections.defaultdict(list, a=[1], b=[2])

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5

class Shape(abc.ABC):
    __slots__ = ("points",)
    factor = {factor}
    def __init__(self, *points): self.points = points
    @property
    def size(self): return len(self.points) * self.factor
    @staticmethod
    def other(): return Shape
    @classmethod
    def named(cls): return cls.__name__
    def area(self): return super().__sizeof__() {tail}

@functools.lru_cache(maxsize=8)
def cached(x): return x {tail}

def helper(n): return helper(n - 1) if n else cached(n)

def scale(x, by=2, *, shape=Shape(Point(1))):
    def inner(y): return y * by
    return inner(helper(x)) + WEIGHTS.sum() + len(NAMES) + json.loads("1") + Colour.RED.value + len(TABLE)

class Model:
    def __init__(self, path): self.path = path
    def run(self, x): return helper(x)

print(fingerprint(pack(scale)), fingerprint(pack(Model, init=(("weights",), dict()))))
"""


def told(seed: int, factor: int = 3, tail: str = "", begin: str = "") -> list[str]:
    program = begin + PROGRAM.format(factor=factor, tail=tail)
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
    )
    return process.stdout.split()


def test_it_is_the_same_in_each_process_and_changes_with_whatever_travels() -> None:
    function, model = told(1)
    assert function
    assert model
    assert told(2, begin="# another line\n") == [function, model]
    other_factor, same_model = told(1, factor=4)
    assert (other_factor != function, same_model == model) == (True, True)
    assert all(other not in ("", function, model) for other in told(1, tail="+ 1"))


def of(**options: Any) -> str:
    return fingerprint(pack(lambda x: x, name="f", source="", **options))


def capturing(value: object) -> Packed:
    return pack(lambda: value, name="f")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (0.0, -0.0),
        (1, True),
        (1, 1.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (defaultdict(list), defaultdict(set)),
        ([1, 2], (1, 2)),
    ],
)
def test_values_that_differ_make_a_difference(left: object, right: object) -> None:
    digests = [fingerprint(capturing(value)) for value in (left, right, left)]
    assert "" not in digests
    assert digests[0] == digests[2] != digests[1]


def test_options_make_a_difference() -> None:
    digests = [of(), of(retries=2), of(timeout=1.0), of(batching=True), of(gpu=True)]
    assert len(set(digests)) == 5
    assert of() == of()


def test_what_cannot_be_looked_into_is_not_known() -> None:
    class Hidden:
        def __reduce__(self) -> Any:
            return (threading.Lock, ())

    assert fingerprint(capturing(list(range(200_000)))) == ""
    packed = capturing(7)
    assert fingerprint(Packed(packed.spec, None, [], [])) == ""
    nested: list[Any] = []
    for _ in range(300):
        nested = [nested]
    assert fingerprint(capturing(nested)) == ""


def test_branches_are_told_apart_by_what_they_cover() -> None:
    """Two functions with the same instructions, in which another part of them is guarded."""
    texts = [
        """
        def f(x):
            try:
                x()
            except ValueError:
                return 1
            x()
        """,
        """
        def f(x):
            x()
            try:
                x()
            except ValueError:
                return 1
        """,
    ]
    made = []
    for text in texts:
        names: dict[str, Any] = {}
        exec(textwrap.dedent(text), names)
        made.append(fingerprint(pack(names["f"], source="")))
    assert made[0] != made[1]
