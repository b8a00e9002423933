"""Live displays without a notebook: what they show, when they look, and what their buttons do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import IPython.display
import pytest

from cloudburst_nb.widgets import cards, showing
from cloudburst_nb.widgets.showing import Display, Displays
from cloudburst_runtime.errors import FunctionNotFound
from cloudburst_runtime.messages import Failure, Result
from tests.processes.watching import eventually
from tests.showing import Shell, done, future, read, running


class Handle:
    """A display in a cell, whose contents can be exchanged."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundles = [bundle]

    def update(self, bundle: dict[str, Any], raw: bool) -> None:
        assert raw
        self.bundles.append(bundle)

    @property
    def html(self) -> str:
        return str(self.bundles[-1]["text/html"])


class Counter(cards.Simple):
    """A card that shows a number."""

    period_s = 0.2

    def __init__(self) -> None:
        self.number = 0
        self.ended = False
        self.changed: Callable[[], None] = lambda: None

    def text(self) -> str:
        return f"number {self.number}"

    def html(self) -> str:
        return f"<b>number {self.number}</b>"

    def actions(self) -> list[cards.Action]:
        return [cards.action("add", "Add", "one more")]

    def act(self, op: str, given: dict[str, Any]) -> str:
        if given.get("choice"):
            raise FunctionNotFound("there is none")
        self.number += 1
        return f"{op}: now {self.number}"

    def over(self) -> bool:
        return self.ended

    def subscribe(self, changed: Callable[[], None]) -> None:
        self.changed = changed


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Handle]]:
    """As if in a notebook: what was displayed."""
    handles: list[Handle] = []

    def display(bundle: dict[str, Any], raw: bool, display_id: str) -> Handle:
        assert raw
        assert display_id in bundle["text/html"]
        handles.append(Handle(bundle))
        return handles[-1]

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(showing, "kernel_shell", lambda: SimpleNamespace(user_ns={}))
    monkeypatch.setattr(showing, "displays", Displays())
    monkeypatch.delenv(showing.HEADLESS, raising=False)
    yield handles
    for each in list(showing.displays._shown):
        showing.displays.end(each)
    showing.displays.wake()


def begun(card: Any) -> Display:
    display = Display(card)
    display.begin()
    return display


def test_the_document_has_plain_html_and_never_a_widget(shown: list[Handle]) -> None:
    showing.show(Counter())
    (bundle,) = shown[0].bundles
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == "number 0"
    assert read(bundle["text/html"]) == "number 0"


def test_a_front_end_that_opens_no_widget_by_itself_is_given_it(
    shown: list[Handle], monkeypatch: pytest.MonkeyPatch
) -> None:
    vscode = SimpleNamespace(user_ns={"__vsc_ipynb_file__": "/a.ipynb"})
    monkeypatch.setattr(showing, "kernel_shell", lambda: vscode)
    showing.show(Counter())
    assert "model_id" in shown[0].bundles[0][showing.VIEW]


