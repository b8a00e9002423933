"""The judge of what is shown of the versions of a key: it accepts a good history, and says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cloudburst_runtime.sim.history import Act, History, Spot
from cloudburst_runtime.sim.versions import judge


class Tale:
    """Clients that write, read and look back, one thing after the other."""

    def __init__(self) -> None:
        self.history = History()
        self.op = 0

    def does(self, session: str, kind: str, value: Any, spot: Spot | None = None) -> None:
        self.op += 1
        given, found = (value, None) if kind == "put" else (None, value)
        self.history.invoke(float(self.op), session, self.op, Act(kind, "k", given), spot)
        self.history.end(self.op + 0.5, session, self.op, "ok", found)


def tale() -> Tale:
    """Three writes; the second is read, the first and the second are known to the writer of the third."""
    told = Tale()
    told.does("c1", "put", "a")
    told.does("c1", "put", "b")
    told.does("c2", "get", "b")
    told.does("c2", "put", "c")
    told.does("z1", "get", "c")
    return told


def look(told: Tale, *versions: tuple[int, str], session: str = "z1", versions_max: int = 5) -> list[str]:
    told.does(session, "look back", [list(version) for version in versions])
    return [text.split("]] ")[-1] for text in judge(told.history, versions_max)]


GOOD = ((30, "c"), (20, "b"), (10, "a"))


def test_what_was_written_in_order_is_right() -> None:
    assert look(tale(), *GOOD) == []


def test_a_write_that_no_other_has_read_need_not_be_a_version() -> None:
    assert look(tale(), (30, "c"), (20, "b")) == []


def test_what_there_is_no_room_for_need_not_be_shown() -> None:
    assert look(tale(), (30, "c"), versions_max=1) == []


def test_who_looks_before_the_end_may_be_shown_less() -> None:
    assert look(tale(), (20, "b"), session="c1") == []


@pytest.mark.parametrize(
    ("versions", "versions_max", "wrong"),
    [
        ([(30, "c"), (20, "b"), (15, "x")], 5, "shows x, which nobody wrote"),
        ([(30, "c"), (20, "b"), (20, "b")], 5, "shows b twice"),
        (GOOD, 2, "shows 3 versions, where 2 are kept"),
        ([(10, "c"), (20, "b")], 5, "has a later version with a smaller number"),
        ([(30, "c"), (20, "a"), (10, "b")], 5, "shows a after b, whose writer knew of it"),
        ([(30, "c"), (10, "a")], 5, "does not show b, which c2 has read"),
        ([(20, "b"), (10, "a")], 5, "does not end with c, which is there"),
    ],
)
def test_what_is_wrong_is_said(versions: list[tuple[int, str]], versions_max: int, wrong: str) -> None:
    assert look(tale(), *versions, versions_max=versions_max)[:1] == [wrong]


def test_who_reads_its_own_write_has_not_been_told_of_it_by_a_store() -> None:
    told = Tale()
    spot = Spot("c1.1", 0, 0, (), "e1")
    told.does("c1.1.0/0", "put", "a", spot)
    told.does("c1.1.0/1", "get", "a", Spot("c1.1", 0, 1, (0,), "e1"))
    told.does("c2", "put", "b")
    told.does("z1", "get", "b")
    assert look(told, (20, "b")) == []
    told.does("c1.1.0/2", "get", "a", Spot("c1.1", 0, 2, (0, 1), "e2"))
    told.does("z1", "look back", [[20, "b"]])
    assert "does not show a, which c1.1.0/2 has read" in judge(told.history, 5)[-1]
