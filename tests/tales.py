"""Histories told by hand: one thing after the other, unless it is begun and ended apart."""

from __future__ import annotations

from typing import Any

from cloudburst_runtime.sim.consistency.order import Causality
from cloudburst_runtime.sim.consistency.record import Record
from cloudburst_runtime.sim.consistency.violations import Check
from cloudburst_runtime.sim.history import Act, History, Spot


class Tale:
    """A history of clients that put and get, and of calls."""

    def __init__(self, level: str = "lww") -> None:
        self.history = History()
        self.level = level
        self.count = 0

    def begin(self, session: str, act: Act, spot: Spot | None = None) -> int:
        self.count += 1
        self.history.invoke(float(self.count), session, self.count, act._replace(level=self.level), spot)
        return self.count

    def end(self, session: str, op: int, value: Any = None, kind: str = "ok", attempt: int = 0) -> None:
        self.history.end(float(self.count), session, op, kind, value, attempt)

    def put(self, session: str, key: str, value: str, kind: str = "ok", block: str = "") -> None:
        self.end(session, self.begin(session, Act("put", key, value, block=block)), kind=kind)

    def get(self, session: str, key: str, value: str | None, block: str = "") -> None:
        self.end(session, self.begin(session, Act("get", key, block=block)), value)

    def siblings(self, session: str, key: str, *values: str) -> None:
        self.end(session, self.begin(session, Act("get", key, siblings=True)), list(values))

    def call(self, session: str) -> Call:
        return Call(self, session)

    @property
    def record(self) -> Record:
        return Record.of(self.history)

    def found(self, check: Check) -> list[str]:
        return [violation.reason for violation in check(Causality(self.record.at(self.level)))]


class Call:
    """A call; its steps are at a node, behind a cache, after other nodes."""

    def __init__(self, tale: Tale, session: str) -> None:
        self.tale = tale
        self.session = session
        self.name = f"{session}.{tale.count + 1}"
        self.op = tale.begin(session, Act("call", "f", {None: []}, call=self.name))
        self.attempt = 0

    def put(self, node: int, key: str, value: str, after: tuple[int, ...] = (), cache: str = "e1") -> Call:
        return self._step(node, Act("put", key, value), None, after, cache)

    def get(
        self, node: int, key: str, value: str | None, after: tuple[int, ...] = (), cache: str = "e1"
    ) -> Call:
        return self._step(node, Act("get", key), value, after, cache)

    def siblings(self, node: int, key: str, *values: str, cache: str = "e1") -> Call:
        return self._step(node, Act("get", key, siblings=True), list(values), (), cache)

    def _step(self, node: int, act: Act, value: Any, after: tuple[int, ...], cache: str) -> Call:
        spot = Spot(self.name, self.attempt, node, after, cache)
        self.tale.end(spot.session, self.tale.begin(spot.session, act, spot), value)
        return self

    def again(self) -> Call:
        self.attempt += 1
        return self

    def done(self, kind: str = "ok", value: Any = None) -> None:
        self.tale.end(self.session, self.op, value, kind, self.attempt)
