"""The widget: traits that front ends see, messages that they send.

Law: front ends write no trait. They send operations; the editor answers by changing ``graph``, ``status``
and ``palette``, which all of them see, or by a message that says why not. The three are JSON texts: what is
nested would be copied, compared and searched for buffers, part by part, on every hop.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from cloudburst_nb.widgets.live import deliver_while_busy

STATIC = Path(__file__).parents[1] / "static"


class DagWidget(anywidget.AnyWidget):
    """Shows one editor in any number of front ends."""

    _esm = STATIC / "dag.js"
    _css = STATIC / "dag.css"
    graph = traitlets.Unicode("{}").tag(sync=True)
    status = traitlets.Unicode("{}").tag(sync=True)
    palette = traitlets.Unicode("[]").tag(sync=True)
    place = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(place=uuid.uuid4().hex)
        self._receive: Callable[[dict[str, Any]], None] = lambda message: None
        self.on_msg(self._on_message)
        deliver_while_busy(self.comm)

    def listen(self, receive: Callable[[dict[str, Any]], None]) -> None:
        """Have the operations go there."""
        self._receive = receive

    def _on_message(self, widget: object, content: Any, buffers: object) -> None:
        if isinstance(content, dict):
            self._receive(content)

    def publish(self, changed: dict[str, Any]) -> None:
        """Let all front ends see this."""
        for name, value in changed.items():
            setattr(self, name, json.dumps(value, separators=(",", ":")))

    def tell(self, answer: dict[str, Any]) -> None:
        """Answer a question."""
        self.send(answer)
