"""Random DAGs over shared keys, as in the Cloudburst paper's evaluation of consistency; and what they carry.

Law: what is drawn follows from a seed alone, so each level runs the same. Chains of two to four functions, a
join and a diamond; each function reads two keys, Zipf over `KEYS`, and the last one writes one that was read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any

KEYS = 1_000
SHAPES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((0, 1),),
    ((0, 1), (1, 2)),
    ((0, 1), (1, 2), (2, 3)),
    ((0, 2), (1, 2)),
    ((0, 1), (0, 2), (1, 3), (2, 3)),
)
FUNCTIONS = ("visit0", "visit1", "visit2", "visit3")


def visit(cloudburst: Any, reads: list[str], write: str | None, *inputs: int) -> int:
    """Read keys, perhaps write one; the most bytes of session that a function of the DAG was given."""
    for key in reads:
        cloudburst.get(key)
    if write is not None:
        cloudburst.put(write, 7)
    return max([carried(cloudburst), *inputs])


def carried(cloudburst: Any) -> int:
    """How many bytes of session have come with the messages to the function that runs: looks inside."""
    import msgspec

    task = cloudburst._current
    return len(msgspec.msgpack.encode([task.clock, task.floor, task.session]))


def key(level: str, number: int) -> str:
    """One of the keys that only this level uses: what lies there is then what the level makes of it."""
    return f"{level}/{number}"


def draw(seed: int, level: str) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """A DAG after the other: the number of its shape, and the arguments of its functions."""
    luck = Random(seed)
    shares = list(accumulate(1 / rank for rank in range(1, KEYS + 1)))
    while True:
        shape = luck.randrange(len(SHAPES))
        size = 1 + max(end for _, end in SHAPES[shape])
        reads = [
            [key(level, bisect_left(shares, luck.random() * shares[-1])) for _ in range(2)]
            for _ in range(size)
        ]
        given: dict[str, list[Any]] = {FUNCTIONS[node]: [reads[node], None] for node in range(size)}
        given[FUNCTIONS[size - 1]][1] = luck.choice([read for some in reads for read in some])
        yield shape, given
