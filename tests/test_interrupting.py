"""What an interrupted wait shows, without a notebook around it."""

from __future__ import annotations

import sys
import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from cloudburst_nb.interrupting import OWN, shorten, theirs
from cloudburst_runtime.shell.interrupts import Interrupts


def raised(text: str, filename: str, **names: Any) -> KeyboardInterrupt:
    """What running a text as this file raises."""
    try:
        exec(compile(text, filename, "exec"), names)
    except KeyboardInterrupt as error:
        return error
    raise AssertionError("it raises nothing")


def test_only_the_frames_of_others_are_left() -> None:
    inner = compile("raise KeyboardInterrupt", f"{OWN[1]}shell/loop.py", "exec")
    middle = compile("exec(inner)", f"{OWN[0]}future.py", "exec")
    error = raised("exec(middle, {'inner': inner})", "the cell", inner=inner, middle=middle)
    files = [frame.filename for frame in traceback.extract_tb(theirs(error.__traceback__))]
    assert files == [__file__, "the cell"]


def test_ipython_renders_a_marked_exception_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def rendered(kind: object, error: object, frames: Any, tb_offset: int) -> list[str]:
        return [frame.filename for frame in traceback.extract_tb(frames)]

    shell = SimpleNamespace(InteractiveTB=SimpleNamespace(structured_traceback=rendered))
    ipython = SimpleNamespace(get_ipython=lambda: shell, __file__="/lib/IPython/__init__.py")
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # type: ignore[arg-type]
    error: Any = raised("raise KeyboardInterrupt", "the cell")
    shorten(error)
    assert error._render_traceback_() == [__file__, "the cell"]


def test_what_an_interrupt_raises_in_a_wait_is_marked_and_elsewhere_is_not() -> None:
    marked: list[BaseException] = []
    interrupts = Interrupts(marked.append)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    interrupts._previous = interrupt
    with pytest.raises(KeyboardInterrupt):
        interrupts._on_signal(2, None)
    assert marked == []
    interrupts.begin()
    interrupts._on_signal(2, None)
    with pytest.raises(KeyboardInterrupt) as found:
        interrupts.open()
    assert marked == [found.value]
