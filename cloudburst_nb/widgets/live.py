"""The widget behind every live display: HTML that Python makes, and buttons that Python answers.

Law: it carries state to the page and presses back; what they mean is the card's business.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

if TYPE_CHECKING:
    from cloudburst_nb.widgets.cards import Card
    from cloudburst_nb.widgets.showing import Display

STATIC = Path(__file__).parent / "static"


class Live(anywidget.AnyWidget):
    """What a page knows of a display.

    Attributes
    ----------
    place
        The mark in the cell's output that it takes over.
    html
        What is shown.
    actions
        Buttons.
    note
        What came of the last one: ``text``, and a ``serial`` that grows.
    """

    _esm = STATIC / "live.js"
    _css = STATIC / "live.css"
    place = traitlets.Unicode().tag(sync=True)
    html = traitlets.Unicode().tag(sync=True)
    actions: Any = traitlets.List().tag(sync=True)
    note: Any = traitlets.Dict({"serial": 0, "text": ""}).tag(sync=True)

    def __init__(self, display: Display) -> None:
        card = display.card
        super().__init__(place=display.place, html=card.html(), actions=card.actions())
        self._display = display
        self._lock = threading.Lock()
        self.on_msg(self._told)
        deliver_while_busy(self.comm)

    def update(self, card: Card) -> None:
        """Say what is new; nothing is sent if nothing is."""
        html, actions = card.html(), card.actions()
        with self._lock, self.hold_sync():
            self.html = html
            self.actions = actions

    def say(self, text: str) -> None:
        """Say what came of a button."""
        with self._lock:
            self.note = {"serial": self.note["serial"] + 1, "text": text}

    def _told(self, _: object, content: dict[str, Any], buffers: object) -> None:
        if content.get("op") == "watch":
            self._display.watch()
        elif content.get("op"):
            self._display.press(content)


def deliver_while_busy(comm: Any) -> None:
    """Let messages of the page in while a cell runs.

    ipykernel 7 hands them to the thread of whoever spoke last on the comm, which is the cell's; the page
    sends them to a thread of their own, if it is let.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
