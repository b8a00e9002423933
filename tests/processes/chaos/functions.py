"""What runs on the executors while they are killed.

Law: a function whose runs differ says in the ledger first what it is about to write, under the name of the
call that it is a run of: ``page`` is the ledger's pipe, the client and the number. A run that is killed and
tried again has said so twice.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, TypeAlias

Page: TypeAlias = tuple[str, str, int]


def _say(page: Page, value: Any) -> None:
    from tests.processes.chaos.ledger import (
        RAN,
        Pen,
    )  # by its name: what lies beside a caller travels by value

    path, who, number = page
    with contextlib.closing(Pen(path, who)) as pen:
        pen.say(number, RAN, value=value)


def assign(cloudburst: Any, page: Page, key: str, name: str) -> str:
    """Put a value, the same in each run."""
    cloudburst.put(key, name, **({} if cloudburst.consistency == "atomic" else {"lattice": "lww"}))
    return name


def insert(cloudburst: Any, page: Page, key: str, name: str) -> str:
    """Add an element to a set."""
    cloudburst.put(key, {name})
    return name


def increase(cloudburst: Any, page: Page, key: str, amount: int) -> int:
    """Add to a counter; each run does."""
    _say(page, amount)
    cloudburst.put(key, amount, lattice="counter")
    return amount


def look(cloudburst: Any, key: str) -> Any:
    """Read a key."""
    return cloudburst.get(key)


def write_beside(cloudburst: Any, page: Page, key: str, known: list[str]) -> str:
    """Write what replaces all that its session and this run have seen of the key, under a name of its own."""
    _, who, number = page
    seen = list(dict.fromkeys([*known, *(sibling[0] for sibling in cloudburst.get(key, siblings=True))]))
    made = (f"{who}:{number}:{uuid.uuid4().hex[:8]}", seen)
    _say(page, made)
    cloudburst.put(key, made, lattice="causal")
    return made[0]


def plant(cloudburst: Any, page: Page, key: str, known: list[str]) -> list[str]:
    """The first step of a trail."""
    return [write_beside(cloudburst, page, key, known), key]


def spot(cloudburst: Any, planted: list[str]) -> list[Any]:
    """A later step: what was written, and what is there."""
    name, key = planted
    return [name, [sibling[0] for sibling in cloudburst.get(key, siblings=True)]]


def spot_too(cloudburst: Any, planted: list[str]) -> list[Any]:
    """As `spot`, beside it."""
    return spot(cloudburst, planted)


def spotted(cloudburst: Any, left: list[Any], right: list[Any]) -> list[Any]:
    """The last step of a trail."""
    return [*left, right[1]]


def first(cloudburst: Any, key: str) -> list[Any]:
    """The first of the steps that read one key."""
    return [key, cloudburst.get(key)]


def second(cloudburst: Any, read: list[Any]) -> list[Any]:
    """A step that reads the key again."""
    return [*read, cloudburst.get(read[0])]


def second_too(cloudburst: Any, read: list[Any]) -> list[Any]:
    """As `second`, beside it."""
    return second(cloudburst, read)


def third(cloudburst: Any, left: list[Any], right: list[Any]) -> list[Any]:
    """The last of them: all that they have read."""
    return [*left[1:], *right[2:], cloudburst.get(left[0])]


def put_left(cloudburst: Any, page: Page, key: str, name: str) -> list[str]:
    """The first half of what is written all or none."""
    cloudburst.put(f"{key}/left", name)
    return [key, name]


def put_right(cloudburst: Any, half: list[str]) -> str:
    """The second half, in a step of its own."""
    key, name = half
    cloudburst.put(f"{key}/right", name)
    return name


def both(cloudburst: Any, key: str) -> list[Any]:
    """The two halves, as one call sees them."""
    return [cloudburst.get(f"{key}/left"), cloudburst.get(f"{key}/right")]


def next_number(cloudburst: Any, page: Page, key: str) -> int:
    """Read, add one and write back: at ``atomic``, once for each call however often it runs."""
    number = (cloudburst.get(key) or 0) + 1
    cloudburst.put(key, number)
    return int(number)


FUNCTIONS = (
    assign,
    insert,
    increase,
    look,
    write_beside,
    plant,
    spot,
    spot_too,
    spotted,
    first,
    second,
    second_too,
    third,
    put_left,
    put_right,
    both,
    next_number,
)
