"""How far many calls are: counts per function, a rate, and the time that is left.

Law: pure. Calls are reported to it as they end, and those that run again each time; time is an argument.
A call that is over within a tenth of a second is never known to run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloudburst_nb.display.html import STATES, card, code, duration, faint, line, spans, table

BAR_CHARACTERS = 20
NAME_CHARACTERS_MAX = 24
FUNCTIONS_IN_LINE_MAX = 3


@dataclass
class Count:
    """Of one function's calls, how many there are and how many ended how."""

    total: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    cancelled: int = 0

    @property
    def over(self) -> int:
        return self.done + self.failed + self.cancelled

    @property
    def waiting(self) -> int:
        return self.total - self.over - self.running


class Tally:
    """Counts calls by function.

    Parameters
    ----------
    targets
        The function or DAG of each call.

    Examples
    --------
    >>> tally = Tally(["square", "square", "cube"])
    >>> tally.ended("square", "done")
    >>> tally.line(2.0)
    '1/3 done, 0.5/s, 4 s left: square 1/2, cube 0/1'
    """

    def __init__(self, targets: Iterable[str]) -> None:
        self.counts: dict[str, Count] = {}
        for target in targets:
            self.counts.setdefault(target, Count()).total += 1
        self.total = sum(count.total for count in self.counts.values())
        self.over = 0
        self.running = 0

    @property
    def failed(self) -> int:
        return sum(count.failed for count in self.counts.values())

    @property
    def cancelled(self) -> int:
        return sum(count.cancelled for count in self.counts.values())

    def ended(self, target: str, state: str) -> None:
        """One call of ``target`` is ``"done"``, ``"failed"`` or ``"cancelled"``."""
        count = self.counts[target]
        self.over += 1
        setattr(count, state, getattr(count, state) + 1)

    def run(self, targets: Iterable[str]) -> None:
        """These are the calls that run now."""
        for count in self.counts.values():
            count.running = 0
        self.running = 0
        for target in targets:
            self.counts[target].running += 1
            self.running += 1

    def pace(self, seconds: float) -> str:
        """The rate so far, and what it promises."""
        if not self.over or seconds <= 0:
            return ""
        rate = self.over / seconds
        words = f"{rate:.3g}/s" if rate < 100 else f"{rate:,.0f}/s"
        if self.over == self.total:
            return f"{duration(seconds)}, {words}"
        return f"{words}, {duration((self.total - self.over) / rate)} left"

    def line(self, seconds: float) -> str:
        """One line of plain text."""
        wrong = [
            f"{count:,} {word}"
            for count, word in ((self.failed, "failed"), (self.cancelled, "cancelled"))
            if count
        ]
        failed = f" ({', '.join(wrong)})" if wrong else ""
        running = f", {self.running:,} running" if self.running else ""
        pace = f", {pace}" if (pace := self.pace(seconds)) else ""
        return f"{self.over:,}/{self.total:,} done{failed}{running}{pace}{self._by_function()}"

    def _by_function(self) -> str:
        if len(self.counts) == 1:
            return f": {_short(next(iter(self.counts)))}"
        shown = [
            f"{_short(name)} {count.over:,}/{count.total:,}"
            for name, count in list(self.counts.items())[:FUNCTIONS_IN_LINE_MAX]
        ]
        more = [", …"] if len(self.counts) > FUNCTIONS_IN_LINE_MAX else []
        return f": {', '.join(shown)}{''.join(more)}" if shown else ""

    def bar(self, seconds: float, columns: int = 80) -> str:
        """The line behind a bar, cut to a terminal's width."""
        filled = BAR_CHARACTERS * self.over // self.total if self.total else BAR_CHARACTERS
        return f"{'█' * filled}{'░' * (BAR_CHARACTERS - filled)} {self.line(seconds)}"[: columns - 1]

    def html(self, seconds: float) -> str:
        """A bar for each function."""
        rows = [
            [
                code(name),
                spans(
                    [
                        (0, count.done, STATES["done"]),
                        (count.done, count.done + count.failed, STATES["failed"]),
                        (count.done + count.failed, count.over, STATES["cancelled"]),
                        (count.over, count.over + count.running, STATES["running"]),
                    ],
                    count.total,
                    f"{count.done} of {count.total} done",
                    width=220,
                ),
                *_words(count),
            ]
            for name, count in self.counts.items()
        ]
        words = f"{self.over:,} of {self.total:,} calls are done"
        ended = "failed" if self.failed else "cancelled" if self.cancelled else "done"
        state = "running" if self.over < self.total else ended
        pace = self.pace(seconds)
        return card(STATES[state], line(words, faint(f"· {pace}" if pace else "")), table(rows))


def _words(count: Count) -> list[str]:
    return [
        f"{count.done:,} done",
        f'<span style="color:{STATES["failed"]}">{count.failed:,} failed</span>' if count.failed else "",
        f"{count.cancelled:,} cancelled" if count.cancelled else "",
        f"{count.running:,} running" if count.running else "",
        faint(f"{count.waiting:,} waiting") if count.waiting else "",
    ]


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS_MAX else f"{name[: NAME_CHARACTERS_MAX - 1]}…"
