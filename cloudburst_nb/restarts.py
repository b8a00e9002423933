"""After a kernel was restarted, or was killed: a word about what ended with it.

Law: a kernel with a runtime has a note beside its connection file, which the kernel after it has too: that
one shows it when it uses a runtime, once, and puts its own in its place. A kernel that takes its runtime
down, or ends for good, removes it. So a note that is found was left by a kernel that was told to restart, and
says so, or by one that could say nothing any more. Nothing else is left.
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

SUFFIX = ".cloudburst-runtime"
KEPT_S = 86_400.0
"""A note that nobody asked for in a day is removed by the next one who looks."""
NAMES_MAX = 20

_state: dict[str, Any] = {}
"""Of this process's note: whose it is, and what it says."""


def _kernel() -> Any:
    """The kernel in this process, if there is one."""
    ipykernel = sys.modules.get("ipykernel.kernelapp")
    app: Any = ipykernel.IPKernelApp if ipykernel is not None else None
    return app.instance() if app is not None and app.initialized() else None


def _path(app: Any) -> str:
    return f"{app.abs_connection_file}{SUFFIX}"


def begin(names: list[str], state_dir: str) -> None:
    """This kernel has a runtime of its own, with its state in a directory or, if that is empty, in memory."""
    if _kernel() is not None:
        _state.update(
            owner=f"{os.getpid()}-{time.time_ns()}", pid=os.getpid(), state_dir=state_dir, restarted=False
        )
        note(names)


def note(names: list[str]) -> None:
    """These functions are defined in this kernel, if it has a note."""
    app = _kernel() if _state.get("pid") == os.getpid() else None
    if app is not None:
        _state.update(names=names[:NAMES_MAX], more=len(names[NAMES_MAX:]))
        _write(app)


def _write(app: Any) -> None:
    draft = f"{_path(app)}-{os.getpid()}"
    with contextlib.suppress(Exception):
        with open(draft, "w") as file:
            json.dump(_state, file)
        os.replace(draft, _path(app))


def expect() -> None:
    """The kernel was told to restart, and is about to take its runtime down."""
    if _state:
        _state["restarted"] = True


def end() -> None:
    """The runtime is down, or this kernel ends: leave the note only if it is about to be started again."""
    app = _kernel() if _state.get("pid") == os.getpid() else None
    if app is None:
        return
    told = getattr(getattr(app, "kernel", None), "_shutdown_message", None)
    if _state["restarted"] or (told and told["content"].get("restart")):
        _state["restarted"] = True
        _write(app)
    else:
        with contextlib.suppress(OSError):
            os.unlink(_path(app))
    _state.clear()


def found() -> tuple[str, str]:
    """What the kernel before this one left, as text and as HTML, and no longer there; empty if nothing."""
    app = _kernel()
    if app is None:
        return "", ""
    with contextlib.suppress(Exception):
        path = _path(app)
        _sweep(os.path.dirname(path))
        with open(path) as file:
            left = json.load(file)
        if left["owner"] == _state.get("owner"):
            return "", ""
        os.unlink(path)
        return _words(left)
    return "", ""


def _sweep(directory: str) -> None:
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if SUFFIX in name and os.stat(path).st_mtime < time.time() - KEPT_S:
            os.unlink(path)


def _words(left: dict[str, Any]) -> tuple[str, str]:
    how = "was restarted" if left["restarted"] else "before this one was killed, or crashed"
    what = f"nothing of it is left but its state in {left['state_dir']}"
    first = f"The kernel {how}, and its runtime ended with it: "
    first += what if left["state_dir"] else "nothing of it is left"
    names, more = left["names"], left["more"]
    if not names:
        return f"{first}.", f"<div>{escape(first)}.</div>"
    rest = f" and {more} more" if more else ""
    again = ". Run the cells again that define "
    shown = f"{again}{', '.join(map(code, names))}{rest}."
    return f"{first}{again}{', '.join(names)}{rest}.", f"<div>{escape(first)}{shown}</div>"


def tell() -> None:
    """Show what the kernel before this one left, once."""
    text, html = found()
    if text:
        from IPython.display import display

        display({"text/plain": text, "text/html": html}, raw=True)  # type: ignore[no-untyped-call]
