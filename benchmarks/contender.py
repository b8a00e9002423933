"""What takes part in a benchmark: one class per system behind one small protocol.

Law: a contender turns the name of a measurement into a probe. It runs in a process of its own (a station),
so that its threads and its memory do not disturb the others; its module imports the system only when it
starts, so that one that is not installed can still be named.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import ClassVar

from benchmarks.measure import Probe

CONTENDERS = {
    "machine": "benchmarks.machine:Machine",
    "cloudburst": "benchmarks.ours:Cloudburst",
    "futures": "benchmarks.peers.futures:Futures",
    "loky": "benchmarks.peers.loky:Loky",
    "dask": "benchmarks.peers.dask:Dask",
    "ray": "benchmarks.peers.ray:Ray",
    "ipyparallel": "benchmarks.peers.ipyparallel:IPyParallel",
    "redis": "benchmarks.peers.redis:Redis",
}
PEERS = tuple(name for name in CONTENDERS if name not in ("machine", "cloudburst"))


class Contender:
    """The protocol: every measurement is a method that returns a probe, or None where there is no such thing.

    Attributes
    ----------
    label, how
        What tables call it; one line on how it is used, and why that is the fast way.
    module, distribution
        What must be importable; where its version is found.
    settle_seconds
        How long it catches up on what it had to do while it was suspended.
    life
        A program for the start-up case (see `benchmarks.lives`); empty if there is none.
    """

    label: ClassVar[str] = ""
    how: ClassVar[str] = ""
    module: ClassVar[str] = ""
    distribution: ClassVar[str] = ""
    settle_seconds: ClassVar[float] = 0.02
    life: ClassVar[str] = ""

    def start(self) -> None:
        """Begin: two workers where there are workers."""

    def attach(self, address: str) -> None:
        """Instead of `start`: use what another process has started."""
        raise NotImplementedError(f"{self.label} is not shared between processes")

    def stop(self) -> None:
        """End; nothing of it is left."""

    def address(self) -> str | None:
        """What another process gives to `attach`; None if it cannot be shared."""
        return None

    def noop(self) -> Probe | None:
        """A call that returns its argument."""
        return None

    def square_increment(self) -> Probe | None:
        """``square(increment(x))``."""
        return None

    def chain(self, length: int) -> Probe | None:
        """So many increments, each of the one before."""
        return None

    def fan(self, width: int) -> Probe | None:
        """So many increments at once, and the sum of what they return."""
        return None

    def burst(self, count: int) -> Probe | None:
        """So many no-op calls at once, until all results are there; the time of one."""
        return None

    def mapped(self, count: int) -> Probe | None:
        """A no-op for so many elements by the system's own ``map``; the time of one."""
        return None

    def arrays(self, size: int, state: str) -> Probe | None:
        """The sum of ten arrays of so many bytes by a function; ``"cold"``: new ones each time."""
        return None

    def counter(self) -> Probe | None:
        """One increment of a counter that all share."""
        return None

    def put(self, size: int) -> Probe | None:
        """Store a value of so many bytes, from the client."""
        return None

    def get(self, size: int) -> Probe | None:
        """Read a value of so many bytes, from the client."""
        return None

    def put_inside(self, size: int) -> Probe | None:
        """Store a value inside a function."""
        return None

    def get_inside(self, size: int) -> Probe | None:
        """Read a value inside a function, again and again."""
        return None


def contender_class(name: str) -> type[Contender]:
    """The class of a contender, by its short name."""
    module, _, attribute = CONTENDERS[name].partition(":")
    found: type[Contender] = getattr(importlib.import_module(module), attribute)
    return found


def missing(kind: type[Contender]) -> str:
    """Why a contender cannot take part; empty if nothing is missing that can be seen from here."""
    if kind.module and importlib.util.find_spec(kind.module) is None:
        return f"{kind.module} is not installed (pip install 'cloudburst-nb[bench]')"
    return ""


def version_of(kind: type[Contender]) -> str:
    """The version of what a contender runs on."""
    if not kind.distribution:
        return ""
    try:
        return importlib.metadata.version(kind.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