@pytest.mark.parametrize("why", ["no notebook", "headless", "over"])
def test_where_nobody_would_see_it_change_the_plain_forms_do(
    shown: list[Handle], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    card = Counter()
    card.ended = why == "over"
    if why == "headless":
        monkeypatch.setenv(showing.HEADLESS, "1")
    if why == "no notebook":
        monkeypatch.setattr(showing, "kernel_shell", lambda: None)
    with pytest.raises(NotImplementedError):
        showing.show(card)
    assert shown == []


def test_a_future_that_is_done_shows_its_plain_forms() -> None:
    with pytest.raises(NotImplementedError):
        done(9)._ipython_display_()


def test_a_change_is_shown_and_the_last_state_is_in_the_document(shown: list[Handle]) -> None:
    card = Counter()
    display = begun(card)
    live: Any = display._live
    card.number = 7
    card.changed()
    eventually(lambda: "number 7" in live.html)
    assert len(shown[0].bundles) == 1
    card.number, card.ended = 8, True
    card.changed()
    eventually(lambda: "number 8" in shown[0].html)
    assert showing.displays._shown == []
    assert "data-cloudburst-live" not in shown[0].html
    assert live.comm is None or live.comm._closed
    eventually(lambda: showing.displays._thread is None)


def test_it_looks_by_itself_only_while_somebody_watches(shown: list[Handle]) -> None:
    display = begun(Counter())
    live: Any = display._live
    display.watched_until = display.looked_at = 100.0
    assert display.due() == float("inf")
    live._told(live, {"op": "watch"}, [])
    assert display.watched_until > time.monotonic() + showing.WATCHED_S / 2
    assert display.due() == pytest.approx(display.looked_at + 0.2)
    display.tell()
    display.looked_at = 50.0
    assert display.due() <= 50.0 + showing.PAUSE_S


def test_a_button_is_answered_in_words_also_if_it_fails(shown: list[Handle]) -> None:
    card = Counter()
    live: Any = begun(card)._live
    live._told(live, {"op": "add"}, [])
    eventually(lambda: live.note == {"serial": 1, "text": "add: now 1"})
    eventually(lambda: "number 1" in live.html)
    live._told(live, {"op": "add", "choice": "v9"}, [])
    eventually(lambda: live.note == {"serial": 2, "text": "FunctionNotFound: there is none"})


def test_a_display_that_cannot_be_made_ends_and_the_others_go_on(shown: list[Handle]) -> None:
    broken, whole = Counter(), Counter()
    first, second = begun(broken), begun(whole)
    broken.html = lambda: 1 / 0  # type: ignore[assignment, return-value]
    first.tell()
    eventually(lambda: first not in showing.displays._shown)
    assert "number 0" in shown[0].html
    whole.number = 3
    second.tell()
    live: Any = second._live
    eventually(lambda: "number 3" in live.html)


def test_of_very_many_the_oldest_stay_as_they_are(
    shown: list[Handle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "SHOWN_MAX", 2)
    all_of_them = [begun(Counter()) for _ in range(3)]
    assert showing.displays._shown == all_of_them[1:]
    assert len(shown[0].bundles) == 2


def test_a_button_is_carried_out_in_a_thread_of_its_own(shown: list[Handle]) -> None:
    card = Counter()
    threads: list[int] = []
    live: Any = begun(card)._live

    def act(op: str, given: dict[str, Any]) -> str:
        threads.append(threading.get_ident())
        return ""

    card.act = act  # type: ignore[method-assign]
    live._told(live, {"op": "add"}, [])
    eventually(lambda: bool(threads))
    assert threads[0] != threading.get_ident()


def test_messages_of_the_page_are_let_in_while_a_cell_runs() -> None:
    from cloudburst_nb.widgets.live import deliver_while_busy

    comm: Any = SimpleNamespace(_reply_subshell_for=lambda data, default: "the cell's")
    deliver_while_busy(comm)
    assert comm._reply_subshell_for({}, "the page's") == "the page's"
    older: Any = SimpleNamespace()
    deliver_while_busy(older)
    assert vars(older) == {}


# ---------------------------------------------------------------- the cards


def test_a_call_can_be_cancelled_until_it_is_over() -> None:
    shell = Shell()
    made = running(future("slow", shell=shell, number=5))
    card = cards.FutureCard(made)
    assert [each["op"] for each in card.actions()] == ["cancel"]
    assert "running slow on e3" in read(card.html())
    card.act("cancel", {})
    assert shell.cancelled == [5]
    told: list[str] = []
    card.subscribe(lambda: told.append("over"))
    made.resolve(Result(5, 0, None, [], Failure("CallCancelled", "the call was cancelled")), 1005.0)
    assert told == ["over"]
    assert card.over()
    assert card.actions() == []
    assert card.act("cancel", {}) == "cancelled"


def test_many_calls_can_be_cancelled_together() -> None:
    from cloudburst_nb.display.tally import Tally

    shell = Shell()
    futures = [future(shell=shell, number=number) for number in (1, 2)]
    card = cards.TallyCard(Tally(["square", "square"]), 0.5, futures)
    assert [each["label"] for each in card.actions()] == ["Cancel"]
    card.act("cancel", {})
    assert shell.cancelled == [1, 2]
    assert not card.over()
    assert "0 of 2 calls are done" in read(card.html())
