"""What a live display shows and what its buttons do, without a widget.

Law: a card reads what is there and carries out one action at a time; it knows no front end and no thread.
When it is read is its widget's business (`live`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from cloudburst_nb.display.stores import State, browser, found, pages

if TYPE_CHECKING:
    from cloudburst_nb.browsing import Store
    from cloudburst_nb.client import Client
    from cloudburst_nb.display.tally import Tally
    from cloudburst_nb.function import CloudFunction
    from cloudburst_nb.future import CloudburstFuture
    from cloudburst_nb.status import Status

PATIENCE_S = 1.0
"""How long a look waits for the runtime."""

Action = dict[str, Any]
"""A button: ``op``, ``label``, ``title``, and ``choices`` if one is to be chosen."""


def action(op: str, label: str, title: str, choices: list[str] | None = None) -> Action:
    """A button, with a list to choose from before it if there are ``choices``.

    Examples
    --------
    >>> action("cancel", "Cancel", "give this call up")["op"]
    'cancel'
    """
    return {"op": op, "label": label, "title": title, "choices": choices or []}


class Card(Protocol):
    """Something that can be shown, again and again."""

    period_s: float
    """How often to look while somebody watches."""

    def text(self) -> str:
        """For a terminal."""

    def html(self) -> str:
        """What is shown, as of now; it needs no script."""

    def still(self) -> str:
        """The same for the document, where nothing answers."""

    def actions(self) -> list[Action]:
        """What can be done now."""

    def act(self, op: str, given: dict[str, Any]) -> str:
        """Do it; one sentence about what came of it."""

    def over(self) -> bool:
        """Whether it will not change any more."""

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called when something happens that is not to wait for the next look."""


class Simple:
    """What most cards have in common: no buttons, and nothing that is urgent."""

    def html(self) -> str:
        raise NotImplementedError

    def still(self) -> str:
        return self.html()

    def actions(self) -> list[Action]:
        return []

    def act(self, op: str, given: dict[str, Any]) -> str:
        return ""

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Changes are seen at the next look."""


class FutureCard(Simple):
    """One call: it ends with the call."""

    period_s = 0.25

    def __init__(self, future: CloudburstFuture) -> None:
        self.future = future

    def text(self) -> str:
        return repr(self.future)

    def html(self) -> str:
        from cloudburst_nb.display.futures import html

        return html(self.future)

    def actions(self) -> list[Action]:
        title = "Give this call up: drop it if it waits, interrupt it if it runs"
        return [] if self.future.done() else [action("cancel", "Cancel", title)]

    def act(self, op: str, given: dict[str, Any]) -> str:
        return "cancelled" if self.future.cancel() else "it had an outcome before"

    def over(self) -> bool:
        return self.future.done()

    def subscribe(self, changed: Callable[[], None]) -> None:
        self.future._subscribe(lambda _: changed())


class TallyCard(Simple):
    """How far many calls are; whoever waits for them says when it is over."""

    period_s = 0.25

    def __init__(self, tally: Tally, seconds: float, futures: Sequence[CloudburstFuture]) -> None:
        self.tally = tally
        self.seconds = seconds
        self.futures = futures
        self.ended = False

    def text(self) -> str:
        return self.tally.line(self.seconds)

    def html(self) -> str:
        return self.tally.html(self.seconds)

    def actions(self) -> list[Action]:
        return [] if self.ended else [action("cancel", "Cancel", "Give up those calls that are not done")]

    def act(self, op: str, given: dict[str, Any]) -> str:
        for future in self.futures:
            future.cancel()
        return ""

    def over(self) -> bool:
        return self.ended


class RuntimeCard(Simple):
    """A runtime: its executors and what they run, what is registered, what the store holds."""

    period_s = 1.0

    def __init__(self, client: Client, status: Status | None = None) -> None:
        self.client = client
        self._first = status

    def text(self) -> str:
        return repr(self._first if self._first is not None else self.client)

    def html(self) -> str:
        status, self._first = self._first, None
        return status._repr_html_() if status is not None else self.client._repr_html_()

    def over(self) -> bool:
        return self.client.closed or self.client.lost


class FunctionCard(Simple):
    """A function: its text, how it is called, and the way back to an earlier version."""

    period_s = 2.0

    def __init__(self, made: CloudFunction, client: Client) -> None:
        self.made = made
        self.client = client

    def text(self) -> str:
        return repr(self.made)

    def html(self) -> str:
        return self.made._repr_html_()

    def actions(self) -> list[Action]:
        kept = list(self.client._versions(self.made.name, timeout=PATIENCE_S))
        choices = [f"v{version}" for version in reversed(kept[:-1])]
        title = "Register an earlier version again, as a new one"
        return [action("rollback", "Roll back to", title, choices)] if choices else []

    def act(self, op: str, given: dict[str, Any]) -> str:
        version = int(str(given["choice"]).removeprefix("v"))
        return f"v{self.made.rollback(version)} is v{version} again"

    def over(self) -> bool:
        return self.client.closed or self.client.lost


class StoreCard(Simple):
    """The store: what is filtered, sorted, turned and chosen in it."""

    period_s = 2.0

    def __init__(self, store: Store) -> None:
        self.store = store
        self.state = State()

    def text(self) -> str:
        return repr(self.store)

    def html(self) -> str:
        rows = self.store.rows()
        self.state.page = min(self.state.page, pages(len(found(rows, self.state))) - 1)
        chosen = next((row for row in rows if row.key == self.state.chosen), None)
        detail = self.store.whole(chosen, self.state.at) if chosen is not None else ""
        return browser(rows, self.store.prefix, self.state, detail)

    def still(self) -> str:
        return self.store._repr_html_()

    def act(self, op: str, given: dict[str, Any]) -> str:
        value = str(given.get("choice") or "")
        if op == "words":
            self.state.words, self.state.page = value, 0
        elif op == "sort":
            self.state.down = not self.state.down if self.state.sort == value else value != "key"
            self.state.sort, self.state.page = value, 0
        elif op == "page":
            self.state.page = max(0, int(value))
        elif op == "choose":
            self.state.chosen, self.state.at = "" if value == self.state.chosen else value, -1
        elif op == "version":
            self.state.at = int(value)
        return ""

    def over(self) -> bool:
        return self.store.client.closed or self.store.client.lost
