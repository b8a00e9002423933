"""Where a live display can be shown, how it gets there, and how it is kept current.

Law: one thread looks after all displays of this process. It looks at those that somebody watches (their page
says so now and then) and at those that say that they changed, at most every `PAUSE_S`; otherwise it sleeps.
Displays that will not change any more, and the oldest when there are very many, become plain HTML for good.

What is displayed is HTML with a mark in it. The widget is opened beside it, finds the mark, and takes its
place over: so the notebook's document never names a widget, which a later kernel would not know.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudburst_nb.widgets.cards import Card
    from cloudburst_nb.widgets.live import Live

HEADLESS = "CLOUDBURST_NB_HEADLESS"
"""In the environment of a kernel that nobody looks at while it runs."""
PAUSE_S = 0.1
WATCHED_S = 25.0
"""How long a page's word that somebody watches holds; it repeats it every ten seconds."""
SHOWN_MAX = 32
IN_VSCODE = "__vsc_ipynb_file__"
VIEW = "application/vnd.jupyter.widget-view+json"


def kernel_shell() -> Any:
    """IPython's shell if it is a kernel's, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


def show(card: Card) -> None:
    """Display a card that follows what it shows; for an object's ``_ipython_display_``.

    Raises
    ------
    NotImplementedError
        Where nobody would see it change: IPython then shows the object's plain forms.
    """
    shell = kernel_shell()
    if shell is None or os.environ.get(HEADLESS) or card.over():
        raise NotImplementedError("not in a notebook that somebody looks at")
    Display(card, as_view=IN_VSCODE in shell.user_ns).begin()


class Display:
    """A card in a cell's output, with the widget that keeps it current."""

    def __init__(self, card: Card, as_view: bool = False) -> None:
        self.card = card
        self.place = uuid.uuid4().hex
        self.watched_until = 0.0
        self.looked_at = 0.0
        self.changed = False
        self._as_view = as_view
        self._pressed: list[dict[str, Any]] = []
        self._pressing = threading.Lock()
        self._context = contextvars.copy_context()
        self._live: Live | None = None
        self._handle: Any = None

    def begin(self) -> None:
        """Put it into the cell that runs."""
        from IPython.display import display

        from cloudburst_nb.widgets.live import Live

        self._live = Live(self)
        self.watched_until = time.monotonic() + WATCHED_S
        self._handle = display(self.bundle(), raw=True, display_id=self.place)  # type: ignore[no-untyped-call]
        displays.add(self)
        self.card.subscribe(self.tell)

    def bundle(self) -> dict[str, Any]:
        """What stands in the document: never a widget, but where a front end opens none by itself."""
        assert self._live is not None
        inner = f'<div data-cloudburst-live="{self.place}">{self.card.still()}</div>'
        plain: dict[str, Any] = {"text/plain": self.card.text(), "text/html": inner}
        if self._as_view:
            plain[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self._live.model_id}
        return plain

    def tell(self) -> None:
        """It changed: look as soon as may be. Called from any thread, with any lock held."""
        self.changed = True
        displays.wake()

    def watch(self) -> None:
        """Its page says that somebody looks at it."""
        self.watched_until = time.monotonic() + WATCHED_S
        displays.wake()

    def due(self) -> float:
        """When to look next, on the monotonic clock; infinity if nobody watches."""
        if self.changed:
            return self.looked_at + PAUSE_S
        next_look = self.looked_at + self.card.period_s
        return next_look if next_look <= self.watched_until else float("inf")

    def look(self) -> bool:
        """Show what is; False once that is final. In the cell that displayed it."""
        self.changed = False
        self.looked_at = time.monotonic()
        return self._context.copy().run(self._look)

    def _look(self) -> bool:
        assert self._live is not None
        if self.card.over():
            self._settle()
            return False
        self._live.update(self.card)
        return True

    def end(self) -> None:
        """Leave it as it is now, for good."""
        self._context.copy().run(self._settle)

    def _settle(self) -> None:
        assert self._live is not None
        with contextlib.suppress(Exception):  # whatever is shown has ended; what it last said remains
            self._live.html = self.card.still()
        self._handle.update({"text/plain": self.card.text(), "text/html": self._live.html}, raw=True)
        self._live.close()

    def press(self, content: dict[str, Any]) -> None:
        """Carry out what is asked for, one after the other, without keeping the page's messages waiting."""
        with self._pressing:
            self._pressed.append(content)
            if len(self._pressed) > 1:
                return
        threading.Thread(target=self._context.copy().run, args=(self._work,), daemon=True).start()

    def _work(self) -> None:
        left = True
        while left:
            self._press(self._pressed[0])
            with self._pressing:
                del self._pressed[0]
                left = bool(self._pressed)
        self.tell()

    def _press(self, content: dict[str, Any]) -> None:
        assert self._live is not None
        try:
            said = self.card.act(str(content["op"]), content)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        self._live.say(said)


class Displays:
    """All live displays of this process, and the thread that looks after them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: list[Display] = []
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, display: Display) -> None:
        """Look after one more; the oldest ends when there are too many."""
        with self._lock:
            self._shown.append(display)
            oldest = self._shown.pop(0) if len(self._shown) > SHOWN_MAX else None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="cloudburst-displays", daemon=True)
                self._thread.start()
        if oldest is not None:
            oldest.end()
        self.wake()

    def end(self, display: Display) -> None:
        """It is over: leave it as it is before this returns."""
        self._drop(display)
        display.end()

    def wake(self) -> None:
        """Something has changed, or is watched again."""
        self._woken.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                shown = list(self._shown)
                if not shown:
                    self._thread = None
                    return
            now = time.monotonic()
            for display in shown:
                if display.due() <= now and not self._look(display):
                    self._drop(display)
            soonest = min(display.due() for display in shown)
            pause = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
            self._woken.wait(pause)
            self._woken.clear()

    def _look(self, display: Display) -> bool:
        try:
            return display.look()
        except Exception:  # a display that cannot be made must not end the others
            with contextlib.suppress(Exception):
                display.end()
            return False

    def _drop(self, display: Display) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._shown.remove(display)


displays = Displays()
