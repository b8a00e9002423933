"""Which figure is picked for the calls that are remembered, and the card that follows them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cloudburst_nb.journal import Journal
from cloudburst_nb.past import PastCall
from cloudburst_nb.plots.following import PlotCard
from cloudburst_nb.plots.picking import KINDS, by_version, draw, pick
from cloudburst_runtime.messages import Result, Step


def past(number: int, version: int = 1, nodes: tuple[str, ...] = ("f",)) -> PastCall:
    at = 10.0 * number
    steps = [
        Step(node, "e1", at + node, at + node, at + node + 0.5, version=version) for node in range(len(nodes))
    ]
    return PastCall("f", nodes, at, at + 2.0 * len(nodes), steps)


FEW = [past(number) for number in range(3)]
MANY = [past(number) for number in range(20)]
CHANGED = [*MANY, *(past(20 + number, version=2) for number in range(5))]
DAG = [past(number, nodes=("a", "b")) for number in range(3)]


@pytest.mark.parametrize(
    ("calls", "kind"),
    [
        (FEW, "breakdown"),
        (MANY, "latency"),
        (CHANGED, "compare"),
        (CHANGED[:-1], "latency"),
        (DAG, "timeline"),
        (DAG * 2, "latency"),
    ],
)
def test_what_says_most_is_picked(calls: list[PastCall], kind: str) -> None:
    assert pick(calls) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_drawn_of_calls_that_are_over(kind: str) -> None:
    assert draw(kind, CHANGED).axes


def test_versions_with_few_calls_are_not_compared() -> None:
    assert list(by_version(CHANGED)) == [1, 2]
    assert list(by_version(CHANGED[:-1])) == [1]
    with pytest.raises(ValueError, match="not two versions that were called 5 times"):
        draw("compare", MANY)


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no figure 'pie': choose latency, breakdown, timeline"):
        draw("pie", MANY)


def test_what_is_remembered_has_neither_words_nor_values() -> None:
    journal = Journal()
    step = Step(0, "e1", 1.0, 1.0, 2.0, "said", version=3)
    journal.note("f", [], 0.0, 3.0, Result(1, 0, None, [step]))
    [call] = journal.recent("f")
    assert (call.names, call.versions, call.steps[0].stdout) == (("f",), (3,), "")
    assert journal.counts() == {"f": 1}


def test_the_card_draws_again_only_when_a_call_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counting(kind: str, calls: list[PastCall]) -> Any:
        drawn.append(len(calls))
        return draw(kind, calls)

    monkeypatch.setattr("cloudburst_nb.plots.following.draw", counting)
    journal = Journal()
    client: Any = SimpleNamespace(_journal=journal, closed=False, lost=False)
    card = PlotCard(client, "f", None)
    assert "no call of" in card.html()
    note: Callable[[], None] = lambda: journal.note("f", [], 0.0, 3.0, Result(1, 0, None, FEW[0].steps))  # noqa: E731
    note()
    assert "data:image/png;base64" in card.html()
    assert card.html() == card.html()
    note()
    assert "f: 2 calls" in card.html()
    assert drawn == [1, 2]
    assert not card.over()
    client.closed = True
    assert card.over()
