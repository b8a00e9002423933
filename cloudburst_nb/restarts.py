"""After a kernel was restarted: a word about what ended with it.

Law: a kernel that is told to restart, and had a runtime, leaves a note beside its connection file, which the
kernel after it has too: that one shows it when it uses a runtime, once, and removes it. Nothing else is left,
and a kernel that ends for good leaves no note.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from html import escape
from typing import Any

from cloudburst_nb.display.html import code

SUFFIX = ".cloudburst-restarted"
KEPT_S = 86_400.0
"""A note that nobody asked for in a day is removed by the next one who looks."""
NAMES_MAX = 20


def _kernel() -> Any:
    """The kernel in this process, if there is one."""
    ipykernel = sys.modules.get("ipykernel.kernelapp")
    app: Any = ipykernel.IPKernelApp if ipykernel is not None else None
    return app.instance() if app is not None and app.initialized() else None


def _path(app: Any) -> str:
    return f"{app.abs_connection_file}{SUFFIX}"


def leave(names: list[str]) -> None:
    """At exit: leave a note about these functions, if the kernel is about to be started again."""
    app = _kernel()
    told = getattr(getattr(app, "kernel", None), "_shutdown_message", None)
    if not told or not told["content"].get("restart"):
        return
    with contextlib.suppress(Exception), open(_path(app), "w") as file:
        json.dump({"names": names[:NAMES_MAX], "more": len(names[NAMES_MAX:])}, file)


def found() -> tuple[str, str]:
    """What the kernel before this one left, as text and as HTML, and no longer there; empty if nothing."""
    app = _kernel()
    if app is None:
        return "", ""
    with contextlib.suppress(Exception):
        path = _path(app)
        _sweep(os.path.dirname(path))
        with open(path) as file:
            note = json.load(file)
        os.unlink(path)
        return _words(note["names"], note["more"])
    return "", ""


def _sweep(directory: str) -> None:
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name.endswith(SUFFIX) and os.stat(path).st_mtime < time.time() - KEPT_S:
            os.unlink(path)


def _words(names: list[str], more: int) -> tuple[str, str]:
    first = "The kernel was restarted, and its runtime ended with it: nothing of it is left."
    if not names:
        return first, f"<div>{escape(first)}</div>"
    rest = f" and {more} more" if more else ""
    again = "Run the cells again that define "
    shown = f"{again}{', '.join(map(code, names))}{rest}."
    return f"{first} {again}{', '.join(names)}{rest}.", f"<div>{escape(first)} {shown}</div>"


def tell() -> None:
    """Show what the kernel before this one left, once."""
    text, html = found()
    if text:
        from IPython.display import display

        display({"text/plain": text, "text/html": html}, raw=True)  # type: ignore[no-untyped-call]
