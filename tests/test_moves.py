"""Moves of a process to another directory are noted, whoever makes them and by whatever name."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudburst_runtime.executor.moves import BRIEF_MS, Moves


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Moves:
    """Installed, and asked once."""
    monkeypatch.chdir(tmp_path)
    for name in ("chdir", "fchdir"):
        for module in (os, sys.modules[os.name]):
            monkeypatch.setattr(module, name, getattr(os, name))  # to be put back
    made = Moves()
    made.install()
    assert made.possible(0.0)
    return made


def by_descriptor() -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.fchdir(here)
    finally:
        os.close(here)


def for_a_while() -> None:
    with contextlib.chdir("."):
        pass


WAYS = (lambda: os.chdir("."), lambda: sys.modules[os.name].chdir("."), by_descriptor, for_a_while)


@pytest.mark.parametrize("move", WAYS)
def test_a_move_is_noted_once(moves: Moves, move: Callable[[], None]) -> None:
    assert not moves.possible(0.0)
    move()
    assert moves.possible(0.0)
    assert not moves.possible(0.0)


def test_what_took_time_may_have_moved(moves: Moves) -> None:
    assert moves.possible(BRIEF_MS)


def test_a_move_that_fails_is_an_error_as_before(moves: Moves) -> None:
    with pytest.raises(FileNotFoundError):
        os.chdir("there is no such directory")


def test_functions_that_change_the_directory_travel(moves: Moves) -> None:
    assert pickle.loads(pickle.dumps([os.chdir, os.fchdir])) == [os.chdir, os.fchdir]
