"""The store as a table, and one key of it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudburst_nb.browsing import Store
from cloudburst_nb.display.stores import (
    ROWS_MAX,
    Meeting,
    Row,
    State,
    Version,
    browser,
    found,
    pages,
    plain,
    whole,
)
from cloudburst_nb.widgets.cards import StoreCard
from tests.showing import read

ROWS = [
    Row("user/<ada>", "lww", 1_500, ["e1", "this notebook"], 3, 2),
    Row("user/bob", "set", 20, []),
    Row("visits", "counter", 7, [f"e{index}" for index in range(9)]),
]


def keys(rows: list[Row]) -> list[str]:
    return [row.key for row in rows]


def test_the_plain_form_has_every_key_and_nothing_to_press() -> None:
    html = plain(ROWS, "")
    said = read(html)
    assert said.startswith("Cloudburst store 3 keys · 1.53 KB key lattice size versions replicas cached by")
    assert "user/<ada> lww 1.5 KB 3 2 e1, this notebook user/bob set 20 B 1 1 nobody" in said
    assert "e0, e1, e2, e3 and 5 more" in said
    assert "data-op" not in html


def test_a_prefix_is_said() -> None:
    assert "1 key that begin with 'vis'" in read(plain(ROWS[2:], "vis"))


def test_very_many_keys_are_cut_in_the_plain_form_and_turned_in_the_live_one() -> None:
    many = [Row(f"k{index:04}", "lww", 1, []) for index in range(500)]
    assert "… and 300 more" in read(plain(many, ""))
    said = read(browser(many, "", State(page=1)))
    assert "k0015" in said
    assert "k0014" not in said
    assert "back page 2 of 34 on" in said


@given(
    st.lists(st.tuples(st.text(max_size=4), st.integers(0, 9)), max_size=60),
    st.text(max_size=2),
    st.booleans(),
)
def test_each_key_that_matches_is_on_exactly_one_page(
    given_rows: list[tuple[str, int]], words: str, down: bool
) -> None:
    rows = [Row(f"{key}{index}", "lww", size, []) for index, (key, size) in enumerate(given_rows)]
    state = State(words, "size", down)
    chosen = found(rows, state)
    assert sorted(keys(chosen)) == sorted(key for key in keys(rows) if words.casefold() in key.casefold())
    assert [row.size for row in chosen] == sorted((row.size for row in chosen), reverse=down)
    assert (pages(len(chosen)) - 1) * ROWS_MAX < max(1, len(chosen)) <= pages(len(chosen)) * ROWS_MAX


def test_what_is_sorted_and_chosen_can_be_seen() -> None:
    html = browser(ROWS, "", State(sort="size", down=True, chosen="visits"), "<p>detail</p>")
    assert "size ▾" in read(html)
    assert 'data-value="user/&lt;ada&gt;"' in html
    assert read(html).endswith("detail")
    assert "no key matches" in read(browser(ROWS, "", State(words="zzz")))
    long = browser([Row("k" * 500, "lww", 1, [])], "", State())
    assert re.search(r"overflow-wrap:anywhere[^>]*>k{500}<", long)
    empty = read(browser([], "", State()))
    assert "no key matches" not in empty
    assert "a key appears here once something is put there" in empty


def version(number: int, writer: str, at: float) -> Version:
    return Version(number, writer, at, 8, f"<code>value {number}</code>")


def test_a_version_stands_beside_the_one_before_it() -> None:
    versions = [version(number, "e1", 10.0 * number) for number in (1, 2, 3)]
    html = whole(ROWS[0], versions, 1)
    said = read(html)
    assert 'min="0" max="2" value="1"' in html
    assert "version 2 of 3 the one before · by e1 at" in said
    assert said.index("value 1") < said.index("value 2")
    assert "value 3" not in said
    assert "value 3" in read(whole(ROWS[0], versions, -1))
    assert "value 3" in read(whole(ROWS[0], versions, 99))  # it has become shorter meanwhile


def met(row: Row, first: Version, second: Version, *meetings: Meeting) -> str:
    """What is said of the second version, in which these writes met."""
    return read(whole(row, [first, second._replace(met=meetings)], 1))


def test_a_value_that_was_dropped_unseen_is_warned_of() -> None:
    said = met(ROWS[0], version(1, "e1", 5.0), version(2, "e2", 5.25), Meeting("over", "e2", 5.25, 8, ""))
    assert "last writer wins: e2 had not seen what e1 had written, 250 ms apart" in said
    assert 'the value of e1 was dropped, lattice="causal" keeps both' in said
    assert said.count("value 1") == 1
    assert re.search(r"written · by e2 at \S+ · 8 B value 2 kept · 8 B value 2$", said)
    assert "last writer wins" not in read(whole(ROWS[0], [version(1, "e1", 5.0), version(2, "e2", 5.1)], 1))


def test_a_value_that_came_too_late_stands_beside_the_one_that_stayed() -> None:
    late = Meeting("late", "c2", 1.0, 8, "<i>lost</i>")
    said = read(whole(ROWS[0], [version(1, "e1", 63.0)._replace(met=[late])], -1))
    assert "c2 had not seen what e1 had written, 62 s apart; the value of c2 was dropped" in said
    assert re.search(r"written · by e1 .* value 1 written · by c2 .* lost kept · 8 B value 1$", said)


@pytest.mark.parametrize("row", ROWS[1:])
def test_two_writes_stand_beside_what_they_were_merged_into(row: Row) -> None:
    over = Meeting("over", "e2", 6.0, 8, "<i>written by e2</i>")
    said = met(row, version(1, "e1", 5.0), version(2, "e2", 6.0), over)
    assert "merged: e2 had not seen what e1 had written" in said
    assert re.search(
        r"written · by e1 .* value 1 written · by e2 .* written by e2 merged · 8 B value 2$", said
    )
    assert "last writer wins" not in said
    large = met(row, version(1, "e1", 5.0), version(2, "e2", 6.0), over._replace(value="", how="stores"))
    assert "e2 and e1 wrote at two stores, of which neither had heard of the other" in large
    assert "too large to be kept" in large


def test_values_that_lie_side_by_side_are_shown_so() -> None:
    said = read(whole(ROWS[0], [version(1, "", 0.0)], -1, ["<i>left</i>", "<i>right</i>"]))
    assert "2 values were written without knowledge of each other; both are kept" in said
    assert said.endswith("sibling 1 left sibling 2 right")
    assert "sibling" not in read(whole(ROWS[0], [version(1, "", 0.0)], -1, ["<i>one</i>"]))


# ---------------------------------------------------------------- what is pressed


class Shelf(Store):
    """A store with rows of its own."""

    def __init__(self, rows: list[Row]) -> None:
        client: Any = SimpleNamespace(closed=False, lost=False)
        super().__init__(client)
        self._rows = rows

    def rows(self) -> list[Row]:
        return self._rows

    def whole(self, row: Row, at: int) -> str:
        return f"<p>{row.key} at {at}</p>"


@pytest.fixture
def card() -> StoreCard:
    return StoreCard(Shelf([Row(f"key{index:02}", "lww", 100 - index, []) for index in range(40)]))


def press(card: StoreCard, op: str, choice: object = None) -> str:
    assert card.act(op, {"op": op, "choice": choice}) == ""
    return read(card.html())


def test_it_is_filtered_sorted_turned_and_looked_into(card: StoreCard) -> None:
    assert "key00" in press(card, "page", "0")
    assert "key39" in press(card, "page", "2")
    assert "key07" in press(card, "words", "07")  # the page of before is not there any more
    assert "page" not in read(card.html())
    assert "key00" in press(card, "words", "")
    said = press(card, "sort", "size")
    assert said.index("key00") < said.index("key01"), "largest first"
    said = press(card, "sort", "size")
    assert said.index("key39") < said.index("key38")
    assert press(card, "choose", "key39").endswith("key39 at -1")
    assert press(card, "version", "3").endswith("key39 at 3")
    assert press(card, "choose", "key38").endswith("key38 at -1")
    assert "at -1" not in press(card, "choose", "key38"), "a second press closes it"


def test_a_chosen_key_that_is_deleted_goes_away(card: StoreCard) -> None:
    press(card, "choose", "key39")
    card.store._rows.pop()  # type: ignore[attr-defined]
    assert "key39" not in read(card.html())


def test_a_store_without_a_runtime_is_over(card: StoreCard) -> None:
    assert not card.over()
    card.store.client.closed = True  # type: ignore[misc]
    assert card.over()


def test_in_a_terminal_it_is_aligned_text() -> None:
    assert repr(Shelf(ROWS)).splitlines() == [
        "key         lattice  size    versions  replicas  cached by",
        "user/<ada>  lww      1.5 KB  3         2         e1, this notebook",
        "user/bob    set      20 B    1         1         nobody",
        "visits      counter  7 B     1         1         " + ", ".join(f"e{index}" for index in range(9)),
    ]
    assert repr(Shelf([])) == "no keys"
