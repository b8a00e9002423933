"""Running the cases: who takes part, the rounds, and what comes out.

Law: contenders are asked in turn, a block each, in every round; those that are not asked are suspended, as
some wake up hundreds of times a second with nothing to do. One that fails is left out of that case with a
note. The result is plain data, ready for JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from benchmarks import case as cases
from benchmarks.case import Case, Effort
from benchmarks.contender import PEERS, contender_class, missing, version_of
from benchmarks.lives import Lives
from benchmarks.measure import figures, ratio
from benchmarks.stations import Station, StationError, at_once

OURS, MACHINE, LIFE = "cloudburst", "machine", "life"
Say = Callable[[str], None]


class Source(Protocol):
    """Whoever measures blocks: a station, or lives.

    Attributes
    ----------
    took
        The seconds of the last block, without those of what was made ready for it, such as many functions.
    """

    took: float

    def block(self, probe: str, args: tuple[Any, ...], count: int, seconds: float) -> list[float] | None:
        """Samples; None if there is no such measurement."""
        ...

    def rest(self) -> None:
        """Nothing is asked until it is woken; it takes no time from others."""
        ...

    def wake(self) -> None:
        """The end of the rest."""
        ...

    def close(self) -> None:
        """Nothing more will be asked."""
        ...


class Entry(NamedTuple):
    """One row of one case: what is shown, and who is asked for what."""

    contender: str
    label: str
    role: str
    probe: str
    args: tuple[Any, ...]
    options: dict[str, Any]


def entries(case: Case, peers: Iterable[str]) -> list[Entry]:
    """The rows of a case, in the order of the table: limits, this project, peers."""
    rows = [
        Entry(MACHINE, _limit_label(limit), role, limit[0], limit[1], {})
        for role, limit in (("limit", case.limit), ("beside", case.beside))
        if limit is not None
    ]
    ours = [Entry(OURS, contender_class(OURS).label, "ours", case.probe, case.args, case.options)]
    others = [
        Entry(name, contender_class(name).label, "peer", case.probe, case.args, {})
        for name in (peers if case.peers else ())
    ]
    for row in case.rows:
        kept = ours if row.contender == OURS else others
        if row.contender == OURS or (case.peers and row.contender in peers):
            role = "ours" if row.contender == OURS else "peer"
            kept.append(Entry(row.contender, row.label, role, row.probe, row.args, row.options))
    return rows + ours + others


def _limit_label(limit: tuple[str, tuple[Any, ...]]) -> str:
    cores = [arg for arg in limit[1] if arg in (cases.TWO_CORES, cases.ONE_CORE)]
    label = contender_class(MACHINE).label
    return f"{label}, {cores[0]}" if cores else label


class _Taken:
    """What a row has measured so far; ``over``: it has no such measurement, or failed."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.rounds: list[list[float]] = []
        self.seconds = 0.0
        self.over = False


