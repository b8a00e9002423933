"""Defects that are planted into the processes of a runtime, so that the harness is seen to find them.

Law: the product knows nothing of this. Python imports ``sitecustomize`` when it starts, from wherever
``PYTHONPATH`` says first; the one that is put there for the start of a runtime replaces a method of a class.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec


def acknowledge_before_persisting() -> None:
    """Answers leave at once, and what they acknowledge is written half a second later."""
    from cloudburst_runtime.anna.journal import Journal

    settle = Journal._settle

    def hasty(self: Journal, groups: list[Any], now: float, flush: bool = False) -> list[Any]:
        later = [
            group._replace(persists=[msgspec.structs.replace(each, sync=False) for each in group.persists])
            for group in groups
        ]
        self._flush_ms = 500.0
        return settle(self, later, now, flush)

    Journal._settle = hasty  # type: ignore[method-assign]


def hand_nothing_over() -> None:
    """Stores that compare what they have find that it is the same, whatever it is."""
    from cloudburst_runtime.anna.arcs import Arcs

    Arcs._digest = lambda self, part: b"the same"  # type: ignore[method-assign]


def drop_siblings() -> None:
    """Of values written side by side only the latest stays."""
    from cloudburst_runtime.lattices.causal import Causal

    merge = Causal.merge

    def forgetful(self: Causal, other: Any) -> Any:
        merged = merge(self, other)
        latest = sorted(merged.siblings, key=lambda sibling: sibling.stamp)[-1:]
        return Causal(tuple(latest), merged.plain, merged.context)

    Causal.merge = forgetful  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "acknowledge-before-persisting": acknowledge_before_persisting,
    "hand-nothing-over": hand_nothing_over,
    "drop-siblings": drop_siblings,
}


@contextlib.contextmanager
def planted(name: str, place: Path) -> Iterator[None]:
    """Within the block, a Python that is started has this defect; none if the name is empty."""
    if not name:
        yield
        return
    directory = place / "planted"
    directory.mkdir(exist_ok=True)
    text = f"from tests.processes.chaos.mutants import MUTANTS\nMUTANTS[{name!r}]()\n"
    (directory / "sitecustomize.py").write_text(text)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(directory), *filter(None, sys.path)])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