class Bench:
    """One run.

    Parameters
    ----------
    effort
        How much is measured.
    peers
        Short names of those that should take part.
    say
        Gets a line now and then.
    """

    def __init__(self, effort: Effort, peers: Iterable[str] = PEERS, say: Say = print) -> None:
        self._effort = effort
        self._say = say
        self._sources: dict[str, Source] = {}
        self.peers: dict[str, dict[str, str]] = {}
        for name in peers:
            kind = contender_class(name)
            self.peers[name] = {
                "label": kind.label,
                "how": kind.how,
                "version": version_of(kind),
                "skipped": missing(kind),
            }

    def run(self, chosen: Iterable[Case]) -> dict[str, Any]:
        """Measure all cases; the whole result."""
        started = time.time()
        result = {"machine": about_machine(), "quick": self._effort.quick, "peers": self.peers}
        done = []
        listed = list(chosen)
        try:
            for index, case in enumerate(listed):
                begun = time.perf_counter()
                done.append(self.measure(case))
                self._close_unused(listed[index + 1 :])
                took = time.perf_counter() - begun
                self._say(f"  {index + 1}/{len(listed)}  {took:5.1f} s  {case.group}: {case.name}")
        finally:
            self.close()
        return {**result, "seconds": time.time() - started, "cases": done}

    def measure(self, case: Case) -> dict[str, Any]:
        """One case: rounds of blocks in turn."""
        present = [name for name, peer in self.peers.items() if not peer["skipped"]]
        notes: dict[str, str] = {}
        taken = [_Taken(entry) for entry in entries(case, present)]
        with self._awake([row.entry for row in taken] if case.crowded else []):
            for _ in range(case.rounds or self._effort.rounds):
                for row in taken:
                    if not row.over and (row.seconds < self._effort.row_seconds or row.entry.probe == LIFE):
                        self._take(row, notes, case.crowded)
        return describe(case, [(row.entry, row.rounds) for row in taken if not row.over], notes)

    def _take(self, row: _Taken, notes: dict[str, str], crowded: bool) -> None:
        with contextlib.nullcontext() if crowded else self._awake([row.entry]):
            block = self._block(row.entry, notes)
        source = self._sources.get(_key(row.entry))
        row.seconds += 0.0 if source is None else source.took
        row.over = block is None
        row.rounds.append(block or [])

    @contextlib.contextmanager
    def _awake(self, listed: list[Entry]) -> Iterator[None]:
        """These sources are awake, and rest afterwards."""
        for entry in listed:
            self._prepare(entry)
        wanted = {_key(entry): None for entry in listed}
        sources = [self._sources[key] for key in wanted if key in self._sources]
        for source in sources:
            source.wake()
        time.sleep(max((contender_class(entry.contender).settle_seconds for entry in listed), default=0.0))
        try:
            yield
        finally:
            for source in sources:
                source.rest()

    def _block(self, entry: Entry, notes: dict[str, str]) -> list[float] | None:
        try:
            source = self._source(entry)
            if source is None:
                return None
            return source.block(entry.probe, entry.args, self._effort.count, self._effort.seconds)
        except StationError as error:
            notes[entry.label] = str(error)
            self._say(f"    {entry.label}: {error}")
            return None

    def _prepare(self, entry: Entry) -> None:
        """Start whoever is not there yet, outside the row's time; why one does not start is told later."""
        with contextlib.suppress(StationError):
            self._source(entry)

    # ------------------------------------------------------------ who is asked

    def _source(self, entry: Entry) -> Source | None:
        key = _key(entry)
        if key not in self._sources:
            if entry.contender in self.peers and self.peers[entry.contender]["skipped"]:
                return None
            try:
                self._sources[key] = self._open(entry)
            except StationError as error:
                if entry.contender in self.peers:
                    self.peers[entry.contender]["skipped"] = f"it did not start: {error}"
                raise
        return self._sources[key]

    def _open(self, entry: Entry) -> Source:
        if entry.probe == LIFE:
            life = contender_class(entry.contender).life
            return Lives(life, self._effort.idle_seconds, rehearsed=not self._effort.quick)
        return Station(entry.contender, entry.options)

    def _close_unused(self, coming: list[Case]) -> None:
        """Stations that no later case asks are not left to disturb the others."""
        needed = {_key(entry) for case in coming for entry in entries(case, self.peers)}
        at_once([self._sources.pop(key).close for key in list(self._sources) if key not in needed])

    def close(self) -> None:
        """End all stations."""
        self._close_unused([])


def _key(entry: Entry) -> str:
    kind = LIFE if entry.probe == LIFE else "station"
    return json.dumps([kind, entry.contender, entry.options], sort_keys=True)


# ---------------------------------------------------------------- what comes out


def describe(
    case: Case, measured: list[tuple[Entry, list[list[float]]]], notes: dict[str, str]
) -> dict[str, Any]:
    """A case's figures and ratios as plain data."""
    by_role = {entry.role: rounds for entry, rounds in measured if entry.role in ("limit", "beside")}
    best = best_peer(measured)
    rows = []
    for entry, rounds in measured:
        row = {"label": entry.label, "role": entry.role, **figures(rounds)._asdict()}
        for name, other in (("to_limit", by_role.get("limit")), ("to_beside", by_role.get("beside"))):
            row[name] = _ratio(rounds, other)
        row["to_best_peer"] = _ratio(rounds, best[1] if best else None)
        rows.append(row)
    kept = ("group", "name", "unit", "each", "series", "size")
    result = {name: getattr(case, name) for name in kept}
    return {**result, "best_peer": best[0].label if best else "", "rows": rows, "notes": notes}


def best_peer(
    measured: list[tuple[Entry, list[list[float]]]],
) -> tuple[Entry, list[list[float]]] | None:
    """The peer with the lowest median."""
    peers = [(entry, rounds) for entry, rounds in measured if entry.role == "peer"]
    return min(peers, key=lambda pair: figures(pair[1]).p50, default=None)


def _ratio(rounds: list[list[float]], other: list[list[float]] | None) -> dict[str, float] | None:
    found = ratio(rounds, other) if other else None
    return found._asdict() if found else None


def about_machine() -> dict[str, Any]:
    """Where and with what this was measured; nothing that identifies the machine."""
    import cloudburst_nb

    return {
        "cloudburst-nb": cloudburst_nb.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
